//! What the v2 form looks like: of any model, and of one whose signature is known.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::decode::ID_CHARS_MAX;
use crate::http::openapi::Shown;
use crate::schema::{Members, Schemas, nullable};
use crate::tensor::Dtype;

/// The parameters of a request, an input or an output that mean something here; others are passed over.
fn parameters(known: &[(&str, Value)]) -> Value {
    let mut members = Members::default();
    known.iter().for_each(|(name, schema)| members.optional(name, schema.clone()));
    nullable(members.into_object())
}

fn size() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// One input: `name` and `datatype` are those of a model where it is known.
fn input(name: Value, datatype: Value) -> Value {
    let mut members = Members::default();
    members.required("name", name);
    members.required("shape", json!({ "type": "array", "items": size(), "description": "Rows first." }));
    members.required("datatype", datatype);
    members.optional(
        "data",
        json!({ "type": "array", "items": {}, "description": "Row-major, nested or flat; left out where the tensor is in the binary form." }),
    );
    let binary = json!({ "type": "integer", "minimum": 0, "description": "Its bytes behind the JSON." });
    members.optional("parameters", parameters(&[("binary_data_size", binary)]));
    members.into_object()
}

fn infer(inputs: Value, output_name: Value) -> Value {
    let mut output = Members::default();
    output.required("name", output_name);
    output.optional("parameters", parameters(&[("binary_data", json!({ "type": "boolean" }))]));
    let microseconds = json!({ "type": "integer", "minimum": 0, "description": "Microseconds that the request wants to have at most." });
    let mut members = Members::default();
    members.optional("id", json!({ "type": "string", "maxLength": ID_CHARS_MAX }));
    members.optional(
        "parameters",
        parameters(&[("binary_data_output", json!({ "type": "boolean" })), ("timeout", microseconds)]),
    );
    let mut tensors = json!({ "type": "array", "minItems": 1 });
    tensors["items"] = inputs;
    members.required("inputs", tensors);
    members.optional("outputs", json!({ "type": "array", "items": output.into_object() }));
    members.into_object()
}

/// The request of any model.
pub(in crate::http) fn request(schemas: &mut Schemas) -> Value {
    struct Request;
    struct Input;
    let datatype = schemas.of::<Dtype>();
    let input = schemas.named::<Input>("InferInput", |_| input(json!({ "type": "string" }), datatype));
    schemas.named::<Request>("InferRequest", |_| infer(input, json!({ "type": "string" })))
}

/// The answer of any model.
pub(in crate::http) fn answer(schemas: &mut Schemas) -> Value {
    struct Answer;
    struct Output;
    let datatype = schemas.of::<Dtype>();
    let output = schemas.named::<Output>("InferOutput", |_| {
        let mut members = Members::default();
        members.required("name", json!({ "type": "string" }));
        members.required("shape", json!({ "type": "array", "items": size() }));
        members.required("datatype", datatype);
        members.optional("data", json!({ "type": "array", "items": {} }));
        let mut parameters = Members::default();
        parameters.required("binary_data_size", size());
        members.optional("parameters", parameters.into_object());
        members.into_object()
    });
    schemas.named::<Answer>("InferResponse", |_| {
        let mut members = Members::default();
        members.required("model_name", json!({ "type": "string" }));
        members.required("model_version", json!({ "type": "string" }));
        members.optional("id", json!({ "type": "string" }));
        members.required("outputs", json!({ "type": "array", "items": output }));
        members.into_object()
    })
}

/// The request of a model that takes and gives what is `shown`. `prefix` begins the names of its schemas.
pub(in crate::http) fn of_model(schemas: &mut Schemas, prefix: &str, shown: &Shown<'_>) -> Value {
    struct Request;
    struct Input;
    let word = |words: Vec<Value>| json!({ "type": "string", "enum": words });
    let signature = shown.signature;
    let names = signature.inputs.iter().map(|spec| spec.name.as_str().into()).collect();
    let datatypes: BTreeSet<_> = signature.inputs.iter().map(|spec| spec.datatype.as_str()).collect();
    let datatypes = datatypes.into_iter().map(Value::from).collect();
    let outputs = signature.outputs.iter().map(|spec| spec.name.as_str().into()).collect();
    let input = schemas.named::<Input>(&format!("{prefix}InferInput"), |_| input(word(names), word(datatypes)));
    schemas.named::<Request>(&format!("{prefix}InferRequest"), |_| {
        let mut request = infer(input, word(outputs));
        if let Some(tensors) = shown.example_tensors() {
            request["examples"] = json!([{ "inputs": tensors }]);
        }
        request
    })
}
