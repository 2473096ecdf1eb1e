//! Page tables of trustlets: in whatever order pages are taken, mapped, unmapped and released, a trustlet
//! reaches what it was given and nothing else, a page has one writer, none is writable and executable, and a
//! new page is empty.

use crate::script::Script;
use hacher_snp::frame::Frame;
use hacher_snp::ledger::{Boot, PageLedger, Purpose, SpaceId};
use hacher_snp::rmp::Vmpl;
use hacher_snp::simulated::{ENCRYPTED, Machine, Processor, Ring};
use hacher_snp::space::{Access, Space};
use std::collections::BTreeMap;

/// Pages, of which the operating system has the first and lends all others.
const PAGES: u64 = 40;
const STEPS_MAX: usize = 200;
const SPACES_MAX: usize = 3;
/// Where trustlets have pages: neighbours, behind other tables, at both ends, and where none can be.
const PLACES: [u64; 9] = [
    0x1000,
    0x2000,
    0x20_0000,
    0x4000_0000,
    0x80_0000_0000,
    0x7fff_ffff_f000,
    0,
    0x8000_0000_0000,
    0x1008,
];

struct Trustlet {
    space: Space,
    processor: Processor,
    mapped: BTreeMap<u64, (Frame, Access)>,
}

struct World {
    machine: Machine,
    ledger: PageLedger,
    trustlets: Vec<Trustlet>,
    /// Pages that were taken for what is mapped.
    pages: Vec<Frame>,
    /// The first word of each, as it was written last.
    written: BTreeMap<Frame, u64>,
    next: u32,
}

/// Does what `bytes` say with page tables.
pub fn page_tables(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut world = World::new();
    for _ in 0..STEPS_MAX {
        if script.is_empty() {
            break;
        }
        match script.u8() % 8 {
            0 => world.begin(),
            1 => world.end(&mut script),
            2 | 3 => world.take(&mut script),
            4 | 5 => world.map(&mut script),
            6 => world.unmap(&mut script),
            _ => world.release(&mut script),
        }
        world.access(&mut script);
    }
    world.finish();
}

impl World {
    fn new() -> Self {
        let mut machine = Machine::new(usize::try_from(PAGES).unwrap());
        let mut ledger = PageLedger::new(0..PAGES, |_| Boot::System);
        for number in 0..PAGES {
            machine.launch(frame(number), Vmpl::OPERATING_SYSTEM);
        }
        for number in 1..PAGES {
            ledger.deposit(&mut machine, frame(number)).unwrap();
        }
        Self {
            machine,
            ledger,
            trustlets: Vec::new(),
            pages: Vec::new(),
            written: BTreeMap::new(),
            next: 1,
        }
    }

    fn begin(&mut self) {
        if self.trustlets.len() >= SPACES_MAX {
            return;
        }
        let id = SpaceId(self.next);
        self.next += 1;
        if let Ok(space) = Space::new(&mut self.machine, &mut self.ledger, id, ENCRYPTED) {
            let ring = Ring::User { cr3: space.cr3() };
            self.trustlets.push(Trustlet {
                space,
                processor: Processor::new(Vmpl::TRUSTLETS, ring),
                mapped: BTreeMap::new(),
            });
        }
    }

    fn end(&mut self, script: &mut Script<'_>) {
        if let Some(at) = self.any(script) {
            let Trustlet { space, .. } = self.trustlets.swap_remove(at);
            space.end(&mut self.machine, &mut self.ledger).unwrap();
            let ledger = &self.ledger;
            self.pages.retain(|&frame| ledger.purpose(frame).is_some());
        }
    }

    fn take(&mut self, script: &mut Script<'_>) {
        let owner = self.any(script).map(|at| self.trustlets[at].space.id());
        let purpose = match (script.u8() % 3, owner) {
            (0, Some(owner)) => Purpose::Private(owner),
            (1, writer) => Purpose::Region { writer },
            _ => Purpose::Code,
        };
        if let Ok(frame) = self.ledger.take(&mut self.machine, purpose) {
            let words = self.machine.words(frame);
            assert!(words.iter().all(|&word| word == 0), "a new page is not empty");
            self.written.remove(&frame);
            self.pages.push(frame);
        }
    }

    fn map(&mut self, script: &mut Script<'_>) {
        let (Some(at), address, access) = (self.any(script), place(script), access(script)) else {
            return;
        };
        let number = u64::from(script.u8());
        // Mostly one that was taken, else any: tables, spare ones, the operating system's.
        let page = match self.pages.get(usize::try_from(number % 16).unwrap()) {
            Some(&page) => page,
            None => frame(number % (PAGES + 1)),
        };
        let trustlet = &mut self.trustlets[at];
        let id = trustlet.space.id();
        let mapped = trustlet
            .space
            .map(&mut self.machine, &mut self.ledger, address, page, access);
        if mapped.is_err() {
            return;
        }
        let may = match (self.ledger.purpose(page), access) {
            (Some(Purpose::Private(of)), Access::Read | Access::Write) => of == id,
            (Some(Purpose::Region { writer }), Access::Write) => writer == Some(id),
            (Some(Purpose::Region { .. } | Purpose::Code), Access::Read)
            | (Some(Purpose::Code), Access::Execute) => true,
            _ => false,
        };
        assert!(may, "{access:?} of a page that was taken for something else");
        assert!(trustlet.mapped.insert(address, (page, access)).is_none());
    }

    fn unmap(&mut self, script: &mut Script<'_>) {
        let (Some(at), address) = (self.any(script), place(script)) else {
            return;
        };
        let trustlet = &mut self.trustlets[at];
        let found = trustlet.space.unmap(&mut self.machine, &mut self.ledger, address);
        assert_eq!(found, trustlet.mapped.remove(&address).map(|(frame, _)| frame));
    }

    fn release(&mut self, script: &mut Script<'_>) {
        let at = usize::from(script.u8());
        let Some(&page) = self.pages.get(at % self.pages.len().max(1)) else {
            return;
        };
        let mut all = self
            .trustlets
            .iter()
            .flat_map(|trustlet| trustlet.mapped.values());
        let is_mapped = all.any(|(mapped, _)| *mapped == page);
        let released = self.ledger.release(&mut self.machine, page);
        assert_eq!(released.is_err(), is_mapped, "{released:?}");
        if released.is_ok() {
            self.pages.retain(|&frame| frame != page);
        }
    }

    /// A trustlet reads, writes or executes somewhere.
    fn access(&mut self, script: &mut Script<'_>) {
        let (Some(at), place, access) = (self.any(script), place(script), access(script)) else {
            return;
        };
        let address = place & !0xfff;
        let trustlet = &mut self.trustlets[at];
        let expected = trustlet.mapped.get(&address).copied();
        let word = u64::from(script.u8()) + 1;
        let (machine, processor) = (&mut self.machine, &mut trustlet.processor);
        match access {
            Access::Write => {
                let stored = processor.store(machine, address, word);
                assert_eq!(stored.is_ok(), matches!(expected, Some((_, Access::Write))));
                if let (Ok(()), Some((frame, _))) = (stored, expected) {
                    self.written.insert(frame, word);
                }
            }
            Access::Read => {
                let loaded = processor.load(machine, address);
                let wanted = expected.map(|(frame, _)| self.written.get(&frame).copied().unwrap_or(0));
                assert_eq!(
                    loaded.ok(),
                    wanted.filter(|_| address % 8 == 0 && expected.is_some())
                );
            }
            Access::Execute => {
                let fetched = processor.fetch(machine, address);
                assert_eq!(fetched.is_ok(), matches!(expected, Some((_, Access::Execute))));
            }
        }
    }

    /// All pages come back.
    fn finish(mut self) {
        for Trustlet { space, .. } in self.trustlets.drain(..) {
            space.end(&mut self.machine, &mut self.ledger).unwrap();
        }
        for page in self.pages {
            if self.ledger.purpose(page).is_some() {
                self.ledger.release(&mut self.machine, page).unwrap();
            }
        }
        assert_eq!(self.ledger.spare() as u64, PAGES - 1, "a page is lost");
        assert!(!self.machine.has_stopped());
    }

    fn any(&self, script: &mut Script<'_>) -> Option<usize> {
        usize::from(script.u8()).checked_rem(self.trustlets.len())
    }
}

fn place(script: &mut Script<'_>) -> u64 {
    PLACES[usize::from(script.u8()) % PLACES.len()]
}

fn access(script: &mut Script<'_>) -> Access {
    [Access::Read, Access::Write, Access::Execute][usize::from(script.u8()) % 3]
}

fn frame(number: u64) -> Frame {
    Frame::at(number * 4096).unwrap()
}
