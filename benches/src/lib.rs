//! What a hop, a chain and a request cost on this machine, beside the floors that nothing can go below and
//! beside what people use today, all in one run: `hacher-bench`, which `hacher-fabric bench` becomes.
//! And how large the trusted base is, for `hacher-fabric tcb`.
//!
//! ```text
//! command      from the arguments to the report
//! experiment   what is measured: for each of its cells, which subjects, which payloads, how many samples
//! subject      one way of moving payloads, ready to be measured: the fabric, a floor, a baseline
//! peers        other projects' transports as subjects (feature `peers`)
//! python       functions in Python, and three ways of calling them
//! role         the processes of subjects: this executable under other names
//! tcb          how much code the trusted executables have
//! report       rows, ratios and conditions; a table, JSON, CSV, histograms, plots; comparison of two reports
//! ```
//!
//! Every subject does the same work: each hop's receiver reads the payload to its last byte
//! ([`subject::checksum`]) unless its row says that it does not.
//!
//! The fabric is measured as it is installed: the `hacher-fabric` beside this executable serves the chains.
//! Their functions, and the driver in the gateway's place, are this executable. `README.md` says how to read
//! the results.

pub mod baseline;
pub mod command;
pub mod driver;
pub mod experiment;
pub mod fabric;
pub mod floor;
pub mod peer;
#[cfg(feature = "peers")]
pub mod peers;
pub mod place;
pub mod python;
pub mod report;
pub mod role;
pub mod step;
pub mod subject;
pub mod tcb;
