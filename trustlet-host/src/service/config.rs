//! How a service is to run, and the words in which `hacher-fabric` tells it to `hacher-monitor`.
//!
//! The words have fixed places, and lists say their lengths: there is nothing to interpret.

use super::children::inherited_file;
use super::collector::Collector;
use super::drain::DrainTimes;
use super::manager::socket_names;
use crate::linux::loaded::{LoadedLibrary, loaded_libraries};
use crate::{VERSION, lines};
use core::time::Duration;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

/// The lowest number of a descriptor that is neither standard input nor output.
const FIRST_FD: RawFd = 3;

/// How to run.
#[derive(Debug)]
pub struct MonitorConfig {
    /// What loader and daemon run.
    pub fabric: FabricProgram,
    /// Arguments of the loader, its name first.
    pub loader: Vec<OsString>,
    /// Arguments of the daemon, its name first.
    pub daemon: Vec<OsString>,
    /// How long requests may take after SIGTERM.
    pub drain: DrainTimes,
    /// Whether the line about a drain is left out where no request was cut: whoever serves one input needs
    /// no account of it.
    pub quiet_drain: bool,
    /// A trustlet that has not said for this long that it serves never will. It counts as died, and is
    /// replaced as one that died early.
    pub start_patience: Duration,
    /// Whether gateways tell of each request.
    pub access_log: bool,
    /// Who is told of requests, if anybody is.
    pub collector: Option<Collector>,
    /// Sockets that the loader makes as files: they go when the service stops.
    pub sockets: Vec<PathBuf>,
}

/// The executable `hacher-fabric`, which loader and daemon are.
#[derive(Debug)]
pub struct FabricProgram {
    /// The file.
    pub executable: OwnedFd,
    /// What it needs to start.
    pub libraries: Vec<LoadedLibrary>,
}

impl FabricProgram {
    /// The executable of this process.
    ///
    /// # Errors
    /// When it cannot be opened, for instance because `/proc` is not mounted.
    pub fn this() -> io::Result<Self> {
        Ok(Self {
            executable: above_channel(File::open("/proc/self/exe")?)?,
            libraries: loaded_libraries(),
        })
    }
}

/// The same file at a number that a child can keep: the channel's is overwritten there.
fn above_channel(file: impl AsFd) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(
        file,
        hacher_libos_net::attach::CHANNEL_FD + 1,
    )?)
}

impl MonitorConfig {
    /// Has `program`, a `hacher-monitor`, take this process over. Returns only the reason why it did not.
    #[must_use]
    pub fn hand_over(&self, program: &Path) -> io::Error {
        let inherited = fcntl_dupfd_cloexec(&self.fabric.executable, FIRST_FD + socket_count())
            .and_then(|file| fcntl_setfd(&file, FdFlags::empty()).map(|()| file));
        let file = match inherited {
            Ok(file) => file,
            Err(errno) => return errno.into(),
        };
        let words = self.words(lines::format(), file.as_raw_fd());
        Command::new(program).arg0("hacher-monitor").args(words).exec()
    }

    fn words(&self, log_format: lines::Format, executable: RawFd) -> Vec<OsString> {
        let millis = |time: Duration| OsString::from(time.as_millis().to_string());
        let flag = |value: bool| OsString::from(u8::from(value).to_string());
        let mut words = vec![
            VERSION.into(),
            log_format.word().into(),
            executable.to_string().into(),
            millis(self.drain.delay),
            millis(self.drain.timeout),
            millis(self.start_patience),
            flag(self.quiet_drain),
            flag(self.access_log),
        ];
        let mut list = |items: Vec<OsString>| {
            words.push(items.len().to_string().into());
            words.extend(items);
        };
        list(Collector::words(self.collector.as_ref()));
        list(self.loader.clone());
        list(self.daemon.clone());
        list(self.sockets.iter().map(OsString::from).collect());
        let (interpreters, libraries): (Vec<_>, Vec<_>) = self
            .fabric
            .libraries
            .iter()
            .partition(|library| library.interpreter);
        for libraries in [libraries, interpreters] {
            list(
                libraries
                    .iter()
                    .map(|library| library.path.clone().into())
                    .collect(),
            );
        }
        words
    }

    /// Reads such words; `None` if they are not what this build writes.
    pub(super) fn from_words(words: impl Iterator<Item = OsString>) -> Option<(lines::Format, Self)> {
        let mut words = Words(words);
        if words.0.next()? != VERSION {
            return None;
        }
        let log_format = lines::Format::from_word(words.0.next()?.to_str()?);
        let number: RawFd = words.number()?;
        let drain = DrainTimes {
            delay: words.millis()?,
            timeout: words.millis()?,
        };
        let start_patience = words.millis()?;
        let quiet_drain = words.number::<u8>()? == 1;
        let access_log = words.number::<u8>()? == 1;
        let collector = Collector::from_words(&words.list()?)?;
        let (loader, daemon) = (words.list()?, words.list()?);
        let sockets = words.list()?.into_iter().map(PathBuf::from).collect();
        let mut libraries = Vec::new();
        for interpreter in [false, true] {
            let paths = words.list()?.into_iter().map(PathBuf::from);
            libraries.extend(paths.map(|path| LoadedLibrary { path, interpreter }));
        }
        // Last, so that a descriptor is taken only if all else is right.
        if words.0.next().is_some() || number < FIRST_FD + socket_count() {
            return None;
        }
        let executable = above_channel(inherited_file(number)?).ok()?;
        let config = Self {
            fabric: FabricProgram {
                executable,
                libraries,
            },
            loader,
            daemon,
            drain,
            quiet_drain,
            start_patience,
            access_log,
            collector,
            sockets,
        };
        Some((log_format, config))
    }
}

/// Sockets of a service manager have the first numbers, whether they are open or not.
fn socket_count() -> RawFd {
    RawFd::try_from(socket_names().len()).unwrap_or(RawFd::MAX - FIRST_FD)
}

struct Words<I>(I);

impl<I: Iterator<Item = OsString>> Words<I> {
    fn number<N: FromStr>(&mut self) -> Option<N> {
        self.0.next()?.to_str()?.parse().ok()
    }

    fn millis(&mut self) -> Option<Duration> {
        self.number().map(Duration::from_millis)
    }

    fn list(&mut self) -> Option<Vec<OsString>> {
        let count = self.number::<usize>()?;
        let list: Vec<OsString> = self.0.by_ref().take(count).collect();
        (list.len() == count).then_some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_libos_net::attach::Tracing;
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::os::fd::IntoRawFd;

    fn config() -> MonitorConfig {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let library = |path: &str, interpreter| LoadedLibrary {
            path: path.into(),
            interpreter,
        };
        MonitorConfig {
            fabric: FabricProgram {
                executable: memfd_create("fabric", MemfdFlags::CLOEXEC).unwrap(),
                libraries: vec![library("/lib/ld.so", true), library("/lib/libc.so.6", false)],
            },
            loader: words("hacher-loader serve --listen 7 chain.toml"),
            daemon: words("hacher-daemon json"),
            drain: DrainTimes {
                delay: Duration::from_millis(1),
                timeout: Duration::from_secs(30),
            },
            start_patience: Duration::from_secs(7),
            quiet_drain: true,
            access_log: true,
            collector: Some(Collector {
                address: "[::1]:4318".parse().unwrap(),
                tracing: Tracing {
                    parent_based: 1,
                    reserved: 0,
                    threshold: 1 << 63,
                },
            }),
            sockets: vec!["/run/with space".into(), "".into()],
        }
    }

    /// Its words, and a descriptor of its executable that whoever reads them owns.
    fn words(config: &MonitorConfig) -> Vec<OsString> {
        let file = config.fabric.executable.try_clone().unwrap().into_raw_fd();
        config.words(lines::Format::Json, file)
    }

    #[test]
    fn a_configuration_is_read_back_as_it_was_written() {
        let written = config();
        let (format, read) = MonitorConfig::from_words(words(&written).into_iter()).unwrap();
        assert_eq!(format, lines::Format::Json);
        assert!(read.fabric.executable.as_raw_fd() > hacher_libos_net::attach::CHANNEL_FD);
        let without_file = |config: &MonitorConfig| config.words(format, 0);
        assert_eq!(without_file(&read), without_file(&written));
    }

    #[test]
    fn words_of_another_build_or_with_one_missing_or_too_many_are_refused() {
        let config = config();
        let good = config.words(lines::Format::Bare, RawFd::MAX);
        let refused = |words: Vec<OsString>| MonitorConfig::from_words(words.into_iter()).is_none();
        assert!(refused(good.clone()), "that descriptor is not open");
        for len in 0..good.len() {
            assert!(refused(good[..len].to_vec()), "{len} words");
        }
        let mut other = words(&config);
        other[0] = "0.0.0".into();
        assert!(refused(other));
        let mut more = words(&config);
        more.push("more".into());
        assert!(refused(more));
        for standard in 0..FIRST_FD {
            assert!(refused(config.words(lines::Format::Bare, standard)));
        }
    }
}
