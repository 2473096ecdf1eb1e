//! What a record becomes for the guest: the answer to its `next`.

use super::request_id::RequestId;
use super::trace_id;
use bytes::Bytes;
use hacher::{BoxError, Failure, Input};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::response::Response;
use http_body_util::Full;
use std::time::SystemTime;

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const FUNCTION: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

const NO_EVENT: Failure = Failure::permanent("the record has headers that no event can have");

/// The name of the function in the form that events have it, of no account and no place.
#[derive(Debug, Clone)]
pub(super) struct Arn(HeaderValue);

impl Arn {
    /// That of the function with this name, in this region.
    ///
    /// # Errors
    /// When a header cannot hold it.
    pub(super) fn new(region: &str, function: &str) -> Result<Self, BoxError> {
        let text = format!("arn:aws:lambda:{region}:000000000000:function:{function}");
        let value = HeaderValue::from_str(&text);
        let value = value.map_err(|_| {
            format!(
                "`{region}` or `{function}` (`AWS_REGION`, `AWS_LAMBDA_FUNCTION_NAME`) is no name: letters, digits \
                 and `-` would do"
            )
        });
        Ok(Self(value?))
    }
}

/// An event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) id: RequestId,
    headers: HeaderMap,
    body: Bytes,
}

impl Event {
    /// What `input` becomes; waits for all of it.
    ///
    /// # Errors
    /// Those of the input; a permanent one for a content type that is no header.
    pub(super) fn of(input: &mut Input<'_>, id: RequestId, arn: &Arn) -> Result<Self, Failure> {
        let body = Bytes::copy_from_slice(input.bytes()?);
        let mut headers = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| NO_EVENT);
        headers.insert(REQUEST_ID, value(&id.to_string())?);
        headers.insert(DEADLINE, value(&deadline_ms(input).to_string())?);
        if let Some(trace) = trace_id::of(input) {
            headers.insert(TRACE, value(&trace)?);
        }
        let content_type = match input.content_type() {
            Some(other) if !is_json(other) => value(other)?,
            _ => JSON,
        };
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(FUNCTION, arn.0.clone());
        Ok(Self { id, headers, body })
    }

    /// The answer that hands it out.
    pub(super) fn into_answer(self) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::new(self.body));
        *answer.headers_mut() = self.headers;
        answer
    }
}

/// When the run is ended, in milliseconds since 1970.
fn deadline_ms(input: &Input<'_>) -> u128 {
    let at = SystemTime::now().checked_add(input.remaining());
    let since = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.unwrap_or_default().as_millis()
}

/// Whether it is JSON by any name: runtimes compare the type with `application/json` and nothing else.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_all_its_names() {
        for content_type in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/cloudevents+json",
            "text/json",
        ] {
            assert!(is_json(content_type), "{content_type}");
        }
        for content_type in ["", "text/plain", "application/jsonl", "image/png; a=+json"] {
            assert!(!is_json(content_type), "{content_type}");
        }
    }

    #[test]
    fn a_name_that_no_header_can_have_is_refused() {
        assert!(Arn::new("local", "f").is_ok());
        let error = Arn::new("local", "f\n").unwrap_err().to_string();
        assert!(error.contains("AWS_LAMBDA_FUNCTION_NAME"), "{error}");
    }
}
