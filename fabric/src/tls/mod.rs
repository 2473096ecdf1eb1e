//! TLS of gateways, from PEM files to what rustls serves with. Loader and gateway go the same way, so that
//! what is checked before the service is ready is what the gateway takes later.
//!
//! ```text
//! source     the files on this machine, read without waiting on them
//! material   the contents of the files, and what is wrong with them, in words
//! dates      what clients will not like about a certificate, although it can be served
//! ```

pub mod dates;
pub mod material;
pub mod source;

pub use material::{Fault, Material, Which};
pub use source::{FileFault, Source};
