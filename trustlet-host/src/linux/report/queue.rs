//! Who waits for a device that answers one question after the other, and may take its time for each: first
//! come, first served, and nobody has more than one question in the queue. Whoever asks without end has a
//! turn after everybody else's, and no more.

use super::error::ReportError;
use crate::linux::unhurried::Question;
use crate::platform::{Asker, PlatformReport};
use core::time::Duration;
use hacher_monitor_core::evidence::REPORT_DATA_BYTES;
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

/// How long the monitor waits for a device that is not known to be slow. Nothing else goes on meanwhile.
const ANSWER_MAX: Duration = Duration::from_millis(4);
/// Those that wait, and answers that are kept: more than there are gateways, with the daemon.
const ASKERS_MAX: usize = 128;

/// What is reported over.
pub(super) type Data = [u8; REPORT_DATA_BYTES];
/// What a device says.
pub(super) type Answer = Result<PlatformReport, ReportError>;

/// The device's queue.
#[derive(Default)]
pub(super) struct Queue {
    /// What the device is busy with.
    open: Option<Open>,
    /// Who is next; each once.
    waiting: VecDeque<(Asker, Data)>,
    /// What was not fetched yet, the latest last; of each asker once.
    answers: VecDeque<(Asker, Data, Answer)>,
    /// The last answer took longer than anybody waits for one.
    is_slow: bool,
}

/// A question that the device has not answered.
struct Open {
    /// Whose it is; nobody's if that one has gone.
    asker: Option<Asker>,
    data: Data,
    question: Question<io::Result<Timed>>,
}

/// An answer, and how long the device took.
struct Timed {
    answer: Answer,
    took: Duration,
}

impl Queue {
    /// What the device answers to a question about `data`, which is put to it when it is its turn; `None` as
    /// long as there is no answer.
    pub(super) fn report(
        &mut self,
        asker: Asker,
        data: &Data,
        ask: &(impl Fn(&Data) -> Answer + Clone + Send + 'static),
    ) -> Option<Answer> {
        self.take_note(Duration::ZERO);
        if let Some(answer) = self.fetch(asker, data) {
            return Some(answer);
        }
        if !self.is_open(asker, data) {
            self.wait(asker, data);
        }
        let begun = self.begin_next(ask);
        // Who waited in the queue has a device that is slow, or is shared with others.
        if begun && self.is_open(asker, data) && !self.is_slow {
            self.take_note(ANSWER_MAX);
        }
        self.fetch(asker, data)
    }

    /// Somebody will not ask again.
    pub(super) fn forget(&mut self, asker: Asker) {
        self.waiting.retain(|(of, _)| *of != asker);
        self.answers.retain(|(of, ..)| *of != asker);
        if let Some(open) = self.open.as_mut().filter(|open| open.asker == Some(asker)) {
            open.asker = None;
        }
    }

    fn is_open(&self, asker: Asker, data: &Data) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.asker == Some(asker) && open.data == *data)
    }

    /// Takes the answer that the device has given, if it has by then.
    fn take_note(&mut self, patience: Duration) {
        let Some(Open {
            asker,
            data,
            question,
        }) = self.open.take()
        else {
            return;
        };
        let answer = match question.answer(patience) {
            Ok(Ok(Timed { answer, took })) => {
                self.is_slow = took > ANSWER_MAX;
                answer
            }
            Ok(Err(error)) => Err(ReportError::os("asking apart from the monitor")(error)),
            Err(question) => {
                self.is_slow |= !patience.is_zero();
                self.open = Some(Open {
                    asker,
                    data,
                    question,
                });
                return;
            }
        };
        if let Some(asker) = asker {
            self.keep(asker, data, answer);
        }
    }

    fn keep(&mut self, asker: Asker, data: Data, answer: Answer) {
        self.answers.retain(|(of, ..)| *of != asker);
        if self.answers.len() >= ASKERS_MAX {
            self.answers.pop_front();
        }
        self.answers.push_back((asker, data, answer));
    }

    /// The answer that is kept; one to another question is not wanted any more.
    fn fetch(&mut self, asker: Asker, data: &Data) -> Option<Answer> {
        let at = self.answers.iter().position(|(of, ..)| *of == asker)?;
        let (_, over, answer) = self.answers.remove(at)?;
        (over == *data).then_some(answer)
    }

    /// Puts a question into the queue; one of the same asker gives its place to it.
    fn wait(&mut self, asker: Asker, data: &Data) {
        let place = self.waiting.iter_mut().find(|(of, _)| *of == asker);
        if let Some((_, over)) = place {
            *over = *data;
        } else if self.waiting.len() < ASKERS_MAX {
            self.waiting.push_back((asker, *data));
        }
    }

    /// Puts the next question to a device that is idle; whether it has.
    fn begin_next(&mut self, ask: &(impl Fn(&Data) -> Answer + Clone + Send + 'static)) -> bool {
        if self.open.is_some() {
            return false;
        }
        let Some((asker, data)) = self.waiting.pop_front() else {
            return false;
        };
        let ask = ask.clone();
        let question = Question::of_paths(move || {
            let begun = Instant::now();
            Timed {
                answer: ask(&data),
                took: begun.elapsed(),
            }
        });
        match question {
            Ok(question) => {
                self.open = Some(Open {
                    asker: Some(asker),
                    data,
                    question,
                });
            }
            Err(error) => self.keep(asker, data, Err(ReportError::os("starting a thread")(error))),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ProcessId;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    const ONE: Asker = Asker::Process(ProcessId(1));
    const OTHER: Asker = Asker::Process(ProcessId(2));

    /// Answers when it is told to, with what it was asked about.
    #[derive(Clone)]
    struct SlowDevice {
        told: Arc<Mutex<Receiver<()>>>,
        asked: Arc<Mutex<Vec<u8>>>,
    }

    impl SlowDevice {
        fn new() -> (Sender<()>, Self) {
            let (tell, told) = channel();
            let device = Self {
                told: Arc::new(Mutex::new(told)),
                asked: Arc::default(),
            };
            (tell, device)
        }

        fn ask(self) -> impl Fn(&Data) -> Answer + Clone + Send + 'static {
            move |data| {
                let _ = self.told.lock().unwrap().recv();
                self.asked.lock().unwrap().push(data[0]);
                Ok(PlatformReport::emulated(vec![data[0]]))
            }
        }

        fn asked(&self) -> Vec<u8> {
            self.asked.lock().unwrap().clone()
        }
    }

    fn over(byte: u8) -> Data {
        [byte; REPORT_DATA_BYTES]
    }

    /// Comes again until there is an answer.
    fn until_answered(
        queue: &mut Queue,
        asker: Asker,
        byte: u8,
        ask: &(impl Fn(&Data) -> Answer + Clone + Send + 'static),
    ) -> Vec<u8> {
        loop {
            match queue.report(asker, &over(byte), ask) {
                Some(answer) => return answer.unwrap().report,
                None => std::thread::yield_now(),
            }
        }
    }

    #[test]
    fn a_device_that_takes_its_time_is_not_waited_for_and_asked_once() {
        let (tell, device) = SlowDevice::new();
        let ask = device.clone().ask();
        let mut queue = Queue::default();
        assert!(queue.report(ONE, &over(1), &ask).is_none());
        assert!(queue.is_slow, "it was waited for, and nobody will be again");
        assert!(queue.report(ONE, &over(1), &ask).is_none());
        assert!(queue.report(OTHER, &over(2), &ask).is_none(), "busy");
        tell.send(()).unwrap();
        assert_eq!(until_answered(&mut queue, ONE, 1, &ask), [1]);
        tell.send(()).unwrap();
        assert_eq!(until_answered(&mut queue, OTHER, 2, &ask), [2]);
        assert_eq!(device.asked(), [1, 2]);
        assert!(queue.open.is_none() && queue.waiting.is_empty() && queue.answers.is_empty());
    }

    #[test]
    fn who_asks_without_end_keeps_nobody_from_an_answer() {
        let (tell, device) = SlowDevice::new();
        let ask = device.clone().ask();
        let mut queue = Queue::default();
        let mut floods = {
            let ask = ask.clone();
            let mut byte = 100;
            move |queue: &mut Queue| {
                for _ in 0..20 {
                    byte = if byte == 200 { 100 } else { byte + 1 };
                    let answer = queue.report(ONE, &over(byte), &ask);
                    assert!(answer.is_none_or(|answer| answer.unwrap().report == [byte]));
                }
            }
        };
        floods(&mut queue);
        assert!(queue.report(OTHER, &over(2), &ask).is_none());
        floods(&mut queue);
        // The device answers what it was busy with, then one of the other's that came before, then this.
        for _ in 0..3 {
            tell.send(()).unwrap();
        }
        let found = loop {
            floods(&mut queue);
            match queue.report(OTHER, &over(2), &ask) {
                Some(answer) => break answer.unwrap().report,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(found, [2]);
        assert_eq!(device.asked().iter().position(|byte| *byte == 2), Some(2));
        assert!(queue.waiting.len() <= 1, "each has one place");
    }

    #[test]
    fn an_answer_is_kept_for_who_asked_and_never_taken_for_that_of_another_question() {
        let (tell, device) = SlowDevice::new();
        let ask = device.clone().ask();
        let mut queue = Queue::default();
        assert!(queue.report(ONE, &over(1), &ask).is_none());
        tell.send(()).unwrap();
        tell.send(()).unwrap();
        // The other one sees both through, and has its own.
        assert_eq!(until_answered(&mut queue, OTHER, 2, &ask), [2]);
        let kept = queue.report(ONE, &over(1), &ask).unwrap().unwrap();
        assert_eq!(kept.report, [1]);
        // Of the same data, but another's; and of the same asker, but other data.
        assert!(queue.report(OTHER, &over(1), &ask).is_none());
        tell.send(()).unwrap();
        tell.send(()).unwrap();
        assert_eq!(until_answered(&mut queue, OTHER, 3, &ask), [3]);
        assert_eq!(device.asked(), [1, 2, 1, 3]);
    }

    #[test]
    fn who_has_gone_has_no_place_in_the_queue() {
        let (tell, device) = SlowDevice::new();
        let ask = device.clone().ask();
        let mut queue = Queue::default();
        assert!(queue.report(ONE, &over(1), &ask).is_none());
        assert!(queue.report(OTHER, &over(2), &ask).is_none());
        assert!(queue.report(Asker::Daemon, &over(3), &ask).is_none());
        queue.forget(ONE);
        queue.forget(OTHER);
        tell.send(()).unwrap();
        tell.send(()).unwrap();
        assert_eq!(until_answered(&mut queue, Asker::Daemon, 3, &ask), [3]);
        assert_eq!(device.asked(), [1, 3]);
        assert!(queue.answers.is_empty(), "nobody will fetch it");
    }
}
