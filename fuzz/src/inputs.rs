//! Inputs of all kinds for a signature, made from a number.

use crate::model::Signature;
use crate::tensor::{Data, Dtype, Tensor};

/// A generator of numbers (SplitMix64, Steele, Lea and Flood, 2014): the same from the same seed.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 where `n` is.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    pub fn int(&mut self) -> i64 {
        const EDGES: [i64; 16] = [
            0, 1, -1, 2, -2, 3, 7, 8, 127, -128, 1 << 31, -(1 << 31), (1 << 31) - 1, i64::MAX, i64::MIN, 1 << 53,
        ];
        match self.below(4) {
            0 => EDGES[self.below(EDGES.len())],
            1 => self.next() as i64,
            _ => self.below(11) as i64 - 3,
        }
    }

    pub fn float(&mut self) -> f64 {
        const EDGES: [f64; 14] = [
            0.0, -0.0, 1.0, -1.0, 0.5, 1e30, -1e30, 1e-40, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300,
            9_223_372_036_854_775_808.0, -1e-300,
        ];
        match self.below(4) {
            0 => EDGES[self.below(EDGES.len())],
            1 => f64::from(f32::from_bits(self.next() as u32)),
            _ => (self.below(2001) as f64 - 1000.0) / 100.0,
        }
    }

    pub fn text(&mut self) -> String {
        const TEXTS: [&str; 10] = ["", "a", "b", "setosa", "1", "-2.5", "nan", "1e400", "\u{0}", "żółw"];
        TEXTS[self.below(TEXTS.len())].to_owned()
    }
}

/// Values in all that is made for one run.
const VALUES_MAX: usize = 1 << 14;

/// Inputs that fit `signature`; `None` where they would be too large.
pub fn made(signature: &Signature, seed: u64) -> Option<Vec<Tensor>> {
    let mut dice = Dice(seed);
    let n_rows = [1, 1, 2, 3, 8, 17, 64][dice.below(7)];
    let mut inputs = Vec::new();
    for spec in &signature.inputs {
        let behind = spec.shape.iter().skip(1).map(|dim| dim.unwrap_or_else(|| dice.below(5)));
        let shape: Vec<usize> = std::iter::once(n_rows).chain(behind).collect();
        let n = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))?;
        if VALUES_MAX < n {
            return None;
        }
        inputs.push(Tensor::new(shape, data(spec.datatype, n, &mut dice)).expect("a shape that fits"));
    }
    Some(inputs)
}

fn data(dtype: Dtype, n: usize, dice: &mut Dice) -> Data {
    macro_rules! ints {
        ($kind:ident) => {
            Data::$kind((0..n).map(|_| dice.int() as _).collect())
        };
    }
    match dtype {
        Dtype::Bool => Data::Bool((0..n).map(|_| dice.below(2) == 1).collect()),
        Dtype::Uint8 => ints!(Uint8),
        Dtype::Uint16 => ints!(Uint16),
        Dtype::Uint32 => ints!(Uint32),
        Dtype::Uint64 => ints!(Uint64),
        Dtype::Int8 => ints!(Int8),
        Dtype::Int16 => ints!(Int16),
        Dtype::Int32 => ints!(Int32),
        Dtype::Int64 => ints!(Int64),
        Dtype::Fp32 => Data::Fp32((0..n).map(|_| dice.float() as f32).collect()),
        Dtype::Fp64 => Data::Fp64((0..n).map(|_| dice.float()).collect()),
        Dtype::String => Data::String((0..n).map(|_| dice.text()).collect()),
    }
}
