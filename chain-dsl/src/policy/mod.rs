//! Policy files: what a data owner demands of evidence. Text in, a [`PolicyFile`] or every problem of it out.
//!
//! The language is TOML, read by the same code as chain files. What the values mean is the verifier's matter;
//! here each is known to be of its kind and within its bounds.

mod demands;
pub(crate) mod keys;
mod list;
mod read;

use crate::check::too_large;
use crate::diagnostic::{Diagnostics, Problems};
use crate::document::Document;
use crate::encoding;
use crate::keys::MAX_TEXT_BYTES;
use crate::source::Source;
use std::sync::Arc;

pub use demands::{Floor, Listed, PolicyFile};

/// Checks the text of a policy file. `file_name` is only for messages; nothing is opened.
///
/// # Errors
///
/// Every problem of the file, in its order.
pub fn check_policy(text: &str, file_name: &str) -> Result<PolicyFile, Diagnostics> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(too_large(text.len(), file_name));
    }
    let mut problems = Problems::default();
    let source = Arc::new(Source::of_file(file_name, text));
    let document = Document::read(&source, &mut problems);
    let policy = read::policy(&document.root, &mut problems);
    if !document.complete {
        document.drop_consequences(&source, &mut problems);
    }
    match problems.has_errors() {
        false => Ok(policy),
        true => Err(problems.into_diagnostics(source)),
    }
}

/// Checks the bytes of a policy file, which may be in another encoding than UTF-8.
///
/// # Errors
///
/// As [`check_policy`]; of a file that is not UTF-8, one problem that names the encoding.
pub fn check_policy_bytes(bytes: &[u8], file_name: &str) -> Result<PolicyFile, Diagnostics> {
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(too_large(bytes.len(), file_name));
    }
    match encoding::text_of(bytes) {
        Ok(text) => check_policy(text, file_name),
        Err((before, problem)) => {
            let mut problems = Problems::default();
            problems.push(*problem);
            Err(problems.into_diagnostics(Arc::new(Source::of_file(file_name, before))))
        }
    }
}
