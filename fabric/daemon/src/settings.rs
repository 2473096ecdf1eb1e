//! What the command line says that concerns the daemon, as its arguments: it reads no file and no
//! environment.

use hacher_trustlet_host::lines;
use std::ffi::OsString;
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

/// How the daemon behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl Settings {
    /// The arguments of a daemon that behaves so, its name first.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let patience = self.start_patience.as_secs().to_string();
        let beat_ms = self.beat.map_or(0, |beat| beat.as_millis().max(1)).to_string();
        vec![
            ROLE.into(),
            self.ready_as.word().into(),
            patience.into(),
            beat_ms.into(),
            self.log_format.word().into(),
        ]
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_as_they_were_written() {
        let settings = Settings {
            ready_as: ReadyAs::Json,
            log_format: lines::Format::Json,
            start_patience: Duration::from_secs(7),
            beat: Some(Duration::from_millis(250)),
        };
        let arguments = settings.arguments().into_iter().skip(1);
        let read = Settings::from_arguments(arguments.map(|text| text.into_string().unwrap()));
        assert_eq!(read, settings);
    }
}
