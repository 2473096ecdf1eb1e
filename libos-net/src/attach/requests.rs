//! Which requests a chain takes, as its gateway is told.

use super::channel::Delivery;
use hacher_data_path::attach::contradiction::BadAttachment;
use hacher_data_path::attach::message::{HEADERS_MAX, ROUTE_MAX_BYTES, Requests, method};
use hacher_data_path::name::Name;
use zerocopy::FromBytes;

/// Methods, headers and route of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenRequests {
    /// Bits of [`method`].
    pub methods: u32,
    /// Headers that it carries beside those that every chain does, in lower case.
    pub headers: Vec<Name>,
    /// The path of its own.
    pub route: Option<String>,
}

impl Default for TakenRequests {
    fn default() -> Self {
        Self {
            methods: method::POST,
            headers: Vec::new(),
            route: None,
        }
    }
}

impl TakenRequests {
    /// Takes methods and route.
    pub(super) fn take(&mut self, message: &Delivery<'_>) -> Result<(), BadAttachment> {
        const BAD: BadAttachment = BadAttachment("which requests a chain takes");
        let (said, rest) = Requests::read_from_prefix(message.payload()).map_err(|_| BAD)?;
        let is_whole = usize::try_from(said.route_bytes) == Ok(rest.len()) && rest.len() <= ROUTE_MAX_BYTES;
        let route = core::str::from_utf8(rest).ok().filter(|_| is_whole).ok_or(BAD)?;
        if said.methods == 0 || said.methods & !method::ALL != 0 {
            return Err(BAD);
        }
        self.methods = said.methods;
        self.route = (!route.is_empty()).then(|| route.to_owned());
        Ok(())
    }

    /// Takes names of headers.
    pub(super) fn take_headers(&mut self, message: &Delivery<'_>) -> Result<(), BadAttachment> {
        for name in message.entries::<Name>()? {
            let name = name?;
            if !name.is_valid() || self.headers.len() >= HEADERS_MAX {
                return Err(BadAttachment("headers that a chain carries"));
            }
            self.headers.push(name);
        }
        Ok(())
    }
}
