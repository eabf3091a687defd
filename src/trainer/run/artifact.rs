//! What a version carries beside its graph: features of the signature, golden cases, reference profile.

use std::collections::BTreeSet;

use crate::drift::{Calibrator, Profile, ProfileBuilder};
use crate::model::{Feature, FeatureKind, Golden, Signature, Tolerance};
use crate::tensor::{NamedTensor, Tensor};
use crate::trainer::TrainError;
use crate::trainer::data::{Categories, Column, MISSING_LEVEL, Table};

use super::rows::{Answering, Source};

/// Rows that a reference profile is made of at most; more are thinned out evenly.
const PROFILE_ROWS_MAX: usize = 60_000;
/// Recorded rows of each version, before those that are made up.
const GOLDEN_ROWS: usize = 17;
/// A level that no data has.
const UNSEEN: &str = "(unseen)";

/// Fills in what `rows` show about the features: levels, smallest and largest value.
pub(super) fn observe(features: &mut [Feature], source: Source<'_>, rows: &[u32]) {
    for feature in features {
        let place = source.names.iter().position(|name| *name == feature.name);
        match place.and_then(|place| source.table.features.get(place)) {
            Some(Column::Numeric(values)) if feature.kind == FeatureKind::Numeric => {
                let finite = || rows.iter().map(|&row| values[row as usize]).filter(|value| value.is_finite());
                feature.min = finite().min_by(f32::total_cmp).map(f64::from);
                feature.max = finite().max_by(f32::total_cmp).map(f64::from);
            }
            Some(Column::Categorical(categories)) if feature.kind == FeatureKind::Categorical => {
                let seen: BTreeSet<&str> = rows.iter().map(|&row| categories.level(row as usize)).collect();
                feature.levels = seen.into_iter().filter(|level| !level.is_empty()).map(str::to_owned).collect();
            }
            _ => {}
        }
    }
}

/// Every `n`th of `rows`, so that at most `max` are left.
fn thinned(rows: &[u32], max: usize) -> Vec<u32> {
    rows.iter().copied().step_by(rows.len().div_ceil(max).max(1)).collect()
}

/// The reference profile of `rows`, with the model's own predictions; calibrated where rows have times.
pub(super) fn profile(
    model: &Answering<'_>,
    source: Source<'_>,
    rows: &[u32],
    on_rows: &mut dyn FnMut(usize, usize),
) -> Result<Profile, TrainError> {
    let sample = thinned(rows, PROFILE_ROWS_MAX);
    let in_time = in_order_of_time(source.table, rows);
    let total = sample.len() + in_time.len();
    let mut builder = ProfileBuilder::new(model.signature);
    let mut done = 0;
    model.run(source, &sample, |batch, inputs, outputs| {
        builder.push(inputs, outputs);
        done += batch.len();
        on_rows(done, total);
    })?;
    let profile = builder.finish()?;
    // Every row, for a window of live rows is to be held against as many that came one after the other.
    let mut calibrator = Calibrator::new(&profile, model.signature)?;
    for step in in_time.chunks_exact(Calibrator::STEP) {
        model.run(source, step, |_, inputs, outputs| calibrator.push(inputs, outputs))?;
        done += step.len();
        on_rows(done, total);
    }
    Ok(calibrator.finish(&profile)?)
}

/// The rows from the earliest to the latest; none where they have no times.
fn in_order_of_time(table: &Table, rows: &[u32]) -> Vec<u32> {
    let mut timed: Vec<(i64, u32)> =
        rows.iter().filter_map(|&row| Some((*table.times.get(row as usize)?, row))).collect();
    timed.sort_by_key(|&(time, _)| time);
    timed.into_iter().map(|(_, row)| row).collect()
}

/// Rows to record: some of `rows`, spread evenly, then three made up of the first: every number missing, every category
/// missing, every category unseen.
pub(super) fn golden_rows(source: Source<'_>, rows: &[u32]) -> Table {
    let mut picked: Vec<u32> = thinned(rows, GOLDEN_ROWS);
    let n_recorded = picked.len();
    picked.extend(std::iter::repeat_n(picked.first().copied().unwrap_or(0), 3));
    let column = |column: &Column| match column {
        Column::Numeric(values) => {
            let mut values: Vec<f32> = picked.iter().map(|&row| values[row as usize]).collect();
            values[n_recorded] = f32::NAN;
            Column::Numeric(values)
        }
        Column::Categorical(Categories { codes, levels }) => {
            let mut levels = levels.clone();
            levels.push(UNSEEN.to_owned());
            let mut codes: Vec<u32> = picked.iter().map(|&row| codes[row as usize]).collect();
            codes[n_recorded + 1] = MISSING_LEVEL;
            codes[n_recorded + 2] = u32::try_from(levels.len() - 1).unwrap_or(MISSING_LEVEL);
            Column::Categorical(Categories { codes, levels })
        }
    };
    let features = source.table.features.iter().map(column).collect();
    Table { features, row_digests: vec![[0; 16]; picked.len()], ..Table::default() }
}

/// Golden cases of these inputs and outputs, in the order of the signature.
pub(super) fn golden(signature: &Signature, inputs: Vec<Tensor>, outputs: Vec<Tensor>) -> Golden {
    let name = |(name, tensor): (String, Tensor)| NamedTensor { name, tensor };
    let input_names = signature.inputs.iter().map(|spec| spec.name.clone());
    let output_names = signature.outputs.iter().map(|spec| spec.name.clone());
    Golden {
        tolerance: Tolerance::default(),
        inputs: input_names.zip(inputs).map(name).collect(),
        outputs: output_names.zip(outputs).map(name).collect(),
    }
}
