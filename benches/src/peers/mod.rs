//! Other projects' transports as subjects.

pub mod iceoryx;
pub mod nats;

use crate::experiment::Guest;
use crate::peer::this_program;
use crate::subject::{Place, Started};
use iceoryx::{Iceoryx, Waiting};
use std::path::{Path, PathBuf};

/// All of them. Their processes are started from this executable, which must call [`crate::role::played`]
/// first thing.
#[must_use]
pub fn guests() -> Vec<Guest> {
    guests_of(&this_program())
}

/// As [`guests`], for a caller that is another program than `hacher-bench`, whose executable it names.
#[must_use]
pub fn guests_of(program: &Path) -> Vec<Guest> {
    let mut guests = Vec::new();
    for touched in [true, false] {
        for waiting in [Waiting::Busy, Waiting::Event] {
            guests.push(iceoryx(program.to_owned(), waiting, touched));
        }
    }
    for place in [Place::Packed, Place::Floating] {
        guests.push(nats(program.to_owned(), place));
    }
    guests
}

fn iceoryx(program: PathBuf, waiting: Waiting, touched: bool) -> Guest {
    Box::new(move |cores, _hops_max| {
        if waiting == Waiting::Busy && cores.away.is_none() {
            let notice = "iceoryx2-busy is left out: there is one core";
            return Ok(Started::LeftOut(notice.to_owned()));
        }
        let subject = Iceoryx::new(&program, waiting, touched, cores)?;
        Ok(Started::Ready(Box::new(subject)))
    })
}

fn nats(program: PathBuf, place: Place) -> Guest {
    Box::new(move |cores, hops_max| nats::Chain::start(&program, place, cores, hops_max))
}
