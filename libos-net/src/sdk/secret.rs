//! The secrets that a chain file gives to a function.

use hacher_data_path::name::Name;
use zeroize::Zeroizing;

/// A secret that the chain file gives to this function, by name.
pub(crate) struct Secret {
    pub(crate) name: Name,
    pub(crate) value: Zeroizing<Vec<u8>>,
}

/// The value of the secret `name`.
pub(crate) fn find_secret<'s>(secrets: &'s [Secret], name: &str) -> Option<&'s [u8]> {
    let secret = secrets.iter().find(|secret| secret.name == *name)?;
    Some(&secret.value)
}
