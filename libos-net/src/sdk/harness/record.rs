//! A record that a handler under test has written.

use crate::sdk::headers::{self, Headers};

/// A record that a handler wrote.
#[derive(Debug)]
pub struct Record {
    pub(super) port: String,
    pub(super) plain: Vec<u8>,
    pub(super) segments: usize,
    pub(super) complete: bool,
}

impl Record {
    pub(super) fn new(port: String) -> Self {
        Self {
            port,
            plain: Vec::new(),
            segments: 0,
            complete: false,
        }
    }

    fn split(&self) -> (&[u8], &[u8]) {
        headers::split(&self.plain).unwrap_or((&[], &[]))
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.split().1
    }

    /// A header's first value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        headers::find(self.split().0, name)
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers::new(self.split().0)
    }

    /// What the handler says the body is.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.header(headers::CONTENT_TYPE)
    }

    /// The status of the reply that the record makes at `egress`.
    #[must_use]
    pub fn status(&self) -> u16 {
        let chosen = self.header(headers::STATUS).and_then(headers::status_of);
        chosen.unwrap_or(200)
    }

    /// How many segments the record left in.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments
    }
}
