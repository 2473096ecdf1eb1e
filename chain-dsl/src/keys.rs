//! Every key of the language, once: its name, what its value is, its bounds, its default, its meaning.
//!
//! The reader ([`crate::file`]), the JSON Schema ([`mod@crate::schema`]) and the printed defaults all
//! come from here, so they cannot disagree.

use std::time::Duration;

use crate::kinds::{
    AnyKey, ChoiceKind, DurationKind, FlagKind, IntegerKind, Key, NumberKind, OwnKind, SizeKind, TableKind,
    Tables, TextKind,
};
use crate::units::ByteSize;
pub(crate) use guest::{
    COMMAND, HTTP, HTTP_KEYS, HTTP_PATH, HTTP_PORT, HTTP_READY, LAMBDA, LAMBDA_KEYS, MAX_COMMAND,
    START_WITHIN,
};
pub use image::MAX_VALUE_BYTES;
pub(crate) use image::{ARGS, BUILD, EXEC, FILES, JIT, SYSCALLS};
pub(crate) use python::{INTERPRETER, MAX_MODULE_BYTES, PRELOAD, PYTHON, PYTHON_VARIABLES, VENV};
pub use python::{MAX_PRELOAD, PYTHON_PLACE};

mod guest;
mod image;
mod python;

/// The bound of a chain file.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// The bound on functions of a chain.
pub const MAX_FUNCTIONS: usize = 256;
/// The bound on edges of a chain.
pub const MAX_EDGES: usize = 1024;
/// The bound on declared ports of a function.
pub const MAX_PORTS: usize = 64;
/// The bound on records that a join waits for.
pub const MAX_JOIN_WIDTH: usize = 64;
/// The bound on `env` entries of a function, and on its `secrets`.
pub const MAX_ENV_ENTRIES: usize = 64;
/// The bound on `args` of a function.
pub const MAX_ARGS: usize = 64;
/// The bound on `files` of a function: files and folders that the chain file names, not what is in them. Each
/// is a mount in every process of the function.
pub const MAX_FILES: usize = 64;
/// The longest place of a file or folder in a function, and most names on the way to it.
pub const MAX_PLACE_BYTES: usize = 1024;
/// See [`MAX_PLACE_BYTES`].
pub const MAX_PLACE_DEPTH: usize = 16;
/// The longest name of a file, as Linux has it.
pub const MAX_FILE_NAME_BYTES: usize = 255;
/// Places in a function that its files can neither be, nor hold, nor lie beneath: what a trustlet has there
/// itself, or never has.
pub const RESERVED_PLACES: &[&str] = &[
    "/dev",
    "/proc",
    "/sys",
    "/tmp",
    "/image",
    "/etc/localtime",
    "/usr/share/zoneinfo",
];
/// The longest name of a chain, a function, a port, an environment variable or a secret.
pub const MAX_NAME_BYTES: usize = 63;
const _: () = assert!(MAX_VALUE_BYTES == python::MAX_PATH_BYTES);

/// Environment names that begin so belong to the system.
pub(crate) const RESERVED_ENV_PREFIX: &str = "HACHER_";
/// The bound on headers that a chain carries beside those that every chain does.
pub const MAX_HEADERS: usize = 64;
/// The longest route.
pub(crate) const MAX_ROUTE_BYTES: usize = 256;
/// Most segments of a route.
pub(crate) const MAX_ROUTE_SEGMENTS: usize = 16;
/// The longest name of a capture.
pub(crate) const MAX_CAPTURE_BYTES: usize = 32;
/// First segments of paths that are the gateway's own: no route begins with one, nor gets a request to it.
pub const RESERVED_PATHS: &[&str] = &["chains", "evidence", "healthz", "readyz"];
/// What a chain answers that names no methods.
pub(crate) const DEFAULT_METHOD: &str = "POST";
/// How names of headers begin that are the system's.
pub(crate) const OWN_HEADERS: &str = "hacher-";
/// Headers that speak of one connection, of its framing, or of the whole origin; no record has them.
pub const HEADERS_OF_THE_CONNECTION: &[&str] = &[
    "alt-svc",
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];
/// Names that no function can have.
pub(crate) const RESERVED_FUNCTIONS: &[&str] = &["ingress", "egress", "gateway"];
/// The port that every function has without declaring it.
pub(crate) const ERROR_PORT: &str = "error";
/// The port that a function without `ports` has, and that a source without a port means.
pub(crate) const DEFAULT_PORT: &str = "out";
/// Port names that cannot be declared.
pub(crate) const RESERVED_PORTS: &[&str] = &[ERROR_PORT, "fault"];
/// Begins a reference to a secret in a file: an absolute path follows.
pub(crate) const SECRET_SCHEME: &str = "file:";
/// Begins a reference to a secret that a key broker keeps: `/REPOSITORY/TYPE/TAG` follows, and no host, as
/// which broker is asked is said where the chain is served.
pub(crate) const BROKER_SCHEME: &str = "kbs://";
/// What each part of such a path is, as a regular expression.
pub(crate) const BROKER_PART_PATTERN: &str = "[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}";
/// In the table of a file: where it is on this machine.
pub(crate) const FILE_FROM: &str = "from";
/// In the table of a file: where the function finds it.
pub(crate) const FILE_TO: &str = "to";
/// In the table of a secret: what it refers to.
pub(crate) const SECRET_FROM: &str = "from";
/// In the table of a secret: whether line breaks at its end are dropped.
pub(crate) const SECRET_TRIM: &str = "trim";

pub(crate) const CHAIN: Key<OwnKind> = Key {
    name: "chain",
    doc: "The chain's name; it is served at /chains/NAME.",
    kind: OwnKind::Name,
};
pub(crate) const VERSION: Key<OwnKind> = Key {
    name: "version",
    doc: "The chain's version, for people and logs. \"0.0.0\" when it is not written.",
    kind: OwnKind::Version,
};
pub(crate) const DEFAULT_VERSION: &str = "0.0.0";
pub(crate) const DESCRIPTION: Key<TextKind> = Key {
    name: "description",
    doc: "What the chain does, in a sentence.",
    kind: TextKind {
        max_bytes: MAX_VALUE_BYTES,
        required: false,
        example: "Three sizes of one photo",
    },
};
pub(crate) const FLOW: Key<OwnKind> = Key {
    name: "flow",
    doc: "How records go: `a -> b` hands over, `b & c` runs both on the same record and the next step waits \
          for both, `b | c` before an arrow means whichever arrives, `a.port` names an output port. Lines \
          begin at `ingress` and end at `egress`.",
    kind: OwnKind::Flow,
};
pub(crate) const PLACEMENT: Key<ChoiceKind> = Key {
    name: "placement",
    doc: "Where instances run: `packed` on one core; `spread` over cores, where the functions of a long line take turns over \
          two; `auto` chooses.",
    kind: ChoiceKind {
        words: &["packed", "spread", "auto"],
        default: "auto",
    },
};
pub(crate) const PROTECTION: Key<ChoiceKind> = Key {
    name: "protection",
    doc: "How records are protected between functions: `sealed` is authenticated encryption; `mapped` is memory that \
          the two ends of an edge alone have mapped, without a cipher. The edges of `ingress` and `egress` stay \
          sealed, unless their own table says otherwise.",
    kind: PROTECTION_KIND,
};
const PROTECTION_KIND: ChoiceKind = ChoiceKind {
    words: &["sealed", "mapped"],
    default: "sealed",
};
pub(crate) const EDGE_PROTECTION: Key<ChoiceKind> = Key {
    name: "protection",
    doc: "How the records of this edge are protected: `sealed` or `mapped`, instead of what the chain says.",
    kind: PROTECTION_KIND,
};
pub(crate) const EDGE_STREAM: Key<FlagKind> = Key {
    name: "stream",
    doc: "Whether the records of this edge are read as streams, as `stream` of a function says it of all its inputs: instead of what the \
          function says that reads them, or that sends them to `egress`. Not where records are joined.",
    kind: STREAM.kind,
};
pub(crate) const EGRESS: Key<OwnKind> = Key {
    name: "egress",
    doc: "What the reply is where several records reach `egress` for one request. `first`: the one that is complete first; the \
          others are dropped. `join`: what a flow line joins, `a & b -> egress`, is one `multipart/mixed` reply with a part for \
          each. Without it a chain in which several can come is warned of.",
    kind: OwnKind::Egress,
};
/// What `egress` can say.
pub(crate) const EGRESS_WORDS: &[&str] = &["first", "join"];
pub(crate) const EDGE: Key<OwnKind> = Key {
    name: "edge",
    doc: "What holds for one edge alone, as [edge.\"SOURCE -> TARGET\"]; the source may have a port.",
    kind: OwnKind::Edges(EDGE_KEYS),
};

pub(crate) const MAX_BODY: Key<SizeKind> = Key {
    name: "max_body",
    doc: "The largest request body; a larger one is answered with 413.",
    kind: SizeKind {
        min: ByteSize::new(1),
        max: ByteSize::new(16 << 30),
        default: ByteSize::new(32 << 20),
    },
};
pub(crate) const MAX_REPLY: Key<SizeKind> = Key {
    name: "max_reply",
    doc: "The largest reply body; a larger one is answered with 502. As large as `max_body` when it is not written.",
    kind: MAX_BODY.kind,
};
pub(crate) const DEADLINE: Key<DurationKind> = Key {
    name: "deadline",
    doc: "How long a request may take from its acceptance to its answer.",
    kind: DurationKind {
        min: Duration::from_millis(1),
        max: Duration::from_secs(3600),
        default: Duration::from_secs(5),
    },
};
pub(crate) const IN_FLIGHT: Key<IntegerKind> = Key {
    name: "in_flight",
    doc: "How many requests may be under way at once; more are answered with 429.",
    kind: IntegerKind {
        min: 1,
        max: 65536,
        default: 128,
    },
};

pub(crate) const METHODS: Key<OwnKind> = Key {
    name: "methods",
    doc: "The methods that the chain answers; others are answered with 405. GET answers HEAD, too. Part of the chain digest.",
    kind: OwnKind::Methods,
};
pub(crate) const HEADERS: Key<OwnKind> = Key {
    name: "headers",
    doc: "Headers of a request that its first functions get, beside those that every chain carries (content type and coding, \
          `accept`, trace context, `baggage`, `idempotency-key`, `ce-*`, `x-forwarded-for`). Part of the chain digest.",
    kind: OwnKind::Headers,
};
pub(crate) const ROUTE: Key<OwnKind> = Key {
    name: "route",
    doc: "A path of the chain's own, besides /chains/NAME: `{NAME}` captures a segment, and `{*NAME}` at the end the rest of \
          the path. Part of the chain digest.",
    kind: OwnKind::Route,
};
pub(crate) const LISTEN: Key<OwnKind> = Key {
    name: "listen",
    doc: "An address and a port of the chain's own, such as \"127.0.0.1:9001\": a gateway of its own serves the chain there, \
          and nowhere else, so that it shares no process that sees plaintext with other chains. Without it the chain is \
          served by the gateway that `serve --listen` places, with all others that have none of their own. Anything but \
          loopback needs `tls`.",
    kind: OwnKind::Address,
};
pub(crate) const TLS: Key<TableKind> = Key {
    name: "tls",
    doc: "What the chain's own gateway speaks TLS with, as { cert = \"...\", key = \"...\" }. The files are PEM, relative to \
          this file, and may be replaced while the chain is served.",
    kind: TableKind { keys: TLS_KEYS },
};
pub(crate) const TLS_CERT: Key<TextKind> = Key {
    name: "cert",
    doc: "The certificate chain (PEM), the gateway's own certificate first.",
    kind: TextKind {
        max_bytes: MAX_VALUE_BYTES,
        required: true,
        example: "tls/server.pem",
    },
};
pub(crate) const TLS_KEY: Key<TextKind> = Key {
    name: "key",
    doc: "The private key of the certificate (PEM, not encrypted).",
    kind: TextKind {
        max_bytes: MAX_VALUE_BYTES,
        required: true,
        example: "tls/server.key",
    },
};
pub(crate) const TLS_CLIENT_CA: Key<TextKind> = Key {
    name: "client_ca",
    doc: "The certificates of those who sign clients' certificates (PEM). With it, a client without such a certificate is \
          refused in the handshake.",
    kind: TextKind {
        max_bytes: MAX_VALUE_BYTES,
        required: false,
        example: "tls/clients.pem",
    },
};

pub(crate) const MEMORY: Key<SizeKind> = Key {
    name: "memory",
    doc: "The memory that one instance may use for its own. What the fabric needs for the stacks of its threads and for \
          records comes on top.",
    kind: SizeKind {
        min: ByteSize::new(4 << 20),
        max: ByteSize::new(1 << 40),
        default: ByteSize::new(256 << 20),
    },
};
pub(crate) const TIMEOUT: Key<DurationKind> = Key {
    name: "timeout",
    doc: "How long one attempt may take.",
    kind: DurationKind {
        min: Duration::from_millis(1),
        max: Duration::from_secs(3600),
        default: Duration::from_secs(1),
    },
};
pub(crate) const INSTANCES: Key<OwnKind> = Key {
    name: "instances",
    doc: "How many instances run.",
    kind: OwnKind::Instances(INSTANCES_RANGE),
};
pub(crate) const INSTANCES_RANGE: IntegerKind = IntegerKind {
    min: 1,
    max: 64,
    default: 1,
};
pub(crate) const LOGS: Key<ChoiceKind> = Key {
    name: "logs",
    doc: "What becomes of standard output and error: `drop` keeps them in the trustlet, `forward` lets them \
          out. Forwarding is part of the chain digest that clients verify.",
    kind: ChoiceKind {
        words: &["drop", "forward"],
        default: "drop",
    },
};
pub(crate) const OUTBOX: Key<SizeKind> = Key {
    name: "outbox",
    doc: "The memory for sealed records that one instance has sent and that are not released yet; the \
          largest record has to fit. Backed as it is used.",
    kind: SizeKind {
        min: ByteSize::new(1 << 20),
        max: ByteSize::new(16 << 30),
        default: ByteSize::new(64 << 20),
    },
};
pub(crate) const HUGE_PAGES: Key<FlagKind> = Key {
    name: "huge_pages",
    doc: "Whether the outbox is backed by huge pages, which large records are faster with. The kernel has to allow them \
          for shared memory; `hacher-fabric doctor` says whether it does.",
    kind: FlagKind { default: false },
};
pub(crate) const PREFAULT: Key<FlagKind> = Key {
    name: "prefault",
    doc: "Whether all of the outbox is backed by memory before the first record, so that none waits for it. Starting takes \
          longer, and the memory is taken whether it is used or not.",
    kind: FlagKind { default: false },
};
pub(crate) const STREAM: Key<FlagKind> = Key {
    name: "stream",
    doc: "Whether the function reads its input as a stream: what it has read is held nowhere, so a record of any length \
          passes, and the request's body reaches it as it arrives. What it writes to `egress` leaves as it is written. A \
          record longer than one segment (64 KiB) is not delivered again once its second segment is asked for. `timeout` \
          is then between two segments, and `deadline` the longest that a request stands still.",
    kind: FlagKind { default: false },
};
pub(crate) const SCRATCH: Key<SizeKind> = Key {
    name: "scratch",
    doc: "The private temporary file space of one instance; \"0B\" for none.",
    kind: SizeKind {
        min: ByteSize::new(0),
        max: ByteSize::new(16 << 30),
        default: ByteSize::new(16 << 20),
    },
};
pub(crate) const THREADS: Key<IntegerKind> = Key {
    name: "threads",
    doc: "How many threads one instance may have, each with a stack of 2 MiB on top of `memory`.",
    kind: IntegerKind {
        min: 1,
        max: 256,
        default: 16,
    },
};

pub(crate) const ATTEMPTS: Key<IntegerKind> = Key {
    name: "attempts",
    doc: "How often a record is tried in all; 1 means never again.",
    kind: IntegerKind {
        min: 1,
        max: 100,
        default: 3,
    },
};
pub(crate) const BACKOFF: Key<DurationKind> = Key {
    name: "backoff",
    doc: "The wait before the second attempt; it gives way to `max` when only that is written.",
    kind: DurationKind {
        min: Duration::ZERO,
        max: Duration::from_secs(600),
        default: Duration::from_millis(10),
    },
};
pub(crate) const FACTOR: Key<NumberKind> = Key {
    name: "factor",
    doc: "What each further wait is multiplied by.",
    kind: NumberKind {
        min: 1.0,
        max: 100.0,
        default: 2.0,
    },
};
pub(crate) const MAX_BACKOFF: Key<DurationKind> = Key {
    name: "max",
    doc: "The longest wait between two attempts.",
    kind: DurationKind {
        min: Duration::ZERO,
        max: Duration::from_secs(3600),
        default: Duration::from_secs(1),
    },
};
pub(crate) const JITTER: Key<FlagKind> = Key {
    name: "jitter",
    doc: "Whether waits are spread at random, so that retries do not come in waves.",
    kind: FlagKind { default: true },
};
pub(crate) const RETRY: Key<TableKind> = Key {
    name: "retry",
    doc: "What happens after a failed attempt. Each key that is not written comes from [defaults].",
    kind: TableKind { keys: RETRY_KEYS },
};

pub(crate) const PORTS: Key<OwnKind> = Key {
    name: "ports",
    doc: "The output ports that the function writes to. Every function also has `error`, which carries the \
          record that failed after the last attempt, if a flow line takes it.",
    kind: OwnKind::Ports,
};
pub(crate) const ENV: Key<OwnKind> = Key {
    name: "env",
    doc: "Environment variables of the function; not for secrets.",
    kind: OwnKind::Env,
};
pub(crate) const SECRETS: Key<OwnKind> = Key {
    name: "secrets",
    doc: "References to secrets, resolved by the monitor and given to this function alone: `file:` and an absolute path; or \
          `kbs:///REPOSITORY/TYPE/TAG`, which the key broker of `serve --kbs` releases once it has seen evidence of this chain; \
          or a table { from = \"file:/...\", trim = true } that drops line breaks at the end of the secret.",
    kind: OwnKind::Secrets,
};

pub(crate) const INGRESS: Key<TableKind> = Key {
    name: "ingress",
    doc: "Where requests come in, and limits on them.",
    kind: TableKind { keys: INGRESS_KEYS },
};
pub(crate) const DEFAULTS: Key<TableKind> = Key {
    name: "defaults",
    doc: "Values for every function that does not set its own.",
    kind: TableKind { keys: DEFAULTS_KEYS },
};
pub(crate) const FUNCTION: Key<OwnKind> = Key {
    name: "function",
    doc: "The functions, each as [function.NAME].",
    kind: OwnKind::Functions(FUNCTION_KEYS),
};

/// The keys above the first table.
pub(crate) const ROOT_KEYS: &[AnyKey] = &[
    AnyKey::Own(CHAIN),
    AnyKey::Own(VERSION),
    AnyKey::Text(DESCRIPTION),
    AnyKey::Own(FLOW),
    AnyKey::Choice(PLACEMENT),
    AnyKey::Choice(PROTECTION),
    AnyKey::Own(EGRESS),
    AnyKey::Table(INGRESS),
    AnyKey::Table(DEFAULTS),
    AnyKey::Own(EDGE),
    AnyKey::Own(FUNCTION),
];

/// The keys of `[edge."SOURCE -> TARGET"]`.
pub(crate) const EDGE_KEYS: &[AnyKey] = &[AnyKey::Choice(EDGE_PROTECTION), AnyKey::Flag(EDGE_STREAM)];

/// The keys of `[ingress]`.
pub(crate) const INGRESS_KEYS: &[AnyKey] = &[
    AnyKey::Size(MAX_BODY),
    AnyKey::Size(MAX_REPLY),
    AnyKey::Duration(DEADLINE),
    AnyKey::Integer(IN_FLIGHT),
    AnyKey::Own(METHODS),
    AnyKey::Own(HEADERS),
    AnyKey::Own(ROUTE),
    AnyKey::Own(LISTEN),
    AnyKey::Table(TLS),
];

/// The keys of `tls` in `[ingress]`.
pub(crate) const TLS_KEYS: &[AnyKey] = &[
    AnyKey::Text(TLS_CERT),
    AnyKey::Text(TLS_KEY),
    AnyKey::Text(TLS_CLIENT_CA),
];

/// The keys of `retry`.
pub(crate) const RETRY_KEYS: &[AnyKey] = &[
    AnyKey::Integer(ATTEMPTS),
    AnyKey::Duration(BACKOFF),
    AnyKey::Number(FACTOR),
    AnyKey::Duration(MAX_BACKOFF),
    AnyKey::Flag(JITTER),
];

/// The keys of `[defaults]`.
pub(crate) const DEFAULTS_KEYS: &[AnyKey] = &[
    AnyKey::Size(MEMORY),
    AnyKey::Duration(TIMEOUT),
    AnyKey::Own(INSTANCES),
    AnyKey::Table(RETRY),
    AnyKey::Choice(LOGS),
    AnyKey::Size(OUTBOX),
    AnyKey::Flag(HUGE_PAGES),
    AnyKey::Flag(PREFAULT),
    AnyKey::Size(SCRATCH),
    AnyKey::Integer(THREADS),
];

/// The keys that say what a function is: it has one of them.
pub(crate) const WAYS: [&str; 4] = [EXEC.name, PYTHON.name, HTTP.name, LAMBDA.name];

/// The keys of `[function.NAME]`.
pub(crate) const FUNCTION_KEYS: &[AnyKey] = &[
    AnyKey::Text(EXEC),
    AnyKey::Text(PYTHON),
    AnyKey::Table(HTTP),
    AnyKey::Own(LAMBDA),
    AnyKey::Text(VENV),
    AnyKey::Text(INTERPRETER),
    AnyKey::Own(PRELOAD),
    AnyKey::Text(BUILD),
    AnyKey::Own(ARGS),
    AnyKey::Own(FILES),
    AnyKey::Choice(SYSCALLS),
    AnyKey::Flag(JIT),
    AnyKey::Own(PORTS),
    AnyKey::Size(MEMORY),
    AnyKey::Duration(TIMEOUT),
    AnyKey::Own(INSTANCES),
    AnyKey::Table(RETRY),
    AnyKey::Own(ENV),
    AnyKey::Own(SECRETS),
    AnyKey::Choice(LOGS),
    AnyKey::Size(OUTBOX),
    AnyKey::Flag(HUGE_PAGES),
    AnyKey::Flag(PREFAULT),
    AnyKey::Flag(STREAM),
    AnyKey::Size(SCRATCH),
    AnyKey::Integer(THREADS),
];

/// All tables, as messages call them.
pub(crate) const TABLES: Tables = &[
    ("at the top of the file, above the first `[table]`", ROOT_KEYS),
    ("in `[ingress]`", INGRESS_KEYS),
    ("in `tls` of `[ingress]`", TLS_KEYS),
    ("in `[defaults]`", DEFAULTS_KEYS),
    ("in `[function.NAME]`", FUNCTION_KEYS),
    ("in `[edge.\"SOURCE -> TARGET\"]`", EDGE_KEYS),
    ("in `retry`", RETRY_KEYS),
    ("in `http`", HTTP_KEYS),
    ("in `lambda`", LAMBDA_KEYS),
];
