//! Numeric columns, counted side by side: a column has a lane, and [`LANES`] of them are compared with their edges at once.
//!
//! Rows are counted in blocks: what comes one by one is only copied until there are enough. Nothing is looked up: how many values
//! lie above each edge says how many lie between two of them. All counts are floats, which hold whole numbers up to 2^53: sums of
//! floats keep their order, so the compiler adds lane by lane, where it would turn sums of whole numbers inside out.

use super::counters::Source;
use super::counts::{ColumnCounts, scale, z_score};
use super::profile::NumericReference;
use crate::model::Checked;
use crate::tensor::{Data, Tensor};

/// Numeric columns that are compared together.
pub(super) const LANES: usize = 32;
/// Rows that are counted together: `BLOCK * LANES` values stay in the first-level cache.
pub(super) const BLOCK: usize = 8;

/// One value a column.
type Lanes = [f64; LANES];
type Block = [Lanes; BLOCK];

/// Up to [`LANES`] numeric columns.
#[derive(Debug)]
pub(super) struct Group {
    runs: Vec<Run>,
    /// The `k`-th edge of each lane; infinite where it has fewer.
    edges: Vec<Lanes>,
    /// The reference's range; NaN, which nothing is inside of or beyond, where it has no values. Lanes without a column take
    /// everything.
    min: Lanes,
    max: Lanes,
    mean: Lanes,
    scale: Lanes,
}

/// Lanes from `lane` on that take neighbouring columns from `source` on.
#[derive(Debug)]
struct Run {
    source: Source,
    lane: usize,
    n_lanes: usize,
}

/// One worker's counts of all groups, and the rows that it has not counted yet.
#[derive(Debug)]
pub(super) struct Gathered {
    n_rows: usize,
    /// By group.
    parts: Box<[(Block, Sums)]>,
}

/// One worker's counts of a group.
#[derive(Debug)]
struct Sums {
    /// Values above the `k`-th edge.
    above: Vec<Lanes>,
    finite: Lanes,
    missing: Lanes,
    infinite: Lanes,
    below_min: Lanes,
    above_max: Lanes,
    z: Lanes,
    z2: Lanes,
}

impl Gathered {
    pub(super) fn new(groups: &[Group]) -> Self {
        Self { n_rows: 0, parts: groups.iter().map(|group| ([[0.0; LANES]; BLOCK], group.sums())).collect() }
    }

    /// Counts a batch. Gives back how many rows have been counted by now that had not been before: a block's, whenever there is
    /// one.
    pub(super) fn observe(&mut self, groups: &[Group], inputs: &Checked, outputs: &[Tensor]) -> usize {
        let n_rows = self.n_rows + inputs.n_rows();
        Numbers { groups, gathered: self, inputs, outputs }.in_widest_form();
        n_rows - self.n_rows
    }

    /// Counts the rows that wait for their block to be full.
    #[inline(always)]
    pub(super) fn count(&mut self, groups: &[Group]) {
        for (group, (block, sums)) in groups.iter().zip(&mut self.parts) {
            group.count(sums, &mut block[..self.n_rows]);
        }
        self.n_rows = 0;
    }

    /// What was counted of a column.
    pub(super) fn column(&self, group: usize, lane: usize, n_bins: usize) -> ColumnCounts {
        let Some((_, sums)) = self.parts.get(group) else { return ColumnCounts::default() };
        let above = |edge: usize| sums.above.get(edge).map_or(0.0, |above| above[lane]);
        // A bin's values are above the edge before it, and not above the one behind it.
        let bin = |at: usize| at.checked_sub(1).map_or(sums.finite[lane], above) - above(at);
        ColumnCounts {
            bins: (0..n_bins).map(|at| counted(bin(at))).collect(),
            missing: counted(sums.missing[lane]),
            invalid: counted(sums.infinite[lane]),
            below_min: counted(sums.below_min[lane]),
            above_max: counted(sums.above_max[lane]),
            unseen: 0,
            sum_z: sums.z[lane],
            sum_z2: sums.z2[lane],
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count is a whole number of 0 or more")]
fn counted(sum: f64) -> u64 {
    sum as u64
}

/// A batch whose numeric columns are to be counted.
struct Numbers<'a> {
    groups: &'a [Group],
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
        let Self { groups, gathered, inputs, outputs } = self;
        let n_rows = inputs.n_rows();
        let mut start = 0;
        while start < n_rows {
            let end = n_rows.min(start + BLOCK - gathered.n_rows);
            for (group, (block, _)) in groups.iter().zip(&mut gathered.parts) {
                let rows = &mut block[gathered.n_rows..][..end - start];
                for run in &group.runs {
                    let tensors = if run.source.is_output { outputs } else { inputs.tensors() };
                    run.gather(tensors.get(run.source.tensor), start, rows);
                }
            }
            gathered.n_rows += end - start;
            start = end;
            if gathered.n_rows == BLOCK {
                gathered.count(groups);
            }
        }
    }
}

impl Run {
    /// Copies the values of each row from `start` on to `rows`; NaN where there are none.
    #[inline(always)]
    fn gather(&self, tensor: Option<&Tensor>, start: usize, rows: &mut [Lanes]) {
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
    pub(super) fn new(columns: &[(Source, &NumericReference)]) -> Self {
        let n_edges = columns.iter().map(|(_, reference)| reference.edges.len()).max().unwrap_or(0);
        let mut group = Self {
            runs: runs(columns.iter().map(|&(source, _)| source)),
            edges: vec![[f64::INFINITY; LANES]; n_edges],
            min: [f64::NEG_INFINITY; LANES],
            max: [f64::INFINITY; LANES],
            mean: [0.0; LANES],
            scale: [0.0; LANES],
        };
        for (lane, (_, reference)) in columns.iter().enumerate() {
            for (row, &edge) in group.edges.iter_mut().zip(&reference.edges) {
                row[lane] = edge;
            }
            (group.min[lane], group.max[lane]) = reference.range.unwrap_or((f64::NAN, f64::NAN));
            (group.mean[lane], group.scale[lane]) = (reference.mean, scale(reference.sd));
        }
        group
    }

    fn sums(&self) -> Sums {
        let nothing = [0.0; LANES];
        Sums {
            above: vec![nothing; self.edges.len()],
            finite: nothing,
            missing: nothing,
            infinite: nothing,
            below_min: nothing,
            above_max: nothing,
            z: nothing,
            z2: nothing,
        }
    }

    #[inline(always)]
    fn count(&self, sums: &mut Sums, rows: &mut [Lanes]) {
        if self.are_usual(rows) {
            let n_rows = rows.iter().fold(0.0, |n_rows, _| n_rows + 1.0);
            sums.finite.iter_mut().for_each(|finite| *finite += n_rows);
        } else {
            self.count_unusual(sums, rows);
        }
        for (edges, above) in self.edges.iter().zip(&mut sums.above) {
            let mut more = *above;
            for row in rows.iter() {
                for lane in 0..LANES {
                    more[lane] += if edges[lane] < row[lane] { 1.0 } else { 0.0 };
                }
            }
            *above = more;
        }
        let (mut sum, mut sum_of_squares) = ([0.0; LANES], [0.0; LANES]);
        for row in rows.iter() {
            for lane in 0..LANES {
                // What is not finite is NaN by now, and stands at the mean: it adds nothing.
                let value = if row[lane].is_nan() { self.mean[lane] } else { row[lane] };
                let z = z_score(value, self.mean[lane], self.scale[lane]);
                sum[lane] += z;
                sum_of_squares[lane] += z * z;
            }
        }
        for lane in 0..LANES {
            sums.z[lane] += sum[lane];
            sums.z2[lane] += sum_of_squares[lane];
        }
    }

    /// Whether all values are inside the reference's range.
    #[inline(always)]
    fn are_usual(&self, rows: &[Lanes]) -> bool {
        let mut are_usual = true;
        for row in rows {
            for ((value, min), max) in row.iter().zip(&self.min).zip(&self.max) {
                are_usual &= (min <= value) & (value <= max);
            }
        }
        are_usual
    }

    /// Counts what is missing, infinite or beyond the reference's range, and makes NaN of all that is not finite: it is above no
    /// edge.
    #[inline(always)]
    fn count_unusual(&self, sums: &mut Sums, rows: &mut [Lanes]) {
        let one_if = |is: bool| if is { 1.0 } else { 0.0 };
        for row in rows {
            for (lane, place) in row.iter_mut().enumerate() {
                let value = *place;
                sums.missing[lane] += one_if(value.is_nan());
                sums.infinite[lane] += one_if(value.is_infinite());
                sums.finite[lane] += one_if(value.is_finite());
                let value = if value.is_finite() { value } else { f64::NAN };
                sums.below_min[lane] += one_if(value < self.min[lane]);
                sums.above_max[lane] += one_if(self.max[lane] < value);
                *place = value;
            }
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
