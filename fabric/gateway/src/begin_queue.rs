//! Requests that wait for a function which can begin with another record: one that is in the middle of an
//! upload cannot. One at a time is told to begin, and the next one when that has happened, so a place that
//! becomes free wakes one request.
//!
//! The client with the fewest uploads under way goes first, and of equals the one that has waited longest: a
//! client that uploads much does not keep others out once a place is free.

use super::client::Client;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use tokio::sync::oneshot;

/// So many who have gone may stand in a queue in any case.
const GONE_MAX: usize = 16;

/// The queue in front of one chain.
#[derive(Default)]
pub(super) struct BeginQueue {
    waiting: RefCell<VecDeque<Waiting>>,
    /// How long it is when it is looked through for those who have gone.
    looks_at: Cell<usize>,
    /// Uploads under way, by client.
    uploads: RefCell<BTreeMap<Client, u32>>,
    /// Whether a record could begin now.
    is_open: Cell<bool>,
    /// Whether a request was told to begin, and has not begun.
    is_told: Cell<bool>,
}

struct Waiting {
    client: Client,
    told: oneshot::Sender<Turn>,
}

/// The turn to begin. Dropped, it is over, whether or not something has begun.
pub(super) struct Turn(Rc<BeginQueue>);

/// An upload that is under way.
pub(super) struct UnderWay {
    queue: Rc<BeginQueue>,
    client: Client,
}

impl BeginQueue {
    /// A queue that nobody waits in.
    pub(super) fn new() -> Rc<Self> {
        let queue = Self::default();
        queue.is_open.set(true);
        Rc::new(queue)
    }

    /// Waits for the turn of a request of this client.
    pub(super) async fn turn(self: &Rc<Self>, client: Client) -> Turn {
        loop {
            if self.is_open.get() && !self.is_told.get() && self.waiting.borrow().is_empty() {
                return self.tell();
            }
            let (told, turn) = oneshot::channel();
            self.push(Waiting { client, told });
            // Fails only if the queue lets go of somebody who waits, which it does not.
            if let Ok(turn) = turn.await {
                return turn;
            }
        }
    }

    /// Adds one who waits. Those who have gone leave when twice as many stand here as did when they last
    /// left: a queue that stays closed is no longer than twice those who wait.
    fn push(&self, next: Waiting) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.looks_at.get().max(GONE_MAX) {
            waiting.retain(|waiting| !waiting.told.is_closed());
            self.looks_at.set(2 * waiting.len());
        }
        waiting.push_back(next);
    }

    /// Says whether a record could begin now.
    pub(super) fn set_open(self: &Rc<Self>, is_open: bool) {
        self.is_open.set(is_open);
        self.tell_next();
    }

    /// Counts an upload of this client that is under way.
    pub(super) fn count(self: &Rc<Self>, client: Client) -> UnderWay {
        *self.uploads.borrow_mut().entry(client).or_default() += 1;
        UnderWay {
            queue: Rc::clone(self),
            client,
        }
    }

    fn tell(self: &Rc<Self>) -> Turn {
        self.is_told.set(true);
        Turn(Rc::clone(self))
    }

    fn tell_next(self: &Rc<Self>) {
        if !self.is_open.get() || self.is_told.get() {
            return;
        }
        if let Some(next) = self.take_next() {
            // It waits, so it takes the turn; if it goes first, the turn goes to the next one.
            drop(next.told.send(self.tell()));
        }
    }

    fn take_next(&self) -> Option<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|waiting| !waiting.told.is_closed());
        let uploads = self.uploads.borrow();
        let uploads_of = |client: &Client| uploads.get(client).copied().unwrap_or(0);
        let ranked = waiting.iter().enumerate();
        let (next, _) = ranked.min_by_key(|(_, waiting)| uploads_of(&waiting.client))?;
        waiting.remove(next)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.is_told.set(false);
        self.0.tell_next();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut uploads = self.queue.uploads.borrow_mut();
        if let Some(count) = uploads.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                uploads.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::{Pin, pin};
    use core::task::{Context, Poll, Waker};

    #[test]
    fn who_has_gone_leaves_a_queue_that_stays_closed() {
        let queue = BeginQueue::new();
        queue.set_open(false);
        let mut context = Context::from_waker(Waker::noop());
        let mut stays = pin!(queue.turn(client(1)));
        assert!(stays.as_mut().poll(&mut context).is_pending());
        for _ in 0..10_000 {
            let mut goes = Box::pin(queue.turn(client(2)));
            assert!(goes.as_mut().poll(&mut context).is_pending());
        }
        assert!(queue.waiting.borrow().len() <= 2 * GONE_MAX);
        queue.set_open(true);
        assert!(stays.as_mut().poll(&mut context).is_ready());
    }

    fn client(last: u8) -> Client {
        Client::at([192, 0, 2, last].into())
    }

    /// What a request has after another look.
    fn look(turn: Pin<&mut impl Future<Output = Turn>>) -> Option<Turn> {
        match turn.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_client_with_the_fewest_uploads_goes_first_and_one_at_a_time() {
        let queue = BeginQueue::new();
        let _under_way = [1, 1, 2].map(|last| queue.count(client(last)));
        queue.set_open(false);
        let mut of_one = pin!(queue.turn(client(1)));
        let mut of_two = pin!(queue.turn(client(2)));
        let mut of_three = pin!(queue.turn(client(3)));
        let mut again = pin!(queue.turn(client(3)));
        assert!(look(of_one.as_mut()).is_none() && look(of_two.as_mut()).is_none());
        assert!(look(of_three.as_mut()).is_none() && look(again.as_mut()).is_none());
        queue.set_open(true);
        let turn = look(of_three.as_mut()).expect("it has no upload under way");
        let others = [look(of_one.as_mut()), look(of_two.as_mut()), look(again.as_mut())];
        assert!(others.iter().all(Option::is_none), "one place wakes one");
        // It has begun, and there is still a place.
        let begun = queue.count(client(3));
        drop(turn);
        assert!(look(again.as_mut()).is_none() && look(of_one.as_mut()).is_none());
        let turn = look(of_two.as_mut()).expect("of two with one upload each, it has waited longer");
        drop(begun);
        drop(turn);
        assert!(look(again.as_mut()).is_some());
        assert!(look(of_one.as_mut()).is_some());
    }

    #[test]
    fn a_turn_that_nobody_takes_goes_to_the_next() {
        let queue = BeginQueue::new();
        queue.set_open(false);
        let (mut gone, mut told) = (Box::pin(queue.turn(client(1))), Box::pin(queue.turn(client(1))));
        let mut next = pin!(queue.turn(client(1)));
        assert!(look(gone.as_mut()).is_none() && look(told.as_mut()).is_none());
        assert!(look(next.as_mut()).is_none());
        drop(gone);
        queue.set_open(true);
        // Told, and gone before it has looked.
        drop(told);
        assert!(look(next.as_mut()).is_some());
    }

    #[test]
    fn nobody_who_comes_goes_before_those_who_wait() {
        let queue = BeginQueue::new();
        queue.set_open(false);
        let mut first = pin!(queue.turn(client(1)));
        assert!(look(first.as_mut()).is_none());
        queue.set_open(true);
        let mut late = pin!(queue.turn(client(1)));
        assert!(look(late.as_mut()).is_none(), "the other one was told");
        drop(look(first.as_mut()));
        assert!(look(late.as_mut()).is_some());
        // Closed meanwhile, for nobody.
        queue.set_open(false);
        assert!(look(pin!(queue.turn(client(1))).as_mut()).is_none());
    }
}
