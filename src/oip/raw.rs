//! Tensors as bytes: little-endian, row-major, without padding; a boolean is one byte, a string its length in four bytes and
//! then itself.

use crate::tensor::{Data, Dtype};

/// Bytes that are not the values they are said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFault {
    /// What should have come.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl RawFault {
    fn new(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { expected: expected.into(), got: got.into() }
    }
}

/// The bytes of one value; `None` where values differ in size.
pub fn value_bytes(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::Bool | Dtype::Uint8 | Dtype::Int8 => Some(1),
        Dtype::Uint16 | Dtype::Int16 => Some(2),
        Dtype::Uint32 | Dtype::Int32 | Dtype::Fp32 => Some(4),
        Dtype::Uint64 | Dtype::Int64 | Dtype::Fp64 => Some(8),
        Dtype::String => None,
    }
}

/// The vector of numbers in `$bytes`: one pass, straight into the column.
macro_rules! numbers {
    ($bytes:expr, $type:ty) => {
        $bytes.as_chunks().0.iter().map(|chunk| <$type>::from_le_bytes(*chunk)).collect()
    };
}

/// Reads `n_values` values.
///
/// # Errors
/// [`RawFault`] where the bytes are not as many as the values take, or no such values. It quotes none of them.
pub fn read(dtype: Dtype, n_values: usize, bytes: &[u8]) -> Result<Data, RawFault> {
    check_len(dtype, n_values, bytes.len())?;
    Ok(match dtype {
        Dtype::Bool => Data::Bool(read_bools(bytes)?),
        Dtype::Uint8 => Data::Uint8(bytes.to_vec()),
        Dtype::Uint16 => Data::Uint16(numbers!(bytes, u16)),
        Dtype::Uint32 => Data::Uint32(numbers!(bytes, u32)),
        Dtype::Uint64 => Data::Uint64(numbers!(bytes, u64)),
        Dtype::Int8 => Data::Int8(numbers!(bytes, i8)),
        Dtype::Int16 => Data::Int16(numbers!(bytes, i16)),
        Dtype::Int32 => Data::Int32(numbers!(bytes, i32)),
        Dtype::Int64 => Data::Int64(numbers!(bytes, i64)),
        Dtype::Fp32 => Data::Fp32(numbers!(bytes, f32)),
        Dtype::Fp64 => Data::Fp64(numbers!(bytes, f64)),
        Dtype::String => Data::String(read_strings(n_values, bytes)?),
    })
}

/// Refuses a number of bytes that is not the one that so many values take; strings take any.
///
/// # Errors
/// [`RawFault`] with both.
pub fn check_len(dtype: Dtype, n_values: usize, n_bytes: usize) -> Result<(), RawFault> {
    match value_bytes(dtype) {
        Some(size) if n_values.checked_mul(size) != Some(n_bytes) => {
            Err(RawFault::new(format!("{n_values} values of {size} bytes, {dtype}"), format!("{n_bytes} bytes")))
        }
        _ => Ok(()),
    }
}

/// Numbers that are read as their bytes come, in parts of any length: they are held once, and not as bytes too.
#[derive(Debug)]
pub struct Growing {
    data: Data,
    value_bytes: usize,
    /// The beginning of a value that was cut by the end of a part.
    cut: Vec<u8>,
    n_bytes_left: usize,
}

impl Growing {
    /// Numbers of type `dtype` that take `n_bytes`; `None` for types whose values have to be looked at (BOOL, BYTES), and where
    /// `n_bytes` is not a whole number of values. Room for all of them is asked for with the first part: what is not written to
    /// takes no memory, and what grows from small to large leaves holes of its size behind.
    pub fn new(dtype: Dtype, n_bytes: usize) -> Option<Self> {
        let value_bytes = value_bytes(dtype).filter(|_| dtype != Dtype::Bool)?;
        let data = Data::with_capacity(dtype, 0);
        n_bytes.is_multiple_of(value_bytes).then_some(Self {
            data,
            value_bytes,
            cut: Vec::new(),
            n_bytes_left: n_bytes,
        })
    }

    /// Takes what belongs to it from the front of `part`; gives back the rest.
    pub fn push<'a>(&mut self, part: &'a [u8]) -> &'a [u8] {
        let (mut own, rest) = part.split_at(part.len().min(self.n_bytes_left));
        if self.data.is_empty() && self.cut.is_empty() {
            self.data.make_room(self.n_bytes_left / self.value_bytes);
        }
        self.n_bytes_left -= own.len();
        if !self.cut.is_empty() {
            let (completing, behind) = own.split_at(own.len().min(self.value_bytes - self.cut.len()));
            self.cut.extend_from_slice(completing);
            own = behind;
            if self.cut.len() < self.value_bytes {
                return rest;
            }
            extend(&mut self.data, &self.cut);
            self.cut.clear();
        }
        let (whole, cut) = own.split_at(own.len() - own.len() % self.value_bytes);
        extend(&mut self.data, whole);
        self.cut.extend_from_slice(cut);
        rest
    }

    /// The values so far, and how many bytes of them came.
    pub fn finish(self) -> (Data, usize) {
        let n_bytes = self.data.len() * self.value_bytes + self.cut.len();
        (self.data, n_bytes)
    }
}

/// Appends the numbers that `bytes` are, all of them whole.
fn extend(data: &mut Data, bytes: &[u8]) {
    /// One pass, straight into the column.
    macro_rules! append {
        ($values:expr, $type:ty) => {
            $values.extend(bytes.as_chunks().0.iter().map(|chunk| <$type>::from_le_bytes(*chunk)))
        };
    }
    match data {
        Data::Uint8(values) => values.extend_from_slice(bytes),
        Data::Uint16(values) => append!(values, u16),
        Data::Uint32(values) => append!(values, u32),
        Data::Uint64(values) => append!(values, u64),
        Data::Int8(values) => append!(values, i8),
        Data::Int16(values) => append!(values, i16),
        Data::Int32(values) => append!(values, i32),
        Data::Int64(values) => append!(values, i64),
        Data::Fp32(values) => append!(values, f32),
        Data::Fp64(values) => append!(values, f64),
        // `Growing::new` makes none of these.
        Data::Bool(_) | Data::String(_) => {}
    }
}

fn read_bools(bytes: &[u8]) -> Result<Vec<bool>, RawFault> {
    let value = |byte: &u8| match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(RawFault::new("bytes 0 or 1, BOOL", "another byte")),
    };
    bytes.iter().map(value).collect()
}

fn read_strings(n_values: usize, bytes: &[u8]) -> Result<Vec<String>, RawFault> {
    let expected = || format!("{n_values} strings, each after its length in 4 bytes");
    let mut rest = bytes;
    // Every string takes four bytes at least: what is not there makes no room.
    let mut strings = Vec::with_capacity(n_values.min(bytes.len() / 4));
    for at in 0..n_values {
        let cut_off = || RawFault::new(expected(), format!("an end within string {at}"));
        let (&length, behind) = rest.split_first_chunk::<4>().ok_or_else(cut_off)?;
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| cut_off())?;
        let (text, behind) = behind.split_at_checked(length).ok_or_else(cut_off)?;
        strings.push(text_of(text, at)?);
        rest = behind;
    }
    if rest.is_empty() { Ok(strings) } else { Err(RawFault::new(expected(), format!("{} bytes more", rest.len()))) }
}

/// The string that `bytes` are, as value `at`.
///
/// # Errors
/// [`RawFault`] where they are not UTF-8.
pub fn text_of(bytes: &[u8], at: usize) -> Result<String, RawFault> {
    let text = std::str::from_utf8(bytes).map(ToOwned::to_owned);
    text.map_err(|_| RawFault::new("strings in UTF-8", format!("other bytes in string {at}")))
}

/// The bytes that `data` takes.
pub fn len(data: &Data) -> usize {
    match (value_bytes(data.dtype()), data) {
        (Some(size), _) => data.len() * size,
        (None, Data::String(values)) => values.iter().map(|value| 4 + value.len()).sum(),
        (None, _) => 0,
    }
}

/// Writes all values behind what `out` holds.
pub fn write(data: &Data, out: &mut Vec<u8>) {
    out.reserve(len(data));
    match data {
        Data::Bool(values) => out.extend(values.iter().map(|&value| u8::from(value))),
        Data::Uint8(values) => out.extend_from_slice(values),
        Data::Uint16(values) => write_all(values, |value| value.to_le_bytes(), out),
        Data::Uint32(values) => write_all(values, |value| value.to_le_bytes(), out),
        Data::Uint64(values) => write_all(values, |value| value.to_le_bytes(), out),
        Data::Int8(values) => write_all(values, |value| value.to_le_bytes(), out),
        Data::Int16(values) => write_all(values, |value| value.to_le_bytes(), out),
        Data::Int32(values) => write_all(values, |value| value.to_le_bytes(), out),
        Data::Int64(values) => write_all(values, |value| value.to_le_bytes(), out),
        Data::Fp32(values) => write_all(values, |value| value.to_le_bytes(), out),
        Data::Fp64(values) => write_all(values, |value| value.to_le_bytes(), out),
        Data::String(values) => {
            for value in values {
                // A string that a model gives is far shorter than 4 GiB.
                let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(value.as_bytes());
            }
        }
    }
}

fn write_all<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N], out: &mut Vec<u8>) {
    for &value in values {
        out.extend_from_slice(&bytes(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(data: &Data) -> Vec<u8> {
        let mut out = Vec::new();
        write(data, &mut out);
        assert_eq!(out.len(), len(data));
        out
    }

    #[test]
    fn every_type_reads_back_bit_for_bit() {
        let all = [
            Data::Bool(vec![true, false]),
            Data::Uint8(vec![0, 255]),
            Data::Uint16(vec![1, u16::MAX]),
            Data::Uint32(vec![1, u32::MAX]),
            Data::Uint64(vec![1, u64::MAX]),
            Data::Int8(vec![-1, i8::MIN]),
            Data::Int16(vec![-1, i16::MIN]),
            Data::Int32(vec![-1, i32::MIN]),
            Data::Int64(vec![-1, i64::MIN]),
            Data::Fp32(vec![-0.1, f32::INFINITY]),
            Data::Fp64(vec![-0.1, f64::NEG_INFINITY]),
            Data::String(vec![String::new(), "Köln".to_owned()]),
        ];
        assert_eq!(all.each_ref().map(Data::dtype), Dtype::ALL);
        for data in all {
            assert_eq!(read(data.dtype(), 2, &written(&data)), Ok(data));
        }
        let nan = Data::Fp32(vec![f32::from_bits(0x7fc0_1234)]);
        let Ok(Data::Fp32(back)) = read(Dtype::Fp32, 1, &written(&nan)) else { unreachable!("it was written so") };
        assert_eq!(back[0].to_bits(), 0x7fc0_1234, "the payload of a NaN stays");
    }

    #[test]
    fn numbers_that_come_in_parts_are_those_that_come_at_once() {
        let bytes: Vec<u8> = (0..48).map(|byte: u8| byte.wrapping_mul(37)).collect();
        for dtype in Dtype::ALL.into_iter().filter(|dtype| !matches!(dtype, Dtype::Bool | Dtype::String)) {
            let n_values = bytes.len() / value_bytes(dtype).unwrap();
            let at_once = written(&read(dtype, n_values, &bytes).unwrap());
            for part_len in [1, 3, 5, 8, 11, 48] {
                let mut growing = Growing::new(dtype, bytes.len()).unwrap();
                assert!(bytes.chunks(part_len).all(|part| growing.push(part).is_empty()));
                assert_eq!(growing.push(b"more"), b"more", "what follows is not its");
                let (data, n_bytes) = growing.finish();
                assert_eq!((written(&data), n_bytes), (at_once.clone(), bytes.len()), "{dtype} by {part_len}");
            }
        }
        assert!(Growing::new(Dtype::Fp32, 7).is_none() && Growing::new(Dtype::String, 8).is_none());
        let mut cut = Growing::new(Dtype::Fp64, 16).unwrap();
        assert_eq!(cut.push(&bytes[..11]), b"");
        let (data, n_bytes) = cut.finish();
        assert_eq!((data.len(), n_bytes), (1, 11));
    }

    #[test]
    fn the_form_is_the_protocols() {
        assert_eq!(written(&Data::Int32(vec![1, -2])), [1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
        assert_eq!(written(&Data::String(vec!["ab".to_owned()])), [2, 0, 0, 0, b'a', b'b']);
        assert_eq!(written(&Data::Bool(vec![true])), [1]);
    }

    #[track_caller]
    fn check(dtype: Dtype, n_values: usize, bytes: &[u8], expected: &str, got: &str) {
        assert_eq!(read(dtype, n_values, bytes), Err(RawFault::new(expected, got)));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        check(Dtype::Fp32, 2, &[0; 7], "2 values of 4 bytes, FP32", "7 bytes");
        check(Dtype::Fp64, usize::MAX, &[0; 8], &format!("{} values of 8 bytes, FP64", usize::MAX), "8 bytes");
        check(Dtype::Bool, 1, &[2], "bytes 0 or 1, BOOL", "another byte");
        let strings = "1 strings, each after its length in 4 bytes";
        check(Dtype::String, 1, &[1, 0, 0], strings, "an end within string 0");
        check(Dtype::String, 1, &[0xff, 0xff, 0xff, 0xff, b'a'], strings, "an end within string 0");
        check(Dtype::String, 1, &[1, 0, 0, 0, b'a', b'b'], strings, "1 bytes more");
        check(Dtype::String, 1, &[1, 0, 0, 0, 0xff], "strings in UTF-8", "other bytes in string 0");
        let many = format!("{} strings, each after its length in 4 bytes", usize::MAX);
        check(Dtype::String, usize::MAX, &[], &many, "an end within string 0");
    }
}
