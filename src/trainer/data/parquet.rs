//! Parquet, row by row over the used columns (flat schemas).

use std::fs::File;
use std::sync::Arc;

use parquet::basic::{LogicalType, TimeUnit};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;

use super::DataError;
use super::builder::{Builder, Place};
use super::format_time;

/// Appends the rows of `source` to `builder`. Values are read as the text that CSV would have, so that one row has one
/// digest in both forms.
pub(super) fn read(source: File, file: &str, builder: &mut Builder) -> Result<(), DataError> {
    let broken = |error: ParquetError| DataError::Form { file: file.to_owned(), message: error.to_string() };
    let reader = SerializedFileReader::new(source).map_err(broken)?;
    let schema = reader.metadata().file_metadata().schema();
    let columns = builder.column_names();
    let mut fields: Vec<Arc<Type>> = Vec::new();
    let mut nanoseconds = vec![false; columns.len()];
    for (column, nanoseconds) in columns.iter().zip(&mut nanoseconds) {
        let field = schema.get_fields().iter().find(|field| field.name() == column);
        let field = field.ok_or_else(|| DataError::NoColumn {
            file: file.to_owned(),
            column: column.clone(),
            available: schema.get_fields().iter().map(|field| field.name()).collect::<Vec<_>>().join(", "),
        })?;
        if !field.is_primitive() {
            let message = format!("column {column:?}: expected one value a row, got a list or a structure");
            return Err(DataError::Form { file: file.to_owned(), message });
        }
        *nanoseconds = is_in_nanoseconds(field);
        if fields.iter().all(|known| known.name() != field.name()) {
            fields.push(Arc::clone(field));
        }
    }
    let projection = Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(broken)?;
    let rows = reader.get_row_iter(Some(projection)).map_err(broken)?;
    let mut texts = vec![String::new(); columns.len()];
    for (index, row) in rows.enumerate() {
        let row = row.map_err(broken)?;
        for (name, field) in row.get_column_iter() {
            for (place, _) in columns.iter().enumerate().filter(|(_, column)| *column == name) {
                texts[place] = text_of(field, nanoseconds[place]);
            }
        }
        let place = Place { file, line: index as u64 + 1 };
        builder.push(texts.iter().map(String::as_bytes), place)?;
    }
    Ok(())
}

/// The reader gives these as plain numbers.
fn is_in_nanoseconds(field: &Type) -> bool {
    match field.get_basic_info().logical_type_ref() {
        Some(LogicalType::Timestamp(kind)) => kind.unit == TimeUnit::NANOS,
        _ => false,
    }
}

fn text_of(field: &Field, is_in_nanoseconds: bool) -> String {
    match field {
        Field::Long(nanos) if is_in_nanoseconds => format_time(nanos.div_euclid(1_000_000_000)),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned(),
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Bool(value) => u8::from(*value).to_string(),
        Field::Date(days) => format_time(i64::from(*days) * 86_400),
        Field::TimestampMillis(millis) => format_time(millis.div_euclid(1_000)),
        Field::TimestampMicros(micros) => format_time(micros.div_euclid(1_000_000)),
        Field::Float(value) => value.to_string(),
        Field::Double(value) => value.to_string(),
        other => other.to_string(),
    }
}
