//! What trustlets have pages for.

use crate::rmp::Permissions;

/// A trustlet's address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(pub u32);

/// What a page was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A page table of a space. The monitor alone writes it.
    Table(SpaceId),
    /// Memory of one trustlet.
    Private(SpaceId),
    /// Memory that several trustlets read and at most one writes (I1).
    Region {
        /// Who writes it.
        writer: Option<SpaceId>,
    },
    /// What is executed, which nobody writes.
    Code,
}

impl Purpose {
    /// What the level of trustlets may do with such a page. None may be executed at CPL0: whatever gets so far
    /// at that level finds no code.
    #[must_use]
    pub const fn permissions(self) -> Permissions {
        match self {
            Self::Table(_) => Permissions::READ,
            Self::Private(_) | Self::Region { .. } => Permissions::READ.and(Permissions::WRITE),
            Self::Code => Permissions::READ.and(Permissions::EXECUTE_USER),
        }
    }
}
