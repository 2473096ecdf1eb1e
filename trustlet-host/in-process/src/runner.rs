//! A trustlet in the hands of a test.

use hacher_libos_net::attach::Attachment;
use hacher_libos_net::{Failure, Input, Output, Trustlet};

/// A handler without captured state, for a [`Runner`] that is to be named in a type.
pub type Handler = fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure>;

/// A trustlet that a test drives: step by step, or for as long as it likes.
pub struct Runner<H>(Trustlet<H>);

impl<H> Runner<H>
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    /// Serves `handler` at the place of `attachment`.
    pub fn new(handler: H, attachment: Attachment) -> Self {
        Self(Trustlet::attached(handler, attachment))
    }

    /// Does the next thing that can be done now; `false` if there was none.
    pub fn turn(&mut self) -> bool {
        self.0.turn()
    }

    /// Does everything that can be done now, without sleeping.
    pub fn settle(&mut self) {
        while self.turn() {}
    }

    /// Does what comes before sleep, and sleeps until there is something to do. A ring of its bell ends it.
    pub fn rest(&mut self) {
        self.0.rest();
    }

    /// Serves until `stop` says so; it is asked whenever the trustlet has done something or was woken.
    pub fn serve_until(&mut self, mut stop: impl FnMut() -> bool) {
        while !stop() {
            if !self.turn() {
                self.rest();
            }
        }
    }
}
