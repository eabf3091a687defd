//! What takes a body as it comes.

use bytes::Bytes;

/// Takes the parts of a body as they come.
pub(crate) trait Gather {
    /// Takes the next part.
    fn add(&mut self, part: Bytes);
}
