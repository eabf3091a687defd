//! The gudgeon binary.
fn main() {}
