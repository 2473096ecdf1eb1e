//! What the daemon knows: the monitor's tables, and a reader for each instance's page.

use super::refused;
use hacher_libos_net::fault::Cause;
use hacher_libos_net::refusal::Refusal;
use hacher_libos_net::telemetry::{Counter, Outcome, PageReader, Phase, Trace};
use hacher_trustlet_host::calls::{InstanceState, tls};
use serde_json::{Map, Value, json};
use std::time::Duration;

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

/// One instance.
#[derive(Debug)]
pub(super) struct Instance {
    /// Its number in the chain; 0 is the gateway's.
    pub number: u32,
    /// Its function.
    pub function: String,
    /// Which instance of its function.
    pub ordinal: u32,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Processes that it has had.
    pub epoch: u32,
    /// Whether what it prints is forwarded.
    pub forwards_logs: bool,
    /// Why its last process ended, if one has: the cause and its code.
    pub last_end: Option<(Cause, u32)>,
    /// How long one run may take.
    pub timeout: Duration,
    /// Bytes of memory that it has for its own.
    pub memory_bytes: u64,
    /// Bytes of memory that it has besides, for what the fabric needs in it.
    pub fabric_bytes: u64,
    /// Threads that it may have.
    pub threads: u32,
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
    /// Its edges, as chain files write them, and whether they are mapped.
    pub edges: Vec<(String, bool)>,
    /// Its instances; the gateway's is the first.
    pub instances: Vec<Instance>,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// The platform.
    pub backend: String,
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

    /// The instances of functions.
    pub(super) fn functions(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().skip(1)
    }
}

impl Instance {
    fn refused(&self) -> u64 {
        Refusal::ALL
            .iter()
            .map(|refusal| self.page.counter(Counter::Refused(*refusal)))
            // An instance may write anything into its page.
            .fold(0, u64::saturating_add)
    }

    /// How often each system call was refused, by name.
    fn refused_calls(&self) -> Value {
        let calls = self.page.refused_calls();
        calls
            .iter()
            .map(|call| (refused::name(call), Value::from(call.count)))
            .collect::<Map<_, _>>()
            .into()
    }

    fn status(&self) -> Value {
        let run = self.page.histogram(Phase::Run);
        let mean_run_ns = run
            .filter(|run| run.count > 0)
            .map_or(0, |run| run.sum_ns / run.count);
        let mut status = json!({
            "function": self.function, "ordinal": self.ordinal, "state": self.state.text(), "epoch": self.epoch,
            "memory_bytes": self.memory_bytes, "fabric_memory_bytes": self.fabric_bytes, "threads": self.threads,
            "refused": self.refused(), "mean_run_ns": mean_run_ns, "refused_calls": self.refused_calls(),
        });
        if let Some(object) = status.as_object_mut() {
            for (counter, name) in Counter::PLAIN {
                object.insert(name.to_owned(), self.page.counter(counter).into());
            }
            if let Some((cause, code)) = self.last_end {
                let end =
                    json!({ "cause": cause.word(), "code": code, "detail": cause.with(code).to_string() });
                object.insert("last_end".to_owned(), end);
            }
            for refusal in Refusal::ALL {
                let count = self.page.counter(Counter::Refused(refusal));
                object.insert(format!("refused_{}", refusal.label()), count.into());
            }
        }
        status
    }

    fn trace(&self, chain: &str, trace: &Trace) -> Value {
        let inbound = usize::try_from(trace.inbound)
            .ok()
            .and_then(|ring| self.inbound.get(ring));
        let outcome = match trace.outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::Retried => "retried",
            _ => "failed",
        };
        json!({
            "chain": chain, "function": self.function, "ordinal": self.ordinal,
            "from": inbound.map_or("?", |inbound| inbound.from.as_str()),
            "port": inbound.map_or("?", |inbound| inbound.port.as_str()),
            "invocation": format!("{:016x}", trace.invocation), "attempt": trace.attempt, "outcome": outcome,
            "seen_ns": trace.seen_ns, "queued_ns": trace.queued_ns, "hand_over_ns": trace.hand_over_ns,
            "open_ns": trace.open_ns, "run_ns": trace.run_ns, "seal_ns": trace.seal_ns,
            "in_bytes": trace.in_bytes, "out_bytes": trace.out_bytes,
        })
    }
}

impl Tables {
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

    /// The status as data.
    #[must_use]
    pub(super) fn status(&self) -> Value {
        let chains: Vec<Value> = self
            .chains
            .iter()
            .map(|chain| {
                let requests = chain
                    .gateway()
                    .map_or(0, |gateway| gateway.page.counter(Counter::Requests));
                let gateway = chain.gateway().map(Instance::status);
                let protection = |mapped: bool| if mapped { "mapped" } else { "sealed" };
                let edges = chain.edges.iter();
                let edges: Vec<Value> = edges
                    .map(|(edge, mapped)| json!({ "edge": edge, "protection": protection(*mapped) }))
                    .collect();
                let data = json!({
                    "name": chain.name, "version": chain.version, "digest": chain.digest,
                    "requests": requests, "in_flight": chain.in_flight(), "gateway": gateway,
                    "edges": edges,
                    "instances": chain.functions().map(Instance::status).collect::<Vec<_>>(),
                });
                self.with_gateway(chain, data)
            })
            .collect();
        let shared = self.shared_gateway();
        json!({
            "gateway": shared.map(|gateway| &gateway.address),
            "gateway_state": shared.map(|gateway| gateway.state.text()),
            "backend": self.backend, "snp": false, "isolation_missing": self.isolation_missing,
            "daemon_restarts": self.daemon_restarts, "chains": chains,
        })
    }

    /// The last runs as data; those of one request only, if `invocation` says so. Traces hold the last 16 digits of it.
    #[must_use]
    pub(super) fn traces(&self, invocation: Option<&str>) -> Value {
        let mut traces = Vec::new();
        for chain in &self.chains {
            for instance in chain.functions() {
                let of_instance = instance.page.traces();
                let wanted = of_instance.iter().filter(|trace| {
                    invocation
                        .is_none_or(|invocation| invocation.ends_with(&format!("{:016x}", trace.invocation)))
                });
                traces.extend(wanted.map(|trace| instance.trace(&chain.name, trace)));
            }
        }
        json!({ "traces": traces })
    }
}
