//! One item of feedback: which prediction, and what really happened.

use serde_json::{Map, Number, Value};

use crate::http::json::clip;
use crate::model::Mismatch;

/// What really happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Truth {
    /// The class.
    Label(String),
    /// The number; it is finite.
    Value(f64),
}

/// One item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// The id of the request that was answered.
    pub(super) id: String,
    /// The row of that request, from 0.
    pub(super) row: usize,
    /// What really happened.
    pub(super) truth: Truth,
}

/// The items of a body: an object, or a list of at most `items_max` of them.
///
/// # Errors
/// [`Mismatch`] names the first item and member that are not of that form.
pub(super) fn items(body: Value, items_max: usize) -> Result<Vec<Item>, Mismatch> {
    match body {
        Value::Object(members) => item("feedback", members).map(|item| vec![item]),
        Value::Array(list) if items_max < list.len() => {
            Err(Mismatch::new("feedback", format!("at most {items_max} items"), "more"))
        }
        Value::Array(list) => {
            let each = |(at, value)| match value {
                Value::Object(members) => item(&format!("feedback[{at}]"), members),
                _ => Err(Mismatch::new(format!("feedback[{at}]"), "an object", "another value")),
            };
            list.into_iter().enumerate().map(each).collect()
        }
        _ => Err(Mismatch::new("feedback", "an object, or a list of them", "another value")),
    }
}

/// The number, if it is a whole one: 3.0 is, as JSON Schema counts it.
fn whole(number: &Number) -> Option<f64> {
    number.as_f64().filter(|number| number.fract().abs() < f64::MIN_POSITIVE)
}

/// The row that `number` says; none has one beyond what can be counted.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is beyond is no row either")]
fn row_of(number: &Number) -> Option<usize> {
    let exact = number.as_u64().and_then(|row| usize::try_from(row).ok());
    exact.or_else(|| whole(number).filter(|row| 0.0 <= *row).map(|row| row as usize))
}

fn item(path: &str, members: Map<String, Value>) -> Result<Item, Mismatch> {
    let wrong = |name: &str, expected: &str| Mismatch::new(format!("{path}.{name}"), expected, "another value");
    let (mut id, mut row, mut truth) = (None, 0, None);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("id", Value::String(text)) => id = Some(text),
            ("id", _) => return Err(wrong("id", "the x-request-id of a prediction's answer")),
            ("row", value) => {
                let number = value.as_number().and_then(row_of);
                row = number.ok_or_else(|| wrong("row", "the number of a row, from 0"))?;
            }
            ("label" | "value", _) if truth.is_some() => {
                return Err(Mismatch::new(path, "one of \"label\" and \"value\"", "both"));
            }
            ("label", Value::String(text)) => truth = Some(Truth::Label(text)),
            ("label", Value::Number(number)) => {
                let label =
                    if number.is_f64() { whole(&number).map(|n| format!("{n:.0}")) } else { Some(number.to_string()) };
                truth = Some(Truth::Label(label.ok_or_else(|| wrong("label", "the name of a class"))?));
            }
            ("label", _) => return Err(wrong("label", "the name of a class")),
            ("value", value) => {
                let number = value.as_f64().filter(|number| number.is_finite());
                truth = Some(Truth::Value(number.ok_or_else(|| wrong("value", "a number"))?));
            }
            (other, _) => {
                let path = format!("{path}.{}", clip(other));
                return Err(Mismatch::new(path, "one of id, row, label, value", "an unknown member"));
            }
        }
    }
    let missing = |name: &str| Mismatch::new(path, name, "nothing");
    Ok(Item {
        id: id.ok_or_else(|| missing("\"id\""))?,
        row,
        truth: truth.ok_or_else(|| missing("\"label\" or \"value\""))?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_or_a_list_of_them_is_read() {
        let read = |value| items(value, 2).unwrap();
        let truth = Truth::Label("late".to_owned());
        let item = Item { id: "a".to_owned(), row: 0, truth };
        assert_eq!(read(json!({ "id": "a", "label": "late" })), vec![item.clone()]);
        let other = Item { id: "b".to_owned(), row: 3, truth: Truth::Value(-2.5) };
        assert_eq!(
            read(json!([{ "id": "a", "label": "late" }, { "id": "b", "row": 3, "value": -2.5 }])),
            [item, other]
        );
        for three in [json!(3), json!(3.0)] {
            let item = &read(json!([{ "id": "a", "label": three, "row": three }]))[0];
            assert_eq!((&item.truth, item.row), (&Truth::Label("3".to_owned()), 3));
        }
        assert_eq!(read(json!([{ "id": "a", "label": "b", "row": 1e300 }]))[0].row, usize::MAX);
        assert_eq!(read(json!([])), []);
    }

    #[test]
    fn what_is_no_item_is_named() {
        let check = |value, expected: &str| assert_eq!(items(value, 1).unwrap_err().to_string(), expected);
        check(json!(3), "feedback: expected an object, or a list of them, got another value");
        check(json!([{}, {}]), "feedback: expected at most 1 items, got more");
        check(json!([3]), "feedback[0]: expected an object, got another value");
        check(json!([{ "label": "x" }]), "feedback[0]: expected \"id\", got nothing");
        check(json!([{ "id": "x" }]), "feedback[0]: expected \"label\" or \"value\", got nothing");
        check(
            json!({ "id": "x", "label": "a", "value": 1 }),
            "feedback: expected one of \"label\" and \"value\", got both",
        );
        check(json!({ "id": 7 }), "feedback.id: expected the x-request-id of a prediction's answer, got another value");
        check(json!({ "id": "x", "row": -1 }), "feedback.row: expected the number of a row, from 0, got another value");
        check(json!({ "id": "x", "label": 1.5 }), "feedback.label: expected the name of a class, got another value");
        check(json!({ "id": "x", "value": "1" }), "feedback.value: expected a number, got another value");
        check(
            json!({ "id": "x", "who": "1" }),
            "feedback.who: expected one of id, row, label, value, got an unknown member",
        );
    }
}
