//! A collector of traces, for a test: it speaks OTLP over HTTP, decodes what it gets with the definitions of
//! OpenTelemetry, and answers as the test wants.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// What it got, and what it will answer.
#[derive(Default)]
struct Kept {
    /// Bodies of requests that were taken.
    bodies: Vec<Vec<u8>>,
    heads: Vec<String>,
    /// Statuses of the next answers; 200 when there are none.
    statuses: Vec<u16>,
}

pub(super) struct Collector {
    pub(super) address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    pub(super) fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    /// One that listens at this address, for as long as the test's process lives.
    pub(super) fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::<Mutex<Kept>>::default();
        let keeps = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keeps = Arc::clone(&keeps);
                // A client that breaks off has no more to say.
                std::thread::spawn(move || serve(stream, &keeps));
            }
        });
        Self { address, kept }
    }

    /// An address at which nobody listens.
    pub(super) fn free_address() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has the next requests answered so.
    pub(super) fn answer_with(&self, statuses: &[u16]) {
        self.kept.lock().unwrap().statuses = statuses.to_vec();
    }

    /// How many answers are still to be given as the test wants.
    pub(super) fn answers_left(&self) -> usize {
        self.kept.lock().unwrap().statuses.len()
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.kept.lock().unwrap().heads.clone()
    }

    /// All bytes that were taken, as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept.lock().unwrap().bodies.concat()).into_owned()
    }

    pub(super) fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let kept = self.kept.lock().unwrap();
        let decode = |body: &Vec<u8>| ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        kept.bodies.iter().map(decode).collect()
    }

    pub(super) fn spans(&self) -> Vec<Told> {
        let resources = self
            .requests()
            .into_iter()
            .flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(Told).collect()
    }

    /// The spans, as soon as there are so many.
    pub(super) fn spans_when(&self, count: usize) -> Vec<Told> {
        let end = Instant::now() + PATIENCE;
        loop {
            let spans = self.spans();
            if spans.len() >= count {
                return spans;
            }
            let names: Vec<_> = spans.iter().map(|span| span.0.name.clone()).collect();
            assert!(Instant::now() < end, "{count} spans, not {names:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A span as it was told.
#[derive(Debug, Clone)]
pub(super) struct Told(pub(super) Span);

impl Told {
    pub(super) fn attribute(&self, key: &str) -> Option<&Value> {
        let mut attributes = self.0.attributes.iter();
        let found = attributes.find(|attribute| attribute.key == key)?;
        found.value.as_ref()?.value.as_ref()
    }

    pub(super) fn number(&self, key: &str) -> Option<i64> {
        match self.attribute(key) {
            Some(Value::IntValue(number)) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.attribute(key) {
            Some(Value::StringValue(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_error(&self) -> bool {
        self.0.status.as_ref().is_some_and(|status| status.code == 2)
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Kept>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        let mut body = vec![0; length?];
        reader.read_exact(&mut body).ok()?;
        let status = {
            let mut kept = kept.lock().unwrap();
            let status = if kept.statuses.is_empty() {
                200
            } else {
                kept.statuses.remove(0)
            };
            kept.heads.push(head);
            if status == 200 {
                kept.bodies.push(body);
            }
            status
        };
        write!(stream, "HTTP/1.1 {status} as wanted\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
