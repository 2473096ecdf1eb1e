//! Whom a filter is for, and from when on it holds.

/// What a jailed process is for; decides which system calls it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs a handler: memory, threads, files in its scratch directory, the descriptors it is given.
    Function,
    /// Runs a handler that starts programs, which may talk to each other by sockets. What is said of
    /// functions holds for it unless it says otherwise.
    Program {
        /// Whether memory that was written can become code.
        jit: bool,
    },
    /// Speaks HTTP: also accepts connections on a listening socket that it is given, and polls many.
    Gateway,
    /// The fabric daemon: as the gateway, for its own sockets.
    Daemon,
}

impl Role {
    /// Whether it runs what an author of functions has written.
    #[must_use]
    pub const fn is_function(self) -> bool {
        matches!(self, Self::Function | Self::Program { .. })
    }
}

/// What differs from one process to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::process) struct Subject {
    /// What it is for.
    pub role: Role,
    /// The descriptor number of its program: the only one it may execute. Above the limit on descriptor
    /// numbers, so that it can never be another file's.
    pub image_number: i32,
    /// Its process id in its own pid namespace: the only one it may signal.
    pub pid: i32,
    /// Whether it has a scratch directory, and so files of its own that it could lock.
    pub scratch: bool,
}

impl Subject {
    /// The descriptor number of the socket by which a function with programs hands the monitor what tells it
    /// of refused calls. Above the limit, as that of the image is.
    pub(in crate::process) const fn notices_number(&self) -> i32 {
        self.image_number.saturating_add(3)
    }
}

/// When a program of rules holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// From before the program starts.
    Start(Subject),
    /// From when everything is loaded.
    Locked,
}
