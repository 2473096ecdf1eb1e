//! Where the guest serves, and the request that a record becomes.

use crate::arguments::HttpOptions;
use hacher::headers::{CAPTURE_PREFIX, ERROR_PREFIX, OF_THE_CONNECTION, OWN_PREFIX};
use hacher::{Failure, Input};
use http::header::{HOST, HeaderName, HeaderValue};
use http::request::{Builder, Request};
use std::net::{Ipv4Addr, SocketAddr};

const NO_REQUEST: Failure = Failure::permanent("the record has headers that no request can have");

/// A server on the trustlet's own loopback.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    host: String,
    /// Before the path of a record, without its last `/`.
    prefix: String,
    /// The path of a record that has none.
    root: String,
}

impl Target {
    pub(super) fn new(options: &HttpOptions) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        Self {
            address,
            host: address.to_string(),
            prefix: options.path.trim_end_matches('/').to_owned(),
            root: options.path.clone(),
        }
    }

    /// A request for this path, of the server itself.
    pub(super) fn asking(&self, path: &str) -> Builder {
        Request::get(path).header(HOST, &self.host)
    }

    /// The head of the request that `input` becomes.
    pub(super) fn request_of(&self, input: &Input<'_>) -> Result<Builder, Failure> {
        let mut request = Request::builder()
            .method(input.method())
            .uri(self.path_of(input.path(), input.query()));
        let headers = request.headers_mut().ok_or(NO_REQUEST)?;
        let part = input.parts().first();
        for (name, value) in part.into_iter().flat_map(hacher::Part::headers) {
            if !is_carried(name) {
                continue;
            }
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| NO_REQUEST)?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| NO_REQUEST)?;
            headers.append(name, value);
        }
        if !headers.contains_key(HOST) {
            let host = HeaderValue::from_str(&self.host).map_err(|_| NO_REQUEST)?;
            headers.insert(HOST, host);
        }
        Ok(request)
    }

    fn path_of(&self, path: &str, query: Option<&str>) -> String {
        let mut whole = if path.is_empty() {
            self.root.clone()
        } else {
            [&self.prefix, path].concat()
        };
        if let Some(query) = query {
            whole.push('?');
            whole.push_str(query);
        }
        whole
    }
}

/// Whether a header of a record is one of the request: not those of a connection, nor what the target says
/// already; and no `expect`, as the body follows at once.
fn is_carried(name: &str) -> bool {
    if name.starts_with(OWN_PREFIX) {
        return name.starts_with(CAPTURE_PREFIX) || name.starts_with(ERROR_PREFIX);
    }
    !OF_THE_CONNECTION.contains(&name) && name != "expect"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_record_follows_the_prefix() {
        for (prefix, path, query, expected) in [
            ("/", "", None, "/"),
            ("/", "/a/b", Some("c=d"), "/a/b?c=d"),
            ("/api", "", Some(""), "/api?"),
            ("/api/", "", None, "/api/"),
            ("/api/", "/a", None, "/api/a"),
        ] {
            let target = Target::new(&HttpOptions {
                port: 1,
                path: prefix.to_owned(),
                ready: None,
            });
            assert_eq!(target.path_of(path, query), expected);
        }
    }

    #[test]
    fn headers_of_a_connection_and_of_the_system_stay_behind() {
        for name in [
            "connection",
            "te",
            "content-length",
            "expect",
            "hacher-method",
            "hacher-x",
        ] {
            assert!(!is_carried(name), "{name}");
        }
        for name in [
            "accept",
            "ce-id",
            "hacher-capture-size",
            "hacher-error-cause",
            "x-own",
        ] {
            assert!(is_carried(name), "{name}");
        }
    }
}
