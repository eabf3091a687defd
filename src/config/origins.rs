//! Origins of web pages, as browsers name them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A list of origins (`https://shop.example:8443`), or `*`; written with commas between them.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Origins(Vec<String>);

impl Origins {
    /// Each of them, as a browser writes it.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Origins {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let wrong = |name: &&String| !is_origin(name);
        match names.iter().find(wrong) {
            Some(name) => {
                Err(format!("expected an origin like https://shop.example, without a path, or *, got {name:?}"))
            }
            None => Ok(Self(names)),
        }
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(ToOwned::to_owned).collect::<Vec<_>>().try_into()
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Whether `name` is what a browser would send: a scheme, a host in lower case, perhaps a port, and nothing else.
fn is_origin(name: &str) -> bool {
    let Some((scheme, host)) = name.split_once("://") else { return name == "*" };
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let is_host_byte = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
    };
    is_scheme && !host.is_empty() && host.bytes().all(is_host_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_taken_as_browsers_write_them() {
        let read = |text: &str| text.parse::<Origins>().map(|origins| format!("{origins:?}"));
        for text in
            ["", "*", "https://shop.example", "http://localhost:3000,https://[::1]:8443", "chrome-extension://abc"]
        {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
        assert_eq!(read(" https://a.example , https://b.example ").unwrap(), "https://a.example,https://b.example");
        for wrong in
            ["shop.example", "https://shop.example/", "https://Shop.example", "https://", "null", "https://*.example"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
