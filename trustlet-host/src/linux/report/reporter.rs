//! Reports for a monitor that must not wait: a device that takes its time is asked on a thread of its own,
//! and whoever asked comes again.

use super::error::ReportError;
use super::source::{Source, SourceFault};
use crate::linux::unhurried::{PATIENCE, Question, asked};
use crate::platform::{PlatformError, PlatformReport};
use core::time::Duration;
use hacher_monitor_core::evidence::REPORT_DATA_BYTES;
use hacher_monitor_core::evidence::emulated::EmulatedRoot;
use std::io;

/// How long the monitor waits for a device at a time. Nothing else goes on meanwhile.
const ANSWER_MAX: Duration = Duration::from_millis(4);

/// What is reported over.
type Data = [u8; REPORT_DATA_BYTES];

/// Makes reports.
pub(crate) enum Reporter {
    /// Nothing vouches for this machine.
    Emulated(EmulatedRoot),
    /// Its hardware does.
    Device(Device),
    /// Its hardware would, but cannot be asked.
    Unusable(String),
}

/// A device, and what it was asked last.
pub(crate) struct Device {
    source: Source,
    asked: Option<(Data, Question<Result<PlatformReport, ReportError>>)>,
}

impl Reporter {
    /// That of this machine; without hardware that vouches for it, `root` signs.
    pub(crate) fn find(root: EmulatedRoot) -> Self {
        let found = asked(PATIENCE, |_| Source::find());
        match found {
            Ok(Ok(None)) => Self::Emulated(root),
            Ok(Ok(Some(source))) => Self::Device(Device { source, asked: None }),
            Ok(Err(fault @ SourceFault { .. })) => Self::Unusable(fault.to_string()),
            Err(error) => Self::Unusable(format!("what vouches for this machine does not answer: {error}")),
        }
    }

    /// A report over `data`; does not wait for it for long.
    ///
    /// # Errors
    /// Transient while a device has not answered, or is busy with other data.
    pub(crate) fn report(&mut self, data: &Data) -> Result<PlatformReport, PlatformError> {
        match self {
            Self::Emulated(root) => Ok(PlatformReport::emulated(root.report(data))),
            Self::Device(device) => device.report(data),
            Self::Unusable(reason) => Err(PlatformError::Unsuitable(reason.clone())),
        }
    }
}

impl Device {
    fn report(&mut self, data: &Data) -> Result<PlatformReport, PlatformError> {
        let source = self.source.clone();
        let of = *data;
        report_of(&mut self.asked, data, move || source.report(&of))
    }
}

/// What a device answers to a question about `data`, which is asked unless it was already.
fn report_of(
    asked: &mut Option<(Data, Question<Result<PlatformReport, ReportError>>)>,
    data: &Data,
    ask: impl FnOnce() -> Result<PlatformReport, ReportError> + Send + 'static,
) -> Result<PlatformReport, PlatformError> {
    if let Some((of, question)) = asked.take() {
        let patience = if of == *data { ANSWER_MAX } else { Duration::ZERO };
        match question.answer(patience) {
            Ok(answer) if of == *data => return answer.map_err(refused),
            // Whoever asked that has not come again.
            Ok(_) => {}
            Err(question) => {
                *asked = Some((of, question));
                return Err(busy());
            }
        }
    }
    let question =
        Question::of_paths(ask).map_err(|error| refused(ReportError::os("starting a thread")(error)))?;
    match question.answer(ANSWER_MAX) {
        Ok(answer) => answer.map_err(refused),
        Err(question) => {
            *asked = Some((*data, question));
            Err(busy())
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

fn busy() -> PlatformError {
    refused(ReportError::os("asking the platform for a report")(
        io::ErrorKind::WouldBlock.into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// Asks about `byte`, and answers when it is told to.
    fn slow(
        byte: u8,
    ) -> (
        Sender<()>,
        impl FnOnce() -> Result<PlatformReport, ReportError> + Send + 'static,
    ) {
        let (tell, told) = channel();
        let ask = move || {
            let _ = told.recv();
            Ok(PlatformReport::emulated(vec![byte]))
        };
        (tell, ask)
    }

    fn never() -> Result<PlatformReport, ReportError> {
        panic!("asked already")
    }

    /// Comes again until there is an answer.
    fn until_answered(
        asked: &mut Option<(Data, Question<Result<PlatformReport, ReportError>>)>,
        data: &Data,
    ) -> PlatformReport {
        loop {
            match report_of(asked, data, never) {
                Ok(report) => return report,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        }
    }

    #[test]
    fn a_device_that_takes_its_time_is_not_waited_for_and_asked_once() {
        let (one, other) = ([1; REPORT_DATA_BYTES], [2; REPORT_DATA_BYTES]);
        let mut asked = None;
        let (tell, ask) = slow(1);
        assert!(report_of(&mut asked, &one, ask).unwrap_err().is_transient());
        assert!(report_of(&mut asked, &one, never).unwrap_err().is_transient());
        assert!(
            report_of(&mut asked, &other, never).unwrap_err().is_transient(),
            "busy"
        );
        tell.send(()).unwrap();
        assert_eq!(until_answered(&mut asked, &one).report, [1]);
        assert!(asked.is_none());
    }

    #[test]
    fn an_answer_is_never_taken_for_that_of_another_question() {
        let (one, other) = ([1; REPORT_DATA_BYTES], [2; REPORT_DATA_BYTES]);
        let mut asked = None;
        let (tell, ask) = slow(1);
        assert!(report_of(&mut asked, &one, ask).is_err());
        tell.send(()).unwrap();
        let found = loop {
            match report_of(&mut asked, &other, || Ok(PlatformReport::emulated(vec![2]))) {
                Ok(report) => break report,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        };
        assert_eq!(found.report, [2]);
    }

    #[test]
    fn what_cannot_be_asked_is_said_and_no_emulation_takes_its_place() {
        let mut reporter = Reporter::Unusable("it is broken".to_owned());
        let refused = reporter.report(&[0; REPORT_DATA_BYTES]).unwrap_err();
        assert!(!refused.is_transient() && refused.to_string() == "it is broken");
    }
}
