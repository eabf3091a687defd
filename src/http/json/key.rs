//! Names of members, short texts, and what is passed over.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, Visitor};

use super::fault::Faults;

/// The name of a member, borrowed from the body where it has no escapes.
pub(in crate::http) struct Key<'de>(pub(in crate::http) Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a member")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// A value that is passed over, however deep it nests.
pub(in crate::http) type Ignored = IgnoredAny;

/// Reads a string; anything else is a fault that says `expected`.
pub(in crate::http) struct TextSeed<'a> {
    /// Where the fault goes.
    pub(in crate::http) faults: &'a Faults,
    /// What the text is.
    pub(in crate::http) expected: &'a str,
}

impl<'de> DeserializeSeed<'de> for TextSeed<'_> {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl TextSeed<'_> {
    fn refuse<E: de::Error>(&self, got: &str) -> E {
        self.faults.raise(self.expected, got)
    }
}

/// Methods of a [`Visitor`] whose kind of value is refused with `self.refuse(what came)`.
macro_rules! refuse {
    ($($method:ident $(($value:ty))? => $got:literal),+ $(,)?) => {
        $(fn $method<E: serde::de::Error>(self $(, _: $value)?) -> Result<Self::Value, E> {
            Err(self.refuse($got))
        })+
    };
}
pub(in crate::http) use refuse;

impl<'de> Visitor<'de> for TextSeed<'_> {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    refuse! {
        visit_bool(bool) => "true or false",
        visit_i64(i64) => "a number",
        visit_u64(u64) => "a number",
        visit_f64(f64) => "a number",
        visit_unit => "null",
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.refuse("a list"))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.refuse("an object"))
    }
}
