//! How many bytes of long bodies move before the gateway looks at its sockets again.
//!
//! One thread serves all connections. What a short request needs of it are microseconds; a body of many
//! megabytes, or many of them, would keep it for tens of milliseconds. So after its first segment a body
//! moves by turns: one body at a time, in the order of asking, and between two turns everybody else gets
//! theirs.

//! Nobody holds a turn: it is given, and the next one comes whether or not it was taken. Whether a body goes
//! on is its client's doing, too (HTTP/2 has windows), and one that does not must not be in the way of
//! others.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;

/// What moves in one turn: some ten microseconds of copying, many times what a look at the sockets costs.
pub(super) const BYTES_AT_ONCE: usize = 128 << 10;

/// Says whose turn it is.
#[derive(Default)]
pub(super) struct Pace {
    /// Since the event loop looked last, or longer.
    moved_bytes: Cell<usize>,
    /// Who waits for a turn, in the order of asking.
    waiting: RefCell<VecDeque<oneshot::Sender<()>>>,
    /// Told when somebody waits.
    asked: Notify,
}

impl Pace {
    /// Whether `bytes` may move at once; they are counted then.
    #[must_use]
    pub(super) fn may_move(&self, bytes: usize) -> bool {
        let may = self.moved_bytes.get() < BYTES_AT_ONCE && self.waiting.borrow().is_empty();
        if may {
            self.count(bytes);
        }
        may
    }

    /// Waits until `bytes` may move, and counts them.
    pub(super) async fn turn(&self, bytes: usize) {
        if self.may_move(bytes) {
            return;
        }
        let (given, turn) = oneshot::channel();
        self.waiting.borrow_mut().push_back(given);
        self.asked.notify_one();
        // Nothing but a turn ends this wait: no sender is dropped while `self` is there.
        let _ = turn.await;
        self.count(bytes);
    }

    /// Gives turns, for ever: one each time that the event loop has looked at all sockets.
    pub(super) async fn give_turns(&self) {
        loop {
            while self.waiting.borrow().is_empty() {
                self.asked.notified().await;
            }
            // Comes back when it has looked.
            yield_now().await;
            self.moved_bytes.set(0);
            self.give_turn();
        }
    }

    fn give_turn(&self) {
        let mut waiting = self.waiting.borrow_mut();
        // Who has gone meanwhile is passed over.
        while let Some(next) = waiting.pop_front() {
            if next.send(()).is_ok() {
                return;
            }
        }
    }

    fn count(&self, bytes: usize) {
        self.moved_bytes.set(self.moved_bytes.get().saturating_add(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::{Context, Waker};
    use std::pin::pin;
    use std::rc::Rc;
    use tokio::task::{LocalSet, spawn_local};

    fn run<F: Future<Output = ()>>(test: impl FnOnce(Rc<Pace>) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let pace = Rc::new(Pace::default());
            let giver = Rc::clone(&pace);
            spawn_local(async move { giver.give_turns().await });
            test(pace).await;
        });
    }

    #[test]
    fn long_bodies_move_in_turns_and_others_get_theirs_between_two() {
        run(async |pace| {
            let told = Rc::new(RefCell::new(Vec::new()));
            let bodies = ["a", "b", "c"].map(|name| {
                let (pace, told) = (Rc::clone(&pace), Rc::clone(&told));
                spawn_local(async move {
                    for _ in 0..4 {
                        pace.turn(BYTES_AT_ONCE).await;
                        told.borrow_mut().push(name);
                    }
                })
            });
            // Everybody else: comes by at each round of the event loop.
            let rounds = Rc::new(Cell::new(0));
            let counted = Rc::clone(&rounds);
            let other = spawn_local(async move {
                loop {
                    yield_now().await;
                    counted.set(counted.get() + 1);
                }
            });
            for body in bodies {
                body.await.unwrap();
            }
            other.abort();
            let told = told.borrow();
            // The first turn is free, and "a" is back before the others have asked.
            assert_eq!(told[0], "a");
            assert_eq!(told[1..10], ["a", "b", "c"].repeat(3));
            assert!(rounds.get() >= told.len() - 2, "{} rounds", rounds.get());
        });
    }

    #[test]
    fn who_gives_up_waiting_is_in_nobodys_way() {
        run(async |pace| {
            pace.turn(BYTES_AT_ONCE).await;
            let waiting = Rc::clone(&pace);
            let gone = spawn_local(async move { waiting.turn(1).await });
            yield_now().await;
            gone.abort();
            let _ = gone.await;
            pace.turn(1).await;
            assert!(pace.may_move(1));
        });
    }

    #[test]
    fn who_does_not_take_a_turn_is_in_nobodys_way() {
        run(async |pace| {
            pace.turn(BYTES_AT_ONCE).await;
            // As a body whose client has closed its window: it has asked, and is not looked at again.
            let mut stuck = pin!(pace.turn(1));
            assert!(
                stuck
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
            for _ in 0..3 {
                pace.turn(BYTES_AT_ONCE).await;
            }
        });
    }
}
