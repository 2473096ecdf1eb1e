//! What the path needs from whoever runs it, as small traits: [memory], [bells](bell) and a
//! [clock]. On Linux these are mappings, pipes and the vDSO; a monitor without an operating system has
//! its own; tests have memory of the process and a clock that they set.
//!
//! They are called through pointers and not by type parameters: memory once for each region, when it is
//! mapped and when it goes; a bell where a wake-up costs hundreds of times the call; the clock where a read
//! of it costs tens of times the call. So everything between is one unit of code that knows none of them.

pub mod bell;
pub mod clock;
pub mod memory;
