//! Which requests a chain takes: told to its gateway, and part of the digest. The monitor knows their bounds,
//! and not what they mean.

use super::refusal::{Refusal, refuse};
use crate::calls::ResultCode;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use hacher_data_path::attach::message::{HEADERS_MAX, ROUTE_MAX_BYTES, method};
use hacher_data_path::name::Name;

/// Methods, headers and route of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requests {
    /// Bits of [`method`].
    pub(crate) methods: u32,
    /// Carried beside what every chain carries, in the order in which they were added.
    pub(crate) headers: Vec<Name>,
    /// Empty if there is none.
    pub(crate) route: String,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            methods: method::POST,
            headers: Vec::new(),
            route: String::new(),
        }
    }
}

impl Requests {
    /// Sets methods and route.
    pub(super) fn set(&mut self, methods: u32, route: &str) -> Result<(), Refusal> {
        if methods == 0 || methods & !method::ALL != 0 {
            return refuse(
                ResultCode::InvalidParameter,
                "a chain answers some of the methods that there are",
            );
        }
        let is_path = route.starts_with('/') && route.bytes().all(|byte| byte.is_ascii_graphic());
        if !(route.is_empty() || is_path) || route.len() > ROUTE_MAX_BYTES {
            return refuse(
                ResultCode::InvalidParameter,
                "a route is a path of at most 256 bytes",
            );
        }
        self.methods = methods;
        route.clone_into(&mut self.route);
        Ok(())
    }

    /// Adds a header.
    pub(super) fn carry(&mut self, name: Name) -> Result<(), Refusal> {
        if self.headers.contains(&name) {
            return refuse(ResultCode::NameTaken, "the chain carries this header already");
        }
        if self.headers.len() >= HEADERS_MAX {
            return refuse(
                ResultCode::LimitReached,
                "a chain carries at most 64 headers of its own choice",
            );
        }
        self.headers.push(name);
        Ok(())
    }
}
