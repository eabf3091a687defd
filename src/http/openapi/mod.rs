//! What each listener serves, as an OpenAPI 3.1 document at `/openapi.json` and as a page at `/docs`.
//!
//! The document is put together from the route table, from one row a route in [`operations`], and from the types that the routes
//! read and write ([`crate::schema`]). Each loaded model is there by its own name, with its features: a client that is generated
//! from the document is typed. It is made when it is asked for and kept until another version serves: no prediction waits for it.

mod document;
mod kept;
mod operation;
mod operations;
mod page;
mod values;
mod wire;

pub use kept::Documents;
pub(super) use kept::document;
pub(super) use page::page;
pub(super) use values::{Shown, any_of, nested, output_value, value_of};
