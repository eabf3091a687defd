//! How far a run is. The trainer does not print: who calls it shows this.

use super::fit::Algorithm;

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the data files.
    Read,
    /// Fitting; steps are boosting rounds or Newton steps.
    Fit(Algorithm),
    /// Scoring the candidates on the controlled holdout.
    Score,
    /// Writing the graph, opening it again and comparing it with the trainer on the holdout; steps are rows.
    Parity,
    /// Making the reference profile; steps are rows.
    Profile,
    /// Holding the new version against the champion.
    Gate,
    /// Writing to the registry.
    Register,
}

/// Told how far a run is.
pub trait Progress {
    /// A stage begins.
    fn begin(&mut self, stage: Stage);
    /// `done` of `total` steps of the stage are done.
    fn step(&mut self, done: usize, total: usize);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: Stage) {}

    fn step(&mut self, _: usize, _: usize) {}
}
