//! HKDF-Expand (RFC 5869, section 2.3) with SHA-256, from a uniformly random pseudo-random key, so no
//! Extract is needed.

#[cfg(any(test, portable_crypto))]
pub(super) mod portable;
#[cfg(any(test, not(portable_crypto)))]
pub(super) mod ring;

#[cfg(portable_crypto)]
pub(super) use portable::expand_into;
#[cfg(not(portable_crypto))]
pub(super) use ring::expand_into;
