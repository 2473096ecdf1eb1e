//! A client of gateways. It learns, and checks, what will see its data before it sends any:
//!
//! ```text
//! http      a connection that speaks HTTP/1.1, over whatever stream
//! url, tls  where a gateway is, and whose certificates are taken there
//! outgoing  the body of a request: as it is, sealed as it is sent, or as it is read (streamed)
//! incoming  a sealed reply, opened as it comes
//! multipart the parts of a reply that joins several
//! question  what is asked of a chain
//! evidence  evidence, asked for with fresh randomness and verified
//! caller    requests to a chain: sealed for it, or over a connection that is bound to its gateway
//! ```
//!
//! ```no_run
//! use hacher_client::caller::{Caller, Question};
//! use hacher_client::evidence::{Demands, Digest};
//! use hacher_client::tls::Trust;
//! use std::time::Duration;
//!
//! # async fn ask(expected: Digest) -> Result<(), hacher_client::caller::CallError> {
//! // A policy that names no chain is refused: whoever loads chains could meet it with one of their own.
//! let mut demands = Demands::default();
//! demands.policy.manifest.chains.insert(expected);
//! let caller = Caller {
//!     gateway: "https://example.org:8443".parse().expect("a URL"),
//!     trust: Trust::AnyCertificate,
//!     identity: None,
//!     chain: "thumbnails".to_owned(),
//!     demands,
//!     reply_max_bytes: 1 << 20,
//!     idle_max: Duration::from_secs(60),
//! };
//! let question = Question::new("image/jpeg", b"...".as_slice());
//! let answered = caller.call_sealed(&question).await?;
//! println!("{}", answered.reply.status);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod caller;
pub mod evidence;
pub mod http;
pub mod incoming;
pub mod multipart;
mod outgoing;
mod question;
pub mod streamed;
pub mod tls;
pub mod url;
