//! Instance pages: whatever an instance writes there, what the daemon reads of it is bounded, and neither the
//! reader nor what makes metrics, status and traces of it panics.

use hacher_libos_net::layout::PageLayout;
use hacher_libos_net::mapping;
use hacher_libos_net::refusal::Refusal;
use hacher_libos_net::telemetry::{Counter, Gauge, PageReader, Phase, RequestOutcome};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::script::Script;

/// No page makes more of what operators are told than this; four instances with seven rings and ports each
/// make a third of it.
#[cfg(feature = "fabric")]
const TOLD_MAX_BYTES: usize = 1024 * 1024;

/// Reads a page that holds `bytes`, again and again.
pub fn page(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (inbound, ports) = (u32::from(script.u8() % 8), u32::from(script.u8() % 8));
    let Some(layout) = PageLayout::new(inbound, ports) else {
        return;
    };
    let fill = script.bytes(usize::MAX);
    let content: Vec<u8> = if fill.is_empty() {
        vec![0; layout.len_bytes()]
    } else {
        fill.iter().copied().cycle().take(layout.len_bytes()).collect()
    };
    let fd = memfd_create("page", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, layout.len_bytes() as u64).unwrap();
    rustix::io::pwrite(&fd, &content, 0).unwrap();
    let reader = PageReader::new(mapping::peer(&fd, layout.len_bytes()).unwrap(), layout);
    let traces = reader.traces();
    assert!(traces.len() * 8 <= layout.len_bytes(), "{} traces", traces.len());
    for refusal in Refusal::ALL {
        let _ = reader.counter(Counter::Refused(refusal));
    }
    for counter in [
        Counter::Succeeded,
        Counter::BytesIn,
        Counter::Requests(RequestOutcome::ServerError),
    ] {
        let _ = reader.counter(counter);
    }
    for gauge in Gauge::ALL {
        let _ = reader.gauge(gauge);
    }
    for index in 0..10 {
        let _ = (reader.released(index), reader.sent(index, 9 - index));
        let known = index < inbound as usize;
        assert_eq!(reader.histogram(Phase::Open(index)).is_some(), known);
        let known = index < ports as usize;
        assert_eq!(reader.histogram(Phase::Seal(index)).is_some(), known);
    }
    let _ = (reader.serves(), reader.in_flight(), reader.running());
    let _ = (
        reader.holds_record(),
        reader.last_words(),
        reader.is_closed(u64::from(script.u8())),
    );
    #[cfg(feature = "fabric")]
    told(&fd, inbound, ports);
}

/// What operators are told of such a page: samples that Prometheus can read, and as much for any content.
#[cfg(feature = "fabric")]
fn told(page: &rustix::fd::OwnedFd, inbound: u32, ports: u32) {
    let report = hacher_daemon::hostile::report(page, inbound, ports).unwrap();
    for line in report.metrics.lines().filter(|line| !line.starts_with('#')) {
        let value = line
            .rsplit(' ')
            .next()
            .and_then(|value| value.parse::<f64>().ok());
        assert!(line.is_empty() || value.is_some_and(f64::is_finite), "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    assert!(report.status.is_object() && report.traces.is_object());
    assert!(report.status.to_string().len() + report.metrics.len() < TOLD_MAX_BYTES);
}
