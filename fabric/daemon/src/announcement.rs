//! What the service says once, on standard output, when it is ready: what is served where, what is not served
//! and why, where operators are answered, and what isolates.

use super::settings::ReadyAs;
use super::tables::{Chain, Key, Tables};
use hacher_trustlet_host::calls::tls;
use hacher_trustlet_host::lines;
use hacher_trustlet_host::tell;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Why a chain is not served: what does not start.
#[derive(Debug)]
pub(super) struct Failing {
    /// One of its functions, or its gateway.
    pub(super) culprit: Key,
    /// In a sentence.
    pub(super) reason: String,
}

/// What there is to say.
pub(super) struct Announcement<'a> {
    /// Everything that is known.
    pub(super) tables: &'a Tables,
    /// Chains that are not served, by their numbers.
    pub(super) failing: &'a BTreeMap<u32, Failing>,
    /// Where operators are answered.
    pub(super) admin_addresses: &'a [String],
}

impl Announcement<'_> {
    /// Says it, unless this daemon replaces another: it has nothing new to say to whoever started the
    /// service.
    pub(super) fn say(&self, ready_as: ReadyAs) {
        if self.tables.daemon_restarts > 0 {
            tell!(Warning: "restarted; records kept flowing");
            return;
        }
        let line = match ready_as {
            ReadyAs::Json => self.in_json(),
            ReadyAs::Words => self.in_words(),
        };
        // The service is ready whether anybody reads that or not.
        let mut out = io::stdout().lock();
        let _ = out
            .write_all(lines::visible(&line).as_bytes())
            .and_then(|()| out.flush());
    }

    fn in_json(&self) -> String {
        let Self {
            tables,
            admin_addresses,
            ..
        } = self;
        let admin = admin_addresses.first().map_or("", String::as_str);
        let chains: Vec<_> = tables
            .chains
            .iter()
            .map(|chain| {
                let data = json!({ "name": chain.name, "version": chain.version, "digest": chain.digest });
                tables.with_gateway(chain, data)
            })
            .collect();
        let not_served: BTreeMap<_, _> = tables
            .chains
            .iter()
            .filter_map(|chain| Some((&chain.name, &self.failing.get(&chain.number)?.reason)))
            .collect();
        let shared = tables.shared_gateway();
        let event = json!({
            "event": "ready", "listen": shared.map(|gateway| &gateway.address),
            "tls": shared.is_some_and(|gateway| gateway.tls != tls::NONE), "admin": admin,
            "admin_sockets": admin_addresses, "backend": tables.backend, "snp": tables.snp,
            "isolation_missing": tables.isolation_missing, "chains": chains, "not_served": not_served,
        });
        format!("{event}\n")
    }

    fn in_words(&self) -> String {
        let tables = self.tables;
        let missing = if tables.isolation_missing.is_empty() {
            "every layer".to_owned()
        } else {
            format!("WITHOUT {}", tables.isolation_missing.join(", "))
        };
        let served = self.where_served().map(|place| format!("ready: POST {place}\n"));
        let mut text: String = served.collect();
        let failing = tables.chains.iter().filter(|chain| self.fails(chain));
        let failing: Vec<_> = failing.map(|chain| chain.name.as_str()).collect();
        if !failing.is_empty() {
            let _ = writeln!(text, "NOT SERVED: {}", failing.join(", "));
        }
        let _ = writeln!(
            text,
            "operators: {}  isolation: {} ({missing}; no SNP)",
            self.where_asked(),
            tables.backend,
        );
        text
    }

    fn fails(&self, chain: &Chain) -> bool {
        self.failing.contains_key(&chain.number)
    }

    /// For each chain that is served, its address.
    fn where_served(&self) -> impl Iterator<Item = String> {
        let served = self.tables.chains.iter().filter(|chain| !self.fails(chain));
        served.filter_map(|chain| {
            let gateway = self.tables.gateways.get(usize::try_from(chain.gateway).ok()?)?;
            let (scheme, address) = (gateway.scheme(), &gateway.address);
            Some(format!("{scheme}://{address}/chains/{}", chain.name))
        })
    }

    /// Where operators are answered.
    fn where_asked(&self) -> String {
        let places = self
            .admin_addresses
            .iter()
            .map(|address| match address.strip_prefix("unix:") {
                Some(_) => address.clone(),
                None => format!("http://{address}"),
            });
        places.collect::<Vec<_>>().join(", ")
    }
}
