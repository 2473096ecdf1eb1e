//! Evidence for clients: the gateway passes their nonces on to the monitor, over its own channel, and hands
//! out what that says. It makes no sense of evidence itself.
//!
//! Making evidence costs the monitor time, and the platform's device more. So questions go one after the
//! other, few wait, all of them together may take a part of the time only, one client not all of that, and
//! whoever repeats a question gets the same answer (I6).

mod allowance;
mod answers;
mod question;
mod shares;

pub(super) use answers::Kept;
pub(super) use question::Question;

use super::budget::{Account, Budget, Charge};
use super::client::Client;
use super::problem::{Problem, RETRY_AFTER_S};
use answers::Answers;
use hacher_libos_net::attach::{AskEvidence, Channel, EvidenceAnswer, evidence_status};
use hacher_libos_net::telemetry::EvidenceOutcome;
use hacher_trustlet_host::evidence::envelope::EVIDENCE_MAX_BYTES;
use hacher_trustlet_host::tell;
use hyper::StatusCode;
use shares::{Paid, Shares};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// One part in so many of what no chain has reserved is for answers that are kept.
const KEPT_DIVISOR: u64 = 16;
/// By so much the room for an answer that is being read grows at least.
const GROWTH_BYTES: usize = 64 << 10;
/// How long a client waits for evidence: longer than any device takes.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// After so long the monitor is asked again what the device has said.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Where clients get evidence.
pub(super) struct Evidence {
    channel: Rc<Channel>,
    budget: Rc<Budget>,
    /// What answers hold; nothing is reserved for them.
    account: Rc<Account>,
    /// One question at a time; the queue is fair.
    turn: Mutex<()>,
    shares: RefCell<Shares>,
    /// What was asked last, and not answered yet.
    asked: RefCell<Option<Asked>>,
    number: Cell<u32>,
    answers: RefCell<Answers>,
    /// Why there was none last: operators are told once, however often clients ask.
    told: RefCell<String>,
}

/// A question that the monitor has not answered yet.
struct Asked {
    number: u32,
    /// What has come of the answer, and the memory that it takes.
    bytes: Vec<u8>,
    charge: Charge,
    answer: oneshot::Sender<Answer>,
}

/// What the monitor says.
enum Answer {
    Evidence(Rc<Kept>),
    Busy,
    /// It was longer than there is memory.
    NoRoom,
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
    /// The monitor has none. Why is nothing for strangers: it may name paths and errors of the machine.
    Refused,
}

impl Evidence {
    pub(super) fn new(channel: Rc<Channel>, budget: &Rc<Budget>) -> Self {
        Self {
            channel,
            budget: Rc::clone(budget),
            account: budget.account(0),
            turn: Mutex::new(()),
            shares: RefCell::new(Shares::new(Instant::now())),
            asked: RefCell::new(None),
            number: Cell::new(0),
            answers: RefCell::default(),
            told: RefCell::default(),
        }
    }

    /// Evidence for a client.
    pub(super) async fn of(&self, client: Client, question: &Question) -> Result<Rc<Kept>, Denied> {
        // Of a session nobody else asks the same, and what is of one connection is kept for no other.
        if let Some(kept) = self.kept(question) {
            return Ok(kept);
        }
        let too_many = |retry_after_s| Denied::TooMany { retry_after_s };
        let place = Place::take(&self.shares, client);
        let _place = place.ok_or(too_many(RETRY_AFTER_S))?;
        let answered = timeout(ANSWER_MAX, async {
            let _turn = self.turn.lock().await;
            if let Some(kept) = self.kept(question) {
                return Ok(kept);
            }
            let begun = Instant::now();
            let paid = self.shares.borrow_mut().begin(client, begun);
            let _spent = Spent {
                shares: &self.shares,
                client,
                paid: paid.map_err(|wait| too_many(whole_seconds(wait)))?,
                begun,
            };
            self.ask(question).await
        });
        answered.await.unwrap_or(Err(Denied::Late))
    }

    /// Forgets all answers, and those that are on their way: what they say is true no more.
    pub(super) fn forget(&self) {
        self.answers.borrow_mut().forget();
    }

    /// Takes what the monitor answers.
    pub(super) fn take(&self, part: &EvidenceAnswer) {
        let mut asked = self.asked.borrow_mut();
        let Some(open) = asked.as_mut().filter(|asked| asked.number == part.question) else {
            // Its client has gone.
            return;
        };
        let is_too_long = open.bytes.len().saturating_add(part.bytes.len()) > EVIDENCE_MAX_BYTES;
        let has_room = !is_too_long && self.make_room(open, part.bytes.len());
        if has_room {
            open.bytes.extend_from_slice(&part.bytes);
        }
        if part.status == evidence_status::PART && has_room {
            return;
        }
        let Some(Asked {
            bytes,
            charge,
            answer,
            ..
        }) = asked.take()
        else {
            return;
        };
        let said = match part.status {
            _ if is_too_long => Answer::Refused("the evidence is too long".to_owned()),
            _ if !has_room => Answer::NoRoom,
            evidence_status::LAST => Answer::Evidence(Rc::new(Kept::new(bytes, charge))),
            evidence_status::BUSY => Answer::Busy,
            _ => Answer::Refused(String::from_utf8_lossy(&bytes).into_owned()),
        };
        // Fails if the client has gone meanwhile.
        drop(answer.send(said));
    }

    /// Charges room for so many bytes more of an answer; what is kept gives way.
    fn make_room(&self, open: &mut Asked, more: usize) -> bool {
        let (len, capacity) = (open.bytes.len(), open.bytes.capacity());
        if capacity - len >= more {
            return true;
        }
        let grown = len.saturating_add(more.max(GROWTH_BYTES));
        let needed = grown.saturating_sub(capacity) as u64;
        while !self.account.has_room(needed) {
            if !self.answers.borrow_mut().drop_oldest() {
                return false;
            }
        }
        open.charge.set(grown as u64);
        open.bytes.reserve_exact(grown - len);
        true
    }

    async fn ask(&self, question: &Question) -> Result<Rc<Kept>, Denied> {
        loop {
            let asked_in = self.answers.borrow().generation();
            let number = self.number.get().wrapping_add(1);
            self.number.set(number);
            let (answer, answered) = oneshot::channel();
            *self.asked.borrow_mut() = Some(Asked {
                number,
                bytes: Vec::new(),
                charge: self.account.nothing(),
                answer,
            });
            let asked = self.channel.ask_evidence(&AskEvidence {
                number,
                purpose: question.purpose(),
                chain: question.chain(),
                nonce: *question.nonce(),
            });
            if let Err(error) = asked {
                return Err(self.refused(error.to_string()));
            }
            match answered.await {
                Ok(Answer::Evidence(evidence)) => {
                    self.keep(question, &evidence, asked_in);
                    return Ok(evidence);
                }
                Ok(Answer::Busy) => sleep(ASK_AGAIN).await,
                Ok(Answer::NoRoom) => return Err(Denied::NoRoom),
                Ok(Answer::Refused(reason)) => return Err(self.refused(reason)),
                Err(_) => return Err(Denied::Late),
            }
        }
    }

    /// Tells operators why there is no evidence.
    fn refused(&self, reason: String) -> Denied {
        let mut told = self.told.borrow_mut();
        if *told != reason {
            tell!(Warning: "there is no evidence: {reason}");
            *told = reason;
        }
        Denied::Refused
    }

    fn kept(&self, question: &Question) -> Option<Rc<Kept>> {
        self.answers.borrow().to(question)
    }

    fn keep(&self, question: &Question, evidence: &Rc<Kept>, asked_in: u64) {
        if question.is_session() {
            return;
        }
        let max_bytes = usize::try_from(self.budget.common_bytes() / KEPT_DIVISOR).unwrap_or(usize::MAX);
        let mut answers = self.answers.borrow_mut();
        answers.keep(question, evidence, asked_in, max_bytes);
    }

    /// Memory for a reply with so many bytes.
    pub(super) fn charge_reply(&self, len_bytes: usize) -> Option<Charge> {
        self.account.charge(len_bytes as u64)
    }
}

impl Denied {
    /// As it is counted.
    pub(super) const fn outcome(&self) -> EvidenceOutcome {
        match self {
            Self::TooMany { .. } => EvidenceOutcome::TooMany,
            Self::Late => EvidenceOutcome::Late,
            Self::NoRoom => EvidenceOutcome::Memory,
            Self::Refused => EvidenceOutcome::Refused,
        }
    }

    /// As a client is told.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::TooMany { retry_after_s } => {
                let detail =
                    "evidence takes the platform time; you, or all clients together, ask for too much of it";
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
            Self::Refused => {
                let detail = "the platform gives none now; the log of the service says why";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "there is no evidence", detail)
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
struct Place<'a> {
    shares: &'a RefCell<Shares>,
    client: Client,
}

impl<'a> Place<'a> {
    fn take(shares: &'a RefCell<Shares>, client: Client) -> Option<Self> {
        let may = shares.borrow_mut().wait(client);
        may.then_some(Self { shares, client })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shares.borrow_mut().leave(self.client);
    }
}

/// Says what a question took, however it ends.
struct Spent<'a> {
    shares: &'a RefCell<Shares>,
    client: Client,
    paid: Paid,
    begun: Instant,
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        self.shares.borrow_mut().spend(self.client, self.paid, took);
    }
}

#[cfg(test)]
mod tests;
