//! Memory that instances share.
#![allow(
    unsafe_code,
    reason = "whoever provides memory vouches for what is done with its address"
)]

use core::fmt;
use core::ptr::NonNull;

/// Memory that another instance may write at any time, and this one reads. It goes when this is dropped.
///
/// # Safety
/// All calls of [`Self::span`] give the same bytes: they begin at a multiple of 4096, can be read for as long
/// as this lives, wherever it is moved to, and no Rust reference to them exists but to atomics.
pub unsafe trait Memory: Send + Sync + fmt::Debug {
    /// The bytes.
    fn span(&self) -> NonNull<[u8]>;
}

/// Memory that this instance alone writes (I1).
///
/// # Safety
/// As for [`Memory`], and its bytes can be written.
pub unsafe trait OwnMemory: Memory {}
