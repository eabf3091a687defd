//! Operators on categories: LabelEncoder, CategoryMapper, OneHotEncoder.

use std::collections::HashMap;

use tract_onnx::tract_hir::internal::*;

use super::OpError;
use super::attributes::Attributes;
use super::glue::{Kernel, OutputFact, tensor};

/// Keys to places.
#[derive(Debug)]
enum Keys {
    Ints(HashMap<i64, usize>),
    Strings(HashMap<String, usize>),
    /// By bits; minus zero is stored as zero.
    Floats(HashMap<u32, usize>),
}

/// The value of each place, and the one of what has no place.
#[derive(Debug)]
enum Values {
    Ints(Vec<i64>, i64),
    Strings(Vec<String>, String),
    Floats(Vec<f32>, f32),
}

/// The first of equal keys counts, as in onnxruntime.
fn places<K: Hash + Eq>(keys: impl IntoIterator<Item = K>) -> HashMap<K, usize> {
    let mut places = HashMap::new();
    for (place, key) in keys.into_iter().enumerate() {
        places.entry(key).or_insert(place);
    }
    places
}

/// The two zeros are one key.
fn float_key(value: f32) -> u32 {
    if value.to_bits() << 1 == 0 { 0 } else { value.to_bits() }
}

/// Maps each value to another (LabelEncoder, CategoryMapper).
#[derive(Debug)]
pub(super) struct LabelEncoder {
    name: &'static str,
    keys: Keys,
    values: Values,
}

impl LabelEncoder {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        if ["keys_tensor", "values_tensor", "default_tensor"].iter().any(|name| attributes.has(name)) {
            return Err(OpError::Unknown("LabelEncoder with tensors for keys or values".to_owned()));
        }
        if attributes.has("classes_strings") {
            return Err(OpError::Unknown("LabelEncoder of ai.onnx.ml opset 1".to_owned()));
        }
        let (ints, floats, strings) =
            (attributes.ints("keys_int64s")?, attributes.floats("keys_floats")?, attributes.strings("keys_strings")?);
        let n_keys = ints.len() + floats.len() + strings.len();
        let keys = match (ints.is_empty(), floats.is_empty(), strings.is_empty()) {
            (false, true, true) => Keys::Ints(places(ints.iter().copied())),
            (true, true, false) => Keys::Strings(places(strings.into_iter().map(str::to_owned))),
            (true, false, true) if floats.iter().any(|key| key.is_nan()) => {
                return Err(OpError::Unknown("LabelEncoder with NaN as a key".to_owned()));
            }
            (true, false, true) => Keys::Floats(places(floats.iter().map(|&key| float_key(key)))),
            _ => return Err(OpError::Bad("LabelEncoder: expected keys of one type".to_owned())),
        };
        let (ints, floats, strings) = (
            attributes.ints("values_int64s")?,
            attributes.floats("values_floats")?,
            attributes.strings("values_strings")?,
        );
        let n_values = ints.len() + floats.len() + strings.len();
        let values = match (ints.is_empty(), floats.is_empty(), strings.is_empty()) {
            (false, true, true) => Values::Ints(ints.to_vec(), attributes.int("default_int64")?.unwrap_or(-1)),
            (true, true, false) => {
                let default = attributes.text("default_string")?.unwrap_or("_Unused").to_owned();
                Values::Strings(strings.into_iter().map(str::to_owned).collect(), default)
            }
            (true, false, true) => Values::Floats(floats.to_vec(), attributes.float("default_float")?.unwrap_or(-0.0)),
            _ => return Err(OpError::Bad("LabelEncoder: expected values of one type".to_owned())),
        };
        if n_keys != n_values {
            return Err(OpError::Bad(format!("LabelEncoder: {n_keys} keys, {n_values} values")));
        }
        Ok(Self { name: "LabelEncoder", keys, values })
    }

    /// CategoryMapper maps strings to whole numbers or back, by the type of its input; which of the two, only the input's
    /// type says. Here the default that is given says it, as the exporters do.
    pub(super) fn read_category_mapper(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let (ints, strings) = (attributes.ints("cats_int64s")?, attributes.strings("cats_strings")?);
        if ints.is_empty() || ints.len() != strings.len() {
            let problem = format!("CategoryMapper: {} numbers, {} strings", ints.len(), strings.len());
            return Err(OpError::Bad(problem));
        }
        let strings: Vec<String> = strings.into_iter().map(str::to_owned).collect();
        let (keys, values) = if attributes.has("default_string") && !attributes.has("default_int64") {
            let default = attributes.text("default_string")?.unwrap_or("_Unused").to_owned();
            (Keys::Ints(places(ints.iter().copied())), Values::Strings(strings, default))
        } else {
            let default = attributes.int("default_int64")?.unwrap_or(-1);
            (Keys::Strings(places(strings)), Values::Ints(ints.to_vec(), default))
        };
        Ok(Self { name: "CategoryMapper", keys, values })
    }

    fn places(&self, input: &Tensor) -> TractResult<Vec<Option<usize>>> {
        let values = input.try_as_plain_ram()?;
        Ok(match &self.keys {
            Keys::Ints(keys) => values.as_slice::<i64>()?.iter().map(|key| keys.get(key).copied()).collect(),
            Keys::Strings(keys) => {
                values.as_slice::<String>()?.iter().map(|key| keys.get(key.as_str()).copied()).collect()
            }
            Keys::Floats(keys) => {
                values.as_slice::<f32>()?.iter().map(|&key| keys.get(&float_key(key)).copied()).collect()
            }
        })
    }
}

impl Kernel for LabelEncoder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>> {
        let taken = match self.keys {
            Keys::Ints(_) => i64::datum_type(),
            Keys::Strings(_) => String::datum_type(),
            Keys::Floats(_) => f32::datum_type(),
        };
        ensure!(dtype == taken, "{} takes {taken:?}, got {dtype:?}", self.name);
        let given = match self.values {
            Values::Ints(..) => i64::datum_type(),
            Values::Strings(..) => String::datum_type(),
            Values::Floats(..) => f32::datum_type(),
        };
        Ok(tvec!((given, shape.into())))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let places = self.places(input)?;
        let shape = input.shape();
        Ok(tvec!(match &self.values {
            Values::Ints(values, default) => tensor(shape, pick(&places, values, default))?,
            Values::Strings(values, default) => tensor(shape, pick(&places, values, default))?,
            Values::Floats(values, default) => tensor(shape, pick(&places, values, default))?,
        }))
    }
}

fn pick<T: Clone>(places: &[Option<usize>], values: &[T], default: &T) -> Vec<T> {
    places.iter().map(|place| place.and_then(|place| values.get(place)).unwrap_or(default).clone()).collect()
}

/// A 1 in the place of the category, zeros elsewhere; one axis more than the input.
#[derive(Debug)]
pub(super) struct OneHotEncoder {
    keys: Keys,
    n_categories: usize,
    unknown_is_zeros: bool,
}

impl OneHotEncoder {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let (ints, strings) = (attributes.ints("cats_int64s")?, attributes.strings("cats_strings")?);
        let n_categories = ints.len() + strings.len();
        let keys = match (ints.is_empty(), strings.is_empty()) {
            (false, true) => Keys::Ints(places(ints.iter().copied())),
            (true, false) => Keys::Strings(places(strings.into_iter().map(str::to_owned))),
            _ => return Err(OpError::Bad("OneHotEncoder: expected categories of one type".to_owned())),
        };
        let unknown_is_zeros = attributes.int("zeros")?.unwrap_or(1) != 0;
        Ok(Self { keys, n_categories, unknown_is_zeros })
    }

    #[expect(clippy::cast_possible_truncation, reason = "a float is cut to a whole number, as in onnxruntime")]
    fn place(&self, input: &Tensor) -> TractResult<Vec<Option<usize>>> {
        match &self.keys {
            Keys::Strings(keys) => {
                let values = input.try_as_plain_ram()?;
                Ok(values.as_slice::<String>()?.iter().map(|key| keys.get(key.as_str()).copied()).collect())
            }
            Keys::Ints(keys) if input.datum_type().is_float() => {
                let values = input.cast_to::<f64>()?;
                let place = |&value: &f64| if value.is_nan() { None } else { keys.get(&(value as i64)).copied() };
                Ok(values.try_as_plain_ram()?.as_slice::<f64>()?.iter().map(place).collect())
            }
            Keys::Ints(keys) => {
                let values = input.cast_to::<i64>()?;
                Ok(values.try_as_plain_ram()?.as_slice::<i64>()?.iter().map(|key| keys.get(key).copied()).collect())
            }
            Keys::Floats(_) => bail!("OneHotEncoder has no float categories"),
        }
    }
}

impl Kernel for OneHotEncoder {
    fn name(&self) -> &'static str {
        "OneHotEncoder"
    }

    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>> {
        let strings = matches!(self.keys, Keys::Strings(_));
        ensure!(strings == (dtype == String::datum_type()), "OneHotEncoder: its categories do not fit {dtype:?}");
        let mut shape: TVec<TDim> = shape.into();
        shape.push(self.n_categories.to_dim());
        Ok(tvec!((f32::datum_type(), shape)))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let places = self.place(input)?;
        let mut values = vec![0.0_f32; places.len() * self.n_categories];
        for (row, place) in values.chunks_exact_mut(self.n_categories).zip(places) {
            match place {
                Some(place) => row[place] = 1.0,
                None if self.unknown_is_zeros => {}
                None => bail!("OneHotEncoder: unknown category"),
            }
        }
        let mut shape = input.shape().to_vec();
        shape.push(self.n_categories);
        Ok(tvec!(tensor(&shape, values)?))
    }
}
