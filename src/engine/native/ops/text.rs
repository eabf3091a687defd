//! Operators on texts: StringNormalizer, and Tokenizer of com.microsoft, as onnxruntime 1.32 computes them.

use std::collections::HashSet;

use super::expression::Expression;
use crate::engine::kernel::{Args, Dim, Fact, OpError, as_strings, tensor};
use crate::engine::native::node::{Built, Node};
use crate::tensor::{Data, Dtype, Tensor};

/// Tokens count for so many values in a run's limit: each is a text of its own.
const VALUES_A_TOKEN: usize = 16;

/// What is shorter is looked through again from its second character on.
const MINCHARNUM_MAX: usize = 64;

/// Every text is looked through for each.
const SEPARATORS_MAX: usize = 64;
/// Every row is filled up with it to the longest one's length.
const PAD_LEN_MAX: usize = 24;

/// What a case is changed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

impl Case {
    /// `text` in this case, character by character.
    fn of(self, text: &str) -> String {
        if text.is_ascii() {
            return if self == Self::Lower { text.to_ascii_lowercase() } else { text.to_ascii_uppercase() };
        }
        text.chars().map(|char| self.of_char(char)).collect()
    }

    /// As the C library's `towlower` and `towupper`: one character for each.
    fn of_char(self, char: char) -> char {
        /// The one that there is; none where there are more.
        fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
            chars.next().filter(|_| chars.next().is_none())
        }
        let above = |by: u32| char::from_u32(u32::from(char) + by).unwrap_or(char);
        match self {
            Self::Lower if char == '\u{130}' => 'i',
            Self::Lower => only(char.to_lowercase()).unwrap_or(char),
            Self::Upper => only(char.to_uppercase()).unwrap_or_else(|| match char {
                // Letters with an iota beneath.
                '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => above(8),
                '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => above(9),
                _ => char,
            }),
        }
    }
}

/// StringNormalizer: drops stop words and changes the case. `[C]` or `[1, C]` texts; one empty text where all are dropped.
/// [ONNX](https://onnx.ai/onnx/operators/onnx__StringNormalizer.html).
pub(in crate::engine::native) fn string_normalizer(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    let fact = node.fact(0)?;
    fact.of_type("StringNormalizer", Dtype::String)?;
    let attributes = node.attributes();
    let case = match attributes.text("case_change_action")?.unwrap_or("NONE") {
        "NONE" => None,
        "LOWER" => Some(Case::Lower),
        "UPPER" => Some(Case::Upper),
        other => return node.bad(format!("case_change_action: expected NONE, LOWER or UPPER, got {other:?}")),
    };
    let is_case_sensitive = node.flag("is_case_sensitive", false)?;
    // What texts are compared in.
    let compared = if is_case_sensitive { None } else { Some(case.unwrap_or(Case::Lower)) };
    let stopwords = attributes.strings("stopwords")?;
    if let Some(locale) = attributes.text("locale")?
        && (case.is_some() || !(stopwords.is_empty() || is_case_sensitive))
        // Their i has or lacks its dot; or only ASCII has a case.
        && matches!(locale.split(['_', '.', '@']).next(), Some("tr" | "az" | "ku" | "crh" | "tt" | "C" | "POSIX" | ""))
    {
        return OpError::unknown(format!("StringNormalizer with the locale {locale:?}"));
    }
    let in_case = |text: &str, case: Option<Case>| case.map_or_else(|| text.to_owned(), |case| case.of(text));
    let stopwords: HashSet<String> = stopwords.into_iter().map(|word| in_case(word, compared)).collect();
    let mut dims = fact.shape.clone();
    match dims.as_deref_mut() {
        None | Some([_]) => {}
        // Whatever the graph declares: there is no more than this one row.
        Some([rows @ (Dim::Fixed(1) | Dim::Symbol(_) | Dim::Unknown), _]) => *rows = Dim::Fixed(1),
        Some(_) => return node.bad("expected [C] or [1, C] texts"),
    }
    if let (Some(last), false) = (dims.as_mut().and_then(|dims| dims.last_mut()), stopwords.is_empty()) {
        *last = Dim::Unknown;
    }
    Built::one(Fact::new(Dtype::String, dims), move |args| {
        let input = args.get(0)?;
        if !matches!(input.shape(), [1..=usize::MAX] | [1, 1..=usize::MAX]) {
            return Err(format!("expected [C] or [1, C] texts, got {:?}", input.shape()));
        }
        let is_kept = |text: &&String| match compared {
            _ if stopwords.is_empty() => true,
            None => !stopwords.contains(text.as_str()),
            Some(case) => !stopwords.contains(&case.of(text)),
        };
        let mut texts: Vec<_> = as_strings(input)?.iter().filter(is_kept).map(|text| in_case(text, case)).collect();
        if texts.is_empty() {
            texts.push(String::new());
        }
        let mut shape = input.shape().to_vec();
        shape.last_mut().into_iter().for_each(|size| *size = texts.len());
        tensor(shape, Data::String(texts))
    })
}

/// What makes tokens of a text.
#[derive(Debug)]
enum Tokens {
    Chars,
    /// What lies between the matches of each.
    Between(Vec<Expression>),
    Matches(Expression),
}

impl Tokens {
    fn read(node: &Node<'_>) -> Result<Self, OpError> {
        let expression = |text: &str| {
            let unknown = |beyond| OpError::Unknown(format!("Tokenizer with the expression {text:?} ({beyond})"));
            Expression::read(text).map_err(unknown)
        };
        let separators = node.attributes().strings("separators")?;
        match (separators.as_slice(), node.attributes().text("tokenexp")?) {
            ([""], _) | ([], Some(".")) => Ok(Self::Chars),
            ([], None | Some("")) => node.bad("expected separators or a tokenexp"),
            ([], Some(text)) => Ok(Self::Matches(expression(text)?)),
            (separators, _) if SEPARATORS_MAX < separators.len() => {
                OpError::unknown(format!("Tokenizer with more than {SEPARATORS_MAX} separators"))
            }
            (separators, _) => {
                Ok(Self::Between(separators.iter().map(|text| expression(text)).collect::<Result<_, _>>()?))
            }
        }
    }

    /// The tokens of `text` that have `chars_min` characters or more.
    fn of<'a>(&self, text: &'a str, chars_min: usize) -> Vec<&'a str> {
        let is_long = |token: &&str| token.chars().take(chars_min).count() == chars_min;
        match self {
            Self::Chars => text.char_indices().map(|(at, char)| &text[at..at + char.len_utf8()]).collect(),
            Self::Matches(expression) => {
                let (mut tokens, mut from) = (Vec::new(), 0);
                while let Some(place) = expression.find(text, from) {
                    let token = &text[place.clone()];
                    if is_long(&token) {
                        tokens.push(token);
                        from = place.end;
                    } else {
                        // A longer one may begin inside of a short one.
                        from = place.start + token.chars().next().map_or(1, char::len_utf8);
                    }
                }
                tokens
            }
            Self::Between(separators) => separators.iter().fold(vec![text], |pieces, separator| {
                let mut tokens = Vec::new();
                for piece in pieces {
                    let mut start = 0;
                    while let Some(place) = separator.find(piece, start) {
                        tokens.push(&piece[start..place.start]);
                        start = place.end;
                    }
                    tokens.push(&piece[start..]);
                }
                tokens.retain(|token| is_long(token));
                tokens
            }),
        }
    }
}

/// Tokenizer of com.microsoft: the tokens of each text along a new axis, as long as the most of them.
/// `[C]` or `[N, C]` texts to `[C, D]` or `[N, C, D]`.
/// [onnxruntime](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.Tokenizer).
pub(in crate::engine::native) fn tokenizer(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    let fact = node.fact(0)?;
    fact.of_type("Tokenizer", Dtype::String)?;
    let is_marked = node.flag("mark", false)?;
    let pad = node.attributes().text("pad_value")?.unwrap_or_default().to_owned();
    let chars_min = usize::try_from(node.int("mincharnum", 1)?).unwrap_or(0);
    let tokens = Tokens::read(node)?;
    if PAD_LEN_MAX < pad.len() {
        return OpError::unknown(format!("Tokenizer with a pad_value of more than {PAD_LEN_MAX} bytes"));
    }
    if MINCHARNUM_MAX < chars_min {
        return OpError::unknown(format!("Tokenizer with a mincharnum beyond {MINCHARNUM_MAX}"));
    }
    if chars_min == 0 || (matches!(tokens, Tokens::Chars) && chars_min != 1) {
        return node
            .bad(format!("mincharnum: expected 1, or more where there are words, got {}", node.int("mincharnum", 1)?));
    }
    if !matches!(fact.rank(), None | Some(1 | 2)) {
        return node.bad("expected [C] or [N, C] texts");
    }
    let dims = fact.shape.as_ref().map(|dims| [dims, &[Dim::Unknown][..]].concat());
    Built::one(Fact::new(Dtype::String, dims), move |args| tokenized(args, &tokens, chars_min, (is_marked, &pad)))
}

fn tokenized(
    args: &Args<'_, '_>,
    tokens: &Tokens,
    chars_min: usize,
    (is_marked, pad): (bool, &str),
) -> Result<Tensor, String> {
    let input = args.get(0)?;
    if !matches!(input.shape().len(), 1 | 2) {
        return Err(format!("expected [C] or [N, C] texts, got {:?}", input.shape()));
    }
    let texts = as_strings(input)?;
    let rows: Vec<_> = texts.iter().map(|text| tokens.of(text, chars_min)).collect();
    let n_marks = if is_marked { 2 } else { 0 };
    let width = rows.iter().map(Vec::len).max().filter(|&most| 0 < most).map_or(0, |most| most + n_marks);
    let shape = [input.shape(), &[width]].concat();
    args.room_for(&[shape.as_slice(), &[VALUES_A_TOKEN]].concat())?;
    let mut all = Vec::with_capacity(rows.len() * width);
    if 0 < width {
        for row in rows {
            let n_pads = width - n_marks - row.len();
            all.extend(is_marked.then(|| "\x02".to_owned()));
            all.extend(row.into_iter().map(str::to_owned));
            all.extend(is_marked.then(|| "\x03".to_owned()));
            all.extend(std::iter::repeat_n(pad, n_pads).map(str::to_owned));
        }
    }
    tensor(shape, Data::String(all))
}
