//! `text/csv`: the names of the columns in the first line, a row in each other one. An empty cell is missing.

use csv_core::{ReadRecordResult, Reader};
use serde::de::value::Error;

use super::cell::Cell;
use super::frame::{COLUMNS_MAX, Frame};
use crate::http::json::{DecodeLimits, Faults};
use crate::http::v1::Plan;
use crate::model::Mismatch;
use crate::tensor::NamedTensor;

/// Reads a body.
///
/// # Errors
/// [`Mismatch`], its path from `csv` on.
pub(super) fn decode(body: &[u8], plan: &Plan<'_>, limits: &DecodeLimits) -> Result<Vec<NamedTensor>, Mismatch> {
    let faults = Faults::new(false);
    let read = rows(body, plan, limits, &faults);
    read.map_err(|error| {
        let found = faults.take().unwrap_or_else(|| Mismatch::new("", "a table", error.to_string()));
        Mismatch { path: format!("csv{}", found.path), ..found }
    })
}

fn rows(body: &[u8], plan: &Plan<'_>, limits: &DecodeLimits, faults: &Faults) -> Result<Vec<NamedTensor>, Error> {
    let mut records = Records::new(body);
    let names = match records.next(faults)? {
        Some(record) => record.map(|name| Ok(text(name, faults)?.trim().to_owned())).collect::<Result<_, Error>>()?,
        None => return Err(faults.raise("a line with the names of the columns", "nothing")),
    };
    let mut frame = Frame::new(plan, names, limits).map_err(|mismatch| faults.raise_mismatch::<Error>(mismatch))?;
    loop {
        let row = frame.n_rows();
        let within = |error| faults.within(|| format!("[{row}]"), error);
        let Some(record) = records.next(faults).map_err(within)? else { return frame.into_tensors(faults) };
        read_row(&mut frame, record, faults).map_err(within)?;
    }
}

fn read_row<'a>(
    frame: &mut Frame<'_>,
    record: impl ExactSizeIterator<Item = &'a [u8]>,
    faults: &Faults,
) -> Result<(), Error> {
    let (n_cells, n_columns) = (record.len(), frame.n_columns());
    frame.start_row::<Error>(faults)?;
    for (at, bytes) in record.enumerate().take(n_columns) {
        if let Some(dtype) = frame.dtype(at) {
            let read = text(bytes, faults).and_then(|text| frame.read(faults, at, Cell::of_text(text, dtype)));
            read?;
        }
    }
    frame.end_row(faults, n_cells)
}

fn text<'a>(bytes: &'a [u8], faults: &Faults) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|_| faults.raise("text in UTF-8", "other bytes"))
}

/// The records of a text, one at a time. What a record takes is bounded by the body and by the most columns.
struct Records<'a> {
    reader: Reader,
    rest: &'a [u8],
    /// The values of a record without their quotes, one behind the other,
    values: Vec<u8>,
    /// and where each ends.
    ends: Vec<usize>,
}

impl<'a> Records<'a> {
    fn new(body: &'a [u8]) -> Self {
        Self { reader: Reader::new(), rest: body, values: vec![0; 256], ends: vec![0; 64] }
    }

    /// The values of the next record; `None` at the end. Empty lines are none.
    fn next(&mut self, faults: &Faults) -> Result<Option<impl ExactSizeIterator<Item = &[u8]>>, Error> {
        let (mut n_bytes, mut n_ends) = (0, 0);
        loop {
            let Self { reader, rest, values, ends } = self;
            let (result, n_read, n_written, n_ended) = match (values.get_mut(n_bytes..), ends.get_mut(n_ends..)) {
                (Some(values), Some(ends)) => reader.read_record(rest, values, ends),
                _ => return Err(faults.raise("a table", "another text")),
            };
            *rest = rest.get(n_read..).unwrap_or_default();
            (n_bytes, n_ends) = (n_bytes + n_written, n_ends + n_ended);
            match result {
                // The end is told by nothing more to read.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => values.resize(values.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if COLUMNS_MAX <= ends.len() => {
                    return Err(faults.raise(format!("at most {COLUMNS_MAX} columns"), "more"));
                }
                ReadRecordResult::OutputEndsFull => ends.resize(COLUMNS_MAX.min(ends.len() * 4), 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        let ends = self.ends.get(..n_ends).unwrap_or_default();
        let values = &self.values;
        let value = move |at: usize| {
            let start = at.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
            ends.get(at).and_then(|end| values.get(start..*end)).unwrap_or_default()
        };
        Ok(Some((0..n_ends).map(value)))
    }
}
