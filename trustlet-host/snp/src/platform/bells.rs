//! Bells of trustlets: numbers, and whether each was rung since its owner slept last.

use alloc::vec::Vec;

/// A bell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bell(usize);

/// All bells.
#[derive(Debug, Default)]
pub(super) struct Bells {
    rung: Vec<bool>,
}

impl Bells {
    pub(super) fn create(&mut self) -> Bell {
        self.rung.push(false);
        Bell(self.rung.len() - 1)
    }

    pub(super) fn ring(&mut self, bell: Bell) {
        if let Some(rung) = self.rung.get_mut(bell.0) {
            *rung = true;
        }
    }

    /// Whether it was rung, which is forgotten.
    pub(super) fn hear(&mut self, bell: Bell) -> bool {
        self.rung.get_mut(bell.0).is_some_and(core::mem::take)
    }
}
