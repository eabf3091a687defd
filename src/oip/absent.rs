//! The parts of Triton's protocol that this server does not have, and what there is instead: "this server has no ...".

/// The shared memory extensions.
pub const SHARED_MEMORY: &str = "shared memory: send tensors with the request";
/// The trace extension.
pub const TRACES: &str = "trace settings: its metrics and its log say what became of requests";
/// The logging extension.
pub const LOG_SETTINGS: &str = "log settings that change while it runs: GUDGEON_LOG says at its start what is logged";

/// What a path of these extensions asks for; `None` for any other path.
pub fn of_path(path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("/v2/")?;
    match rest.split('/').next()? {
        "systemsharedmemory" | "cudasharedmemory" => Some(SHARED_MEMORY),
        "trace" => Some(TRACES),
        "logging" => Some(LOG_SETTINGS),
        "models" if rest.ends_with("/trace/setting") => Some(TRACES),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_what_is_not_there_are_known() {
        assert_eq!(of_path("/v2/systemsharedmemory/region/a/register"), Some(SHARED_MEMORY));
        assert_eq!(of_path("/v2/cudasharedmemory/status"), Some(SHARED_MEMORY));
        assert_eq!(of_path("/v2/trace/setting"), Some(TRACES));
        assert_eq!(of_path("/v2/models/m/trace/setting"), Some(TRACES));
        assert_eq!(of_path("/v2/logging"), Some(LOG_SETTINGS));
        for other in ["/v2", "/v2/models/trace", "/v1/logging", "/v2/x"] {
            assert_eq!(of_path(other), None, "{other}");
        }
    }
}
