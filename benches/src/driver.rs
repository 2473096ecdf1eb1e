//! The driver: a trustlet in the gateway's place that sends payloads through a chain and times what comes of
//! them. It is jailed, keyed and attached as a gateway is; `bench` talks to it over the socket that a gateway
//! would listen on.
//!
//! ```text
//! bench                                 driver
//! one Order as a line of JSON    --->
//! the body, if it brings one     --->
//!                                       sends, waits, notes times
//!                                <---   one Outcome as a line of JSON
//! ```

use super::python::call::{Call, split_times};
use super::step::{Receipt, WANTS_RECEIPT};
use super::subject::{checksum, payload};
use hacher_libos_net::attach::{Assembly, AttachError, Attachment, Channel, Instruction, Listener};
use hacher_libos_net::clock::{self, Monotonic};
use hacher_libos_net::error::SendError;
use hacher_libos_net::fault::Notice;
use hacher_libos_net::headers;
use hacher_libos_net::hop::{Own, Sender};
use hacher_libos_net::inlet::{Opened, Step};
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::process::{lock_down, take_channel};
use hacher_libos_net::seal::RecordContext;
use hacher_trustlet_host::lines::{About, Level, say};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// The largest payload.
pub const PAYLOAD_MAX_BYTES: usize = 64 << 20;
/// The only port of whoever is in the gateway's place.
const INGRESS: usize = 0;

/// What to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timing {
    /// From before sealing until the receiver has read the last byte, as its receipt says.
    OneWay,
    /// From before sealing until the chain's last record has come back and has been read.
    Through,
    /// From before the first record until the receiver has read the last of all of them: one time.
    Stream,
    /// As [`Timing::Through`], of the body that follows the order, and through functions whose answers end
    /// with how long their handlers took.
    Handlers {
        /// How many there are.
        functions: u32,
    },
}

/// What `bench` asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The chain.
    pub chain: String,
    /// What to time.
    pub timing: Timing,
    /// Whether records are read. If not, their receipts are of nothing, and those of a mapped edge are not
    /// written either, but handed over with whatever their memory holds.
    pub touched: bool,
    /// Bytes of each record's body.
    pub payload_bytes: usize,
    /// Records.
    pub samples: u32,
}

/// What it gets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nanoseconds.
    Times(Vec<u64>),
    /// Of [`Timing::Handlers`].
    Calls {
        /// In their order.
        calls: Vec<Call>,
        /// Of what the functions answered, each time, but for their times.
        checksum: u64,
    },
    /// What went wrong.
    Failed(String),
}

/// The driver's life. Started by the monitor.
#[must_use]
pub fn main() -> ExitCode {
    let Some(channel) = take_channel() else {
        complain(&"this process is started by `hacher-fabric bench`");
        return ExitCode::from(2);
    };
    match attach(&Channel::new(channel)) {
        Ok(()) | Err(AttachError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn complain(what: &dyn Display) {
    say(
        Level::Error,
        &About::default(),
        format_args!("the benchmark's driver: {what}"),
    );
}

fn attach(channel: &Channel) -> Result<(), AttachError> {
    let mut assembly = Assembly::default();
    let mut chains = BTreeMap::new();
    loop {
        match assembly.feed(channel.receive()?)? {
            Some(Instruction::Lockdown(program)) => lock_down(&program)?,
            Some(Instruction::Attach(attachment)) => {
                attachment.set_serving();
                chains.insert(attachment.begin.chain.to_string(), Client::new(*attachment));
                channel.say_ready()?;
            }
            Some(Instruction::Listen(listener)) => {
                obey(listener, &mut chains);
                return Ok(());
            }
            // What gateways are told that speak HTTP.
            Some(_) | None => {}
        }
    }
}

/// Does what whoever connects orders, one connection after another. Returns when the socket fails.
fn obey(listener: Listener, chains: &mut BTreeMap<String, Client>) {
    let listener = TcpListener::from(listener.socket);
    while let Ok((stream, _)) = listener.accept() {
        // A connection that breaks concerns nobody else.
        let _ = converse(stream, chains);
    }
}

fn converse(mut stream: TcpStream, chains: &mut BTreeMap<String, Client>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut orders = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while orders.read_line(&mut line)? > 0 {
        let outcome = match serde_json::from_str::<Order>(&line) {
            Ok(order) => {
                let body = body_of(&order, &mut orders)?;
                execute(&order, body, chains).unwrap_or_else(Outcome::Failed)
            }
            Err(error) => Outcome::Failed(format!("not an order: {error}")),
        };
        let mut reply = serde_json::to_vec(&outcome)?;
        reply.push(b'\n');
        stream.write_all(&reply)?;
        line.clear();
    }
    Ok(())
}

/// What `order` has sent: the body that follows it, or a payload.
fn body_of(order: &Order, orders: &mut impl Read) -> std::io::Result<Vec<u8>> {
    // More is refused by `execute`, and then nothing is read as the next order but the rest of this one.
    let len_bytes = order.payload_bytes.min(PAYLOAD_MAX_BYTES);
    if !matches!(order.timing, Timing::Handlers { .. }) {
        return Ok(payload(len_bytes));
    }
    let mut body = vec![0; len_bytes];
    orders.read_exact(&mut body)?;
    Ok(body)
}

fn execute(order: &Order, body: Vec<u8>, chains: &mut BTreeMap<String, Client>) -> Result<Outcome, String> {
    if order.payload_bytes > PAYLOAD_MAX_BYTES {
        return Err(format!("a payload has at most {PAYLOAD_MAX_BYTES} bytes"));
    }
    let client = chains
        .get_mut(&order.chain)
        .ok_or_else(|| format!("there is no chain `{}`", order.chain))?;
    client.prepare(&body, order.touched);
    drop(body);
    let times = match order.timing {
        Timing::OneWay => (0..order.samples).map(|_| client.one_way()).collect(),
        Timing::Through => (0..order.samples).map(|_| client.through()).collect(),
        Timing::Stream => client.stream(order.samples).map(|time| vec![time]),
        Timing::Handlers { functions } => return client.calls(functions, order.samples),
    };
    times.map(Outcome::Times)
}

/// The driver's place in one chain.
struct Client {
    attachment: Attachment,
    count: u64,
    /// Headers, of which there are none, and the payload.
    plain: Vec<u8>,
    touched: bool,
    checksum: u64,
    /// The record that is coming in.
    opened: Vec<u8>,
}

impl Client {
    fn new(attachment: Attachment) -> Self {
        Self {
            attachment,
            count: 0,
            plain: Vec::new(),
            touched: true,
            checksum: 0,
            opened: Vec::new(),
        }
    }

    fn prepare(&mut self, body: &[u8], touched: bool) {
        self.touched = touched;
        self.checksum = if touched { checksum(body) } else { 0 };
        headers::start(&mut self.plain, &[]);
        self.plain.extend_from_slice(body);
    }

    fn one_way(&mut self) -> Result<u64, String> {
        let start = clock::now();
        self.send(start)?;
        let receipt = self.receive_receipt()?;
        Ok(receipt.read_at.ns_since(start))
    }

    fn receive_receipt(&mut self) -> Result<Receipt, String> {
        let opened = self.receive()?;
        let receipt = headers::split(&self.opened)
            .ok()
            .and_then(|(_, body)| Receipt::decode(body))
            .ok_or("the answer is no receipt")?;
        self.release(&opened);
        if receipt.checksum != self.checksum {
            return Err("the receiver has read something else".to_owned());
        }
        Ok(receipt)
    }

    fn through(&mut self) -> Result<u64, String> {
        let start = clock::now();
        self.send(start)?;
        let opened = self.receive()?;
        let body = headers::split(&self.opened).map_or(&[][..], |(_, body)| body);
        let intact = checksum(body) == self.checksum;
        let end = clock::now();
        self.release(&opened);
        if intact {
            Ok(end.ns_since(start))
        } else {
            Err("the chain's answer is not what was sent".to_owned())
        }
    }

    /// Calls that are to have one answer, through so many functions.
    fn calls(&mut self, functions: u32, samples: u32) -> Result<Outcome, String> {
        let mut calls = Vec::with_capacity(usize::try_from(samples).unwrap_or(0));
        let mut answers = Vec::new();
        for _ in 0..samples {
            let (call, answer) = self.call(functions)?;
            calls.push(call);
            if answers.last() != Some(&answer) {
                answers.push(answer);
            }
        }
        match answers[..] {
            [checksum] => Ok(Outcome::Calls { calls, checksum }),
            _ => Err("the functions do not always answer the same".to_owned()),
        }
    }

    /// One call, and the checksum of its answer.
    fn call(&mut self, functions: u32) -> Result<(Call, u64), String> {
        let start = clock::now();
        self.send(start)?;
        let opened = self.receive()?;
        let body = headers::split(&self.opened).map_or(&[][..], |(_, body)| body);
        let split = split_times(body, functions).map(|(answer, handler_ns)| (checksum(answer), handler_ns));
        let total_ns = clock::now().ns_since(start);
        self.release(&opened);
        let (checksum, handler_ns) = split.ok_or("the answer does not say how long its handlers took")?;
        Ok((Call { total_ns, handler_ns }, checksum))
    }

    /// Sends records as fast as there is room; only the last is acknowledged.
    fn stream(&mut self, records: u32) -> Result<u64, String> {
        self.mark(0)?;
        let start = clock::now();
        for _ in 1..records {
            self.send(start)?;
        }
        self.mark(WANTS_RECEIPT)?;
        self.send(start)?;
        Ok(self.receive_receipt()?.read_at.ns_since(start))
    }

    /// Sets the payload's first byte.
    fn mark(&mut self, mark: u8) -> Result<(), String> {
        let at = self.plain.len().min(2);
        let (_, body) = self.plain.split_at_mut(at);
        *body
            .first_mut()
            .ok_or("a stream's payload has at least one byte")? = mark;
        self.checksum = if self.touched { checksum(body) } else { 0 };
        Ok(())
    }

    fn send(&mut self, now: Monotonic) -> Result<(), String> {
        let Attachment {
            begin, own, sender, ..
        } = &mut self.attachment;
        let deadline = now.after(Duration::from_nanos(begin.deadline_ns));
        let record = RecordContext {
            invocation: InvocationId::new(u128::from(self.count)),
            deadline,
            attempt: 1,
        };
        self.count += 1;
        if !self.touched && place(own, sender, &record, self.plain.len(), deadline)? {
            return Ok(());
        }
        let segment_bytes = sender.segment_bytes(INGRESS);
        let mut segments = self.plain.chunks(segment_bytes).peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            once_there_is_room(own, sender, deadline, |sender| {
                sender.send(own, INGRESS, &record, segment, last)
            })?;
        }
        Ok(())
    }

    /// Waits for the next whole record, and leaves it in `opened`.
    fn receive(&mut self) -> Result<Opened, String> {
        let Attachment { own, receiver, .. } = &mut self.attachment;
        self.opened.clear();
        loop {
            let Some(ring) = receiver.ring_with_news() else {
                // Without a timer, which functions do not set either, and which costs as much as a wake-up.
                // Whoever gave the order has one.
                receiver.wait(own, None);
                continue;
            };
            match receiver.step(own, ring, &mut self.opened) {
                Step::Empty | Step::Interrupted { .. } => {}
                Step::Opened(opened) if !opened.descriptor.last => {}
                Step::Opened(opened) => {
                    let fault = receiver.upstream(ring).is_some_and(|upstream| upstream.fault);
                    if fault {
                        return Err(fault_text(&self.opened));
                    }
                    return Ok(opened);
                }
                Step::Abandoned(_) => return Err("a function gave up on its record".to_owned()),
                Step::Refused { refusal, .. } => return Err(format!("a record was refused: {refusal}")),
            }
        }
    }

    fn release(&mut self, opened: &Opened) {
        let Attachment { own, receiver, .. } = &mut self.attachment;
        receiver.release(own, opened.record);
    }
}

/// Hands over a record of which only the headers are written, that there are none; `false` where that is not
/// how records travel.
fn place(
    own: &Own,
    sender: &mut Sender,
    record: &RecordContext,
    len_bytes: usize,
    deadline: Monotonic,
) -> Result<bool, String> {
    let placed = once_there_is_room(own, sender, deadline, |sender| {
        sender.place(INGRESS, record.invocation, len_bytes)
    })?;
    if !placed || !sender.write_placed(INGRESS, 0, &[0, 0]) {
        return Ok(false);
    }
    once_there_is_room(own, sender, deadline, |sender| {
        sender.send_placed(own, INGRESS, record)
    })?;
    Ok(true)
}

fn once_there_is_room<T>(
    own: &Own,
    sender: &mut Sender,
    deadline: Monotonic,
    mut act: impl FnMut(&mut Sender) -> Result<T, SendError>,
) -> Result<T, String> {
    loop {
        match act(sender) {
            Ok(done) => return Ok(done),
            Err(error) if error.is_transient() && clock::now() < deadline => {
                sender.wait_for_room(own, deadline)
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn fault_text(plain: &[u8]) -> String {
    let notice = headers::split(plain)
        .ok()
        .and_then(|(_, body)| Notice::decode(body));
    notice.map_or_else(
        || "a function failed".to_owned(),
        |notice| {
            format!(
                "function {} failed: {} {}",
                notice.function,
                notice.cause.text(),
                notice.reason
            )
        },
    )
}
