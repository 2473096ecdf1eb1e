//! Where records arrive: the right column of [`crate::hop`].
//!
//! ```text
//! peek        the next descriptor of one ring, checked in private memory
//! sequence    whether it is the one that comes next
//! open        ciphertext to private plaintext, or refuse
//! placed      on a mapped edge, which leaves are held, so that no two records overlap
//! release     (in `peek`) the producer may reuse what they took
//! ```

pub(crate) mod open;
pub mod peek;
mod placed;
pub(crate) mod receiver;
mod sequence;
