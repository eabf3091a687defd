//! The v1 form (TF Serving, KServe v1): rows by feature name or position, or columns.

mod columns;
mod decode;
pub(super) mod describe;
mod encode;
mod plain;
pub(super) mod routes;
mod row;
mod rows;
mod table;
mod target;

pub use decode::{Decoded, Form, decode};
pub use encode::{Answer, encode};

pub(super) use columns::ColumnsSeed;
pub(super) use encode::labels;
pub(super) use row::NamedSeed;
pub(super) use rows::RowsSeed;
pub(super) use table::{Extras, Table, stray};
pub(super) use target::{Plan, Target};
