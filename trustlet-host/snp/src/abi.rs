//! What a trustlet finds when it begins, and the calls that it makes of the monitor.
//!
//! A trustlet begins at the entry of its program with a stack, in RDI the address of its heap and in RSI the
//! bytes of that. A call has its number in RAX and arguments in RDI, RSI and RDX; its answer comes in RAX,
//! and [`REFUSED`] is that of a call that was not made. Pointers lead to the trustlet's own memory that it
//! can write.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The answer to a call that the monitor does not understand, or that names what is not the trustlet's.
pub const REFUSED: u64 = u64::MAX;
/// The longest text of one [`call::PRINT`].
pub const PRINT_MAX_BYTES: usize = 1024;
/// The longest message of one [`call::SAY`].
pub const SAY_MAX_BYTES: usize = 4096;
/// The most random bytes of one [`call::RANDOM`].
pub const RANDOM_MAX_BYTES: usize = 256;

/// Numbers of calls.
pub mod call {
    /// Ends the trustlet. RDI: a code, 0 for success.
    pub const EXIT: u64 = 0;
    /// Takes the next message of the monitor. RDI, RSI: where it goes, of at least
    /// [`hacher_data_path::attach::message::MESSAGE_MAX_BYTES`]; RDX: where the [`super::Handle`]s beside it
    /// go, of which there are at most [`hacher_data_path::attach::message::MESSAGE_MAX_DESCRIPTORS`].
    /// Answered with the bytes of the message, and the number of handles in the upper half; with 0 if
    /// there is none.
    pub const RECEIVE: u64 = 1;
    /// Says something to the monitor, which is a message of an attachment. RDI, RSI: what.
    pub const SAY: u64 = 2;
    /// Rings a bell. RDI: its number, of a [`super::Handle`].
    pub const RING: u64 = 3;
    /// Sleeps until the trustlet's own bell rings, or a message comes. RDI: until when at most, as `NOW`
    /// counts; it may be never.
    pub const WAIT: u64 = 4;
    /// Answered with the nanoseconds since the machine started.
    pub const NOW: u64 = 5;
    /// RDI, RSI: filled with random bytes.
    pub const RANDOM: u64 = 6;
    /// RDI, RSI: text for people, which is dropped where the chain does not forward what its functions print.
    pub const PRINT: u64 = 7;
}

/// Kinds of handles.
pub mod handle {
    /// A region that the trustlet may read.
    pub const READ: u32 = 1;
    /// A region that it may read and write.
    pub const WRITE: u32 = 2;
    /// A bell of another, to ring.
    pub const BELL: u32 = 3;
    /// Its own bell, to wait for.
    pub const OWN_BELL: u32 = 4;
}

/// What comes beside a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Handle {
    /// A value of [`handle`].
    pub kind: u32,
    /// Of a bell, its number.
    pub number: u32,
    /// Of a region, where it is.
    pub address: u64,
    /// Of a region, its bytes.
    pub len_bytes: u64,
}
