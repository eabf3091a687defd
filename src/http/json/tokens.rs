//! Bare `NaN`, `Infinity` and `-Infinity`, which Python's and Triton's writers emit and JSON does not have.
//!
//! Each becomes a string of the same length, so that lines and columns in messages stay true. The strings start with DEL,
//! which no category has; `value` takes them for floats only.

/// What stands for a token: `(token, stand-in with its quotes, value)`.
const STAND_INS: [(&[u8], &[u8; 9], f64); 3] = [
    (b"NaN", b"\"\x7f\"......", f64::NAN),
    (b"-Infinity", b"\"\x7f-Infin\"", f64::NEG_INFINITY),
    (b"Infinity", b"\"\x7fInfin\".", f64::INFINITY),
];

/// A copy of `body` with bare tokens outside of strings replaced; `None` where there are none.
pub(super) fn readable(body: &[u8]) -> Option<Vec<u8>> {
    let mut copy: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        if byte == b'"' {
            at = string_end(body, at);
            continue;
        }
        let rest = body.get(at..).unwrap_or_default();
        let Some((token, stand_in, _)) = STAND_INS.iter().find(|(token, ..)| rest.starts_with(token)) else {
            at += 1;
            continue;
        };
        let copy = copy.get_or_insert_with(|| body.to_vec());
        for (to, from) in copy.iter_mut().skip(at).zip(stand_in.iter().take(token.len())) {
            *to = *from;
        }
        at += token.len();
    }
    copy
}

/// The place behind the string that starts at `start`.
fn string_end(body: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// The value of the token that `text` stands for.
pub(super) fn value(text: &str) -> Option<f64> {
    let stands_for = |(token, stand_in, _): &&(&[u8], &[u8; 9], f64)| {
        stand_in.get(1..token.len() - 1).is_some_and(|inner| inner == text.as_bytes())
    };
    STAND_INS.iter().find(stands_for).map(|&(_, _, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_outside_of_strings_are_replaced() {
        assert_eq!(readable(br#"{"NaN": "say \"NaN\"", "x": [1]}"#), None);
        let copy = readable(br#"{"NaN\\": [NaN, -Infinity,Infinity]}"#).unwrap();
        assert_eq!(copy, b"{\"NaN\\\\\": [\"\x7f\", \"\x7f-Infin\",\"\x7fInfin\"]}");
        assert_eq!(readable(b"\"NaN"), None);
        assert_eq!(readable(b"\"\\"), None);
    }

    #[test]
    fn each_stand_in_means_its_token() {
        assert!(value("\x7f").is_some_and(f64::is_nan));
        assert_eq!(value("\x7f-Infin"), Some(f64::NEG_INFINITY));
        assert_eq!(value("\x7fInfin"), Some(f64::INFINITY));
        assert_eq!(value("NaN"), None);
    }
}
