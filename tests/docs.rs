//! The documentation, held against the code that it speaks of.
//!
//! Tables that the code can give are generated: `UPDATE_DOCS=1 cargo test --test docs` writes them. Tables with words of their
//! own are held to the names in the code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod docs {
    mod page;

    mod alerts;
    mod formats;
    mod references;
    mod refusals;
    mod repository;
    mod routes;
}
