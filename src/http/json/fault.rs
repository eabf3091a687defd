//! Faults that keep their place, expectation and finding while serde carries only text.

use std::cell::RefCell;

use serde::de;
use serde_json::error::Category;

use crate::model::Mismatch;

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not JSON.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The JSON is not what the model or the protocol takes.
    #[error(transparent)]
    BadInput(#[from] Mismatch),
}

/// Where the bytes stop being JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body is not valid JSON: {what} (line {line}, column {column})")]
pub struct Malformed {
    /// What is wrong; never a part of the body.
    pub what: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, in bytes.
    pub column: usize,
}

/// The first fault found while serde walks through a body. Its path is built from the inside out, so that good bodies pay
/// nothing for it.
#[derive(Debug)]
pub(in crate::http) struct Faults {
    found: RefCell<Option<Mismatch>>,
    has_tokens: bool,
}

impl Faults {
    /// No fault yet. `has_tokens`: bare non-finite tokens have been replaced (see `tokens`).
    pub(in crate::http) fn new(has_tokens: bool) -> Self {
        Self { found: RefCell::new(None), has_tokens }
    }

    /// Whether a fault has been found.
    pub(in crate::http) fn is_found(&self) -> bool {
        self.found.borrow().is_some()
    }

    /// Whether strings may stand for bare non-finite tokens.
    pub(super) fn has_tokens(&self) -> bool {
        self.has_tokens
    }

    /// Records that `expected` should have come instead of `got`, here.
    pub(in crate::http) fn raise<E: de::Error>(&self, expected: impl Into<String>, got: impl Into<String>) -> E {
        self.raise_at("", expected, got)
    }

    /// Records that `expected` should have come instead of `got`, at `path` from here.
    pub(in crate::http) fn raise_at<E: de::Error>(
        &self,
        path: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> E {
        self.raise_mismatch(Mismatch::new(path, expected, got))
    }

    /// Records `mismatch`, whose path starts here.
    pub(in crate::http) fn raise_mismatch<E: de::Error>(&self, mismatch: Mismatch) -> E {
        self.found.replace(Some(mismatch));
        E::custom("")
    }

    /// What has been found.
    pub(in crate::http) fn take(&self) -> Option<Mismatch> {
        self.found.take()
    }

    /// Puts `segment` before the path of the fault that `error` stands for.
    pub(in crate::http) fn within<E>(&self, segment: impl FnOnce() -> String, error: E) -> E {
        if let Some(found) = self.found.borrow_mut().as_mut() {
            found.path.insert_str(0, &segment());
        }
        error
    }

    /// What `error` stands for.
    pub(super) fn explain(&self, error: &serde_json::Error) -> DecodeError {
        if let Some(found) = self.take() {
            return found.into();
        }
        let what = match error.classify() {
            // Text of serde's own data errors can quote values.
            Category::Data => "not the form that was expected".to_owned(),
            Category::Io | Category::Syntax | Category::Eof => {
                let text = error.to_string();
                text.split(" at line ").next().unwrap_or_default().to_owned()
            }
        };
        Malformed { what, line: error.line(), column: error.column() }.into()
    }
}
