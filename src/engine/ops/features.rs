//! Operators that put columns together or pick some: FeatureVectorizer, ArrayFeatureExtractor.

use super::attributes::Attributes;
use crate::engine::kernel::{Args, Dim, Fact, Kernel, OpError, Outputs, as_f32, as_i64, rows_of, tensor};
use crate::tensor::{Data, Dtype, Tensor};

/// Rows of several inputs side by side, each cut or filled with zeros to its width.
#[derive(Debug)]
pub(in crate::engine) struct FeatureVectorizer {
    widths: Vec<usize>,
    n_features: usize,
}

impl FeatureVectorizer {
    /// More columns than this are a mistake.
    const FEATURES_MAX: usize = 1 << 24;

    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let widths = attributes.ints("inputdimensions")?.iter().map(|&width| usize::try_from(width));
        let widths: Vec<usize> =
            widths.collect::<Result<_, _>>().map_err(|_| OpError::Bad("inputdimensions: below 0".to_owned()))?;
        let n_features = widths.iter().try_fold(0_usize, |sum, &width| sum.checked_add(width));
        match n_features.filter(|&sum| 0 < sum && sum <= Self::FEATURES_MAX) {
            Some(n_features) => Ok(Self { widths, n_features }),
            None => OpError::bad(format!("inputdimensions: expected 1 to {} columns in all", Self::FEATURES_MAX)),
        }
    }
}

impl Kernel for FeatureVectorizer {
    fn name(&self) -> &'static str {
        "FeatureVectorizer"
    }

    fn n_inputs(&self) -> std::ops::RangeInclusive<usize> {
        self.widths.len()..=self.widths.len()
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        inputs.iter().try_for_each(|input| input.number("FeatureVectorizer"))?;
        Ok(vec![Fact::new(Dtype::Fp32, Some(vec![inputs[0].rows(), Dim::Fixed(self.n_features)]))])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let (n_rows, _) = rows_of(args.get(0)?.shape());
        let shape = vec![n_rows, self.n_features];
        let mut values = vec![0.0; args.room_for(&shape)?];
        let mut start = 0;
        for (index, &width) in self.widths.iter().enumerate() {
            let input = args.get(index)?;
            let (rows, len) = rows_of(input.shape());
            if rows != n_rows {
                return Err(format!("input {index} has {rows} rows, the first {n_rows}"));
            }
            let given = as_f32(input)?;
            let used = width.min(len);
            for (row, given) in values.chunks_exact_mut(self.n_features).zip(given.chunks_exact(len.max(1))) {
                row[start..start + used].copy_from_slice(&given[..used]);
            }
            start += width;
        }
        Ok(Outputs::One(tensor(shape, Data::Fp32(values))?))
    }
}

/// Picks places of the last axis.
#[derive(Debug)]
pub(in crate::engine) struct ArrayFeatureExtractor;

impl Kernel for ArrayFeatureExtractor {
    fn name(&self) -> &'static str {
        "ArrayFeatureExtractor"
    }

    fn n_inputs(&self) -> std::ops::RangeInclusive<usize> {
        2..=2
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        let [input, places] = inputs else { return OpError::bad("ArrayFeatureExtractor takes two inputs") };
        places.of_type("ArrayFeatureExtractor", Dtype::Int64)?;
        let (Some(shape), Some(picked)) = (&input.shape, &places.shape) else {
            return Ok(vec![Fact::new(input.dtype, None)]);
        };
        let fixed = picked.iter().try_fold(1_usize, |product, dim| product.checked_mul(dim.fixed()?));
        let other = || picked.iter().copied().find(|dim| dim.fixed() != Some(1)).unwrap_or(Dim::Unknown);
        let varied = picked.iter().filter(|dim| dim.fixed() != Some(1)).count();
        let n_places = match fixed {
            Some(n_places) => Dim::Fixed(n_places),
            None if varied == 1 => other(),
            None => Dim::Unknown,
        };
        if let (Some(places), Some(Some(size))) = (&places.constant, shape.last().map(|dim| dim.fixed())) {
            check_places(places, size).map_err(OpError::Bad)?;
        }
        let shape = match shape.as_slice() {
            [] => return OpError::bad("ArrayFeatureExtractor takes at least one axis"),
            [_] => vec![Dim::Fixed(1), n_places],
            [outer @ .., _] => [outer, &[n_places]].concat(),
        };
        Ok(vec![Fact::new(input.dtype, Some(shape))])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let (input, places) = (args.get(0)?, args.get(1)?);
        let Some((&size, outer)) = input.shape().split_last() else { return Err("no axis to pick from".to_owned()) };
        let picked = check_places(places, size)?;
        let shape = if outer.is_empty() { vec![1, picked.len()] } else { [outer, &[picked.len()]].concat() };
        args.room_for(&shape)?;
        let starts = (0..input.data().len() / size.max(1)).map(|row| row * size);
        let data = input.data().pick(starts.flat_map(|start| picked.iter().map(move |place| start + place)));
        Ok(Outputs::One(tensor(shape, data)?))
    }
}

fn check_places(places: &Tensor, size: usize) -> Result<Vec<usize>, String> {
    let place = |&place: &i64| {
        let inside = usize::try_from(place).ok().filter(|&place| place < size);
        inside.ok_or_else(|| format!("place {place} of {size} values"))
    };
    as_i64(places)?.iter().map(place).collect()
}
