//! What the monitor tells the daemon.

use super::ledger::Owner;
use crate::calls::{self, EventNumber, GATEWAY_PROCESS, ReplyHeader};
use crate::ids::{ChainId, GatewayId, InstanceNumber};
use alloc::vec::Vec;
use hacher_data_path::fault::end::End;

/// SIGKILL: what the monitor ends processes with.
const SIGKILL: u32 = 9;

/// Why the service ends a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Its run took longer than its function's timeout.
    Overran,
    /// Nobody waits for what it runs any more.
    Unwanted,
    /// It and what it had started took more memory than they may have together. The platform says so; nobody
    /// can ask for it.
    OutOfMemory,
    /// Anything else: it broke a rule, never served, or the service stops.
    Other,
}

impl EndReason {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Other | Self::OutOfMemory => 0,
            Self::Overran => 1,
            Self::Unwanted => 2,
        }
    }

    /// The reason with this number; [`Self::Other`] for one that has none.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Overran,
            2 => Self::Unwanted,
            _ => Self::Other,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Whether a signal ended it.
    pub signalled: bool,
    /// The exit code, or the signal's number.
    pub code: u32,
    /// How long it lived, in nanoseconds.
    pub lived_ns: u64,
    /// Why the service had ended it, if it had, or the kernel in its place.
    pub asked: Option<EndReason>,
}

impl Exit {
    /// How the process ended. What was asked for and did not come to pass, because the process had ended by
    /// itself, does not count.
    #[must_use]
    pub const fn end(&self) -> End {
        match (self.signalled, self.code, self.asked) {
            (true, SIGKILL, Some(EndReason::Overran)) => End::Overran,
            (true, SIGKILL, Some(EndReason::Unwanted)) => End::Unwanted,
            (true, SIGKILL, Some(EndReason::OutOfMemory)) => End::OutOfMemory,
            (true, SIGKILL, Some(EndReason::Other)) => End::Ended,
            (true, number, _) => End::Signalled(number),
            (false, code, _) => End::Exited(code),
        }
    }
}

impl Exit {
    const fn from_end(end: End, lived_ns: u64) -> Self {
        let (signalled, code, asked) = match end {
            End::Exited(code) => (false, code, None),
            End::Signalled(number) => (true, number, None),
            End::Overran => (true, SIGKILL, Some(EndReason::Overran)),
            End::Unwanted => (true, SIGKILL, Some(EndReason::Unwanted)),
            End::OutOfMemory => (true, SIGKILL, Some(EndReason::OutOfMemory)),
            _ => (true, SIGKILL, Some(EndReason::Other)),
        };
        Self {
            signalled,
            code,
            lived_ns,
            asked,
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An instance serves.
    InstanceReady {
        /// Which.
        owner: Owner,
        /// Its epoch.
        epoch: u32,
    },
    /// An instance's process is gone; it can be created again.
    InstanceDied {
        /// Which.
        owner: Owner,
        /// The epoch that ended.
        epoch: u32,
        /// How it ended.
        exit: Exit,
    },
    /// A chain can run.
    ChainSealed {
        /// Which.
        chain: ChainId,
    },
    /// All chains are defined.
    Loaded {
        /// How many there are.
        chain_count: u32,
    },
    /// A system call was refused to an instance, for the first time.
    CallRefused {
        /// To which.
        chain: ChainId,
        /// Its number in the chain.
        instance: InstanceNumber,
    },
    /// The monitor stops.
    ShuttingDown {
        /// How long trustlets have to finish.
        grace_ns: u64,
    },
}

impl Event {
    /// The message for the daemon.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let numbers = |owner| match owner {
            Owner::Function(chain, instance) => [u64::from(chain.0), u64::from(instance.0)],
            Owner::Gateway(gateway) => [GATEWAY_PROCESS, u64::from(gateway.0)],
        };
        let (number, values) = match *self {
            Self::InstanceReady { owner, epoch } => {
                let [chain, instance] = numbers(owner);
                (
                    EventNumber::InstanceReady,
                    [chain, instance, u64::from(epoch), 0, 0, 0],
                )
            }
            Self::InstanceDied { owner, epoch, exit } => {
                let [chain, instance] = numbers(owner);
                let values = [
                    chain,
                    instance,
                    u64::from(epoch),
                    u64::from(exit.end().encode().0),
                    u64::from(exit.end().encode().1),
                    exit.lived_ns,
                ];
                (EventNumber::InstanceDied, values)
            }
            Self::ChainSealed { chain } => (EventNumber::ChainSealed, [u64::from(chain.0), 0, 0, 0, 0, 0]),
            Self::Loaded { chain_count } => (EventNumber::Loaded, [u64::from(chain_count), 0, 0, 0, 0, 0]),
            Self::CallRefused { chain, instance } => {
                let [chain, instance] = numbers(Owner::Function(chain, instance));
                (EventNumber::CallRefused, [chain, instance, 0, 0, 0, 0])
            }
            Self::ShuttingDown { grace_ns } => (EventNumber::ShuttingDown, [grace_ns, 0, 0, 0, 0, 0]),
        };
        let header = ReplyHeader {
            protocol: calls::PROTOCOL,
            call: number.number(),
            values,
            ..ReplyHeader::default()
        };
        calls::message(&header, &[])
    }

    /// The event that a message carries; `None` if it is none of this version.
    #[must_use]
    pub fn decode(header: &ReplyHeader) -> Option<Self> {
        let [first, second, third, fourth, fifth, sixth] = header.values;
        let narrow = |value: u64| u32::try_from(value).ok();
        let owner = |chain: u64, instance: u64| {
            let instance = narrow(instance)?;
            Some(match chain {
                GATEWAY_PROCESS => Owner::Gateway(GatewayId(instance)),
                chain => Owner::Function(ChainId(narrow(chain)?), InstanceNumber(instance)),
            })
        };
        Some(match EventNumber::from_number(header.call)? {
            EventNumber::InstanceReady => Self::InstanceReady {
                owner: owner(first, second)?,
                epoch: narrow(third)?,
            },
            EventNumber::InstanceDied => Self::InstanceDied {
                owner: owner(first, second)?,
                epoch: narrow(third)?,
                exit: Exit::from_end(End::decode(narrow(fourth)?, narrow(fifth)?)?, sixth),
            },
            EventNumber::ChainSealed => Self::ChainSealed {
                chain: ChainId(narrow(first)?),
            },
            EventNumber::Loaded => Self::Loaded {
                chain_count: narrow(first)?,
            },
            EventNumber::CallRefused => Self::CallRefused {
                chain: ChainId(narrow(first)?),
                instance: InstanceNumber(narrow(second)?),
            },
            EventNumber::ShuttingDown => Self::ShuttingDown { grace_ns: first },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromBytes;

    #[test]
    fn what_was_asked_for_explains_a_kill_and_nothing_else() {
        let mut exit = Exit {
            signalled: true,
            code: SIGKILL,
            lived_ns: 1,
            asked: None,
        };
        assert_eq!(exit.end(), End::Signalled(9));
        for (asked, end) in [
            (EndReason::Overran, End::Overran),
            (EndReason::Unwanted, End::Unwanted),
            (EndReason::Other, End::Ended),
        ] {
            assert_eq!(EndReason::from_number(asked.number()), asked);
            exit.asked = Some(asked);
            assert_eq!(exit.end(), end);
            // It ended by itself just before.
            assert_eq!(Exit { code: 11, ..exit }.end(), End::Signalled(11));
            let exited = Exit {
                signalled: false,
                code: 3,
                ..exit
            };
            assert_eq!(exited.end(), End::Exited(3));
        }
    }

    #[test]
    fn an_event_is_read_back_as_it_was_written() {
        let exit = Exit {
            signalled: true,
            code: 9,
            lived_ns: 77,
            asked: Some(EndReason::Overran),
        };
        let alone = Exit { asked: None, ..exit };
        for event in [
            Event::InstanceReady {
                owner: Owner::Gateway(GatewayId(2)),
                epoch: 2,
            },
            Event::InstanceDied {
                owner: Owner::Function(ChainId(3), InstanceNumber(4)),
                epoch: 5,
                exit,
            },
            Event::InstanceDied {
                owner: Owner::Gateway(GatewayId(0)),
                epoch: 5,
                exit: alone,
            },
            Event::ChainSealed { chain: ChainId(1) },
            Event::Loaded { chain_count: 2 },
            Event::CallRefused {
                chain: ChainId(3),
                instance: InstanceNumber(1),
            },
            Event::ShuttingDown { grace_ns: 9 },
        ] {
            let (header, rest) = ReplyHeader::read_from_prefix(&event.encode())
                .map(|(header, rest)| (header, rest.to_vec()))
                .unwrap();
            assert!(rest.is_empty());
            assert_eq!(header.sequence, 0);
            assert_eq!(Event::decode(&header), Some(event));
        }
    }
}
