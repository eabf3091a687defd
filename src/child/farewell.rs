//! The last line that a child writes to its standard error: what it took, and how it was held.

use serde::{Deserialize, Serialize};

/// How the kernel holds a child back from files and the network (Landlock, seccomp). Limits of memory, CPU and files hold either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// In everything that was asked for.
    Full,
    /// In what this kernel knows of it.
    Partial,
    /// In nothing: the kernel has neither, or their use is forbidden.
    None,
}

crate::schema::described_words!(Sandbox as "Sandbox" { Full, Partial, None });

/// What a child says at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farewell {
    /// How the kernel held it.
    pub sandbox: Sandbox,
    /// The most memory that it had resident, where the system tells.
    pub peak_memory_bytes: Option<u64>,
}

const PREFIX: &str = "gudgeon-child: ";

impl Farewell {
    /// The line.
    pub fn line(&self) -> String {
        format!("{PREFIX}{}", serde_json::to_string(self).unwrap_or_default())
    }

    /// Takes the line out of a standard error; gives back what else there is.
    pub(super) fn split(stderr: &str) -> (Option<Self>, String) {
        let mut farewell = None;
        let mut rest = Vec::new();
        for line in stderr.lines() {
            match line.strip_prefix(PREFIX).and_then(|text| serde_json::from_str(text).ok()) {
                Some(found) => farewell = Some(found),
                None => rest.push(line),
            }
        }
        (farewell, rest.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_among_others() {
        let farewell = Farewell { sandbox: Sandbox::Partial, peak_memory_bytes: Some(14 << 20) };
        let stderr = format!("a warning\n{}\n", farewell.line());
        assert_eq!(Farewell::split(&stderr), (Some(farewell), "a warning".to_owned()));
        assert_eq!(Farewell::split("gudgeon-child: {"), (None, "gudgeon-child: {".to_owned()));
    }
}
