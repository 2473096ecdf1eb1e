//! Why a page does not change its use.

use crate::rmp::RmpError;

/// Why a page does not change its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No memory of the guest is there.
    #[error("there is no such page")]
    NoSuchPage,
    /// It is not what it would have to be.
    #[error("the page is in use")]
    InUse,
    /// It was not taken for a trustlet.
    #[error("the page is no trustlet's")]
    NotTaken,
    /// A page table leads to it.
    #[error("the page is mapped")]
    Mapped,
    /// It would be the state of a processor that does not run, or at another level, or with other features.
    #[error("the page is no state of a processor of the operating system's")]
    NoState,
    /// A processor runs from it.
    #[error("a processor runs from the page")]
    Running,
    /// There is no spare page.
    #[error("there is no spare page: the operating system has to deposit some")]
    NoMemory,
    /// The processor refused.
    #[error("{0}")]
    Processor(#[from] RmpError),
}

impl Refused {
    /// Whether trying again later can help.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::NoMemory | Self::Running)
    }
}
