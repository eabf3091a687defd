//! How much one body may ask for.

/// Limits of decoding, each by its name in the configuration. The size of the body itself is limited before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The most rows in one request.
    pub rows_max: usize,
    /// The most values, over all inputs, in one request.
    pub values_max: usize,
    /// The deepest that lists may nest.
    pub nesting_max: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { rows_max: 10_000, values_max: 16_000_000, nesting_max: 16 }
    }
}
