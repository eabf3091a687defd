//! Bodies of v1.

#[path = "../../../src/http/v1/columns.rs"]
mod columns;
#[path = "../../../src/http/v1/decode.rs"]
mod decode;
#[path = "../../../src/http/v1/plain.rs"]
mod plain;
#[path = "../../../src/http/v1/row.rs"]
mod row;
#[path = "../../../src/http/v1/rows.rs"]
mod rows;
#[path = "../../../src/http/v1/table.rs"]
mod table;
#[path = "../../../src/http/v1/target.rs"]
mod target;

pub use decode::{Decoded, decode};
pub(in crate::http) use columns::ColumnsSeed;
pub(in crate::http) use row::NamedSeed;
pub(in crate::http) use rows::RowsSeed;
pub(in crate::http) use table::{Extras, Table, stray};
pub(in crate::http) use target::{Plan, Target};
