//! A machine in the memory of one process: instances side by side, bells that count, and a clock that a test
//! sets. So what waits takes no time, and what is tested does not depend on how fast it runs.

pub mod bell;
pub mod chain;
pub mod clock;
