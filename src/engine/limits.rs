//! How large a model may be.

use serde::{Deserialize, Serialize};

/// How large a model may be, and a run of it; what is over a limit is refused before an inference library sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the file.
    pub model_bytes_max: u64,
    /// Nodes, those of inner graphs included.
    pub nodes_max: usize,
    /// Inputs, and outputs, of the graph; inputs of one node.
    pub arity_max: usize,
    /// Initializers of one graph.
    pub initializers_max: usize,
    /// Axes of one tensor.
    pub rank_max: usize,
    /// Size of one axis.
    pub dim_max: u64,
    /// Graphs inside graphs.
    pub nesting_max: usize,
    /// Values that a run of the native engine may hold at once.
    pub run_values_max: usize,
    /// Keys of a map that the graph takes.
    pub map_keys_max: usize,
    /// Bytes of a name, of a dimension's name included.
    pub name_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            model_bytes_max: 1 << 30,
            nodes_max: 20_000,
            arity_max: 4_096,
            initializers_max: 100_000,
            rank_max: 16,
            dim_max: (1 << 31) - 1,
            nesting_max: 8,
            run_values_max: 1 << 28,
            map_keys_max: 1 << 16,
            name_bytes_max: 256,
        }
    }
}
