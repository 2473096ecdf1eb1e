//! A request to a chain, before anything of it is sent.

use bytes::Bytes;
use hacher_http::percent;
use hacher_sealed_request::{METHOD_FIELD, PATH_FIELD, QUERY_FIELD};
use hyper::Method;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Question {
    /// The method, which a sealed request says inside.
    pub method: Method,
    /// What stands behind the chain's name, beginning with `/`, percent-encoded; or nothing.
    pub path: String,
    /// The query, percent-encoded.
    pub query: Option<String>,
    /// Headers, by names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Question {
    /// A body of this media type.
    pub fn new(content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            method: Method::POST,
            path: String::new(),
            query: None,
            fields: vec![("content-type".to_owned(), content_type.into())],
            body: body.into(),
        }
    }

    /// The target of the request, as it is.
    #[must_use]
    pub fn target(&self, chain: &str) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}"));
        format!("{}{}{}", target_of(chain), self.path, query.unwrap_or_default())
    }

    /// What a head inside says of it.
    pub(crate) fn sealed_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let method = Some(self.method.as_str()).filter(|_| self.method != Method::POST);
        let path = Some(self.path.as_str()).filter(|path| !path.is_empty());
        let asked = [
            (METHOD_FIELD, method),
            (PATH_FIELD, path),
            (QUERY_FIELD, self.query.as_deref()),
        ];
        let asked = asked.into_iter().filter_map(|(name, value)| Some((name, value?)));
        asked.chain(
            self.fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        )
    }
}

/// Where a chain's requests go.
pub(crate) fn target_of(chain: &str) -> String {
    let mut target = "/chains/".to_owned();
    chain.bytes().for_each(|byte| percent::push(&mut target, byte));
    target
}
