//! Which requests a chain takes: its methods, its route, and headers that it carries beside those that every
//! chain does. Part of what the chain digest says.

use super::pattern::Pattern;
use hacher_libos_net::attach::{TakenRequests, method};
use hacher_libos_net::headers;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};

/// What a chain's file says of requests.
#[derive(Debug)]
pub(super) struct Taken {
    methods: u32,
    /// What may be done with it (RFC 9110, section 10.2.1).
    allow: String,
    headers: Vec<HeaderName>,
    route: Option<Pattern>,
}

impl Taken {
    pub(super) fn new(said: &TakenRequests) -> Self {
        let answered = (0..)
            .zip(method::NAMES)
            .filter(|(at, _)| said.methods & (1 << at) != 0);
        let mut names: Vec<&str> = answered.map(|(_, name)| name).collect();
        if !names.contains(&"OPTIONS") {
            // The gateway itself answers it then.
            names.push("OPTIONS");
        }
        let carried = |name: &&str| {
            // The language refuses these, and the digest says what it let pass.
            !headers::OF_THE_CONNECTION.contains(name) && !name.starts_with(headers::OWN_PREFIX)
        };
        let named = said.headers.iter().map(|name| name.as_str()).filter(carried);
        Self {
            methods: said.methods,
            allow: names.join(", "),
            headers: named
                .filter_map(|name| HeaderName::from_lowercase(name.as_bytes()).ok())
                .collect(),
            route: said.route.as_deref().map(Pattern::new),
        }
    }

    /// Whether the chain answers a method.
    pub(super) fn answers(&self, method: &Method) -> bool {
        self.methods & method::bit(method.as_str()) != 0
    }

    /// The methods that are answered, in a sentence.
    pub(super) fn only_these(&self) -> String {
        only(&self.allow)
    }

    /// The same as a header's list.
    pub(super) fn allow_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.allow).unwrap_or(HeaderValue::from_static("OPTIONS"))
    }

    /// Headers of the chain's own choice.
    pub(super) fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// The path of its own.
    pub(super) fn route(&self) -> Option<&Pattern> {
        self.route.as_ref()
    }
}

/// Says which methods are answered, of a list as `Allow` has it.
pub(super) fn only(allow: &str) -> String {
    match allow.rsplit_once(", ") {
        Some((others, last)) => format!("only {others} and {last} are answered here"),
        None => format!("only {allow} is answered here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_method_is_answered_and_several_are() {
        assert_eq!(only("GET"), "only GET is answered here");
        assert_eq!(only("GET, HEAD"), "only GET and HEAD are answered here");
        let three = "only GET, POST and OPTIONS are answered here";
        assert_eq!(only("GET, POST, OPTIONS"), three);
    }
}
