//! What a request of the guest asks for, by its method and path.

use super::request_id::RequestId;
use http::Method;

const VERSION: &str = "2018-06-01";

/// A request, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// The next event.
    Next,
    /// The answer to the run with this id.
    Response(RequestId),
    /// The failure of the run with this id.
    Error(RequestId),
    /// The initialisation has failed.
    InitError,
    /// Refused.
    Unknown(Unknown),
}

/// Why a request is none of this API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The id in the path is none.
    NoId,
    /// The path is known, with another method.
    Method,
    /// Extensions, and the logs and telemetry that they subscribe to.
    Extension,
    /// Any other path.
    Path,
}

impl Route {
    /// What `method` at `path` asks for.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let words: Vec<&str> = path.trim_start_matches('/').splitn(6, '/').collect();
        let (wanted, route) = match words.as_slice() {
            [VERSION, "runtime", "invocation", "next"] => (Method::GET, Self::Next),
            [
                VERSION,
                "runtime",
                "invocation",
                id,
                what @ ("response" | "error"),
            ] => {
                let route = match (RequestId::parse(id), *what) {
                    (None, _) => Self::Unknown(Unknown::NoId),
                    (Some(id), "response") => Self::Response(id),
                    (Some(id), _) => Self::Error(id),
                };
                (Method::POST, route)
            }
            [VERSION, "runtime", "init", "error"] => (Method::POST, Self::InitError),
            [_, "extension" | "logs" | "telemetry", ..] => return Self::Unknown(Unknown::Extension),
            _ => return Self::Unknown(Unknown::Path),
        };
        if *method == wanted {
            route
        } else {
            Self::Unknown(Unknown::Method)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_the_api_are_known_and_all_others_have_a_reason() {
        let id = RequestId::new(7);
        let of = |kind: &str| format!("/2018-06-01/runtime/invocation/{id}/{kind}");
        for (method, path, route) in [
            (
                Method::GET,
                "/2018-06-01/runtime/invocation/next".to_owned(),
                Route::Next,
            ),
            (Method::POST, of("response"), Route::Response(id)),
            (Method::POST, of("error"), Route::Error(id)),
            (
                Method::POST,
                "/2018-06-01/runtime/init/error".to_owned(),
                Route::InitError,
            ),
        ] {
            assert_eq!(Route::of(&method, &path), route);
            assert_eq!(Route::of(&Method::PUT, &path), Route::Unknown(Unknown::Method));
        }
        for (path, why) in [
            ("/2018-06-01/runtime/invocation/7/response", Unknown::NoId),
            ("/2018-06-01/runtime/invocation//error", Unknown::NoId),
            ("/2020-01-01/extension/register", Unknown::Extension),
            ("/2020-08-15/logs", Unknown::Extension),
            ("/2022-07-01/telemetry", Unknown::Extension),
            ("/2018-06-01/runtime/restore/next", Unknown::Path),
            ("/", Unknown::Path),
            ("*", Unknown::Path),
            (&of("response/more"), Unknown::Path),
        ] {
            assert_eq!(Route::of(&Method::POST, path), Route::Unknown(why), "{path}");
        }
    }
}
