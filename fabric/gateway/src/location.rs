//! Which chain a path leads to, and what is left of the path for its functions.

use super::endpoint::Endpoint;
use super::gateway::Gateway;
use super::pattern::Captured;
use super::target::CHAINS;
use std::rc::Rc;

/// Where a request to a chain leads.
pub(super) struct Location {
    pub(super) endpoint: Rc<Endpoint>,
    /// The path below the chain's name, with its first slash, or nothing; the whole path where its route
    /// leads here.
    pub(super) path: String,
    /// What its route captures, percent-encoded.
    pub(super) captures: Vec<(String, Captured)>,
}

impl Gateway {
    /// The chain that has a path: by its name, or by the route that says most of the path.
    pub(super) fn locate(&self, path: &str) -> Option<Location> {
        if let Some(below) = path.strip_prefix(CHAINS) {
            let at = below.find('/').unwrap_or(below.len());
            let (name, rest) = below.split_at(at);
            return Some(Location {
                endpoint: self.endpoint(name)?,
                path: rest.to_owned(),
                captures: Vec::new(),
            });
        }
        let endpoints = self.endpoints.borrow();
        let taking = endpoints.values().filter_map(|endpoint| {
            let found = endpoint.taken.route()?.takes(path)?;
            Some((endpoint, found))
        });
        let (endpoint, found) = taking.min_by(|(_, one), (_, other)| one.rank.cmp(&other.rank))?;
        Some(Location {
            endpoint: Rc::clone(endpoint),
            path: path.to_owned(),
            captures: found.captures,
        })
    }
}
