//! How a trustlet gets its place in a chain, before the first record: the messages that the monitor sends
//! over a [`Channel`], collected by an [`Assembly`], and the [`Attachment`] that is made of them.

pub(crate) mod assembly;
pub(crate) mod attachment;
pub(crate) mod channel;
pub(crate) mod instruction;
mod linux;
pub(crate) mod requests;
pub mod seqpacket;

pub use assembly::Assembly;
pub use attachment::Attachment;
pub use channel::{AttachError, Channel, Message, MonitorMisbehaved};
pub use hacher_data_path::attach::contradiction::BadAttachment;
pub use hacher_data_path::attach::limits::FunctionLimits;
pub use hacher_data_path::attach::message::{
    ATTACH_VERSION, Ahead, AskEvidence, BELL_QUIET_NS, Begin, CHANNEL_FD, Drain, Drained, Edge, HEADERS_MAX,
    Inbound, Listen, MESSAGE_MAX_BYTES, MESSAGE_MAX_DESCRIPTORS, MESSAGE_MAX_ENTRIES, MessageHeader,
    NONCE_BYTES, Port, ROUTE_MAX_BYTES, Readiness, Renew, Requests, SAID_MAX_BYTES, SECRET_BYTES,
    SECRET_VALUE_MAX_BYTES, Secret, Tracing, ZeroizingMessage, evidence_purpose, evidence_status, kind,
    listen_tls, method, outbox_flag, role,
};
pub use instruction::{EvidenceAnswer, Instruction, Listener, TlsFiles};
pub use requests::TakenRequests;
