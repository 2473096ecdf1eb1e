//! Traces, for whoever collects them by OTLP: a span for each request that is traced, for each run of a
//! function and for each hop between two. They are made of what the daemon sees anyway: what gateways tell of
//! requests, and what instances tell in their pages. So they have names, sizes, times and outcomes; never
//! payload, a header's value, a path or a query.
//!
//! ```text
//! requests    what is known of requests until all of it is told; collected from pages and gateways
//! span        a span as OTLP has it; protobuf, how that is written
//! queue       spans that wait to be sent: bounded, what finds no room is dropped and counted
//! exporter    sends them; connection, over which HTTP
//! ```
//!
//! Nobody waits for any of this: not the data path, which writes words into memory, and not the gateway.

mod connection;
mod exporter;
mod protobuf;
mod queue;
mod requests;
mod span;

use super::settings::CollectorUrl;
use super::tables::Tables;
use connection::Connector;
use exporter::Exporter;
use hacher_http::access::Record;
use queue::Queue;
use requests::Requests;
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::sleep;

/// How often pages are read while there are requests of which more may be told. Each keeps the last 256
/// spans.
const COLLECT_EVERY: Duration = Duration::from_millis(20);

/// All that concerns traces, in a daemon that has a collector.
pub(super) struct Tracer {
    tables: Rc<RefCell<Tables>>,
    requests: RefCell<Requests>,
    queue: Rc<Queue>,
    connector: Rc<Connector>,
    exporter: Rc<Exporter>,
    /// A request was told of.
    news: Notify,
}

impl Tracer {
    /// Begins to collect and to send.
    pub(super) fn begin(url: CollectorUrl, tables: &Rc<RefCell<Tables>>) -> Rc<Self> {
        let queue = Rc::new(Queue::default());
        let connector = Rc::new(Connector::default());
        let exporter = Rc::new(Exporter::new(url, Rc::clone(&queue), Rc::clone(&connector)));
        let tracer = Rc::new(Self {
            tables: Rc::clone(tables),
            requests: RefCell::default(),
            queue,
            connector,
            exporter: Rc::clone(&exporter),
            news: Notify::new(),
        });
        let collects = Rc::clone(&tracer);
        spawn_local(async move { collects.keep_collecting().await });
        spawn_local(async move { exporter.keep_sending().await });
        tracer
    }

    /// A gateway tells of a request that has ended.
    pub(super) fn request(&self, record: &Record) {
        self.requests
            .borrow_mut()
            .ended(record, &self.tables.borrow(), &self.queue);
        self.news.notify_one();
        // Many requests may come, one after another, before it is time to.
        self.collect();
    }

    /// Reads what instances have told since the last time.
    pub(super) fn collect(&self) {
        self.requests
            .borrow_mut()
            .collect(&self.tables.borrow(), &self.queue);
    }

    async fn keep_collecting(&self) {
        loop {
            self.news.notified().await;
            // What a function does for a request may end after its reply.
            loop {
                sleep(COLLECT_EVERY).await;
                self.collect();
                if self.requests.borrow_mut().forget_old() == 0 {
                    break;
                }
            }
        }
    }

    /// Waits until a connection to the collector is wanted.
    pub(super) async fn wants_connection(&self) {
        self.connector.is_wanted().await;
    }

    /// The monitor has made one, or could not.
    pub(super) fn connected(&self, socket: Option<OwnedFd>) {
        self.connector.made(socket);
    }

    /// The service stops: from here on nothing waits to be sent together with others. Whether a connection is
    /// missing for that, which nobody can make later.
    pub(super) fn hurry(&self) -> bool {
        self.exporter.hurry();
        !self.connector.has_one()
    }

    /// Sends what there is, as far as that can be done soon.
    pub(super) async fn finish(&self) {
        self.collect();
        self.exporter.finish().await;
    }
}
