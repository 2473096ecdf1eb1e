//! What every function finds in its file system besides its libraries: the devices that give nothing away,
//! and the machine's time zones, so that libraries which expect them work. They are bind-mounted read-only
//! from the machine; which bytes a time zone file holds is not measured. And a few files of `/etc` whose
//! content is the same in every function, so they say nothing of the machine.

use super::mounts::Bound;
use landlock::{AccessFs, BitFlags};
use rustix::fs::{FileType, Mode, OFlags, RawMode, fstat, open};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::path::Path;

/// A path that is the same inside as outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Provision {
    path: &'static str,
    kind: FileType,
    /// Of a device: major and minor number, so that nothing else is ever found in its place.
    device: (u32, u32),
    writable: bool,
}

const fn device(path: &'static str, minor: u32, writable: bool) -> Provision {
    Provision {
        path,
        kind: FileType::CharacterDevice,
        device: (1, minor),
        writable,
    }
}

/// Where time zones lie on all distributions that have them.
const TIME_ZONES: &str = "/usr/share/zoneinfo";

/// All of them. Numbers of devices: Documentation/admin-guide/devices.txt of the kernel.
const PROVISIONS: [Provision; 6] = [
    device("/dev/null", 3, true),
    device("/dev/zero", 5, false),
    device("/dev/full", 7, true),
    device("/dev/random", 8, false),
    device("/dev/urandom", 9, false),
    Provision {
        path: TIME_ZONES,
        kind: FileType::Directory,
        device: (0, 0),
        writable: false,
    },
];

/// A file with the same content in every function.
#[derive(Debug, Clone, Copy)]
pub(super) struct FixedFile {
    path: &'static str,
    pub(super) content: &'static str,
}

/// What name lookups of C libraries read: the user and group of every function (`INSIDE_ID`), the loopback
/// addresses, and that there is nothing else to ask.
const FIXED_FILES: [FixedFile; 4] = [
    FixedFile {
        path: "/etc/passwd",
        content: "root:x:0:0:root:/:/sbin/nologin\nfunction:x:1000:1000:function:/tmp:/sbin/nologin\n\
                  nobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    },
    FixedFile {
        path: "/etc/group",
        content: "root:x:0:\nfunction:x:1000:\nnogroup:x:65534:\n",
    },
    FixedFile {
        path: "/etc/hosts",
        content: "127.0.0.1 localhost\n::1 localhost\n",
    },
    FixedFile {
        path: "/etc/nsswitch.conf",
        content: "passwd: files\ngroup: files\nhosts: files\n",
    },
];

impl FixedFile {
    /// Those whose place is not one of `taken`, nor in or around one: a function may bring its own.
    pub(super) fn beside(taken: &[&Path]) -> Vec<Self> {
        let is_free = |file: &Self| {
            let path = file.path();
            !taken
                .iter()
                .any(|taken| taken.starts_with(path) || path.starts_with(taken))
        };
        FIXED_FILES.into_iter().filter(is_free).collect()
    }

    pub(super) fn path(&self) -> &'static Path {
        Path::new(self.path)
    }
}

impl Provision {
    /// Those that this machine has; a function does without the others.
    pub(super) fn found() -> impl Iterator<Item = Self> {
        PROVISIONS.into_iter().filter(Self::is_there)
    }

    fn is_there(&self) -> bool {
        let Ok(file) = open(self.path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
            return false;
        };
        fstat(&file).is_ok_and(|stat| {
            FileType::from_raw_mode(RawMode::from(stat.st_mode)) == self.kind
                && (self.kind == FileType::Directory || device_of(stat.st_rdev) == self.device)
        })
    }

    pub(super) fn path(&self) -> &'static Path {
        Path::new(self.path)
    }

    /// Whether it gives something away where Landlock does not keep it from being opened for writing: a
    /// shared mapping of `/dev/zero` is memory that no limit of a process counts.
    pub(super) fn needs_landlock(&self) -> bool {
        self.device == (1, 5)
    }

    /// A mount of its own that is not attached anywhere yet.
    pub(super) fn bind(&self) -> Result<Bound<'static>, Errno> {
        let file = open(self.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let mut attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        if self.kind == FileType::Directory {
            attributes |= MountAttrFlags::MOUNT_ATTR_NODEV;
        }
        Bound::of(&file, self.path(), attributes, self.kind == FileType::Directory)
    }

    /// What Landlock lets it be used for.
    pub(super) fn access(&self) -> BitFlags<AccessFs> {
        match (self.kind, self.writable) {
            (FileType::Directory, _) => AccessFs::ReadFile | AccessFs::ReadDir,
            (_, true) => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate,
            (_, false) => BitFlags::from(AccessFs::ReadFile),
        }
    }
}

fn device_of(number: u64) -> (u32, u32) {
    (rustix::fs::major(number), rustix::fs::minor(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_function_brings_takes_the_place_of_the_fixed_one() {
        let beside = |taken: &[&'static str]| -> Vec<&str> {
            let taken: Vec<&Path> = taken.iter().map(Path::new).collect();
            let files = FixedFile::beside(&taken);
            files.iter().map(|file| file.path).collect()
        };
        let all = beside(&["/etc/passwords", "/opt"]);
        assert_eq!(all.len(), FIXED_FILES.len());
        assert_eq!(beside(&["/etc/passwd"]), all[1..]);
        assert!(beside(&["/etc"]).is_empty());
        assert_eq!(beside(&["/etc/hosts/below"]).len(), all.len() - 1);
    }

    #[test]
    fn nothing_is_found_in_the_place_of_a_device_but_the_device() {
        let wrong = Provision {
            device: (1, 1),
            ..device("/dev/null", 3, true)
        };
        assert!(!wrong.is_there());
        assert!(device("/dev/null", 3, true).is_there());
        let directory = Provision {
            kind: FileType::Directory,
            ..device("/dev/null", 3, true)
        };
        assert!(!directory.is_there());
    }
}
