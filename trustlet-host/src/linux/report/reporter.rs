//! Reports for a monitor that must not wait: a device that takes its time is asked on a thread of its own,
//! and whoever asked comes again.

use super::error::ReportError;
use super::queue::{Data, Queue};
use super::source::{Source, SourceFault};
use crate::linux::unhurried::{PATIENCE, Question, answered};
use crate::platform::{Asker, PlatformError, PlatformReport};
use hacher_monitor_core::evidence::emulated::EmulatedRoot;
use std::io;

/// Makes reports.
pub(crate) enum Reporter {
    /// Nothing vouches for this machine.
    Emulated(EmulatedRoot),
    /// Its hardware does.
    Device(Device),
    /// Its hardware would, but cannot be asked.
    Unusable(String),
}

/// A device, and who waits for it.
pub(crate) struct Device {
    source: Source,
    queue: Queue,
}

impl Reporter {
    /// That of this machine; without hardware that vouches for it, `root` signs.
    pub(crate) fn find(root: EmulatedRoot) -> Self {
        let found = Question::of_paths(Source::find).and_then(|question| answered(question, PATIENCE)?);
        match found {
            Ok(Ok(None)) => Self::Emulated(root),
            Ok(Ok(Some(source))) => Self::Device(Device {
                source,
                queue: Queue::default(),
            }),
            Ok(Err(fault @ SourceFault { .. })) => Self::Unusable(fault.to_string()),
            Err(error) => Self::Unusable(format!("what vouches for this machine does not answer: {error}")),
        }
    }

    /// A report over `data`; does not wait for it for long.
    ///
    /// # Errors
    /// Transient while a device has not answered, or is busy with what others asked.
    pub(crate) fn report(&mut self, asker: Asker, data: &Data) -> Result<PlatformReport, PlatformError> {
        match self {
            Self::Emulated(root) => Ok(PlatformReport::emulated(root.report(data))),
            Self::Device(Device { source, queue }) => {
                let source = source.clone();
                let answer = queue.report(asker, data, &move |data: &Data| source.report(data));
                answer.unwrap_or_else(|| Err(busy())).map_err(refused)
            }
            Self::Unusable(reason) => Err(PlatformError::Unsuitable(reason.clone())),
        }
    }

    /// Somebody will not ask again.
    pub(crate) fn forget(&mut self, asker: Asker) {
        if let Self::Device(device) = self {
            device.queue.forget(asker);
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of `map_err`")]
fn refused(error: ReportError) -> PlatformError {
    PlatformError::Refused {
        what: "no report could be had",
        why: error.to_string(),
        is_transient: error.is_transient(),
    }
}

fn busy() -> ReportError {
    ReportError::os("asking the platform for a report")(io::ErrorKind::WouldBlock.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_monitor_core::evidence::REPORT_DATA_BYTES;

    #[test]
    fn what_cannot_be_asked_is_said_and_no_emulation_takes_its_place() {
        let mut reporter = Reporter::Unusable("it is broken".to_owned());
        let refused = reporter
            .report(Asker::Daemon, &[0; REPORT_DATA_BYTES])
            .unwrap_err();
        assert!(!refused.is_transient() && refused.to_string() == "it is broken");
    }
}
