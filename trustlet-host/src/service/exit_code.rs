//! Exit codes of the service and its daemon that say something.

/// A daemon's exit code that says: the service cannot start, stop everything.
pub const EXIT_CANNOT_START: u8 = 78; // EX_CONFIG of sysexits.h
/// The exit code of a service that stopped as it was asked to, but cut requests that were in flight.
pub const EXIT_CUT: u8 = 3;
