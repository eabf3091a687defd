//! Turns the text of rows into a [`Table`], whatever file form it comes from.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::model::FeatureKind;

use super::error::quoted;
use super::time::parse_time;
use super::{
    Categories, Column, DataError, LEVELS_MAX, LabelKind, MISSING_LEVEL, ROWS_MAX, Schema, Table, stable_hash,
};

/// What a used column is read as.
enum Role {
    Numeric(Vec<f32>),
    Categorical(Levels),
    Number(Vec<f32>),
    Class { levels: Levels, closed: bool },
    Time(Vec<i64>),
    Id(Vec<u64>),
    Weight(Vec<f32>),
}

/// A categorical column under construction.
#[derive(Default)]
struct Levels {
    codes: Vec<u32>,
    levels: Vec<String>,
    index: HashMap<Vec<u8>, u32>,
}

/// One used column: its name and the values so far.
struct Reading {
    name: String,
    role: Role,
}

/// The place of a value, for messages.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) line: u64,
}

/// Collects rows.
pub(super) struct Builder {
    columns: Vec<Reading>,
    row_digests: Vec<[u8; 16]>,
}

impl Builder {
    pub(super) fn new(schema: &Schema) -> Self {
        let mut columns = Vec::new();
        for feature in &schema.features {
            let role = match feature.kind {
                FeatureKind::Numeric => Role::Numeric(Vec::new()),
                FeatureKind::Categorical => Role::Categorical(Levels::default()),
            };
            columns.push(Reading { name: feature.name.clone(), role });
        }
        if let Some((name, kind)) = &schema.label {
            let role = match kind {
                LabelKind::Number => Role::Number(Vec::new()),
                LabelKind::Classes(classes) => Role::Class { levels: Levels::known(classes), closed: true },
                LabelKind::AnyClass => Role::Class { levels: Levels::default(), closed: false },
            };
            columns.push(Reading { name: name.clone(), role });
        }
        let mut more = |name: &Option<String>, role: Role| {
            if let Some(name) = name {
                columns.push(Reading { name: name.clone(), role });
            }
        };
        more(&schema.time, Role::Time(Vec::new()));
        more(&schema.id, Role::Id(Vec::new()));
        more(&schema.weight, Role::Weight(Vec::new()));
        Self { columns, row_digests: Vec::new() }
    }

    /// The names of the used columns, in the order in which [`Self::push`] takes their values.
    pub(super) fn column_names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    pub(super) fn n_rows(&self) -> usize {
        self.row_digests.len()
    }

    /// Appends a row: the text of each used column.
    pub(super) fn push<'v>(
        &mut self,
        values: impl Iterator<Item = &'v [u8]>,
        place: Place<'_>,
    ) -> Result<(), DataError> {
        if self.row_digests.len() >= ROWS_MAX {
            return Err(DataError::TooManyRows { max: ROWS_MAX });
        }
        let mut digest = Sha256::new();
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value, place)?;
            digest.update((value.len() as u64).to_le_bytes());
            digest.update(value);
        }
        self.row_digests.push(first_half(digest));
        Ok(())
    }

    /// The table of all rows.
    pub(super) fn finish(self) -> Table {
        let mut table = Table { row_digests: self.row_digests, ..Table::default() };
        table.row_digests.shrink_to_fit();
        for column in self.columns {
            match column.role {
                Role::Numeric(values) => table.features.push(Column::Numeric(shrunk(values))),
                Role::Categorical(levels) => table.features.push(Column::Categorical(levels.finish())),
                Role::Number(values) => table.target = shrunk(values),
                Role::Class { levels, closed } => (table.target, table.classes) = levels.into_classes(closed),
                Role::Time(values) => table.times = shrunk(values),
                Role::Id(values) => table.ids = shrunk(values),
                Role::Weight(values) => table.weights = shrunk(values),
            }
        }
        table
    }
}

fn shrunk<T>(mut values: Vec<T>) -> Vec<T> {
    values.shrink_to_fit();
    values
}

fn first_half(digest: Sha256) -> [u8; 16] {
    let whole = digest.finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

impl Reading {
    fn push(&mut self, value: &[u8], place: Place<'_>) -> Result<(), DataError> {
        let name = &self.name;
        let wrong = |expected: &str| DataError::Value {
            file: place.file.to_owned(),
            line: place.line,
            column: name.clone(),
            expected: expected.to_owned(),
            got: quoted(value),
        };
        match &mut self.role {
            Role::Numeric(values) => {
                values.push(parse_f32(value).ok_or_else(|| wrong("a number (or an empty value: missing)"))?);
            }
            Role::Number(values) => {
                let number = parse_f32(value).filter(|number| number.is_finite());
                values.push(number.ok_or_else(|| wrong("a finite number: every row needs its label"))?);
            }
            Role::Weight(values) => {
                let weight = parse_f32(value).filter(|weight| weight.is_finite() && 0.0 <= *weight);
                values.push(weight.ok_or_else(|| wrong("a weight: a finite number, 0 or more"))?);
            }
            Role::Time(values) => {
                let time = std::str::from_utf8(value).ok().and_then(|text| parse_time(text).ok());
                values.push(time.ok_or_else(|| wrong("a time such as 2013-09-01T05:15"))?);
            }
            Role::Id(values) => values.push(stable_hash(value, 0)),
            Role::Categorical(levels) => {
                let code = if value.is_empty() { Some(MISSING_LEVEL) } else { levels.code(value, false) };
                let code = code.ok_or_else(|| levels.refusal(value, name, place))?;
                levels.codes.push(code);
            }
            Role::Class { levels, closed } => {
                let code = if value.is_empty() { None } else { levels.code(value, *closed) };
                let code = code.ok_or_else(|| wrong(&levels.expectation(*closed)))?;
                levels.codes.push(code);
            }
        }
        Ok(())
    }
}

impl Levels {
    fn known(levels: &[String]) -> Self {
        let mut known = Self::default();
        for level in levels {
            known.code(level.as_bytes(), false);
        }
        known
    }

    /// The code of `value`, a new one where it is not known and the set is open. `None` where the value is not UTF-8, not
    /// known in a closed set, or one too many.
    fn code(&mut self, value: &[u8], closed: bool) -> Option<u32> {
        if let Some(&code) = self.index.get(value) {
            return Some(code);
        }
        let text = std::str::from_utf8(value).ok()?;
        if closed || self.levels.len() >= LEVELS_MAX {
            return None;
        }
        let code = u32::try_from(self.levels.len()).ok()?;
        self.levels.push(text.to_owned());
        self.index.insert(value.to_vec(), code);
        Some(code)
    }

    fn refusal(&self, value: &[u8], column: &str, place: Place<'_>) -> DataError {
        let (file, column) = (place.file.to_owned(), column.to_owned());
        if self.levels.len() >= LEVELS_MAX {
            return DataError::Levels { file, column, max: LEVELS_MAX };
        }
        let (expected, got) = ("UTF-8 text".to_owned(), quoted(value));
        DataError::Value { file, line: place.line, column, expected, got }
    }

    fn expectation(&self, closed: bool) -> String {
        if closed {
            format!("one of the labels in [classes]: {}", self.levels.join(", "))
        } else {
            format!("a label (not empty, at most {LEVELS_MAX} different ones)")
        }
    }

    fn finish(mut self) -> Categories {
        self.codes.shrink_to_fit();
        Categories { codes: self.codes, levels: self.levels }
    }

    /// Targets and class values; an open set is put in the order of the text.
    #[expect(clippy::cast_precision_loss, reason = "at most 65,536 classes")]
    fn into_classes(self, closed: bool) -> (Vec<f32>, Vec<String>) {
        let mut order: Vec<usize> = (0..self.levels.len()).collect();
        if !closed {
            order.sort_by(|&a, &b| self.levels[a].cmp(&self.levels[b]));
        }
        let mut places = vec![0.0_f32; self.levels.len()];
        for (place, &code) in order.iter().enumerate() {
            places[code] = place as f32;
        }
        let target = self.codes.iter().map(|&code| places[code as usize]).collect();
        (target, order.into_iter().map(|code| self.levels[code].clone()).collect())
    }
}

/// A number; empty, `NA` and `NaN` are missing.
fn parse_f32(value: &[u8]) -> Option<f32> {
    match value {
        b"" | b"NA" => Some(f32::NAN),
        _ => std::str::from_utf8(value).ok()?.trim().parse().ok(),
    }
}
