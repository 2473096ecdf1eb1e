//! The wire format of Protocol Buffers, as far as OTLP needs it: fields in the order in which they are
//! written.

/// The wire types.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;
/// Bits of a varint's byte.
const VARINT_BITS: u32 = 7;

/// A message in the making.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Its bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= VARINT_BITS;
            if value == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }

    fn tag(&mut self, field: u32, wire: u64) {
        self.varint(u64::from(field) << 3 | wire);
    }

    /// A number of variable length.
    pub(super) fn number(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    /// A number of 64 bits.
    pub(super) fn fixed_64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED_64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A number of 32 bits.
    pub(super) fn fixed_32(&mut self, field: u32, value: u32) {
        self.tag(field, FIXED_32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes, a text, or a message that is encoded already.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.tag(field, BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }
}

/// The fields of a message that somebody else wrote: numbers of variable length, and bytes. Others are passed
/// over; what is malformed ends it.
pub(super) struct Fields<'m>(&'m [u8]);

/// The value of a field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

impl<'m> Fields<'m> {
    pub(super) const fn of(message: &'m [u8]) -> Self {
        Self(message)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(VARINT_BITS as usize) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, bytes: u64) -> Option<&'m [u8]> {
        let (skipped, rest) = self.0.split_at_checked(usize::try_from(bytes).ok()?)?;
        self.0 = rest;
        Some(skipped)
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = (u64, Value<'m>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let tag = self.varint()?;
            let value = match tag & 7 {
                VARINT => Value::Number(self.varint()?),
                BYTES => {
                    let length = self.varint()?;
                    Value::Bytes(self.skip(length)?)
                }
                FIXED_64 => {
                    self.skip(8)?;
                    continue;
                }
                FIXED_32 => {
                    self.skip(4)?;
                    continue;
                }
                _ => return None,
            };
            return Some((tag >> 3, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_specification_has_them() {
        // The examples of https://protobuf.dev/programming-guides/encoding/.
        let mut message = Message::default();
        message.number(1, 150);
        message.bytes(2, b"testing");
        message.message(3, |inner| inner.number(1, 150));
        message.fixed_64(4, 1);
        message.fixed_32(5, 2);
        let expected = [
            &[0x08, 0x96, 0x01, 0x12, 0x07][..],
            b"testing",
            &[0x1a, 0x03, 0x08, 0x96, 0x01],
            &[0x21, 1, 0, 0, 0, 0, 0, 0, 0],
            &[0x2d, 2, 0, 0, 0],
        ];
        let bytes = message.into_bytes();
        assert_eq!(bytes, expected.concat());
        let read: Vec<_> = Fields::of(&bytes).collect();
        let expected = [
            (1, Value::Number(150)),
            (2, Value::Bytes(b"testing")),
            (3, Value::Bytes(&[0x08, 0x96, 0x01])),
        ];
        assert_eq!(read, expected);
        let mut longest = Message::default();
        longest.number(1, u64::MAX);
        let bytes = longest.into_bytes();
        assert_eq!(Fields::of(&bytes).next(), Some((1, Value::Number(u64::MAX))));
    }

    #[test]
    fn what_is_malformed_ends_a_message() {
        for bytes in [&[0x80; 20][..], &[0x12, 5, 1], &[0x0f], &[0x21, 1], &[0x08]] {
            assert_eq!(Fields::of(bytes).next(), None, "{bytes:?}");
        }
    }
}
