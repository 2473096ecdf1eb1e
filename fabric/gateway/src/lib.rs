//! The gateway: the trustlet that speaks HTTP. It terminates TLS, so it sees plaintext, and so it is isolated
//! like a function: no files, no network of its own, only the connections that come in over a socket that it
//! was given.
//!
//! ```text
//! access        a line for each request that is logged or traced
//! budget        what everybody may hold (I11), by accounts of chains and connections
//! places        who has a connection, who gives way, and the clock of all limits
//! pace          how much of long bodies moves before others get their turn
//! connection    one connection: what it waits for, and for how long
//! turn          what is in progress on it: a request, its body, its reply
//! open_files    how many connections this process has descriptors for
//! wire          its socket: counted, and drained at the end
//! listener      accepts connections, TLS, HTTP/1.1 and HTTP/2
//! screen        lets through to hyper what framing has judged; knows a client that waits from one that left
//! framing       where HTTP/1 messages begin and end, and which are refused
//! target        whom a request means: target, host, path
//! drain         the end of a gateway, in stages; departure goes through them
//! gateway       what all connections share
//! route         which resource that is, and which methods it has
//! location      which chain a path leads to
//! pattern       the route of a chain, and what it captures
//! taken         which requests a chain takes
//! sampling      which requests are traced
//! request       one request to a chain: admit, collect, seal towards the first functions, await the answer
//! request_body  the body of a request
//! client_wait   how long a client is waited for that sends one
//! collecting    a body that is taken in before its request is handed on
//! begin_queue   which request begins next, where functions are in the middle of uploads
//! upload        a body that is handed on as it arrives
//! progress      how long a request may stand still whose body or reply is handed on
//! request_key   what opens sealed requests, each once
//! sealed_request  a sealed request, opened as it arrives
//! sealed_reply  the reply to one
//! tally         what is counted of a request
//! record        a record in private memory, in pieces that are charged
//! client        who a client is, as far as limits tell one from another
//! evidence      what clients get to verify: their questions passed on to the monitor, within an allowance
//! endpoint      the gateway's place in one chain: outbox, rings, who waits for which invocation
//! intake        what functions send, taken in and matched with who waits
//! egress_hop    how that came, of requests that are traced
//! daemon_bell   what tells the daemon of requests
//! ids           the ids of requests
//! arriving      records of which some segments are here
//! parts         records that a joined reply waits for
//! carried       which headers of a request its record carries
//! trace_context the trace that a client says its request belongs to
//! traced        the trace of a request: gone on with or begun, recorded or not
//! reply         the reply that a record at egress makes
//! multipart     the reply that several records make
//! reply_body    the body of a reply, until its last byte is written
//! reply_flow    a reply that leaves as it is made
//! held          how limits on what is held are told
//! problem       errors as RFC 9457 has them
//! tls           what new handshakes use; what is wrong with certificates, which the loader asks for as well
//! hostile       what a fuzzer reaches of these
//! ```
#![forbid(unsafe_code)]

mod access;
mod arriving;
mod begin_queue;
pub mod budget;
mod carried;
mod client;
mod client_wait;
mod collecting;
mod connection;
mod daemon_bell;
mod departure;
mod drain;
mod egress_hop;
mod endpoint;
mod evidence;
mod framing;
mod gateway;
mod held;
#[doc(hidden)]
pub mod hostile;
mod ids;
mod intake;
mod listener;
mod location;
mod multipart;
mod open_files;
mod pace;
mod parts;
mod pattern;
mod places;
mod problem;
mod progress;
mod record;
mod reply;
mod reply_body;
mod reply_flow;
mod request;
mod request_body;
mod request_key;
mod route;
mod sampling;
mod screen;
mod sealed_reply;
mod sealed_request;
#[cfg(test)]
mod stream_tests;
mod taken;
mod tally;
mod target;
pub mod tls;
mod trace_context;
mod traced;
mod turn;
mod upload;
mod wire;

use endpoint::Endpoint;
use gateway::Gateway;
use hacher_libos_net::attach::{Assembly, AttachError, Channel, Instruction, TlsFiles};
use hacher_libos_net::process::{keep_freed_memory, lock_down, take_channel};
use hacher_libos_net::system::SystemFailure;
use hacher_trustlet_host::tell;
use hacher_watched::watch_shared;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::process::ExitCode;
use std::rc::Rc;
use tls::Tls;
use tokio::task::{LocalSet, spawn_local};

/// The name that the gateway's process starts under.
pub const ROLE: &str = "hacher-gateway";

/// Freed memory that is kept for the next records: those of a few requests.
const KEPT_BYTES: u32 = 1 << 20;

/// The gateway's life. Started by the monitor.
#[must_use]
pub fn main() -> ExitCode {
    let Some(channel) = take_channel() else {
        tell!(Error: "this process is started by `hacher-fabric serve`");
        return ExitCode::from(2);
    };
    keep_freed_memory(KEPT_BYTES);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell!(Error: "the gateway: {error}");
            return ExitCode::FAILURE;
        }
    };
    match LocalSet::new().block_on(&runtime, run(Rc::new(Channel::new(channel)))) {
        Ok(()) | Err(AttachError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            tell!(Error: "the gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the monitor wishes until it wishes the end.
async fn run(channel: Rc<Channel>) -> Result<(), AttachError> {
    let flags = fcntl_getfl(&*channel)?;
    fcntl_setfl(&*channel, flags | OFlags::NONBLOCK)?;
    let watched = watch_shared(&*channel).map_err(as_errno)?;
    let gateway = Gateway::new(Rc::clone(&channel));
    let mut assembly = Assembly::default();
    let mut tls = None;
    loop {
        let mut ready = tokio::select! {
            ready = watched.readable() => ready.map_err(as_errno)?,
            drained = gateway.drain.done() => return channel.say_drained(&drained),
        };
        let message = match channel.receive() {
            Err(AttachError::System(SystemFailure(Errno::AGAIN))) => {
                ready.clear_ready();
                continue;
            }
            other => other?,
        };
        match assembly.feed(message)? {
            Some(Instruction::Attach(attachment)) => {
                attachment.set_serving();
                let name = attachment.begin.chain.to_string();
                let endpoint = Endpoint::start(*attachment, &gateway.budget, &gateway.access.sampling);
                let endpoint = endpoint.map_err(as_errno)?;
                gateway.endpoints.borrow_mut().insert(name, endpoint);
                channel.say_ready()?;
            }
            Some(Instruction::Listen(listener)) => {
                let acceptor = listener::prepare(listener).map_err(|error| {
                    tell!(Error: "the gateway: {error}");
                    AttachError::from(Errno::INVAL)
                })?;
                tls = acceptor.tls();
                if let Some(tls) = &tls {
                    channel.say_tls_key(&tls.key_hash())?;
                }
                gateway
                    .expiries
                    .set(tls.as_ref().map_or([0; 2], |tls| tls.expiries()));
                spawn_local(acceptor.accept(Rc::clone(&gateway)));
            }
            Some(Instruction::Renew(files)) => match renew(tls.as_deref(), files) {
                Ok(warnings) => {
                    gateway
                        .expiries
                        .set(tls.as_ref().map_or([0; 2], |tls| tls.expiries()));
                    gateway.tell_figures();
                    if let Some(tls) = &tls {
                        channel.say_tls_key(&tls.key_hash())?;
                    }
                    gateway.evidence.forget();
                    channel.say_renewed(true, &warnings)?;
                }
                Err(reason) => channel.say_renewed(false, &reason)?,
            },
            Some(Instruction::Bell(bell)) => gateway.daemon_bell.set(bell),
            Some(Instruction::Readiness(chains)) => {
                for chain in chains {
                    if let Some(endpoint) = gateway.endpoint(chain.chain.as_str()) {
                        endpoint.set_fit(chain.ready == 1);
                    }
                }
            }
            Some(Instruction::Evidence(part)) => gateway.evidence.take(&part),
            Some(Instruction::AccessLog) => gateway.access.log_all(),
            Some(Instruction::Tracing(tracing)) => gateway.access.trace(tracing),
            Some(Instruction::Lockdown(program)) => lock_down(&program)?,
            Some(Instruction::Drain(plan)) => departure::begin(&gateway, plan),
            // No gateway relays.
            Some(Instruction::Carry(_)) | None => {}
        }
    }
}

/// Takes new files for TLS, if they can be used: what clients will not like about them, or why not.
fn renew(tls: Option<&Tls>, files: TlsFiles) -> Result<String, String> {
    let tls = tls.ok_or_else(|| "it speaks plain HTTP".to_owned())?;
    let renewed = tls.renew(files).map_err(|error| error.to_string())?;
    Ok(renewed.join("; "))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of `map_err`")]
fn as_errno(error: std::io::Error) -> AttachError {
    let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
    errno.into()
}
