//! Other projects' transports as subjects of `hacher-fabric bench`.

pub mod iceoryx;
pub mod nats;

use hacher_fabric::bench::subject::{Cores, Identity, Place, Subject};
use hacher_fabric::command::Failed;
use std::path::{Path, PathBuf};

/// A subject that could be started.
#[derive(Debug, Clone)]
pub struct Peer {
    /// What reports will call it.
    pub identity: Identity,
    /// How many hops it can have.
    pub hops_max: u32,
    kind: Kind,
    program: PathBuf,
    cores: Cores,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Iceoryx(iceoryx::Waiting),
    Nats,
}

impl Peer {
    /// Starts it. `None`, after a notice, if this machine lacks what it takes.
    ///
    /// # Errors
    /// When what it takes is there and fails.
    pub fn start(&self) -> Result<Option<Box<dyn Subject>>, Failed> {
        let Identity {
            placement, touched, ..
        } = self.identity;
        if placement == Place::Spread && self.cores.away.is_none() {
            eprintln!("{} is left out: there is one core", self.identity.transport);
            return Ok(None);
        }
        match self.kind {
            Kind::Iceoryx(waiting) => {
                let pair = iceoryx::Pair::new(&self.program, waiting, placement, self.cores, touched)?;
                Ok(Some(Box::new(pair)))
            }
            Kind::Nats => nats::Chain::start(&self.program, placement, self.cores, self.hops_max),
        }
    }
}

/// All of them. Chains have up to `hops_max` hops. Their processes are started from this executable, which must call
/// [`dispatch`] first thing.
#[must_use]
pub fn subjects(cores: Cores, hops_max: u32) -> Vec<Peer> {
    subjects_of(&hacher_fabric::bench::peer::this_program(), cores, hops_max)
}

/// As [`subjects`], for a caller that is another program than `hacher-bench`, whose executable it names.
#[must_use]
pub fn subjects_of(program: &Path, cores: Cores, hops_max: u32) -> Vec<Peer> {
    let peer = |identity, hops_max, kind| Peer {
        identity,
        hops_max,
        kind,
        program: program.to_owned(),
        cores,
    };
    let mut all = Vec::new();
    for touched in [true, false] {
        for waiting in [iceoryx::Waiting::Busy, iceoryx::Waiting::Event] {
            all.push(peer(waiting.identity(touched), 1, Kind::Iceoryx(waiting)));
        }
    }
    for placement in [Place::Packed, Place::Floating] {
        all.push(peer(nats::identity(placement), hops_max, Kind::Nats));
    }
    all
}

/// Runs this process as a part of a subject if it was started as one.
#[must_use]
pub fn dispatch() -> Option<std::process::ExitCode> {
    let result = match std::env::args_os().next()?.to_str()? {
        iceoryx::ROLE => iceoryx::peer(),
        nats::ROLE => nats::peer(),
        _ => return None,
    };
    Some(hacher_fabric::command::finish(result))
}
