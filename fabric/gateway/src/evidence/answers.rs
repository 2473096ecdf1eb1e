//! Answers that are kept for whoever asks the same again: a few, and no more than a small part of what nobody
//! has reserved.

use super::question::Question;
use crate::budget::Charge;
use bytes::Bytes;
use std::collections::VecDeque;
use std::rc::Rc;

/// Answers that are kept.
const KEPT_MAX: usize = 16;

/// Evidence, and the memory that it takes; as long as anybody has it.
pub(in super::super) struct Kept {
    pub(in super::super) bytes: Bytes,
    _charge: Charge,
}

impl Kept {
    /// Of what was read and charged.
    pub(super) fn new(bytes: Vec<u8>, mut charge: Charge) -> Self {
        charge.set(bytes.len() as u64);
        Self {
            bytes: bytes.into_boxed_slice().into(),
            _charge: charge,
        }
    }
}

/// The answers to the last questions, the latest last.
#[derive(Default)]
pub(super) struct Answers {
    kept: VecDeque<(Question, Rc<Kept>)>,
    bytes: usize,
    /// How often all were forgotten.
    generation: u64,
}

impl Answers {
    pub(super) fn to(&self, question: &Question) -> Option<Rc<Kept>> {
        let found = self.kept.iter().find(|(of, _)| of == question);
        found.map(|(_, kept)| Rc::clone(kept))
    }

    /// Says to [`Answers::keep`] when a question was asked.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Keeps an answer, unless all were forgotten since its question was asked. Those before it make room, so
    /// that all have no more than `max_bytes`.
    pub(super) fn keep(&mut self, question: &Question, answer: &Rc<Kept>, asked_in: u64, max_bytes: usize) {
        let len_bytes = answer.bytes.len();
        if asked_in != self.generation || len_bytes > max_bytes {
            return;
        }
        while self.kept.len() >= KEPT_MAX || self.bytes + len_bytes > max_bytes {
            if !self.drop_oldest() {
                return;
            }
        }
        self.bytes += len_bytes;
        self.kept.push_back((question.clone(), Rc::clone(answer)));
    }

    /// Makes room; `false` if nothing is kept.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let Some((_, oldest)) = self.kept.pop_front() else {
            return false;
        };
        self.bytes -= oldest.bytes.len();
        true
    }

    /// Forgets all of them, and those that are still to come of what was asked before.
    pub(super) fn forget(&mut self) {
        self.generation += 1;
        self.kept.clear();
        self.bytes = 0;
    }
}
