//! The reverse map (RMP): which levels may do what with a page (APM volume 2, section 15.36), and how
//! `RMPADJUST` and `PVALIDATE` (APM volume 3) are told and answer.

/// A virtual machine privilege level: the smaller, the more it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Vmpl {
    /// The monitor's.
    Zero,
    /// That of trustlets.
    One,
    /// The operating system's.
    Two,
    /// Used by nobody: the operating system may give it what it has itself.
    Three,
}

impl Vmpl {
    /// All, the most privileged first.
    pub const ALL: [Self; 4] = [Self::Zero, Self::One, Self::Two, Self::Three];
    /// Where the monitor runs.
    pub const MONITOR: Self = Self::Zero;
    /// Where trustlets run.
    pub const TRUSTLETS: Self = Self::One;
    /// Where the operating system runs.
    pub const OPERATING_SYSTEM: Self = Self::Two;
}

/// What a level may do with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Permissions(u8);

impl Permissions {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Read it.
    pub const READ: Self = Self(1);
    /// Write it.
    pub const WRITE: Self = Self(1 << 1);
    /// Execute it at CPL3.
    pub const EXECUTE_USER: Self = Self(1 << 2);
    /// Execute it at CPL0 to CPL2.
    pub const EXECUTE_SUPERVISOR: Self = Self(1 << 3);
    /// Read it, and execute it at any CPL.
    pub const READ_AND_EXECUTE: Self = Self(0b1101);
    /// All of these.
    pub const ALL: Self = Self(0b1111);

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of these that are also among `other`.
    #[must_use]
    pub const fn also_in(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether `other` is among these.
    #[must_use]
    pub const fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// As bits, the first for reading.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Those of these bits; `None` if one of them means nothing.
    #[must_use]
    pub const fn of_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 {
            Some(Self(bits))
        } else {
            None
        }
    }
}

/// What `RMPADJUST` shall do with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adjustment {
    /// Whose permissions.
    pub level: Vmpl,
    /// All that it may do from now on.
    pub permissions: Permissions,
}

impl Adjustment {
    /// As RDX: the level in bits 7 to 0, its permissions in bits 15 to 8. Bit 16, which makes the page the
    /// state of a virtual processor (VMSA), is clear.
    #[must_use]
    pub const fn rdx(self) -> u64 {
        self.level as u64 | (self.permissions.bits() as u64) << 8
    }
}

/// RDX of an `RMPADJUST` that marks a page as the state of a virtual processor (bit 16), or no longer, and
/// leaves a level nothing of it.
#[must_use]
pub const fn state_rdx(level: Vmpl, is_state: bool) -> u64 {
    level as u64 | (is_state as u64) << 16
}

/// Why the processor refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RmpError {
    /// `FAIL_INPUT`.
    #[error("the processor takes no such input")]
    Input,
    /// `FAIL_PERMISSION`.
    #[error("the level is not below the caller's, or would get what the caller does not have")]
    Permission,
    /// `FAIL_SIZEMISMATCH`.
    #[error("the page has another size in the reverse map")]
    Size,
    /// `PVALIDATE` changed nothing (carry flag): the page was as it shall be already. Then somebody may have
    /// put another page in the place of one that is in use, so it must not be used.
    #[error("the page was validated, or not, already")]
    Unchanged,
    /// A result that the manual does not have.
    #[error("the processor answered {0}, which is not documented")]
    Unknown(u64),
}

/// What `RMPADJUST` left in RAX, and `PVALIDATE` in EAX.
///
/// # Errors
/// [`RmpError`], but [`RmpError::Unchanged`].
pub const fn result_of(rax: u64) -> Result<(), RmpError> {
    match rax {
        0 => Ok(()),
        1 => Err(RmpError::Input),
        2 => Err(RmpError::Permission),
        6 => Err(RmpError::Size),
        other => Err(RmpError::Unknown(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adjustment_is_written_as_the_manual_has_it() {
        let adjustment = Adjustment {
            level: Vmpl::Two,
            permissions: Permissions::READ.and(Permissions::EXECUTE_USER),
        };
        assert_eq!(adjustment.rdx(), 0x0502);
        let all = Adjustment {
            level: Vmpl::Three,
            permissions: Permissions::ALL,
        };
        assert_eq!(all.rdx(), 0x0f03);
        assert_eq!(state_rdx(Vmpl::Two, true), 0x1_0002);
        assert_eq!(state_rdx(Vmpl::Two, false), 0x0002);
    }

    #[test]
    fn results_are_read_as_the_manual_has_them() {
        assert_eq!(result_of(0), Ok(()));
        assert_eq!(result_of(1), Err(RmpError::Input));
        assert_eq!(result_of(2), Err(RmpError::Permission));
        assert_eq!(result_of(6), Err(RmpError::Size));
        assert_eq!(result_of(3), Err(RmpError::Unknown(3)));
    }

    #[test]
    fn permissions_have_four_bits() {
        assert_eq!(Permissions::of_bits(0b1111), Some(Permissions::ALL));
        assert_eq!(Permissions::of_bits(0b1_0000), None);
        assert!(Permissions::ALL.contain(Permissions::WRITE));
        assert!(!Permissions::READ.contain(Permissions::WRITE));
        assert!(Permissions::READ.contain(Permissions::NONE));
    }
}
