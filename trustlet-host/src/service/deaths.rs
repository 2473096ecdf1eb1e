//! Deaths of trustlets that the daemon may not have told of. It writes the line about each, as it knows what
//! the process was at work on; but it may be dead itself, or die before it has. The monitor keeps each death
//! until the daemon has created the replacement, which it does after it has told, and tells of what is left
//! when there is no daemon.

use crate::core::{EndReason, Exit, Whom};
use crate::lines::About;
use hacher_libos_net::Cause;
use hacher_libos_net::end::Signal;
use std::collections::BTreeMap;

/// Deaths, at most one of each instance.
#[derive(Debug, Default)]
pub(super) struct Untold(BTreeMap<Whom, Exit>);

impl Untold {
    /// A process has ended.
    pub(super) fn note(&mut self, whom: Whom, exit: Exit) {
        self.0.insert(whom, exit);
    }

    /// The daemon has created its replacement.
    pub(super) fn is_told(&mut self, whom: &Whom) {
        self.0.remove(whom);
    }

    /// There is no daemon: tells of what is left.
    pub(super) fn tell(&mut self) {
        for (whom, exit) in core::mem::take(&mut self.0) {
            let about = About {
                chain: &whom.chain,
                function: &whom.function,
                instance: whom.ordinal,
                ..About::default()
            };
            let how = how(exit);
            tell!(Warning, about; "{whom} {how}");
        }
    }
}

/// What became of a process, as the rest of a sentence about it.
fn how(exit: Exit) -> String {
    let stopped = |cause: Cause| format!("was stopped: {}", cause.text());
    match exit.asked {
        Some(EndReason::Overran) => stopped(Cause::TimedOut),
        Some(EndReason::Unwanted) => stopped(Cause::Unwanted),
        Some(EndReason::OutOfMemory) => stopped(Cause::OutOfMemory),
        _ if exit.signalled => format!("was killed by signal {}", Signal(exit.code)),
        _ => format!("exited with code {}", exit.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whom(ordinal: u32) -> Whom {
        Whom {
            chain: "t".to_owned(),
            function: "f".to_owned(),
            ordinal: Some(ordinal),
        }
    }

    const EXIT: Exit = Exit {
        signalled: false,
        code: 3,
        lived_ns: 0,
        asked: None,
    };

    #[test]
    fn a_death_is_left_to_the_daemon_only_until_it_has_replaced_the_process() {
        let mut untold = Untold::default();
        untold.note(whom(0), EXIT);
        untold.note(whom(1), EXIT);
        untold.is_told(&whom(0));
        assert_eq!(untold.0.keys().collect::<Vec<_>>(), [&whom(1)]);
        untold.tell();
        assert!(untold.0.is_empty(), "it is told once");
    }

    #[test]
    fn what_became_of_a_process_stands_behind_its_name() {
        assert_eq!(whom(0).to_string(), "function `f` of chain `t` (#0)");
        assert_eq!(how(EXIT), "exited with code 3");
        let killed = Exit {
            signalled: true,
            code: 9,
            ..EXIT
        };
        assert!(how(killed).starts_with("was killed by signal 9"));
        for (reason, words) in [
            (EndReason::Overran, "the handler took longer than its timeout"),
            (EndReason::OutOfMemory, "the handler used up its memory"),
            (EndReason::Unwanted, "nobody waited for the run any more"),
        ] {
            let asked = Some(reason);
            assert_eq!(how(Exit { asked, ..killed }), format!("was stopped: {words}"));
        }
    }
}
