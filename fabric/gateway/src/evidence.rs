//! Evidence for clients: the gateway passes their nonces on to the monitor, over its own channel, and hands
//! out what that says. It makes no sense of evidence itself.
//!
//! Making evidence costs the monitor time, and the platform's device more. So questions go one after the
//! other, few wait, all of them together may take a part of the time only, and whoever repeats a question gets
//! the same answer (I6).

mod allowance;
mod question;

pub(super) use question::Question;

use super::budget::{Account, Budget, Charge};
use super::problem::{Problem, RETRY_AFTER_S};
use allowance::Allowance;
use bytes::Bytes;
use hacher_libos_net::attach::{AskEvidence, Channel, EvidenceAnswer, evidence_status};
use hacher_trustlet_host::evidence::envelope::EVIDENCE_MAX_BYTES;
use hyper::StatusCode;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// Clients whose questions wait at a time.
const WAITING_MAX: u32 = 32;
/// Answers that are kept for whoever asks again.
const KEPT_MAX: usize = 16;
/// How long a client waits for evidence: longer than any device takes.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// After so long the monitor is asked again what the device has said.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Where clients get evidence.
pub(super) struct Evidence {
    channel: Rc<Channel>,
    /// What answers hold; nothing is reserved for them.
    account: Rc<Account>,
    /// One question at a time; the queue is fair.
    turn: Mutex<()>,
    waiting: Cell<u32>,
    allowance: RefCell<Allowance>,
    /// What was asked last, and not answered yet.
    asked: RefCell<Option<Asked>>,
    number: Cell<u32>,
    /// The answers to the last questions, the latest last.
    kept: RefCell<VecDeque<(Question, Rc<Kept>)>>,
}

/// Evidence, and the memory that it takes; as long as anybody has it.
pub(super) struct Kept {
    pub(super) bytes: Bytes,
    _charge: Charge,
}

/// A question that the monitor has not answered yet.
struct Asked {
    number: u32,
    /// What has come of the answer.
    bytes: Vec<u8>,
    answer: oneshot::Sender<Answer>,
}

/// What the monitor says.
enum Answer {
    Evidence(Vec<u8>),
    Busy,
    Refused(String),
}

/// Why there is no evidence for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Denied {
    /// Too much is asked for.
    TooMany {
        /// When it may be asked again.
        retry_after_s: u32,
    },
    /// The platform has not answered in time.
    Late,
    /// There is no memory for it.
    NoRoom,
    /// The monitor has none.
    Refused(String),
}

impl Evidence {
    pub(super) fn new(channel: Rc<Channel>, budget: &Rc<Budget>) -> Self {
        Self {
            channel,
            account: budget.account(0),
            turn: Mutex::new(()),
            waiting: Cell::new(0),
            allowance: RefCell::new(Allowance::full(Instant::now())),
            asked: RefCell::new(None),
            number: Cell::new(0),
            kept: RefCell::default(),
        }
    }

    /// Evidence for a client.
    pub(super) async fn of(&self, question: &Question) -> Result<Rc<Kept>, Denied> {
        // Of a session nobody else asks the same, and what is of one connection is kept for no other.
        if let Some(kept) = self.kept(question) {
            return Ok(kept);
        }
        let too_many = |retry_after_s| Denied::TooMany { retry_after_s };
        if self.waiting.get() >= WAITING_MAX {
            return Err(too_many(RETRY_AFTER_S));
        }
        let _place = Place::take(&self.waiting);
        let answered = timeout(ANSWER_MAX, async {
            let _turn = self.turn.lock().await;
            if let Some(kept) = self.kept(question) {
                return Ok(kept);
            }
            let begun = Instant::now();
            let allowed = self.allowance.borrow_mut().begin(begun);
            allowed.map_err(|wait| too_many(whole_seconds(wait)))?;
            let _spent = Spent {
                allowance: &self.allowance,
                begun,
            };
            let bytes = self.ask(question).await?;
            self.keep(question, bytes)
        });
        answered.await.unwrap_or(Err(Denied::Late))
    }

    /// Forgets all answers: what they say is true no more.
    pub(super) fn forget(&self) {
        self.kept.borrow_mut().clear();
    }

    /// Takes what the monitor answers.
    pub(super) fn take(&self, part: &EvidenceAnswer) {
        let mut asked = self.asked.borrow_mut();
        let Some(open) = asked.as_mut().filter(|asked| asked.number == part.question) else {
            // Its client has gone.
            return;
        };
        let is_too_long = open.bytes.len().saturating_add(part.bytes.len()) > EVIDENCE_MAX_BYTES;
        if !is_too_long {
            open.bytes.extend_from_slice(&part.bytes);
        }
        if part.status == evidence_status::PART && !is_too_long {
            return;
        }
        let Some(Asked { bytes, answer, .. }) = asked.take() else {
            return;
        };
        let said = match part.status {
            _ if is_too_long => Answer::Refused("the evidence is longer than any".to_owned()),
            evidence_status::LAST => Answer::Evidence(bytes),
            evidence_status::BUSY => Answer::Busy,
            _ => Answer::Refused(String::from_utf8_lossy(&bytes).into_owned()),
        };
        // Fails if the client has gone meanwhile.
        drop(answer.send(said));
    }

    async fn ask(&self, question: &Question) -> Result<Vec<u8>, Denied> {
        loop {
            let number = self.number.get().wrapping_add(1);
            self.number.set(number);
            let (answer, answered) = oneshot::channel();
            *self.asked.borrow_mut() = Some(Asked {
                number,
                bytes: Vec::new(),
                answer,
            });
            let asked = self.channel.ask_evidence(&AskEvidence {
                number,
                purpose: question.purpose(),
                chain: question.chain(),
                nonce: *question.nonce(),
            });
            if let Err(error) = asked {
                return Err(Denied::Refused(error.to_string()));
            }
            match answered.await {
                Ok(Answer::Evidence(bytes)) => return Ok(bytes),
                Ok(Answer::Busy) => sleep(ASK_AGAIN).await,
                Ok(Answer::Refused(reason)) => return Err(Denied::Refused(reason)),
                Err(_) => return Err(Denied::Late),
            }
        }
    }

    fn kept(&self, question: &Question) -> Option<Rc<Kept>> {
        let kept = self.kept.borrow();
        let found = kept.iter().find(|(of, _)| of == question && !of.is_session());
        found.map(|(_, kept)| Rc::clone(kept))
    }

    fn keep(&self, question: &Question, bytes: Vec<u8>) -> Result<Rc<Kept>, Denied> {
        let charge = self.account.charge(bytes.len() as u64).ok_or(Denied::NoRoom)?;
        let evidence = Rc::new(Kept {
            bytes: bytes.into(),
            _charge: charge,
        });
        if question.is_session() {
            return Ok(evidence);
        }
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((question.clone(), Rc::clone(&evidence)));
        Ok(evidence)
    }

    /// Memory for a reply with so many bytes.
    pub(super) fn charge_reply(&self, len_bytes: usize) -> Option<Charge> {
        self.account.charge(len_bytes as u64)
    }
}

impl Denied {
    /// As a client is told.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::TooMany { retry_after_s } => {
                let detail = "evidence takes the platform time; this gateway is asked for too much of it";
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many questions", detail)
                    .retry_after(retry_after_s)
            }
            Self::Late => {
                let detail = "the platform has not made a report in time";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no evidence yet", detail)
                    .retry_after(RETRY_AFTER_S)
            }
            Self::NoRoom => {
                let detail = "there is no memory for the evidence now";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway is busy", detail)
                    .retry_after(RETRY_AFTER_S)
            }
            Self::Refused(reason) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "there is no evidence", reason)
                    .retry_after(RETRY_AFTER_S)
            }
        }
    }
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs())
        .unwrap_or(u32::MAX)
        .saturating_add(1)
}

/// One of those that wait, or are answered.
struct Place<'a>(&'a Cell<u32>);

impl<'a> Place<'a> {
    fn take(count: &'a Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Says what a question took, however it ends.
struct Spent<'a> {
    allowance: &'a RefCell<Allowance>,
    begun: Instant,
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        self.allowance.borrow_mut().spend(self.begun.elapsed());
    }
}
