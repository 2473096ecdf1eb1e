//! One call of handlers, and what of it was not theirs.

use serde::{Deserialize, Serialize};

/// What a handler's time takes behind an answer.
const TIME_BYTES: usize = 8;

/// How long a call took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// From before the body was sent until the answer had been read, in nanoseconds.
    pub total_ns: u64,
    /// Of that the handlers, as they have measured it themselves.
    pub handler_ns: u64,
}

impl Call {
    /// What is left: the share of the way in which they were called.
    #[must_use]
    pub const fn share_ns(self) -> u64 {
        self.total_ns.saturating_sub(self.handler_ns)
    }
}

/// Takes off an answer what the wrappers of so many handlers have appended: the answer itself, and how long
/// the handlers took together. `None` if that is not there.
#[must_use]
pub fn split_times(answer: &[u8], functions: u32) -> Option<(&[u8], u64)> {
    (0..functions).try_fold((answer, 0_u64), |(answer, sum), _| {
        let (before, time) = answer.split_last_chunk::<TIME_BYTES>()?;
        Some((before, sum.checked_add(u64::from_le_bytes(*time))?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_call_is_its_time_less_that_of_all_its_handlers() {
        let mut answer = b"answer".to_vec();
        for time in [300_u64, 20, 1] {
            answer.extend_from_slice(&time.to_le_bytes());
        }
        let (body, handler_ns) = split_times(&answer, 3).unwrap();
        assert_eq!((body, handler_ns), (&b"answer"[..], 321));
        let call = Call {
            total_ns: 1_000,
            handler_ns,
        };
        assert_eq!(call.share_ns(), 679);
    }

    #[test]
    fn an_answer_without_its_times_is_refused() {
        assert_eq!(split_times(b"1234567", 1), None);
        assert_eq!(split_times(&[0; 16], 3), None);
        assert_eq!(split_times(&[u8::MAX; 16], 2), None, "no time is that long");
        assert_eq!(split_times(b"", 0), Some((&b""[..], 0)));
    }
}
