//! How a trustlet gets to know its place in a chain: messages of fixed layout, from the monitor, over the one
//! private channel that the trustlet is born with. Keys travel here and nowhere else (I7).
//!
//! One *attachment* is a sequence of messages on a `SOCK_SEQPACKET` socket: [`Begin`], then any number of
//! [`Inbound`], [`Port`], [`Edge`], [`Ahead`] and [`Secret`] messages, of a gateway one [`RequestKey`], one
//! [`Requests`] and [`kind::HEADER`] entries, then `Go`. A message is a
//! [`MessageHeader`] followed by `count` entries of its kind; the descriptors that belong to the entries
//! travel beside it, in order. A function has exactly one attachment; the gateway has one for each chain.
//!
//! The monitor writes these messages, so a trustlet trusts them; it still checks lengths and counts.

use crate::attach::limits::FunctionLimits;
use crate::name::Name;
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
use zeroize::Zeroize;

/// The descriptor number at which a trustlet finds its channel to the monitor.
pub const CHANNEL_FD: i32 = 3;
/// Version of this protocol. Monitor and trustlet are built from one tree; anything else is refused.
pub const ATTACH_VERSION: u32 = 15;
/// The longest message, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 16 * 1024;
/// Most descriptors beside one message (Linux allows 253, see unix(7)).
pub const MESSAGE_MAX_DESCRIPTORS: usize = 128;
/// Most entries in one message, so that the descriptors of each (at most three) fit.
pub const MESSAGE_MAX_ENTRIES: usize = 32;
/// Bytes of a port's secret and of an epoch secret.
pub const SECRET_BYTES: usize = 32;
/// The longest value of a secret from the chain file, in bytes.
pub const SECRET_VALUE_MAX_BYTES: usize = 8 * 1024;

/// Bytes of a client's nonce.
pub const NONCE_BYTES: usize = 64;
/// The longest part of evidence in one message.
pub const EVIDENCE_PART_MAX_BYTES: usize = 8 * 1024;

/// For how long after a ring of the bell of [`kind::BELL`] the gateway does not ring again. It rings when a
/// chain's requests in flight go from 0 to 1 and its last ring is at least this long ago. Whoever waits for
/// the bell must, once it has heard it, keep watching for at least this long before it believes in zero and
/// waits again.
pub const BELL_QUIET_NS: u64 = 100_000_000;

/// What a message carries.
pub mod kind {
    /// One [`super::Begin`]; descriptors: outbox (read-write), instance page (read-write), the owner's end of
    /// its doorbell. All other messages bring ends of doorbells that are rung.
    pub const BEGIN: u32 = 1;
    /// [`super::Inbound`] entries; two descriptors each: the producer's outbox or the mapped region of this
    /// ring (read-only), the producer's doorbell.
    pub const INBOUND: u32 = 2;
    /// [`super::Port`] entries; no descriptors.
    pub const PORT: u32 = 3;
    /// [`super::Edge`] entries; two descriptors each: the consumer's instance page (read-only), its doorbell;
    /// and a third for a mapped edge: the region of this ring (read-write).
    pub const EDGE: u32 = 4;
    /// One [`super::Secret`], followed by the value's bytes.
    pub const SECRET: u32 = 5;
    /// A seccomp program (`struct sock_filter` after `struct sock_filter`) to install before the first
    /// record.
    pub const LOCKDOWN: u32 = 6;
    /// For a gateway: one [`super::Listen`]; descriptors: the listening socket, then what its TLS needs
    /// (PEM): certificate chain and private key, and the certificates of those who sign clients'
    /// certificates if clients need one.
    pub const LISTEN: u32 = 7;
    /// The attachment is complete.
    pub const GO: u32 = 8;
    /// Trustlet to monitor: the attachment stands, records can flow.
    pub const READY: u32 = 9;
    /// To a gateway: one [`super::Drain`]: leave in these steps, say [`DRAINED`], exit. A second one ends all
    /// waits.
    pub const DRAIN: u32 = 10;
    /// To a gateway: no entries; one descriptor, a doorbell to ring when requests begin to be in flight
    /// (see [`super::BELL_QUIET_NS`]). Holds for every attachment, earlier and later.
    pub const BELL: u32 = 11;
    /// One [`super::Ahead`]; descriptors: the instance's page (read-only), its doorbell.
    pub const AHEAD: u32 = 12;
    /// To a gateway, in an attachment: one [`super::RequestKey`].
    pub const REQUEST_KEY: u32 = 13;
    /// To a gateway, in an attachment: one [`super::Requests`], followed by its route as text.
    pub const REQUESTS: u32 = 14;
    /// To a gateway, in an attachment: [`super::Name`] entries, headers that the chain carries beside those
    /// that every chain does.
    pub const HEADER: u32 = 15;
    /// To a gateway: [`super::Readiness`] entries; no descriptors.
    pub const READINESS: u32 = 16;
    /// To a gateway: no entries. It tells of each request on its standard error, from here on.
    pub const ACCESS_LOG: u32 = 17;
    /// To a gateway: one [`super::EvidencePart`] and its bytes: the answer to `ASK_EVIDENCE`, or a part of
    /// it.
    pub const EVIDENCE: u32 = 18;
    /// To a gateway: one [`super::Tracing`]. It tells of requests that are traced on its standard error, from
    /// here on.
    pub const TRACING: u32 = 19;
    /// To a gateway that speaks TLS: one [`super::Renew`]; descriptors: new files of its TLS, as beside
    /// `LISTEN`. It answers with `TLS_TAKEN` or `TLS_REFUSED`.
    pub const TLS: u32 = 32;
    /// Gateway to monitor: the files of the last `TLS` message serve from the next handshake on. `count`
    /// bytes of text for people follow: what clients will not like about them.
    pub const TLS_TAKEN: u32 = 33;
    /// Gateway to monitor: the files of the last `TLS` message cannot be used; those before them stay.
    /// `count` bytes of text for people follow: why.
    pub const TLS_REFUSED: u32 = 34;
    /// Gateway to monitor: it has drained and exits. One [`super::Drained`]; `count` is its bytes.
    pub const DRAINED: u32 = 35;
    /// Gateway to monitor: the SHA-256 of the SubjectPublicKeyInfo of the certificate that it presents from
    /// here on; `count` is its bytes.
    pub const TLS_KEY: u32 = 36;
    /// Gateway to monitor: one [`super::AskEvidence`]; `count` is its bytes. Answered with `EVIDENCE`.
    pub const ASK_EVIDENCE: u32 = 37;
}

/// Values of [`EvidencePart::status`].
pub mod evidence_status {
    /// The bytes are part of the evidence, and others follow.
    pub const PART: u32 = 0;
    /// The bytes are the last ones of the evidence.
    pub const LAST: u32 = 1;
    /// There is none yet: the same question may have an answer soon. The bytes are text for people: why.
    pub const BUSY: u32 = 2;
    /// There is none. The bytes are text for people: why.
    pub const REFUSED: u32 = 3;
}

/// Values of [`Begin::role`].
pub mod role {
    /// It runs a function.
    pub const FUNCTION: u32 = 0;
    /// It speaks HTTP.
    pub const GATEWAY: u32 = 1;
    /// It relays what others seal. Its entries bring no keys, and it has one [`super::Port`] for each
    /// [`super::Inbound`], in their order: the edges of that port lead to the instances of the one consumer.
    pub const CARRIER: u32 = 2;
}

/// Methods of HTTP, as bits of [`Requests::methods`].
pub mod method {
    /// Those that a chain may answer: the first is bit 0.
    pub const NAMES: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    /// All of them.
    pub const ALL: u32 = (1 << NAMES.len()) - 1;
    /// What a chain answers that does not say.
    pub const POST: u32 = 1 << 2;

    /// The bit of a method; 0 if no chain may answer it.
    #[must_use]
    pub fn bit(name: &str) -> u32 {
        NAMES
            .iter()
            .position(|known| *known == name)
            .map_or(0, |at| 1 << at)
    }
}

/// The longest route, in bytes.
pub const ROUTE_MAX_BYTES: usize = 256;
/// Most [`kind::HEADER`] entries of an attachment.
pub const HEADERS_MAX: usize = 64;

/// Bits of [`FunctionLimits::outbox_flags`]: how the memory of an outbox is backed, and for how long records
/// are held in it.
pub mod outbox_flag {
    /// By huge pages, where the kernel has them for shared memory.
    pub const HUGE_PAGES: u32 = 1;
    /// All of it before the first record.
    pub const PREFAULT: u32 = 2;
    /// The function reads its input as a stream: of what it has read, nothing is held by whoever sent it. And
    /// the gateway reads so what this function sends to egress.
    pub const STREAMS: u32 = 4;
    /// All bits that have a meaning.
    pub const ALL: u32 = HUGE_PAGES | PREFAULT | STREAMS;
}

/// Starts every message.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MessageHeader {
    /// One of [`kind`].
    pub kind: u32,
    /// How many entries follow.
    pub count: u32,
}

/// Who is attached, to what, under which limits.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Begin {
    /// [`ATTACH_VERSION`].
    pub version: u32,
    /// One of [`role`].
    pub role: u32,
    /// SHA-384 over the canonical plan of the chain.
    pub chain_digest: [u8; 48],
    /// Which sealing of this chain the keys belong to; never the same twice in a monitor's life.
    pub chain_epoch: u64,
    /// The chain's name.
    pub chain: Name,
    /// The function's name; `gateway` for the gateway.
    pub function: Name,
    /// The function's number in the chain; 0 for the gateway.
    pub function_index: u32,
    /// Number of the instance in the chain, over all functions: part of the key derivation.
    pub instance: u32,
    /// Counts the processes that this instance has had; a new one has new keys (I4).
    pub instance_epoch: u32,
    /// Entries in all [`Inbound`] messages.
    pub inbound_count: u32,
    /// Entries in all [`Port`] messages. The last port is the fault port, except for the gateway.
    pub port_count: u32,
    /// Entries in all [`Edge`] messages.
    pub edge_count: u32,
    /// Rings in this instance's outbox.
    pub ring_count: u32,
    /// Descriptors that a ring of this instance's outbox holds; a power of two.
    pub ring_capacity: u32,
    /// What limits the function: among others the bytes of this instance's outbox for segments, and retries.
    pub limits: FunctionLimits,
    /// For how long to look for work before going to sleep; 0 never spins.
    pub spin_ns: u64,
    /// Gateway: the longest request body.
    pub max_body_bytes: u64,
    /// Gateway: the longest reply body.
    pub max_reply_bytes: u64,
    /// How long a request may take in all; nobody waits longer for anything, whatever a record claims.
    pub deadline_ns: u64,
    /// Gateway: most requests at the same time.
    pub in_flight: u32,
    /// Port number of the `error` output port among the ports of this function, or `u32::MAX` if the chain
    /// does not use it.
    pub error_port: u32,
    /// 1: there is an [`Ahead`] message.
    pub wakes_ahead: u32,
    /// What it does when there is no work: a [`crate::wait::waiting::Waiting`], as its placement decided.
    pub waiting: u32,
    /// How the process before this one ended, as [`crate::fault::end::End`] encodes it; 0 if there was none.
    pub last_end_kind: u32,
    /// Its exit code, or the number of its signal.
    pub last_end_code: u32,
}

/// Whether the functions of a chain are fit to serve, as far as the service knows.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Readiness {
    /// The chain's name.
    pub chain: Name,
    /// 1: all of them are. 0: one has no process for long, or one that keeps ending.
    pub ready: u32,
    /// Zero.
    pub reserved: u32,
}

/// One ring that this instance reads: from one instance of one upstream function.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Inbound {
    /// The upstream function; `ingress` for the gateway.
    pub upstream: Name,
    /// Its output port.
    pub port_name: Name,
    /// The function number of the producer.
    pub producer_function: u32,
    /// The instance that seals the records: part of the key derivation. Over a carrier it is not the one in
    /// whose outbox they lie.
    pub producer_instance: u32,
    /// The port's number in the chain: part of the key derivation and of the authenticated context.
    pub port: u32,
    /// The ring's number in the producer's outbox.
    pub ring: u32,
    /// Rings in the producer's outbox.
    pub producer_ring_count: u32,
    /// Descriptors that each of them holds.
    pub producer_ring_capacity: u32,
    /// Bytes of the producer's outbox for segments.
    pub producer_outbox_bytes: u64,
    /// Which alternative of the function's input this ring belongs to. Rings of different upstream functions
    /// with the same group number are joined; `group_width` says how many *members* (function and port)
    /// a join has.
    pub group: u32,
    /// Members of the group; 1 where nothing is joined.
    pub group_width: u32,
    /// Position of this ring's member in its group.
    pub member: u32,
    /// 1: every record of the port comes through this ring, so sequence numbers have no gaps.
    pub gapless: u32,
    /// 1: this ring brings fault notices (gateway only).
    pub fault: u32,
    /// Position of the edge in the chain's edge list, for telemetry; `u32::MAX` for a fault edge.
    pub edge: u32,
    /// 1: the ring lies in a region of its own, and its records are not sealed.
    pub mapped: u32,
    /// 1: records lie in the outbox of a carrier, who has not sealed them.
    pub carried: u32,
    /// 1: this instance releases a record as it reads it.
    pub streams: u32,
    /// Zero.
    pub reserved: u32,
    /// Opens every epoch of the port; zeros where nothing is sealed.
    pub port_secret: [u8; SECRET_BYTES],
}

/// One output port of this instance.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Port {
    /// The port's name.
    pub name: Name,
    /// The port's number in the chain.
    pub port: u32,
    /// 1: the port that carries fault notices to the gateway.
    pub fault: u32,
    /// Seals this port's records in this instance's present epoch, and no others.
    pub epoch_secret: [u8; SECRET_BYTES],
}

/// One ring that this instance writes: to one instance of one downstream function.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Edge {
    /// Index of the port among this instance's [`Port`] entries.
    pub port_index: u32,
    /// The ring's number in this instance's outbox.
    pub ring: u32,
    /// The number of this ring among the consumer's inbound rings.
    pub consumer_inbound: u32,
    /// Inbound rings that the consumer has: gives the layout of its instance page.
    pub consumer_inbound_count: u32,
    /// Output ports that the consumer has: gives the layout of its instance page.
    pub consumer_port_count: u32,
    /// Number of the edge among those of this instance; the rings of one edge have the same, and stand
    /// together.
    pub edge: u32,
    /// Which instance of the downstream function this is, of `lanes`.
    pub lane: u32,
    /// Instances of the downstream function.
    pub lanes: u32,
    /// 1: the consumer joins these records with others, so a record goes to the instance with
    /// `lane == invocation count % lanes`. 0: to whichever has least to do.
    pub joined: u32,
    /// 1: the consumer is the gateway.
    pub to_gateway: u32,
    /// 1: the ring lies in a region of its own, and its records are not sealed. Its number in the outbox
    /// stays unused.
    pub mapped: u32,
    /// 1: the consumer releases a record as it reads it.
    pub streams: u32,
}

/// The instance that this one wakes before it sleeps, if it has published something: the next one on the way
/// of its records that sits on its core, where others on other cores come before.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ahead {
    /// Inbound rings that it has: gives the layout of its instance page.
    pub inbound_count: u32,
    /// Output ports that it has: gives the layout of its instance page.
    pub port_count: u32,
}

/// A secret from the chain file. `len_bytes` bytes of value follow.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Secret {
    /// The name in the chain file.
    pub name: Name,
    /// Bytes of the value, at most [`SECRET_VALUE_MAX_BYTES`].
    pub len_bytes: u32,
}

/// Which requests a chain takes. `route_bytes` bytes of text follow.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Requests {
    /// Bits of [`method`].
    pub methods: u32,
    /// Bytes of the route, at most [`ROUTE_MAX_BYTES`]; 0 if there is none.
    pub route_bytes: u32,
}

/// The private half of a chain's request key (X25519), for its gateway alone.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestKey {
    /// The private half.
    pub secret: [u8; SECRET_BYTES],
}

/// Values of [`AskEvidence::purpose`], which the manifest repeats.
pub mod evidence_purpose {
    /// A client has sent the nonce.
    pub const NONCE: u32 = 0;
    /// The gateway has computed the nonce from its own end of a client's connection. It must never say this
    /// of a nonce that it was sent.
    pub const SESSION: u32 = 1;
}

/// What a gateway asks the monitor for, for one of its clients.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AskEvidence {
    /// The question's number, which the answer repeats.
    pub number: u32,
    /// One of [`evidence_purpose`]: where the nonce comes from.
    pub purpose: u32,
    /// The chain, which the gateway serves; zeros for all that it serves.
    pub chain: Name,
    /// What the evidence is for.
    pub nonce: [u8; NONCE_BYTES],
}

/// A part of what a gateway is answered.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EvidencePart {
    /// The number of the question.
    pub question: u32,
    /// One of [`evidence_status`].
    pub status: u32,
    /// How many bytes follow, at most [`EVIDENCE_PART_MAX_BYTES`].
    pub len_bytes: u32,
}

/// How a gateway speaks TLS: values of [`Listen::tls`].
pub mod listen_tls {
    /// Not at all.
    pub const NONE: u32 = 0;
    /// It shows a certificate.
    pub const SERVER: u32 = 1;
    /// Clients show one too, or are refused in the handshake.
    pub const MUTUAL: u32 = 2;
}

/// How a gateway listens.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Listen {
    /// A value of [`listen_tls`].
    pub tls: u32,
    /// Unused, zero.
    pub reserved: u32,
}

/// Which requests are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tracing {
    /// 1: a client that says in its `traceparent` whether the trace is recorded decides. 0: nobody but the
    /// gateway does.
    pub parent_based: u32,
    /// Unused, zero.
    pub reserved: u32,
    /// Of the others those are traced the low 64 bits of whose trace id, halved, are below this: 2^63 for
    /// all.
    pub threshold: u64,
}

/// How a gateway leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Drain {
    /// For so long requests are still served; whoever asks is told that the gateway is not ready.
    pub delay_ms: u32,
    /// For so long after that, requests in flight may finish, and new ones are refused.
    pub timeout_ms: u32,
    /// 1: the socket outlives this service, so whoever waits in its queue is left to the successor. 0: they
    /// are answered.
    pub keeps_queue: u32,
    /// Unused, zero.
    pub reserved: u32,
}

/// What became of the requests that a gateway had when it began to drain, or got since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Drained {
    /// Answered by their chains.
    pub served: u64,
    /// Not finished in time: answered with 503, or their reply broke off.
    pub cut: u64,
    /// Refused with 503, before they reached their chains.
    pub refused: u64,
}

/// New files for a gateway's TLS.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Renew {
    /// A value of [`listen_tls`], not `NONE`.
    pub tls: u32,
    /// Unused, zero.
    pub reserved: u32,
}

/// The longest text that a gateway says of new files.
pub const SAID_MAX_BYTES: usize = 512;

impl Drop for ZeroizingMessage {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The bytes of one message; wiped when dropped, as they may hold keys.
pub struct ZeroizingMessage(Vec<u8>);

impl ZeroizingMessage {
    /// A message of `kind` with these entries.
    pub fn new<E: IntoBytes + Immutable>(kind: u32, entries: &[E]) -> Self {
        Self::with_tail(kind, entries, &[])
    }

    /// A message of `kind` with these entries and then `tail`.
    ///
    /// # Panics
    /// When the message would pass [`MESSAGE_MAX_BYTES`]; callers keep to [`MESSAGE_MAX_ENTRIES`] and
    /// [`SECRET_VALUE_MAX_BYTES`], with which none does.
    pub fn with_tail<E: IntoBytes + Immutable>(kind: u32, entries: &[E], tail: &[u8]) -> Self {
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        // One allocation of the final size: growing would leave copies of keys behind.
        let len_bytes = size_of::<MessageHeader>() + size_of_val(entries) + tail.len();
        assert!(
            len_bytes <= MESSAGE_MAX_BYTES,
            "an attach message keeps to its bound"
        );
        let mut bytes = Vec::with_capacity(len_bytes);
        bytes.extend_from_slice(MessageHeader { kind, count }.as_bytes());
        bytes.extend_from_slice(entries.as_bytes());
        bytes.extend_from_slice(tail);
        Self(bytes)
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

const _: () = {
    assert!(size_of::<MessageHeader>() == 8);
    // The longest messages: 32 inbound entries, or one secret.
    assert!(size_of::<MessageHeader>() + MESSAGE_MAX_ENTRIES * size_of::<Inbound>() <= MESSAGE_MAX_BYTES);
    assert!(size_of::<MessageHeader>() + size_of::<Secret>() + SECRET_VALUE_MAX_BYTES <= MESSAGE_MAX_BYTES);
    assert!(MESSAGE_MAX_ENTRIES * 3 <= MESSAGE_MAX_DESCRIPTORS);
    assert!(
        size_of::<MessageHeader>() + size_of::<EvidencePart>() + EVIDENCE_PART_MAX_BYTES <= MESSAGE_MAX_BYTES
    );
    // A gateway's question fits into what a trustlet may say.
    assert!(size_of::<AskEvidence>() <= SAID_MAX_BYTES);
};
