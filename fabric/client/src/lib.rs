//! A client of gateways. It learns, and checks, what will see its data before it sends any:
//!
//! ```text
//! http      a connection that speaks HTTP/1.1, over whatever stream
//! url, tls  where a gateway is, and whose certificates are taken there
//! outgoing  the body of a request: as it is, or sealed as it is sent
//! incoming  a sealed reply, opened as it comes
//! evidence  evidence, asked for with fresh randomness and verified
//! caller    requests to a chain: sealed for it, or over a connection that is bound to its gateway
//! ```
//!
//! ```no_run
//! use hacher_client::caller::{Caller, Question};
//! use hacher_client::evidence::Demands;
//! use hacher_client::tls::Trust;
//!
//! # async fn ask() -> Result<(), hacher_client::caller::CallError> {
//! let caller = Caller {
//!     gateway: "https://example.org:8443".parse().expect("a URL"),
//!     trust: Trust::AnyCertificate,
//!     identity: None,
//!     chain: "thumbnails".to_owned(),
//!     demands: Demands::default(),
//!     reply_max_bytes: 1 << 20,
//! };
//! let question = Question::new("image/jpeg", b"...".as_slice());
//! let reply = caller.call_sealed(&question).await?;
//! println!("{}", reply.status);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod caller;
pub mod evidence;
pub mod http;
mod incoming;
mod outgoing;
pub mod tls;
pub mod url;
