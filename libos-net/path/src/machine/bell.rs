//! Bells: what an instance sleeps on and its peers ring.

use super::clock::Monotonic;
use alloc::sync::Arc;
use core::fmt;

/// The end that peers ring.
pub trait Bell: Send + Sync + fmt::Debug {
    /// Wakes the owner, or keeps it from falling asleep next. Does not wait, whatever the owner and other
    /// peers have done.
    fn ring(&self);
}

/// The end that its owner sleeps on.
pub trait OwnBell: Send + Sync + fmt::Debug {
    /// Sleeps until the bell rings, or `until` is reached; returns at once for a bell that rang before. May
    /// return without reason.
    fn wait(&self, until: Option<Monotonic>);

    /// Takes the rings that were meant for a process before this one.
    fn forget_rings(&self);

    /// Lets others run that share this core, if there are any.
    fn give_way(&self) {
        core::hint::spin_loop();
    }
}

/// For whoever waits on it in another way as well.
impl<B: OwnBell + ?Sized> OwnBell for Arc<B> {
    fn wait(&self, until: Option<Monotonic>) {
        (**self).wait(until);
    }

    fn forget_rings(&self) {
        (**self).forget_rings();
    }

    fn give_way(&self) {
        (**self).give_way();
    }
}
