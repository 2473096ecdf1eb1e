//! The type of an error that the guest reports: the one part of its report that leaves the trustlet.

use serde::Deserialize;
use std::borrow::Cow;

/// Longest one that is told.
const TYPE_MAX_BYTES: usize = 100;
const UNNAMED: &str = "unknown";

/// What is read of a report; message and stack are passed over.
#[derive(Deserialize)]
struct Report<'b> {
    #[serde(rename = "errorType", borrow)]
    error_type: Option<Cow<'b, str>>,
}

/// The type that a report names: in its body, as some runtimes send the same header for all errors; else in
/// the header.
pub(super) fn of(header: Option<&str>, body: &[u8]) -> String {
    let report = serde_json::from_slice::<Report<'_>>(body).ok();
    let in_body = report.and_then(|report| report.error_type);
    let found = in_body.as_deref().filter(|name| !name.is_empty());
    harmless(found.or(header).unwrap_or_default())
}

/// `name` as it may stand in a reason: short, and of the characters that names of types have.
pub(super) fn harmless(name: &str) -> String {
    let is_told = |character: &char| character.is_ascii_alphanumeric() || "._:<>&+-$, ".contains(*character);
    let told: String = name
        .chars()
        .map(|character| if is_told(&character) { character } else { '?' })
        .take(TYPE_MAX_BYTES)
        .collect();
    match told.trim() {
        "" => UNNAMED.to_owned(),
        told => told.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_from_the_body_or_else_from_the_header() {
        let report = br#"{"errorMessage":"secret","errorType":"KeyError","stackTrace":[["secret"]]}"#;
        assert_eq!(of(Some("unhandled"), report), "KeyError");
        for body in [
            &b""[..],
            b"{",
            b"[]",
            b"{\"errorType\":\"\"}",
            b"{\"errorType\":7}",
            b"\xff",
        ] {
            assert_eq!(
                of(Some("Runtime.ExitError"), body),
                "Runtime.ExitError",
                "{body:?}"
            );
            assert_eq!(of(None, body), "unknown");
        }
        let nested = [&b"{\"a\":"[..], &b"[".repeat(100_000)].concat();
        assert_eq!(of(None, &nested), "unknown");
    }

    #[test]
    fn a_type_is_bounded_and_has_no_characters_but_those_of_types() {
        assert_eq!(
            harmless("Function<Box<dyn core::error::Error + Send>>"),
            "Function<Box<dyn core::error::Error + Send>>"
        );
        assert_eq!(harmless("a\nb\"c\u{202e}é"), "a?b?c??");
        assert_eq!(harmless(&"x".repeat(5000)).len(), TYPE_MAX_BYTES);
        assert_eq!(harmless("  "), "unknown");
    }
}
