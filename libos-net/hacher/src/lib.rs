//! Functions of Hacher chains, in Rust.
//!
//! A function is an executable with a handler and one line of `main`. The handler gets a record, returns a
//! record, and is an ordinary function:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn shout(text: String) -> String {
//!     text.to_uppercase()
//! }
//!
//! fn main() -> ExitCode {
//!     hacher::serve(shout)
//! }
//! ```
//!
//! The chain file says where it stands:
//!
//! ```toml
//! chain = "loud"
//! flow  = ["ingress -> shout -> egress"]
//!
//! [function.shout]
//! exec = "target/release/shout"
//! ```
//!
//! and `hacher-fabric run chain.toml --input FILE` runs it. A unit test runs the handler alone:
//!
//! ```
//! # fn shout(text: String) -> String { text.to_uppercase() }
//! use hacher::harness::Call;
//!
//! let reply = Call::new().body(b"hello").run(shout);
//! assert_eq!(reply.port("out").unwrap().body(), b"HELLO");
//! ```
//!
//! # From here
//!
//! - What handlers take and return: [`Handler`], [`FromRecord`], [`IntoRecord`]; `Json` with the feature
//!   `json`.
//! - Errors: `?` on anything, and [which of them are tried again](judge).
//! - What is loaded once: [`serve_with`].
//! - Joins, secrets, time left, streamed bodies: [`Input`]. Several ports, headers, streamed records:
//!   [`Output`].
//! - `async` handlers: `asynchronous` with the feature `tokio`.
//! - Tests: [`harness`].
//!
//! The [`guide`] has the contract, recipes, and all that a function finds in its process, with its limits.
//!
//! # Features
//!
//! None but `aws-lc` by default: what is in a function's process is in what its clients trust.
//!
//! | feature | brings | crates |
//! |---|---|---|
//! | `aws-lc` (default) | bulk sealing by AWS-LC, faster than by `ring` | `aws-lc-sys` |
//! | `json` | `Json` | `serde`, `serde_json` and theirs |
//! | `bytes` | `Bytes` as bodies | `bytes` |
//! | `http` | `StatusCode`, `HeaderMap`, `Method` | `http`, `bytes`, `itoa` |
//! | `query` | `Query`, `Captures` | `serde` and its, `form_urlencoded`, `percent-encoding` |
//! | `tokio` | `asynchronous` handlers | `tokio` (`rt`, `time`), `pin-project-lite` |
//! | `tracing` | events on standard error, with request and attempt | `tracing`, `tracing-subscriber` and theirs |

#[cfg(feature = "query")]
mod asked;
#[cfg(feature = "tokio")]
mod asynchronous;
/// Its snippets are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
mod extract;
// Of two definitions of a link the first one counts: those of the file lead to files, which are not here.
/// [chain]: #pages-beside-this-one
/// [deaths]: #pages-beside-this-one
/// [headers]: #pages-beside-this-one
/// [http]: #pages-beside-this-one
/// [python-example]: #pages-beside-this-one
/// [python-readme]: #pages-beside-this-one
/// [secrets]: #pages-beside-this-one
/// [security]: #pages-beside-this-one
///
#[doc = include_str!("../../../docs/functions.md")]
///
/// # Pages beside this one
///
/// `chain.md`, `deaths.md`, `evidence.md` and `http.md` are in the folder `docs` of the repository, where
/// this page is `functions.md`; `SECURITY.md`, `examples` and `libos-net/python` are at its top.
pub mod guide {}
mod handler;
pub mod harness;
pub mod headers;
#[cfg(feature = "json")]
mod json;
pub mod judge;
#[cfg(feature = "tracing")]
mod log;
mod record;
mod serve;

#[cfg(feature = "query")]
pub use asked::{Captures, Query};
#[cfg(feature = "tokio")]
pub use asynchronous::{Async, AsyncHandler, asynchronous};
pub use extract::{Extract, FromInput, FromRecord};
pub use hacher_libos_net::{
    Cancellation, Cause, DEFAULT_PORT, ERROR_PORT, Failure, INITIALISATION_FAILED, Input, Output, Part,
    Placed, PortWriter, Reader, Start, View,
};
pub use handler::{Handler, IntoOutcome, form};
#[cfg(feature = "json")]
pub use json::Json;
pub use judge::{BoxError, Judged, OrFail, permanent, retry};
#[cfg(feature = "tracing")]
pub use log::LOG_LEVEL;
pub use record::{ContentType, Either, IntoRecord, SendRecord, To};
pub use serve::{serve, serve_with};
