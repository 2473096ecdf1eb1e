//! Records go through a chain of three, and a hostile trustlet tries its whole list beside them. After each
//! attack the chain has to answer again.

use crate::board::Machine;
use crate::chain::{self, FUNCTION_COUNT, HOSTILE_CHAIN, TEXT_CHAIN};
use crate::serial::say;
use crate::turns::{End, News, Turns};
use alloc::format;
use alloc::string::{String, ToString};
use core::ops::Range;
use hacher_monitor_core::calls::{Call, GATEWAY_PROCESS};
use hacher_monitor_core::core::{Caller, Core};
use hacher_monitor_core::evidence::emulated;
use hacher_monitor_core::evidence::{Evidence, Manifest, NONCE_BYTES};
use hacher_monitor_core::ids::ProcessId;
use hacher_snp::frame::{FRAME_BYTES, Frame};
use hacher_snp::ledger::{Boot, PageLedger};
use hacher_snp::platform::Snp;
use hacher_snp_bare::attack::{Attack, Outcome};

/// What the chain makes of a record, as its gateway says it. It has compared the text before.
const ANSWERED: &str = "answered";
/// Answers after an attack: the first may be to what was asked before it.
const ANSWERS_AFTER: u32 = 2;
/// Turns that a trustlet may spin for whose attack is to spin. How many another one needs depends on how fast the
/// machine is.
const TAKEN_MAX: u64 = 500;
/// How long anything may take.
const PATIENCE_NS: u64 = 20_000_000_000;
/// The function of the chain that is replaced, by its number.
const REPLACED: u64 = 2;
/// What a hostile trustlet ends with when nothing came of its attack.
const CODE_NOTHING: u64 = 0;

/// Runs it.
///
/// # Errors
/// What was not as it should be.
pub(crate) fn run(mut machine: Machine, frames: &Range<u64>) -> Result<(), String> {
    let mut ledger = PageLedger::new(frames.clone(), |_| Boot::System);
    for number in frames.clone() {
        let frame = Frame::at(number * FRAME_BYTES as u64).ok_or("a page at no address")?;
        ledger
            .deposit(&mut machine, frame)
            .map_err(|error| error.to_string())?;
    }
    let core = Core::new(Snp::new(machine, ledger)).map_err(|error| error.to_string())?;
    let mut stage = Stage {
        turns: Turns::new(core),
        gateway: ProcessId(u64::MAX),
        answers: 0,
        may_end: None,
    };
    chain::define(&mut stage.turns.core)?;
    chain::create(&mut stage.turns.core, [GATEWAY_PROCESS, 0, 0, 0, 0, 0])?;
    for instance in 1..=FUNCTION_COUNT {
        chain::create(&mut stage.turns.core, [TEXT_CHAIN, instance, 0, 0, 0, 0])?;
    }
    let born = stage.turns.take_newborn();
    stage.gateway = *born.first().ok_or("no trustlet was born")?;
    say_evidence(&mut stage.turns.core)?;
    stage.answer()?;
    say!("a chain of three functions answers, each record sealed from hop to hop");
    let mut failures = 0;
    let spare = stage.spare_pages();
    for (number, &attack) in Attack::ALL.iter().enumerate() {
        failures += u32::from(!stage.attack(number, attack)?);
        stage.answer()?;
        if stage.spare_pages() != spare {
            return Err(format!(
                "of {spare} spare pages, {} came back",
                stage.spare_pages()
            ));
        }
    }
    say!("all pages of the hostile trustlets came back: {spare} are spare");
    say!("{} attacks, and after each the chain answers", Attack::ALL.len());
    let upper = *born.get(REPLACED as usize).ok_or("a function was not born")?;
    stage.replace(upper)?;
    say!("a function was killed and replaced, and the chain answers");
    match failures {
        0 => Ok(()),
        _ => Err(format!(
            "{failures} attacks came to something else than they have to"
        )),
    }
}

/// What the monitor says of itself, checked as a verifier does.
fn say_evidence(core: &mut Core<Snp<Machine>>) -> Result<(), String> {
    let nonce = [7; NONCE_BYTES];
    let operand = chain::call(core, (Caller::Daemon, Call::Evidence), [0; 6], &nonce, [].into())?;
    let evidence = Evidence::decode(&operand).map_err(|error| error.to_string())?;
    let data = evidence.expected_report_data(&nonce);
    emulated::verify(&evidence.report, &data).map_err(|error| error.to_string())?;
    let manifest = Manifest::decode(&evidence.manifest).map_err(|error| error.to_string())?;
    say!(
        "evidence: emulated, verified against its nonce, platform {}",
        manifest.platform
    );
    Ok(())
}

struct Stage {
    turns: Turns,
    /// Who speaks for the chain.
    gateway: ProcessId,
    /// Answers of the chain so far.
    answers: u32,
    /// The trustlet that may end; all others serve for ever.
    may_end: Option<ProcessId>,
}

impl Stage {
    /// Goes on until `done`, or nobody has patience any more.
    fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self, Option<News>) -> Result<Option<T>, String>,
    ) -> Result<T, String> {
        let begin_ns = self.turns.now_ns();
        loop {
            let news = self.turns.step();
            if let Some(News::Printed(process, line)) = &news {
                let name = self.turns.core.name_of(*process).unwrap_or_default();
                say!("{name}: {line}");
                self.answers += u32::from(*process == self.gateway && line.starts_with(ANSWERED));
            }
            if let Some(News::Ended(process, end)) = &news
                && self.may_end != Some(*process)
            {
                return Err(format!("trustlet {process} of the chain ended: {end:?}"));
            }
            if let Some(found) = done(self, news)? {
                return Ok(found);
            }
            if self.turns.now_ns().saturating_sub(begin_ns) > PATIENCE_NS {
                return Err(format!("{what} took too long"));
            }
        }
    }

    /// Pages that nobody has.
    fn spare_pages(&mut self) -> usize {
        let (_, ledger) = self.turns.core.platform_mut().memory();
        ledger.spare()
    }

    /// Waits until the chain has answered what was asked from now on.
    fn answer(&mut self) -> Result<(), String> {
        let wanted = self.answers + ANSWERS_AFTER;
        self.until(
            "an answer",
            |stage, _| Ok((stage.answers >= wanted).then_some(())),
        )
    }

    /// Kills a function and starts it again: its successor goes on where it was.
    fn replace(&mut self, function: ProcessId) -> Result<(), String> {
        self.may_end = Some(function);
        self.turns.core.end(function);
        self.until("the end of a function", |_, news| {
            Ok(matches!(news, Some(News::Ended(ended, End::Killed)) if ended == function).then_some(()))
        })?;
        self.may_end = None;
        chain::create(&mut self.turns.core, [TEXT_CHAIN, REPLACED, 0, 0, 0, 0])?;
        self.turns.take_newborn();
        self.answer()
    }

    /// Lets the hostile trustlet live once more; whether there came of it what has to.
    fn attack(&mut self, number: usize, attack: Attack) -> Result<bool, String> {
        say!("attack {}: {}", number + 1, attack.words());
        chain::create(&mut self.turns.core, [HOSTILE_CHAIN, 1, 0, 0, 0, 0])?;
        let born = self.turns.take_newborn();
        let &[process] = born.as_slice() else {
            return Err(format!("{} trustlets were born", born.len()));
        };
        self.may_end = Some(process);
        let spins = matches!(attack.outcome(), Outcome::Spins);
        let mut spun = false;
        let end = self.until(attack.words(), |stage, news| {
            if let Some(News::Ended(ended, end)) = news
                && ended == process
            {
                return Ok(Some(end));
            }
            if spins && !spun && stage.turns.taken(process).is_some_and(|taken| taken > TAKEN_MAX) {
                spun = true;
                say!("the timer has taken the processor from trustlet {process} {TAKEN_MAX} times");
                stage.turns.core.end(process);
            }
            Ok(None)
        })?;
        self.may_end = None;
        let is_as_expected = match attack.outcome() {
            Outcome::Exception(vector) => matches!(end, End::Fault(fault) if fault.vector() == Some(vector)),
            Outcome::Forbidden => matches!(end, End::Fault(fault) if fault.is_forbidden()),
            Outcome::AnyException => matches!(end, End::Fault(fault) if fault.vector().is_some()),
            Outcome::Spins => spun && end == End::Killed,
            Outcome::Killed => !spun && end == End::Killed,
            Outcome::Nothing => end == End::Code(CODE_NOTHING),
        };
        if !is_as_expected {
            say!(
                "FAILED: it should come to {:?}, and was {end:?}",
                attack.outcome()
            );
        }
        Ok(is_as_expected)
    }
}
