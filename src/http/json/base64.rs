//! Base64 as RFC 4648 has it (section 4), with or without its padding: how TensorFlow Serving's JSON writes bytes.

/// The bytes that `text` stands for; `None` where it is no base64.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let padded = digits.iter().rev().take_while(|&&digit| digit == b'=').count();
    let digits = &digits[..digits.len() - padded];
    // A single digit left over is not a byte, and padding fills up to four.
    if digits.len() % 4 == 1 || (padded != 0 && !(digits.len() + padded).is_multiple_of(4)) || 2 < padded {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let bits = group.iter().try_fold(0_u32, |bits, &digit| Some(bits << 6 | value(digit)?))?;
        let n_bytes = group.len() * 6 / 8;
        let all = (bits << (32 - 6 * group.len())).to_be_bytes();
        bytes.extend_from_slice(&all[..n_bytes]);
    }
    Some(bytes)
}

/// `bytes` as text, with its padding.
pub(in crate::http) fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = (bits >> (18 - 6 * at)) as usize & 63;
            text.push(if at <= group.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    text
}

fn value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9vYg", "foob"),
        ] {
            assert_eq!(decoded(text).as_deref(), Some(bytes.as_bytes()), "{text}");
            assert_eq!(encoded(bytes.as_bytes()).trim_end_matches('='), text.trim_end_matches('='));
        }
        for wrong in ["Z", "Zm9v=", "Z===", "Zm 9", "Zm9*", "====", "Zg=a"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
        assert_eq!(decoded("/+8="), Some(vec![0xff, 0xef]));
        assert_eq!(encoded(&[0xff, 0xef]), "/+8=");
    }
}
