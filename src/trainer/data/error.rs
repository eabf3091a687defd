//! What can be wrong with the data.

use std::io;
use std::path::PathBuf;

/// Why data files cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A pattern matches nothing.
    #[error("no data file matches {pattern:?} in {}; check [data] files", folder.display())]
    NoFiles {
        /// The pattern or name.
        pattern: String,
        /// The folder it is relative to.
        folder: PathBuf,
    },
    /// The header lacks a column.
    #[error("{file}: expected a column {column:?}, got {available}; correct the name where it is wrong")]
    NoColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The columns that are there.
        available: String,
    },
    /// The header has a column twice.
    #[error("{file}: the header has column {column:?} twice; each name must be there once")]
    ColumnTwice {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// A value cannot be read.
    #[error("{file}, line {line}, column {column:?}: expected {expected}, got {got}")]
    Value {
        /// The file.
        file: String,
        /// The line, from 1 (of Parquet: the row, from 1).
        line: u64,
        /// The column.
        column: String,
        /// What was expected.
        expected: String,
        /// What was there.
        got: String,
    },
    /// A line has another number of values than the header.
    #[error("{file}, line {line}: expected {expected} values as in the header, got {got}")]
    Width {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// Values in the header.
        expected: u64,
        /// Values in the line.
        got: u64,
    },
    /// A file ends where it should not, or its compression is broken.
    #[error("{file}: cannot be read to its end: {message}; is it cut short? Copy it again")]
    Broken {
        /// The file.
        file: String,
        /// What the decoder says.
        message: String,
    },
    /// A file is broken in its own form.
    #[error("{file}: {message}")]
    Form {
        /// The file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A categorical column has too many levels.
    #[error("{file}: column {column:?} has more than {max} different values; is it an identifier? Leave it out")]
    Levels {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The limit.
        max: usize,
    },
    /// There are too many rows.
    #[error("more than {max} rows; train on fewer files")]
    TooManyRows {
        /// The limit.
        max: usize,
    },
    /// There are no rows.
    #[error("the data files have no rows")]
    NoRows,
    /// A Parquet file came to a build that cannot read it.
    #[error("{file}: this build cannot read Parquet; build with `--features parquet`, or write CSV")]
    NoParquet {
        /// The file.
        file: String,
    },
}

/// At most 40 characters of a value, quoted, for a message.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.is_empty() {
        return "an empty value".to_owned();
    }
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { format!("{short:?}...") } else { format!("{short:?}") }
}
