//! A guest at work: what its monitor does, what the others try, and what must not be seen.

use super::super::{self as simulated, ENCRYPTED, Machine, Processor, Ring};
use super::saboteur::{Fault, PLACES, Saboteur, WORDS, secret};
use crate::frame::Frame;
use crate::ledger::{Boot, PageLedger, Purpose, SpaceId};
use crate::rmp::{Permissions, Vmpl};
use crate::space::{Access, Space};
use crate::state::{SVME, VMGEXIT, level_of, word};
use crate::svsm::area::CallingArea;
use crate::svsm::core_protocol::{CoreProtocol, number};
use crate::svsm::dispatcher::{Dispatcher, PagesAlone};
use crate::svsm::virtual_processors::VirtualProcessors;
use crate::svsm::{Call, Code, Registers};
use std::collections::BTreeMap;

/// Pages of the guest: the monitor's, those that the operating system begins with, and others.
const PAGES: usize = 56;
const MONITORS: u64 = 2;
const LAUNCHED: u64 = 40;
const SPACES_MAX: usize = 4;
const REGIONS_MAX: usize = 4;
/// The operating system's processors, and their features.
const IDS: [u32; 2] = [0, 1];
const FEATURES: u64 = 1;
/// Firmware: the last page, which nobody can write.
const READ_ONLY: u64 = PAGES as u64 - 1;

struct Trustlet {
    space: Space,
    /// What was mapped, and how.
    expected: BTreeMap<u64, (Frame, Access)>,
}

struct Region {
    frame: Frame,
    writer: Option<SpaceId>,
}

/// The guest.
pub(super) struct World {
    hardware: Saboteur,
    ledger: PageLedger,
    area: Option<CallingArea>,
    dispatcher: Dispatcher,
    /// Where processors run from.
    running: Vec<Frame>,
    trustlets: Vec<Trustlet>,
    regions: Vec<Region>,
    next_space: u32,
    random: fastrand::Rng,
    has_hypervisor: bool,
    /// Whether hypervisor or processor have done something that may stop or hinder the monitor.
    is_disturbed: bool,
}

type Step = Result<(), String>;

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> Self {
        let mut machine = Machine::new(PAGES);
        for number in 0..LAUNCHED {
            let level = if number < MONITORS {
                Vmpl::MONITOR
            } else {
                Vmpl::OPERATING_SYSTEM
            };
            let frame = machine.frame(usize::try_from(number).unwrap());
            machine.launch(frame, level);
        }
        let mut ledger = PageLedger::new(0..PAGES as u64, |number| match number {
            ..MONITORS => Boot::Monitor,
            MONITORS..LAUNCHED => Boot::System,
            READ_ONLY => Boot::ReadOnly,
            _ => Boot::NotValidated,
        });
        machine.forbid_writing(machine.frame(PAGES - 1));
        let adopted = ledger.adopt_read_only(&mut machine, []);
        adopted.expect("memory that nobody has touched");
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            // In every fourth world hypervisor and processor do what they should: there everything succeeds.
            has_hypervisor: !seed.is_multiple_of(4),
            hardware: Saboteur::new(machine, random.fork(), seed % 4 == 3, fault),
            ledger,
            area: None,
            dispatcher: Dispatcher::new(VirtualProcessors::new(IDS.to_vec(), FEATURES)),
            running: Vec::new(),
            trustlets: Vec::new(),
            regions: Vec::new(),
            next_space: 1,
            random,
            is_disturbed: false,
        }
    }

    /// A page has a new use, and is empty.
    fn begin_page(&mut self, frame: Frame) {
        let written = &mut self.hardware.inner().written;
        written.retain(|&(of, _), _| of != frame);
    }

    /// Whether the hypervisor has stopped it, which it may.
    pub(super) fn is_over(&mut self) -> bool {
        self.hardware.inner().machine.has_stopped()
    }

    /// Somebody does something; what went wrong.
    pub(super) fn step(&mut self) -> Step {
        match self.random.u16(..1000) {
            0..250 => self.system_attacks(),
            250..400 => self.system_calls()?,
            400..430 => self.processor_begins_or_ends()?,
            430..450 => self.hypervisor_runs()?,
            450..500 => self.begin_trustlet(),
            500..520 => self.end_trustlet()?,
            520..620 => self.map_private()?,
            620..660 => self.begin_region(),
            660..730 => self.map_region()?,
            730..760 => self.unmap()?,
            760..780 => self.change_region()?,
            780..785 => self.show_region()?,
            785..985 => self.trustlet_acts()?,
            _ if self.has_hypervisor => self.hypervisor_acts(),
            _ => {}
        }
        self.check()
    }

    fn page(&mut self) -> Frame {
        let number = self.random.usize(..PAGES);
        self.hardware.inner().machine.frame(number)
    }

    fn system_attacks(&mut self) {
        let frame = self.page();
        self.hardware.inner().attack(frame);
    }

    /// A call with a list, whose page changes while the monitor reads it.
    fn system_calls(&mut self) -> Step {
        let random = &mut self.random;
        let list = random.u64(..PAGES as u64 + 1) * 4096 + 8 * random.u64(..4);
        let count = random.u64(1..5);
        let mut words = vec![count];
        for _ in 0..count {
            let flags = match random.u8(..8) {
                0 => random.u64(..4096),
                1 => 0b1100,
                2..5 => 0b0100,
                _ => 0,
            };
            words.push((random.u64(..PAGES as u64 + 2) * 4096) | flags);
        }
        if random.u8(..20) == 0 {
            words[0] = random.u64(..);
        }
        let number = *random
            .choice(&[
                number::VALIDATE,
                number::DEPOSIT,
                number::DEPOSIT,
                number::WITHDRAW,
                number::REMAP_AREA,
            ])
            .unwrap();
        let inner = self.hardware.inner();
        for (address, &word) in (list..).step_by(8).zip(&words) {
            let _ = inner.system.store(&mut inner.machine, address, word);
        }
        let answered = self.serve(
            number,
            Registers {
                rcx: list,
                ..Registers::default()
            },
        );
        if let Some(area) = self.area {
            let _ = area.take(&mut self.hardware, &self.ledger);
        }
        answered
    }

    /// A call of the core protocol, which is answered with a code whatever it says.
    fn serve(&mut self, number: u32, mut registers: Registers) -> Step {
        CoreProtocol {
            hardware: &mut self.hardware,
            ledger: &mut self.ledger,
            area: &mut self.area,
            processors: &mut self.dispatcher.processors,
            caller: None,
            spoken: &[],
        }
        .serve(number, &mut registers);
        match Code::of_rax(registers.rax) {
            Some(_) => Ok(()),
            None => Err(format!("no code: {:#x}", registers.rax)),
        }
    }

    /// A state that the operating system writes, as it has to be or not, and a call about it or about another
    /// page.
    fn processor_begins_or_ends(&mut self) -> Step {
        let random = &mut self.random;
        let page = random.u64(..PAGES as u64);
        let wrong = random.u8(..6);
        let level = if wrong == 0 { random.u64(..4) } else { 2 };
        let efer = if wrong == 1 { 0 } else { SVME };
        let features = if wrong == 2 { random.u64(..3) } else { FEATURES };
        let (number, rdx, r8) = match random.u8(..3) {
            0 => (number::DELETE_PROCESSOR, 0, 0),
            _ => (
                number::CREATE_PROCESSOR,
                random.u64(..PAGES as u64) * 4096 + 8 * random.u64(..2),
                random.u64(..3),
            ),
        };
        let inner = self.hardware.inner();
        for (index, value) in [
            (word::LEVELS, level << 16),
            (word::EFER, efer),
            (word::FEATURES, features),
        ] {
            let at = page * 4096 + 8 * index as u64;
            let _ = inner.system.store(&mut inner.machine, at, value);
        }
        self.serve(
            number,
            Registers {
                rcx: page * 4096,
                rdx,
                r8,
                ..Registers::default()
            },
        )
    }

    /// The hypervisor has processors run from any page, and stops them; the monitor looks whether one calls.
    fn hypervisor_runs(&mut self) -> Step {
        let frame = self.page();
        let random = &mut self.random;
        match random.u8(..4) {
            0 if !self.running.is_empty() => {
                let stopped = self.running.swap_remove(random.usize(..self.running.len()));
                let call = Call {
                    protocol: 0,
                    number: random.u32(..9),
                };
                let registers = [(word::RAX, call.rax()), (word::RCX, frame.address())];
                let exit_code = if random.bool() { VMGEXIT } else { 0x60 };
                self.hardware
                    .inner()
                    .machine
                    .leave(stopped, exit_code, &registers);
            }
            1 => {
                let id = random.u32(..3);
                let mut pages = PagesAlone {
                    hardware: &mut self.hardware,
                    ledger: &mut self.ledger,
                };
                self.dispatcher.serve(&mut pages, id);
            }
            // States are few, so it looks for some.
            _ => {
                let machine = &mut self.hardware.inner().machine;
                let all = (0..PAGES).map(|number| machine.frame(number));
                let marked: Vec<Frame> = all.filter(|&frame| machine.state(frame).0).collect();
                let frame = random.choice(marked).unwrap_or(frame);
                match machine.enter(frame) {
                    Some(Vmpl::OPERATING_SYSTEM) => self.running.push(frame),
                    Some(level) => return Err(format!("a processor runs at {level:?}")),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn begin_trustlet(&mut self) {
        if self.trustlets.len() >= SPACES_MAX {
            return;
        }
        let id = SpaceId(self.next_space);
        self.next_space += 1;
        if let Ok(space) = Space::new(&mut self.hardware, &mut self.ledger, id, ENCRYPTED) {
            let processor = || Processor::new(Vmpl::TRUSTLETS, Ring::User { cr3: space.cr3() });
            let processors = [processor(), processor()];
            self.hardware.inner().processors.push((id.0, processors));
            self.trustlets.push(Trustlet {
                space,
                expected: BTreeMap::new(),
            });
        }
    }

    fn end_trustlet(&mut self) -> Step {
        if self.trustlets.is_empty() {
            return Ok(());
        }
        let at = self.random.usize(..self.trustlets.len());
        let Trustlet { space, expected } = self.trustlets.swap_remove(at);
        let id = space.id();
        // Whoever ends a space has made sure that it runs nowhere.
        let processors = &mut self.hardware.inner().processors;
        processors.retain(|(of, _)| *of != id.0);
        let ended = space.end(&mut self.hardware, &mut self.ledger);
        for region in self.regions.iter_mut().filter(|region| region.writer == Some(id)) {
            region.writer = None;
        }
        self.done(ended)?;
        for (frame, _) in expected.into_values() {
            if self.ledger.purpose(frame) == Some(Purpose::Code) {
                let released = self.ledger.release(&mut self.hardware, frame);
                self.done(released)?;
            }
        }
        Ok(())
    }

    fn map_private(&mut self) -> Step {
        let Some(at) = self.any_trustlet() else {
            return Ok(());
        };
        let is_code = self.random.u8(..4) == 0;
        let purpose = match is_code {
            true => Purpose::Code,
            false => Purpose::Private(self.trustlets[at].space.id()),
        };
        let Ok(frame) = self.ledger.take(&mut self.hardware, purpose) else {
            return Ok(());
        };
        self.begin_page(frame);
        let trustlet = &mut self.trustlets[at];
        let address = *self.random.choice(&PLACES).unwrap();
        let access = if self.random.bool() {
            Access::Write
        } else {
            Access::Read
        };
        let mapped = trustlet
            .space
            .map(&mut self.hardware, &mut self.ledger, address, frame, access);
        if mapped.is_ok() {
            trustlet.expected.insert(address, (frame, access));
            return Ok(());
        }
        let released = self.ledger.release(&mut self.hardware, frame);
        self.done(released)
    }

    fn begin_region(&mut self) {
        let writer = self.any_trustlet().map(|at| self.trustlets[at].space.id());
        if self.regions.len() >= REGIONS_MAX {
            return;
        }
        if let Ok(frame) = self.ledger.take(&mut self.hardware, Purpose::Region { writer }) {
            self.begin_page(frame);
            self.regions.push(Region { frame, writer });
        }
    }

    fn map_region(&mut self) -> Step {
        let (Some(at), false) = (self.any_trustlet(), self.regions.is_empty()) else {
            return Ok(());
        };
        let region = &self.regions[self.random.usize(..self.regions.len())];
        let trustlet = &mut self.trustlets[at];
        let address = *self.random.choice(&PLACES).unwrap();
        let access = match self.random.u8(..4) {
            0 => Access::Execute,
            1..3 => Access::Write,
            _ => Access::Read,
        };
        let mapped = trustlet.space.map(
            &mut self.hardware,
            &mut self.ledger,
            address,
            region.frame,
            access,
        );
        if mapped.is_ok() {
            let may = access == Access::Read
                || access == Access::Write && region.writer == Some(trustlet.space.id());
            if !may {
                return Err(format!(
                    "{access:?} of a region was given to one who is not its writer"
                ));
            }
            trustlet.expected.insert(address, (region.frame, access));
        }
        Ok(())
    }

    fn unmap(&mut self) -> Step {
        let Some(at) = self.any_trustlet() else {
            return Ok(());
        };
        let trustlet = &mut self.trustlets[at];
        let address = *self.random.choice(&PLACES).unwrap();
        let found = trustlet
            .space
            .unmap(&mut self.hardware, &mut self.ledger, address);
        let expected = trustlet.expected.remove(&address).map(|(frame, _)| frame);
        if found != expected {
            return Err(format!("{found:?} was mapped and not {expected:?}"));
        }
        match found {
            Some(frame)
                if matches!(
                    self.ledger.purpose(frame),
                    Some(Purpose::Private(_) | Purpose::Code)
                ) =>
            {
                let released = self.ledger.release(&mut self.hardware, frame);
                self.done(released)
            }
            _ => Ok(()),
        }
    }

    /// A region gets another writer, where nobody writes it, or ends, where nobody has it.
    fn change_region(&mut self) -> Step {
        if self.regions.is_empty() {
            return Ok(());
        }
        let at = self.random.usize(..self.regions.len());
        let writer = self.any_trustlet().map(|at| self.trustlets[at].space.id());
        let region = &mut self.regions[at];
        let frame = region.frame;
        let of_frame = |trustlet: &Trustlet| {
            let mapped = trustlet.expected.values().filter(|(mapped, _)| *mapped == frame);
            mapped.map(|(_, access)| *access).collect::<Vec<_>>()
        };
        let mapped: Vec<Access> = self.trustlets.iter().flat_map(of_frame).collect();
        let to_be_written = self.random.bool();
        let is_in_use = if to_be_written {
            mapped.contains(&Access::Write)
        } else {
            !mapped.is_empty()
        };
        let changed = if to_be_written {
            let set = self.ledger.set_writer(frame, writer);
            if set.is_ok() {
                region.writer = writer;
            }
            set
        } else {
            let released = self.ledger.release(&mut self.hardware, frame);
            if released.is_ok() {
                self.regions.swap_remove(at);
            }
            released
        };
        match changed {
            Ok(()) if is_in_use => Err("a region was changed that is in use".to_owned()),
            Err(_) if is_in_use => Ok(()),
            changed => self.done(changed),
        }
    }

    /// The operating system may read a region that nobody writes secrets to any more.
    fn show_region(&mut self) -> Step {
        if self.regions.len() < REGIONS_MAX {
            return Ok(());
        }
        let at = self.random.usize(..self.regions.len());
        let frame = self.regions[at].frame;
        let mut written = self.hardware.inner().written.keys();
        let is_silent = !written.any(|&(of, _)| of == frame);
        let is_mapped = self
            .trustlets
            .iter()
            .any(|trustlet| trustlet.expected.values().any(|&(mapped, _)| mapped == frame));
        if !is_silent || is_mapped {
            return Ok(());
        }
        // Nobody can write it from here on, so what is stolen later was stolen elsewhere.
        let silenced = self.ledger.set_writer(frame, None);
        self.regions.swap_remove(at);
        let shown = silenced.and_then(|()| self.ledger.show(&mut self.hardware, frame));
        self.done(shown)?;
        if self.random.bool() {
            let released = self.ledger.release(&mut self.hardware, frame);
            self.done(released)?;
        }
        Ok(())
    }

    fn trustlet_acts(&mut self) -> Step {
        let Some(at) = self.any_trustlet() else {
            return Ok(());
        };
        let random = &mut self.random;
        let page = match random.u8(..8) {
            0 => random.u64(..PAGES as u64) * 4096,
            _ => *random.choice(&PLACES).unwrap(),
        };
        let address = page + 8 * random.u64(..WORDS as u64);
        let (action, number) = (random.u8(..8), random.u64(..));
        let trustlet = &self.trustlets[at];
        let id = trustlet.space.id();
        let inner = self.hardware.inner();
        let (machine, processors, written) = (&mut inner.machine, &mut inner.processors, &mut inner.written);
        let of_trustlet = processors.iter_mut().find(|(of, _)| *of == id.0);
        let processor = &mut of_trustlet.ok_or("a trustlet without processors")?.1[random.usize(..2)];
        let expected = trustlet.expected.get(&page).copied();
        let of_page = |frame| (frame, address % 4096 / 8);
        let met = match action {
            0 => match (processor.fetch(machine, address), expected) {
                (Ok(_), Some((_, Access::Execute))) => return Ok(()),
                (Ok(_), _) => return Err("a trustlet executes what is no code".to_owned()),
                (Err(fault), _) => fault,
            },
            1..4 => {
                let word = secret(id.0, number);
                match (processor.store(machine, address, word), expected) {
                    (Ok(()), Some((frame, Access::Write))) => {
                        written.insert(of_page(frame), word);
                        return Ok(());
                    }
                    (Ok(()), expected) => return Err(format!("a trustlet writes to {expected:?}")),
                    (Err(fault), _) => fault,
                }
            }
            _ => match (processor.load(machine, address), expected) {
                (Ok(word), Some((frame, _))) => {
                    let written = written.get(&of_page(frame)).copied().unwrap_or(0);
                    if word == written {
                        return Ok(());
                    }
                    return Err(format!("trustlet {} reads {word:#x} for {written:#x}", id.0));
                }
                (Ok(_), None) => return Err("a trustlet reads where nothing is mapped".to_owned()),
                (Err(fault), _) => fault,
            },
        };
        match (met, expected) {
            (simulated::Fault::NotValidated, Some((frame, _))) => {
                let permissions = Permissions::READ.and(Permissions::WRITE);
                self.hardware.is_missed(frame, permissions);
                Ok(())
            }
            // It has what it was given.
            (fault, Some((_, Access::Write))) if action != 0 && !self.is_disturbed => {
                Err(format!("a trustlet does not get at its page: {fault:?}"))
            }
            _ => Ok(()),
        }
    }

    fn hypervisor_acts(&mut self) {
        let (one, other, which) = (self.page_of_interest(), self.page(), self.random.u8(..8));
        let machine = &mut self.hardware.inner().machine;
        match which {
            0 => machine.assign(one, false),
            1 => machine.assign(one, true),
            2 if one != other => machine.exchange(one, other),
            _ => machine.alternate(one),
        }
        self.is_disturbed = true;
    }

    /// More often than not one that a trustlet has.
    fn page_of_interest(&mut self) -> Frame {
        let any = self.page();
        let Some(at) = self.any_trustlet().filter(|_| self.random.u8(..8) > 0) else {
            return any;
        };
        let mapped = self.trustlets[at].expected.values();
        let mapped: Vec<Frame> = mapped.map(|&(frame, _)| frame).collect();
        self.random.choice(mapped).unwrap_or(any)
    }

    fn any_trustlet(&mut self) -> Option<usize> {
        (!self.trustlets.is_empty()).then(|| self.random.usize(..self.trustlets.len()))
    }

    /// What has to succeed, unless the hypervisor is in the way.
    fn done<E: core::fmt::Debug>(&mut self, result: Result<(), E>) -> Step {
        self.is_disturbed |= self.hardware.inner().has_refused;
        match result {
            Err(error) if !self.is_disturbed => Err(format!("{error:?}")),
            _ => Ok(()),
        }
    }

    /// What holds after every step.
    fn check(&mut self) -> Step {
        let inner = self.hardware.inner();
        self.is_disturbed |= inner.has_refused;
        if let Some(word) = inner.wrong {
            return Err(format!(
                "a trustlet has read {word:#x}, which was not written there last"
            ));
        }
        if let Some(word) = inner.stolen {
            return Err(format!("the operating system has read a secret: {word:#x}"));
        }
        let machine = &inner.machine;
        if machine.has_stopped() {
            // In the middle of something, and for ever.
            return if self.is_disturbed {
                Ok(())
            } else {
                Err("the monitor has stopped, and nobody took a page from it".to_owned())
            };
        }
        for number in 0..PAGES {
            let frame = machine.frame(number);
            let of = |level| machine.permissions(frame, level);
            let (trustlets, below) = (of(Vmpl::One), [of(Vmpl::Two), of(Vmpl::Three)]);
            // The operating system may give the lowest level what it has itself.
            let is_shown = self.ledger.is_shown(frame) && Permissions::READ.contain(below[1]);
            let is_apart = below == [Permissions::NONE; 2] || is_shown && Permissions::READ.contain(below[0]);
            let fits = self.ledger.is_lost(frame)
                || match self.ledger.purpose(frame) {
                    Some(purpose) => is_apart && purpose.permissions().contain(trustlets),
                    None if self.ledger.is_read_only(frame) => {
                        trustlets == Permissions::NONE
                            && below
                                .into_iter()
                                .all(|of| Permissions::READ_AND_EXECUTE.contain(of))
                    }
                    None if self.ledger.is_of_system(frame) => trustlets == Permissions::NONE,
                    None => is_apart && trustlets == Permissions::NONE,
                };
            if !fits {
                return Err(format!("page {number} may be {trustlets:?}, {below:?}"));
            }
            let is_lost = self.ledger.is_lost(frame);
            match machine.state(frame) {
                (true, _) if !self.ledger.is_state(frame) && !is_lost => {
                    return Err(format!("page {number} is marked as a state, and has another use"));
                }
                (true, _) if below != [Permissions::NONE; 2] || trustlets != Permissions::NONE => {
                    return Err(format!("page {number} is a state that others reach"));
                }
                (true, _) if level_of(machine, frame) != 2 => {
                    return Err(format!("page {number} is a state of another level"));
                }
                (_, true) if !self.ledger.is_state(frame) => {
                    return Err(format!("a processor runs from page {number}, which is no state"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
