//! What is demanded of evidence, as the command line and its files say it.

use crate::cli::{DemandsArgs, Format};
use crate::command::{complain, print_json, stderr_has_colours};
use crate::failed::Failed;
use crate::{given, policy};
use hacher_client::evidence::Demands;
use hacher_verifier::Policy;
use serde_json::Value;
use std::collections::BTreeSet;

/// Reads the files.
///
/// # Errors
/// When one cannot be read or used; what is wrong with a policy is said.
pub fn read(arguments: &DemandsArgs, format: Format) -> Result<Demands, Failed> {
    Ok(Demands {
        policy: policy_of(arguments, format)?,
        certificates: given::certificates(&arguments.certificates)?,
        revocation_lists: given::revocation_lists(&arguments.revocation_list)?,
        allow_emulated: arguments.allow_emulated,
    })
}

/// The policy of the file, with the digests of the command line.
fn policy_of(arguments: &DemandsArgs, format: Format) -> Result<Policy, Failed> {
    let mut policy = match &arguments.policy {
        None => Policy::default(),
        Some(path) => {
            let bytes = given::read(path)?;
            let read = policy::read(&bytes, &path.display().to_string());
            read.map_err(|problems| {
                let said = match format {
                    Format::Human => complain(&problems.render(stderr_has_colours())),
                    Format::Json => print_json(&serde_json::to_value(&problems).unwrap_or(Value::Null)),
                };
                said.err().unwrap_or_else(Failed::reported)
            })?
        }
    };
    let expected: BTreeSet<_> = arguments.expect_digest.iter().copied().collect();
    let accepted = &mut policy.manifest.chains;
    if let Some(stranger) = expected
        .iter()
        .find(|digest| !accepted.is_empty() && !accepted.contains(digest))
    {
        return Err(Failed::new(format!(
            "--expect-digest {stranger} is none of the digests that the policy accepts"
        )));
    }
    if !expected.is_empty() {
        *accepted = expected;
    }
    Ok(policy)
}
