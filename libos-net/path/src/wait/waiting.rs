//! What an instance does when there is no work, as its placement decided.

/// Comes with the attachment; nobody infers it again from cores and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Waiting {
    /// It sleeps at once.
    #[default]
    Sleep,
    /// It has its core to itself, and looks for work for a while before it sleeps.
    Look,
    /// It takes turns with others on its core: it looks only once it was woken ahead of its record, and gives
    /// way to the others if that takes long.
    TakeTurns,
}

impl Waiting {
    const ALL: [Self; 3] = [Self::Sleep, Self::Look, Self::TakeTurns];

    /// As a word of a message.
    #[must_use]
    pub const fn word(self) -> u32 {
        match self {
            Self::Sleep => 0,
            Self::Look => 1,
            Self::TakeTurns => 2,
        }
    }

    /// What the word of a message says, which comes with how long to look; `None` where the two contradict
    /// each other: who sleeps at once looks for no time, and who looks does it for some.
    #[must_use]
    pub fn from_word(word: u32, spin_ns: u64) -> Option<Self> {
        let waiting = Self::ALL.into_iter().find(|waiting| waiting.word() == word)?;
        (waiting.looks() == (spin_ns > 0)).then_some(waiting)
    }

    /// Whether it looks for work at all.
    #[must_use]
    pub const fn looks(self) -> bool {
        !matches!(self, Self::Sleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_to_wait_arrives_as_it_was_sent_and_none_is_made_up() {
        for waiting in Waiting::ALL {
            let spin_ns = if waiting.looks() { 40_000 } else { 0 };
            assert_eq!(Waiting::from_word(waiting.word(), spin_ns), Some(waiting));
            assert_eq!(Waiting::from_word(waiting.word(), 40_000 - spin_ns), None);
        }
        assert_eq!(Waiting::from_word(3, 1), None);
        assert_eq!(Waiting::from_word(u32::MAX, 0), None);
    }
}
