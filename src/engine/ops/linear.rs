pub(super) use crate::engine::ml::linear::post_targets;
