//! Numbers of things, each of a type of its own so that none is taken for another.

use core::fmt;

macro_rules! id {
    ($(#[doc = $doc:literal])+ $name:ident($inner:ty)) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }
    };
}

id! {
    /// A chain of this monitor, by its place in the table. Chains are never removed, so never another one's.
    ChainId(u32)
}
id! {
    /// A gateway of this monitor, by its place in the table.
    GatewayId(u32)
}
id! {
    /// A function of a chain; 0 is the gateway.
    FunctionIndex(u32)
}
id! {
    /// An instance of a chain, over all its functions; 0 is the gateway's.
    InstanceNumber(u32)
}
id! {
    /// A process of a trustlet; never used twice in a monitor's life, unlike a pid.
    ProcessId(u64)
}

impl ChainId {
    /// Its place in the table.
    #[must_use]
    pub fn at(self) -> usize {
        index(self.0)
    }
}

impl GatewayId {
    /// Its place in the table.
    #[must_use]
    pub fn at(self) -> usize {
        index(self.0)
    }
}

impl FunctionIndex {
    /// The gateway, in every chain.
    pub const GATEWAY: Self = Self(0);

    /// Its place in the table.
    #[must_use]
    pub fn at(self) -> usize {
        index(self.0)
    }
}

impl InstanceNumber {
    /// The gateway's instance, in every chain.
    pub const GATEWAY: Self = Self(0);

    /// Its place in the table.
    #[must_use]
    pub fn at(self) -> usize {
        index(self.0)
    }
}

/// A table index from a number on the wire.
#[must_use]
pub fn index(number: u32) -> usize {
    // On every target of this project `usize` has at least 32 bits; past the end of any table otherwise.
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A number on the wire from a table index.
#[must_use]
pub fn number(index: usize) -> u32 {
    // Every table is bounded far below `u32::MAX`.
    u32::try_from(index).unwrap_or(u32::MAX)
}
