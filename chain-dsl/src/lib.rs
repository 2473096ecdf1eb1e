//! The language of chain files: text in, a checked [`Chain`] or every problem of the file out.
//!
//! ```
//! let text = r#"
//! chain = "hello"
//! flow = ["ingress -> greet -> egress"]
//! [function.greet]
//! exec = "greet"
//! "#;
//! let checked = hacher_chain_dsl::check(text, "chain.toml").expect("a good file");
//! assert_eq!(checked.chain().functions().len(), 1);
//!
//! let problems = hacher_chain_dsl::check(&text.replace("exec", "exce"), "chain.toml").expect_err("a slip");
//! assert!(problems.to_string().contains("did you mean `exec`?"));
//! ```
//!
//! Files of data owners, who say what they demand of evidence before they send anything, are in a language of
//! their own ([`check_policy`]) with the same diagnostics, by the same code: `policy` has its keys.
//!
//! The crate is pure: no I/O, no clock, no unsafe. A file goes through these modules in turn:
//!
//! 1. `document`: text to TOML tree, with all syntax errors;
//! 2. `file`, with `settings`, `image`, `environment`, `section` and `keys`: each key read, each value within
//!    its bounds;
//! 3. `flow`: one flow line; `graph`: all lines together;
//! 4. `graph_check`, with `cycle_check` and `join_check`: what only the whole graph shows;
//! 5. `check`: these steps in order, and the [`Chain`] at the end.
//!
//! Whatever is found on the way is a [`Diagnostic`] with a stable [`Code`] and a place; `render` prints
//! them. A chain is printed by `print`, drawn by `draw`; `schema` describes the file to editors.
//!
//! No input makes it panic, recurse without bound, or take time or memory beyond a fixed multiple of the
//! text.
#![forbid(unsafe_code)]

mod address;
mod chain;
mod check;
mod code;
mod cycle_check;
mod diagnostic;
mod document;
mod draw;
mod edge_check;
mod egress_check;
mod encoding;
mod environment;
mod file;
mod flow;
mod function;
mod graph;
mod graph_check;
mod guest;
mod image;
mod join_check;
mod keys;
mod kinds;
mod name;
mod nearest;
mod policy;
mod print;
mod program;
mod program_tree;
mod python;
mod render;
mod request;
mod route;
mod schema;
mod section;
mod settings;
mod source;
mod stream_check;
mod system_calls;
mod units;

pub use chain::{
    Chain, Edge, EdgeId, Egress, FunctionId, Group, GroupId, Ingress, Placement, Protection, Source, Target,
    Tls,
};
pub use check::{Checked, TlsSpans, check, check_bytes};
pub use code::{Code, Severity, explain_code};
pub use diagnostic::{Diagnostic, Diagnostics, Label, MAX_DIAGNOSTICS};
pub use encoding::is_binary;
pub use function::{Function, Limits, Logs, PortId, Resource, Retry, SecretRef, SystemCalls};
pub use image::usable_place;
pub use keys::{
    HEADERS_OF_THE_CONNECTION, MAX_ARGS, MAX_EDGES, MAX_ENV_ENTRIES, MAX_FILE_NAME_BYTES, MAX_FILES,
    MAX_FUNCTIONS, MAX_HEADERS, MAX_JOIN_WIDTH, MAX_NAME_BYTES, MAX_PLACE_BYTES, MAX_PLACE_DEPTH, MAX_PORTS,
    MAX_PRELOAD, MAX_TEXT_BYTES, MAX_VALUE_BYTES, PYTHON_PLACE, RESERVED_PATHS, RESERVED_PLACES,
};
pub use policy::{Floor, Listed, PolicyFile, check_policy, check_policy_bytes};
pub use program::{FileRef, Guest, GuestProgram, HttpServer, Interpreter, Program, Protocol, Python};
pub use python::PythonSpans;
pub use request::Methods;
pub use route::Route;
pub use schema::{policy_schema, schema};
pub use source::{Position, Span};
pub use units::{ByteSize, format_duration};
