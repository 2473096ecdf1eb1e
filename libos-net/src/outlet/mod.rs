//! Where the records of an output port leave: the left column of [`crate::hop`].
//!
//! ```text
//! port        which instances take the record that begins now
//! reserve     a slot of the outbox (`reserve`), or an extent of a mapped region (`extents`)
//! seal        plaintext to ciphertext, under a nonce of its own (`seal`)
//! publish     the descriptor, to one consumer instance (`publish`); back comes what it has released
//! ```

pub(crate) mod extents;
pub(crate) mod mapped;
pub(crate) mod port;
pub mod publish;
pub(crate) mod reserve;
pub mod seal;
