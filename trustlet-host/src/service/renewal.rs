//! Files of TLS that are replaced while the service runs. The monitor, which alone has kept the right to open
//! what is named by a path, looks at them every now and then and on SIGHUP. It hands new contents to the
//! gateway that they are for, which tries them and takes or refuses them; the monitor itself makes no sense
//! of what they hold.
//!
//! Certificate and key are replaced one after the other, so for a moment they do not fit: what is bad is said
//! only if it stays.

mod looked;

use crate::core::Core;
use crate::ids::GatewayId;
use crate::linux::file_content::{self, Content};
use crate::linux::unhurried::Question;
use crate::machine::Machine;
use core::time::Duration;
use hacher_libos_net::clock::{self, Monotonic};
use looked::{Contents, Hash, Looked, Stamp, hash, look_at, whole};
use std::io;
use std::path::PathBuf;

/// How often files are looked at. Three calls for each file that has not changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long an answer of their file system is waited for at each look.
const ANSWER_MAX: Duration = Duration::from_millis(100);
/// How long new files may be bad before that is said: programs that renew certificates write the files within
/// a second.
const SETTLING: Duration = Duration::from_secs(5);

/// All gateways that speak TLS.
#[derive(Default)]
pub(super) struct Renewals {
    gateways: Vec<Renewal>,
    due: Option<Monotonic>,
}

impl Renewals {
    /// Those of a monitor that has loaded all chains.
    pub(super) fn of(core: &Core<impl Machine>) -> Self {
        let gateways: Vec<_> = core
            .gateways_with_tls()
            .into_iter()
            .map(|gateway| Renewal::new(gateway, core))
            .collect();
        let due = (!gateways.is_empty()).then(|| clock::now().after(LOOK_EVERY));
        Self { gateways, due }
    }

    /// When files are to be looked at next; `None` if there are none.
    pub(super) const fn due(&self) -> Option<Monotonic> {
        self.due
    }

    /// Looks at all files, if it is time.
    pub(super) fn look_if_due(&mut self, core: &mut Core<impl Machine>) {
        let now = clock::now();
        if self.due.is_some_and(|due| due <= now) {
            self.due = Some(now.after(LOOK_EVERY));
            self.look_at_all(core, now);
        }
    }

    /// Looks at all files because somebody asked; says what is bad at once.
    pub(super) fn look(&mut self, core: &mut Core<impl Machine>) {
        for gateway in &mut self.gateways {
            gateway.asked = true;
            if gateway.look.as_ref().is_some_and(|look| look.said) {
                gateway.tell_silence(core);
            }
        }
        self.look_at_all(core, clock::now());
    }

    /// Whether somebody asked, and has not been told yet what was found, or that nothing is to be found out.
    pub(super) fn is_asked(&self) -> bool {
        let waits = |gateway: &Renewal| gateway.asked && !gateway.look.as_ref().is_some_and(|look| look.said);
        self.gateways.iter().any(waits)
    }

    fn look_at_all(&mut self, core: &mut Core<impl Machine>, now: Monotonic) {
        for gateway in &mut self.gateways {
            gateway.begin_look(core, now);
        }
        let until = now.after(ANSWER_MAX);
        for gateway in &mut self.gateways {
            gateway.end_look(core, now, until);
        }
    }

    /// A gateway took or refused what it was offered, and says something of it; `false` if this was not known
    /// here.
    pub(super) fn answered(
        &mut self,
        core: &Core<impl Machine>,
        gateway: GatewayId,
        taken: bool,
        text: &[u8],
    ) -> bool {
        let found = self.gateways.iter_mut().find(|found| found.gateway == gateway);
        let Some(found) = found else { return false };
        let text = printable(text);
        let Some(say) = found.state.answered(taken, &text, clock::now()) else {
            return false;
        };
        let name = core.gateway_name(gateway);
        if taken {
            tell!(Info: "{name} uses new TLS files, from the next handshake on");
            if !text.is_empty() {
                tell!(Warning: "{name}: {text}");
            }
        } else if say {
            found.tell_refusal(&name);
        }
        true
    }
}

/// The files of one gateway.
struct Renewal {
    gateway: GatewayId,
    paths: Vec<PathBuf>,
    state: State,
    /// What their file system has not answered yet.
    look: Option<Look>,
    /// Whether somebody waits to hear of a look.
    asked: bool,
}

impl Renewal {
    fn new(gateway: GatewayId, core: &Core<impl Machine>) -> Self {
        let files: Vec<_> = core.tls_files(gateway).collect();
        let contents = files.iter().map(|(_, content)| whole(content));
        Self {
            gateway,
            state: State::new(hash(contents)),
            paths: files.iter().map(|(path, _)| PathBuf::from(path)).collect(),
            look: None,
            asked: false,
        }
    }

    /// Asks what the files are now, unless that was asked before and is not answered yet, or the gateway has
    /// yet to say what it makes of those before.
    fn begin_look(&mut self, core: &Core<impl Machine>, now: Monotonic) {
        if self.state.awaits_answer(core.tls_is_offered(self.gateway), now) || self.look.is_some() {
            return;
        }
        let (paths, known) = (self.paths.clone(), self.state.stamps.clone());
        let anyway = self.asked || self.state.settles();
        // Without a thread it is looked at the next time.
        let question = Question::of_paths(move || look_at(paths, known.as_ref(), anyway)).ok();
        self.look = question.map(|question| Look {
            question,
            anyway,
            since: now,
            is_new: true,
            said: false,
        });
    }

    /// Sees to what was found, if there is an answer by then.
    fn end_look(&mut self, core: &mut Core<impl Machine>, now: Monotonic, until: Monotonic) {
        let Some(look) = self.look.take() else { return };
        let patience = match look.is_new {
            true => until.saturating_duration_since(clock::now()),
            // It was waited for already.
            false => Duration::ZERO,
        };
        let looked = match look.question.answer(patience) {
            Ok(Ok(looked)) => looked,
            // As without a thread.
            Ok(Err(_)) => return,
            Err(question) => {
                let is_late = now.saturating_duration_since(look.since) >= SETTLING;
                if is_late && !look.said {
                    self.tell_silence(core);
                }
                self.look = Some(Look {
                    question,
                    is_new: false,
                    said: is_late || look.said,
                    ..look
                });
                return;
            }
        };
        // Who asked after this look had begun is answered by the next one.
        let asked = self.asked && look.anyway;
        self.asked &= !asked;
        self.state.looked_at(looked.stamps);
        if let Some(contents) = looked.contents {
            self.take(core, contents, now, asked);
        }
    }

    fn take(&mut self, core: &mut Core<impl Machine>, contents: Contents, now: Monotonic, asked: bool) {
        let name = || core.gateway_name(self.gateway);
        match contents {
            Err((path, error)) => {
                if self.state.unreadable(now, asked) {
                    tell!(
                        Warning: "{} keeps its certificate: `{}` cannot be used: {error}",
                        name(),
                        path.display()
                    );
                }
            }
            Ok((contents, hash)) => match self.state.read(hash, now, asked) {
                Next::Nothing => {}
                Next::SayUnchanged => tell!(Info: "the TLS files of {} have not changed", name()),
                Next::SayRefused => self.tell_refusal(&name()),
                Next::Offer => {
                    let copy =
                        |content: &Content| file_content::sealed_copy("hacher-tls", content.as_bytes());
                    let copies = contents.iter().map(copy).collect::<Result<_, _>>();
                    let offered = copies.is_ok_and(|copies| core.offer_tls(self.gateway, copies));
                    self.state.offered(offered.then_some(hash), asked);
                }
            },
        }
    }

    fn tell_silence(&self, core: &Core<impl Machine>) {
        tell!(
            Warning: "{} keeps its certificate: the file system of its TLS files has not answered for {} s",
            core.gateway_name(self.gateway),
            SETTLING.as_secs()
        );
    }

    fn tell_refusal(&self, name: &str) {
        tell!(Warning: "{name} keeps its certificate: {}", self.state.reason);
    }
}

/// A look at files that is under way.
struct Look {
    question: Question<io::Result<Looked>>,
    /// Whether the files are read though they have not changed.
    anyway: bool,
    since: Monotonic,
    /// Whether it was not waited for yet.
    is_new: bool,
    /// Whether it was said that it takes long.
    said: bool,
}

/// What a gateway says, for an operator's terminal: it parses what strangers send, so it may say anything.
fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let visible = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(visible).collect()
}

/// What to do with contents that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    SayUnchanged,
    /// They were refused, and it is time to say so.
    SayRefused,
    /// Offer them to the gateway.
    Offer,
}

/// What is known of the files of one gateway.
#[derive(Debug)]
struct State {
    /// When they were read last.
    stamps: Option<Vec<Option<Stamp>>>,
    in_use: Hash,
    offered: Option<Hash>,
    /// Whether somebody asked for what is offered.
    asked: bool,
    refused: Option<Hash>,
    /// Whether that was no answer: the gateway ended meanwhile, perhaps for another reason.
    ended: bool,
    /// Why, in the gateway's words.
    reason: String,
    /// Since when they are bad.
    bad_since: Option<Monotonic>,
    /// Whether that was said.
    said: bool,
}

impl State {
    const fn new(in_use: Hash) -> Self {
        Self {
            stamps: None,
            in_use,
            offered: None,
            asked: false,
            refused: None,
            ended: false,
            reason: String::new(),
            bad_since: None,
            said: false,
        }
    }

    /// Whether the gateway has yet to answer. One that ended instead has refused: nothing is offered twice
    /// that kills, unless somebody asks for it.
    fn awaits_answer(&mut self, is_offered: bool, now: Monotonic) -> bool {
        if !is_offered && self.offered.is_some() {
            self.answered(
                false,
                "the gateway ended while it tried new files; SIGHUP tries them again",
                now,
            );
            self.ended = true;
        }
        is_offered
    }

    /// Whether the files are to be read though they have not changed: they are bad, and nobody was told yet.
    const fn settles(&self) -> bool {
        self.bad_since.is_some() && !self.said
    }

    /// The files had these stamps when they were looked at.
    fn looked_at(&mut self, stamps: Vec<Option<Stamp>>) {
        self.stamps = Some(stamps);
    }

    /// They could not be read; whether to say so now.
    fn unreadable(&mut self, now: Monotonic, asked: bool) -> bool {
        self.refused = None;
        // As they are now, they are still to be read.
        self.stamps = None;
        self.bad(now, asked)
    }

    fn read(&mut self, hash: Hash, now: Monotonic, asked: bool) -> Next {
        if hash == self.in_use {
            self.is_good();
            return if asked { Next::SayUnchanged } else { Next::Nothing };
        }
        if self.refused == Some(hash) && !(asked && self.ended) {
            return match self.bad(now, asked) {
                true => Next::SayRefused,
                false => Next::Nothing,
            };
        }
        if self.said {
            // Something else than what was said to be bad: it gets its own time to settle.
            self.is_good();
        }
        Next::Offer
    }

    /// What was offered; `None` if the gateway could not be asked, so that it is tried again.
    fn offered(&mut self, hash: Option<Hash>, asked: bool) {
        self.offered = hash;
        self.asked = asked;
        if hash.is_none() {
            self.stamps = None;
        }
    }

    /// Whether to say now that they were refused; `None` if nothing was offered.
    fn answered(&mut self, taken: bool, reason: &str, now: Monotonic) -> Option<bool> {
        let offered = self.offered.take()?;
        self.ended = false;
        if taken {
            self.in_use = offered;
            self.is_good();
            return Some(false);
        }
        self.refused = Some(offered);
        reason.clone_into(&mut self.reason);
        Some(self.bad(now, self.asked))
    }

    fn is_good(&mut self) {
        self.refused = None;
        self.bad_since = None;
        self.said = false;
    }

    /// Notes that the files are bad; whether to say so now, which is once.
    fn bad(&mut self, now: Monotonic, asked: bool) -> bool {
        let since = *self.bad_since.get_or_insert(now);
        let is_time = now.saturating_duration_since(since) >= SETTLING;
        let say = asked || (is_time && !self.said);
        self.said |= say;
        say
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Hash = [0; 32];
    const MIXED: Hash = [1; 32];
    const NEW: Hash = [2; 32];

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_ns(1).after(Duration::from_secs(seconds))
    }

    fn offer(state: &mut State, hash: Hash, seconds: u64) -> Next {
        let next = state.read(hash, at(seconds), false);
        if next == Next::Offer {
            state.offered(Some(hash), false);
        }
        next
    }

    #[test]
    fn who_asks_hears_that_nothing_has_changed() {
        let mut state = State::new(OLD);
        assert_eq!(state.read(OLD, at(0), false), Next::Nothing);
        assert_eq!(state.read(OLD, at(0), true), Next::SayUnchanged);
    }

    #[test]
    fn a_pair_that_is_replaced_one_file_after_the_other_is_taken_without_a_word() {
        let mut state = State::new(OLD);
        assert_eq!(offer(&mut state, MIXED, 0), Next::Offer);
        assert_eq!(state.answered(false, "mixed", at(0)), Some(false));
        assert_eq!(
            offer(&mut state, MIXED, 2),
            Next::Nothing,
            "it was refused, and waits"
        );
        assert_eq!(offer(&mut state, NEW, 4), Next::Offer);
        assert_eq!(state.answered(true, "", at(4)), Some(false));
        assert_eq!((state.in_use, state.bad_since), (NEW, None));
        assert_eq!(state.read(NEW, at(6), false), Next::Nothing);
        assert_eq!(state.answered(true, "", at(6)), None, "nothing was offered");
    }

    #[test]
    fn what_stays_bad_is_said_once() {
        let mut state = State::new(OLD);
        assert_eq!(offer(&mut state, MIXED, 0), Next::Offer);
        assert_eq!(state.answered(false, "mixed", at(0)), Some(false));
        assert!(state.settles(), "until it is said, it is looked at");
        assert_eq!(offer(&mut state, MIXED, 4), Next::Nothing);
        assert_eq!(offer(&mut state, MIXED, 5), Next::SayRefused);
        assert_eq!(state.reason, "mixed");
        assert_eq!(offer(&mut state, MIXED, 60), Next::Nothing);
        assert!(!state.settles());
        assert_eq!(state.read(OLD, at(61), false), Next::Nothing, "and back again");
        assert_eq!(offer(&mut state, MIXED, 70), Next::Offer, "and bad again");
    }

    #[test]
    fn a_file_that_is_gone_is_said_once_if_it_stays_away() {
        let mut state = State::new(OLD);
        assert!(!state.unreadable(at(0), false));
        assert!(!state.unreadable(at(4), false));
        assert!(state.unreadable(at(5), false));
        assert!(!state.unreadable(at(9), false));
        assert!(state.unreadable(at(9), true), "somebody asked");
        assert_eq!(offer(&mut state, NEW, 10), Next::Offer);
    }

    #[test]
    fn who_asks_gets_the_reason_at_once() {
        let mut state = State::new(OLD);
        assert_eq!(state.read(MIXED, at(0), true), Next::Offer);
        state.offered(Some(MIXED), true);
        assert_eq!(state.answered(false, "mixed", at(0)), Some(true));
        assert_eq!(offer(&mut state, MIXED, 60), Next::Nothing, "it was said");
        assert_eq!(state.read(MIXED, at(61), true), Next::SayRefused);
    }

    #[test]
    fn files_that_end_their_gateway_are_not_offered_to_the_next() {
        let mut state = State::new(OLD);
        assert_eq!(offer(&mut state, MIXED, 0), Next::Offer);
        assert!(state.awaits_answer(true, at(1)));
        assert!(!state.awaits_answer(false, at(1)), "it died");
        assert_eq!(offer(&mut state, MIXED, 2), Next::Nothing);
        assert_eq!(offer(&mut state, MIXED, 6), Next::SayRefused);
        assert_eq!(state.in_use, OLD);
        // It may have died of something else, so whoever asks has them tried again; and hears of an answer,
        // if there is one.
        assert_eq!(state.read(MIXED, at(7), true), Next::Offer);
        state.offered(Some(MIXED), true);
        assert_eq!(state.answered(false, "mixed", at(8)), Some(true));
        assert_eq!(state.read(MIXED, at(9), true), Next::SayRefused);
    }

    #[test]
    fn a_gateway_that_is_not_there_is_asked_later() {
        let mut state = State::new(OLD);
        state.looked_at(vec![None]);
        assert_eq!(state.read(NEW, at(0), false), Next::Offer);
        state.offered(None, false);
        assert_eq!(state.stamps, None, "so that they are read again");
        assert_eq!(state.read(NEW, at(2), false), Next::Offer);
    }

    #[test]
    fn what_a_gateway_says_does_not_steer_a_terminal() {
        assert_eq!(printable(b"bad\x1b[2J\n"), "bad\u{fffd}[2J\u{fffd}");
    }
}
