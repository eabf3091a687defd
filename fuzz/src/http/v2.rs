//! Bodies of v2.

#[path = "../../../src/http/v2/bare.rs"]
mod bare;
#[path = "../../../src/http/v2/decode.rs"]
mod decode;
#[path = "../../../src/http/v2/framed.rs"]
mod framed;
#[path = "../../../src/http/v2/parameters.rs"]
mod parameters;
#[path = "../../../src/http/v2/tensor.rs"]
mod tensor;

pub(crate) use decode::ID_CHARS_MAX;
pub use decode::{InferRequest, decode};
pub use framed::Framed;
