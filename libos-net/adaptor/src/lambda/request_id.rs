//! The identity of one run, as the Runtime API has it in paths and headers.

use core::fmt;
use hacher::Input;

/// The form of a UUID, which some handlers take it for.
const DASHES_AT: [usize; 4] = [8, 13, 18, 23];
const TEXT_BYTES: usize = 36;

/// Which run of the adaptor an event belongs to. The first 16 digits name the request as the service's log
/// does, the others count the runs of this process, so no two attempts share an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestId(u128);

impl RequestId {
    /// The id of run number `run` of this process, on `input`.
    pub(super) fn of(input: &Input<'_>, run: u64) -> Self {
        // The half that logs name; the other one is nobody's to know.
        let (low, _) = input.invocation().halves();
        Self(u128::from(low) << 64 | u128::from(run))
    }

    /// The id with this value.
    #[cfg(test)]
    pub(super) const fn new(value: u128) -> Self {
        Self(value)
    }

    /// The id that is written so; `None` of any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_written = |(at, byte): (usize, u8)| match byte {
            b'-' => DASHES_AT.contains(&at),
            b'0'..=b'9' | b'a'..=b'f' => !DASHES_AT.contains(&at),
            _ => false,
        };
        if text.len() != TEXT_BYTES || !text.bytes().enumerate().all(is_written) {
            return None;
        }
        u128::from_str_radix(&text.replace('-', ""), 16).ok().map(Self)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        for (at, digit) in digits.chars().enumerate() {
            if [8, 12, 16, 20].contains(&at) {
                formatter.write_str("-")?;
            }
            fmt::Write::write_char(formatter, digit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_nothing_else_is_one() {
        for value in [0, 1, 0x1234_5678_9abc_def0_0fed_cba9_8765_4321, u128::MAX] {
            let id = RequestId(value);
            assert_eq!(RequestId::parse(&id.to_string()), Some(id));
        }
        assert_eq!(
            RequestId(0x1234_5678_9abc_def0_0fed_cba9_8765_4321).to_string(),
            "12345678-9abc-def0-0fed-cba987654321"
        );
        for text in [
            "",
            "12345678",
            "123456789abcdef00fedcba987654321",
            "12345678-9abc-def0-0fed-cba98765432",
            "12345678-9abc-def0-0fed-cba9876543210",
            "12345678-9abc-def0-0fed-CBA987654321",
            "1234567-89abc-def0-0fed-cba987654321",
            "+2345678-9abc-def0-0fed-cba987654321",
            "é2345678-9abc-def0-0fed-cba987654321",
        ] {
            assert_eq!(RequestId::parse(text), None, "{text}");
        }
    }
}
