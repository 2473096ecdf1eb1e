//! Benchmarks that are not for everybody: `benches/` holds those for developers of the data path, and the
//! feature `peers` adds other projects' transports to what `hacher-fabric bench` compares with. `README.md`
//! says how to read the results.

#[cfg(feature = "peers")]
pub mod peers;
