//! `inputs`: columns by feature or input name, or the tensor of the only input.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::target::{Plan, Target};
use crate::http::json::{DecodeLimits, Faults, Ignored, Key, Nest, ValueSeed, clip, expected_value, refuse};
use crate::model::{Feature, TensorSpec};
use crate::tensor::{Data, Dtype, NamedTensor, Tensor};

/// Reads the columns into one tensor an input.
pub(in crate::http) struct ColumnsSeed<'a> {
    pub(in crate::http) faults: &'a Faults,
    pub(in crate::http) plan: &'a Plan<'a>,
    pub(in crate::http) limits: &'a DecodeLimits,
}

impl<'a> ColumnsSeed<'a> {
    const EXPECTED: &'static str = "an object with a list a column, or the tensor of the only input";

    fn refuse<E: de::Error>(&self, got: &str) -> E {
        self.faults.raise(Self::EXPECTED, got)
    }

    fn sheet(&self) -> Sheet<'a> {
        let Self { faults, plan, limits } = *self;
        Sheet {
            faults,
            plan,
            limits,
            features: plan.signature.features.iter().map(|_| None).collect(),
            inputs: plan.signature.inputs.iter().map(|_| None).collect(),
            n_rows: None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for ColumnsSeed<'_> {
    type Value = Vec<NamedTensor>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ColumnsSeed<'_> {
    type Value = Vec<NamedTensor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { faults, plan, .. } = self;
        let mut sheet = self.sheet();
        let mut next = 0;
        while let Some(Key(name)) = map.next_key()? {
            let Some(target) = plan.target(&name, next) else {
                if plan.takes_any_name() {
                    map.next_value::<Ignored>()?;
                    continue;
                }
                let expected = plan.known_names();
                return Err(faults.raise_at(format!(".{}", clip(&name)), expected, "an unknown name"));
            };
            let value = map.next_value_seed(ColumnSeed { sheet: &mut sheet, target });
            value.map_err(|error| faults.within(|| format!(".{}", clip(&name)), error))?;
            next = target.feature.map_or(next, |feature| feature + 1);
        }
        sheet.into_tensors()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        if self.plan.signature.inputs.len() != 1 {
            return Err(self.faults.raise("an object with a list a column", "a list"));
        }
        let mut sheet = self.sheet();
        let target = Target { feature: None, input: Some(0) };
        ColumnSeed { sheet: &mut sheet, target }.deserialize(SeqAccessDeserializer::new(seq))?;
        sheet.into_tensors()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(self.refuse("a string"))
    }

    refuse! {
        visit_bool(bool) => "true or false",
        visit_i64(i64) => "a number",
        visit_u64(u64) => "a number",
        visit_f64(f64) => "a number",
        visit_unit => "null",
    }
}

/// The columns so far.
struct Sheet<'a> {
    faults: &'a Faults,
    plan: &'a Plan<'a>,
    limits: &'a DecodeLimits,
    features: Vec<Option<Data>>,
    inputs: Vec<Option<Tensor>>,
    n_rows: Option<usize>,
}

/// Reads one column, or one input as a whole.
struct ColumnSeed<'a, 'p> {
    sheet: &'a mut Sheet<'p>,
    target: Target,
}

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { sheet, target } = self;
        let of = target.feature.and_then(|feature| sheet.plan.feature_inputs.get(feature).copied());
        let Some((input, spec)) = of.or(target.input).and_then(|input| Some((input, sheet.plan.spec(input)?))) else {
            return Err(sheet.faults.raise("the name of a column", "an unknown name"));
        };
        if sheet.has(target, input) {
            return Err(sheet.faults.raise("each name once", "it twice"));
        }
        let is_whole = target.input == Some(input) && (target.feature.is_none() || spec.row_len() == Some(1));
        let depth_max = if is_whole { spec.shape.len().max(1) } else { 1 };
        let mut data = Data::with_capacity(spec.datatype, sheet.n_rows.unwrap_or(0));
        let mut nest = Nest::new(depth_max.min(sheet.limits.nesting_max));
        ValueSeed::nested(sheet.faults, &mut data, &mut nest).read(deserializer)?;
        let dims = nest.dims();
        sheet.count_rows(&dims)?;
        match target.feature {
            Some(feature) if !is_whole => {
                if let Some(column) = sheet.features.get_mut(feature) {
                    *column = Some(data);
                }
                Ok(())
            }
            _ => sheet.put_input((input, spec), data, dims),
        }
    }
}

impl Sheet<'_> {
    /// Whether any part of what `target` names has been given.
    fn has(&self, target: Target, input: usize) -> bool {
        let is_given = |feature: usize| self.features.get(feature).is_some_and(Option::is_some);
        let is_whole = self.inputs.get(input).is_some_and(Option::is_some);
        let mut features = self.plan.feature_inputs.iter().enumerate();
        match target.feature {
            Some(feature) => is_whole || is_given(feature),
            None => is_whole || features.any(|(feature, of)| *of == input && is_given(feature)),
        }
    }

    /// Every column has as many rows as the first.
    fn count_rows<E: de::Error>(&mut self, dims: &[usize]) -> Result<(), E> {
        let Some(&n_rows) = dims.first() else { return Err(self.faults.raise("a list, one value a row", "one value")) };
        let rows_max = self.plan.rows_max(self.limits);
        if n_rows == 0 {
            return Err(self.faults.raise("at least one row", "none"));
        }
        if rows_max < n_rows {
            return Err(self.faults.raise(format!("at most {rows_max} rows"), "more"));
        }
        let first = *self.n_rows.get_or_insert(n_rows);
        if first != n_rows {
            return Err(self.faults.raise(format!("{first} rows, as in the first column"), format!("{n_rows} rows")));
        }
        Ok(())
    }

    fn put_input<E: de::Error>(
        &mut self,
        (input, spec): (usize, &TensorSpec),
        data: Data,
        mut dims: Vec<usize>,
    ) -> Result<(), E> {
        if dims.len() == 1 && spec.row_len() == Some(1) {
            dims.extend(spec.shape.iter().skip(1).map(|_| 1));
        }
        let tensor = Tensor::new(dims, data).ok().filter(|tensor| spec.takes_shape(tensor.shape()));
        let Some(tensor) = tensor else {
            return Err(self.faults.raise(format!("values of shape {:?}", spec.wire_shape()), "another shape"));
        };
        if let Some(place) = self.inputs.get_mut(input) {
            *place = Some(tensor);
        }
        Ok(())
    }

    fn into_tensors<E: de::Error>(mut self) -> Result<Vec<NamedTensor>, E> {
        let Some(n_rows) = self.n_rows else { return Err(self.faults.raise("at least one column", "none")) };
        let mut tensors = Vec::with_capacity(self.inputs.len());
        for (index, spec) in self.plan.signature.inputs.iter().enumerate() {
            let whole = self.inputs.get_mut(index).and_then(Option::take);
            let tensor = match whole {
                Some(tensor) => tensor,
                None => self.assemble(index, spec, n_rows)?,
            };
            tensors.push(NamedTensor { name: spec.name.clone(), tensor });
        }
        Ok(tensors)
    }

    /// An input from the columns of its features.
    fn assemble<E: de::Error>(&mut self, input: usize, spec: &TensorSpec, n_rows: usize) -> Result<Tensor, E> {
        let is_covered = self.plan.is_covered.get(input).is_some_and(|covered| *covered);
        let Some(row_len) = spec.row_len().filter(|_| is_covered) else {
            return Err(self.faults.raise_at(format!(".{}", spec.name), "a list, one value a row", "nothing"));
        };
        let mut columns: Vec<Option<Data>> = (0..row_len).map(|_| None).collect();
        let features = self.plan.signature.features.iter().zip(&self.plan.feature_inputs).zip(&mut self.features);
        let is_map = self.plan.is_map.get(input).is_some_and(|is_map| *is_map);
        for ((feature, _), data) in features.filter(|((_, of), _)| **of == input) {
            let data = match data.take() {
                Some(data) => data,
                None => absent(feature, spec.datatype, is_map, n_rows).ok_or_else(|| {
                    let expected = format!("a list, each {}", expected_value(spec.datatype));
                    self.faults.raise_at(format!(".{}", feature.name), expected, "nothing")
                })?,
            };
            if let Some(column) = columns.get_mut(feature.column) {
                *column = Some(data);
            }
        }
        let shape = std::iter::once(n_rows).chain(spec.shape.iter().skip(1).flatten().copied()).collect();
        let columns: Vec<Data> = columns.into_iter().flatten().collect();
        Tensor::new(shape, interleave(columns, spec, n_rows))
            .map_err(|error| self.faults.raise("columns of one length", error.to_string()))
    }
}

/// The column of a feature that was left out, where it may be: missing, or zero in a map.
fn absent(feature: &Feature, datatype: Dtype, is_map: bool, n_rows: usize) -> Option<Data> {
    match (feature.optional, is_map) {
        (true, true) => Some(Data::zeros(datatype, n_rows)),
        (true, false) => Data::missing(datatype, n_rows),
        (false, _) => None,
    }
}

/// Columns to rows: value `row` of each column in turn.
fn interleave(mut columns: Vec<Data>, spec: &TensorSpec, n_rows: usize) -> Data {
    if columns.len() == 1 {
        return columns.pop().unwrap_or_else(|| Data::with_capacity(spec.datatype, 0));
    }
    macro_rules! rows {
        ($($variant:ident),+) => {
            match spec.datatype {
                $(Dtype::$variant => {
                    let columns: Vec<_> = columns
                        .into_iter()
                        .filter_map(|column| if let Data::$variant(values) = column { Some(values) } else { None })
                        .collect();
                    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
                    let mut rows = Vec::with_capacity(n_rows.saturating_mul(columns.len()));
                    for _ in 0..n_rows {
                        rows.extend(columns.iter_mut().filter_map(Iterator::next));
                    }
                    Data::$variant(rows)
                })+
            }
        };
    }
    rows!(Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Fp32, Fp64, String)
}
