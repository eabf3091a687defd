//! Every operation: one row a route. A test holds these rows against the route table, both ways.

use super::operation::{Answer, Body, Field, Operation, of};
use super::wire;
use crate::http::{admin, v1, v2};
use crate::lifecycle::{ChallengerStatus, ModelStatus, Operation as Tracked};
use crate::metrics::{CONTENT_TYPE, Listener};
use crate::oip::{Config, ModelMetadata, ServerMetadata};

/// The parts of the API, in the order in which they are shown.
pub(super) const TAGS: &[(&str, &str)] = &[
    ("models", "Each loaded model by its own name, with its own features: what a typed client is made from."),
    ("v1", "TensorFlow Serving's and KServe's form: rows by feature name, or columns."),
    ("v2", "The Open Inference Protocol, with Triton's extensions."),
    ("scoring", "The default model, as MLflow, SageMaker and Vertex AI ask it."),
    ("admin", "Models and their versions: register, verify, activate, roll back, try."),
    ("operations", "What this server was asked to do, and how far it is."),
    ("repository", "The Open Inference Protocol's repository: what is in memory, and what should be."),
    ("server", "Probes, metrics and this description."),
];

/// Failures of a prediction in the v1 form.
const V1: &[u16] = &[422, 429, 503, 504];
/// Failures where a default model may be missing.
const SCORING: &[u16] = &[404, 503];
/// Failures of a prediction by the default model.
const INVOCATIONS: &[u16] = &[404, 429, 503, 504];
/// Failures of a prediction in the v2 form.
const V2: &[u16] = &[429, 503, 504];
/// Failures where no version may be active.
const READY: &[u16] = &[503];
/// Failures where a version must be active, and none is on its way.
const ACTIVE: &[u16] = &[422];
/// Failures of a look at the registry.
const LOOK: &[u16] = &[422, 503];
/// Failures of an operation.
const CHANGE: &[u16] = &[409, 422, 503, 507];

const TIMEOUT: Field = Field {
    place: "header",
    name: "x-request-timeout-ms",
    schema: wire::milliseconds,
    about: "Milliseconds that the request wants to have at most; never more than the server's request_timeout.",
};
const PREDICTION: &[Field] = &[TIMEOUT];
const TENSORS: &[Field] = &[
    TIMEOUT,
    Field {
        place: "header",
        name: "inference-header-content-length",
        schema: wire::size,
        about: "How many bytes of the body are JSON, where tensors in the binary form follow; 0 where the body is a tensor alone.",
    },
];
const ACTOR: Field =
    Field { place: "header", name: "x-gudgeon-actor", schema: wire::text, about: "Who asks, for the history." };
const KEY: Field = Field {
    place: "header",
    name: "idempotency-key",
    schema: wire::key,
    about: "A request that is repeated under its key is the same operation and gets the same answer.",
};
const ASYNC: Field = Field {
    place: "query",
    name: "async",
    schema: of::<bool>,
    about: "Whether to answer at once with the operation, to be followed, and not at its end.",
};
const CALL: &[Field] = &[ASYNC, ACTOR, KEY];
const CHANGED: &[Field] = &[ACTOR, KEY];
const REGISTER: &[Field] = &[
    Field {
        place: "query",
        name: "label",
        schema: wire::text,
        about: "A free label: a git revision, a semantic version.",
    },
    Field { place: "query", name: "reason", schema: wire::text, about: "Why, for the history." },
    Field { place: "query", name: "activate", schema: of::<bool>, about: "Whether to make it the active version too." },
    ASYNC,
    ACTOR,
    KEY,
];
const HISTORY: &[Field] = &[
    Field { place: "query", name: "limit", schema: of::<usize>, about: "As many of the last events." },
    Field { place: "query", name: "action", schema: of::<crate::lifecycle::Action>, about: "Events of one kind." },
    Field { place: "query", name: "version", schema: of::<crate::model::Version>, about: "Events of one version." },
    Field { place: "query", name: "since", schema: wire::moment, about: "Events from then on." },
];
const OPERATIONS_OF: &[Field] =
    &[Field { place: "query", name: "model", schema: wire::text, about: "Operations of one model." }];
const LAST_EVENT: &[Field] = &[Field {
    place: "header",
    name: "last-event-id",
    schema: wire::text,
    about: "The last event that was seen: the stream begins after it.",
}];
const IF_NONE_MATCH: &[Field] = &[Field {
    place: "header",
    name: "if-none-match",
    schema: wire::text,
    about: "The etag of a description that is there already: answered with 304 while it is still right.",
}];

const fn get(path: &'static str, id: &'static str, tag: &'static str, answer: Answer) -> Operation {
    Operation::new((Listener::Http, "GET", path), id, tag, answer)
}

const fn post(path: &'static str, id: &'static str, tag: &'static str, answer: Answer) -> Operation {
    Operation::new((Listener::Http, "POST", path), id, tag, answer)
}

const fn ops_get(path: &'static str, id: &'static str, tag: &'static str, answer: Answer) -> Operation {
    Operation::new((Listener::Ops, "GET", path), id, tag, answer)
}

const fn ops_post(path: &'static str, id: &'static str, tag: &'static str, answer: Answer) -> Operation {
    Operation::new((Listener::Ops, "POST", path), id, tag, answer)
}

const fn predict(path: &'static str, id: &'static str) -> Operation {
    let predict = post(path, id, "v1", Answer::Json(v1::describe::answer));
    predict.takes(Body::Json(v1::describe::request)).with(PREDICTION).may_fail(V1)
}

const fn infer(path: &'static str, id: &'static str) -> Operation {
    let infer = post(path, id, "v2", Answer::Tensors(v2::describe::answer));
    infer.takes(Body::Tensors(v2::describe::request)).with(TENSORS).may_fail(V2)
}

const fn call(path: &'static str, id: &'static str, answer: super::operation::Schema) -> Operation {
    ops_post(path, id, "admin", Answer::Json(answer)).with(CALL).may_fail(CHANGE).followed()
}

/// Every operation, in the order of the route table.
pub(super) const OPERATIONS: &[Operation] = &[
    get("/", "alive", "server", Answer::Json(wire::alive)),
    get("/livez", "live", "server", Answer::Json(wire::live)),
    get("/readyz", "ready", "server", Answer::Json(wire::ready)).may_fail(READY),
    get("/ping", "ping", "scoring", Answer::Nothing).may_fail(SCORING).fails_as(wire::scoring_error),
    get("/health", "health", "scoring", Answer::Nothing).may_fail(SCORING).fails_as(wire::scoring_error),
    get("/version", "version", "scoring", Answer::Text("text/plain; charset=utf-8")),
    post("/invocations", "invocations", "scoring", Answer::Json(v1::describe::answer))
        .takes(Body::Rows(wire::invocation))
        .with(PREDICTION)
        .may_fail(INVOCATIONS)
        .fails_as(wire::scoring_error),
    get("/openapi.json", "description", "server", Answer::Json(wire::document)).with(IF_NONE_MATCH),
    get("/docs", "docs", "server", Answer::Text("text/html; charset=utf-8")),
    get("/v1/models", "models", "v1", Answer::Json(wire::names)),
    get("/v1/models/{model}", "model_status", "v1", Answer::Json(wire::model)),
    get("/v1/models/{model}/metadata", "model_metadata", "v1", Answer::Json(wire::metadata)).may_fail(READY),
    get("/v1/models/{model}/versions/{version}", "version_status", "v1", Answer::Json(wire::statuses)),
    get("/v1/models/{model}/versions/{version}/metadata", "version_metadata", "v1", Answer::Json(wire::metadata)),
    get("/v1/models/{model}/labels/{alias}", "alias_status", "v1", Answer::Json(wire::statuses)),
    get("/v1/models/{model}/labels/{alias}/metadata", "alias_metadata", "v1", Answer::Json(wire::metadata)),
    predict("/v1/models/{model}:predict", "predict"),
    post("/v1/models/{model}:feedback", "feedback", "v1", Answer::Json(wire::feedback_counts))
        .takes(Body::Json(wire::feedback))
        .may_fail(&[422, 503]),
    predict("/v1/models/{model}/versions/{version}:predict", "predict_by_version"),
    predict("/v1/models/{model}/labels/{alias}:predict", "predict_by_alias"),
    get("/v2", "v2_server", "v2", Answer::Json(of::<ServerMetadata>)),
    get("/v2/health/live", "v2_live", "v2", Answer::Json(wire::live)),
    get("/v2/health/ready", "v2_ready", "v2", Answer::Json(wire::ready)).may_fail(READY).fails_as(wire::not_ready),
    get("/v2/models/{model}", "v2_model", "v2", Answer::Json(of::<ModelMetadata>)).may_fail(READY),
    get("/v2/models/stats", "v2_all_stats", "v2", Answer::Json(wire::stats)),
    get("/v2/models/{model}/ready", "v2_model_ready", "v2", Answer::Json(wire::model_ready)).may_fail(READY),
    get("/v2/models/{model}/config", "v2_model_config", "v2", Answer::Json(of::<Config>)).may_fail(READY),
    get("/v2/models/{model}/stats", "v2_model_stats", "v2", Answer::Json(wire::stats)).may_fail(READY),
    infer("/v2/models/{model}/infer", "infer"),
    get("/v2/models/{model}/versions/{version}", "v2_version", "v2", Answer::Json(of::<ModelMetadata>)),
    get("/v2/models/{model}/versions/{version}/ready", "v2_version_ready", "v2", Answer::Json(wire::model_ready)),
    get("/v2/models/{model}/versions/{version}/config", "v2_version_config", "v2", Answer::Json(of::<Config>)),
    get("/v2/models/{model}/versions/{version}/stats", "v2_version_stats", "v2", Answer::Json(wire::stats)),
    infer("/v2/models/{model}/versions/{version}/infer", "infer_by_version"),
    post("/v2/repository/index", "repository_index", "repository", Answer::Json(wire::index))
        .takes(Body::PerhapsJson(wire::index_request)),
    ops_get("/livez", "live", "server", Answer::Json(wire::live)),
    ops_get("/readyz", "ready", "server", Answer::Json(wire::ready)).may_fail(READY),
    ops_get("/metrics", "metrics", "server", Answer::Text(CONTENT_TYPE)),
    ops_get("/openapi.json", "description", "server", Answer::Json(wire::document)).with(IF_NONE_MATCH),
    ops_get("/docs", "docs", "server", Answer::Text("text/html; charset=utf-8")),
    ops_get("/admin/models", "list_models", "admin", Answer::Json(wire::model_statuses)).may_fail(LOOK),
    ops_get("/admin/models/{model}", "inspect_model", "admin", Answer::Json(of::<ModelStatus>)).may_fail(LOOK),
    call("/admin/models/{model}:activate", "activate", of::<crate::lifecycle::Activation>)
        .takes(Body::Json(admin::describe::activate)),
    call("/admin/models/{model}:rollback", "roll_back", of::<crate::lifecycle::Activation>)
        .takes(Body::PerhapsJson(admin::describe::roll_back)),
    call("/admin/models/{model}:prune", "prune", of::<crate::lifecycle::Pruned>)
        .takes(Body::PerhapsJson(admin::describe::prune)),
    call("/admin/models/{model}:challenge", "challenge", of::<crate::lifecycle::Challenged>)
        .takes(Body::Json(admin::describe::challenge)),
    call("/admin/models/{model}:withdraw", "withdraw", of::<crate::lifecycle::Challenged>)
        .takes(Body::PerhapsJson(admin::describe::roll_back)),
    ops_get("/admin/models/{model}/challenger", "challenger", "admin", Answer::Json(of::<ChallengerStatus>))
        .may_fail(LOOK),
    ops_get("/admin/models/{model}/history", "history", "admin", Answer::Json(wire::history))
        .with(HISTORY)
        .may_fail(LOOK),
    ops_get("/admin/models/{model}/drift", "drift", "admin", Answer::Json(admin::describe::drift)).may_fail(ACTIVE),
    call("/admin/models/{model}/versions", "register", wire::registered).takes(Body::Graph).with(REGISTER).creates(),
    ops_get(
        "/admin/models/{model}/versions/{version}",
        "inspect_version",
        "admin",
        Answer::Json(admin::describe::version),
    )
    .may_fail(LOOK),
    call("/admin/models/{model}/versions/{version}:verify", "verify", wire::verified),
    ops_post("/v2/repository/index", "repository_index", "repository", Answer::Json(wire::index))
        .takes(Body::PerhapsJson(wire::index_request)),
    ops_post("/v2/repository/models/{model}/load", "repository_load", "repository", Answer::Nothing)
        .takes(Body::PerhapsJson(wire::change_request))
        .with(CHANGED)
        .may_fail(CHANGE),
    ops_post("/v2/repository/models/{model}/unload", "repository_unload", "repository", Answer::Nothing)
        .takes(Body::PerhapsJson(wire::change_request))
        .with(CHANGED)
        .may_fail(CHANGE),
    ops_get("/admin/operations", "operations", "operations", Answer::Json(wire::operations)).with(OPERATIONS_OF),
    ops_get("/admin/operations/{id}", "operation", "operations", Answer::Json(of::<Tracked>)),
    ops_get("/admin/operations/{id}/events", "operation_events", "operations", Answer::Events)
        .with(LAST_EVENT)
        .may_fail(&[429]),
];
