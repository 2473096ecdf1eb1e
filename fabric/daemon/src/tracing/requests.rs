//! What is known of requests that are traced, until all of it is told.
//!
//! A gateway tells of a request when it has ended, and instances tell of its runs in their pages, before or
//! after that; the low half of the request's id is what they have in common. What came before the gateway's
//! word waits for it, as only that names the trace. What it says and what pages say may be wrong, as both may
//! have been taken over: so all of it is bounded, a span belongs to a request of its own chain, and lies
//! within the time from the request's beginning to the present.

use super::queue::Queue;
use super::span::{Attribute, Exported, Kind};
use crate::metrics::Dropped;
use crate::tables::{Chain, Inbound, Instance, Tables};
use hacher_http::access::Record;
use hacher_libos_net::DEFAULT_PORT;
use hacher_libos_net::clock;
use hacher_libos_net::span_id::SpanId;
use hacher_libos_net::telemetry::{Outcome, Span, SpanKind};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, SystemTime};

/// How long what a function does for a request may come after its end and still be told.
const LINGER: Duration = Duration::from_secs(5);
/// Requests whose end is that recent, at most.
const ENDED_MAX: usize = 16 * 1024;
/// Spans of requests that have not ended, at most.
const EARLY_MAX: usize = 16 * 1024;
/// Spans of one request at most: more than retries and joins of a large chain make.
const SPANS_MAX: usize = 4096;
/// More than an instance can have missed between two looks.
const MISSED_MAX: u64 = 1 << 20;
/// A step of the wall clock that is followed; below, times of one trace keep their order.
const CLOCK_STEP_NS: u64 = 1_000_000;

/// Who sends requests into a chain, as chain files name it.
const INGRESS: &str = "ingress";

/// Which instance told of a span: chain and instance, by their numbers.
type Teller = (u32, u32);

/// A request that has ended.
#[derive(Debug)]
struct Ended {
    chain: u32,
    trace: u128,
    began_ns: u64,
    /// When it is forgotten.
    until_ns: u64,
    /// What was exported of it.
    told: HashSet<SpanId>,
}

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Requests {
    ended: HashMap<u64, Ended>,
    /// By when they ended.
    in_order: VecDeque<u64>,
    /// What was told of others.
    early: HashMap<u64, Vec<(Teller, Span)>>,
    /// Whose that is, oldest first, once for each span; some of it was exported meanwhile.
    early_in_order: VecDeque<u64>,
    /// The next span of each instance.
    next: HashMap<Teller, u64>,
    clock: WallClock,
}

/// What the wall clock shows, by the monotonic one.
#[derive(Debug, Default)]
struct WallClock {
    ahead_ns: u64,
}

impl WallClock {
    fn look(&mut self) {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let wall_ns = u64::try_from(wall.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        let ahead_ns = wall_ns.saturating_sub(clock::now().as_ns());
        if ahead_ns.abs_diff(self.ahead_ns) > CLOCK_STEP_NS {
            self.ahead_ns = ahead_ns;
        }
    }

    const fn at(&self, monotonic_ns: u64) -> u64 {
        self.ahead_ns.saturating_add(monotonic_ns)
    }
}

impl Requests {
    /// A gateway tells of a request. The caller has made sure that it serves the chain.
    pub(super) fn ended(&mut self, record: &Record, tables: &Tables, queue: &Queue) {
        let Some(span) = record.span else { return };
        let chain = tables.chains.iter().find(|chain| chain.name == record.chain);
        let (Some(chain), Some(id)) = (chain, SpanId::new(span.id)) else {
            return;
        };
        let [high, low] = span.trace;
        let trace = u128::from(high) << 64 | u128::from(low);
        if trace == 0 {
            return;
        }
        self.clock.look();
        let now_ns = clock::now().as_ns();
        let ended_ns = span.ended_ns.min(now_ns);
        let began_ns = span.began_ns.min(ended_ns);
        queue.push(of_request(
            record,
            chain,
            trace,
            id,
            self.clock.at(began_ns),
            self.clock.at(ended_ns),
        ));
        let Some(invocation) = record.invocation else {
            return;
        };
        if self.in_order.len() >= ENDED_MAX
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        let ended = Ended {
            chain: chain.number,
            trace,
            began_ns,
            until_ns: now_ns.saturating_add(u64::try_from(LINGER.as_nanos()).unwrap_or(u64::MAX)),
            told: HashSet::from([id]),
        };
        if self.ended.insert(invocation, ended).is_none() {
            self.in_order.push_back(invocation);
        }
        for (teller, span) in self.early.remove(&invocation).unwrap_or_default() {
            self.tell(tables, queue, teller, span);
        }
    }

    /// Reads what instances have told since the last time, and exports what belongs to a request that has
    /// ended.
    pub(super) fn collect(&mut self, tables: &Tables, queue: &Queue) {
        self.clock.look();
        for chain in &tables.chains {
            for instance in &chain.instances {
                let teller = (chain.number, instance.number);
                // What was told before this daemon began, the one before it has exported.
                let first = if tables.daemon_restarts > 0 {
                    instance.page.next_span()
                } else {
                    0
                };
                let next = *self.next.entry(teller).or_insert(first);
                if instance.page.next_span() == next {
                    continue;
                }
                let read = instance.page.spans_since(next);
                self.next.insert(teller, read.next);
                if read.missed > 0 {
                    Dropped::Overwritten.count(read.missed.min(MISSED_MAX));
                }
                for span in read.spans {
                    self.tell(tables, queue, teller, span);
                }
            }
        }
    }

    /// Exports a span, or keeps it until its request has ended.
    fn tell(&mut self, tables: &Tables, queue: &Queue, teller: Teller, span: Span) {
        let Some(request) = self.ended.get_mut(&span.run.invocation) else {
            return self.keep(teller, span);
        };
        let found = tables.chains.iter().find(|chain| chain.number == teller.0);
        let instance = found.and_then(|chain| {
            let mut instances = chain.instances.iter();
            instances.find(|instance| instance.number == teller.1)
        });
        let (Some(chain), Some(instance)) = (found, instance) else {
            return;
        };
        if request.chain != chain.number || request.told.len() >= SPANS_MAX {
            return Dropped::TooMany.count(1);
        }
        let at = Place {
            chain,
            instance,
            trace: request.trace,
            began_ns: request.began_ns,
            now_ns: clock::now().as_ns(),
            clock: &self.clock,
        };
        let hop = at.hop_id(&span);
        if span.kind != SpanKind::JoinedRun && request.told.insert(hop) {
            queue.push(at.of_hop(&span, hop));
        }
        if span.kind != SpanKind::Arrival && request.told.insert(span.id) {
            queue.push(at.of_run(&span, hop));
        }
    }

    /// Keeps a span until its request has ended.
    fn keep(&mut self, teller: Teller, span: Span) {
        if self.early_in_order.len() >= EARLY_MAX
            && let Some(oldest) = self.early_in_order.pop_front()
            && let Some(spans) = self.early.get_mut(&oldest)
        {
            Dropped::TooMany.count(1);
            spans.swap_remove(0);
            if spans.is_empty() {
                self.early.remove(&oldest);
            }
        }
        let invocation = span.run.invocation;
        self.early.entry(invocation).or_default().push((teller, span));
        self.early_in_order.push_back(invocation);
    }

    /// Forgets requests that ended long ago; how many there still are.
    pub(super) fn forget_old(&mut self) -> usize {
        let now_ns = clock::now().as_ns();
        while let Some(oldest) = self.in_order.front() {
            if self
                .ended
                .get(oldest)
                .is_some_and(|ended| ended.until_ns > now_ns)
            {
                break;
            }
            self.ended.remove(oldest);
            self.in_order.pop_front();
        }
        self.in_order.len()
    }
}

/// The span of a request. Its path is not told: it is the client's, and may hold anything.
fn of_request(
    record: &Record,
    chain: &Chain,
    trace: u128,
    id: SpanId,
    start_ns: u64,
    end_ns: u64,
) -> Vec<u8> {
    let route = format!("/chains/{}", chain.name);
    let name = format!("{} {route}", record.method);
    let invocation = record
        .invocation
        .map(|id| format!("{id:016x}"))
        .unwrap_or_default();
    let mut attributes = vec![
        ("http.request.method", Attribute::Text(&record.method)),
        ("http.route", Attribute::Text(&route)),
        ("http.request.body.size", Attribute::Number(record.received_bytes)),
        ("http.response.body.size", Attribute::Number(record.sent_bytes)),
        ("hacher.chain", Attribute::Text(&chain.name)),
        ("hacher.chain.version", Attribute::Text(&chain.version)),
    ];
    if record.status > 0 {
        let status = Attribute::Number(record.status.into());
        attributes.push(("http.response.status_code", status));
    }
    if !invocation.is_empty() {
        attributes.push(("hacher.invocation", Attribute::Text(&invocation)));
    }
    if !record.cause.is_empty() {
        attributes.push(("error.type", Attribute::Text(&record.cause)));
    }
    // As the semantic conventions for servers have it: what the client did wrong is no error of the server.
    let is_error = record.status == 0 || record.status >= 500;
    let parent = record.span.and_then(|span| SpanId::new(span.parent));
    let span = Exported {
        trace,
        id,
        parent,
        name: &name,
        kind: Kind::Server,
        start_ns,
        end_ns,
        attributes: &attributes,
        error: is_error.then_some(record.cause.as_str()),
    };
    span.encoded()
}

/// Where a span was told, and of which request it is.
struct Place<'t> {
    chain: &'t Chain,
    instance: &'t Instance,
    trace: u128,
    began_ns: u64,
    now_ns: u64,
    clock: &'t WallClock,
}

impl Place<'_> {
    /// The way by which the record came.
    fn hop_id(&self, span: &Span) -> SpanId {
        let function = self.instance.function_index;
        SpanId::of_hop(span.parent, span.run.invocation, function, span.run.inbound)
    }

    fn inbound(&self, span: &Span) -> Option<&Inbound> {
        self.instance.inbound.get(usize::try_from(span.run.inbound).ok()?)
    }

    /// A time that a page says, on the wall clock: after the request began, and not after now.
    fn at(&self, ns: u64) -> u64 {
        self.clock
            .at(ns.clamp(self.began_ns, self.now_ns.max(self.began_ns)))
    }

    /// From publishing a record until it was opened.
    fn of_hop(&self, span: &Span, id: SpanId) -> Vec<u8> {
        let (from, port) = self.inbound(span).map_or(("?", ""), |inbound| {
            (inbound.from.as_str(), inbound.port.as_str())
        });
        let function = self.instance.function.as_str();
        let to = if self.instance.function_index == 0 {
            "egress"
        } else {
            function
        };
        // As chain files write edges: a request has one port alone.
        let name = match port {
            port if from != INGRESS && !matches!(port, "" | DEFAULT_PORT) => {
                format!("{from}.{port} -> {to}")
            }
            _ => format!("{from} -> {to}"),
        };
        let run = &span.run;
        let waited_ns = run.queued_ns.saturating_add(run.hand_over_ns);
        let opened_ns = run.seen_ns.saturating_add(run.open_ns).min(span.started_ns);
        let start_ns = self.at(run.seen_ns.saturating_sub(waited_ns));
        let exported = Exported {
            trace: self.trace,
            id,
            parent: Some(span.parent),
            name: &name,
            kind: Kind::Internal,
            start_ns,
            end_ns: self.at(opened_ns).max(start_ns),
            attributes: &[
                ("hacher.chain", Attribute::Text(&self.chain.name)),
                ("hacher.from", Attribute::Text(from)),
                ("hacher.port", Attribute::Text(port)),
                ("hacher.to", Attribute::Text(to)),
                ("hacher.bytes", Attribute::Number(run.in_bytes)),
                ("hacher.queued_ns", Attribute::Number(run.queued_ns)),
                ("hacher.hand_over_ns", Attribute::Number(run.hand_over_ns)),
            ],
            error: None,
        };
        exported.encoded()
    }

    /// One attempt of a function.
    fn of_run(&self, span: &Span, hop: SpanId) -> Vec<u8> {
        let (outcome, error) = match span.run.outcome {
            Outcome::Succeeded => ("succeeded", None),
            Outcome::Retried => ("retried", Some("the attempt failed and is repeated")),
            Outcome::Abandoned => (
                "abandoned",
                Some("its client had gone, its time had passed, or its input never came whole"),
            ),
            _ => ("failed", Some("the attempt failed and the record is given up")),
        };
        let (run, invocation) = (&span.run, format!("{:016x}", span.run.invocation));
        let start_ns = self.at(span.started_ns);
        let exported = Exported {
            trace: self.trace,
            id: span.id,
            parent: Some(hop),
            name: &self.instance.function,
            kind: Kind::Internal,
            start_ns,
            end_ns: self.at(span.ended_ns).max(start_ns),
            attributes: &[
                ("hacher.chain", Attribute::Text(&self.chain.name)),
                ("hacher.function", Attribute::Text(&self.instance.function)),
                ("hacher.instance", Attribute::Number(self.instance.ordinal.into())),
                ("hacher.invocation", Attribute::Text(&invocation)),
                ("hacher.attempt", Attribute::Number(run.attempt.into())),
                ("hacher.outcome", Attribute::Text(outcome)),
                ("hacher.in_bytes", Attribute::Number(run.in_bytes)),
                ("hacher.out_bytes", Attribute::Number(run.out_bytes)),
                ("hacher.open_ns", Attribute::Number(run.open_ns)),
                ("hacher.run_ns", Attribute::Number(run.run_ns)),
                ("hacher.seal_ns", Attribute::Number(run.seal_ns)),
            ],
            error,
        };
        exported.encoded()
    }
}
