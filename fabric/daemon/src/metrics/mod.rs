//! What Prometheus scrapes. All figures are told in one way, to a [`Register`] by way of the `metrics`
//! facade: what the daemon counts itself to one that lives as long as the daemon; what instances count in
//! their pages, and the tables say, to one that is made for each scrape, so that nothing is kept of what is
//! gone.
//!
//! ```text
//! figures    every metric: name, kind, help
//! register   series, and the text
//! pages      what pages tell, added up
//! spans      why spans were dropped
//! ```
//!
//! Every series is there from the first scrape on, as 0, so that the first event is an increase. Its bounds:
//! 64 chains, 2,048 instances and as many functions in all, some 6 KiB of text for each.

mod figures;
mod pages;
mod register;
mod spans;

use super::history::Health;
use super::tables::{Chain, Gateway, Instance, Tables};
use figures as all;
pub(super) use figures::{LOG_LINES_DROPPED, SPANS_EXPORTED, TRUSTLET_DEATHS, TRUSTLET_STARTS};
use hacher_libos_net::clock;
use hacher_libos_net::fault::{Cause, limit};
use hacher_libos_net::refusal::Refusal;
use hacher_libos_net::telemetry::{
    Counter, EvidenceOutcome, Gauge, Phase, Reject, RequestFailure, RequestOutcome, RequestRefusal,
};
use hacher_trustlet_host::calls::{InstanceState, tls};
use hacher_trustlet_host::lines;
use metrics::Label;
use pages::{counted, distribution, of_gateways, of_process, queue, rings, timed};
pub(super) use register::Register;
pub(super) use spans::Dropped;

/// How much is told of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// The sum over its instances.
    Function,
    /// Each of its instances, with a label `ordinal`.
    Instance,
}

impl Detail {
    /// What the query of a scrape asks for; `None` if it makes no sense.
    pub(super) fn of_query(query: Option<&str>) -> Option<Self> {
        let mut pairs = query.unwrap_or("").split('&');
        match pairs.find_map(|pair| pair.strip_prefix("per=")) {
            None | Some("function") => Some(Self::Function),
            Some("instance") => Some(Self::Instance),
            Some(_) => None,
        }
    }
}

/// Installs the register of what this process counts itself.
#[must_use]
pub(super) fn install() -> Register {
    let own = Register::default();
    figures::describe(&own, all::OF_DAEMON);
    // Only one recorder is ever installed in this process.
    let _ = metrics::set_global_recorder(own.clone());
    own
}

/// Everything that there is to scrape.
#[must_use]
pub(super) fn render(tables: &Tables, own: &Register, detail: Detail) -> String {
    metrics::with_local_recorder(own, || begin_counting(tables));
    let scrape = Register::default();
    figures::describe(&scrape, all::OF_TABLES);
    metrics::with_local_recorder(&scrape, || {
        tell_service(tables);
        for (number, gateway) in (0..).zip(&tables.gateways) {
            let chains = tables.chains.iter().filter(|chain| chain.gateway == number);
            tell_gateway(gateway, &chains.collect::<Vec<_>>());
        }
        for chain in &tables.chains {
            tell_chain(&scrape, tables, chain, detail);
        }
    });
    let mut text = String::new();
    own.print(&mut text);
    scrape.print(&mut text);
    text
}

fn label(key: &'static str, value: impl Into<String>) -> Label {
    Label::new(key, value.into())
}

fn with(labels: &[Label], key: &'static str, value: impl Into<String>) -> Vec<Label> {
    let mut labels = labels.to_vec();
    labels.push(label(key, value));
    labels
}

/// Ends of processes that are told from the first scrape on, with the codes that are to be expected; others
/// come when they happen.
const DEATHS: [(Cause, u32); 13] = [
    (Cause::Panicked, 0),
    (Cause::TimedOut, 0),
    (Cause::Died, 0),
    (Cause::Exited, 0),
    (Cause::Exited, 1),
    (Cause::Signalled, 6),
    (Cause::Signalled, 9),
    (Cause::Signalled, 11),
    (Cause::OutOfMemory, 0),
    (Cause::StackOverflow, 0),
    (Cause::LimitReached, limit::THREADS),
    (Cause::LimitReached, limit::DESCRIPTORS),
    (Cause::Unwanted, 0),
];

/// Labels of a function, or of a gateway: of one chain, or without one.
pub(super) fn of_function(chain: &str, function: &str) -> [(&'static str, String); 2] {
    [("chain", chain.to_owned()), ("function", function.to_owned())]
}

/// Labels of a death.
pub(super) fn of_death(chain: &str, function: &str, cause: Cause, code: u32) -> [(&'static str, String); 4] {
    let [chain, function] = of_function(chain, function);
    [
        chain,
        function,
        ("cause", cause.word().to_owned()),
        ("code", code.to_string()),
    ]
}

/// Makes sure that what the daemon counts is there before there is anything to count.
fn begin_counting(tables: &Tables) {
    spans::begin_counting();
    let begin = |chain: &str, function: &str| {
        let labels = of_function(chain, function);
        metrics::counter!(TRUSTLET_STARTS.name, &labels).increment(0);
        metrics::counter!(LOG_LINES_DROPPED.name, &labels).increment(0);
        for (cause, code) in DEATHS {
            metrics::counter!(TRUSTLET_DEATHS.name, &of_death(chain, function, cause, code)).increment(0);
        }
    };
    for chain in &tables.chains {
        for instance in chain.functions() {
            begin(&chain.name, &instance.function);
        }
        if tables.gateway(chain.gateway).is_some_and(|gateway| gateway.own) {
            begin(&chain.name, "gateway");
        }
    }
    if tables.shared_gateway().is_some() {
        begin("", "gateway");
    }
}

fn tell_service(tables: &Tables) {
    let version = env!("CARGO_PKG_VERSION");
    let build = [
        label("version", version),
        label("backend", tables.backend.as_str()),
    ];
    all::BUILD_INFO.set(&build, 1);
    all::LAYERS_MISSING.set(&[], tables.isolation_missing.len() as u64);
    all::DAEMON_RESTARTS.count(&[], tables.daemon_restarts);
    all::MESSAGES_DROPPED.count(&[], lines::dropped());
}

fn tell_gateway(gateway: &Gateway, chains: &[&Chain]) {
    let labels = [label("gateway", gateway.address.as_str())];
    all::GATEWAY_READY.set(&labels, u64::from(gateway.state == InstanceState::Ready));
    all::GATEWAY_CONNECTIONS.set(&labels, of_process(chains, Gauge::Connections));
    all::GATEWAY_CONNECTIONS_LIMIT.set(&labels, of_process(chains, Gauge::ConnectionsMax));
    let buffered = of_process(chains, Gauge::BufferedBytes);
    let held = buffered.saturating_add(of_process(chains, Gauge::ConnectionBytes));
    all::GATEWAY_BUFFER.set(&labels, held);
    all::GATEWAY_BUFFER_LIMIT.set(&labels, of_process(chains, Gauge::BudgetBytes));
    for reason in Reject::ALL {
        let count = |gateway: &Instance| gateway.page.counter(Counter::Rejected(*reason));
        let labels = with(&labels, "reason", reason.label());
        all::GATEWAY_REJECTED.count(&labels, of_gateways(chains, count));
    }
    for outcome in EvidenceOutcome::ALL {
        let count = |gateway: &Instance| gateway.page.counter(Counter::Evidence(*outcome));
        let labels = with(&labels, "outcome", outcome.label());
        all::GATEWAY_EVIDENCE.count(&labels, of_gateways(chains, count));
    }
    if gateway.tls == tls::NONE {
        return;
    }
    let failed = of_gateways(chains, |gateway| gateway.page.counter(Counter::HandshakesFailed));
    all::GATEWAY_HANDSHAKES_FAILED.count(&labels, failed);
    let expiry = |file: &str, gauge| {
        let labels = with(&labels, "file", file);
        all::CERTIFICATE_EXPIRY.set(&labels, of_process(chains, gauge));
    };
    expiry("cert", Gauge::CertificateExpires);
    if gateway.tls == tls::MUTUAL {
        expiry("client_ca", Gauge::ClientCaExpires);
    }
}

fn tell_chain(scrape: &Register, tables: &Tables, chain: &Chain, detail: Detail) {
    let labels = [label("chain", chain.name.as_str())];
    let mut info = with(&labels, "version", chain.version.as_str());
    info.push(label("digest", chain.digest.as_str()));
    let gateway = tables.gateway(chain.gateway);
    info.push(label(
        "gateway",
        gateway.map_or("", |gateway| gateway.address.as_str()),
    ));
    all::CHAIN_INFO.set(&info, 1);
    let complaints = chain.complaints(clock::now());
    all::CHAIN_READY.set(&labels, u64::from(complaints.is_empty()));
    if let Some(gateway) = chain.gateway() {
        tell_requests(scrape, &labels, chain, gateway);
        let of_gateway = with(&labels, "function", "gateway");
        let dropped = gateway.page.counter(Counter::Cancelled);
        all::RECORDS_DROPPED.count(&with(&of_gateway, "reason", "cancelled"), dropped);
        tell_segments_refused(&of_gateway, &[gateway]);
    }
    let mut functions: Vec<&Instance> = chain.functions().collect();
    functions.sort_by_key(|instance| instance.function_index);
    for instances in functions.chunk_by(|one, other| one.function_index == other.function_index) {
        let Some(first) = instances.first() else { continue };
        let labels = with(&labels, "function", first.function.as_str());
        let (lies, room) = queue(chain, first.function_index);
        all::QUEUE.set(&labels, lies);
        all::QUEUE_LIMIT.set(&labels, room);
        match detail {
            Detail::Function => tell_instances(scrape, &labels, instances),
            Detail::Instance => {
                for instance in instances {
                    let labels = with(&labels, "ordinal", instance.ordinal.to_string());
                    tell_instances(scrape, &labels, &[instance]);
                }
            }
        }
    }
}

fn tell_requests(scrape: &Register, labels: &[Label], chain: &Chain, gateway: &Instance) {
    let count = |counter| gateway.page.counter(counter);
    for outcome in RequestOutcome::ALL {
        let labels = with(labels, "outcome", outcome.label());
        all::REQUESTS.count(&labels, count(Counter::Requests(*outcome)));
    }
    for reason in RequestRefusal::ALL {
        let labels = with(labels, "reason", reason.label());
        all::REQUESTS_REFUSED.count(&labels, count(Counter::RequestsRefused(*reason)));
    }
    for reason in RequestFailure::ALL {
        let labels = with(labels, "reason", reason.label());
        all::REQUESTS_FAILED.count(&labels, count(Counter::RequestsFailed(*reason)));
    }
    let durations = timed(&[gateway], |_| vec![Phase::Run]);
    all::REQUEST_DURATION.take_over(scrape, labels, distribution(&durations, Some(pages::OF_REQUESTS)));
    all::IN_FLIGHT.set(labels, chain.in_flight());
    all::IN_FLIGHT_LIMIT.set(labels, u64::from(chain.in_flight_max));
    all::WAITING.set(labels, gateway.page.gauge(Gauge::Waiting));
    all::REQUEST_BUFFER.set(labels, gateway.page.gauge(Gauge::BufferedBytes));
}

/// What is told of a function's instances together, or of one.
fn tell_instances(scrape: &Register, labels: &[Label], instances: &[&Instance]) {
    let now = clock::now();
    for health in Health::ALL {
        let so = instances.iter().filter(|instance| instance.health(now) == health);
        all::INSTANCES.set(&with(labels, "state", health.word()), so.count() as u64);
    }
    let busy = instances
        .iter()
        .filter(|instance| instance.page.running().is_some());
    all::INSTANCES_BUSY.set(labels, busy.count() as u64);
    let limits = instances.iter().map(|instance| instance.memory_limit_bytes());
    all::MEMORY_LIMIT.set(labels, limits.max().unwrap_or(0));
    let used = instances.iter().map(|instance| instance.memory_used_bytes);
    all::MEMORY.set(labels, used.max().unwrap_or(0));
    for (outcome, counter) in [
        ("succeeded", Counter::Succeeded),
        ("retried", Counter::Retried),
        ("failed", Counter::Failed),
    ] {
        all::RUNS.count(&with(labels, "outcome", outcome), counted(instances, counter));
    }
    for (reason, counter) in [
        ("expired", Counter::Expired),
        ("cancelled", Counter::Cancelled),
        ("abandoned", Counter::Abandoned),
    ] {
        all::RECORDS_DROPPED.count(&with(labels, "reason", reason), counted(instances, counter));
    }
    for (figure, counter) in [
        (all::RECORDS_PUBLISHED, Counter::Published),
        (all::ROOM_WAITS, Counter::Waited),
        (all::RECEIVED, Counter::BytesIn),
        (all::SENT, Counter::BytesOut),
    ] {
        figure.count(labels, counted(instances, counter));
    }
    tell_segments_refused(labels, instances);
    let calls = instances.iter().flat_map(|instance| instance.refused_calls());
    all::CALLS_REFUSED.count(
        labels,
        calls.fold(0, |sum: u64, call| sum.saturating_add(call.count)),
    );
    tell_durations(scrape, labels, instances);
}

fn tell_segments_refused(labels: &[Label], instances: &[&Instance]) {
    for refusal in Refusal::ALL {
        let labels = with(labels, "reason", refusal.label());
        all::SEGMENTS_REFUSED.count(&labels, counted(instances, Counter::Refused(refusal)));
    }
}

fn tell_durations(scrape: &Register, labels: &[Label], instances: &[&Instance]) {
    let seals = |instance: &Instance| (0..instance.ports.len()).map(Phase::Seal).collect();
    let of_runs = Some(pages::OF_RUNS);
    for (figure, durations, buckets) in [
        (all::RUN_DURATION, timed(instances, |_| vec![Phase::Run]), of_runs),
        (
            all::QUEUE_DURATION,
            timed(instances, |instance| rings(instance, Phase::Queued)),
            of_runs,
        ),
        (
            all::HAND_OVER_DURATION,
            timed(instances, |instance| rings(instance, Phase::HandOver)),
            None,
        ),
        (
            all::OPEN_DURATION,
            timed(instances, |instance| rings(instance, Phase::Open)),
            None,
        ),
        (all::SEAL_DURATION, timed(instances, seals), None),
    ] {
        figure.take_over(scrape, labels, distribution(&durations, buckets));
    }
}
