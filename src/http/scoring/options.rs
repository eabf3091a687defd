//! What the scoring containers' platforms have a say in.

use super::MultiModel;

/// Which model is asked where a path names none, and under which paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScoringOptions {
    /// The model; `None` is the only one that is served.
    pub default_model: Option<String>,
    /// One more path for what `/invocations` answers.
    pub predict_route: Option<String>,
    /// One more path for what `/ping` answers.
    pub health_route: Option<String>,
    /// Whether this is a multi-model endpoint of SageMaker's.
    pub multi_model: Option<MultiModel>,
}

impl ScoringOptions {
    /// The route that is asked for under another `path`.
    pub(in crate::http) fn route(&self, path: &str) -> Option<&'static str> {
        if self.predict_route.as_deref() == Some(path) {
            return Some("/invocations");
        }
        (self.health_route.as_deref() == Some(path)).then_some("/ping")
    }
}
