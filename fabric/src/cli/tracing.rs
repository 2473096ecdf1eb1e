//! Traces of requests: where they go, and of how many.

use clap::Args;
use hacher_daemon::collector::{Asked, ratio};

#[derive(Debug, Args)]
pub struct TracingArgs {
    /// Send traces of requests to this collector by OTLP over HTTP (/v1/traces): sizes, times and outcomes,
    /// never payload, headers or paths. On loopback, such as http://127.0.0.1:4318. Instead of what
    /// OTEL_EXPORTER_OTLP_ENDPOINT says
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Trace this share of the requests whose clients have not decided it in their `traceparent`: from 0 to
    /// 1. Instead of what OTEL_TRACES_SAMPLER says; all, if neither is given
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    pub trace_ratio: Option<f64>,
}

impl TracingArgs {
    /// What they ask for.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked {
            url: self.otlp.clone(),
            ratio: self.trace_ratio,
        }
    }
}
