//! What `/status` says: how everything is, and what is wrong. `docs/operations.md` has the table of its
//! fields, which may grow and do not change.

use super::filter::Filter;
use super::history::{AtWork, Health, History, with_limit};
use super::refused;
use super::tables::{Chain, Instance, Tables};
use hacher_libos_net::attach::FunctionLimits;
use hacher_libos_net::clock::{self, Monotonic};
use hacher_libos_net::refusal::Refusal;
use hacher_libos_net::telemetry::{Counter, Outcome, Phase, RequestFailure, RequestOutcome, RequestRefusal};
use hacher_trustlet_host::calls::InstanceState;
use hacher_trustlet_host::hex::hex;
use hacher_trustlet_host::wall_clock::{self, of_monotonic};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The version of what is said.
const FORMAT: u32 = 1;
/// The keys of a query.
pub(super) const KEYS: &[&str] = &["chain", "function", "failed"];

/// An id as headers, logs and traces write it.
pub(super) fn id(invocation: u64) -> String {
    format!("{invocation:016x}")
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn since(at: Monotonic, now: Monotonic) -> u64 {
    milliseconds(now.saturating_duration_since(at))
}

impl AtWork {
    fn add_to(self, data: &mut Value) {
        if let Some(data) = data.as_object_mut() {
            data.insert("invocation".to_owned(), id(self.invocation).into());
            data.insert("attempt".to_owned(), self.attempt.into());
        }
    }
}

impl History {
    fn add_to(&self, function: &str, limits: &FunctionLimits, data: &mut Map<String, Value>, now: Monotonic) {
        let mut add = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
        add("deaths", self.deaths.into());
        if let Some(at) = self.serving_since {
            add("serving_since", of_monotonic(at).into());
            add("serving_ms", since(at, now).into());
        }
        if let Some(due) = self.next_start.filter(|due| *due > now) {
            add("next_start_in_ms", since(now, due).into());
        }
        if let Some(reason) = &self.refused {
            add("start_refused", reason.as_str().into());
        }
        if let Some(end) = self.last_end {
            let mut last_end = json!({
                "cause": end.cause.word(), "code": end.code, "detail": with_limit(end.cause.with(end.code), function, limits),
                "at": of_monotonic(end.at), "ago_ms": since(end.at, now), "lived_ms": milliseconds(end.lived),
            });
            if let Some(record) = end.record {
                record.add_to(&mut last_end);
            }
            add("last_end", last_end);
        }
    }
}

/// What the gateway's part of a status says of requests.
const REQUESTS: [(&str, Counter); 7] = [
    (
        "requests_shed",
        Counter::RequestsRefused(RequestRefusal::InFlight),
    ),
    (
        "requests_timed_out",
        Counter::RequestsFailed(RequestFailure::Deadline),
    ),
    (
        "requests_disconnected",
        Counter::Requests(RequestOutcome::Disconnected),
    ),
    ("replies_2xx", Counter::Requests(RequestOutcome::Success)),
    ("replies_3xx", Counter::Requests(RequestOutcome::Redirected)),
    ("replies_4xx", Counter::Requests(RequestOutcome::ClientError)),
    ("replies_5xx", Counter::Requests(RequestOutcome::ServerError)),
];

impl Instance {
    /// Gateway: requests to the chain, however they ended.
    fn requests(&self) -> u64 {
        let outcomes = RequestOutcome::ALL.iter();
        let counts = outcomes.map(|outcome| self.page.counter(Counter::Requests(*outcome)));
        counts.fold(0, u64::saturating_add)
    }

    fn refused(&self) -> u64 {
        Refusal::ALL
            .iter()
            .map(|refusal| self.page.counter(Counter::Refused(*refusal)))
            // An instance may write anything into its page.
            .fold(0, u64::saturating_add)
    }

    /// How often each system call was refused, by name.
    fn refused_by_name(&self) -> Value {
        let calls = self.refused_calls();
        calls
            .iter()
            .map(|call| (refused::name(call), Value::from(call.count)))
            .collect::<Map<_, _>>()
            .into()
    }

    /// What it runs now.
    fn running(&self, now: Monotonic) -> Option<Value> {
        let running = self.page.running()?;
        let mut data = json!({ "since": of_monotonic(running.since), "for_ms": since(running.since, now) });
        if let Some(record) = self.last_record() {
            record.add_to(&mut data);
        }
        Some(data)
    }

    /// The last run that failed for good, among those that it remembers.
    fn last_failure(&self, now: Monotonic) -> Option<Value> {
        let traces = self.page.traces();
        let failed = traces
            .iter()
            .rev()
            .find(|trace| trace.outcome == Outcome::Failed)?;
        let seen = Monotonic::from_ns(failed.seen_ns);
        let mut data = json!({ "at": of_monotonic(seen), "ago_ms": since(seen, now) });
        // Whoever writes anything into its page need not say why.
        if let (Some((cause, code)), Some(data)) = (failed.cause, data.as_object_mut()) {
            let detail = with_limit(cause.with(code), &self.function, &self.limits());
            data.insert("cause".to_owned(), cause.word().into());
            data.insert("code".to_owned(), code.into());
            data.insert("detail".to_owned(), detail.into());
        }
        let record = AtWork {
            invocation: failed.invocation,
            attempt: failed.attempt,
        };
        record.add_to(&mut data);
        Some(data)
    }

    fn status(&self, now: Monotonic) -> Value {
        let run = self.page.histogram(Phase::Run);
        let mean_run_ns = run
            .filter(|run| run.count > 0)
            .map_or(0, |run| run.sum_ns / run.count);
        let mut status = json!({
            "function": self.function, "ordinal": self.ordinal, "state": self.state.text(),
            "health": self.health(now).word(), "epoch": self.epoch, "starts": self.epoch,
            "memory_used_bytes": self.memory_used_bytes, "memory_limit_bytes": self.memory_limit_bytes(),
            "fabric_memory_bytes": self.fabric_bytes, "threads": self.threads,
            "files_bytes": self.files_bytes,
            "refused": self.refused(), "mean_run_ns": mean_run_ns, "refused_calls": self.refused_by_name(), "programs": self.has_programs,
        });
        if let Some(object) = status.as_object_mut() {
            self.history.add_to(&self.function, &self.limits(), object, now);
            let optional = [
                ("running", self.running(now)),
                ("last_failure", self.last_failure(now)),
            ];
            for (name, value) in optional {
                object.extend(value.map(|value| (name.to_owned(), value)));
            }
            for (counter, name) in Counter::PLAIN {
                object.insert(name.to_owned(), self.page.counter(counter).into());
            }
            if self.number == 0 {
                for (name, counter) in REQUESTS {
                    object.insert(name.to_owned(), self.page.counter(counter).into());
                }
            }
            for refusal in Refusal::ALL {
                let count = self.page.counter(Counter::Refused(refusal));
                object.insert(format!("refused_{}", refusal.label()), count.into());
            }
        }
        status
    }

    /// Why its chain is not ready, if it is not because of this instance.
    fn complaint(&self, now: Monotonic) -> Option<String> {
        let health = self.health(now);
        let who = format!("{}#{}", self.function, self.ordinal);
        let end = self.history.last_end;
        let after = end.map_or_else(String::new, |end| {
            let cause = with_limit(end.cause.with(end.code), &self.function, &self.limits());
            format!(", the last one: {cause}")
        });
        let said = match health {
            _ if health.is_fit() => return None,
            Health::CrashLoop => format!(
                "{who} is in a crash loop: {} deaths so far{after}",
                self.history.deaths
            ),
            Health::BackOff => {
                let due = self.history.next_start.map_or(0, |due| since(now, due));
                match &self.history.refused {
                    Some(reason) => {
                        format!("{who} cannot be started ({reason}) and is tried again in {due} ms")
                    }
                    None => format!(
                        "{who} has ended, {} times so far{after}, and is started again in {due} ms",
                        self.history.deaths
                    ),
                }
            }
            _ => format!("{who} does not serve yet"),
        };
        Some(said)
    }
}

impl Chain {
    /// Why the chain is not ready; nothing if it is.
    #[must_use]
    pub(super) fn complaints(&self, now: Monotonic) -> Vec<String> {
        self.instances
            .iter()
            .filter_map(|instance| instance.complaint(now))
            .collect()
    }

    /// Requests that no function runs at the moment: they wait at the gateway, or as records in rings. Fewer
    /// than that where one request is run by several functions at once.
    #[must_use]
    pub(super) fn queued(&self) -> u64 {
        let running = self
            .functions()
            .filter(|instance| instance.page.running().is_some())
            .count();
        self.in_flight().saturating_sub(running as u64)
    }

    fn status(&self, filter: &Filter, now: Monotonic) -> Value {
        let counter = |counter| self.gateway().map_or(0, |gateway| gateway.page.counter(counter));
        let protection = |mapped: bool| if mapped { "mapped" } else { "sealed" };
        let edges = self.edges.iter();
        let edges: Vec<Value> = edges
            .map(|(edge, mapped)| json!({ "edge": edge, "protection": protection(*mapped) }))
            .collect();
        let wanted = |instance: &&Instance| {
            filter.wants_function(&instance.function) && (!filter.failed || instance.is_bad(now))
        };
        let complaints = self.complaints(now);
        json!({
            "name": self.name, "version": self.version, "digest": self.digest,
            "ready": complaints.is_empty(), "not_ready_because": complaints,
            "requests": self.gateway().map_or(0, Instance::requests),
            "shed": counter(Counter::RequestsRefused(RequestRefusal::InFlight)),
            "timed_out": counter(Counter::RequestsFailed(RequestFailure::Deadline)),
            "disconnected": counter(Counter::Requests(RequestOutcome::Disconnected)),
            "in_flight": self.in_flight(), "in_flight_limit": self.in_flight_max, "queued": self.queued(),
            "gateway": self.gateway().map(|gateway| gateway.status(now)), "edges": edges,
            "instances": self.functions().filter(wanted).map(|instance| instance.status(now)).collect::<Vec<_>>(),
        })
    }
}

impl Instance {
    /// Whether there is something about it that an operator looks for: it is not fit, it has died, or runs of
    /// it have failed.
    fn is_bad(&self, now: Monotonic) -> bool {
        !self.health(now).is_fit()
            || self.history.deaths > 0
            || self.page.counter(Counter::Failed) > 0
            || self.state != InstanceState::Ready
    }
}

impl Tables {
    /// The names of the chains that are not ready.
    #[must_use]
    pub(super) fn not_ready(&self) -> Vec<&str> {
        let now = clock::now();
        let chains = self
            .chains
            .iter()
            .filter(|chain| !chain.complaints(now).is_empty());
        chains.map(|chain| chain.name.as_str()).collect()
    }

    /// Whether a filter names what there is.
    ///
    /// # Errors
    /// The sentence for whoever asked.
    pub(super) fn check(&self, filter: &Filter) -> Result<(), String> {
        let list = |names: Vec<&str>| {
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        };
        let chains = || self.chains.iter().filter(|chain| filter.wants_chain(&chain.name));
        if let Some(chain) = &filter.chain
            && chains().next().is_none()
        {
            let names = self.chains.iter().map(|chain| chain.name.as_str()).collect();
            return Err(format!(
                "there is no chain `{}`; known chains: {}",
                chain.escape_debug(),
                list(names)
            ));
        }
        if let Some(function) = &filter.function {
            let mut names: Vec<&str> = chains()
                .flat_map(Chain::functions)
                .map(|found| found.function.as_str())
                .collect();
            names.dedup();
            if !names.contains(&function.as_str()) {
                return Err(format!(
                    "there is no function `{}`; known functions: {}",
                    function.escape_debug(),
                    list(names)
                ));
            }
        }
        Ok(())
    }

    /// The status as data.
    #[must_use]
    pub(super) fn status(&self, filter: &Filter) -> Value {
        let now = clock::now();
        let chains = self.chains.iter().filter(|chain| filter.wants_chain(&chain.name));
        let not_ready = self.not_ready();
        let shown = |chain: &&Chain| {
            let is_bad = || {
                not_ready.contains(&chain.name.as_str())
                    || chain.functions().any(|instance| instance.is_bad(now))
            };
            !filter.failed || is_bad()
        };
        let chains: Vec<Value> = chains
            .filter(shown)
            .map(|chain| self.with_gateway(chain, chain.status(filter, now)))
            .collect();
        let shared = self.shared_gateway();
        let [monitor, daemon] = self.measurements.map(|measurement| hex(&measurement));
        json!({
            "format": FORMAT, "time": wall_clock::now(), "ready": not_ready.is_empty(), "not_ready": not_ready,
            "gateway": shared.map(|gateway| &gateway.address),
            "gateway_state": shared.map(|gateway| gateway.state.text()),
            "backend": self.backend, "snp": self.snp, "isolation_missing": self.isolation_missing,
            "monitor_sha384": monitor, "daemon_sha384": daemon,
            "daemon_restarts": self.daemon_restarts, "daemon_since": of_monotonic(self.began),
            "chains": chains,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::hostile::{Report, report};
    use hacher_libos_net::Cause;
    use hacher_libos_net::layout::{PageLayout, page_word};
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use rustix::io::pwrite;

    /// What is told of instances whose page has one trace, with this word for its outcome and its cause.
    fn told(outcome: u64) -> Report {
        let layout = PageLayout::new(1, 1).unwrap();
        let page = memfd_create("page", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&page, layout.len_bytes() as u64).unwrap();
        let write = |at: usize, word: u64| {
            pwrite(&page, &word.to_ne_bytes(), at as u64).unwrap();
        };
        for (at, word) in [1, 0x1f, 1, outcome].into_iter().enumerate() {
            write(layout.traces_at() + at * 8, word);
        }
        write(page_word::TRACE_HEAD, 1);
        report(&page, 1, 1).unwrap()
    }

    #[test]
    fn the_last_record_that_was_given_up_has_its_cause_and_so_has_its_trace() {
        let of = |cause: Cause| (u64::from(cause.code()) + 1) << 8;
        for (word, cause, code, detail) in [
            (of(Cause::Panicked), "panicked", 0, "the handler panicked"),
            (of(Cause::Exited) | 7 << 16, "exited", 7, "exited with code 7"),
            (
                of(Cause::OutOfMemory),
                "out_of_memory",
                0,
                "the handler used up its memory; the limit is \"1MiB\" (`function.function.memory`), try \"2MiB\"",
            ),
        ] {
            let told = told(2 | word);
            let failure = &told.status["chains"][0]["instances"][0]["last_failure"];
            assert_eq!(failure["cause"], cause);
            assert_eq!(failure["code"], code);
            assert_eq!(failure["detail"], detail);
            assert_eq!(failure["invocation"], "000000000000001f");
            assert_eq!(told.traces["traces"][0]["cause"], cause);
        }
        // A page may say anything.
        for word in [2, 0xff02] {
            let told = told(word);
            let failure = &told.status["chains"][0]["instances"][0]["last_failure"];
            assert!(
                failure["at"].is_string()
                    && failure.get("cause").is_none()
                    && failure.get("detail").is_none()
            );
            assert!(told.traces["traces"][0].get("cause").is_none());
        }
    }
}
