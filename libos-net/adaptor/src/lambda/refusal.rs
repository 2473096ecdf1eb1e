//! What the guest is answered: a status, and a body in JSON as the API of AWS has it.

use super::route::Unknown;
use super::state::OutOfTurn;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

/// A request that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It may not be asked for now.
    OutOfTurn(OutOfTurn),
    /// It is none of this API.
    Unknown(Unknown),
    /// `Lambda-Runtime-Function-Response-Mode` is neither `streaming` nor `buffered`.
    Mode,
}

impl Refusal {
    /// Status, type and message.
    const fn told(self) -> (StatusCode, &'static str, &'static str) {
        let forbidden = (StatusCode::FORBIDDEN, "InvalidStateTransition");
        match self {
            Self::OutOfTurn(OutOfTurn::AnotherPolls) => (
                forbidden.0,
                forbidden.1,
                "another request waits for the next event: one at a time may",
            ),
            Self::OutOfTurn(OutOfTurn::Unanswered) => (
                forbidden.0,
                forbidden.1,
                "the last event has no answer yet: response or error comes before next",
            ),
            Self::OutOfTurn(OutOfTurn::Answered) => {
                (forbidden.0, forbidden.1, "the event has its answer already")
            }
            Self::OutOfTurn(OutOfTurn::Initialised) => (
                forbidden.0,
                forbidden.1,
                "the initialisation ended when the first event was asked for",
            ),
            Self::OutOfTurn(OutOfTurn::NoSuchRun) | Self::Unknown(Unknown::NoId) => (
                StatusCode::BAD_REQUEST,
                "InvalidRequestID",
                "the request id is not the one of the event that waits for its answer",
            ),
            Self::Unknown(Unknown::Method) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "next is asked for by GET, all else is sent by POST",
            ),
            Self::Unknown(Unknown::Extension) => (
                StatusCode::NOT_FOUND,
                "NotSupported",
                "there are no extensions here, and no logs or telemetry to subscribe to",
            ),
            Self::Unknown(Unknown::Path) => (
                StatusCode::NOT_FOUND,
                "NotFound",
                "the paths are those of /2018-06-01/runtime: invocation/next, invocation/ID/response, \
                 invocation/ID/error and init/error",
            ),
            Self::Mode => (
                StatusCode::BAD_REQUEST,
                "InvalidFunctionResponseMode",
                "Lambda-Runtime-Function-Response-Mode is `streaming`, `buffered`, or not there",
            ),
        }
    }

    /// The answer.
    pub(super) fn answer(self) -> Response<Full<Bytes>> {
        let (status, error_type, message) = self.told();
        let body = serde_json::json!({ "errorMessage": message, "errorType": error_type });
        json(status, body.to_string())
    }
}

/// The answer to what was taken.
pub(super) fn accepted() -> Response<Full<Bytes>> {
    json(StatusCode::ACCEPTED, "{\"status\":\"OK\"}\n".to_owned())
}

fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
