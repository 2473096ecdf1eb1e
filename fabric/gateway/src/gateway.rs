//! What all connections of a gateway share.

use super::access::AccessLog;
use super::budget::Budget;
use super::daemon_bell::DaemonBell;
use super::drain::Draining;
use super::endpoint::Endpoint;
use super::evidence::Evidence;
use super::places::Places;
use hacher_libos_net::attach::Channel;
use hacher_libos_net::telemetry::{Counter, Gauge};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::task::spawn_local;

/// What all connections share.
pub(super) struct Gateway {
    /// What everybody may hold.
    pub(super) budget: Rc<Budget>,
    /// Who has a connection.
    pub(super) places: Rc<Places>,
    /// Its places in the chains, by their names.
    pub(super) endpoints: RefCell<BTreeMap<String, Rc<Endpoint>>>,
    /// Tells the daemon of requests.
    pub(super) daemon_bell: DaemonBell,
    /// When the first certificate expires, and the first authority for those of clients, in seconds since
    /// 1970.
    pub(super) expiries: Cell<[u64; 2]>,
    /// Where it is in its end.
    pub(super) drain: Rc<Draining>,
    /// Where clients get evidence.
    pub(super) evidence: Evidence,
    /// Where lines about requests go.
    pub(super) access: Rc<AccessLog>,
}

impl Gateway {
    /// One that serves no chain yet.
    pub(super) fn new(channel: Rc<Channel>) -> Rc<Self> {
        let budget = Budget::of_this_process();
        let places = Places::new(&budget);
        let evidence = Evidence::new(channel, &budget);
        let gateway = Rc::new(Self {
            budget,
            places: Rc::clone(&places),
            endpoints: RefCell::default(),
            daemon_bell: DaemonBell::default(),
            expiries: Cell::default(),
            drain: Rc::new(Draining::new()),
            evidence,
            access: Rc::default(),
        });
        let told = Rc::clone(&gateway);
        spawn_local(Rc::clone(&places).keep_pace());
        spawn_local(places.watch(move || told.tell_figures()));
        gateway
    }

    /// Tells what goes up and down: of each chain in its page; of the process as a whole in the page of one
    /// of its chains.
    pub(super) fn tell_figures(&self) {
        let endpoints = self.endpoints.borrow();
        for endpoint in endpoints.values() {
            endpoint.tell_figures();
        }
        let Some(first) = endpoints.values().next() else {
            return;
        };
        let (taken, places, bytes) = self.places.figures();
        let [certificate, client_ca] = self.expiries.get();
        for (gauge, value) in [
            (Gauge::Connections, taken),
            (Gauge::ConnectionsMax, places),
            (Gauge::ConnectionBytes, bytes),
            (Gauge::BudgetBytes, self.budget.total_bytes()),
            (Gauge::CertificateExpires, certificate),
            (Gauge::ClientCaExpires, client_ca),
        ] {
            first.own.set_gauge(gauge, value);
        }
    }

    /// Counts what concerns the process as a whole.
    pub(super) fn count(&self, counter: Counter) {
        if let Some(first) = self.endpoints.borrow().values().next() {
            first.own.count(counter, 1);
        }
    }

    /// Requests at a time that the chain takes which takes most.
    pub(super) fn in_flight_max(&self) -> u32 {
        let endpoints = self.endpoints.borrow();
        let limits = endpoints.values().map(|endpoint| endpoint.begin.in_flight);
        limits.max().unwrap_or(0)
    }

    /// Its place in a chain.
    pub(super) fn endpoint(&self, chain: &str) -> Option<Rc<Endpoint>> {
        self.endpoints.borrow().get(chain).map(Rc::clone)
    }
}
