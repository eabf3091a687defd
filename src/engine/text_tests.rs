//! Operators on texts; what is expected is what onnxruntime 1.32 answers.

use super::native::run_alone;
use super::onnx::{AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use super::onnx::{TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto};
use crate::tensor::{Data, Tensor};

fn text(name: &str, text: &str) -> AttributeProto {
    attribute(name, AttributeType::String, |attribute| attribute.s = text.into())
}

fn texts(name: &str, texts: &[&str]) -> AttributeProto {
    let texts = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    attribute(name, AttributeType::Strings, |attribute| attribute.strings = texts)
}

fn int(name: &str, int: i64) -> AttributeProto {
    attribute(name, AttributeType::Int, |attribute| attribute.i = int)
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    attribute(name, AttributeType::Ints, |attribute| attribute.ints = ints.to_vec())
}

fn attribute(name: &str, kind: AttributeType, fill: impl FnOnce(&mut AttributeProto)) -> AttributeProto {
    let mut attribute = AttributeProto { name: name.to_owned(), r#type: kind as i32, ..Default::default() };
    fill(&mut attribute);
    attribute
}

/// What the operator makes of `input`, a tensor of texts or of 64-bit numbers.
fn run(op: &str, attribute: Vec<AttributeProto>, input: Tensor) -> Result<Tensor, String> {
    let is_text = input.as_strings().is_some();
    let value = |name: &str, elem_type, rank: Option<usize>| {
        let shape = rank.map(|rank| TensorShapeProto { dim: vec![Default::default(); rank] });
        let tensor = TypeValue::Tensor(TensorType { elem_type, shape });
        ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { value: Some(tensor) }), ..Default::default() }
    };
    let domain = if op == "Tokenizer" { "com.microsoft" } else { "" };
    let node = NodeProto {
        op_type: op.to_owned(),
        domain: domain.to_owned(),
        input: vec!["x".to_owned()],
        output: vec!["y".to_owned()],
        attribute,
        ..Default::default()
    };
    let input_type = if is_text { 8 } else { 7 };
    let output_type = if op == "TfIdfVectorizer" { 1 } else { 8 };
    let graph = GraphProto {
        name: "g".to_owned(),
        node: vec![node],
        input: vec![value("x", input_type, Some(input.shape().len()))],
        output: vec![value("y", output_type, None)],
        ..Default::default()
    };
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
    let opset_import = vec![opset("", 17), opset("com.microsoft", 1)];
    let model = ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..Default::default() };
    // Of a problem, the text that it quotes.
    run_alone(&model, &[input]).map(|mut outputs| outputs.remove(0)).map_err(|problem| problem.replace('\\', ""))
}

fn strings(shape: &[usize], strings: &[&str]) -> Tensor {
    Tensor::new(shape.to_vec(), Data::String(strings.iter().map(|&text| text.to_owned()).collect())).unwrap()
}

#[track_caller]
fn check_tokens(attributes: Vec<AttributeProto>, given: &[&str], shape: &[usize], expected: &[&str]) {
    let attributes = [attributes, vec![text("pad_value", "#")]].concat();
    let tokens = run("Tokenizer", attributes, strings(&[given.len()], given)).unwrap();
    assert_eq!(tokens, strings(shape, expected));
}

#[test]
fn tokens_are_what_matches_or_what_lies_between() {
    let marked = || int("mark", 1);
    check_tokens(vec![text("tokenexp", "[a-z]+")], &["aab ab", "", " "], &[3, 2], &["aab", "ab", "#", "#", "#", "#"]);
    check_tokens(
        vec![text("tokenexp", "[a-z]+"), marked()],
        &["aab ab", " "],
        &[2, 4],
        &["\x02", "aab", "ab", "\x03", "\x02", "\x03", "#", "#"],
    );
    check_tokens(vec![text("tokenexp", "[a-z]+"), marked()], &["", " "], &[2, 0], &[]);
    let spaces = || texts("separators", &[" ", ","]);
    check_tokens(vec![spaces()], &["a b,c", ",", " a"], &[3, 3], &["a", "b", "c", "#", "#", "#", "a", "#", "#"]);
    check_tokens(vec![spaces(), int("mincharnum", 2)], &["ab c,\u{e9}d"], &[1, 2], &["ab", "\u{e9}d"]);
    // One after the other, and not the longest of them.
    check_tokens(vec![texts("separators", &["ab", "abb"])], &["abxabb"], &[1, 2], &["x", "b"]);
    check_tokens(vec![texts("separators", &[" "]), text("tokenexp", "a")], &["a b"], &[1, 2], &["a", "b"]);
    let chars = || texts("separators", &[""]);
    check_tokens(vec![chars()], &["ab", "\u{e9}"], &[2, 2], &["a", "b", "\u{e9}", "#"]);
    // A point alone is any character, and one that is not alone is none of a new line.
    check_tokens(vec![text("tokenexp", ".")], &["a\n"], &[1, 2], &["a", "\n"]);
    check_tokens(vec![text("tokenexp", ".+")], &["a\nb"], &[1, 2], &["a", "b"]);
    // What is too short gives its second character back.
    let pairs = vec![text("tokenexp", r"[^\W\d]{2,}|[^\n]{2}"), int("mincharnum", 3)];
    check_tokens(pairs, &["\u{130}iAbx1"], &[1, 1], &["iAbx"]);
}

#[test]
fn tokenizers_that_cannot_be_are_refused() {
    let problem = |attributes| run("Tokenizer", attributes, strings(&[1], &["a"])).unwrap_err();
    for (attributes, expected) in [
        (vec![], "Tokenizer: expected separators or a tokenexp"),
        (vec![texts("separators", &[" "]), int("mincharnum", 0)], "expected 1, or more where there are words, got 0"),
        (vec![texts("separators", &[""]), int("mincharnum", 2)], "expected 1, or more where there are words, got 2"),
        (vec![texts("separators", &[" "]), int("mincharnum", 65)], "mincharnum beyond 64"),
        (vec![texts("separators", &[" "; 65])], "more than 64 separators"),
        (vec![texts("separators", &[" "]), text("pad_value", &"p".repeat(25))], "a pad_value of more than 24 bytes"),
        (vec![texts("separators", &[" ", ""])], "the expression \"\" (an empty alternative)"),
        (vec![text("tokenexp", "(a)")], "the expression \"(a)\" ('(')"),
    ] {
        let problem = problem(attributes);
        assert!(problem.contains(expected), "{problem}");
    }
    let cube = strings(&[1, 1, 1], &["a"]);
    assert!(run("Tokenizer", vec![texts("separators", &[" "])], cube).unwrap_err().contains("expected [C] or [N, C]"));
}

#[test]
fn stop_words_go_and_cases_change() {
    let check = |attributes: Vec<AttributeProto>, given: Tensor, expected: Tensor| {
        assert_eq!(run("StringNormalizer", attributes, given).unwrap(), expected);
    };
    let words = || strings(&[3], &["Ab", "b", "C"]);
    let stop = || texts("stopwords", &["b", "AB"]);
    check(vec![], words(), words());
    check(vec![stop()], words(), strings(&[1], &["C"]));
    check(vec![stop(), int("is_case_sensitive", 1)], words(), strings(&[2], &["Ab", "C"]));
    let lower = || text("case_change_action", "LOWER");
    check(vec![stop(), int("is_case_sensitive", 1), lower()], words(), strings(&[2], &["ab", "c"]));
    check(vec![texts("stopwords", &["b", "ab", "c"])], strings(&[1, 3], &["Ab", "b", "C"]), strings(&[1, 1], &[""]));
    // A character stays one character.
    check(vec![lower()], strings(&[1], &["\u{130}\u{3a3}\u{c9}"]), strings(&[1], &["i\u{3c3}\u{e9}"]));
    let upper = text("case_change_action", "UPPER");
    check(
        vec![upper],
        strings(&[1], &["\u{df}\u{1f80}\u{1fb3}\u{fb01}"]),
        strings(&[1], &["\u{df}\u{1f88}\u{1fbc}\u{fb01}"]),
    );
    let problem = |attributes, given| run("StringNormalizer", attributes, given).unwrap_err();
    for locale in ["tr_TR.UTF-8", "tt_RU@iqtelif", "C", ""] {
        let other = problem(vec![lower(), text("locale", locale)], words());
        assert!(other.contains(&format!("StringNormalizer with the locale \"{locale}\"")), "{other}");
    }
    let column = problem(vec![], strings(&[2, 1], &["a", "b"]));
    assert!(column.contains("expected [C] or [1, C] texts"), "{column}");
    let title = problem(vec![text("case_change_action", "TITLE")], words());
    assert!(title.contains("expected NONE, LOWER or UPPER, got \"TITLE\""), "{title}");
}

/// One item 1, 2 or 3, two items 1 2 and 2 2.
fn ngrams() -> Vec<AttributeProto> {
    vec![
        text("mode", "TF"),
        int("min_gram_length", 1),
        int("max_gram_length", 2),
        int("max_skip_count", 1),
        ints("ngram_counts", &[0, 3]),
        ints("ngram_indexes", &[0, 1, 2, 5, 4]),
        ints("pool_int64s", &[1, 2, 3, 1, 2, 2, 2]),
    ]
}

/// The same with other attributes in the places of those of their names.
fn with(others: Vec<AttributeProto>) -> Vec<AttributeProto> {
    let mut attributes = ngrams();
    attributes.retain(|attribute| others.iter().all(|other| other.name != attribute.name));
    [attributes, others].concat()
}

fn items(shape: &[usize], items: &[i64]) -> Tensor {
    Tensor::new(shape.to_vec(), Data::Int64(items.to_vec())).unwrap()
}

#[test]
fn ngrams_are_counted_and_weighed() {
    let rows = || items(&[2, 4], &[1, 2, 2, 3, 2, 1, 2, 2]);
    let check = |attributes: Vec<AttributeProto>, given: Tensor, shape: &[usize], expected: &[f32]| {
        let counts = run("TfIdfVectorizer", attributes, given).unwrap();
        assert_eq!((counts.shape(), counts.as_f32().unwrap()), (shape, expected));
    };
    check(ngrams(), rows(), &[2, 6], &[1.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 3.0, 0.0, 0.0, 2.0, 2.0]);
    check(ngrams(), items(&[4], &[1, 2, 2, 3]), &[6], &[1.0, 2.0, 1.0, 0.0, 1.0, 2.0]);
    check(ngrams(), items(&[2, 0], &[]), &[2, 6], &[0.0; 12]);
    let pairs = with(vec![int("min_gram_length", 2)]);
    check(pairs, rows(), &[2, 6], &[0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0, 2.0]);
    let weights = || attribute("weights", AttributeType::Floats, |all| all.floats = vec![1.0, 2.0, 3.0, 4.0, 5.0]);
    let mode = |mode| with(vec![text("mode", mode), weights()]);
    check(mode("IDF"), rows(), &[2, 6], &[1.0, 2.0, 3.0, 0.0, 5.0, 4.0, 1.0, 2.0, 0.0, 0.0, 5.0, 4.0]);
    check(mode("TFIDF"), rows(), &[2, 6], &[1.0, 4.0, 3.0, 0.0, 5.0, 8.0, 1.0, 6.0, 0.0, 0.0, 10.0, 8.0]);
    // The weight is the n-gram's, not the column's; columns are shared.
    let shared = [mode("TFIDF"), vec![]].concat();
    let shared = shared.into_iter().filter(|attribute| attribute.name != "ngram_indexes");
    let shared = shared.chain([ints("ngram_indexes", &[0, 0, 2, 1, 0])]).collect();
    check(shared, rows(), &[2, 3], &[10.0, 8.0, 3.0, 17.0, 8.0, 0.0]);
    // N-grams of other lengths than those asked for need no place.
    let pool = vec![ints("ngram_counts", &[0, 2]), ints("pool_int64s", &[1, 2, 1, 2]), ints("ngram_indexes", &[0, 1])];
    check(with([pool, vec![int("max_gram_length", 1)]].concat()), items(&[3], &[1, 2, 2]), &[2], &[1.0, 2.0]);
    // In the order in which they begin: the sum's last bit says so.
    let (first, second) = (0.597_892_76, 0.533_781_5);
    let row = [1, 2, 2].repeat(20);
    let near = with(vec![
        text("mode", "TFIDF"),
        ints("ngram_counts", &[0, 1]),
        ints("ngram_indexes", &[0, 0]),
        ints("pool_int64s", &[1, 2, 2]),
        int("max_skip_count", 0),
        attribute("weights", AttributeType::Floats, |all| all.floats = vec![first, second]),
    ]);
    let sum = (0..20).fold(0.0_f32, |sum, _| sum + first + second);
    check(near, items(&[60], &row), &[1], &[sum]);
}

#[test]
fn ngrams_that_make_no_sense_are_refused() {
    for (others, expected) in [
        (vec![text("mode", "BM25")], "mode: expected TF, IDF or TFIDF, got \"BM25\""),
        (vec![int("max_skip_count", -1)], "max_skip_count: expected a number, 0 or more"),
        (vec![int("max_skip_count", 1_025)], "skips more than 1024 items"),
        (vec![int("min_gram_length", 0)], "n-grams of 0 to 2 items"),
        (vec![int("max_gram_length", 3)], "n-grams of 1 to 3 items, where ngram_counts has 2"),
        (vec![int("max_gram_length", 65), ints("ngram_counts", &[0; 65])], "n-grams of more than 64 items"),
        (vec![ints("ngram_counts", &[0, 2])], "n-grams of 2 items from item 2 on"),
        (vec![ints("ngram_counts", &[3, 0])], "n-grams of 1 items from item 3 on"),
        (vec![ints("ngram_counts", &[0, 99])], "n-grams of 1 items from item 0 on"),
        (vec![ints("ngram_counts", &[-1, 3])], "n-grams of 1 items from item -1 on"),
        (vec![ints("ngram_indexes", &[0, 1, 2])], "more n-grams than ngram_indexes"),
        (vec![ints("ngram_indexes", &[0, 1, 2, 3, -1])], "ngram_indexes: expected numbers of 0 or more"),
        (vec![ints("ngram_indexes", &[])], "no ngram_indexes"),
        (vec![ints("pool_int64s", &[1, 2, 1, 1, 2, 2, 2])], "an n-gram of 1 items is there twice"),
        (vec![ints("pool_int64s", &[])], "expected pool_strings or pool_int64s"),
        (
            vec![ints("pool_int64s", &[]), texts("pool_strings", &["a", "b", "c", "d", "e", "f", "g"])],
            "TfIdfVectorizer of INT64 with a pool of others",
        ),
        (vec![ints("ngram_indexes", &[0, 1, 2, 3, 1 << 60])], "run_values_max"),
        (vec![ints("ngram_indexes", &[0, 1, 2, 3, i64::MAX])], "run_values_max"),
        (vec![attribute("weights", AttributeType::Floats, |all| all.floats = vec![1.0])], "1 weights, 5 ngram_indexes"),
    ] {
        let names: Vec<_> = others.iter().map(|other| other.name.clone()).collect();
        let problem = run("TfIdfVectorizer", with(others), items(&[1, 2], &[1, 2])).unwrap_err();
        assert!(problem.contains(expected), "{names:?}: {problem}");
    }
}
