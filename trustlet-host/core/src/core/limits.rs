//! The bounds of everything that a loader can define (I6), and why each is what it is.

/// Chains of one monitor.
pub const CHAINS_MAX: usize = 64;
/// Gateways of one monitor: one for each chain, and the shared one.
pub const GATEWAYS_MAX: usize = CHAINS_MAX + 1;
/// Functions of one chain, as in the chain language.
pub const FUNCTIONS_MAX: usize = 256;
/// Ports that one function declares, as in the chain language.
pub const PORTS_MAX: usize = 64;
/// Edges of one chain, as in the chain language.
pub const EDGES_MAX: usize = 1024;
/// Instances of one function, as in the chain language.
pub const INSTANCES_MAX: u32 = 64;
/// Instances of all chains: each costs the monitor seven descriptors and a process.
pub const INSTANCES_TOTAL_MAX: usize = 2048;
/// Rings of one chain: each is one entry of an attachment at both ends.
pub const RINGS_TOTAL_MAX: usize = 64 * 1024;
/// Mapped rings of one chain: each is a region of its own, and costs the monitor two descriptors.
pub const MAPPED_RINGS_MAX: usize = 4096;
/// Libraries of one executable; the loader looks for no more.
pub const LIBRARIES_MAX: usize = 64;
/// Environment variables of one function, as in the chain language.
pub const VARIABLES_MAX: usize = 64;
/// Secrets of one function, as in the chain language.
pub const SECRETS_MAX: usize = 64;
/// Arguments of one function, as in the chain language.
pub const ARGUMENTS_MAX: usize = 64;
/// Files and folders of one function that lie in no other folder of it, as in the chain language: each is a
/// mount in every process.
pub const FILE_ROOTS_MAX: usize = 64;
/// Files, folders and links of one function: three times those of a Python environment with the large
/// scientific packages.
pub const FILES_MAX: usize = 64 * 1024;
/// Files, folders and links of all chains: each has an inode of the file system in memory, about a kilobyte.
pub const FILES_TOTAL_MAX: usize = 256 * 1024;
/// Bytes of one file: copying it holds up the monitor, for a second or two at this size.
pub const FILE_MAX_BYTES: u64 = 1 << 30;
/// Bytes of all files of one function.
pub const FILES_MAX_BYTES: u64 = 8 << 30;
/// Bytes of all files of all functions.
pub const FILES_TOTAL_MAX_BYTES: u64 = 16 << 30;
/// The longest name of a file, as Linux has it, and as in the chain language.
pub const FILE_NAME_MAX_BYTES: usize = 255;
/// Most names in the path of a file, from a function's root.
pub const FILE_DEPTH_MAX: usize = 64;
/// Places that a function's files can neither be, nor hold, nor lie beneath, as in the chain language: what a
/// trustlet has there itself, or never has.
pub const RESERVED_PLACES: [&str; 7] = [
    "/dev",
    "/proc",
    "/sys",
    "/tmp",
    "/image",
    "/etc/localtime",
    "/usr/share/zoneinfo",
];
/// Bytes of all paths, arguments, variables and secrets of all chains: the paths of as many files as there
/// can be, if they are not longer than is usual.
pub const TEXT_TOTAL_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The longest address of a listening socket, as text.
pub const ADDRESS_MAX_BYTES: usize = 256;
/// The longest file of TLS: a bundle of authorities with a few hundred certificates has less.
pub const TLS_FILE_MAX_BYTES: usize = 1024 * 1024;
/// Sockets on which the daemon answers operators: a port, and a path.
pub const ADMIN_SOCKETS_MAX: usize = 4;
/// Least memory of a process.
pub const MEMORY_MIN_BYTES: u64 = 1 << 20;
/// Most memory of a process, as in the chain language.
pub const MEMORY_MAX_BYTES: u64 = 1 << 40;
/// Most room in a scratch folder, as in the chain language.
pub const SCRATCH_MAX_BYTES: u64 = 16 << 30;
/// Longest timeout, deadline and backoff: an hour, as in the chain language.
pub const WAIT_MAX_NS: u64 = 3600 * 1_000_000_000;
/// Most attempts at one record, as in the chain language.
pub const ATTEMPTS_MAX: u32 = 100;
/// Smallest and largest growth of a backoff, in thousandths, as in the chain language.
pub const FACTOR_MILLI: core::ops::RangeInclusive<u64> = 1_000..=100_000;
/// Most threads of a process, as in the chain language.
pub const THREADS_MAX: u32 = 256;
/// Largest request body, as in the chain language.
pub const BODY_MAX_BYTES: u64 = 16 << 30;
/// Most requests in flight, as in the chain language.
pub const IN_FLIGHT_MAX: u32 = 65_536;
/// From so many instances on one core on, each lets whoever wakes it finish first. Among fewer the one that
/// rang has little left to do; from four on, chains of 4 KiB take 7 % less time so, and those of two
/// functions 5 % more. Those that take turns do so in any case: who was woken ahead and took the core at once
/// would only keep from sleep the one that made room for it.
pub(crate) const PATIENT_FROM: usize = 4;
/// Longest spin: a millisecond, far above any wake.
pub const SPIN_MAX_NS: u64 = 1_000_000;
/// Highest CPU number.
pub const CPU_MAX: u64 = 4095;
