//! What is demanded of evidence, as the command line and its files say it.

use crate::cli::{DemandsArgs, Format};
use crate::command::{complain, print_json, stderr_has_colours};
use crate::failed::Failed;
use crate::{given, policy};
use hacher_client::evidence::Demands;
use hacher_verifier::{Digest, Launch, Policy};
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
        asks_once: false,
    })
}

/// The policy of the file, with what the command line expects.
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
    let narrowed = narrow(
        &policy.manifest.chains,
        &arguments.expect_digest,
        "--expect-digest",
    )?;
    policy.manifest.chains = narrowed;
    if !arguments.expect_launch.is_empty() {
        let accepted = match policy.snp.launch {
            Launch::OneOf(accepted) => accepted,
            Launch::Unsaid | Launch::Any => BTreeSet::new(),
        };
        policy.snp.launch = Launch::OneOf(narrow(&accepted, &arguments.expect_launch, "--expect-launch")?);
    }
    Ok(policy)
}

/// What an option expects of what a policy accepts; all of that if the option expects nothing, and anything
/// if the policy says nothing.
fn narrow(
    accepted: &BTreeSet<Digest>,
    expected: &[Digest],
    option: &str,
) -> Result<BTreeSet<Digest>, Failed> {
    let is_stranger = |digest: &&Digest| !accepted.is_empty() && !accepted.contains(digest);
    match expected.iter().find(is_stranger) {
        Some(stranger) => Err(Failed::usage(format!(
            "{option} {stranger} is not among those that the policy accepts"
        ))),
        None if expected.is_empty() => Ok(accepted.clone()),
        None => Ok(expected.iter().copied().collect()),
    }
}
