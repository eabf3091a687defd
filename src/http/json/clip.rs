//! Names that a client sent, made safe for an answer and a log line.

/// The most characters of a client's name that are repeated.
const CHARS_MAX: usize = 64;

/// `name`, cut to 64 characters; control, format and other invisible characters are escaped.
pub(crate) fn clip(name: &str) -> String {
    let mut shown: String = name.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if name.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_or_a_log_would_obey_is_escaped() {
        assert_eq!(clip("dep_delay"), "dep_delay");
        assert_eq!(clip("a\x1b[31m\n\u{2028}\u{202e}"), "a\\u{1b}[31m\\n\\u{2028}\\u{202e}");
        assert_eq!(clip(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
    }
}
