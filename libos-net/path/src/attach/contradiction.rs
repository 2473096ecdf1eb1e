//! What is wrong with an attachment that cannot be made.

/// Edge descriptions that contradict each other or the layouts; and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the monitor's attachment contradicts itself: {0}")]
pub struct BadAttachment(pub &'static str);

impl BadAttachment {
    /// Never: the monitor would say the same again.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        false
    }
}
