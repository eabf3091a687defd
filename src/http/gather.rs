//! What takes a body as it comes.

use bytes::Bytes;

use super::error::ApiError;

/// Takes the parts of a body as they come.
pub(crate) trait Gather {
    /// Takes the next part.
    ///
    /// # Errors
    /// [`ApiError`] where no more of the body is worth reading.
    fn add(&mut self, part: Bytes) -> Result<(), ApiError>;
}
