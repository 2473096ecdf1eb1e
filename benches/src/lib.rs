//! Benchmarks of the data path. They are in `benches/`; `README.md` beside them says how to read the results.
