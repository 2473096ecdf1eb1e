//! Every metric: its name, its kind, and what it is, with its unit. What is not listed here is not printed;
//! docs/operations.md has the same list for people, and a test holds the two together.

use super::register::{Distribution, Register};
use metrics::Label;

/// A metric.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// As Prometheus knows it.
    pub(crate) name: &'static str,
    kind: Kind,
    help: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl Figure {
    /// Sets it, as a counter, to what was counted elsewhere.
    pub(super) fn count(&self, labels: &[Label], value: u64) {
        metrics::counter!(self.name, labels.to_vec()).absolute(value);
    }

    /// Sets it, as a gauge.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus has nothing but such numbers"
    )]
    pub(super) fn set(&self, labels: &[Label], value: u64) {
        metrics::gauge!(self.name, labels.to_vec()).set(value as f64);
    }

    /// Sets it, as a histogram or a summary.
    pub(super) fn take_over(&self, register: &Register, labels: &[Label], counted: Distribution) {
        register.take_over(self.name, labels, counted);
    }
}

/// Describes all of `figures` to a register.
pub(super) fn describe(register: &Register, figures: &[Figure]) {
    metrics::with_local_recorder(register, || {
        for figure in figures {
            match figure.kind {
                Kind::Counter => metrics::describe_counter!(figure.name, figure.help),
                Kind::Gauge => metrics::describe_gauge!(figure.name, figure.help),
                Kind::Histogram => metrics::describe_histogram!(figure.name, figure.help),
                Kind::Summary => register.describe_summary(figure.name, figure.help),
            }
        }
    });
}

macro_rules! figures {
    ($(#[doc = $outer:literal])+ $list:ident: $($kind:ident $const:ident = $name:literal, $help:literal;)+) => {
        $(
            #[doc = $help]
            pub(crate) const $const: Figure = Figure { name: $name, kind: Kind::$kind, help: $help };
        )+
        $(#[doc = $outer])+
        pub(super) const $list: &[Figure] = &[$($const,)+];
    };
}

figures! {
    /// What the daemon counts itself, from its own start on.
    OF_DAEMON:
    Counter TRUSTLET_STARTS = "hacher_trustlet_starts_total", "Processes started for a function or a gateway.";
    Counter TRUSTLET_DEATHS = "hacher_trustlet_deaths_total",
        "Processes of a function or a gateway that ended, by cause and its code (exit code, number of the signal, number of the limit, else 0).";
    Counter LOG_LINES_DROPPED = "hacher_log_lines_dropped_total",
        "Lines of a function that were dropped, because standard error was not read in time.";
    Counter SPANS_EXPORTED = "hacher_trace_spans_exported_total", "Spans that the collector of traces has taken.";
    Counter SPANS_DROPPED = "hacher_trace_spans_dropped_total",
        "Spans that were not exported, by reason: no room in the queue, refused, overwritten or too many before they were read, or stopped.";
}

figures! {
    /// What is read of tables and pages at each scrape.
    OF_TABLES:
    Gauge BUILD_INFO = "hacher_build_info", "Always 1: the version that runs, and its isolation backend.";
    Gauge LAYERS_MISSING = "hacher_isolation_layers_missing", "Layers of isolation that this machine does not enforce.";
    Counter DAEMON_RESTARTS = "hacher_daemon_restarts_total", "Daemons that ended before the present one.";
    Counter MESSAGES_DROPPED = "hacher_messages_dropped_total",
        "Messages of the daemon that were dropped, because standard error was not read in time.";

    Gauge GATEWAY_READY = "hacher_gateway_ready", "1 while the gateway's process serves, else 0.";
    Gauge GATEWAY_CONNECTIONS = "hacher_gateway_connections", "Connections of clients, as of the last second.";
    Gauge GATEWAY_CONNECTIONS_LIMIT = "hacher_gateway_connections_limit",
        "Connections on which chains are answered at most; further ones take the place of idle ones, or are answered for health alone.";
    Gauge GATEWAY_BUFFER = "hacher_gateway_buffer_bytes",
        "Memory that connections, requests and replies hold, in bytes, as of the last second.";
    Gauge GATEWAY_BUFFER_LIMIT = "hacher_gateway_buffer_limit_bytes",
        "Memory that connections, requests and replies may hold, in bytes.";
    Counter GATEWAY_REJECTED = "hacher_gateway_requests_rejected_total",
        "Requests for no chain that the gateway refused, by reason; they are not among hacher_requests_total.";
    Counter GATEWAY_EVIDENCE = "hacher_gateway_evidence_total",
        "Questions for evidence, by outcome: that it was answered, or why not.";
    Counter GATEWAY_HANDSHAKES_FAILED = "hacher_gateway_tls_handshakes_failed_total",
        "Connections that ended in the TLS handshake.";
    Gauge CERTIFICATE_EXPIRY = "hacher_certificate_expiry_timestamp_seconds",
        "When the first certificate in a gateway's file expires, in seconds since 1970.";

    Gauge CHAIN_INFO = "hacher_chain_info", "Always 1: version, digest and gateway of a chain.";
    Gauge CHAIN_READY = "hacher_chain_ready", "1 while every instance of a chain is fit to serve, as /readyz has it, else 0.";
    Counter REQUESTS = "hacher_requests_total",
        "Requests to a chain, by outcome: the class of the reply's status, or that the client went away first. Refused ones are included.";
    Counter REQUESTS_REFUSED = "hacher_requests_refused_total",
        "Requests to a chain that the gateway refused before a function saw them, by reason.";
    Counter REQUESTS_FAILED = "hacher_requests_failed_total",
        "Requests that the gateway had handed to their chain and answered with an error, by reason.";
    Histogram REQUEST_DURATION = "hacher_request_duration_seconds",
        "Time at the gateway from a request's head to its reply, in seconds, of requests that were not refused.";
    Gauge IN_FLIGHT = "hacher_requests_in_flight", "Requests to a chain in flight.";
    Gauge IN_FLIGHT_LIMIT = "hacher_requests_in_flight_limit", "Requests that a chain takes at the same time.";
    Gauge WAITING = "hacher_requests_waiting", "Requests that wait for room in their chain's queues, as of the last second.";
    Gauge REQUEST_BUFFER = "hacher_request_buffer_bytes",
        "Memory of the gateway that requests and replies of a chain hold, in bytes, as of the last second.";

    Gauge INSTANCES = "hacher_instances", "Instances of a function, by state.";
    Gauge INSTANCES_BUSY = "hacher_instances_busy", "Instances of a function whose handler runs.";
    Gauge MEMORY = "hacher_memory_bytes",
        "Private memory in use, in bytes, of the function's instance that uses most.";
    Gauge MEMORY_LIMIT = "hacher_memory_limit_bytes",
        "Private memory that one instance may use, in bytes: its own and what the fabric needs beside it.";
    Gauge QUEUE = "hacher_queue_segments",
        "Segments (of 64 KiB at most) of records that were handed to a function and that it is not through with.";
    Gauge QUEUE_LIMIT = "hacher_queue_limit_segments", "Segments that the rings towards a function hold.";
    Counter RUNS = "hacher_runs_total",
        "Runs of a function's handler, by outcome: succeeded, retried (failed, and tried again) or failed (given up).";
    Counter RECORDS_DROPPED = "hacher_records_dropped_total",
        "Records that a function did not run, by reason: their deadline had passed, nobody waited, or their producer gave up.";
    Counter RECORDS_PUBLISHED = "hacher_records_published_total", "Records that a function handed on.";
    Counter ROOM_WAITS = "hacher_waits_for_room_total", "Times that a function had to wait for room in a queue behind it.";
    Counter RECEIVED = "hacher_received_bytes_total", "Bodies that a function took in, in bytes.";
    Counter SENT = "hacher_sent_bytes_total", "Bodies that a function put out, in bytes.";
    Counter SEGMENTS_REFUSED = "hacher_segments_refused_total",
        "Segments and descriptors that a function or the gateway refused, by reason: its producer misbehaves, or memory was tampered with.";
    Counter CALLS_REFUSED = "hacher_system_calls_refused_total",
        "System calls of a function that were refused; `hacher-fabric status` has them by name.";
    Histogram RUN_DURATION = "hacher_run_duration_seconds", "Time in a function's handler for one run, in seconds.";
    Histogram QUEUE_DURATION = "hacher_queue_duration_seconds",
        "Time that a record lay while the instance that reads it was busy, in seconds.";
    Summary HAND_OVER_DURATION = "hacher_hand_over_duration_seconds",
        "Time from publishing a record until its free reader looked at it, in seconds.";
    Summary OPEN_DURATION = "hacher_open_duration_seconds", "Time to open a record, in seconds.";
    Summary SEAL_DURATION = "hacher_seal_duration_seconds", "Time to seal and publish a record, in seconds.";
}
