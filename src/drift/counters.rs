//! Counts live rows on the hot path without an allocation.
//!
//! Each worker has a tally of its own; [`Counters`] says where each value is counted in it. Rows are counted in blocks: what comes
//! one by one is only copied until there are enough. Edges lie edge-major, so that one value of every feature is compared with its
//! edge at once.

use std::collections::HashMap;

use super::builder::level_name;
use super::counts::{ColumnCounts, Counts, scale, z_score};
use super::prediction::{PredictionSource, whole};
use super::profile::{CategoricalReference, ColumnProfile, NumericReference, Profile, Reference};
use super::{DriftError, PREDICTION};
use crate::model::{Checked, FeatureKind, Signature};
use crate::tensor::{Data, Tensor};

/// Numeric columns that are compared together.
const LANES: usize = 32;
/// Rows that are counted together: `BLOCK * LANES` values stay in the first-level cache.
const BLOCK: usize = 8;
/// The cell of the rows.
const ROWS: usize = 0;
/// Cells of a column behind its bins.
const STATES: usize = 7;

/// Where the live rows of one version are counted.
#[derive(Debug)]
pub struct Counters {
    groups: Vec<Group>,
    levels: Vec<LevelColumn>,
    prediction: Option<PredictionSource>,
    layout: Vec<Cells>,
    n_cells: usize,
}

/// One worker's counts.
#[derive(Debug)]
pub struct Tally {
    cells: Box<[u64]>,
    gathered: Gathered,
}

/// Values of numeric columns that are not counted yet.
#[derive(Debug)]
struct Gathered {
    n_rows: usize,
    /// By group.
    blocks: Box<[Block]>,
}

type Block = [[f64; LANES]; BLOCK];

/// Where the cells of a column begin, and how many of them are bins.
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

/// Lanes from `lane` on that take neighbouring columns from `source` on.
#[derive(Debug)]
struct Run {
    source: Source,
    lane: usize,
    n_lanes: usize,
}

/// Up to [`LANES`] numeric columns.
#[derive(Debug)]
struct Group {
    lanes: Vec<Cells>,
    runs: Vec<Run>,
    /// Row `k` holds the `k`-th edge of each lane; infinite where it has fewer.
    edges: Vec<[f64; LANES]>,
    /// The reference's range; NaN, which nothing is inside of or beyond, where it has no values. Lanes without a column take
    /// everything.
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
    /// Counters for the columns of `profile`.
    ///
    /// # Errors
    /// [`DriftError::Unfit`] where a column is not a feature of `signature` (or its prediction), or of another kind.
    pub fn new(profile: &Profile, signature: &Signature) -> Result<Self, DriftError> {
        let prediction = PredictionSource::new(signature);
        let mut next = ROWS + 1;
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
        let groups = numeric.chunks(LANES).map(Group::new).collect();
        Ok(Self { groups, levels, prediction, layout, n_cells: next })
    }

    /// Nothing counted yet.
    pub fn tally(&self) -> Tally {
        let blocks = self.groups.iter().map(|_| [[0.0; LANES]; BLOCK]).collect();
        Tally { cells: vec![0; self.n_cells].into(), gathered: Gathered { n_rows: 0, blocks } }
    }

    /// Counts a batch that was answered: its inputs, and the outputs in the signature's order. Gives back how many rows have been
    /// counted in full by now that had not been before the call: a block's, whenever there is one.
    pub fn observe(&self, tally: &mut Tally, inputs: &Checked, outputs: &[Tensor]) -> usize {
        let Tally { cells, gathered } = tally;
        for column in &self.levels {
            match (column.source, &self.prediction) {
                (Some(source), _) => column.observe(cells, source, inputs),
                (None, Some(prediction)) => column.observe_classes(cells, prediction, inputs.n_rows(), outputs),
                (None, None) => {}
            }
        }
        add(cells, ROWS, inputs.n_rows() as u64);
        let n_before = gathered.n_rows;
        Numbers { groups: &self.groups, cells, gathered, inputs, outputs }.in_widest_form();
        n_before + inputs.n_rows() - gathered.n_rows
    }

    /// What `tally` has counted.
    pub fn counts(&self, tally: &mut Tally) -> Counts {
        let Tally { cells, gathered } = tally;
        count_gathered(&self.groups, cells, gathered);
        let cell = |cell: usize| cells.get(cell).copied().unwrap_or(0);
        let column = |column: &Cells| ColumnCounts {
            bins: (column.start..column.start + column.n_bins).map(cell).collect(),
            missing: cell(column.state(State::Missing)),
            invalid: cell(column.state(State::Invalid)),
            below_min: cell(column.state(State::BelowMin)),
            above_max: cell(column.state(State::AboveMax)),
            unseen: cell(column.state(State::Unseen)),
            sum_z: f64::from_bits(cell(column.state(State::SumZ))),
            sum_z2: f64::from_bits(cell(column.state(State::SumZ2))),
        };
        Counts { rows: cell(ROWS), columns: self.layout.iter().map(column).collect() }
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

/// A batch whose numeric columns are to be counted.
struct Numbers<'a> {
    groups: &'a [Group],
    cells: &'a mut [u64],
    gathered: &'a mut Gathered,
    inputs: &'a Checked,
    outputs: &'a [Tensor],
}

impl Numbers<'_> {
    /// In the widest form that this processor has; each gives the same bits.
    fn in_widest_form(self) {
        #[cfg(target_arch = "x86_64")]
        {
            #[expect(unsafe_code, reason = "code for instructions that not every processor has")]
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                // SAFETY: this processor has them.
                return unsafe { self.avx512() };
            }
            #[expect(unsafe_code, reason = "code for instructions that not every processor has")]
            if is_x86_feature_detected!("avx2") {
                // SAFETY: this processor has them.
                return unsafe { self.avx2() };
            }
        }
        self.observe();
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn avx512(self) {
        self.observe();
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn avx2(self) {
        self.observe();
    }

    #[inline(always)]
    fn observe(self) {
        let Self { groups, cells, gathered, inputs, outputs } = self;
        let n_rows = inputs.n_rows();
        let mut start = 0;
        while start < n_rows {
            let end = n_rows.min(start + BLOCK - gathered.n_rows);
            for (group, block) in groups.iter().zip(&mut gathered.blocks) {
                let rows = &mut block[gathered.n_rows..][..end - start];
                for run in &group.runs {
                    let tensors = if run.source.is_output { outputs } else { inputs.tensors() };
                    run.gather(tensors.get(run.source.tensor), start, rows);
                }
            }
            gathered.n_rows += end - start;
            start = end;
            if gathered.n_rows == BLOCK {
                count_gathered(groups, cells, gathered);
            }
        }
    }
}

#[inline(always)]
fn count_gathered(groups: &[Group], cells: &mut [u64], gathered: &mut Gathered) {
    for (group, block) in groups.iter().zip(&gathered.blocks) {
        group.count_block(cells, &block[..gathered.n_rows]);
    }
    gathered.n_rows = 0;
}

impl Run {
    /// Copies the values of each row from `start` on to `rows`; NaN where there are none.
    #[inline(always)]
    fn gather(&self, tensor: Option<&Tensor>, start: usize, rows: &mut [[f64; LANES]]) {
        let stride = tensor.map_or(0, Tensor::row_len);
        let lanes = self.lane..self.lane + self.n_lanes;
        for (at, row) in rows.iter_mut().enumerate() {
            let row = &mut row[lanes.clone()];
            let first = (start + at) * stride + self.source.column;
            let places = first..first + self.n_lanes;
            match tensor.map(Tensor::data) {
                Some(Data::Fp32(values)) if places.end <= values.len() => {
                    row.iter_mut().zip(&values[places]).for_each(|(lane, &value)| *lane = f64::from(value));
                }
                Some(Data::Fp64(values)) if places.end <= values.len() => row.copy_from_slice(&values[places]),
                Some(data) => {
                    row.iter_mut().zip(places).for_each(|(lane, at)| *lane = data.as_f64(at).unwrap_or(f64::NAN));
                }
                None => row.fill(f64::NAN),
            }
        }
    }
}

impl Group {
    fn new(columns: &[(Source, Cells, &NumericReference)]) -> Self {
        let n_edges = columns.iter().map(|(_, _, reference)| reference.edges.len()).max().unwrap_or(0);
        let mut group = Self {
            lanes: columns.iter().map(|&(_, cells, _)| cells).collect(),
            runs: runs(columns.iter().map(|&(source, ..)| source)),
            edges: vec![[f64::INFINITY; LANES]; n_edges],
            min: [f64::NEG_INFINITY; LANES],
            max: [f64::INFINITY; LANES],
            mean: [0.0; LANES],
            scale: [0.0; LANES],
        };
        for (lane, (_, _, reference)) in columns.iter().enumerate() {
            for (row, &edge) in group.edges.iter_mut().zip(&reference.edges) {
                row[lane] = edge;
            }
            (group.min[lane], group.max[lane]) = reference.range.unwrap_or((f64::NAN, f64::NAN));
            (group.mean[lane], group.scale[lane]) = (reference.mean, scale(reference.sd));
        }
        group
    }

    #[inline(always)]
    fn count_block(&self, cells: &mut [u64], rows: &[[f64; LANES]]) {
        let (mut sum_z, mut sum_z2) = ([0.0; LANES], [0.0; LANES]);
        for row in rows {
            self.count(cells, row);
            self.sum(row, &mut sum_z, &mut sum_z2);
        }
        for (lane, column) in self.lanes.iter().enumerate() {
            add_f64(cells, column.state(State::SumZ), sum_z[lane]);
            add_f64(cells, column.state(State::SumZ2), sum_z2[lane]);
        }
    }

    #[inline(always)]
    fn count(&self, cells: &mut [u64], row: &[f64; LANES]) {
        // Sums of floats keep their order, so the compiler compares all lanes with an edge at once, and not a lane with all edges.
        let mut sums = [COUNT_BASE; LANES];
        for edges in &self.edges {
            for lane in 0..LANES {
                sums[lane] += if edges[lane] < row[lane] { 1.0 } else { 0.0 };
            }
        }
        let mut is_usual = true;
        for ((value, min), max) in row.iter().zip(&self.min).zip(&self.max) {
            is_usual &= (min <= value) & (value <= max);
        }
        if is_usual {
            for (column, sum) in self.lanes.iter().zip(&sums) {
                add(cells, column.start + counted(*sum), 1);
            }
        } else {
            self.count_one_by_one(cells, row, &sums);
        }
    }

    /// Counts a row of which some value is not inside its reference's range.
    #[inline(never)]
    fn count_one_by_one(&self, cells: &mut [u64], row: &[f64; LANES], sums: &[f64; LANES]) {
        for (lane, column) in self.lanes.iter().enumerate() {
            let (value, bin) = (row[lane], column.start + counted(sums[lane]));
            if self.min[lane] <= value && value <= self.max[lane] {
                add(cells, bin, 1);
            } else {
                self.count_unusual(cells, lane, value, bin);
            }
        }
    }

    /// Counts a value that is not inside the reference's range.
    fn count_unusual(&self, cells: &mut [u64], lane: usize, value: f64, bin: usize) {
        let Some(column) = self.lanes.get(lane) else { return };
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

/// The lanes of `sources`, one each, as runs of neighbours.
fn runs(sources: impl Iterator<Item = Source>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (lane, source) in sources.enumerate() {
        let follows = |run: &&mut Run| {
            let first = run.source;
            (first.is_output, first.tensor, first.column + run.n_lanes)
                == (source.is_output, source.tensor, source.column)
        };
        match runs.last_mut().filter(follows) {
            Some(run) => run.n_lanes += 1,
            None => runs.push(Run { source, lane, n_lanes: 1 }),
        }
    }
    runs
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

    fn observe(&self, cells: &mut [u64], source: Source, inputs: &Checked) {
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

    fn observe_classes(&self, cells: &mut [u64], source: &PredictionSource, n_rows: usize, outputs: &[Tensor]) {
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
    fn count(&self, cells: &mut [u64], value: Option<Option<Bin>>) {
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

/// 2^52, a float from which on whole numbers can be counted up: its bits count up with it.
const COUNT_BASE: f64 = 4_503_599_627_370_496.0;

/// How often 1 was added to [`COUNT_BASE`].
#[expect(clippy::cast_possible_truncation, reason = "a bin is a small number")]
fn counted(sum: f64) -> usize {
    sum.to_bits().wrapping_sub(COUNT_BASE.to_bits()) as usize
}

fn add(cells: &mut [u64], cell: usize, more: u64) {
    if let Some(cell) = cells.get_mut(cell) {
        *cell = cell.wrapping_add(more);
    }
}

fn add_f64(cells: &mut [u64], cell: usize, more: f64) {
    if let Some(cell) = cells.get_mut(cell) {
        *cell = (f64::from_bits(*cell) + more).to_bits();
    }
}

#[cfg(test)]
#[path = "counters_tests.rs"]
mod tests;
