//! What the v1 form looks like: of any model, and of one whose signature is known.

use serde_json::{Map, Value, json};

use super::target::Plan;
use crate::http::json::DecodeLimits;
use crate::http::openapi::{Shown, any_of, nested, output_value, value_of};
use crate::model::{Feature, FeatureKind, Head, TensorSpec};
use crate::schema::{Members, Schemas};
use crate::tensor::Dtype;

/// As many levels of one feature are listed.
const LEVELS_SHOWN_MAX: usize = 512;

/// The request of any model.
pub(in crate::http) fn request(schemas: &mut Schemas) -> Value {
    struct Request;
    schemas.named::<Request>("PredictRequest", |_| {
        let instances = json!({ "type": "array", "minItems": 1, "items": {}, "description": "One row a member." });
        let inputs = json!({
            "description": "One list a column, by name; or the tensor of the only input.",
        });
        any_of([form("instances", instances), form("inputs", inputs)])
    })
}

/// The answer of any model.
pub(in crate::http) fn answer(schemas: &mut Schemas) -> Value {
    struct Answer;
    schemas.named::<Answer>("PredictResponse", |_| {
        any_of([answered("predictions", json!({ "type": "array", "items": {} })), answered("outputs", json!({}))])
    })
}

fn form(name: &str, schema: Value) -> Value {
    let mut members = Members::default();
    members.required(name, schema);
    members.optional("signature_name", json!({ "type": "string", "const": "serving_default" }));
    members.into_closed_object()
}

fn answered(name: &str, schema: Value) -> Value {
    let mut members = Members::default();
    members.required(name, schema);
    members.required("model_name", json!({ "type": "string" }));
    members.required("model_version", json!({ "type": "string" }));
    members.into_object()
}

/// The request and the answer of a model that takes and gives what is `shown`. `prefix` begins the names of its schemas.
pub(in crate::http) fn of_model(
    schemas: &mut Schemas,
    prefix: &str,
    shown: &Shown<'_>,
    limits: &DecodeLimits,
) -> Option<(Value, Value)> {
    let plan = Plan::new(shown.signature)?;
    let rows_max = limits.rows_max.min(limits.values_max / plan.row_values);
    let model = Model { plan, shown, rows_max };
    let rows = model.rows(schemas, prefix);
    let columns = model.columns(schemas, prefix);
    let (rows, columns) = (model.instances(rows), columns);
    let rows = schemas.named::<Model<'_>>(&format!("{prefix}RowsRequest"), |_| form("instances", rows));
    let columns = schemas.named::<Model<'_>>(&format!("{prefix}ColumnsRequest"), |_| form("inputs", columns));
    let prediction = schemas.named::<Model<'_>>(&format!("{prefix}Prediction"), |_| model.prediction());
    let predictions = json!({ "type": "array", "items": prediction });
    let rows_answer =
        schemas.named::<Model<'_>>(&format!("{prefix}RowsResponse"), |_| answered("predictions", predictions));
    let outputs = model.outputs();
    let columns_answer =
        schemas.named::<Model<'_>>(&format!("{prefix}ColumnsResponse"), |_| answered("outputs", outputs));
    Some((any_of([rows, columns]), any_of([rows_answer, columns_answer])))
}

struct Model<'a> {
    plan: Plan<'a>,
    shown: &'a Shown<'a>,
    rows_max: usize,
}

impl Model<'_> {
    /// Every way to write one row, the one by name first.
    fn rows(&self, schemas: &mut Schemas, prefix: &str) -> Vec<Value> {
        let by_name = schemas.named::<Self>(&format!("{prefix}Row"), |_| self.by_name(Some));
        let mut ways = vec![by_name];
        if self.plan.is_positional() {
            ways.push(self.positional());
        } else if let [only] = self.shown.signature.inputs.as_slice() {
            ways.push(nested(behind(only), value_of(only.datatype)));
        }
        if let [only] = self.shown.signature.inputs.as_slice()
            && self.plan.takes_bare_values()
        {
            ways.push(value_of(only.datatype));
        }
        ways
    }

    fn instances(&self, ways: Vec<Value>) -> Value {
        let mut instances = json!({ "type": "array", "minItems": 1, "maxItems": self.rows_max, "items": any_of(ways) });
        if let Some(row) = self.shown.example_row() {
            instances["examples"] = json!([[row]]);
        }
        instances
    }

    /// An object with a member a feature, and one an input that features do not make up. `wrap` makes a column's schema of a
    /// value's.
    fn by_name(&self, wrap: impl Fn(Value) -> Option<Value>) -> Value {
        let signature = self.shown.signature;
        let mut members = Members::default();
        let mut add = |name: &str, schema: Value, is_required: bool| match (wrap(schema), is_required) {
            (Some(schema), true) => members.required(name, schema),
            (Some(schema), false) => members.optional(name, schema),
            (None, _) => {}
        };
        for (index, feature) in signature.features.iter().enumerate() {
            let Some((input, _, dtype)) = self.plan.place(index) else { continue };
            let is_map = self.plan.is_map.get(input).is_some_and(|is_map| *is_map);
            let may_be_left_out = feature.optional && (dtype.holds_missing() || is_map);
            add(&feature.name, self.described(feature, dtype), !may_be_left_out);
        }
        for (spec, is_covered) in signature.inputs.iter().zip(&self.plan.is_covered) {
            if !is_covered {
                add(&spec.name, nested(behind(spec), value_of(spec.datatype)), true);
            }
        }
        let mut object = members.into_closed_object();
        object["additionalProperties"] = self.plan.takes_any_name().into();
        object
    }

    fn described(&self, feature: &Feature, dtype: Dtype) -> Value {
        let mut schema = value_of(dtype);
        let Feature { kind, levels, min, max, optional, .. } = feature;
        schema["x-kind"] = json!(kind);
        schema["x-datatype"] = json!(dtype);
        let missing = if dtype.holds_missing() { " null where it is unknown." } else { "" };
        let left_out = if *optional { " May be left out." } else { "" };
        let mut text = match kind {
            FeatureKind::Numeric => "A quantity.".to_owned(),
            FeatureKind::Categorical => "A category.".to_owned(),
        };
        text.push_str(missing);
        text.push_str(left_out);
        if !levels.is_empty() {
            let shown: Vec<_> = levels.iter().take(LEVELS_SHOWN_MAX).collect();
            schema["x-levels"] = json!(shown);
            schema["x-levels-count"] = json!(levels.len());
            text.push_str(" x-levels are those of the training data; others are taken as unseen.");
        }
        if let (Some(min), Some(max)) = (min, max) {
            schema["x-training-range"] = json!([min, max]);
        }
        if let Some(example) = self.shown.example(feature) {
            schema["examples"] = json!([example]);
        }
        schema["description"] = text.into();
        schema
    }

    /// A list with one value a feature.
    fn positional(&self) -> Value {
        let n_features = self.shown.signature.features.len();
        let dtypes: Vec<_> = (0..n_features).filter_map(|feature| Some(self.plan.place(feature)?.2)).collect();
        let items = match dtypes.as_slice() {
            [first, rest @ ..] if rest.iter().all(|other| other == first) => json!({ "items": value_of(*first) }),
            _ => json!({ "prefixItems": dtypes.into_iter().map(value_of).collect::<Vec<_>>() }),
        };
        let mut list = json!({ "type": "array", "minItems": n_features, "maxItems": n_features });
        if let (Some(list), Value::Object(items)) = (list.as_object_mut(), items) {
            list.extend(items);
        }
        list["description"] = "The features' values, in their order.".into();
        list
    }

    fn columns(&self, schemas: &mut Schemas, prefix: &str) -> Value {
        let column = |items: Value| {
            let mut column = json!({ "type": "array", "minItems": 1, "maxItems": self.rows_max });
            // What a value means is said of the row's.
            column["items"] = plain(items);
            Some(column)
        };
        let by_name = schemas.named::<Self>(&format!("{prefix}Columns"), |_| {
            let mut object = self.by_name(column);
            object["minProperties"] = 1.into();
            object["description"] = "One list a column, all of one length.".into();
            object
        });
        match self.shown.signature.inputs.as_slice() {
            [only] => {
                let rows = nested(behind(only), value_of(only.datatype));
                let tensor = json!({ "type": "array", "minItems": 1, "maxItems": self.rows_max, "items": rows });
                any_of([by_name, tensor])
            }
            _ => by_name,
        }
    }

    /// What one row is answered with.
    fn prediction(&self) -> Value {
        let signature = self.shown.signature;
        match signature.head() {
            Head::Classes { probabilities, .. } => {
                let mut members = Members::default();
                members.required("label", self.label());
                if probabilities.is_some() {
                    let share = json!({ "type": ["number", "null"] });
                    let mut by_class = Members::default();
                    signature.classes.iter().for_each(|class| by_class.required(class, share.clone()));
                    let mut by_class = by_class.into_object();
                    by_class["additionalProperties"] = share;
                    members.required("probabilities", by_class);
                }
                members.into_object()
            }
            Head::Value { .. } => json!({ "type": ["number", "null"] }),
            // What says the same of any rows says nothing of one.
            Head::Raw => {
                self.by_output(|spec| spec.row_axis().map(|_| nested(loose(spec), output_value(spec.datatype))))
            }
        }
    }

    /// What columns are answered with.
    fn outputs(&self) -> Value {
        let signature = self.shown.signature;
        let list = |items: Value| json!({ "type": "array", "items": items });
        match signature.head() {
            Head::Classes { probabilities, .. } => {
                let mut members = Members::default();
                members.required("label", list(self.label()));
                if probabilities.is_some() {
                    members.required("probabilities", list(list(json!({ "type": ["number", "null"] }))));
                    members.required("classes", list(json!({ "type": "string" })));
                }
                members.into_object()
            }
            Head::Value { .. } => list(json!({ "type": ["number", "null"] })),
            Head::Raw => self.by_output(|spec| Some(list(nested(loose(spec), output_value(spec.datatype))))),
        }
    }

    /// The only output, or an object with a member an output that has a schema.
    fn by_output(&self, schema: impl Fn(&TensorSpec) -> Option<Value>) -> Value {
        match self.shown.signature.outputs.as_slice() {
            [only] => schema(only).unwrap_or(json!({ "type": "null" })),
            outputs => {
                let mut members = Members::default();
                let schemas = outputs.iter().filter_map(|spec| Some((&spec.name, schema(spec)?)));
                schemas.for_each(|(name, schema)| members.required(name, schema));
                members.into_object()
            }
        }
    }

    fn label(&self) -> Value {
        // A later version may know more classes.
        json!({ "type": ["string", "null"], "x-classes": self.shown.signature.classes })
    }
}

fn behind(spec: &TensorSpec) -> Vec<Option<usize>> {
    spec.shape.iter().skip(1).copied().collect()
}

/// Sizes of outputs may be others than the graph declares.
fn loose(spec: &TensorSpec) -> Vec<Option<usize>> {
    vec![None; spec.shape.len().saturating_sub(1)]
}

/// What kind of value it is, without what is said of it.
fn plain(schema: Value) -> Value {
    let Value::Object(members) = schema else { return schema };
    let is_said = |name: &str| name.starts_with("x-") || matches!(name, "description" | "examples");
    members.into_iter().filter(|(name, _)| !is_said(name)).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signature;

    /// What is said of a model with one category of `n_levels` levels and one quantity.
    fn schemas(n_levels: usize, maps: &[&str]) -> Map<String, Value> {
        let spec = |name: &str, datatype| TensorSpec { name: name.to_owned(), datatype, shape: vec![None, Some(1)] };
        let feature = |name: &str, kind, levels| Feature {
            name: name.to_owned(),
            kind,
            input: name.to_owned(),
            column: 0,
            optional: name == "hour",
            levels,
            min: None,
            max: None,
        };
        let levels = (0..n_levels).map(|level| format!("l{level}")).collect();
        let signature = Signature {
            inputs: vec![spec("carrier", Dtype::String), spec("hour", Dtype::Int32)],
            outputs: vec![spec("y", Dtype::Fp32)],
            features: vec![
                feature("carrier", FeatureKind::Categorical, levels),
                feature("hour", FeatureKind::Numeric, Vec::new()),
            ],
            classes: Vec::new(),
            maps: maps.iter().map(|&map| map.to_owned()).collect(),
        };
        let mut schemas = Schemas::default();
        let shown = Shown { signature: &signature, sample: &[] };
        of_model(&mut schemas, "M", &shown, &DecodeLimits::default()).unwrap();
        schemas.into_components()
    }

    #[test]
    fn so_many_levels_are_listed() {
        for (n_levels, expected) in
            [(3, 3), (LEVELS_SHOWN_MAX, LEVELS_SHOWN_MAX), (LEVELS_SHOWN_MAX + 1, LEVELS_SHOWN_MAX)]
        {
            let carrier = &schemas(n_levels, &[])["MRow"]["properties"]["carrier"];
            assert_eq!(carrier["x-levels"].as_array().unwrap().len(), expected);
            assert_eq!(carrier["x-levels-count"], n_levels);
        }
    }

    #[test]
    fn what_may_be_left_out_depends_on_the_type_and_on_maps() {
        let required = |maps| schemas(1, maps)["MRow"]["required"].clone();
        assert_eq!(required(&[]), json!(["carrier", "hour"]), "a whole number has no way to be missing");
        assert_eq!(required(&["hour"]), json!(["carrier"]), "what a map leaves out is 0");
        assert_eq!(schemas(1, &[])["MRow"]["additionalProperties"], false);
        assert_eq!(schemas(1, &["hour"])["MRow"]["additionalProperties"], true);
    }

    #[test]
    fn a_row_by_position_has_a_type_a_place() {
        let rows = &schemas(1, &[])["MRowsRequest"]["properties"]["instances"];
        let list = &rows["items"]["anyOf"][1];
        assert_eq!((&list["minItems"], &list["maxItems"]), (&json!(2), &json!(2)));
        assert_eq!(list["prefixItems"][1]["type"], "integer");
        assert_eq!(rows["maxItems"], DecodeLimits::default().rows_max);
    }
}
