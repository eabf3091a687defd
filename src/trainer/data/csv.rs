//! CSV with a header, plain or gzip.

use std::io::Read;

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::DataError;
use super::builder::{Builder, Place};

/// Appends the rows of `source` to `builder`.
pub(super) fn read(source: impl Read, file: &str, builder: &mut Builder) -> Result<(), DataError> {
    let mut reader = ReaderBuilder::new().buffer_capacity(64 << 10).from_reader(source);
    let header = reader.byte_headers().map_err(|error| translate(file, &error))?.clone();
    let places = places(&header, &builder.column_names(), file)?;
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| translate(file, &error))? {
        let line = record.position().map_or(0, csv::Position::line);
        let values = places.iter().map(|&place| record.get(place).unwrap_or_default());
        builder.push(values, Place { file, line })?;
    }
    Ok(())
}

/// The names in the header.
pub(super) fn header(source: impl Read, file: &str) -> Result<Vec<String>, DataError> {
    let mut reader = ReaderBuilder::new().from_reader(source);
    let header = reader.byte_headers().map_err(|error| translate(file, &error))?;
    Ok(header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// Where each used column is in the header.
fn places(header: &ByteRecord, columns: &[String], file: &str) -> Result<Vec<usize>, DataError> {
    let place = |column: &String| {
        let mut hits = header.iter().enumerate().filter(|(_, name)| *name == column.as_bytes());
        match (hits.next(), hits.next()) {
            (Some((place, _)), None) => Ok(place),
            (Some(_), Some(_)) => Err(DataError::ColumnTwice { file: file.to_owned(), column: column.clone() }),
            (None, _) => Err(no_column(file, column, header)),
        }
    };
    columns.iter().map(place).collect()
}

fn no_column(file: &str, column: &str, header: &ByteRecord) -> DataError {
    let names: Vec<_> = header.iter().take(50).map(String::from_utf8_lossy).collect();
    let available = if names.is_empty() { "no header".to_owned() } else { names.join(", ") };
    DataError::NoColumn { file: file.to_owned(), column: column.to_owned(), available }
}

fn translate(file: &str, error: &csv::Error) -> DataError {
    let file = file.to_owned();
    match error.kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            DataError::Width { file, line, expected: *expected_len, got: *len }
        }
        ErrorKind::Io(error) => DataError::Broken { file, message: error.to_string() },
        _ => DataError::Form { file, message: error.to_string() },
    }
}
