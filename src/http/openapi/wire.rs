//! Answers and requests that have no type of their own in the code.

use serde_json::{Value, json};

use crate::lifecycle::{Activation, Event, Failure, ModelStatus, Operation, VerifyReport, described_data};
use crate::metrics::FeedbackOutcome;
use crate::model::{Digest, ModelName, Signature, Version};
use crate::oip::{IndexEntry, ModelStats};
use crate::schema::{Members, Schemas};

/// An object of `members` that are always there.
fn object(members: &[(&str, Value)]) -> Value {
    let mut all = Members::default();
    members.iter().for_each(|(name, schema)| all.required(name, schema.clone()));
    all.into_object()
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn list(items: Value) -> Value {
    let mut list = json!({ "type": "array" });
    list["items"] = items;
    list
}

pub(super) fn text(_: &mut Schemas) -> Value {
    string()
}

pub(super) fn key(_: &mut Schemas) -> Value {
    json!({ "type": "string", "pattern": "^[!-~]{1,128}$" })
}

pub(super) fn moment(_: &mut Schemas) -> Value {
    json!({ "type": "string", "format": "date-time" })
}

pub(super) fn milliseconds(_: &mut Schemas) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": u64::MAX })
}

pub(super) fn size(_: &mut Schemas) -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// The body of every failure.
pub(super) fn error(schemas: &mut Schemas) -> Value {
    struct Error;
    schemas.named::<Error>("Error", |schemas| failure(schemas, Members::default()))
}

/// What an error says, and `members` beside it.
fn failure(schemas: &mut Schemas, mut members: Members) -> Value {
    members.required("error", json!({ "type": "string", "description": "In a sentence." }));
    members.required("code", json!({ "type": "string", "description": "In a word that does not change." }));
    members.optional("path", json!({ "type": "string", "description": "Where the input does not fit." }));
    members.optional("expected", json!({ "type": "string", "description": "What was expected there." }));
    members.optional("got", json!({ "type": "string", "description": "What came." }));
    let place = json!({ "type": "integer", "minimum": 0 });
    members.optional("line", place.clone());
    members.optional("column", place);
    described_data(schemas, &mut members);
    members.into_object()
}

pub(super) fn not_ready(schemas: &mut Schemas) -> Value {
    struct NotReady;
    schemas.named::<NotReady>("NotReady", |schemas| {
        let mut members = Members::default();
        members.required("ready", boolean());
        members.required("live", boolean());
        failure(schemas, members)
    })
}

/// A failure as MLflow's clients read it.
pub(super) fn scoring_error(schemas: &mut Schemas) -> Value {
    struct ScoringError;
    schemas.named::<ScoringError>("ScoringError", |schemas| {
        let mut members = Members::default();
        members.required("error_code", string());
        members.required("message", string());
        failure(schemas, members)
    })
}

/// MLflow's JSON: one of its forms. Each has a name of its own, by which generated clients tell them apart.
pub(super) fn invocation(schemas: &mut Schemas) -> Value {
    struct Invocation;
    struct Frame;
    struct Split;
    struct Records;
    struct Instances;
    struct Inputs;
    fn form<T>(schemas: &mut Schemas, name: &str, member: &str, schema: Value) -> Value {
        schemas.named::<T>(name, |_| {
            let mut members = Members::default();
            members.required(member, schema);
            members.optional("params", json!({ "type": "object" }));
            members.into_closed_object()
        })
    }
    schemas.named::<Invocation>("Invocation", |schemas| {
        let object = json!({ "type": "object" });
        let values = || list(json!({}));
        let frame = schemas.named::<Frame>("Dataframe", |_| {
            let mut members = Members::default();
            members.required("data", list(values()));
            members.optional("columns", list(string()));
            members.optional("index", values());
            members.into_closed_object()
        });
        let mut instances = values();
        instances["minItems"] = 1.into();
        let inputs = json!({ "anyOf": [object, values()] });
        json!({ "anyOf": [
            form::<Split>(schemas, "InvocationOfDataframe", "dataframe_split", frame),
            form::<Records>(schemas, "InvocationOfRecords", "dataframe_records", list(object)),
            form::<Instances>(schemas, "InvocationOfInstances", "instances", instances),
            form::<Inputs>(schemas, "InvocationOfInputs", "inputs", inputs),
        ] })
    })
}

/// What really happened, of one prediction or of several.
pub(super) fn feedback(schemas: &mut Schemas) -> Value {
    struct Feedback;
    schemas.named::<Feedback>("Feedback", |_| {
        let of = |name: &str, schema: Value| {
            let mut members = Members::default();
            members.required("id", json!({ "type": "string", "description": "The x-request-id of the prediction's answer." }));
            members.optional("row", json!({ "type": "integer", "minimum": 0 }));
            members.required(name, schema);
            members.into_closed_object()
        };
        let item = json!({ "anyOf": [of("label", json!({ "type": ["string", "integer"] })), of("value", json!({ "type": "number" }))] });
        let several = list(item.clone());
        json!({ "anyOf": [item, several] })
    })
}

/// How many items of feedback met which end.
pub(super) fn feedback_counts(_: &mut Schemas) -> Value {
    let count = || json!({ "type": "integer", "minimum": 0 });
    let members: Vec<_> = FeedbackOutcome::ALL.iter().map(|outcome| (outcome.as_str(), count())).collect();
    object(&members)
}

pub(super) fn alive(_: &mut Schemas) -> Value {
    object(&[("status", json!({ "type": "string", "const": "alive" }))])
}

pub(super) fn live(_: &mut Schemas) -> Value {
    object(&[("live", boolean())])
}

pub(super) fn ready(_: &mut Schemas) -> Value {
    object(&[("ready", boolean()), ("live", boolean())])
}

pub(super) fn document(_: &mut Schemas) -> Value {
    json!({ "type": "object", "description": "An OpenAPI 3.1 document: this one." })
}

pub(super) fn names(schemas: &mut Schemas) -> Value {
    object(&[("models", list(schemas.of::<ModelName>()))])
}

fn version_status(schemas: &mut Schemas) -> Value {
    struct ModelVersionStatus;
    schemas.named::<ModelVersionStatus>("ModelVersionStatus", |_| {
        let status = object(&[("error_code", string()), ("error_message", string())]);
        object(&[("version", string()), ("state", string()), ("status", status)])
    })
}

pub(super) fn model(schemas: &mut Schemas) -> Value {
    let status = version_status(schemas);
    object(&[("name", string()), ("ready", boolean()), ("model_version_status", list(status))])
}

pub(super) fn statuses(schemas: &mut Schemas) -> Value {
    let status = version_status(schemas);
    object(&[("model_version_status", list(status))])
}

pub(super) fn metadata(schemas: &mut Schemas) -> Value {
    struct Metadata;
    schemas.named::<Metadata>("ModelSignature", |schemas| {
        let spec = object(&[("name", string()), ("signature_name", string()), ("version", string())]);
        let dim = object(&[("size", string()), ("name", string())]);
        let shape = object(&[("dim", list(dim)), ("unknown_rank", boolean())]);
        let info = object(&[("name", string()), ("dtype", string()), ("tensor_shape", shape)]);
        let tensors = json!({ "type": "object", "additionalProperties": info });
        let default = object(&[("inputs", tensors.clone()), ("outputs", tensors), ("method_name", string())]);
        let definition = object(&[("signature_def", object(&[("serving_default", default)]))]);
        let metadata = object(&[("signature_def", definition)]);
        object(&[("model_spec", spec), ("metadata", metadata), ("signature", schemas.of::<Signature>())])
    })
}

pub(super) fn model_ready(_: &mut Schemas) -> Value {
    object(&[("name", string()), ("ready", boolean())])
}

pub(super) fn stats(schemas: &mut Schemas) -> Value {
    object(&[("model_stats", list(schemas.of::<ModelStats>()))])
}

pub(super) fn index(schemas: &mut Schemas) -> Value {
    list(schemas.of::<IndexEntry>())
}

pub(super) fn index_request(_: &mut Schemas) -> Value {
    let mut members = Members::default();
    members.optional("ready", boolean());
    members.into_object()
}

pub(super) fn change_request(_: &mut Schemas) -> Value {
    let mut members = Members::default();
    let parameters = json!({
        "type": "object",
        "description": "Passed over, but for a configuration and files, which are refused.",
        "propertyNames": { "not": { "pattern": "^(config$|file:)" } },
    });
    members.optional("parameters", parameters);
    members.into_object()
}

pub(super) fn model_statuses(schemas: &mut Schemas) -> Value {
    object(&[("models", list(schemas.of::<ModelStatus>()))])
}

/// One server-sent event.
pub(super) fn event() -> Value {
    let data = json!({
        "type": "string",
        "contentMediaType": "application/json",
        "description": "A step; with `end` the whole operation.",
    });
    let name = json!({ "type": "string", "enum": ["progress", "end"] });
    object(&[("id", string()), ("event", name), ("data", data)])
}

pub(super) fn registered(schemas: &mut Schemas) -> Value {
    struct Registered;
    schemas.named::<Registered>("Registered", |schemas| {
        let mut members = Members::default();
        members.required("model", schemas.of::<ModelName>());
        members.required("version", schemas.of::<Version>());
        members.required("model_sha256", schemas.of::<Digest>());
        members.required("manifest_sha256", schemas.of::<Digest>());
        let ways = [schemas.of::<Activation>(), schemas.of::<Failure>()];
        members.optional("activation", super::any_of(ways));
        members.into_object()
    })
}

pub(super) fn verified(schemas: &mut Schemas) -> Value {
    struct Verified;
    schemas.named::<Verified>("Verified", |schemas| {
        let (model, version) = (schemas.of::<ModelName>(), schemas.of::<Version>());
        object(&[("model", model), ("version", version), ("report", schemas.of::<VerifyReport>())])
    })
}

pub(super) fn history(schemas: &mut Schemas) -> Value {
    object(&[("events", list(schemas.of::<Event>())), ("unreadable_lines", schemas.of::<usize>())])
}

pub(super) fn operations(schemas: &mut Schemas) -> Value {
    object(&[("operations", list(schemas.of::<Operation>()))])
}
