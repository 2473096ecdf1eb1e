//! The trace that a run belongs to, as X-Ray writes it.

use hacher::Input;

const TRACEPARENT: &str = "traceparent";

/// The trace id of `input`, if it has a trace.
pub(super) fn of(input: &Input<'_>) -> Option<String> {
    from_traceparent(input.header(TRACEPARENT)?)
}

/// X-Ray splits the same 32 digits into a time and the rest. A trace that did not begin there has any number
/// for its time, which X-Ray takes as it is (since October 2023).
fn from_traceparent(value: &str) -> Option<String> {
    let mut fields = value.split('-');
    let mut digits = |count: usize| {
        let field = fields.next().filter(|field| field.len() == count)?;
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        field.bytes().all(is_digit).then_some(field)
    };
    let (_version, trace, parent, flags) = (digits(2)?, digits(32)?, digits(16)?, digits(2)?);
    let (time, rest) = trace.split_at_checked(8)?;
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    Some(format!("Root=1-{time}-{rest};Parent={parent};Sampled={sampled}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_keeps_its_digits() {
        assert_eq!(
            from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(),
            Some("Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1")
        );
        let unsampled = from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-later");
        assert!(unsampled.unwrap().ends_with(";Sampled=0"));
        for value in [
            "",
            "00",
            "00-4bf9-00f067aa0ba902b7-01",
            "00-é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(from_traceparent(value), None, "{value}");
        }
    }
}
