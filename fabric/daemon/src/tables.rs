//! What the daemon knows: the monitor's tables, and a reader for each instance's page.

use super::history::{AtWork, Health, History, LastEnd};
use hacher_libos_net::attach::FunctionLimits;
use hacher_libos_net::clock::{self, Monotonic};
use hacher_libos_net::end::End;
use hacher_libos_net::fault::Cause;
use hacher_libos_net::refused_call::RefusedCall;
use hacher_libos_net::telemetry::{Counter, PageReader};
use hacher_trustlet_host::calls::{GATEWAY_PROCESS, InstanceState, tls};
use hacher_trustlet_host::platform::MEASUREMENT_BYTES;
use serde_json::{Map, Value};
use std::time::Duration;

/// What is created, dies and is replaced: an instance of a chain by their numbers, or [`GATEWAY_PROCESS`] and
/// the number of a gateway.
pub(super) type Key = (u64, u64);

/// One ring that an instance reads.
#[derive(Debug, Clone)]
pub(super) struct Inbound {
    /// Who sends; `ingress` for the gateway.
    pub from: String,
    /// Its port.
    pub port: String,
    /// Whether it carries fault notices.
    pub fault: bool,
}

/// An edge, as the pages of its ends count what passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// Who sends; 0 is the gateway.
    pub producer: u32,
    /// The port's place among those of the producer.
    pub port: usize,
    /// The edge's place among those of the port.
    pub at: usize,
    /// Who receives.
    pub consumer: u32,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Instance {
    /// Its number in the chain; 0 is the gateway's.
    pub number: u32,
    /// Its function.
    pub function: String,
    /// That function's number in the chain.
    pub function_index: u32,
    /// Which instance of its function.
    pub ordinal: u32,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Processes that it has had.
    pub epoch: u32,
    /// Whether what it prints is forwarded.
    pub forwards_logs: bool,
    /// What became of its processes.
    pub history: History,
    /// How long one run may take.
    pub timeout: Duration,
    /// Bytes of memory that it has for its own.
    pub memory_bytes: u64,
    /// Bytes of memory that it has besides, for what the fabric needs in it.
    pub fabric_bytes: u64,
    /// Bytes of private memory that its process had when that was asked last; 0 if it had none, or nobody
    /// knows.
    pub memory_used_bytes: u64,
    /// Threads that it may have.
    pub threads: u32,
    /// Bytes of the files that its function is given, which all instances share.
    pub files_bytes: u64,
    /// Whether it may start programs. Then the monitor counts the calls that are refused to it, and else it
    /// does so itself, in its page.
    pub has_programs: bool,
    /// What the monitor has counted, when it was asked last.
    pub refused_by_monitor: Vec<RefusedCall>,
    /// Descriptors that each ring holds which it writes.
    pub ring_capacity: u32,
    /// What it tells about itself.
    pub page: PageReader,
    /// What it reads from.
    pub inbound: Vec<Inbound>,
    /// What it writes to.
    pub ports: Vec<String>,
}

/// One gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    /// Where clients connect to.
    pub address: String,
    /// How it speaks TLS: a value of [`tls`].
    pub tls: u32,
    /// Whether it serves one chain alone.
    pub own: bool,
    /// Its process.
    pub state: InstanceState,
}

/// One chain.
#[derive(Debug)]
pub(super) struct Chain {
    /// Its number at the monitor.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its digest, in hexadecimal.
    pub digest: String,
    /// The number of the gateway that serves it.
    pub gateway: u32,
    /// Requests at a time that it takes.
    pub in_flight_max: u32,
    /// Its edges, as chain files write them, and whether they are mapped.
    pub edges: Vec<(String, bool)>,
    /// The same edges, as they are counted.
    pub flows: Vec<Flow>,
    /// Its instances; the gateway's is the first.
    pub instances: Vec<Instance>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Tables {
    /// Since when this daemon has them.
    pub began: Monotonic,
    /// The platform.
    pub backend: String,
    /// Whether hardware (SEV-SNP) keeps trustlets from the guest's operating system.
    pub snp: bool,
    /// SHA-384 of the executables of the monitor and of this daemon.
    pub measurements: [[u8; MEASUREMENT_BYTES]; 2],
    /// Isolation layers that this machine lacks.
    pub isolation_missing: Vec<String>,
    /// Daemons before this one.
    pub daemon_restarts: u64,
    /// Gateways, by their numbers.
    pub gateways: Vec<Gateway>,
    /// Chains, by their numbers.
    pub chains: Vec<Chain>,
}

impl Gateway {
    /// How to connect to it.
    #[must_use]
    pub(super) const fn scheme(&self) -> &'static str {
        if self.tls == tls::NONE { "http" } else { "https" }
    }

    /// What a report says of it, for the chain that it serves or for all.
    #[must_use]
    pub(super) fn data(&self) -> Map<String, Value> {
        let mut data = Map::new();
        data.insert("listen".to_owned(), self.address.as_str().into());
        data.insert("tls".to_owned(), (self.tls != tls::NONE).into());
        data.insert("client_certificates".to_owned(), (self.tls == tls::MUTUAL).into());
        data.insert("own_gateway".to_owned(), self.own.into());
        data
    }
}

impl Chain {
    /// The gateway's side of the chain.
    #[must_use]
    pub(super) fn gateway(&self) -> Option<&Instance> {
        self.instances.first()
    }

    /// Requests in flight.
    #[must_use]
    pub(super) fn in_flight(&self) -> u64 {
        self.gateway().map_or(0, |gateway| gateway.page.in_flight())
    }

    /// Whether all functions serve.
    #[must_use]
    pub(super) fn serves(&self) -> bool {
        self.functions()
            .all(|instance| instance.state == InstanceState::Ready)
    }

    /// The instances of functions.
    pub(super) fn functions(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().skip(1)
    }
}

impl Instance {
    /// Runs of all its processes that succeeded, as they say.
    #[must_use]
    pub(super) fn runs(&self) -> u64 {
        self.page.counter(Counter::Succeeded)
    }

    /// System calls that were refused to it.
    #[must_use]
    pub(super) fn refused_calls(&self) -> Vec<RefusedCall> {
        match self.has_programs {
            true => self.refused_by_monitor.clone(),
            false => self.page.refused_calls(),
        }
    }

    /// How it is.
    #[must_use]
    pub(super) fn health(&self, now: Monotonic) -> Health {
        self.history.health(self.state, self.runs(), now)
    }

    /// The limits that a cause of an end may name.
    #[must_use]
    pub(super) fn limits(&self) -> FunctionLimits {
        FunctionLimits {
            timeout_ns: u64::try_from(self.timeout.as_nanos()).unwrap_or(u64::MAX),
            memory_bytes: self.memory_bytes,
            threads: self.threads,
            ..FunctionLimits::NONE
        }
    }

    /// Bytes of private memory that its process may have: the function's own, and what the fabric needs.
    #[must_use]
    pub(super) fn memory_limit_bytes(&self) -> u64 {
        self.memory_bytes.saturating_add(self.fabric_bytes)
    }

    /// What its process is at work on, as it says, or was last if it has begun with nothing else.
    #[must_use]
    pub(super) fn last_record(&self) -> Option<AtWork> {
        let (invocation, attempt) = self.page.last_record()?;
        Some(AtWork { invocation, attempt })
    }
}

impl Tables {
    /// Empty ones.
    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            began: clock::now(),
            backend: String::new(),
            snp: false,
            measurements: [[0; MEASUREMENT_BYTES]; 2],
            isolation_missing: Vec::new(),
            daemon_restarts: 0,
            gateways: Vec::new(),
            chains: Vec::new(),
        }
    }

    /// A gateway.
    #[must_use]
    pub(super) fn gateway(&self, number: u32) -> Option<&Gateway> {
        self.gateways.get(usize::try_from(number).ok()?)
    }

    /// The gateway of all chains that have none of their own.
    #[must_use]
    pub(super) fn shared_gateway(&self) -> Option<&Gateway> {
        self.gateways.iter().find(|gateway| !gateway.own)
    }

    /// A chain with where it is served.
    #[must_use]
    pub(super) fn with_gateway(&self, chain: &Chain, mut data: Value) -> Value {
        if let (Some(object), Some(gateway)) = (data.as_object_mut(), self.gateway(chain.gateway)) {
            object.extend(gateway.data());
        }
        data
    }

    /// An instance of a chain, by their numbers.
    #[must_use]
    pub(super) fn instance(&self, chain: u64, instance: u64) -> Option<&Instance> {
        let chain = self.chains.get(usize::try_from(chain).ok()?)?;
        chain
            .instances
            .iter()
            .find(|found| u64::from(found.number) == instance)
    }

    /// Changes what an instance, or a gateway's instance in each of its chains, is known by.
    pub(super) fn change(&mut self, (chain, instance): Key, mut change: impl FnMut(&mut Instance)) {
        for found in &mut self.chains {
            let wanted = match chain {
                GATEWAY_PROCESS if u64::from(found.gateway) == instance => 0,
                _ if u64::from(found.number) == chain => instance,
                _ => continue,
            };
            let mut instances = found.instances.iter_mut();
            if let Some(instance) = instances.find(|instance| u64::from(instance.number) == wanted) {
                change(instance);
            }
        }
    }

    /// Notes where an instance, or a gateway, is in its life.
    pub(super) fn set_state(&mut self, key: Key, state: InstanceState) {
        if key.0 == GATEWAY_PROCESS {
            let number = usize::try_from(key.1).ok();
            if let Some(gateway) = number.and_then(|number| self.gateways.get_mut(number)) {
                gateway.state = state;
            }
        }
        self.change(key, |found| {
            if state == InstanceState::Starting {
                found.epoch += 1;
                found.history.next_start = None;
                found.history.refused = None;
            }
            found.state = state;
        });
    }

    /// Notes why an instance could not be created.
    pub(super) fn note_refused(&mut self, key: Key, text: &str) {
        self.change(key, |found| found.history.refused = Some(text.to_owned()));
    }

    /// Notes how an instance's process ended: why, with the code of that, and whether it was at work on a
    /// record. What its page says is its own word.
    pub(super) fn note_end(&mut self, key: Key, end: End, lived: Duration) -> (Cause, u32, bool) {
        let mut noted = None;
        let at = clock::now();
        self.change(key, |found| {
            let (cause, code) = end.cause(found.page.last_words());
            let on_record = found.page.holds_record();
            let end = LastEnd {
                cause,
                code,
                at,
                lived,
                record: found.last_record().filter(|_| on_record),
            };
            let runs = found.runs();
            found.history.note_death(end, runs);
            noted = Some((cause, code, on_record));
        });
        noted.unwrap_or_else(|| {
            let (cause, code) = end.cause(None);
            (cause, code, false)
        })
    }

    /// Whether what it prints is forwarded.
    #[must_use]
    pub(super) fn forwards_logs(&self, (chain, instance): Key) -> bool {
        chain == GATEWAY_PROCESS
            || self
                .instance(chain, instance)
                .is_some_and(|instance| instance.forwards_logs)
    }

    /// Which instance of its function it is; nothing for a gateway's process.
    #[must_use]
    pub(super) fn ordinal(&self, (chain, instance): Key) -> Option<u32> {
        self.instance(chain, instance).map(|found| found.ordinal)
    }

    /// The limits that a cause of its end may name.
    #[must_use]
    pub(super) fn limits(&self, (chain, instance): Key) -> FunctionLimits {
        let found = self.instance(chain, instance);
        found.map_or(FunctionLimits::NONE, Instance::limits)
    }

    /// What its last process was at work on when it ended.
    #[must_use]
    pub(super) fn last_end_record(&self, (chain, instance): Key) -> Option<AtWork> {
        self.instance(chain, instance)?.history.last_end?.record
    }

    /// Its chain and its function.
    #[must_use]
    pub(super) fn name(&self, (chain, instance): Key) -> (String, String) {
        if chain == GATEWAY_PROCESS {
            let served = |chain: &&Chain| u64::from(chain.gateway) == instance;
            let number = u32::try_from(instance).unwrap_or(u32::MAX);
            let chain = match self.gateway(number) {
                Some(gateway) if gateway.own => self.chains.iter().find(served),
                _ => None,
            };
            let chain = chain.map_or_else(String::new, |chain| chain.name.clone());
            return (chain, "gateway".to_owned());
        }
        let found = || {
            let name = &self.chains.get(usize::try_from(chain).ok()?)?.name;
            Some((name.clone(), self.instance(chain, instance)?.function.clone()))
        };
        found().unwrap_or_default()
    }
}
