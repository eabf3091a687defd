//! The parameters that mean something here; all others are passed over.

use std::time::Duration;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::json::{Faults, Ignored, Key, refuse};

/// Declares a set of parameters: name, type, how it is read, what is expected.
macro_rules! parameters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident / $key:literal: $type:ty = $read:expr, $expected:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(super) struct $name { $($(#[$field_doc])* pub(super) $field: Option<$type>,)+ }

        impl $name {
            /// Reads the value of `map`'s current key.
            pub(super) fn read<'de, A: MapAccess<'de>>(faults: &Faults, map: &mut A) -> Result<Self, A::Error> {
                struct Seed<'a>(&'a Faults);

                impl Seed<'_> {
                    fn refuse<E: de::Error>(&self, got: &str) -> E {
                        self.0.raise("an object of parameters", got)
                    }
                }

                impl<'de> DeserializeSeed<'de> for Seed<'_> {
                    type Value = $name;

                    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<$name, D::Error> {
                        deserializer.deserialize_any(self)
                    }
                }

                impl<'de> Visitor<'de> for Seed<'_> {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object of parameters")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut parameters = $name::default();
                        while let Some(Key(name)) = map.next_key()? {
                            match &*name {
                                $($key => {
                                    // What is no plain value is passed over as text, however deep it is.
                                    let text: &RawValue = map.next_value()?;
                                    let value = serde_json::from_str(text.get()).unwrap_or(Value::Null);
                                    let read: fn(&Value) -> Option<$type> = $read;
                                    let fault = || self.0.raise_at(concat!(".", $key), $expected, "another value");
                                    parameters.$field = Some(read(&value).ok_or_else(fault)?);
                                })+
                                _ => {
                                    map.next_value::<Ignored>()?;
                                }
                            }
                        }
                        Ok(parameters)
                    }

                    fn visit_unit<E: de::Error>(self) -> Result<$name, E> {
                        Ok($name::default())
                    }

                    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<$name, A::Error> {
                        Err(self.refuse("a list"))
                    }

                    fn visit_str<E: de::Error>(self, _: &str) -> Result<$name, E> {
                        Err(self.refuse("a string"))
                    }

                    refuse! {
                        visit_bool(bool) => "true or false",
                        visit_i64(i64) => "a number",
                        visit_u64(u64) => "a number",
                        visit_f64(f64) => "a number",
                    }
                }

                map.next_value_seed(Seed(faults))
            }
        }
    };
}

parameters! {
    /// Of an input.
    InputParameters {
        /// Its bytes behind the JSON.
        binary_data_size / "binary_data_size": usize = |value| usize::try_from(value.as_u64()?).ok(), "a whole number of bytes";
        /// Shared memory, which is refused.
        shared_memory_region / "shared_memory_region": bool = |_| None, "the tensor in the body: this server has no shared memory";
    }
}

parameters! {
    /// Of an output that is asked for.
    OutputParameters {
        /// Whether it is wanted in the binary form.
        binary_data / "binary_data": bool = Value::as_bool, "true or false";
        /// Shared memory, which is refused.
        shared_memory_region / "shared_memory_region": bool = |_| None, "no region: this server has no shared memory";
    }
}

parameters! {
    /// Of a request. `priority` is passed over: requests run in the order in which they come.
    RequestParameters {
        /// Whether all outputs are wanted in the binary form.
        binary_data_output / "binary_data_output": bool = Value::as_bool, "true or false";
        /// The time that it wants to have, in microseconds; 0 says nothing.
        timeout / "timeout": Duration = |value| value.as_u64().map(Duration::from_micros), "a whole number of microseconds";
    }
}
