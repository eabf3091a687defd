//! The document, put together.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::operation::{Answer, Body, Field, Guard, Operation, of};
use super::operations::{OPERATIONS, TAGS};
use super::values::{Shown, any_of};
use super::wire;
use crate::http::json::DecodeLimits;
use crate::http::keys::API_KEY;
use crate::http::routes::{ROUTES, Route};
use crate::http::{v1, v2};
use crate::lifecycle::Operation as Tracked;
use crate::metrics::Listener;
use crate::model::{Alias, ModelName, Version};
use crate::schema::Schemas;
use crate::slot::Servable;

/// As many models are described by their own names; the others are asked by the routes that all models share.
const MODELS_DESCRIBED_MAX: usize = 256;

/// How the path of a route for feedback ends.
const FEEDBACK: &str = ":feedback";

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// A model, and the version of it that serves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) shown: Shown<'a>,
}

impl<'a> From<&'a Arc<Servable>> for Model<'a> {
    fn from(servable: &'a Arc<Servable>) -> Self {
        let (name, version) = (servable.model().as_str(), servable.version_text());
        Self { name, version, shown: Shown::of(servable) }
    }
}

/// What the configuration says of all routes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) limits: DecodeLimits,
    /// Whether API keys are asked for.
    pub(super) has_keys: bool,
    /// Whether predictions are remembered for their feedback: else its routes are nothing to describe.
    pub(super) has_feedback: bool,
}

/// The document of `listener` while `models` answer.
pub(super) fn described(listener: Listener, models: &[Model<'_>], rules: &Rules) -> Value {
    let mut schemas = Schemas::default();
    let names: Vec<_> = models.iter().map(|model| model.name).collect();
    let mut paths = Map::new();
    let is_served =
        |route: &&Route| route.listener == listener && (rules.has_feedback || !route.path.ends_with(FEEDBACK));
    for route in ROUTES.iter().filter(is_served) {
        if let Some(operation) = operation_of(route) {
            put(&mut paths, route.path, route.method, shared(operation, (route, rules), &names, &mut schemas));
        }
    }
    let mut told = Map::new();
    if listener == Listener::Http {
        for one in models.iter().take(MODELS_DESCRIBED_MAX) {
            let prefix = prefix(one.name, &schemas);
            told.insert(one.name.to_owned(), model(one, &prefix, rules, (&mut paths, &mut schemas)));
        }
    }
    let n_more = models.len().saturating_sub(MODELS_DESCRIBED_MAX);
    assembled((listener, rules), paths, (told, n_more), schemas)
}

/// The row that describes `route`.
pub(super) fn operation_of(route: &Route) -> Option<&'static Operation> {
    let is_its = |operation: &&Operation| {
        (operation.listener, operation.method, operation.path) == (route.listener, route.method, route.path)
    };
    OPERATIONS.iter().find(is_its)
}

fn put(paths: &mut Map<String, Value>, path: &str, method: &str, operation: Value) {
    let item = paths.entry(path.to_owned()).or_insert_with(|| json!({}));
    item[method.to_ascii_lowercase()] = operation;
}

fn assembled(
    (listener, rules): (Listener, &Rules),
    paths: Map<String, Value>,
    (models, n_more): (Map<String, Value>, usize),
    mut schemas: Schemas,
) -> Value {
    wire::error(&mut schemas);
    let used = |tag: &str| {
        paths.values().any(|path| path.as_object().is_some_and(|path| path.values().any(|o| o["tags"][0] == tag)))
    };
    let tags: Vec<_> = TAGS
        .iter()
        .filter(|(name, _)| used(name))
        .map(|(name, about)| json!({ "name": name, "description": about }))
        .collect();
    let (title, about) = match listener {
        Listener::Http => (
            "gudgeon: predictions",
            "Predictions by versioned models, in TensorFlow Serving's and KServe's form and in the Open Inference Protocol. Every loaded model is described by its own name with its own features; another version may change that, and the etag with it.",
        ),
        _ => (
            "gudgeon: operations",
            "Metrics, probes, and the routes by which operators register, verify, activate and roll back versions.",
        ),
    };
    let more =
        if n_more == 0 { String::new() } else { format!(" {n_more} more models are loaded than are described here.") };
    let mut components = json!({ "schemas": schemas.into_components(), "headers": headers() });
    if listener != Listener::Http {
        components["securitySchemes"] =
            json!({ "adminToken": { "type": "http", "scheme": "bearer", "description": "The admin token." } });
    } else if rules.has_keys {
        components["securitySchemes"] = json!({
            "apiKey": { "type": "apiKey", "in": "header", "name": API_KEY.as_str(), "description": "An API key." },
            "bearerKey": { "type": "http", "scheme": "bearer", "description": "An API key." },
        });
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("{about}{more}"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "components": components,
    });
    document["paths"] = paths.into();
    if listener == Listener::Http {
        document["x-models"] = models.into();
    }
    document
}

fn headers() -> Value {
    let text = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    json!({
        "x-request-id": text("The caller's id where it sent a sane one, else one made here; the log speaks of it."),
        "x-model-version": text("The version that answered."),
        "x-model-name": text("The model that answered."),
        "x-operation-id": text("The operation that the call was."),
        "retry-after": json!({ "description": "Seconds.", "schema": { "type": "integer", "minimum": 0 } }),
        "etag": text("Changes with what is described."),
        "location": text("Where the operation is."),
    })
}

fn header_refs(names: &[&str]) -> Value {
    let all = ["x-request-id"].iter().chain(names);
    all.map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })))
        .collect::<Map<_, _>>()
        .into()
}

/// A route that is the same for every model.
fn shared(operation: &Operation, (route, rules): (&Route, &Rules), models: &[&str], schemas: &mut Schemas) -> Value {
    let guard = Guard::of(route, rules.has_keys);
    let Operation { id, tag, fields, body, .. } = *operation;
    let mut object = json!({
        "operationId": id,
        "tags": [tag],
        "summary": route.purpose,
        "responses": responses(operation, (route, guard), schemas),
    });
    let segments = segments(route.path).map(|name| segment(name, models, schemas)).collect::<Vec<_>>();
    let parameters: Vec<_> = segments.into_iter().chain(fields.iter().map(|field| parameter(field, schemas))).collect();
    if !parameters.is_empty() {
        object["parameters"] = parameters.into();
    }
    if let Some(body) = body {
        object["requestBody"] = request_body(body, schemas);
    }
    match guard {
        Guard::None => {}
        // Either of the two.
        Guard::Key => object["security"] = json!([{ "apiKey": [] }, { "bearerKey": [] }]),
        Guard::Token => object["security"] = json!([{ "adminToken": [] }]),
    }
    object
}

/// The names in the braces of a path.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

fn segment(name: &str, models: &[&str], schemas: &mut Schemas) -> Value {
    let schema = match name {
        "model" => {
            let mut schema = of::<ModelName>(schemas);
            if !models.is_empty() {
                schema["examples"] = models.iter().take(MODELS_DESCRIBED_MAX).copied().collect();
            }
            schema
        }
        "version" => of::<Version>(schemas),
        "alias" => of::<Alias>(schemas),
        _ => json!({ "type": "string", "minLength": 1 }),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

fn parameter(field: &Field, schemas: &mut Schemas) -> Value {
    let Field { place, name, schema, about } = field;
    json!({ "name": name, "in": place, "required": false, "description": about, "schema": schema(schemas) })
}

fn request_body(body: Body, schemas: &mut Schemas) -> Value {
    let (is_required, content) = match body {
        Body::Json(schema) => (true, json!({ JSON: { "schema": schema(schemas) } })),
        Body::PerhapsJson(schema) => (false, json!({ JSON: { "schema": schema(schemas) } })),
        Body::Tensors(schema) => (true, json!({ JSON: { "schema": schema(schemas) }, BYTES: { "schema": binary() } })),
        Body::Rows(schema) => {
            let text = json!({ "schema": { "type": "string" } });
            let json = json!({ "schema": schema(schemas) });
            (true, json!({ JSON: json, "text/csv": text, "application/vnd.apache.parquet": { "schema": binary() } }))
        }
        Body::Graph => (true, json!({ BYTES: { "schema": binary() } })),
    };
    json!({ "required": is_required, "content": content })
}

fn binary() -> Value {
    json!({ "type": "string", "format": "binary" })
}

fn responses(operation: &Operation, (route, guard): (&Route, Guard), schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    responses.insert(operation.status.to_string(), success(operation, schemas));
    if operation.is_followed {
        let content = json!({ JSON: { "schema": of::<Tracked>(schemas) } });
        let about = "The operation as it is now, where the call does not wait for its end.";
        let headers = header_refs(&["x-operation-id", "location"]);
        responses.insert("202".to_owned(), json!({ "description": about, "headers": headers, "content": content }));
    }
    if route.path == "/openapi.json" {
        let about = "The description that the caller has is still right.";
        responses.insert("304".to_owned(), json!({ "description": about, "headers": header_refs(&["etag"]) }));
    }
    for status in operation.statuses(guard) {
        let forms = operation.error.map(|form| form(schemas)).into_iter().chain([wire::error(schemas)]);
        let schema = any_of(forms.collect::<Vec<_>>());
        responses.insert(status.to_string(), failure(status, &schema));
    }
    responses.into()
}

fn success(operation: &Operation, schemas: &mut Schemas) -> Value {
    let (content, headers): (Value, &[&str]) = match operation.answer {
        Answer::Json(schema) => (json!({ JSON: { "schema": schema(schemas) } }), &[]),
        Answer::Tensors(schema) => (json!({ JSON: { "schema": schema(schemas) }, BYTES: { "schema": binary() } }), &[]),
        Answer::Text(kind) => (json!({ kind: { "schema": { "type": "string" } } }), &[]),
        Answer::Events => (json!({ "text/event-stream": { "schema": wire::event() } }), &[]),
        Answer::Nothing => (Value::Null, &["x-operation-id"]),
    };
    let is_prediction =
        matches!(operation.body, Some(Body::Tensors(_))) || operation.tag == "v1" && operation.body.is_some();
    let headers: &[&str] = match (operation.is_followed, is_prediction) {
        (true, _) => &["x-operation-id"],
        (_, true) => &["x-model-name", "x-model-version"],
        _ if operation.path == "/openapi.json" => &["etag"],
        _ => headers,
    };
    let mut response = json!({ "description": "Done.", "headers": header_refs(headers) });
    if !content.is_null() {
        response["content"] = content;
    }
    response
}

fn failure(status: u16, schema: &Value) -> Value {
    let (about, headers): (_, &[&str]) = match status {
        400 => ("The request cannot be read, or, in the v2 form, does not fit the model.", &[]),
        401 => ("No key or token, or another one.", &[]),
        403 => ("From a page of another origin, or under a host name that is not this server's.", &[]),
        404 => ("There is no such thing.", &[]),
        408 => ("The request did not arrive in time.", &[]),
        409 => ("It cannot be now, or was changed meanwhile.", &[]),
        413 => ("The body is over the limit.", &[]),
        415 => ("The body is of another type, or compressed in another way.", &[]),
        422 => ("Well formed, but not what is taken here; or refused by a rule.", &[]),
        429 => ("Too many wait already.", &["retry-after"]),
        431 => ("The header fields are over the limit.", &[]),
        503 => ("Not ready, or stopping.", &["retry-after"]),
        504 => ("No answer before the deadline.", &[]),
        507 => ("The registry cannot be written to.", &[]),
        _ => ("A fault of the server, or of the model.", &[]),
    };
    json!({ "description": about, "headers": header_refs(headers), "content": { JSON: { "schema": schema } } })
}

/// A model by its own name: its two operations go into `paths`; gives back what is said of it as a whole.
fn model(
    one: &Model<'_>,
    prefix: &str,
    rules: &Rules,
    (paths, schemas): (&mut Map<String, Value>, &mut Schemas),
) -> Value {
    let Model { name, version, shown } = one;
    let mut told = json!({ "version": version, "prefix": prefix });
    let mut operations = Vec::new();
    if let Some((request, answer)) = v1::describe::of_model(schemas, prefix, shown, &rules.limits) {
        let example = shown.example_row().map(|row| json!({ "instances": [row] }));
        operations.push(("/v1/models/{model}:predict", "predict", request, answer, example));
        told["row"] = format!("{prefix}Row").into();
    }
    let request = v2::describe::of_model(schemas, prefix, shown);
    let answer = v2::describe::answer(schemas);
    let example = shown.example_tensors().map(|tensors| json!({ "inputs": tensors }));
    operations.push(("/v2/models/{model}/infer", "infer", request, answer, example));
    for (path, verb, request, answer, example) in operations {
        let Some(route) = ROUTES.iter().find(|route| (route.listener, route.path) == (Listener::Http, path)) else {
            continue;
        };
        let Some(operation) = operation_of(route) else { continue };
        let mut object = shared(operation, (route, rules), &[], schemas);
        object["operationId"] = format!("{verb}_{prefix}").into();
        object["tags"] = json!(["models"]);
        object["summary"] = format!("A prediction by {name}, of which version {version} serves now.").into();
        object["requestBody"]["content"][JSON]["schema"] = request;
        object["responses"]["200"]["content"][JSON]["schema"] = answer;
        if let Some(example) = example {
            object["requestBody"]["content"][JSON]["example"] = example;
        }
        if let Some(parameters) = object["parameters"].as_array_mut() {
            parameters.retain(|parameter| parameter["in"] != "path");
        }
        put(paths, &path.replace("{model}", name), route.method, object);
    }
    told
}

/// What begins the names of a model's schemas: its name as generated code would write a type's, with a number where that is taken.
fn prefix(model: &str, schemas: &Schemas) -> String {
    let part = |part: &str| {
        let mut chars = part.chars();
        chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
    };
    let mut prefix: String = model.split(|char: char| !char.is_ascii_alphanumeric()).map(part).collect();
    if prefix.starts_with(|char: char| char.is_ascii_digit()) {
        prefix.insert_str(0, "Model");
    }
    let is_free = |prefix: &String| !schemas.has(&format!("{prefix}InferRequest"));
    let numbered = (2..).map(|number: u32| format!("{prefix}{number}"));
    std::iter::once(prefix.clone()).chain(numbered).find(is_free).unwrap_or(prefix)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::{Signature, TensorSpec};
    use crate::tensor::Dtype;

    fn rules(has_keys: bool) -> Rules {
        Rules { limits: DecodeLimits::default(), has_keys, has_feedback: true }
    }

    #[test]
    fn every_route_is_described_and_every_description_has_its_route() {
        let places = |listener: Listener, method: &str, path: &str| format!("{listener:?} {method} {path}");
        let routes: Vec<_> = ROUTES.iter().map(|route| places(route.listener, route.method, route.path)).collect();
        let rows: Vec<_> = OPERATIONS.iter().map(|row| places(row.listener, row.method, row.path)).collect();
        let once: BTreeSet<_> = rows.iter().collect();
        assert_eq!(once.len(), rows.len(), "a route is described twice");
        let missing: Vec<_> = routes.iter().filter(|route| !rows.contains(route)).collect();
        let gone: Vec<_> = rows.iter().filter(|row| !routes.contains(row)).collect();
        assert!(missing.is_empty(), "not described in src/http/openapi/operations.rs: {missing:?}");
        assert!(gone.is_empty(), "described in src/http/openapi/operations.rs, but not in the route table: {gone:?}");
    }

    #[test]
    fn names_are_there_once_and_tags_are_known() {
        for listener in [Listener::Http, Listener::Ops] {
            let rows = || OPERATIONS.iter().filter(|row| row.listener == listener);
            let ids: BTreeSet<_> = rows().map(|row| row.id).collect();
            assert_eq!(ids.len(), rows().count(), "two operations of one name");
            for row in rows() {
                assert!(TAGS.iter().any(|(tag, _)| *tag == row.tag), "{}", row.tag);
            }
        }
    }

    #[test]
    fn where_keys_are_asked_for_the_document_says_so() {
        let document = |has_keys| described(Listener::Http, &[], &rules(has_keys));
        let predict = "/paths/~1v1~1models~1{model}:predict/post";
        let (open, keyed) = (document(false), document(true));
        assert_eq!(open.pointer("/components/securitySchemes"), None);
        assert_eq!(open.pointer(&format!("{predict}/security")), None);
        assert_eq!(keyed.pointer("/components/securitySchemes/apiKey/name").unwrap(), "x-api-key");
        assert_eq!(keyed.pointer(&format!("{predict}/security")).unwrap().as_array().unwrap().len(), 2);
        assert!(keyed.pointer(&format!("{predict}/responses/401")).is_some());
        for probe in ["/paths/~1livez/get", "/paths/~1v2~1health~1ready/get"] {
            assert!(keyed.pointer(probe).is_some_and(|probe| probe["security"].is_null()), "{probe}");
        }
    }

    #[test]
    fn what_the_server_does_not_do_is_not_described() {
        let feedback = |has_feedback| {
            let document = described(Listener::Http, &[], &Rules { has_feedback, ..rules(false) });
            document["paths"].as_object().unwrap().keys().any(|path| path.ends_with(FEEDBACK))
        };
        assert!(feedback(true) && !feedback(false));
    }

    /// Every `$ref` in `value`.
    fn refs<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| refs(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| refs(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        for listener in [Listener::Http, Listener::Ops] {
            let document = described(listener, &[], &rules(false));
            let mut found = BTreeSet::new();
            refs(&document, &mut found);
            for reference in &found {
                let place = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(place).is_some_and(|schema| !schema.is_null()), "{reference}");
            }
            for name in document["components"]["schemas"].as_object().unwrap().keys() {
                assert!(found.contains(format!("#/components/schemas/{name}").as_str()), "{name}");
            }
        }
    }

    #[test]
    fn no_two_types_have_one_name() {
        let mut schemas = Schemas::default();
        for (route, operation) in ROUTES.iter().filter_map(|route| Some((route, operation_of(route)?))) {
            shared(operation, (route, &rules(true)), &[], &mut schemas);
        }
        assert!(schemas.clashes().is_empty(), "{:?}", schemas.clashes());
    }

    #[test]
    fn so_many_models_are_described_and_more_are_told_of() {
        let signature = Signature {
            inputs: vec![TensorSpec { name: "x".to_owned(), datatype: Dtype::Fp32, shape: vec![None, Some(2)] }],
            outputs: Vec::new(),
            features: Vec::new(),
            classes: Vec::new(),
            maps: Vec::new(),
        };
        let names: Vec<_> = (0..=MODELS_DESCRIBED_MAX).map(|number| format!("m{number}")).collect();
        let shown = Shown { signature: &signature, sample: &[] };
        let models: Vec<_> = names.iter().map(|name| Model { name, version: "1", shown }).collect();
        let document = described(Listener::Http, &models, &rules(false));
        assert_eq!(document["x-models"].as_object().unwrap().len(), MODELS_DESCRIBED_MAX);
        assert!(document["info"]["description"].as_str().unwrap().contains("1 more models are loaded"));
        let ids: Vec<_> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
            .collect();
        let once: BTreeSet<_> = ids.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
        assert_eq!(once.len(), ids.len(), "two operations of one name");
    }

    #[test]
    fn names_of_models_become_names_of_types() {
        struct Taken;
        let mut schemas = Schemas::default();
        assert_eq!(prefix("flights", &schemas), "Flights");
        assert_eq!(prefix("a-b_c.d2", &schemas), "ABCD2");
        assert_eq!(prefix("2nd", &schemas), "Model2nd");
        schemas.named::<Taken>("FlightsInferRequest", |_| Value::Null);
        assert_eq!(prefix("flights", &schemas), "Flights2");
    }
}
