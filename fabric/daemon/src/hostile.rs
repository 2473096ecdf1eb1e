//! The daemon's readers of what instances write into their pages, for those who try them with any bytes.

use super::filter::Filter;
use super::history::History;
use super::life::Life;
use super::metrics::{self, Detail, Register};
use super::refused::Told;
use super::tables::{Chain, Flow, Gateway, Inbound, Instance, Tables};
use hacher_libos_net::clock;
use hacher_libos_net::end::End;
use hacher_libos_net::layout::PageLayout;
use hacher_libos_net::mapping;
use hacher_libos_net::telemetry::PageReader;
use hacher_trustlet_host::calls::{InstanceState, tls};
use serde_json::Value;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::time::Instant;

/// Instances that show the page, the gateway's among them: sums over several must bear what one page can
/// hold.
const INSTANCES: u32 = 4;
/// Limits of the instances, of which nothing here depends.
const MEMORY_BYTES: u64 = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(1);

/// What operators are told of a chain whose instances all have the same page.
#[derive(Debug)]
pub struct Report {
    /// `/metrics`.
    pub metrics: String,
    /// `/status`.
    pub status: Value,
    /// `/traces`.
    pub traces: Value,
}

/// Reads the page behind `page`, of an instance with so many inbound rings and ports, in every way in which
/// the daemon reads pages; `None` if there is no such page.
#[must_use]
pub fn report(page: impl AsFd, inbound: u32, ports: u32) -> Option<Report> {
    let layout = PageLayout::new(inbound, ports)?;
    let instances = (0..INSTANCES)
        .map(|number| {
            let page = PageReader::new(mapping::peer(&page, layout.len_bytes()).ok()?, layout);
            Some(instance(number, page, inbound, ports))
        })
        .collect::<Option<Vec<_>>>()?;
    for instance in &instances {
        judge(instance);
    }
    let tables = Tables {
        gateways: vec![Gateway {
            address: "127.0.0.1:1".to_owned(),
            tls: tls::NONE,
            own: false,
            state: InstanceState::Ready,
        }],
        chains: vec![Chain {
            number: 0,
            name: "chain".to_owned(),
            version: "1".to_owned(),
            digest: String::new(),
            gateway: 0,
            in_flight_max: 1,
            edges: Vec::new(),
            flows: (0..usize::try_from(ports).unwrap_or(0))
                .map(|port| Flow {
                    producer: 0,
                    port,
                    at: port,
                    consumer: 1,
                })
                .collect(),
            instances,
        }],
        ..Tables::new()
    };
    Told::default().look(&tables);
    let own = Register::default();
    let metrics = [Detail::Function, Detail::Instance].map(|detail| metrics::render(&tables, &own, detail));
    Some(Report {
        metrics: metrics.concat(),
        status: tables.status(&Filter::default()),
        traces: tables.traces(&Filter::default()),
    })
}

fn instance(number: u32, page: PageReader, inbound: u32, ports: u32) -> Instance {
    Instance {
        number,
        function: if number == 0 { "gateway" } else { "function" }.to_owned(),
        function_index: number.min(1),
        ordinal: number.saturating_sub(1),
        state: InstanceState::Ready,
        epoch: 1,
        forwards_logs: false,
        history: History::default(),
        timeout: TIMEOUT,
        memory_bytes: MEMORY_BYTES,
        fabric_bytes: MEMORY_BYTES,
        memory_used_bytes: MEMORY_BYTES,
        threads: 1,
        files_bytes: 0,
        has_programs: false,
        refused_by_monitor: Vec::new(),
        ring_capacity: 256,
        page,
        inbound: (0..inbound)
            .map(|ring| Inbound {
                from: format!("f{ring}"),
                port: "out".to_owned(),
                fault: ring % 2 == 1,
            })
            .collect(),
        ports: (0..ports).map(|port| format!("p{port}")).collect(),
    }
}

/// What the daemon decides by a page: whether a run is ended, and how a process's end is told.
fn judge(instance: &Instance) {
    let mut life = Life::default();
    if let Some(running) = instance.page.running() {
        let closed = instance.page.is_closed(running.invocation);
        let now = clock::now();
        let _overruns = now.saturating_duration_since(running.since) > instance.timeout;
        let _ = life.is_unwanted(&running, closed, now, Instant::now());
    }
    for end in [End::Signalled(6), End::Signalled(u32::MAX), End::Exited(u32::MAX)] {
        let (cause, code) = end.cause(instance.page.last_words());
        let _ = cause.with(code).to_string();
    }
}
