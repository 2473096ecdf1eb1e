//! The text that Prometheus scrapes (exposition format 0.0.4): histograms and counters that instances keep in their
//! pages, and the daemon's own counters.

use super::refused;
use super::tables::{Chain, Instance, Tables};
use hacher_libos_net::refusal::Refusal;
use hacher_libos_net::telemetry::{Counter, Histogram, Phase, bucket_bound_ns};
use hacher_trustlet_host::lines;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Counts trustlets started, by chain and function.
pub(super) const TRUSTLET_STARTS: &str = "hacher_trustlet_starts_total";
/// Counts trustlets that died, by chain, function, cause and code (of an exit, a signal, a limit).
pub(super) const TRUSTLET_DEATHS: &str = "hacher_trustlet_deaths_total";
/// Counts handlers that overran their timeout, by chain and function.
pub(super) const HANDLER_TIMEOUTS: &str = "hacher_handler_timeouts_total";
/// Counts runs that were ended because nobody waited for them any more, by chain and function.
pub(super) const UNWANTED_RUNS: &str = "hacher_unwanted_runs_total";

/// Counts lines of functions that nobody read in time, by chain and function.
pub(super) const LOG_LINES_DROPPED: &str = "hacher_log_lines_dropped_total";

/// Installs the recorder of the daemon's own counters.
#[must_use]
pub(super) fn install() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // Only one recorder is ever installed in this process.
    let _ = metrics::set_global_recorder(recorder);
    metrics::describe_counter!(TRUSTLET_STARTS, "Trustlets started");
    metrics::describe_counter!(TRUSTLET_DEATHS, "Trustlets that ended, by cause and code");
    metrics::describe_counter!(
        LOG_LINES_DROPPED,
        "Lines of functions dropped, because standard error was not read in time"
    );
    metrics::describe_counter!(HANDLER_TIMEOUTS, "Handlers that overran their timeout");
    metrics::describe_counter!(
        UNWANTED_RUNS,
        "Runs ended because nobody waited for them any more"
    );
    handle
}

/// Samples by metric, so that each metric's lines stand together as the format wants.
#[derive(Default)]
struct Families(BTreeMap<String, (&'static str, &'static str, String)>);

impl Families {
    fn lines(&mut self, name: &str, kind: &'static str, help: &'static str) -> &mut String {
        &mut self
            .0
            .entry(name.to_owned())
            .or_insert_with(|| (kind, help, String::new()))
            .2
    }

    fn count(&mut self, name: &str, help: &'static str, labels: &str, value: u64) {
        let _ = writeln!(self.lines(name, "counter", help), "{name}{{{labels}}} {value}");
    }

    fn gauge(&mut self, name: &str, help: &'static str, labels: &str, value: u64) {
        let _ = writeln!(self.lines(name, "gauge", help), "{name}{{{labels}}} {value}");
    }

    fn histogram(&mut self, name: &str, help: &'static str, labels: &str, histogram: &Histogram) {
        let lines = self.lines(name, "histogram", help);
        let mut below = 0_u64;
        for (index, count) in histogram.buckets.iter().enumerate() {
            // An instance may write anything into its page.
            below = below.saturating_add(*count);
            if let Some(bound) = bucket_bound_ns(index) {
                let _ = writeln!(
                    lines,
                    "{name}_bucket{{{labels},le=\"{}\"}} {below}",
                    seconds(bound)
                );
            }
        }
        // The page changes while it is read: what is said here must agree with itself.
        let _ = writeln!(lines, "{name}_bucket{{{labels},le=\"+Inf\"}} {below}");
        let _ = writeln!(lines, "{name}_sum{{{labels}}} {}", seconds(histogram.sum_ns));
        let _ = writeln!(lines, "{name}_count{{{labels}}} {below}");
    }

    fn render(self) -> String {
        let mut text = String::new();
        for (name, (kind, help, lines)) in self.0 {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
        }
        text
    }
}

fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// A label value, escaped as the format wants.
fn quoted(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Everything that there is to scrape.
#[must_use]
pub(super) fn render(tables: &Tables, own: &PrometheusHandle) -> String {
    let mut families = Families::default();
    families.count(
        "hacher_daemon_restarts_total",
        "Daemons that ended before this one",
        "",
        tables.daemon_restarts,
    );
    families.count(
        "hacher_messages_dropped_total",
        "Messages of this daemon dropped, because standard error was not read in time",
        "",
        lines::dropped(),
    );
    for chain in &tables.chains {
        let labels = format!("chain=\"{}\"", quoted(&chain.name));
        families.gauge(
            "hacher_requests_in_flight",
            "Requests in flight",
            &labels,
            chain.in_flight(),
        );
        for instance in &chain.instances {
            render_instance(&mut families, chain, instance);
        }
    }
    own.render() + &families.render()
}

fn render_instance(families: &mut Families, chain: &Chain, instance: &Instance) {
    let (chain, function) = (quoted(&chain.name), quoted(&instance.function));
    let labels = format!(
        "chain=\"{chain}\",function=\"{function}\",instance=\"{}\"",
        instance.ordinal
    );
    for (counter, name) in Counter::PLAIN {
        let value = instance.page.counter(counter);
        families.count(
            &format!("hacher_{name}_total"),
            "See the documentation of counters",
            &labels,
            value,
        );
    }
    for refusal in Refusal::ALL {
        let value = instance.page.counter(Counter::Refused(refusal));
        let labels = format!("{labels},reason=\"{}\"", refusal.label());
        families.count(
            "hacher_refusals_total",
            "Segments and descriptors refused, by reason",
            &labels,
            value,
        );
    }
    for call in instance.page.refused_calls() {
        let labels = format!("{labels},syscall=\"{}\"", quoted(&refused::name(&call)));
        families.count(
            "hacher_refused_calls_total",
            "System calls refused, by name",
            &labels,
            call.count,
        );
    }
    if let Some(histogram) = instance.page.histogram(Phase::Run) {
        families.histogram("hacher_run_seconds", "Time in the handler", &labels, &histogram);
    }
    for (ring, inbound) in instance
        .inbound
        .iter()
        .enumerate()
        .filter(|(_, inbound)| !inbound.fault)
    {
        let edge = format!(
            "{}.{} -> {}",
            quoted(&inbound.from),
            quoted(&inbound.port),
            function
        );
        for (phase, name, help) in [
            (
                Phase::Queued(ring),
                "hacher_queued_seconds",
                "Time that a record lay while its reader was busy",
            ),
            (
                Phase::HandOver(ring),
                "hacher_hand_over_seconds",
                "Time from publishing until the free reader looked",
            ),
            (Phase::Open(ring), "hacher_open_seconds", "Time to open a record"),
        ] {
            if let Some(histogram) = instance.page.histogram(phase) {
                families.histogram(name, help, &format!("{labels},edge=\"{edge}\""), &histogram);
            }
        }
    }
    for (port, name) in instance.ports.iter().enumerate() {
        if let Some(histogram) = instance.page.histogram(Phase::Seal(port)) {
            let labels = format!("{labels},port=\"{}\"", quoted(name));
            families.histogram(
                "hacher_seal_seconds",
                "Time to seal and publish a record",
                &labels,
                &histogram,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_agrees_with_itself() {
        let mut buckets = [0; hacher_libos_net::layout::HISTOGRAM_BUCKETS];
        buckets[0] = 2;
        buckets[3] = 1;
        let mut families = Families::default();
        let histogram = Histogram {
            buckets,
            count: 99,
            sum_ns: 1_500_000_000,
        };
        families.histogram("hacher_x_seconds", "x", "a=\"b\"", &histogram);
        let text = families.render();
        assert!(text.contains("# TYPE hacher_x_seconds histogram"));
        assert!(text.contains("hacher_x_seconds_bucket{a=\"b\",le=\"0.000000256\"} 2\n"));
        assert!(text.contains("hacher_x_seconds_bucket{a=\"b\",le=\"0.000002048\"} 3\n"));
        assert!(text.contains("hacher_x_seconds_bucket{a=\"b\",le=\"+Inf\"} 3\n"));
        assert!(text.contains("hacher_x_seconds_sum{a=\"b\"} 1.500000000\n"));
        assert!(text.contains("hacher_x_seconds_count{a=\"b\"} 3\n"));
    }
}
