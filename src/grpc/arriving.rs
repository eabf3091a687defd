//! The message of a call as it comes: a small one is decoded from the bytes as they came, and of a large one the numbers go into
//! their columns off the wire. They are held once, where joining the parts first and reading them then would hold them twice.

use prost::Message as _;
use prost::bytes::{Buf as _, Bytes, BytesMut};
use tonic::Status;

use super::decode::Ahead;
use super::inference::ModelInferRequest;
use super::status::status;
use crate::http::{ApiError, Gather};
use crate::oip::raw::Growing;
use crate::tensor::Dtype;

/// In front of a message: whether it is compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;
/// A smaller message is joined and decoded: that is as fast, and simpler.
pub(super) const LARGE_BYTES: usize = 1 << 20;
/// What comes in front of the first large tensor describes it, and is read for that; more of it is something else.
const DESCRIPTION_BYTES_MAX: usize = 64 << 10;
/// The number of the field `raw_input_contents`.
const RAW_INPUT_CONTENTS: u64 = 7;
/// That field without a byte in it: what stands for one that was read as it came.
const EMPTY_RAW: [u8; 2] = [0x3a, 0];
/// A field's number and length take no more.
const FIELD_HEAD_BYTES_MAX: usize = 20;

/// Gathers a message.
#[derive(Debug)]
pub(super) struct Arriving {
    /// The most bytes of the message.
    bytes_max: usize,
    /// From this size on, a message's tensors of this size are read as they come.
    large_bytes: usize,
    /// All that came so far, as long as it is one part.
    first: Bytes,
    /// The parts, joined; without the prefix and what the columns took.
    joined: BytesMut,
    prefix: Option<Prefix>,
    fields: Fields,
    n_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Prefix {
    flag: u8,
    n_bytes: usize,
}

/// Splits a large message into its fields.
#[derive(Debug, Default)]
struct Fields {
    columns: Vec<Growing>,
    places: Vec<usize>,
    /// The types of the inputs, as the first large tensor found them.
    dtypes: Option<Vec<Option<Dtype>>>,
    n_raw: usize,
    /// What came of the number and length of the next field.
    head: Vec<u8>,
    /// What is to come of the field whose head was there.
    left: usize,
    /// Whether that goes into the last column.
    is_column: bool,
}

/// What a field's head says: what follows it, and whether that is a tensor as bytes.
struct Head {
    len: usize,
    is_raw: bool,
}

impl Arriving {
    pub(super) fn new(bytes_max: usize, large_bytes: usize) -> Self {
        Self {
            bytes_max,
            large_bytes,
            first: Bytes::new(),
            joined: BytesMut::new(),
            prefix: None,
            fields: Fields::default(),
            n_bytes: 0,
        }
    }

    fn prefix(&self) -> Option<Prefix> {
        self.prefix.or_else(|| Prefix::of(&self.first))
    }

    /// Whether the message is so large that its tensors are read as they come.
    fn is_large(&self, prefix: Prefix) -> bool {
        prefix.flag == 0 && (self.large_bytes..=self.bytes_max).contains(&prefix.n_bytes)
    }

    /// Refuses what no more needs to come for.
    ///
    /// # Errors
    /// [`Status`] where the message is too large or compressed, or there is more than one.
    pub(super) fn check(&self) -> Result<(), Status> {
        let Some(Prefix { flag, n_bytes }) = self.prefix() else { return Ok(()) };
        if flag != 0 {
            // The protocol's own word for it.
            return Err(Status::internal("a message with its compressed flag set, and grpc-encoding names no coding"));
        }
        if self.bytes_max < n_bytes {
            return Err(status(&ApiError::TooLarge { limit: self.bytes_max }));
        }
        if n_bytes < self.n_bytes - PREFIX_BYTES { Err(refused("one message, got more behind it")) } else { Ok(()) }
    }

    /// Adds to a message of which more than one part came.
    fn join(&mut self, mut part: &[u8]) {
        if self.prefix.is_none() {
            let missing = PREFIX_BYTES - self.joined.len();
            let (own, rest) = part.split_at(part.len().min(missing));
            self.joined.extend_from_slice(own);
            let Some(prefix) = Prefix::of(&self.joined) else { return };
            self.joined.clear();
            if !self.is_large(prefix) {
                // Room is made once; what does not come takes no memory.
                self.joined.reserve(prefix.n_bytes.min(LARGE_BYTES));
            }
            self.prefix = Some(prefix);
            part = rest;
        }
        match self.prefix {
            Some(prefix) if self.is_large(prefix) => {
                self.fields.take(part, &mut self.joined, (prefix.n_bytes, self.large_bytes));
            }
            _ => self.joined.extend_from_slice(part),
        }
    }

    /// The message, once all of it has come.
    ///
    /// # Errors
    /// [`Status`] where the body is not one message, or the message no request.
    pub(super) fn finish(mut self) -> Result<(ModelInferRequest, Ahead), Status> {
        self.check()?;
        match self.prefix() {
            Some(prefix) if prefix.n_bytes == self.n_bytes - PREFIX_BYTES => {}
            Some(_) => return Err(refused("one message, got an end within it")),
            None if self.n_bytes == 0 => return Err(refused("one message, got none")),
            None => return Err(refused("one message, got an end within its prefix")),
        }
        if self.fields.is_column && 0 < self.fields.left {
            return Err(refused("whole fields, got an end within a tensor"));
        }
        let message = if self.prefix.is_none() {
            self.first.advance(PREFIX_BYTES);
            self.first
        } else {
            // A field that was cut short is no message.
            self.joined.extend_from_slice(&self.fields.head);
            self.joined.freeze()
        };
        let request = ModelInferRequest::decode(message);
        let request = request.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let Fields { columns, places, .. } = self.fields;
        Ok((request, Ahead { columns: columns.into_iter().collect(), places }))
    }
}

impl Gather for Arriving {
    fn add(&mut self, part: Bytes) -> Result<(), ApiError> {
        if self.n_bytes == 0 {
            // Most messages come in one part: nothing is copied then.
            self.n_bytes = part.len();
            self.first = part;
        } else {
            self.n_bytes += part.len();
            let first = std::mem::take(&mut self.first);
            self.join(&first);
            self.join(&part);
        }
        self.check().map_err(|_| ApiError::BrokenBody("it is not one message"))
    }
}

impl Prefix {
    fn of(body: &[u8]) -> Option<Self> {
        let (&[flag, a, b, c, d], _) = body.split_first_chunk::<PREFIX_BYTES>()?;
        Some(Self { flag, n_bytes: usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()? })
    }
}

impl Fields {
    /// Takes the next part of a message of so many bytes: numbers of tensors of `large` bytes or more into their columns, and all
    /// else into `rest`.
    fn take(&mut self, mut part: &[u8], rest: &mut BytesMut, (n_bytes, large): (usize, usize)) {
        while !part.is_empty() {
            if self.left == 0 {
                let (&byte, behind) = part.split_first().unwrap_or((&0, &[]));
                part = behind;
                self.head.push(byte);
                if let Some(head) = Head::of(&self.head) {
                    self.begin(&head, rest, (large, n_bytes));
                }
                continue;
            }
            let (own, behind) = part.split_at(part.len().min(self.left));
            match self.columns.last_mut().filter(|_| self.is_column) {
                // It takes all: it is as long as the field.
                Some(column) => drop(column.push(own)),
                None => rest.extend_from_slice(own),
            }
            self.left -= own.len();
            part = behind;
        }
    }

    fn begin(&mut self, head: &Head, rest: &mut BytesMut, (large, n_bytes): (usize, usize)) {
        let column = if head.is_raw && (large..=n_bytes).contains(&head.len) {
            // The inputs are described in front of their contents.
            let dtypes = self.dtypes.get_or_insert_with(|| described(rest));
            dtypes.get(self.n_raw).copied().flatten().and_then(|dtype| Growing::new(dtype, head.len))
        } else {
            None
        };
        self.left = head.len;
        self.is_column = column.is_some();
        match column {
            Some(column) => {
                rest.extend_from_slice(&EMPTY_RAW);
                self.columns.push(column);
                self.places.push(self.n_raw);
            }
            None => rest.extend_from_slice(&self.head),
        }
        self.n_raw += usize::from(head.is_raw);
        self.head.clear();
    }
}

/// The types of the inputs that `message` describes.
fn described(message: &[u8]) -> Vec<Option<Dtype>> {
    if DESCRIPTION_BYTES_MAX < message.len() {
        return Vec::new();
    }
    let inputs = ModelInferRequest::decode(message).map(|request| request.inputs).unwrap_or_default();
    inputs.iter().map(|input| input.datatype.parse().ok()).collect()
}

fn refused(expected: &str) -> Status {
    Status::invalid_argument(format!("the call's body: expected {expected}"))
}

impl Head {
    /// The head that `bytes` begin with, once all of it is there. What is none is the decoder's to refuse: all that follows is
    /// taken as it is.
    fn of(bytes: &[u8]) -> Option<Self> {
        let no_field = Self { len: usize::MAX, is_raw: false };
        if FIELD_HEAD_BYTES_MAX <= bytes.len() {
            return Some(no_field);
        }
        let (tag, behind) = varint(bytes)?;
        let len = match tag & 7 {
            // A number is part of the head.
            0 => varint(behind).map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(varint(behind)?.0).unwrap_or(usize::MAX),
            5 => 4,
            _ => return Some(no_field),
        };
        Some(Self { len, is_raw: tag == RAW_INPUT_CONTENTS << 3 | 2 })
    }
}

/// The number at the front of `bytes`, and what follows; `None` where its end has not come, or it is beyond 64 bits.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0)?;
    let (own, rest) = bytes.split_at(end + 1);
    if let [_, _, _, _, _, _, _, _, _, last @ ..] = own
        && last != [0].as_slice()
        && last != [1].as_slice()
    {
        return None;
    }
    let number = own.iter().rev().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::inference::model_infer_request::InferInputTensor;

    fn framed(message: &[u8]) -> Vec<u8> {
        let n_bytes = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], &n_bytes[..], message].concat()
    }

    fn arrive(body: &[u8], bytes_max: usize, part_len: usize) -> Result<(ModelInferRequest, Ahead), Status> {
        arrive_from(body, (bytes_max, LARGE_BYTES), part_len)
    }

    fn arrive_from(
        body: &[u8],
        (bytes_max, large_bytes): (usize, usize),
        part_len: usize,
    ) -> Result<(ModelInferRequest, Ahead), Status> {
        let mut arriving = Arriving::new(bytes_max, large_bytes);
        for part in body.chunks(part_len) {
            if arriving.add(Bytes::copy_from_slice(part)).is_err() {
                break;
            }
        }
        arriving.finish()
    }

    #[track_caller]
    fn check_refused(body: &[u8], expected: &str) {
        for part_len in [1, 3, 6, 100] {
            let status = arrive(body, 8, part_len).unwrap_err();
            assert_eq!(status.message(), expected, "in parts of {part_len}");
        }
    }

    #[test]
    fn a_body_is_one_message_within_the_limit() {
        for body in [&[0, 0, 0, 0, 0][..], &[0, 0, 0, 0, 3, 0x0a, 1, b'm']] {
            for part_len in [1, 5, 6, 100] {
                assert!(arrive(body, 8, part_len).is_ok(), "{body:?}");
            }
        }
        check_refused(&[], "the call's body: expected one message, got none");
        check_refused(&[0, 0, 0], "the call's body: expected one message, got an end within its prefix");
        check_refused(&[0, 0, 0, 0, 3, 7], "the call's body: expected one message, got an end within it");
        check_refused(&[0, 0, 0, 0, 1, 7, 8], "the call's body: expected one message, got more behind it");
        check_refused(&[1, 0, 0, 0, 1, 7], "a message with its compressed flag set, and grpc-encoding names no coding");
        assert_eq!(arrive(&[1, 0, 0, 0, 1, 7], 8, 1).unwrap_err().code(), tonic::Code::Internal);
        check_refused(&[0, 0, 0, 0, 9, 7], &ApiError::TooLarge { limit: 8 }.to_string());
    }

    fn request(sizes: &[(&str, usize)]) -> ModelInferRequest {
        let input = |(at, (datatype, _)): (usize, &(&str, usize))| InferInputTensor {
            name: format!("input {at}"),
            datatype: (*datatype).to_owned(),
            ..InferInputTensor::default()
        };
        let contents = |(at, (_, n_bytes)): (usize, &(&str, usize))| {
            (0..*n_bytes).map(|byte| u8::try_from((byte * 7 + at) % 251).unwrap()).collect::<Vec<_>>().into()
        };
        ModelInferRequest {
            model_name: "m".to_owned(),
            id: "an id".to_owned(),
            inputs: sizes.iter().enumerate().map(input).collect(),
            raw_input_contents: sizes.iter().enumerate().map(contents).collect(),
            ..ModelInferRequest::default()
        }
    }

    /// The request as it was sent.
    fn together(read: ModelInferRequest, ahead: &Ahead) -> ModelInferRequest {
        let mut contents = read.raw_input_contents.clone();
        for (place, column) in ahead.places.iter().zip(ahead.columns.hand_out(false)) {
            assert!(contents[*place].is_empty());
            let mut bytes = Vec::new();
            crate::oip::raw::write(&column.data, &mut bytes);
            contents[*place] = bytes.into();
        }
        ModelInferRequest { raw_input_contents: contents, ..read }
    }

    /// What comes in parts is what the decoder makes of the whole, wherever it is cut.
    #[track_caller]
    fn check_as_a_whole(message: &[u8], part_len: usize) {
        let whole = ModelInferRequest::decode(message).ok();
        let came = arrive_from(&framed(message), (1 << 20, 8), part_len).ok();
        assert_eq!(came.map(|(read, ahead)| together(read, &ahead)), whole, "{message:?} in parts of {part_len}");
    }

    #[test]
    fn a_message_that_is_cut_anywhere_is_what_the_decoder_says_it_is() {
        let message = request(&[("FP32", 16), ("INT64", 8), ("BYTES", 9), ("FP64", 24)]).encode_to_vec();
        for end in 0..=message.len() {
            for part_len in [1, 2, 7, 50] {
                check_as_a_whole(&message[..end], part_len);
            }
        }
        // Tensors that say to be longer than what is left; heads of more bytes than a number has.
        let described = request(&[("FP32", 0)]).encode_to_vec();
        let described = &described[..described.len() - 2];
        for (head, n_bytes) in [
            (&[0x3a, 24][..], 16),
            (&[0xba, 0x80, 0x00, 16], 16),
            (&[0xba, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 16], 16),
            (&[0x3a, 0x90, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7e], 16),
            (&[0x3b, 16], 16),
            (&[0x08, 1, 0x3a, 16], 16),
        ] {
            let message = [described, head, &vec![0; n_bytes]].concat();
            [1, 3, 40].into_iter().for_each(|part_len| check_as_a_whole(&message, part_len));
        }
    }

    proptest::proptest! {
        #[test]
        fn a_message_with_changed_bytes_is_what_the_decoder_says_it_is(
            sizes in proptest::collection::vec((proptest::sample::select(vec!["FP32", "UINT8", "BYTES", "FP99"]), 0_usize..40), 0..4),
            changes in proptest::collection::vec((0_usize..200, 0_u8..), 0..4),
            part_len in 1_usize..60,
        ) {
            let mut message = request(&sizes).encode_to_vec();
            for (place, byte) in changes {
                let n_bytes = message.len();
                message[place % n_bytes] = byte;
            }
            check_as_a_whole(&message, part_len);
        }
    }

    #[test]
    fn large_tensors_of_numbers_are_read_as_they_come() {
        const LARGE: usize = LARGE_BYTES + 8;
        let sizes =
            [("FP32", LARGE), ("BYTES", LARGE), ("INT64", 16), ("UINT8", LARGE), ("FP99", LARGE), ("FP64", LARGE)];
        let request = request(&sizes);
        let body = framed(&request.encode_to_vec());
        for part_len in [16 << 10, 999_983, 3 << 20] {
            let (read, ahead) = arrive(&body, 64 << 20, part_len).unwrap();
            assert_eq!(ahead.places, [0, 3, 5], "in parts of {part_len}");
            assert_eq!(ahead.columns.n_bytes(), 3 * LARGE);
            assert_eq!(together(read, &ahead), request);
        }
    }

    #[test]
    fn what_is_no_request_is_refused_however_large() {
        let large = request(&[("FP32", LARGE_BYTES)]).encode_to_vec();
        // A field that is longer than the message, a group, a field of number 0, a length without an end.
        for wrong in [&[0x3a, 0xff, 0xff, 0xff, 0x7f][..], &[0x3b], &[0x02, 0], &[0x3a, 0xff]] {
            let body = framed(&[&large, wrong].concat());
            let status = arrive(&body, 64 << 20, 16 << 10).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{wrong:?}");
        }
        // Contents in front of the inputs cannot be told apart from bytes, and are read as those.
        let inputs = ModelInferRequest { raw_input_contents: Vec::new(), ..request(&[("FP32", LARGE_BYTES)]) };
        let contents =
            ModelInferRequest { raw_input_contents: vec![vec![0; LARGE_BYTES].into()], ..Default::default() };
        let body = framed(&[contents.encode_to_vec(), inputs.encode_to_vec()].concat());
        let (request, ahead) = arrive(&body, 64 << 20, 16 << 10).unwrap();
        assert_eq!((request.raw_input_contents[0].len(), ahead.places.len()), (LARGE_BYTES, 0));
    }
}
