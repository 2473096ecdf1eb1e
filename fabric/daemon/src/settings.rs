//! What the command line says that concerns the daemon, as its arguments: it reads no file and no
//! environment.

use hacher_trustlet_host::lines;
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

/// The daemon's name, which it is started under.
pub const ROLE: &str = "hacher-daemon";
/// Patience with functions that start, unless told otherwise.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How the daemon says, on standard output, that the service is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyAs {
    /// In a line for people.
    Words,
    /// In a line of JSON.
    Json,
}

impl ReadyAs {
    const fn word(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Json => "json",
        }
    }
}

/// Where traces are sent to. The monitor makes the connection; this is what is said over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorUrl {
    /// Host and port, as requests name them.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// The name of the service in traces.
    pub service: String,
}

impl CollectorUrl {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        Some(Self {
            authority: arguments.next()?,
            path: arguments.next()?,
            service: arguments.next()?,
        })
    }
}

impl fmt::Display for CollectorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold what is nobody's business.
        let path = self
            .path
            .split_once('?')
            .map_or(self.path.as_str(), |(path, _)| path);
        write!(f, "http://{}{path}", self.authority)
    }
}

/// How the daemon behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How `ready` is said.
    pub ready_as: ReadyAs,
    /// How lines of the log are written.
    pub log_format: lines::Format,
    /// How long a function may take from its start until it serves. The monitor ends it then.
    pub start_patience: Duration,
    /// How often it makes a call to the monitor, so that this one knows that it lives; never if nobody
    /// watches.
    pub beat: Option<Duration>,
    /// Where traces are sent to, if they are.
    pub collector: Option<CollectorUrl>,
}

impl Settings {
    /// The arguments of a daemon that behaves so, its name first.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let patience = self.start_patience.as_secs().to_string();
        let beat_ms = self.beat.map_or(0, |beat| beat.as_millis().max(1)).to_string();
        let mut arguments: Vec<OsString> = vec![
            ROLE.into(),
            self.ready_as.word().into(),
            patience.into(),
            beat_ms.into(),
            self.log_format.word().into(),
        ];
        if let Some(collector) = &self.collector {
            let words = [&collector.authority, &collector.path, &collector.service];
            arguments.extend(words.map(OsString::from));
        }
        arguments
    }

    /// What these arguments say, without the name.
    pub(super) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Self {
        let ready_as = match arguments.next().as_deref() {
            Some("json") => ReadyAs::Json,
            _ => ReadyAs::Words,
        };
        let patience = arguments.next().and_then(|seconds| seconds.parse().ok());
        let beat_ms = arguments.next().and_then(|millis| millis.parse().ok());
        Self {
            ready_as,
            beat: beat_ms.filter(|&millis| millis > 0).map(Duration::from_millis),
            log_format: lines::Format::from_word(&arguments.next().unwrap_or_default()),
            start_patience: patience.map_or(START_PATIENCE, Duration::from_secs),
            collector: CollectorUrl::from_arguments(arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_as_they_were_written() {
        let collector = CollectorUrl {
            authority: "127.0.0.1:4318".to_owned(),
            path: "/v1/traces".to_owned(),
            service: "a service".to_owned(),
        };
        for collector in [None, Some(collector)] {
            let settings = Settings {
                ready_as: ReadyAs::Json,
                log_format: lines::Format::Json,
                start_patience: Duration::from_secs(7),
                beat: Some(Duration::from_millis(250)),
                collector,
            };
            let arguments = settings.arguments().into_iter().skip(1);
            let read = Settings::from_arguments(arguments.map(|text| text.into_string().unwrap()));
            assert_eq!(read, settings);
        }
    }
}
