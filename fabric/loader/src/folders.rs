//! Where a dynamic loader looks for libraries of its own accord (which loader it is decides), and what
//! `$ORIGIN` and its kin stand for in the folders that files name.

use super::progress::asking;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Folders that loaders of the GNU C library are built to know, in their order; each loader knows some of
/// them.
#[cfg(target_arch = "aarch64")]
const GNU_FOLDERS: [&str; 6] = [
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];
#[cfg(not(target_arch = "aarch64"))]
const GNU_FOLDERS: [&str; 6] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// What `$PLATFORM` stands for.
const PLATFORM: &str = if cfg!(target_arch = "aarch64") {
    "aarch64"
} else {
    "x86_64"
};
/// Where musl's loader looks if nothing else is said, as its bytes have it.
const MUSL_FOLDERS: &str = "/lib:/usr/local/lib:/usr/lib";
/// Longest configuration file, and interpreter, that is read.
const CONFIGURATION_MAX_BYTES: u64 = 64 * 1024;
const INTERPRETER_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Most configuration files, and most folders of a loader.
const CONFIGURATIONS_MAX: usize = 64;
const FOLDERS_MAX: usize = 128;

/// Where the file system begins: elsewhere in tests.
#[derive(Debug, Clone)]
pub(super) struct System {
    root: PathBuf,
}

impl System {
    /// This machine's.
    pub(super) fn this() -> Self {
        Self::at(Path::new("/"))
    }

    pub(super) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Where an absolute path really lies.
    pub(super) fn real(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn read(&self, path: &Path, max_bytes: u64) -> Option<Vec<u8>> {
        let _going = asking(path);
        let mut bytes = Vec::new();
        open(&self.real(path))
            .ok()?
            .take(max_bytes)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes)
    }
}

/// Opens a regular file. Does not wait, should the path lead to a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let _going = asking(path);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no file"))
    }
}

/// Whose rules a loader follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// The GNU C library's: ld.so(8).
    Gnu,
    /// musl's.
    Musl,
}

/// A dynamic loader.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) rules: Rules,
    /// Configured folders, in which it would not look without its configuration.
    pub(super) configured: Vec<PathBuf>,
    /// Folders that it is built to know.
    pub(super) built_in: Vec<PathBuf>,
    /// What `$LIB` stands for.
    lib: String,
}

impl Loader {
    /// The loader at `path`; `None` if its rules are not known.
    pub(super) fn identify(system: &System, path: &Path) -> Option<Self> {
        let bytes = system.read(path, INTERPRETER_MAX_BYTES)?;
        let name = path.file_name()?.to_str()?;
        if let Some(architecture) = name.strip_prefix("ld-musl-") {
            let architecture = architecture.split('.').next().unwrap_or(architecture);
            return Some(Self::musl(system, path, architecture));
        }
        if !holds(&bytes, b"ld.so.cache") {
            return None;
        }
        let built_in: Vec<PathBuf> = GNU_FOLDERS
            .iter()
            .map(PathBuf::from)
            .chain(path.parent().map(Path::to_owned))
            .filter(|folder| knows(&bytes, folder))
            .collect();
        let has = |folder: &str| built_in.iter().any(|known| known == Path::new(folder));
        let [multiarch, ..] = GNU_FOLDERS;
        let lib = if has(multiarch) {
            multiarch.trim_start_matches('/').to_owned()
        } else if has("/lib64") || has("/usr/lib64") {
            "lib64".to_owned()
        } else {
            "lib".to_owned()
        };
        Some(Self {
            rules: Rules::Gnu,
            configured: configured(system),
            built_in,
            lib,
        })
    }

    fn musl(system: &System, path: &Path, architecture: &str) -> Self {
        // Its configuration lies beside the folder that it lies in.
        let prefix = path.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        let file = prefix.join(format!("etc/ld-musl-{architecture}.path"));
        let split = |text: &str| -> Vec<PathBuf> {
            let folders = text.split([':', '\n']).filter(|folder| folder.starts_with('/'));
            folders.take(FOLDERS_MAX).map(PathBuf::from).collect()
        };
        let text = system.read(&file, CONFIGURATION_MAX_BYTES);
        let text = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Self {
            rules: Rules::Musl,
            configured: text.as_deref().map(split).unwrap_or_default(),
            // With a configuration it looks nowhere else.
            built_in: if text.is_some() {
                Vec::new()
            } else {
                split(MUSL_FOLDERS)
            },
            lib: "lib".to_owned(),
        }
    }

    /// The folders of a list such as `DT_RUNPATH`, which a file in `origin` has. Relative ones, which depend
    /// on the folder that a process was started in, are left out.
    pub(super) fn folders(&self, list: &str, origin: &Path) -> Vec<PathBuf> {
        let separators: &[char] = match self.rules {
            Rules::Gnu => &[':', ';'],
            Rules::Musl => &[':'],
        };
        list.split(separators)
            .map(|folder| self.expand(folder, origin))
            .filter(|folder| folder.starts_with('/'))
            .take(FOLDERS_MAX)
            .map(PathBuf::from)
            .collect()
    }

    /// `text` with what its `$` names stand for.
    pub(super) fn expand(&self, text: &str, origin: &Path) -> String {
        let origin = origin.to_string_lossy();
        let mut names = vec![("ORIGIN", &*origin)];
        if self.rules == Rules::Gnu {
            names.extend([("LIB", self.lib.as_str()), ("PLATFORM", PLATFORM)]);
        }
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let found = names.iter().find_map(|(name, value)| {
                let braced = after
                    .strip_prefix('{')
                    .and_then(|after| after.strip_prefix(name))
                    .and_then(|after| after.strip_prefix('}'));
                let bare = || after.strip_prefix(name).filter(|after| !continues_name(after));
                Some((*value, braced.or_else(bare)?))
            });
            rest = match found {
                Some((value, after)) => {
                    expanded.push_str(value);
                    after
                }
                None => {
                    expanded.push('$');
                    after
                }
            };
        }
        expanded + rest
    }

    /// The folders below `folder` for this machine's processor, the best first, then `folder` itself.
    pub(super) fn levels(&self, folder: &Path) -> Vec<PathBuf> {
        let levels = match self.rules {
            Rules::Gnu => processor_levels(),
            Rules::Musl => Vec::new(),
        };
        levels
            .into_iter()
            .map(|level| folder.join("glibc-hwcaps").join(level))
            .chain([folder.to_owned()])
            .collect()
    }
}

fn continues_name(after: &str) -> bool {
    after
        .chars()
        .next()
        .is_some_and(|next| next.is_ascii_alphanumeric() || next == '_')
}

/// Whether a loader of the GNU C library has this folder among its strings: they end with a slash there.
fn knows(loader: &[u8], folder: &Path) -> bool {
    let mut wanted = vec![0];
    wanted.extend_from_slice(folder.as_os_str().as_encoded_bytes());
    wanted.extend_from_slice(b"/\0");
    holds(loader, &wanted)
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The levels of x86-64 that this processor has (the processor supplement of the System V ABI), the highest
/// first.
#[cfg(target_arch = "x86_64")]
fn processor_levels() -> Vec<&'static str> {
    macro_rules! has {
        ($($feature:tt),*) => { $(std::arch::is_x86_feature_detected!($feature))&&* };
    }
    let second = has!("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cmpxchg16b");
    let third = second
        && has!(
            "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"
        );
    let fourth = third && has!("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl");
    [(fourth, "x86-64-v4"), (third, "x86-64-v3"), (second, "x86-64-v2")]
        .into_iter()
        .filter_map(|(has, level)| has.then_some(level))
        .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn processor_levels() -> Vec<&'static str> {
    Vec::new()
}

/// The folders of `/etc/ld.so.conf` and what it includes, in order. The cache that `ldconfig` makes from them
/// says the same.
fn configured(system: &System) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut waiting = vec![PathBuf::from("/etc/ld.so.conf")];
    let mut read = 0;
    while let Some(file) = waiting.pop() {
        read += 1;
        if read > CONFIGURATIONS_MAX {
            break;
        }
        let bytes = system.read(&file, CONFIGURATION_MAX_BYTES).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or("").trim());
        for line in lines.filter(|line| !line.is_empty()) {
            match line.split_once(char::is_whitespace) {
                Some(("include", pattern)) => {
                    let mut included = matching(system, pattern.trim());
                    included.reverse();
                    waiting.extend(included);
                }
                // A processor's own folders, which loaders have not read since glibc 2.37.
                Some(("hwcap", _)) => {}
                _ if folders.len() < FOLDERS_MAX => {
                    folders.push(PathBuf::from(line.split('=').next().unwrap_or(line)));
                }
                _ => {}
            }
        }
    }
    folders.retain(|folder: &PathBuf| folder.is_absolute());
    folders
}

/// The files that a pattern of `include` names: one `*` in the last part of the path is understood, as
/// distributions write it.
fn matching(system: &System, pattern: &str) -> Vec<PathBuf> {
    let pattern = if pattern.starts_with('/') {
        PathBuf::from(pattern)
    } else {
        Path::new("/etc").join(pattern)
    };
    let (Some(folder), Some(name)) = (
        pattern.parent(),
        pattern.file_name().and_then(|name| name.to_str()),
    ) else {
        return Vec::new();
    };
    let Some((before, after)) = name.split_once('*') else {
        return vec![pattern];
    };
    let entries = std::fs::read_dir(system.real(folder)).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<PathBuf> = names
        .filter(|name| {
            let fits = name.len() >= before.len() + after.len();
            fits && name.starts_with(before) && name.ends_with(after) && !name.starts_with('.')
        })
        .take(CONFIGURATIONS_MAX)
        .map(|name| folder.join(name))
        .collect();
    found.sort();
    found
}
