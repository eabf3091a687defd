#![no_main]

use gudgeon_fuzz::{decoders, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write_where_asked(), |data: &[u8]| decoders::read_invocation(data, true));
