//! One limit of the machine, with what is used of it and what is needed.

use std::fmt;

/// How a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Pieces.
    Count,
    /// Bytes.
    Bytes,
}

/// One limit of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headroom {
    /// What is limited: "open files".
    pub name: &'static str,
    /// What the limit is called where it is set: "ulimit -n".
    pub setting: String,
    /// Its value; `None` if there is no limit.
    pub limit: Option<u64>,
    /// What others have of it already.
    pub used: u64,
    /// What is needed besides.
    pub need: u64,
    /// How it counts.
    pub unit: Unit,
    /// How to raise it.
    pub help: String,
}

impl Headroom {
    /// Whether what is needed is there.
    #[must_use]
    pub fn suffices(&self) -> bool {
        self.limit
            .is_none_or(|limit| self.used.saturating_add(self.need) <= limit)
    }

    /// What is short, in a sentence about `whose`.
    #[must_use]
    pub fn shortfall(&self, whose: &str) -> String {
        let Self {
            name, setting, help, ..
        } = self;
        let limit = self.amount(self.limit.unwrap_or(u64::MAX));
        let used = match self.used {
            0 => String::new(),
            used => format!(", and {} are in use", self.amount(used)),
        };
        format!(
            "{whose} needs {} {name}, the limit is {limit} ({setting}){used}; {help}",
            self.amount(self.need)
        )
    }

    /// A number with its unit.
    pub(super) fn amount(&self, number: u64) -> String {
        match self.unit {
            Unit::Count => number.to_string(),
            Unit::Bytes => in_bytes(number),
        }
    }
}

impl fmt::Display for Headroom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(limit) = self.limit else {
            return write!(f, "needs {}, no limit ({})", self.amount(self.need), self.setting);
        };
        write!(
            f,
            "needs {}, the limit is {} ({})",
            self.amount(self.need),
            self.amount(limit),
            self.setting
        )?;
        if self.used > 0 {
            write!(f, ", {} in use", self.amount(self.used))?;
        }
        Ok(())
    }
}

/// Bytes in the largest unit that leaves at least two of it.
pub(super) fn in_bytes(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|&(shift, _)| bytes >> shift >= 2);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(shift, unit)| format!("{} {unit}", bytes >> shift),
    )
}
