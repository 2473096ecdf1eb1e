//! What is in progress on a connection: a request, the body that is still to come, the reply that is on its
//! way. Each is over when it is dropped, however it ends.

use super::client::Client;
use super::connection::Connection;
use super::drain::{Draining, Fate};
use super::places::Places;
use super::sampling::Traced;
use super::screen::Exchange;
use hacher_libos_net::invocation::InvocationId;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;

/// A request that is being answered on a connection.
pub(super) struct RequestTurn {
    connection: Rc<Connection>,
    places: Rc<Places>,
    drain: Rc<Draining>,
    /// Of a request of a chain.
    fate: Cell<Option<Fate>>,
    identity: Rc<Identity>,
}

/// What is known of a request as it goes on; its line in the access log says it, however the request ends.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The trace that it belongs to.
    pub(super) traced: Cell<Option<Traced>>,
    /// The low half of its id.
    pub(super) invocation: Cell<Option<u64>>,
}

/// A reply whose last byte was not written yet.
pub(super) struct ReplyTurn {
    turn: RequestTurn,
    /// Until hyper has taken the last byte.
    exchange: Option<Rc<Exchange>>,
    number: u64,
}

/// A client that is waited for: the rest of a body of its is to come.
pub(super) struct Awaited(Rc<Connection>);

/// What a body goes by that is read: how fast the bodies of all connections move, and when its client is
/// waited for.
pub(super) struct BodyTurn {
    connection: Rc<Connection>,
    places: Rc<Places>,
}

impl RequestTurn {
    /// On one of these places, to be answered before the gateway ends.
    pub(super) fn new(connection: &Rc<Connection>, places: &Rc<Places>, drain: &Rc<Draining>) -> Self {
        connection.begin_request();
        Self {
            connection: Rc::clone(connection),
            places: Rc::clone(places),
            drain: Rc::clone(drain),
            fate: Cell::new(None),
            identity: Rc::default(),
        }
    }

    /// What is known of the request.
    pub(super) const fn identity(&self) -> &Rc<Identity> {
        &self.identity
    }

    /// The trace that the request belongs to, as far as it is known.
    pub(super) fn traced(&self) -> &Cell<Option<Traced>> {
        &self.identity.traced
    }

    /// The request has got an id.
    pub(super) fn note_invocation(&self, invocation: InvocationId) {
        self.identity.invocation.set(Some(invocation.halves().0));
    }

    /// It goes to a chain: the gateway does not end before it has its answer.
    pub(super) fn admit(&self) {
        self.drain.admit();
        self.fate.set(Some(Fate::Admitted));
    }

    /// It was cut.
    pub(super) fn cut(&self) {
        self.fate.set(Some(Fate::Cut));
    }

    /// Says that the rest of what its client sends will not be read.
    pub(super) fn leave_unread(&self) {
        self.connection.leave_unread();
    }

    /// Whose the connection is.
    pub(super) fn client(&self) -> Client {
        self.connection.client
    }

    /// Whether only health is answered on this connection.
    pub(super) fn is_spare(&self) -> bool {
        self.connection.is_spare
    }

    /// What its body goes by, which may be read beside its reply.
    pub(super) fn body(&self) -> BodyTurn {
        BodyTurn {
            connection: Rc::clone(&self.connection),
            places: Rc::clone(&self.places),
        }
    }

    /// The reply is there, with so many bytes.
    pub(super) fn replies(self, len_bytes: usize, exchange: &Rc<Exchange>) -> ReplyTurn {
        if self.fate.get() == Some(Fate::Admitted) {
            self.fate.set(Some(Fate::Answered));
        }
        let number = self.connection.begin_reply(len_bytes, self.places.now());
        exchange.begin_taking();
        ReplyTurn {
            turn: self,
            exchange: Some(Rc::clone(exchange)),
            number,
        }
    }
}

impl Drop for RequestTurn {
    fn drop(&mut self) {
        if let Some(fate) = self.fate.get() {
            self.drain.over(fate);
        }
        let places = &self.places;
        self.connection.end_request(places.now(), places.next_order());
    }
}

impl ReplyTurn {
    /// Waits until `bytes` of a long reply may move; `None` if they may at once.
    pub(super) fn pace(&self, bytes: usize) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        let places = &self.turn.places;
        (!places.pace().may_move(bytes)).then(|| {
            let places = Rc::clone(places);
            Box::pin(async move { places.pace().turn(bytes).await }) as Pin<Box<dyn Future<Output = ()>>>
        })
    }

    /// Another segment of it was taken over.
    pub(super) fn moves(&self) {
        let RequestTurn {
            connection, places, ..
        } = &self.turn;
        connection.moves_reply(self.number, places.now());
    }

    /// What comes next of it is not here yet: its client is not waited for.
    pub(super) fn awaits(&self) {
        self.turn.connection.awaits_reply(self.number);
    }

    /// hyper has taken its last byte, and may not have written it yet.
    pub(super) fn is_taken(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.end_taking();
        }
    }
}

impl Drop for ReplyTurn {
    fn drop(&mut self) {
        self.is_taken();
        self.turn.connection.end_reply(self.number);
    }
}

impl BodyTurn {
    /// Waits until `bytes` of a long body may move.
    pub(super) async fn pace(&self, bytes: usize) {
        self.places.pace().turn(bytes).await;
    }

    /// The client is waited for, until this is dropped.
    pub(super) fn awaits(&self) -> Awaited {
        self.connection.begin_upload();
        Awaited(Rc::clone(&self.connection))
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.end_upload();
    }
}
