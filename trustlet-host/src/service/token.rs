//! What the event loop waits for.

use super::error::{ServiceError, os};
use crate::ids::ProcessId;
use rustix::event::epoll;
use rustix::fd::{BorrowedFd, OwnedFd};

/// What an epoll entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Signals,
    LoaderSocket,
    LoaderEnd,
    DaemonSocket,
    DaemonEnd,
    ScribeEnd,
    Channel(ProcessId),
    ProcessEnd(ProcessId),
    Refusals(ProcessId),
}

impl Token {
    pub(super) const fn pack(self) -> u64 {
        match self {
            Self::Signals => 0,
            Self::LoaderSocket => 1,
            Self::LoaderEnd => 2,
            Self::DaemonSocket => 3,
            Self::DaemonEnd => 4,
            Self::ScribeEnd => 5,
            Self::Channel(process) => 8 + process.0 * 4,
            Self::ProcessEnd(process) => 9 + process.0 * 4,
            Self::Refusals(process) => 10 + process.0 * 4,
        }
    }

    pub(super) const fn unpack(data: u64) -> Self {
        match data {
            0 => Self::Signals,
            1 => Self::LoaderSocket,
            2 => Self::LoaderEnd,
            3 => Self::DaemonSocket,
            4 => Self::DaemonEnd,
            5 => Self::ScribeEnd,
            data => {
                let process = ProcessId((data - 8) / 4);
                match data % 4 {
                    0 => Self::Channel(process),
                    1 => Self::ProcessEnd(process),
                    _ => Self::Refusals(process),
                }
            }
        }
    }
}

/// Has the event loop wait for `fd` to be readable.
pub(super) fn watch(epoll: &OwnedFd, fd: BorrowedFd<'_>, token: Token) -> Result<(), ServiceError> {
    let data = epoll::EventData::new_u64(token.pack());
    epoll::add(epoll, fd, data, epoll::EventFlags::IN).map_err(os("watching a descriptor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_epoll() {
        let processes = [0, 1, 77].map(ProcessId);
        let tokens = [
            Token::Signals,
            Token::LoaderSocket,
            Token::LoaderEnd,
            Token::DaemonSocket,
            Token::DaemonEnd,
            Token::ScribeEnd,
        ]
        .into_iter()
        .chain(processes.map(Token::Channel))
        .chain(processes.map(Token::ProcessEnd))
        .chain(processes.map(Token::Refusals));
        for token in tokens {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
