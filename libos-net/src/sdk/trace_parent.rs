//! The trace that a record belongs to, as its header `traceparent` says (W3C Trace Context, version 00). The
//! gateway writes it; where a function takes a record, the parent in it becomes the function's own run, in
//! its place among the record's headers: what the handler reads there, its outputs inherit.

use super::headers;
use hacher_data_path::record::span_id::SpanId;

/// The name of the header.
pub const TRACEPARENT: &str = "traceparent";
/// Bytes of its value.
pub const TRACEPARENT_BYTES: usize = 55;

/// `00-`, 32 digits of the trace, `-`, 16 digits of the parent, `-`, 2 digits of the flags.
const TRACE_AT: usize = 3;
const PARENT_AT: usize = 36;
/// The flag that says that the trace is recorded.
const SAMPLED: u8 = 1;

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; never 0.
    pub trace: u128,
    /// The span that caused the record.
    pub parent: SpanId,
    /// Bit 0: the trace is recorded.
    pub flags: u8,
}

impl TraceParent {
    /// Reads the value of a header of version 00, or what begins as one does: a later version is read as far
    /// as this one is known (section 3.2.4). Whether what follows may follow is not looked at.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::read(value.as_bytes().first_chunk()?)
    }

    fn read(value: &[u8; TRACEPARENT_BYTES]) -> Option<Self> {
        let (trace_high, trace_low) = (number(value, TRACE_AT)?, number(value, TRACE_AT + 16)?);
        let trace = u128::from(trace_high) << 64 | u128::from(trace_low);
        let [_, _, first, .., second, high, low] = *value;
        let has_dashes = first == b'-' && value.get(PARENT_AT - 1) == Some(&b'-') && second == b'-';
        let (high, low) = (digit(high), digit(low));
        Some(Self {
            trace: Some(trace).filter(|trace| *trace != 0 && has_dashes)?,
            parent: SpanId::new(number(value, PARENT_AT)?)?,
            flags: Some(high << 4 | low).filter(|_| (high | low) < 16)?,
        })
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags of a trace that is recorded, or is not.
    #[must_use]
    pub const fn flags_of(sampled: bool) -> u8 {
        if sampled { SAMPLED } else { 0 }
    }

    /// The value of the header, of version 00.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = Vec::with_capacity(TRACEPARENT_BYTES);
        text.extend_from_slice(b"00-");
        for half in [self.trace >> 64, self.trace & u128::from(u64::MAX)] {
            text.extend_from_slice(&digits_of(u64::try_from(half).unwrap_or(0)));
        }
        text.push(b'-');
        text.extend_from_slice(&digits_of(self.parent.as_u64()));
        text.push(b'-');
        let [.., high, low] = digits_of(u64::from(self.flags));
        text.extend_from_slice(&[high, low]);
        String::from_utf8(text).unwrap_or_default()
    }
}

/// The number that the 16 lower-case hexadecimal digits from `at` on mean.
fn number(value: &[u8; TRACEPARENT_BYTES], at: usize) -> Option<u64> {
    let text: &[u8; 16] = value.get(at..)?.first_chunk()?;
    // One step for all digits at once, then one for all pairs.
    let digits = text.map(digit);
    let is_number = digits.iter().fold(0, |all, digit| all | digit) < 16;
    let (pairs, _) = digits.as_chunks::<2>();
    let join = |number: u64, [high, low]: &[u8; 2]| number << 8 | u64::from(high << 4 | low);
    is_number.then(|| pairs.iter().fold(0, join))
}

/// What a lower-case hexadecimal digit means; 16 or more for any other byte.
const fn digit(text: u8) -> u8 {
    let (number, letter) = (text.wrapping_sub(b'0'), text.wrapping_sub(b'a'));
    if number < 10 {
        number
    } else if letter < 6 {
        letter + 10
    } else {
        0xff
    }
}

/// Where in a record its `traceparent` is, and whom it named when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceAt {
    /// Where in the record's plaintext the digits of the parent begin.
    parent_at: usize,
    /// The span that sent the record. Kept, as the header names the run from its first attempt on.
    pub(crate) parent: SpanId,
    pub(crate) is_sampled: bool,
}

impl TraceAt {
    /// Of a record in whose encoded headers `value` begins at `at`; `None` if a function has written
    /// something else there, which then stays as it is.
    pub(super) fn of(value: &[u8], at: usize) -> Option<Self> {
        let whole: &[u8; TRACEPARENT_BYTES] = value.try_into().ok()?;
        let found = TraceParent::read(whole).filter(|_| value.starts_with(b"00-"))?;
        Some(Self {
            parent_at: headers::PREFIX_BYTES + at + PARENT_AT,
            parent: found.parent,
            is_sampled: found.is_sampled(),
        })
    }

    /// Names `span` as the parent, in the plaintext of the record. One whose bytes were given up has none.
    pub(super) fn write(&self, span: SpanId, plain: &mut [u8]) {
        let place = plain.get_mut(self.parent_at..).and_then(<[u8]>::first_chunk_mut);
        if let Some(place) = place {
            *place = digits_of(span.as_u64());
        }
    }
}

/// The hexadecimal digits of an id, in lower case.
#[must_use]
pub fn digits_of(id: u64) -> [u8; 16] {
    let [high, low] = [id >> 32, id & 0xffff_ffff].map(|half| text_of(half).to_be_bytes());
    let mut text = [0; 16];
    let (first, second) = text.split_at_mut(8);
    first.copy_from_slice(&high);
    second.copy_from_slice(&low);
    text
}

/// The eight digits of a number of 32 bits, a byte each, all at once.
const fn text_of(number: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let halves = (number | number << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = (bytes | bytes << 4) & (0xf * ONES);
    // Each is at most 15, so that nothing is carried into the next.
    let letters = (digits + 6 * ONES) >> 4 & ONES;
    digits + ONES * b'0' as u64 + letters * (b'a' - b'0' - 10) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALUE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_value_is_read_and_written() {
        let read = TraceParent::parse(VALUE).unwrap();
        assert_eq!(read.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((read.parent.as_u64(), read.flags), (0xb7ad_6b71_6920_3331, 1));
        assert!(read.is_sampled());
        assert_eq!(read.to_text(), VALUE);
        for wrong in [
            "",
            "00-1",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01",
            "00-0af7651916cd43dd8448eb211c8031/c-b7ad6b7169203331-01",
            "00-:af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-`af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(trace in 1_u128.., parent in 1_u64.., flags: u8) {
            let written = TraceParent { trace, parent: SpanId::of_bits(parent), flags };
            prop_assert_eq!(TraceParent::parse(&written.to_text()), Some(written));
            let digits = digits_of(written.parent.as_u64());
            prop_assert_eq!(core::str::from_utf8(&digits).unwrap(), written.parent.to_string());
        }

        #[test]
        fn whatever_a_function_writes_is_read_without_harm(value in ".{0,80}", at in 0_usize..100) {
            let _ = TraceParent::parse(&value);
            let mut plain = [0; 60];
            let found = TraceAt::of(VALUE.as_bytes(), at).unwrap();
            found.write(found.parent, &mut plain);
        }
    }
}
