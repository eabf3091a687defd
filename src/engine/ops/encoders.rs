//! Operators on categories: LabelEncoder, CategoryMapper, OneHotEncoder.

use std::collections::HashMap;
use std::hash::Hash;

use super::attributes::Attributes;
use crate::engine::kernel::{Args, Dim, Fact, Kernel, OpError, Outputs, as_f64, as_i64, as_strings, tensor};
use crate::tensor::{Data, Dtype, Tensor};

/// Keys to places.
#[derive(Debug)]
enum Keys {
    Ints(HashMap<i64, usize>),
    Strings(HashMap<String, usize>),
    /// By bits; minus zero is stored as zero, and every NaN as one.
    Floats(HashMap<u64, usize>),
}

/// The first of equal keys counts, as in onnxruntime.
fn places<K: Hash + Eq>(keys: impl IntoIterator<Item = K>) -> HashMap<K, usize> {
    let mut places = HashMap::new();
    for (place, key) in keys.into_iter().enumerate() {
        places.entry(key).or_insert(place);
    }
    places
}

fn float_key(value: f64) -> u64 {
    match value {
        _ if value.is_nan() => f64::NAN.to_bits(),
        _ if value.to_bits() << 1 == 0 => 0,
        _ => value.to_bits(),
    }
}

impl Keys {
    fn read(data: &Data) -> Result<Self, OpError> {
        let keys = Tensor::vector(data.clone());
        let bad = OpError::Bad;
        Ok(match data {
            Data::String(keys) => Self::Strings(places(keys.iter().cloned())),
            Data::Fp32(_) | Data::Fp64(_) => {
                Self::Floats(places(as_f64(&keys).map_err(bad)?.iter().map(|&key| float_key(key))))
            }
            _ => Self::Ints(places(as_i64(&keys).map_err(bad)?.iter().copied())),
        })
    }

    /// Calls `found` with the place of every value of `input`.
    fn each(&self, input: &Tensor, mut found: impl FnMut(Option<usize>)) -> Result<(), String> {
        match self {
            Self::Ints(keys) => as_i64(input)?.iter().for_each(|key| found(keys.get(key).copied())),
            Self::Strings(keys) => as_strings(input)?.iter().for_each(|key| found(keys.get(key.as_str()).copied())),
            Self::Floats(keys) => {
                as_f64(input)?.iter().for_each(|&key| found(keys.get(&float_key(key)).copied()));
            }
        }
        Ok(())
    }
}

/// One direction of a mapping.
#[derive(Debug)]
struct Mapping {
    taken: Dtype,
    keys: Keys,
    /// The value of each place, and the one of what has no place at the end.
    values: Data,
}

impl Mapping {
    fn new(keys: &Data, mut values: Data, default: &Data) -> Result<Self, OpError> {
        if keys.len() != values.len() {
            return OpError::bad(format!("{} keys, {} values", keys.len(), values.len()));
        }
        match (&mut values, default) {
            (Data::String(values), Data::String(default)) => values.extend_from_slice(default),
            (Data::Int64(values), Data::Int64(default)) => values.extend_from_slice(default),
            (Data::Int32(values), Data::Int32(default)) => values.extend_from_slice(default),
            (Data::Int16(values), Data::Int16(default)) => values.extend_from_slice(default),
            (Data::Fp32(values), Data::Fp32(default)) => values.extend_from_slice(default),
            (Data::Fp64(values), Data::Fp64(default)) => values.extend_from_slice(default),
            (values, default) => {
                return OpError::bad(format!("values of {} with a default of {}", values.dtype(), default.dtype()));
            }
        }
        if values.len() != keys.len() + 1 {
            return OpError::bad("expected one default value");
        }
        Ok(Self { taken: keys.dtype(), keys: Keys::read(keys)?, values })
    }

    fn run(&self, input: &Tensor) -> Result<Tensor, String> {
        let shape = input.shape().to_vec();
        let default = self.values.len() - 1;
        macro_rules! mapped {
            ($kind:ident, $values:expr) => {{
                let mut mapped = Vec::with_capacity(input.data().len());
                self.keys.each(input, |place| mapped.push($values[place.unwrap_or(default)].clone()))?;
                Data::$kind(mapped)
            }};
        }
        tensor(
            shape,
            match &self.values {
                Data::String(values) => mapped!(String, values),
                Data::Int64(values) => mapped!(Int64, values),
                Data::Int32(values) => mapped!(Int32, values),
                Data::Int16(values) => mapped!(Int16, values),
                Data::Fp32(values) => mapped!(Fp32, values),
                Data::Fp64(values) => mapped!(Fp64, values),
                other => return Err(format!("unexpected {}", other.dtype())),
            },
        )
    }
}

/// Maps each value to another (LabelEncoder, CategoryMapper); several mappings are for inputs of several types.
#[derive(Debug)]
pub(in crate::engine) struct LabelEncoder {
    name: &'static str,
    mappings: Vec<Mapping>,
}

impl LabelEncoder {
    pub(in crate::engine) fn read(attributes: Attributes<'_>, opset: i64) -> Result<Self, OpError> {
        let classes = attributes.strings("classes_strings")?;
        if !classes.is_empty() {
            return Self::of_opset_1(attributes, &classes);
        }
        let keys = listed(attributes, "keys")?;
        let values = listed(attributes, "values")?;
        let default = match attributes.any_tensor("default_tensor")? {
            Some(default) => default.into_data(),
            None => match values.dtype() {
                Dtype::String => Data::String(vec![attributes.text("default_string")?.unwrap_or("_Unused").to_owned()]),
                Dtype::Int64 => Data::Int64(vec![attributes.int("default_int64")?.unwrap_or(-1)]),
                Dtype::Int32 => Data::Int32(vec![-1]),
                Dtype::Int16 => Data::Int16(vec![-1]),
                Dtype::Fp32 => Data::Fp32(vec![attributes.float("default_float")?.unwrap_or(-0.0)]),
                _ => Data::Fp64(vec![-0.0]),
            },
        };
        let mut mapping = Mapping::new(&keys, values, &default)?;
        if opset < super::NAN_IS_KEY
            && let Keys::Floats(places) = &mut mapping.keys
        {
            places.remove(&float_key(f64::NAN));
        }
        Ok(Self { name: "LabelEncoder", mappings: vec![mapping] })
    }

    /// A list of strings, which are numbered; either way, by the type of the input.
    fn of_opset_1(attributes: Attributes<'_>, classes: &[&str]) -> Result<Self, OpError> {
        let classes = Data::String(classes.iter().map(|&class| class.to_owned()).collect());
        let numbers = Data::Int64((0_i64..).take(classes.len()).collect());
        Self::both_ways(attributes, "LabelEncoder", &classes, &numbers)
    }

    /// CategoryMapper maps strings to whole numbers or back, by the type of its input.
    pub(in crate::engine) fn read_category_mapper(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let (ints, strings) = (attributes.ints("cats_int64s")?, attributes.strings("cats_strings")?);
        if ints.is_empty() || ints.len() != strings.len() {
            return OpError::bad(format!("CategoryMapper: {} numbers, {} strings", ints.len(), strings.len()));
        }
        let strings = Data::String(strings.into_iter().map(str::to_owned).collect());
        Self::both_ways(attributes, "CategoryMapper", &strings, &Data::Int64(ints.to_vec()))
    }

    fn both_ways(attributes: Attributes<'_>, name: &'static str, strings: &Data, ints: &Data) -> Result<Self, OpError> {
        let string = Data::String(vec![attributes.text("default_string")?.unwrap_or("_Unused").to_owned()]);
        let int = Data::Int64(vec![attributes.int("default_int64")?.unwrap_or(-1)]);
        let mappings = vec![Mapping::new(strings, ints.clone(), &int)?, Mapping::new(ints, strings.clone(), &string)?];
        Ok(Self { name, mappings })
    }

    fn mapping(&self, dtype: Dtype) -> Option<&Mapping> {
        self.mappings.iter().find(|mapping| mapping.taken == dtype)
    }
}

/// The keys or values of a LabelEncoder, whatever their type.
fn listed(attributes: Attributes<'_>, what: &str) -> Result<Data, OpError> {
    let mut found = Vec::new();
    if let Some(tensor) = attributes.any_tensor(&format!("{what}_tensor"))? {
        if !matches!(
            tensor.dtype(),
            Dtype::String | Dtype::Int64 | Dtype::Int32 | Dtype::Int16 | Dtype::Fp32 | Dtype::Fp64
        ) {
            return OpError::unknown(format!("LabelEncoder with {what} of {}", tensor.dtype()));
        }
        found.push(tensor.into_data());
    }
    let ints = attributes.ints(&format!("{what}_int64s"))?;
    let floats = attributes.floats(&format!("{what}_floats"))?;
    let strings = attributes.strings(&format!("{what}_strings"))?;
    found.push(Data::Int64(ints.to_vec()));
    found.push(Data::Fp32(floats.to_vec()));
    found.push(Data::String(strings.into_iter().map(str::to_owned).collect()));
    found.retain(|data| !data.is_empty());
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => OpError::bad(format!("LabelEncoder: expected {what} of one type")),
    }
}

impl Kernel for LabelEncoder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        match self.mapping(inputs[0].dtype) {
            Some(mapping) => Ok(vec![inputs[0].like(mapping.values.dtype())]),
            None => OpError::bad(format!("{} has no keys of {}", self.name, inputs[0].dtype)),
        }
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.get(0)?;
        let mapping = self.mapping(input.dtype()).ok_or_else(|| format!("no keys of {}", input.dtype()))?;
        Ok(Outputs::One(mapping.run(input)?))
    }
}

/// A 1 in the place of the category, zeros elsewhere; one axis more than the input.
#[derive(Debug)]
pub(in crate::engine) struct OneHotEncoder {
    keys: Keys,
    n_categories: usize,
    unknown_is_zeros: bool,
}

impl OneHotEncoder {
    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let (ints, strings) = (attributes.ints("cats_int64s")?, attributes.strings("cats_strings")?);
        let n_categories = ints.len() + strings.len();
        let keys = match (ints.is_empty(), strings.is_empty()) {
            (false, true) => Keys::Ints(places(ints.iter().copied())),
            (true, false) => Keys::Strings(places(strings.into_iter().map(str::to_owned))),
            _ => return OpError::bad("OneHotEncoder: expected categories of one type"),
        };
        let unknown_is_zeros = attributes.int("zeros")?.unwrap_or(1) != 0;
        Ok(Self { keys, n_categories, unknown_is_zeros })
    }

    /// Calls `found` with the place of every value.
    #[expect(clippy::cast_possible_truncation, reason = "a float is cut to a whole number, as in onnxruntime")]
    fn each(&self, input: &Tensor, mut found: impl FnMut(Option<usize>)) -> Result<(), String> {
        match &self.keys {
            Keys::Ints(keys) if input.dtype().is_float() => {
                let place = |&value: &f64| if value.is_nan() { None } else { keys.get(&(value as i64)).copied() };
                as_f64(input)?.iter().for_each(|value| found(place(value)));
                Ok(())
            }
            keys => keys.each(input, found),
        }
    }
}

impl Kernel for OneHotEncoder {
    fn name(&self) -> &'static str {
        "OneHotEncoder"
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        let strings = matches!(self.keys, Keys::Strings(_));
        if strings != (inputs[0].dtype == Dtype::String) {
            return OpError::bad(format!("OneHotEncoder: its categories do not fit {}", inputs[0].dtype));
        }
        let shape = inputs[0].shape.as_ref().map(|shape| [shape, &[Dim::Fixed(self.n_categories)][..]].concat());
        Ok(vec![Fact::new(Dtype::Fp32, shape)])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.get(0)?;
        let shape = [input.shape(), &[self.n_categories]].concat();
        let mut values = vec![0.0_f32; args.room_for(&shape)?];
        let (mut start, mut unknown) = (0, false);
        self.each(input, |place| {
            match place {
                Some(place) => values[start + place] = 1.0,
                None => unknown = true,
            }
            start += self.n_categories;
        })?;
        if unknown && !self.unknown_is_zeros {
            return Err("unknown category".to_owned());
        }
        Ok(Outputs::One(tensor(shape, Data::Fp32(values))?))
    }
}
