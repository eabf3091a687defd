//! Every route there is: what is served, what the documentation lists and what the tests walk.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{MethodRouter, get, post};
use http::HeaderMap;

use super::{AppState, admin, openapi, probes, scoring, v1, v2};
use crate::metrics::Listener;

/// One route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The listener that serves it.
    pub listener: Listener,
    /// The method; HEAD goes with GET.
    pub method: &'static str,
    /// The path, `{name}` standing for a segment or the part of it before a verb.
    pub path: &'static str,
    /// Whether it wants the admin token.
    pub needs_token: bool,
    /// What it is for.
    pub purpose: &'static str,
}

impl Route {
    /// The path without its verb: what the router matches.
    pub fn pattern(&self) -> &'static str {
        match self.path.rsplit_once(":") {
            Some((pattern, _)) => pattern,
            None => self.path,
        }
    }

    /// Whether it answers `path`, whatever the method.
    fn has(&self, path: &str) -> bool {
        let is_it = |(pattern, segment): (&str, &str)| match pattern
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
        {
            // A verb is no part of a name.
            Some((_, "")) => !segment.is_empty() && !segment.contains(':'),
            Some((_, verb)) => segment.strip_suffix(verb).is_some_and(|name| !name.is_empty() && !name.contains(':')),
            None => pattern == segment,
        };
        let (patterns, segments) = (self.path.split('/'), path.split('/'));
        patterns.clone().count() == segments.clone().count() && patterns.zip(segments).all(is_it)
    }
}

/// The methods that `path` takes on a listener, for the `Allow` field; `None` where it is not there.
pub(super) fn allowed(listener: Listener, path: &str) -> Option<&'static str> {
    let its = || ROUTES.iter().filter(|route| route.listener == listener && route.has(path));
    match (its().any(|route| route.method == "GET"), its().any(|route| route.method == "POST")) {
        (true, true) => Some("GET, HEAD, POST"),
        (true, false) => Some("GET, HEAD"),
        (false, true) => Some("POST"),
        (false, false) => None,
    }
}

const fn public(method: &'static str, path: &'static str, purpose: &'static str) -> Route {
    Route { listener: Listener::Http, method, path, needs_token: false, purpose }
}

const fn ops(method: &'static str, path: &'static str, purpose: &'static str) -> Route {
    Route { listener: Listener::Ops, method, path, needs_token: false, purpose }
}

const fn admin(method: &'static str, path: &'static str, purpose: &'static str) -> Route {
    Route { listener: Listener::Ops, method, path, needs_token: true, purpose }
}

/// Every route of both HTTP listeners.
pub const ROUTES: &[Route] = &[
    public("GET", "/", "The process runs, as KServe's clients of the v1 form ask."),
    public("GET", "/livez", "The process runs."),
    public("GET", "/readyz", "Requests should be sent here."),
    public("GET", "/ping", "The default model is ready, as MLflow and SageMaker ask."),
    public("GET", "/health", "The same."),
    public("GET", "/version", "The version of this server."),
    public("POST", "/invocations", "A prediction by the default model, in MLflow's forms."),
    public("GET", "/openapi.json", "This listener's routes and the models' own forms, as an OpenAPI 3.1 document."),
    public("GET", "/docs", "The same as a page to read and to try."),
    public("GET", "/v1/models", "The models by name."),
    public("GET", "/v1/models/{model}", "The versions in memory, as TF Serving tells them."),
    public("GET", "/v1/models/{model}/metadata", "What the active version takes and gives."),
    public("GET", "/v1/models/{model}/versions/{version}", "One version in memory."),
    public("GET", "/v1/models/{model}/versions/{version}/metadata", "What one version takes and gives."),
    public("GET", "/v1/models/{model}/labels/{alias}", "The version in memory under an alias."),
    public("GET", "/v1/models/{model}/labels/{alias}/metadata", "What the version under an alias takes and gives."),
    public("POST", "/v1/models/{model}:predict", "A prediction by the active version."),
    public("POST", "/v1/models/{model}:feedback", "What really happened, by the ids of predictions."),
    public("POST", "/v1/models/{model}/versions/{version}:predict", "A prediction by one version."),
    public("POST", "/v1/models/{model}/labels/{alias}:predict", "A prediction by the version under an alias."),
    public("GET", "/v2", "The server, as the Open Inference Protocol tells it."),
    public("GET", "/v2/health/live", "The process runs."),
    public("GET", "/v2/health/ready", "Every model is ready."),
    public("GET", "/v2/models/{model}", "What the active version takes and gives."),
    public("GET", "/v2/models/stats", "How often each version in memory answered, and where the time went."),
    public("GET", "/v2/models/{model}/ready", "The model is ready."),
    public("GET", "/v2/models/{model}/config", "The active version's configuration, in Triton's form."),
    public("GET", "/v2/models/{model}/stats", "How often the active version answered, and where the time went."),
    public("POST", "/v2/models/{model}/infer", "A prediction by the active version."),
    public("GET", "/v2/models/{model}/versions/{version}", "What one version takes and gives."),
    public("GET", "/v2/models/{model}/versions/{version}/ready", "The version is in memory."),
    public("GET", "/v2/models/{model}/versions/{version}/config", "One version's configuration."),
    public("GET", "/v2/models/{model}/versions/{version}/stats", "How often one version answered."),
    public("POST", "/v2/models/{model}/versions/{version}/infer", "A prediction by one version."),
    public("POST", "/v2/repository/index", "The versions in memory, with their state."),
    ops("GET", "/livez", "The process runs."),
    ops("GET", "/readyz", "Requests should be sent here."),
    ops("GET", "/metrics", "Everything that is counted, in Prometheus' text form."),
    ops("GET", "/openapi.json", "This listener's routes, as an OpenAPI 3.1 document."),
    ops("GET", "/docs", "The same as a page to read and to try."),
    admin("GET", "/admin/models", "Every model with its versions."),
    admin("GET", "/admin/models/{model}", "One model with its versions."),
    admin("POST", "/admin/models/{model}:activate", "Makes a version the active one."),
    admin("POST", "/admin/models/{model}:rollback", "Makes the version before the active one."),
    admin("POST", "/admin/models/{model}:prune", "Removes the oldest versions."),
    admin("POST", "/admin/models/{model}:challenge", "Tries a version on live requests."),
    admin("POST", "/admin/models/{model}:withdraw", "Takes the challenger back."),
    admin("GET", "/admin/models/{model}/challenger", "How the challenger compares with the active version."),
    admin("GET", "/admin/models/{model}/history", "What was done to the model's versions."),
    admin("GET", "/admin/models/{model}/drift", "How the live rows differ from the training data."),
    admin("POST", "/admin/models/{model}/versions", "Registers a graph as a new version."),
    admin("GET", "/admin/models/{model}/versions/{version}", "One version with its manifest."),
    admin("POST", "/admin/models/{model}/versions/{version}:verify", "Tries a version out."),
    admin("POST", "/v2/repository/index", "The versions in memory, with their state."),
    admin("POST", "/v2/repository/models/{model}/load", "Takes a model up into memory."),
    admin("POST", "/v2/repository/models/{model}/unload", "Takes a model out of memory."),
    admin("GET", "/admin/operations", "What this server was asked to do."),
    admin("GET", "/admin/operations/{id}", "One operation."),
    admin("GET", "/admin/operations/{id}/events", "The steps of an operation as they come."),
];

/// What answers a method on a pattern of a listener. Paths that differ in their verb alone share one.
fn handler(listener: Listener, method: &str, pattern: &str) -> Option<MethodRouter<Arc<AppState>>> {
    Some(match (method, pattern) {
        ("GET", "/") => get(probes::alive),
        ("GET", "/livez") => get(probes::live),
        ("GET", "/readyz") => get(probes::ready),
        ("GET", "/metrics") => get(probes::metrics),
        ("GET", "/ping" | "/health") => get(scoring::routes::ping),
        ("GET", "/version") => get(scoring::routes::version),
        ("POST", "/invocations") => post(scoring::routes::invocations),
        ("GET", "/openapi.json") => get(async move |State(state): State<Arc<AppState>>, headers: HeaderMap| {
            openapi::document(listener, &state, &headers)
        }),
        ("GET", "/docs") => get(openapi::page),
        ("GET", "/v1/models") => get(v1::routes::models),
        ("GET", "/v1/models/{model}") => get(v1::routes::model),
        ("GET", "/v1/models/{model}/metadata") => get(v1::routes::metadata),
        ("GET", "/v1/models/{model}/versions/{version}") => get(v1::routes::version),
        ("GET", "/v1/models/{model}/versions/{version}/metadata") => get(v1::routes::version_metadata),
        ("GET", "/v1/models/{model}/labels/{alias}") => get(v1::routes::alias),
        ("GET", "/v1/models/{model}/labels/{alias}/metadata") => get(v1::routes::alias_metadata),
        ("POST", "/v1/models/{model}") => post(v1::routes::predict),
        ("POST", "/v1/models/{model}/versions/{version}") => post(v1::routes::predict_version),
        ("POST", "/v1/models/{model}/labels/{alias}") => post(v1::routes::predict_alias),
        ("GET", "/v2") => get(v2::routes::server),
        ("GET", "/v2/health/live") => get(v2::routes::live),
        ("GET", "/v2/health/ready") => get(v2::routes::ready),
        ("GET", "/v2/models/{model}") => get(v2::routes::model),
        ("GET", "/v2/models/{model}/ready") => get(v2::routes::model_ready),
        ("POST", "/v2/models/{model}/infer") => post(v2::routes::infer),
        ("GET", "/v2/models/{model}/versions/{version}") => get(v2::routes::version),
        ("GET", "/v2/models/{model}/versions/{version}/ready") => get(v2::routes::version_ready),
        ("POST", "/v2/models/{model}/versions/{version}/infer") => post(v2::routes::infer_version),
        ("GET", "/v2/models/stats") => get(v2::routes::all_stats),
        ("GET", "/v2/models/{model}/config") => get(v2::routes::config),
        ("GET", "/v2/models/{model}/stats") => get(v2::routes::stats),
        ("GET", "/v2/models/{model}/versions/{version}/config") => get(v2::routes::version_config),
        ("GET", "/v2/models/{model}/versions/{version}/stats") => get(v2::routes::version_stats),
        ("POST", "/v2/repository/index") => post(v2::repository::index),
        ("POST", "/v2/repository/models/{model}/load") => post(v2::repository::load),
        ("POST", "/v2/repository/models/{model}/unload") => post(v2::repository::unload),
        ("GET", "/admin/models") => get(admin::models),
        ("GET", "/admin/models/{model}") => get(admin::model),
        ("POST", "/admin/models/{model}") => post(admin::steer),
        ("GET", "/admin/models/{model}/challenger") => get(admin::challenger::show),
        ("GET", "/admin/models/{model}/history") => get(admin::history),
        ("GET", "/admin/models/{model}/drift") => get(admin::drift),
        ("POST", "/admin/models/{model}/versions") => post(admin::register),
        ("GET", "/admin/models/{model}/versions/{version}") => get(admin::version),
        ("POST", "/admin/models/{model}/versions/{version}") => post(admin::verify),
        ("GET", "/admin/operations") => get(admin::operations),
        ("GET", "/admin/operations/{id}") => get(admin::operation),
        ("GET", "/admin/operations/{id}/events") => get(admin::events),
        _ => return None,
    })
}

/// The routes of one listener, out of the table and nothing else.
pub(super) fn router(listener: Listener) -> Router<Arc<AppState>> {
    let mut seen = BTreeSet::new();
    let mut router = Router::new();
    for route in ROUTES.iter().filter(|route| route.listener == listener) {
        if seen.insert((route.method, route.pattern()))
            && let Some(handler) = handler(listener, route.method, route.pattern())
        {
            router = router.route(route.pattern(), handler);
        }
    }
    router
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_allows_the_methods_that_it_has_itself() {
        for (path, expected) in [
            ("/v1/models/flights", Some("GET, HEAD")),
            ("/v1/models/flights:predict", Some("POST")),
            ("/v1/models/flights:explain", None),
            ("/v1/models/:predict", None),
            ("/v2/models/stats", Some("GET, HEAD")),
            ("/v2/repository/index", Some("POST")),
            ("/v1/models/flights/versions/3:predict", Some("POST")),
            ("/metrics", None),
        ] {
            assert_eq!(allowed(Listener::Http, path), expected, "{path}");
        }
        assert_eq!(allowed(Listener::Ops, "/admin/models/flights/versions/3:verify"), Some("POST"));
    }

    #[test]
    fn every_route_of_the_table_has_a_handler_and_admin_ones_want_the_token() {
        for route in ROUTES {
            assert!(
                handler(route.listener, route.method, route.pattern()).is_some(),
                "{} {}",
                route.method,
                route.path
            );
            let changes = admin::is_guarded(route.path);
            assert_eq!(route.needs_token, changes && route.listener == Listener::Ops, "{}", route.path);
            assert!(!changes || route.needs_token || route.path == "/v2/repository/index", "{}", route.path);
        }
    }
}
