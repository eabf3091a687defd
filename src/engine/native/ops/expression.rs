//! Expressions by which a Tokenizer finds tokens or separators: the part of [RE2's syntax](https://github.com/google/re2/wiki/Syntax)
//! that exporters write. Alternatives of characters and sets of them, of which the last may repeat: `[a-zA-Z0-9_]+`, `\w\w+`, `, |;`.
//! Of these the longest match is found without going back, in time linear in the text.

use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;

/// Characters and sets in one expression.
const SETS_MAX: usize = 64;
/// And the bytes that it is written in.
const LEN_MAX: usize = 4_096;

/// What `\w` stands for; like `\d` and `\s`, of ASCII alone.
const WORD: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
const DIGIT: &str = "0123456789";
const SPACE: &str = "\t\n\x0c\r ";

/// An expression that matches no empty text.
#[derive(Debug)]
pub(super) struct Expression {
    alternatives: Vec<Sequence>,
}

/// One set a character; the last is that of any number of characters more, where it repeats.
#[derive(Debug, Default)]
struct Sequence {
    sets: Vec<Set>,
    repeats: bool,
}

/// Some characters.
#[derive(Debug, Clone, Default)]
struct Set {
    /// A bit a character.
    ascii: u128,
    /// First and last of the others; in order and apart once the set is whole ([`Self::whole`]).
    others: Vec<(char, char)>,
}

impl Expression {
    /// Reads `text`; what it is told that is beyond these expressions is the error.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if LEN_MAX < text.len() {
            return Err(format!("more than {LEN_MAX} bytes"));
        }
        let (mut alternatives, mut sequence) = (Vec::new(), Sequence::default());
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            let may_repeat = !sequence.sets.is_empty() && !sequence.repeats;
            match char {
                '|' => alternatives.push(std::mem::take(&mut sequence)),
                '+' if may_repeat => sequence.repeats = true,
                '{' if may_repeat && chars.clone().any(|char| char == '}') => sequence.repeat(&mut chars)?,
                _ if sequence.repeats => return Err(format!("{char:?} behind a repetition")),
                '.' => sequence.sets.push(Set::of("\n").negated()),
                '[' => sequence.sets.push(Set::bracketed(&mut chars)?),
                '\\' => sequence.sets.push(Set::escaped(&mut chars)?),
                '(' | ')' | '*' | '+' | '?' | '^' | '$' | '{' => return Err(format!("{char:?}")),
                char => sequence.sets.push(Set::one(char)),
            }
        }
        alternatives.push(sequence);
        if SETS_MAX < alternatives.iter().map(|sequence| sequence.sets.len()).sum() {
            return Err(format!("more than {SETS_MAX} characters"));
        }
        if alternatives.iter().any(|sequence| sequence.sets.is_empty()) {
            return Err("an empty alternative".to_owned());
        }
        Ok(Self { alternatives })
    }

    /// Where the first match from `from` on is: the longest one that begins there.
    pub(super) fn find(&self, text: &str, from: usize) -> Option<Range<usize>> {
        let rest = text.get(from..)?;
        rest.char_indices().find_map(|(at, _)| {
            let len = self.alternatives.iter().filter_map(|sequence| sequence.match_len(&rest[at..])).max()?;
            Some(from + at..from + at + len)
        })
    }
}

impl Sequence {
    /// The bytes that it takes of the beginning of `text`, as many as it can.
    fn match_len(&self, text: &str) -> Option<usize> {
        let mut chars = text.chars();
        if !self.sets.iter().all(|set| chars.next().is_some_and(|char| set.contains(char))) {
            return None;
        }
        if let (true, Some(last)) = (self.repeats, self.sets.last()) {
            let rest = chars.as_str();
            let end = rest.find(|char| !last.contains(char)).unwrap_or(rest.len());
            return Some(text.len() - rest.len() + end);
        }
        Some(text.len() - chars.as_str().len())
    }

    /// Reads what is behind a `{`: `2}` or `2,}`.
    fn repeat(&mut self, chars: &mut Peekable<Chars<'_>>) -> Result<(), String> {
        let inside: String = chars.by_ref().take_while(|&char| char != '}').collect();
        let (digits, repeats) = inside.strip_suffix(',').map_or((inside.as_str(), false), |count| (count, true));
        // RE2 reads anything else, or what has no end, as it stands.
        let is_count = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        let count = digits.parse().ok().filter(|count| is_count && (1..=SETS_MAX).contains(count));
        let count: usize = count.ok_or_else(|| format!("the repetition {{{inside}}}"))?;
        let set = self.sets.last().cloned().unwrap_or_default();
        self.sets.extend(std::iter::repeat_n(set, count - 1));
        self.repeats = repeats;
        if !repeats && matches!(chars.peek(), Some('+' | '{')) {
            return Err("a repetition of a repetition".to_owned());
        }
        Ok(())
    }
}

impl Set {
    fn one(char: char) -> Self {
        let mut set = Self::default();
        set.add(char, char);
        set
    }

    fn of(chars: &str) -> Self {
        let mut set = Self::default();
        chars.chars().for_each(|char| set.add(char, char));
        set
    }

    fn contains(&self, char: char) -> bool {
        if char.is_ascii() {
            return self.ascii >> u32::from(char) & 1 != 0;
        }
        let behind = self.others.partition_point(|&(first, _)| first <= char);
        behind.checked_sub(1).is_some_and(|at| char <= self.others[at].1)
    }

    fn add(&mut self, first: char, last: char) {
        for char in (first..=last).take_while(char::is_ascii) {
            self.ascii |= 1 << u32::from(char);
        }
        if !last.is_ascii() {
            self.others.push((first.max('\u{80}'), last));
        }
    }

    fn join(&mut self, other: &Self) {
        self.ascii |= other.ascii;
        self.others.extend_from_slice(&other.others);
    }

    /// The same, in the form in which a character is looked up.
    fn whole(mut self) -> Self {
        self.others.sort_unstable();
        self.others.dedup_by(|next, kept| {
            let overlaps = next.0 <= kept.1;
            kept.1 = if overlaps { kept.1.max(next.1) } else { kept.1 };
            overlaps
        });
        self
    }

    fn negated(self) -> Self {
        let this = self.whole();
        let mut others = Vec::new();
        // The first character behind the ranges so far; none behind the last one of all.
        let mut free = Some('\u{80}');
        for (first, last) in this.others {
            let Some(start) = free else { break };
            others.extend((start..first).next_back().map(|end| (start, end)));
            free = (last..=char::MAX).nth(1);
        }
        others.extend(free.map(|start| (start, char::MAX)));
        Self { ascii: !this.ascii, others }
    }

    /// Reads what is behind a `[`, to its `]`.
    fn bracketed(chars: &mut Peekable<Chars<'_>>) -> Result<Self, String> {
        let mut set = Self::default();
        let is_negated = chars.next_if_eq(&'^').is_some();
        let mut is_first = true;
        loop {
            let char = chars.next().ok_or("a set without an end")?;
            let first = match char {
                ']' if !is_first => break,
                '[' if chars.peek() == Some(&':') => return Err("a named set".to_owned()),
                '\\' => {
                    let escaped = Self::escaped(chars)?;
                    match escaped.only() {
                        Some(char) => char,
                        None if chars.peek() == Some(&'-') && chars.clone().nth(1) != Some(']') => {
                            return Err("a range from a set".to_owned());
                        }
                        None => {
                            set.join(&escaped);
                            is_first = false;
                            continue;
                        }
                    }
                }
                char => char,
            };
            is_first = false;
            let mut ahead = chars.clone();
            let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|char| char != ']');
            if !is_range {
                set.add(first, first);
                continue;
            }
            chars.next();
            let last = match chars.next() {
                Some('\\') => Self::escaped(chars)?.only().ok_or("a range to a set")?,
                Some(char) => char,
                None => return Err("a set without an end".to_owned()),
            };
            if last < first {
                return Err(format!("the range {first}-{last}"));
            }
            set.add(first, last);
        }
        Ok(if is_negated { set.negated() } else { set.whole() })
    }

    /// Reads what is behind a backslash.
    fn escaped(chars: &mut Peekable<Chars<'_>>) -> Result<Self, String> {
        Ok(match chars.next().ok_or("a backslash at the end")? {
            'w' => Self::of(WORD),
            'W' => Self::of(WORD).negated(),
            'd' => Self::of(DIGIT),
            'D' => Self::of(DIGIT).negated(),
            's' => Self::of(SPACE),
            'S' => Self::of(SPACE).negated(),
            't' => Self::one('\t'),
            'n' => Self::one('\n'),
            'v' => Self::one('\x0b'),
            'f' => Self::one('\x0c'),
            'r' => Self::one('\r'),
            char if char.is_ascii_punctuation() => Self::one(char),
            char => return Err(format!("\\{char}")),
        })
    }

    /// Its one character, where it has one of ASCII and no more.
    fn only(&self) -> Option<char> {
        let is_one = self.ascii.is_power_of_two() && self.others.is_empty();
        is_one.then(|| u8::try_from(self.ascii.trailing_zeros()).ok().map(char::from)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(expression: &str, text: &'a str) -> Vec<&'a str> {
        let expression = Expression::read(expression).unwrap();
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(place) = expression.find(text, from) {
            from = place.end;
            found.push(&text[place]);
        }
        found
    }

    /// What RE2 finds, with the longest match asked for.
    #[test]
    fn the_longest_match_at_the_first_place_is_found() {
        for (expression, text, expected) in [
            ("[a-zA-Z0-9_]+", "It's n\u{e9}e_1, ok", &["It", "s", "n", "e_1", "ok"][..]),
            ("a|ab", "aab ab", &["a", "ab", "ab"]),
            ("ab|abb", "abxabb", &["ab", "abb"]),
            (r"\w\w+", "a bc def", &["bc", "def"]),
            ("a{2}", "a{2}aaaaa", &["aa", "aa"]),
            ("a{2,}", "aaaa aa a", &["aaaa", "aa"]),
            (r"[^\W_]+", "\u{e9}_a1", &["a1"]),
            (r"\W+", "\u{e9}_a", &["\u{e9}"]),
            (r"[^\s]+", "a\u{b}\u{a0}b\tc d\u{c}", &["a\u{b}\u{a0}b", "c", "d"]),
            ("[]a-]+", "a-]b", &["a-]"]),
            ("[a&&b[]+", "a-b&&[c", &["a", "b&&["]),
            ("[a-c-x]+", "ab-cd", &["ab-c"]),
            (r"[\w-]+", "ab-c d", &["ab-c", "d"]),
            (r"[a\.\-]+", "a.b-c", &["a.", "-"]),
            ("[\u{e0}-\u{ef}x]+", "x\u{e9}z\u{f0}", &["x\u{e9}"]),
            ("[^\u{e0}-\u{ef}a\u{e9}]+", "a\u{df}\u{e0}\u{f0}b\u{e9}", &["\u{df}", "\u{f0}b"]),
            ("[^\u{10ffff}]", "\u{10ffff}\u{10fffe}", &["\u{10fffe}"]),
            ("[^\u{80}-\u{10ffff}]", "\u{80}a\u{10fffe}", &["a"]),
            (".+", "a\nb\n", &["a", "b"]),
            (
                "[\u{e9}\u{e0}\u{e1}-\u{ea}\u{e5}\u{e7}-\u{ef}]+",
                "\u{e0}\u{e8}\u{ef}\u{f0}\u{e5}",
                &["\u{e0}\u{e8}\u{ef}", "\u{e5}"],
            ),
            ("}|]", "a}b]c", &["}", "]"]),
            (r"\/|\@", "a/b@", &["/", "@"]),
            ("ab", "aab", &["ab"]),
        ] {
            assert_eq!(found(expression, text), expected, "{expression} in {text:?}");
        }
    }

    #[test]
    fn what_is_beyond_these_expressions_is_named() {
        for (expression, problem) in [
            ("", "an empty alternative"),
            ("a|", "an empty alternative"),
            ("(a)", "'('"),
            ("a*", "'*'"),
            ("a+?", "'?' behind a repetition"),
            ("a+b", "'b' behind a repetition"),
            ("a++", "'+' behind a repetition"),
            ("a{2}+", "a repetition of a repetition"),
            ("a{2}{2}", "a repetition of a repetition"),
            ("a{0}", "the repetition {0}"),
            ("a{1,2}", "the repetition {1,2}"),
            ("a{65}", "the repetition {65}"),
            ("a{+2}", "the repetition {+2}"),
            ("a{02}", "the repetition {02}"),
            ("a{}", "the repetition {}"),
            ("a{2", "'{'"),
            ("a{2,", "'{'"),
            ("a{60}b{60}", "more than 64 characters"),
            (&"a|".repeat(3_000), "more than 4096 bytes"),
            ("+", "'+'"),
            ("^a", "'^'"),
            (r"\ba", "\\b"),
            (r"\p{L}", "\\p"),
            ("a\\", "a backslash at the end"),
            ("[a", "a set without an end"),
            ("[]", "a set without an end"),
            ("[a-", "a set without an end"),
            ("[b-a]", "the range b-a"),
            (r"[\w-a]", "a range from a set"),
            (r"[a-\w]", "a range to a set"),
            ("[[:alpha:]]", "a named set"),
        ] {
            assert_eq!(Expression::read(expression).unwrap_err(), problem, "{expression}");
        }
    }
}
