//! `application/vnd.apache.parquet`: a flat file, a value a column and row. What it says of its size is looked at before any of it
//! is unpacked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde::de::value::Error;

use super::cell::Cell;
use super::frame::Frame;
use super::pages;
use crate::http::json::{DecodeLimits, Faults};
use crate::http::v1::Plan;
use crate::model::Mismatch;
use crate::tensor::NamedTensor;

/// The most bytes that the columns which the model takes may have when they are unpacked.
const UNPACKED_BYTES_MAX: u64 = 256 << 20;

/// Reads a body.
///
/// # Errors
/// [`Mismatch`], its path from `parquet` on.
pub(super) fn decode(body: &Bytes, plan: &Plan<'_>, limits: &DecodeLimits) -> Result<Vec<NamedTensor>, Mismatch> {
    let faults = Faults::new(false);
    // The library takes bytes that nobody vouches for; where it does not refuse them but panics, it is the bytes' fault too.
    let read = catch_unwind(AssertUnwindSafe(|| rows(body, plan, limits, &faults)));
    let read = read.unwrap_or_else(|_| Err(faults.raise("a Parquet file", "a broken one")));
    read.map_err(|_| {
        let found = faults.take().unwrap_or_else(|| Mismatch::new("", "a Parquet file", "a broken one"));
        Mismatch { path: format!("parquet{}", found.path), ..found }
    })
}

fn rows(body: &Bytes, plan: &Plan<'_>, limits: &DecodeLimits, faults: &Faults) -> Result<Vec<NamedTensor>, Error> {
    let broken = |_: ParquetError| faults.raise::<Error>("a Parquet file", "a broken one");
    let reader = SerializedFileReader::new(body.clone()).map_err(broken)?;
    let metadata = reader.metadata();
    let n_rows = usize::try_from(metadata.file_metadata().num_rows()).unwrap_or(usize::MAX);
    let rows_max = plan.rows_max(limits);
    if rows_max < n_rows {
        return Err(faults.raise(format!("at most {rows_max} rows"), "more"));
    }
    let fields = metadata.file_metadata().schema().get_fields();
    let names = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut frame = Frame::new(plan, names, limits).map_err(|mismatch| faults.raise_mismatch::<Error>(mismatch))?;
    let places: Vec<usize> = (0..fields.len()).filter(|at| frame.dtype(*at).is_some()).collect();
    let wanted: Vec<Arc<Type>> = places.iter().filter_map(|at| fields.get(*at)).map(Arc::clone).collect();
    if let Some(nested) = wanted.iter().find(|field| !field.is_primitive()) {
        let path = format!(".{}", crate::http::json::clip(nested.name()));
        return Err(faults.raise_at(path, "one value a row", "a list or a structure"));
    }
    check_size(body, metadata, (&wanted, faults))?;
    let schema = metadata.file_metadata().schema().name();
    let projection = Type::group_type_builder(schema).with_fields(wanted).build().map_err(broken)?;
    for row in reader.get_row_iter(Some(projection)).map_err(broken)? {
        let (row, at) = (row.map_err(broken)?, frame.n_rows());
        read_row(&mut frame, &row, (&places, faults)).map_err(|error| faults.within(|| format!("[{at}]"), error))?;
    }
    frame.into_tensors(faults)
}

/// Refuses a file of which the `wanted` columns say to be too large when they are unpacked.
fn check_size(
    body: &Bytes,
    metadata: &ParquetMetaData,
    (wanted, faults): (&[Arc<Type>], &Faults),
) -> Result<(), Error> {
    let is_wanted = |column: &&ColumnChunkMetaData| {
        wanted.iter().any(|field| column.column_path().parts().first().is_some_and(|name| name == field.name()))
    };
    let mut left = UNPACKED_BYTES_MAX;
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns).filter(is_wanted) {
        let (start, len) = column.byte_range();
        let range = usize::try_from(start).ok().zip(usize::try_from(len).ok());
        let chunk = range.and_then(|(start, len)| body.get(start..start.checked_add(len)?));
        let n_bytes = chunk.and_then(pages::unpacked_bytes);
        let n_bytes = n_bytes.ok_or_else(|| faults.raise::<Error>("a Parquet file", "a broken one"))?;
        left = left.checked_sub(n_bytes).ok_or_else(|| {
            faults.raise::<Error>(format!("at most {UNPACKED_BYTES_MAX} bytes when it is unpacked"), "more")
        })?;
    }
    Ok(())
}

fn read_row(frame: &mut Frame<'_>, row: &Row, (places, faults): (&[usize], &Faults)) -> Result<(), Error> {
    frame.start_row::<Error>(faults)?;
    for ((_, field), at) in row.get_column_iter().zip(places) {
        let cell = match field {
            Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).ok().map(Cell::Text),
            other => cell(other),
        };
        let cell = cell.ok_or_else(|| faults.raise::<Error>("numbers, booleans or text in UTF-8", "another type"))?;
        frame.read(faults, *at, cell)?;
    }
    frame.end_row(faults, frame.n_columns())
}

/// A value of the types that a model may take.
fn cell(field: &Field) -> Option<Cell<'_>> {
    Some(match field {
        Field::Null => Cell::Missing,
        Field::Bool(value) => Cell::Bool(*value),
        Field::Byte(value) => Cell::Signed((*value).into()),
        Field::Short(value) => Cell::Signed((*value).into()),
        Field::Int(value) => Cell::Signed((*value).into()),
        Field::Long(value) => Cell::Signed(*value),
        Field::UByte(value) => Cell::Unsigned((*value).into()),
        Field::UShort(value) => Cell::Unsigned((*value).into()),
        Field::UInt(value) => Cell::Unsigned((*value).into()),
        Field::ULong(value) => Cell::Unsigned(*value),
        Field::Float16(value) => Cell::of_float(value.to_f64()),
        Field::Float(value) => Cell::of_float((*value).into()),
        Field::Double(value) => Cell::of_float(*value),
        Field::Str(text) => Cell::Text(text),
        _ => return None,
    })
}
