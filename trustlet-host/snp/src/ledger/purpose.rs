//! What trustlets have pages for.

use crate::rmp::Permissions;

/// A trustlet's address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(pub u32);

/// What a page was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A page table of a space. No page table leads to it, so the monitor alone changes it.
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
    /// What the level of trustlets may do with such a page. None may be executed at CPL0: whatever gets so
    /// far at that level finds no code.
    #[must_use]
    pub const fn permissions(self) -> Permissions {
        match self {
            // Who walks them counts as one who writes, for nested page tables (APM volume 2, section
            // 15.25.6); whether also for the reverse map was not to be found, so it is taken to
            // be so. No entry leads to a table, and no code runs at CPL0 of that level: nobody
            // else writes there.
            Self::Table(_) | Self::Private(_) | Self::Region { .. } => {
                Permissions::READ.and(Permissions::WRITE)
            }
            Self::Code => Permissions::READ.and(Permissions::EXECUTE_USER),
        }
    }
}
