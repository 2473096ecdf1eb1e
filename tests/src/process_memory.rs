//! Searches of the memory of processes, for what they must not know.

use crate::Service;
use serde_json::Value;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

const PAGE_BYTES: usize = 4096;
/// How far from the chain's digest a trustlet keeps the secrets of its ports, at most.
const NEAR_BYTES: usize = 240;
/// Bytes of such a secret.
const SECRET_BYTES: usize = 32;
/// Bytes of a chain's digest.
const DIGEST_BYTES: usize = 48;
/// A random secret has at least this many different bytes, and hardly anything else has.
const DIFFERENT_MIN: usize = 24;

/// The secret of a port.
pub type PortSecret = [u8; SECRET_BYTES];

/// Which mappings of a process to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mappings {
    /// All that can be read.
    Readable,
    /// What it can write and has to itself: no shared regions, no code.
    Own,
}

/// The content of each mapping of a process.
///
/// # Errors
/// Of the kernel: nobody but root may read processes that are not dumpable.
pub fn memory(pid: i32, which: Mappings) -> io::Result<Vec<Vec<u8>>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut all = Vec::new();
    // The kernel's own, [vvar] and [vsyscall], cannot be read.
    for line in maps.lines().filter(|line| !line.contains("[v")) {
        let mut words = line.split_whitespace();
        let (Some(range), Some(permissions)) = (words.next(), words.next()) else {
            continue;
        };
        let is_wanted = match which {
            Mappings::Readable => permissions.starts_with('r'),
            Mappings::Own => permissions.starts_with("rw") && !line.contains("/memfd:"),
        };
        let bounds = range.split_once('-').map(|(start, end)| {
            let number = |text| u64::from_str_radix(text, 16).ok();
            Some((number(start)?, number(end)?))
        });
        let Some((start, end)) = bounds.flatten().filter(|_| is_wanted) else {
            continue;
        };
        let mut piece = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        memory.seek(SeekFrom::Start(start))?;
        if memory.read_exact(&mut piece).is_err() {
            // Some of its pages cannot be read, such as those beyond the end of a file: they stay zero.
            for (at, page) in (start..).step_by(PAGE_BYTES).zip(piece.chunks_mut(PAGE_BYTES)) {
                memory.seek(SeekFrom::Start(at))?;
                if memory.read_exact(page).is_err() {
                    page.fill(0);
                }
            }
        }
        all.push(piece);
    }
    if all.is_empty() {
        return Err(io::Error::other("no mapping could be read"));
    }
    Ok(all)
}

/// Whether `needle` is in some bytes.
#[must_use]
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(bytes, needle).is_some()
}

/// Whether `needle` is in the memory of a process.
///
/// # Errors
/// As [`memory`].
pub fn memory_holds(pid: i32, which: Mappings, needle: &[u8]) -> io::Result<bool> {
    let pieces = memory(pid, which)?;
    Ok(pieces.iter().any(|piece| contains(piece, needle)))
}

/// The digest of a chain, from what tells it in hexadecimal digits.
#[must_use]
pub fn digest_bytes(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).filter_map(byte).collect()
}

/// The secrets of the ports of `trustlet`, a process of the service's first chain. It keeps them beside the
/// chain's digest: what lies near one, looks random, and is known to the monitor as well, is such a secret.
///
/// # Errors
/// As [`memory`]; that there are none, so that no search for them passes by finding nothing to look for.
pub fn port_secrets(service: &Service, trustlet: i32) -> io::Result<HashSet<PortSecret>> {
    let told = service.ready.pointer("/chains/0/digest");
    let digest = digest_bytes(told.and_then(Value::as_str).unwrap_or_default());
    if digest.len() != DIGEST_BYTES {
        return Err(io::Error::other(
            "the service has told no digest of its first chain",
        ));
    }
    let mut near = HashSet::new();
    for piece in memory(trustlet, Mappings::Own)? {
        for at in memchr::memmem::find_iter(&piece, &digest) {
            let around = at.saturating_sub(NEAR_BYTES)..(at + DIGEST_BYTES + NEAR_BYTES).min(piece.len());
            let windows = piece.windows(SECRET_BYTES).enumerate();
            for (start, window) in windows.take(around.end).skip(around.start) {
                let is_apart = start + SECRET_BYTES <= at || start >= at + DIGEST_BYTES;
                let is_random = window.iter().collect::<HashSet<_>>().len() >= DIFFERENT_MIN;
                if is_apart && is_random {
                    near.extend(PortSecret::try_from(window));
                }
            }
        }
    }
    let secrets = known_to(service.monitor_pid(), &near)?;
    if secrets.is_empty() {
        return Err(io::Error::other(
            "no secret of a port was found where there is one",
        ));
    }
    Ok(secrets)
}

/// Which of `secrets` are in the memory of a process.
///
/// # Errors
/// As [`memory`].
pub fn known_to(pid: i32, secrets: &HashSet<PortSecret>) -> io::Result<HashSet<PortSecret>> {
    let pieces = memory(pid, Mappings::Own)?;
    let windows = pieces.iter().flat_map(|piece| piece.windows(SECRET_BYTES));
    let known = windows.filter_map(|window| secrets.get(window));
    Ok(known.copied().collect())
}
