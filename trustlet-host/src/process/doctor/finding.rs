//! What was looked at, and how it stands.

/// What a finding means for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It is there and works.
    Ok,
    /// It is not there, and something is weaker or slower without it.
    Missing,
    /// It is a limit that keeps a service from starting.
    TooLow,
    /// Good to know; nothing depends on it.
    Info,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// How it stands.
    pub status: Status,
    /// What was found, in plain words.
    pub detail: String,
    /// What can be done about it; empty if nothing needs to be.
    pub help: String,
    /// Of a limit: its figures.
    pub figures: Option<Figures>,
}

/// The figures of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Its value; `None` if there is no limit.
    pub limit: Option<u64>,
    /// What others have of it already.
    pub used: u64,
    /// What is needed besides.
    pub need: u64,
}

impl Finding {
    pub(super) fn new(name: &str, status: Status, detail: impl Into<String>, help: &str) -> Self {
        Self {
            name: name.to_owned(),
            status,
            detail: detail.into(),
            help: if status == Status::Ok {
                String::new()
            } else {
                help.to_owned()
            },
            figures: None,
        }
    }
}
