//! What the JSON of a type looks like, in JSON Schema 2020-12, told by the types themselves.
//!
//! [`described`] gives a type its schema beside its definition. It takes the names of the members and finds out about their types
//! from the code; a member that it leaves out does not compile, and neither does one that is not there.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Where an OpenAPI document has its schemas.
const PLACE: &str = "#/components/schemas/";

/// A type whose JSON can be described.
pub trait Described {
    /// The schema of a value.
    fn schema(schemas: &mut Schemas) -> Value;

    /// The members of a struct, which another one may have among its own.
    fn members(_: &mut Schemas) -> Members {
        Members::default()
    }
}

/// The schemas that have a name, each once.
#[derive(Debug, Default)]
pub struct Schemas {
    /// By name: the type that it belongs to, and the schema.
    named: BTreeMap<String, (&'static str, Value)>,
    clashes: Vec<String>,
}

impl Schemas {
    /// The schema of `T`.
    pub fn of<T: Described>(&mut self) -> Value {
        T::schema(self)
    }

    /// Keeps what `make` gives under `name`, which belongs to `T`; gives back a reference to it.
    pub fn named<T: ?Sized>(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        let owner = std::any::type_name::<T>();
        match self.named.get(name) {
            Some((known, _)) if *known != owner => self.clashes.push(format!("{name}: {known} and {owner}")),
            Some(_) => {}
            None => {
                // A type that holds itself finds its name taken.
                self.named.insert(name.to_owned(), (owner, Value::Null));
                let schema = make(self);
                self.named.insert(name.to_owned(), (owner, schema));
            }
        }
        json!({ "$ref": format!("{PLACE}{name}") })
    }

    /// Whether a schema has this name already.
    pub fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// Names that two types lay claim to.
    pub fn clashes(&self) -> &[String] {
        &self.clashes
    }

    /// Every schema by its name.
    pub fn into_components(self) -> Map<String, Value> {
        self.named.into_iter().map(|(name, (_, schema))| (name, schema)).collect()
    }
}

/// The members of an object.
#[derive(Debug, Default)]
pub struct Members {
    properties: Map<String, Value>,
    required: Vec<Value>,
}

impl Members {
    /// A member that is always there.
    pub fn required(&mut self, name: &str, schema: Value) {
        self.properties.insert(name.to_owned(), schema);
        self.required.push(name.into());
    }

    /// A member that may be left out.
    pub fn optional(&mut self, name: &str, schema: Value) {
        self.properties.insert(name.to_owned(), schema);
    }

    /// All members of another object.
    pub fn extend(&mut self, other: Self) {
        self.properties.extend(other.properties);
        self.required.extend(other.required);
    }

    /// An object with these members, and perhaps others that a later version may have.
    pub fn into_object(self) -> Value {
        let Self { properties, required } = self;
        let mut object = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            object["required"] = required.into();
        }
        object
    }

    /// An object with these members and no others.
    pub fn into_closed_object(self) -> Value {
        let mut object = self.into_object();
        object["additionalProperties"] = false.into();
        object
    }
}

/// The schema of the member that `_get` takes out of `S`: what makes the compiler look its type up.
pub fn of_member<S: ?Sized, T: Described + ?Sized>(schemas: &mut Schemas, _get: impl Fn(&S) -> &T) -> Value {
    T::schema(schemas)
}

/// `schema`, or null.
pub fn nullable(mut schema: Value) -> Value {
    if let Some(kind) = schema.get("type").and_then(Value::as_str).map(ToOwned::to_owned)
        && schema.get("enum").is_none()
    {
        schema["type"] = json!([kind, "null"]);
        return schema;
    }
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// `schema` without null.
pub fn present(mut schema: Value) -> Value {
    match (schema.get("type"), schema.get("anyOf")) {
        (Some(Value::Array(kinds)), _) => {
            schema["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
            schema
        }
        (_, Some(Value::Array(kinds))) => {
            kinds.iter().find(|kind| kind.get("type").is_none_or(|kind| kind != "null")).cloned().unwrap_or_default()
        }
        _ => schema,
    }
}

/// Describes a struct by the names of its members: those that are always there; those that are `omitted` where there is nothing to
/// say; of what is read and not written, those that are `defaulted`; and the members that are `flattened` into it. A struct that
/// refuses unknown members is `closed`.
macro_rules! described {
    (
        $type:ty as $name:literal { $($member:ident),* $(,)? }
        $(omitted { $($omitted:ident),* $(,)? })?
        $(defaulted { $($defaulted:ident),* $(,)? })?
        $(flattened { $($flattened:ident),* $(,)? })?
        $(, $closed:ident)?
    ) => {
        impl $crate::schema::Described for $type {
            fn schema(schemas: &mut $crate::schema::Schemas) -> serde_json::Value {
                schemas.named::<Self>($name, |schemas| {
                    let members = <Self as $crate::schema::Described>::members(schemas);
                    $crate::schema::described!(@object members $($closed)?)
                })
            }

            fn members(schemas: &mut $crate::schema::Schemas) -> $crate::schema::Members {
                // Without `..`: a member that is not described does not compile.
                let _all = |value: &Self| {
                    let Self {
                        $($member: _,)* $($($omitted: _,)*)? $($($defaulted: _,)*)? $($($flattened: _,)*)?
                    } = value;
                };
                let mut members = $crate::schema::Members::default();
                $({
                    let schema = $crate::schema::of_member(schemas, |value: &Self| &value.$member);
                    members.required(stringify!($member), schema);
                })*
                $($({
                    let schema = $crate::schema::of_member(schemas, |value: &Self| &value.$omitted);
                    members.optional(stringify!($omitted), $crate::schema::present(schema));
                })*)?
                $($({
                    let schema = $crate::schema::of_member(schemas, |value: &Self| &value.$defaulted);
                    members.optional(stringify!($defaulted), schema);
                })*)?
                $($(members.extend($crate::schema::members_of(schemas, |value: &Self| &value.$flattened));)*)?
                members
            }
        }
    };
    (@object $members:ident) => { $members.into_object() };
    (@object $members:ident closed) => { $members.into_closed_object() };
}
pub(crate) use described;

/// The members of what `_get` takes out of `S`.
pub fn members_of<S: ?Sized, T: Described + ?Sized>(schemas: &mut Schemas, _get: impl Fn(&S) -> &T) -> Members {
    T::members(schemas)
}

/// Describes an enum of words by its variants; the words are those that serde writes.
macro_rules! described_words {
    ($type:ty as $name:literal { $($variant:ident),+ $(,)? }) => {
        impl $crate::schema::Described for $type {
            fn schema(schemas: &mut $crate::schema::Schemas) -> serde_json::Value {
                schemas.named::<Self>($name, |_| {
                    // Without a wildcard: a variant that is not described does not compile.
                    let _all = |value: &Self| match value {
                        $(Self::$variant => {})+
                    };
                    let words = [$(Self::$variant),+].map(|word| serde_json::to_value(word).unwrap_or_default());
                    serde_json::json!({ "type": "string", "enum": words })
                })
            }
        }
    };
}
pub(crate) use described_words;

/// Describes types by a schema that needs no others.
macro_rules! described_plainly {
    ($($type:ty => $schema:tt),+ $(,)?) => {
        $(impl $crate::schema::Described for $type {
            fn schema(_: &mut $crate::schema::Schemas) -> serde_json::Value {
                serde_json::json!($schema)
            }
        })+
    };
}
pub(crate) use described_plainly;

described_plainly! {
    bool => { "type": "boolean" },
    str => { "type": "string" },
    String => { "type": "string" },
    f64 => { "type": "number" },
    u32 => { "type": "integer", "minimum": 0, "maximum": (u32::MAX) },
    i32 => { "type": "integer", "minimum": (i32::MIN), "maximum": (i32::MAX) },
    u64 => { "type": "integer", "minimum": 0, "maximum": (u64::MAX) },
    i64 => { "type": "integer", "minimum": (i64::MIN), "maximum": (i64::MAX) },
    usize => { "type": "integer", "minimum": 0, "maximum": (usize::MAX) },
    Value => {},
}

impl<T: Described + ?Sized> Described for &T {
    fn schema(schemas: &mut Schemas) -> Value {
        T::schema(schemas)
    }
}

impl<T: Described> Described for Option<T> {
    fn schema(schemas: &mut Schemas) -> Value {
        nullable(T::schema(schemas))
    }
}

impl<T: Described> Described for [T] {
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "type": "array", "items": T::schema(schemas) })
    }
}

impl<T: Described> Described for Vec<T> {
    fn schema(schemas: &mut Schemas) -> Value {
        <[T]>::schema(schemas)
    }
}

impl<T: Described, const N: usize> Described for [T; N] {
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "type": "array", "items": T::schema(schemas), "minItems": N, "maxItems": N })
    }
}

impl<T: Described> Described for BTreeMap<String, T> {
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "type": "object", "additionalProperties": T::schema(schemas) })
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Who {
        who: String,
    }
    described!(Who as "Who" { who });

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        One,
        TwoWords,
    }
    described_words!(Word as "Word" { One, TwoWords });

    #[derive(Serialize)]
    struct All {
        words: Vec<Word>,
        maybe: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        left: Option<Word>,
        #[serde(flatten)]
        who: Who,
    }
    described!(All as "All" { words, maybe } omitted { left } flattened { who }, closed);

    #[test]
    fn a_type_is_described_by_its_members() {
        let mut schemas = Schemas::default();
        assert_eq!(schemas.of::<All>(), json!({ "$ref": "#/components/schemas/All" }));
        assert!(schemas.has("All") && schemas.clashes().is_empty());
        let word = json!({ "$ref": "#/components/schemas/Word" });
        let all = json!({
            "type": "object",
            "properties": {
                "words": { "type": "array", "items": word },
                "maybe": { "type": ["number", "null"] },
                "left": word,
                "who": { "type": "string" },
            },
            "required": ["words", "maybe", "who"],
            "additionalProperties": false,
        });
        let components = schemas.into_components();
        assert_eq!(components["All"], all);
        assert_eq!(components["Word"], json!({ "type": "string", "enum": ["one", "two_words"] }));
        assert!(!components.contains_key("Who"), "its members are those of the other");
        let one =
            All { words: vec![Word::One, Word::TwoWords], maybe: None, left: None, who: Who { who: String::new() } };
        let names: Vec<_> = serde_json::to_value(one).unwrap().as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["maybe", "who", "words"], "as serde writes it");
    }

    #[test]
    fn two_types_of_one_name_are_told() {
        struct Other;
        let mut schemas = Schemas::default();
        schemas.of::<Who>();
        schemas.named::<Other>("Who", |_| Value::Null);
        assert_eq!(schemas.clashes().len(), 1, "{:?}", schemas.clashes());
    }
}
