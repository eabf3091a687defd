//! What the pages of a Parquet file say to be when they are unpacked. The library makes room for as much as a page's header says before
//! it looks at the page, so this is asked first. Only so much of Thrift's compact protocol is read here as those headers need
//! (parquet.thrift, `PageHeader`: field 2 is the size unpacked, field 3 the size in the file).

/// How deep what a header holds may nest.
const DEPTH_MAX: usize = 8;

/// The bytes of all pages of a column chunk when they are unpacked, as their headers say; `None` where these are broken.
pub(super) fn unpacked_bytes(chunk: &[u8]) -> Option<u64> {
    let mut sum = 0_u64;
    let mut text = Compact { rest: chunk };
    while !text.rest.is_empty() {
        let (mut unpacked, mut packed) = (None, None);
        text.skip_struct(DEPTH_MAX, |field, value| match field {
            2 => unpacked = u64::try_from(value).ok(),
            3 => packed = usize::try_from(value).ok(),
            _ => {}
        })?;
        sum = sum.checked_add(unpacked?)?;
        text.skip(packed?)?;
    }
    Some(sum)
}

/// Thrift's compact protocol.
struct Compact<'a> {
    rest: &'a [u8],
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn skip(&mut self, n_bytes: usize) -> Option<()> {
        self.rest = self.rest.get(n_bytes..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A whole number, its sign in the lowest bit.
    fn number(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Passes over a struct; `found` is told the whole numbers among its own fields.
    fn skip_struct(&mut self, depth: usize, mut found: impl FnMut(i64, i64)) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let mut field = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            // The number of the field: so many after the last one, or in full.
            field = if head >> 4 == 0 { self.number()? } else { field.checked_add(i64::from(head >> 4))? };
            match head & 0x0f {
                // A boolean field is in its head.
                1 | 2 => {}
                4..=6 => found(field, self.number()?),
                kind => self.skip_value(kind, depth)?,
            }
        }
    }

    fn skip_value(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1..=3 => self.skip(1),
            4..=6 => self.number().map(drop),
            7 => self.skip(8),
            8 => {
                let len = usize::try_from(self.varint()?).ok()?;
                self.skip(len)
            }
            9 | 10 => {
                let depth = depth.checked_sub(1)?;
                let head = self.byte()?;
                let len = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                (0..len).try_for_each(|_| self.skip_value(head & 0x0f, depth))
            }
            12 => self.skip_struct(depth, |_, _| {}),
            // A header has no maps.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data page of 3 bytes in the file and `unpacked` ones out of it, with a nested struct as page headers have.
    fn page(unpacked: &[u8]) -> Vec<u8> {
        let nested = [0x2c, 0x15, 0x08, 0x18, 0x02, b'a', b'b', 0x19, 0x15, 0x06, 0x11, 0x00, 0x00];
        [&[0x15, 0x00, 0x15], unpacked, &[0x15, 0x06], nested.as_slice(), b"xyz"].concat()
    }

    #[test]
    fn the_sizes_of_all_pages_are_added_up() {
        assert_eq!(unpacked_bytes(&[]), Some(0));
        assert_eq!(unpacked_bytes(&page(&[0x14])), Some(10));
        // 2 147 483 647 bytes, which the library would make room for.
        let large = page(&[0xfe, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(unpacked_bytes(&[page(&[0x14]), large].concat()), Some(10 + 2_147_483_647));
    }

    #[test]
    fn a_broken_header_is_none() {
        let whole = page(&[0x14]);
        for n_bytes in 1..whole.len() {
            assert_eq!(unpacked_bytes(&whole[..n_bytes]), None, "{n_bytes}");
        }
        assert_eq!(unpacked_bytes(&page(&[0x13])), None, "a negative size");
        assert_eq!(unpacked_bytes(&[0x1c; 100]), None, "structs in structs");
        assert_eq!(unpacked_bytes(&[0x19, 0xf9, 0xff, 0xff, 0xff, 0xff, 0x0f]), None, "a list longer than the bytes");
        assert_eq!(unpacked_bytes(&[0xff; 20]), None);
    }
}
