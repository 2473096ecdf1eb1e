//! How many clients this process has room for: each connection is an open file.

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

/// Open files that are kept from connections: one that is being accepted, one that is being refused, and a
/// few for good measure.
const RESERVE: u64 = 8;

/// Connections at a time: as many as `wanted`, or as this process's limit on open files leaves room for once
/// everything else is open. `open` is any descriptor.
pub(super) fn connections(wanted: usize, open: impl AsFd) -> usize {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return wanted;
    };
    // The lowest free number, as numbers are given out without gaps.
    let used =
        fcntl_dupfd_cloexec(open, 0).map_or(limit, |next| u64::try_from(next.as_raw_fd()).unwrap_or(limit));
    let room = limit.saturating_sub(used).saturating_sub(RESERVE).max(1);
    usize::try_from(room).map_or(wanted, |room| room.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_connections_than_open_files() {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let places = connections(usize::MAX, std::io::stdin());
        assert!(places as u64 <= limit);
        assert_eq!(connections(1, std::io::stdin()), 1);
    }
}
