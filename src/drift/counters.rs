//! Counts live rows on the hot path: no lock, no allocation, nothing shared between worker threads.
//!
//! Each worker owns a shard of plain atomics, which it alone writes (a load and a store, no locked instruction); a snapshot
//! sums the shards. Edges lie edge-major, so that one value of every feature is compared with its edge at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::builder::level_name;
use super::counts::{ColumnCounts, Counts, scale, z_score};
use super::prediction::{PredictionSource, whole};
use super::profile::{CategoricalReference, ColumnProfile, NumericReference, Profile, Reference};
use super::{DriftError, PREDICTION};
use crate::model::{Checked, FeatureKind, Signature};
use crate::tensor::{Data, Tensor};

/// Numeric columns that are compared together.
const LANES: usize = 32;
/// Rows that are gathered together: `BLOCK * LANES` values stay in the first-level cache.
const BLOCK: usize = 8;
/// Cells of padding around a shard, so that no two workers write to one cache line.
const PADDING: usize = 16;
/// Cells of a column behind its bins.
const STATES: usize = 7;

/// The live counts of one version's columns.
#[derive(Debug)]
pub struct Counters {
    groups: Vec<Group>,
    levels: Vec<LevelColumn>,
    prediction: Option<PredictionSource>,
    layout: Vec<Cells>,
    shards: Vec<Box<[AtomicU64]>>,
}

/// Where the cells of a column begin in a shard, and how many of them are bins.
#[derive(Debug, Clone, Copy)]
struct Cells {
    start: usize,
    n_bins: usize,
}

/// Places of a column's states behind its bins.
#[derive(Debug, Clone, Copy)]
enum State {
    Missing,
    Invalid,
    BelowMin,
    AboveMax,
    Unseen,
    SumZ,
    SumZ2,
}

impl Cells {
    fn state(self, state: State) -> usize {
        self.start + self.n_bins + state as usize
    }

    fn end(self) -> usize {
        self.start + self.n_bins + STATES
    }
}

/// Where a column's values are.
#[derive(Debug, Clone, Copy)]
struct Source {
    /// Of the outputs rather than the inputs.
    is_output: bool,
    tensor: usize,
    column: usize,
}

/// Up to [`LANES`] numeric columns.
#[derive(Debug)]
struct Group {
    lanes: Vec<(Source, Cells)>,
    /// Row `k` holds the `k`-th edge of each lane; infinite where it has fewer.
    edges: Vec<[f64; LANES]>,
    /// The reference's range; NaN, which nothing is inside of or beyond, where it has no values.
    min: [f64; LANES],
    max: [f64; LANES],
    mean: [f64; LANES],
    scale: [f64; LANES],
}

/// A categorical column: which cell a level is counted in.
#[derive(Debug)]
struct LevelColumn {
    /// `None` for the prediction's class.
    source: Option<Source>,
    cells: Cells,
    by_name: HashMap<String, Bin>,
    by_number: HashMap<i64, Bin>,
    by_bits: HashMap<u64, Bin>,
    /// By place in the signature's classes.
    by_class: Vec<Bin>,
    unknown: Bin,
}

/// What a level is counted as.
#[derive(Debug, Clone, Copy)]
struct Bin {
    index: usize,
    is_unseen: bool,
}

impl Counters {
    /// Counters at zero for the columns of `profile`, with a shard for each of `n_shards` worker threads.
    ///
    /// # Errors
    /// [`DriftError::Unfit`] where a column is not a feature of `signature` (or its prediction), or of another kind.
    pub fn new(profile: &Profile, signature: &Signature, n_shards: usize) -> Result<Self, DriftError> {
        let prediction = PredictionSource::new(signature);
        let mut next = PADDING;
        let (mut layout, mut numeric, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        for column in profile.columns() {
            let cells = Cells { start: next, n_bins: column.counts().len() };
            next = cells.end();
            layout.push(cells);
            let source = find(column, signature, prediction.as_ref())?;
            match (&column.reference, source) {
                (Reference::Numeric(reference), Some(source)) => numeric.push((source, cells, reference)),
                (Reference::Numeric(_), None) => {}
                (Reference::Categorical(reference), source) => {
                    levels.push(LevelColumn::new(source, cells, reference, &signature.classes));
                }
            }
        }
        let shard = || (0..next + PADDING + 1).map(|_| AtomicU64::new(0)).collect();
        Ok(Self {
            groups: numeric.chunks(LANES).map(Group::new).collect(),
            levels,
            prediction,
            layout,
            shards: (0..n_shards.max(1)).map(|_| shard()).collect(),
        })
    }

    /// Counts a batch that was answered: its inputs, and the outputs in the signature's order. Each worker thread passes
    /// a `shard` of its own (counted from 0); two that share one lose counts, nothing more.
    pub fn observe(&self, shard: usize, inputs: &Checked, outputs: &[Tensor]) {
        let Some(cells) = self.shards.get(shard % self.shards.len()) else { return };
        self.observe_numbers(cells, inputs, outputs);
        for column in &self.levels {
            match (column.source, &self.prediction) {
                (Some(source), _) => column.observe(cells, source, inputs),
                (None, Some(prediction)) => column.observe_classes(cells, prediction, inputs.n_rows(), outputs),
                (None, None) => {}
            }
        }
        add(cells, PADDING - 1, inputs.n_rows() as u64);
    }

    /// In the widest form that this processor has; each gives the same bits.
    fn observe_numbers(&self, cells: &[AtomicU64], inputs: &Checked, outputs: &[Tensor]) {
        #[cfg(target_arch = "x86_64")]
        {
            #[expect(unsafe_code, reason = "code for instructions that not every processor has")]
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                // SAFETY: this processor has them.
                return unsafe { observe_avx512(&self.groups, cells, inputs, outputs) };
            }
            #[expect(unsafe_code, reason = "code for instructions that not every processor has")]
            if is_x86_feature_detected!("avx2") {
                // SAFETY: this processor has them.
                return unsafe { observe_avx2(&self.groups, cells, inputs, outputs) };
            }
        }
        observe_groups(&self.groups, cells, inputs, outputs);
    }

    /// The sums over all shards. Workers count on meanwhile, so columns may be apart by the rows in flight.
    pub fn snapshot(&self) -> Counts {
        let sum = |cell: usize| self.cell(cell).map(|cell| cell.load(Relaxed)).sum::<u64>();
        let sum_f64 = |cell: usize| self.cell(cell).map(|cell| f64::from_bits(cell.load(Relaxed))).sum::<f64>();
        let column = |cells: &Cells| ColumnCounts {
            bins: (cells.start..cells.start + cells.n_bins).map(sum).collect(),
            missing: sum(cells.state(State::Missing)),
            invalid: sum(cells.state(State::Invalid)),
            below_min: sum(cells.state(State::BelowMin)),
            above_max: sum(cells.state(State::AboveMax)),
            unseen: sum(cells.state(State::Unseen)),
            sum_z: sum_f64(cells.state(State::SumZ)),
            sum_z2: sum_f64(cells.state(State::SumZ2)),
        };
        Counts { rows: sum(PADDING - 1), columns: self.layout.iter().map(column).collect() }
    }

    fn cell(&self, cell: usize) -> impl Iterator<Item = &AtomicU64> {
        self.shards.iter().filter_map(move |shard| shard.get(cell))
    }
}

/// Where the values of `column` are: `None` for a class of the prediction.
fn find(
    column: &ColumnProfile,
    signature: &Signature,
    prediction: Option<&PredictionSource>,
) -> Result<Option<Source>, DriftError> {
    let unfit = |expected: &str| DriftError::Unfit { column: column.name.clone(), expected: expected.to_owned() };
    let is_numeric = matches!(column.reference, Reference::Numeric(_));
    if column.name == PREDICTION {
        return match prediction {
            Some(PredictionSource::Number { output, column }) if is_numeric => {
                Ok(Some(Source { is_output: true, tensor: *output, column: *column }))
            }
            Some(source) if !is_numeric && !source.is_numeric() => Ok(None),
            _ => Err(unfit("the kind of the signature's prediction")),
        };
    }
    let Some((_, feature)) = signature.feature(&column.name) else {
        return Err(unfit("the name of a feature"));
    };
    if (feature.kind == FeatureKind::Numeric) != is_numeric {
        return Err(unfit("the kind of the signature's feature"));
    }
    let tensor = signature.inputs.iter().position(|spec| spec.name == feature.input);
    let tensor = tensor.ok_or_else(|| unfit("a feature of an input"))?;
    Ok(Some(Source { is_output: false, tensor, column: feature.column }))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn observe_avx512(groups: &[Group], cells: &[AtomicU64], inputs: &Checked, outputs: &[Tensor]) {
    observe_groups(groups, cells, inputs, outputs);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn observe_avx2(groups: &[Group], cells: &[AtomicU64], inputs: &Checked, outputs: &[Tensor]) {
    observe_groups(groups, cells, inputs, outputs);
}

#[inline(always)]
fn observe_groups(groups: &[Group], cells: &[AtomicU64], inputs: &Checked, outputs: &[Tensor]) {
    for group in groups {
        group.observe(cells, inputs, outputs);
    }
}

impl Group {
    fn new(columns: &[(Source, Cells, &NumericReference)]) -> Self {
        let n_edges = columns.iter().map(|(_, _, reference)| reference.edges.len()).max().unwrap_or(0);
        let mut group = Self {
            lanes: columns.iter().map(|&(source, cells, _)| (source, cells)).collect(),
            edges: vec![[f64::INFINITY; LANES]; n_edges],
            min: [f64::NAN; LANES],
            max: [f64::NAN; LANES],
            mean: [0.0; LANES],
            scale: [0.0; LANES],
        };
        for (lane, (_, _, reference)) in columns.iter().enumerate() {
            for (row, &edge) in group.edges.iter_mut().zip(&reference.edges) {
                row[lane] = edge;
            }
            if let Some((min, max)) = reference.range {
                (group.min[lane], group.max[lane]) = (min, max);
            }
            (group.mean[lane], group.scale[lane]) = (reference.mean, scale(reference.sd));
        }
        group
    }

    #[inline(always)]
    fn observe(&self, cells: &[AtomicU64], inputs: &Checked, outputs: &[Tensor]) {
        let mut values = [[0.0_f64; LANES]; BLOCK];
        let (mut sum_z, mut sum_z2) = ([0.0; LANES], [0.0; LANES]);
        for start in (0..inputs.n_rows()).step_by(BLOCK) {
            let rows = &mut values[..(inputs.n_rows() - start).min(BLOCK)];
            for (lane, (source, _)) in self.lanes.iter().enumerate() {
                let tensors = if source.is_output { outputs } else { inputs.tensors() };
                gather(tensors.get(source.tensor), source.column, start, lane, rows);
            }
            for row in rows.iter() {
                self.count(cells, row);
                self.sum(row, &mut sum_z, &mut sum_z2);
            }
        }
        for (lane, (_, column)) in self.lanes.iter().enumerate() {
            add_f64(cells, column.state(State::SumZ), sum_z[lane]);
            add_f64(cells, column.state(State::SumZ2), sum_z2[lane]);
        }
    }

    #[inline(always)]
    fn count(&self, cells: &[AtomicU64], row: &[f64; LANES]) {
        let mut bins = [0_u64; LANES];
        for edges in &self.edges {
            for lane in 0..LANES {
                bins[lane] += u64::from(edges[lane] < row[lane]);
            }
        }
        for (lane, (_, column)) in self.lanes.iter().enumerate() {
            let value = row[lane];
            #[expect(clippy::cast_possible_truncation, reason = "a bin is a small number")]
            let bin = column.start + bins[lane] as usize;
            if self.min[lane] <= value && value <= self.max[lane] {
                add(cells, bin, 1);
            } else {
                self.count_unusual(cells, lane, value, bin);
            }
        }
    }

    /// Counts a value that is not inside the reference's range.
    #[cold]
    fn count_unusual(&self, cells: &[AtomicU64], lane: usize, value: f64, bin: usize) {
        let Some((_, column)) = self.lanes.get(lane) else { return };
        if value.is_nan() {
            add(cells, column.state(State::Missing), 1);
        } else if value.is_infinite() {
            add(cells, column.state(State::Invalid), 1);
        } else {
            add(cells, bin, 1);
            if value < self.min[lane] {
                add(cells, column.state(State::BelowMin), 1);
            } else if self.max[lane] < value {
                add(cells, column.state(State::AboveMax), 1);
            }
        }
    }

    #[inline(always)]
    fn sum(&self, row: &[f64; LANES], sum_z: &mut [f64; LANES], sum_z2: &mut [f64; LANES]) {
        for lane in 0..LANES {
            // A value that is not finite stands at the mean: it adds nothing.
            let value = if row[lane].abs() < f64::INFINITY { row[lane] } else { self.mean[lane] };
            let z = z_score(value, self.mean[lane], self.scale[lane]);
            sum_z[lane] += z;
            sum_z2[lane] += z * z;
        }
    }
}

/// Copies value `column` of each row from `start` on to `lane` of `rows`; NaN where there is none.
fn gather(tensor: Option<&Tensor>, column: usize, start: usize, lane: usize, rows: &mut [[f64; LANES]]) {
    let Some(tensor) = tensor else {
        rows.iter_mut().for_each(|row| row[lane] = f64::NAN);
        return;
    };
    let stride = tensor.row_len();
    let first = start * stride + column;
    let places = (first..).step_by(stride.max(1));
    match tensor.data() {
        Data::Fp32(values) => {
            for (row, at) in rows.iter_mut().zip(places) {
                row[lane] = values.get(at).map_or(f64::NAN, |&value| f64::from(value));
            }
        }
        Data::Fp64(values) => {
            for (row, at) in rows.iter_mut().zip(places) {
                row[lane] = values.get(at).copied().unwrap_or(f64::NAN);
            }
        }
        data => {
            for (row, at) in rows.iter_mut().zip(places) {
                row[lane] = data.as_f64(at).unwrap_or(f64::NAN);
            }
        }
    }
}

impl LevelColumn {
    fn new(source: Option<Source>, cells: Cells, reference: &CategoricalReference, classes: &[String]) -> Self {
        let other = reference.levels.len();
        let unknown = Bin { index: other, is_unseen: !reference.rest_cut };
        let known = reference.levels.iter().enumerate().map(|(index, level)| (level, Bin { index, is_unseen: false }));
        let rest = reference.rest.iter().map(|level| (level, Bin { index: other, is_unseen: false }));
        let by_name: HashMap<String, Bin> = known.chain(rest).map(|(level, bin)| (level.clone(), bin)).collect();
        let numbers = by_name.iter().filter_map(|(level, &bin)| Some((level.parse().ok()?, bin)));
        let by_number = numbers.collect();
        let is_canonical = |level: &str, value: f64| level_name(value) == level;
        let floats = by_name.iter().filter_map(|(level, &bin)| {
            let value = level.parse::<f64>().ok().filter(|&value| is_canonical(level, value))?;
            Some((value.to_bits(), bin))
        });
        let by_bits = floats.collect();
        let class = |class: &String| by_name.get(class).copied().unwrap_or(unknown);
        let by_class = classes.iter().map(class).collect();
        Self { source, cells, by_bits, by_number, by_class, by_name, unknown }
    }

    fn observe(&self, cells: &[AtomicU64], source: Source, inputs: &Checked) {
        let Some(tensor) = inputs.tensors().get(source.tensor) else { return };
        let stride = tensor.row_len();
        let places = (0..inputs.n_rows()).map(|row| row * stride + source.column);
        match tensor.data() {
            Data::String(values) => {
                for value in places.map(|at| values.get(at).map_or("", String::as_str)) {
                    self.count(cells, (!value.is_empty()).then(|| self.by_name.get(value).copied()));
                }
            }
            Data::Int64(values) => {
                for value in places.map(|at| values.get(at)) {
                    self.count(cells, value.map(|value| self.by_number.get(value).copied()));
                }
            }
            data => {
                for value in places.map(|at| data.as_f64(at).filter(|value| !value.is_nan())) {
                    self.count(cells, value.map(|value| self.number(value)));
                }
            }
        }
    }

    fn observe_classes(&self, cells: &[AtomicU64], source: &PredictionSource, n_rows: usize, outputs: &[Tensor]) {
        for row in 0..n_rows {
            let class = source.class_index(outputs, row);
            self.count(cells, Some(class.and_then(|class| self.by_class.get(class).copied())));
        }
    }

    fn number(&self, value: f64) -> Option<Bin> {
        match whole(value) {
            Some(number) => self.by_number.get(&number).copied(),
            None => self.by_bits.get(&value.to_bits()).copied(),
        }
    }

    /// Counts one value: `None` is missing, `Some(None)` a level that the reference does not have.
    fn count(&self, cells: &[AtomicU64], value: Option<Option<Bin>>) {
        let Some(bin) = value else {
            add(cells, self.cells.state(State::Missing), 1);
            return;
        };
        let bin = bin.unwrap_or(self.unknown);
        add(cells, self.cells.start + bin.index, 1);
        if bin.is_unseen {
            add(cells, self.cells.state(State::Unseen), 1);
        }
    }
}

/// Adds to a cell that only this thread writes: a load and a store, not a locked instruction.
fn add(cells: &[AtomicU64], cell: usize, more: u64) {
    if let Some(cell) = cells.get(cell) {
        cell.store(cell.load(Relaxed).wrapping_add(more), Relaxed);
    }
}

fn add_f64(cells: &[AtomicU64], cell: usize, more: f64) {
    if let Some(cell) = cells.get(cell) {
        cell.store((f64::from_bits(cell.load(Relaxed)) + more).to_bits(), Relaxed);
    }
}

#[cfg(test)]
#[path = "counters_tests.rs"]
mod tests;
