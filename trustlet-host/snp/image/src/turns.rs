//! Whose turn it is: each trustlet that has something to do runs until it calls, errs, or its turn is over.

use crate::board::Machine;
use crate::clock::{self, INTERRUPTS_AT};
use crate::fault::Fault;
use crate::paging;
use crate::registers::Registers;
use crate::serial::{say, visible};
use crate::traps::CALL;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use hacher_data_path::attach::message::{MessageHeader, kind};
use hacher_data_path::machine::clock::Monotonic;
use hacher_monitor_core::core::{Core, Exit};
use hacher_monitor_core::ids::ProcessId;
use hacher_snp::frame::Frame;
use hacher_snp::platform::{Board, Newborn, RunsNowhere, Served, Snp};
use zerocopy::FromBytes;

/// Interrupts of both controllers.
const INTERRUPTS_END: u64 = INTERRUPTS_AT + 16;
/// The signal that Linux has for a process that errs: what the core tells the next life of an instance.
const SIGSEGV: u32 = 11;
const SIGKILL: u32 = 9;

/// How a trustlet ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with this code.
    Code(u64),
    /// It did what it may not.
    Fault(Fault),
    /// The monitor ended it.
    Killed,
}

/// What happened, for whoever watches.
#[derive(Debug)]
pub(crate) enum News {
    /// A trustlet printed a line.
    Printed(ProcessId, String),
    /// A trustlet has ended.
    Ended(ProcessId, End),
}

struct Running {
    process: ProcessId,
    cr3: u64,
    registers: Box<Registers>,
    /// Until when it sleeps, unless it is woken.
    sleeps_until_ns: Option<u64>,
    began_ns: u64,
    /// How often the timer took the processor from it.
    taken: u64,
}

/// The monitor, and the trustlets that it runs.
pub(crate) struct Turns {
    /// The monitor's core.
    pub(crate) core: Core<Snp<Machine>>,
    running: Vec<Running>,
    /// Whose turn is next.
    next: usize,
}

impl Turns {
    /// Nothing runs yet.
    pub(crate) const fn new(core: Core<Snp<Machine>>) -> Self {
        Self {
            core,
            running: Vec::new(),
            next: 0,
        }
    }

    /// Nanoseconds since the machine started.
    pub(crate) fn now_ns(&mut self) -> u64 {
        self.core.platform_mut().board().now_ns()
    }

    /// How often the timer took the processor from a trustlet; `None` if it does not run.
    pub(crate) fn taken(&self, process: ProcessId) -> Option<u64> {
        self.running
            .iter()
            .find(|running| running.process == process)
            .map(|running| running.taken)
    }

    /// Takes the trustlets that the core has started; their numbers.
    pub(crate) fn take_newborn(&mut self) -> Vec<ProcessId> {
        let mut taken = Vec::new();
        while let Some(newborn) = self.core.platform_mut().take_newborn() {
            let Newborn {
                process,
                cr3,
                entry,
                stack,
                heap_at,
                heap_bytes,
            } = newborn;
            let root = Frame::at(cr3).expect("tables begin at a page, and no address is encrypted here");
            paging::share(self.core.platform_mut().board(), root);
            let began_ns = self.now_ns();
            self.running.push(Running {
                process,
                cr3,
                registers: Registers::begin(entry, stack, heap_at, heap_bytes),
                sleeps_until_ns: None,
                began_ns,
                taken: 0,
            });
            taken.push(process);
        }
        taken
    }

    /// Gives the next trustlet that has something to do one turn. `None` if nothing happened that is of
    /// interest.
    pub(crate) fn step(&mut self) -> Option<News> {
        let now_ns = self.now_ns();
        self.core.set_time(Monotonic::from_ns(now_ns));
        // Nobody reads them here.
        while self.core.next_event().is_some() {}
        for _ in 0..self.running.len() {
            let index = self.next;
            self.next = (self.next + 1) % self.running.len().max(1);
            let Some(process) = self.running.get(index).map(|running| running.process) else {
                continue;
            };
            if self.core.platform().is_killed(process) {
                return Some(self.end(process, End::Killed));
            }
            if self.is_awake(index, now_ns) {
                return self.turn(index);
            }
        }
        // Everybody sleeps. The monitor's code is built with a red zone in part, so no interrupt may come,
        // and it looks again until somebody's time has come.
        core::hint::spin_loop();
        None
    }

    fn is_awake(&mut self, index: usize, now_ns: u64) -> bool {
        let Some(running) = self.running.get_mut(index) else {
            return false;
        };
        let Some(until_ns) = running.sleeps_until_ns else {
            return true;
        };
        let is_awake = until_ns <= now_ns || self.core.platform_mut().is_awake(running.process);
        if is_awake {
            running.sleeps_until_ns = None;
            running.registers.rax = 0;
        }
        is_awake
    }

    fn turn(&mut self, index: usize) -> Option<News> {
        let running = self.running.get_mut(index)?;
        let process = running.process;
        if !running.registers.run(running.cr3) {
            return Some(self.end(process, End::Fault(Fault::Nowhere)));
        }
        match running.registers.vector {
            CALL => self.call(index),
            INTERRUPTS_AT..INTERRUPTS_END => {
                if running.registers.vector == INTERRUPTS_AT {
                    clock::end_turn();
                    running.taken += 1;
                }
                None
            }
            _ => {
                let fault = Fault::of(&running.registers);
                Some(self.end(process, End::Fault(fault)))
            }
        }
    }

    fn call(&mut self, index: usize) -> Option<News> {
        let running = self.running.get_mut(index)?;
        let process = running.process;
        let Registers {
            rax, rdi, rsi, rdx, ..
        } = *running.registers;
        let served = self.core.platform_mut().call(process, rax, [rdi, rsi, rdx]);
        let answer = |running: &mut Running, answer| running.registers.rax = answer;
        match served {
            Served::Answer(word) => answer(running, word),
            Served::Sleeps { until_ns } => running.sleeps_until_ns = Some(until_ns),
            Served::Says(message) => {
                answer(running, 0);
                self.hear(process, &message);
            }
            Served::Prints(text) => {
                answer(running, 0);
                return Some(News::Printed(process, visible(&text)));
            }
            Served::Ended(code) => return Some(self.end(process, End::Code(code))),
        }
        None
    }

    /// A trustlet said something: that it is ready, or else what no trustlet here has to say.
    fn hear(&mut self, process: ProcessId, message: &[u8]) {
        let is_ready = MessageHeader::read_from_prefix(message)
            .is_ok_and(|(header, rest)| header.kind == kind::READY && header.count == 0 && rest.is_empty());
        if !is_ready || !self.core.ready(process) {
            self.core.end(process);
        }
    }

    /// A trustlet has ended: what it had goes back, and the core is told.
    fn end(&mut self, process: ProcessId, end: End) -> News {
        let now_ns = self.now_ns();
        let began_ns = self
            .running
            .iter()
            .find(|running| running.process == process)
            .map_or(now_ns, |running| running.began_ns);
        self.running.retain(|running| running.process != process);
        self.next = 0;
        let name = self.core.name_of(process).unwrap_or_default();
        match end {
            End::Code(code) => say!("trustlet {process} ({name}) ended with code {code}"),
            End::Fault(fault) => say!("trustlet {process} ({name}) ended: {fault}"),
            End::Killed => say!("trustlet {process} ({name}) was ended"),
        }
        // There is one processor, and it runs the monitor.
        self.core.platform_mut().reap(process, RunsNowhere::vouched());
        let (signalled, code) = match end {
            End::Code(code) => (false, u32::try_from(code).unwrap_or(u32::MAX)),
            End::Fault(_) => (true, SIGSEGV),
            End::Killed => (true, SIGKILL),
        };
        self.core.died(
            process,
            Exit {
                signalled,
                code,
                lived_ns: now_ns.saturating_sub(began_ns),
                asked: None,
            },
        );
        News::Ended(process, end)
    }
}
