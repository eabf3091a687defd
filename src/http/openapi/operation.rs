//! What a route takes and gives, beside what its row in [`ROUTES`](crate::http::ROUTES) says.

use serde_json::Value;

use crate::http::keys;
use crate::http::routes::Route;
use crate::metrics::Listener;
use crate::schema::{Described, Schemas};

/// What makes a schema.
pub(super) type Schema = fn(&mut Schemas) -> Value;

/// The schema of a type.
pub(super) fn of<T: Described>(schemas: &mut Schemas) -> Value {
    schemas.of::<T>()
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// The listener, the method and the path are those of the row in the route table.
    pub(super) listener: Listener,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Its name in clients that are generated.
    pub(super) id: &'static str,
    /// The part of the API that it belongs to.
    pub(super) tag: &'static str,
    /// What the query and the header may have.
    pub(super) fields: &'static [Field],
    pub(super) body: Option<Body>,
    /// The status of success, and what comes with it.
    pub(super) status: u16,
    pub(super) answer: Answer,
    /// Statuses of failures beside those that follow from the rest: of the head, of the path, of a body, of a token.
    pub(super) failures: &'static [u16],
    /// What failures may look like besides, where that is more or something else than the usual error.
    pub(super) error: Option<Schema>,
    /// Whether the call is an operation, which may be followed instead of waited for.
    pub(super) is_followed: bool,
}

/// A parameter in the query or in the header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) place: &'static str,
    pub(super) name: &'static str,
    pub(super) schema: Schema,
    pub(super) about: &'static str,
}

/// What a request carries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// JSON.
    Json(Schema),
    /// JSON, or nothing.
    PerhapsJson(Schema),
    /// JSON, or JSON with tensors behind it.
    Tensors(Schema),
    /// Rows as JSON, as comma-separated values or as Parquet.
    Rows(Schema),
    /// A graph.
    Graph,
}

/// What an answer carries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// JSON.
    Json(Schema),
    /// JSON, or JSON with tensors behind it.
    Tensors(Schema),
    /// Text of this type.
    Text(&'static str),
    /// Server-sent events.
    Events,
    /// No body.
    Nothing,
}

/// What a caller has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nothing.
    None,
    /// An API key.
    Key,
    /// The admin token.
    Token,
}

impl Guard {
    /// Of `route`, where API keys are asked for or not.
    pub(super) fn of(route: &Route, has_keys: bool) -> Self {
        match route.needs_token {
            true => Self::Token,
            false if has_keys && route.listener == Listener::Http && !keys::is_open(route.path) => Self::Key,
            false => Self::None,
        }
    }
}

impl Operation {
    /// An operation that gives `answer` with 200.
    pub(super) const fn new(
        (listener, method, path): (Listener, &'static str, &'static str),
        id: &'static str,
        tag: &'static str,
        answer: Answer,
    ) -> Self {
        Self {
            listener,
            method,
            path,
            id,
            tag,
            fields: &[],
            body: None,
            status: 200,
            answer,
            failures: &[],
            error: None,
            is_followed: false,
        }
    }

    pub(super) const fn takes(self, body: Body) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(super) const fn with(self, fields: &'static [Field]) -> Self {
        Self { fields, ..self }
    }

    pub(super) const fn creates(self) -> Self {
        Self { status: 201, ..self }
    }

    pub(super) const fn may_fail(self, failures: &'static [u16]) -> Self {
        Self { failures, ..self }
    }

    pub(super) const fn fails_as(self, error: Schema) -> Self {
        Self { error: Some(error), ..self }
    }

    pub(super) const fn followed(self) -> Self {
        Self { is_followed: true, ..self }
    }

    /// Every status of a failure, ascending.
    pub(super) fn statuses(&self, guard: Guard) -> Vec<u16> {
        let mut statuses = vec![400, 431, 500];
        statuses.extend(self.failures);
        if self.path.contains('{') {
            statuses.push(404);
        }
        if self.body.is_some() {
            statuses.extend([408, 413, 415]);
        }
        statuses.extend(match guard {
            Guard::None => &[] as &[u16],
            Guard::Key => &[401],
            Guard::Token => &[401, 403],
        });
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}
