//! What the guest is: who asked for the report, what the host may do to the guest, what it was launched with.

use super::report::{Report, SigningKey};
use crate::check::CheckName::{self, AuthorKey, DebugPolicy, LaunchMeasurement, MigrationPolicy, Vmpl};
use crate::check::Checks;
use crate::policy::{Digest, Launch, SnpPolicy};

/// Privilege levels of guests; the host has others.
const GUEST_VMPLS: std::ops::RangeInclusive<u32> = 0..=3;

/// Checks what kind of key the report says that it is signed with.
pub(crate) fn check_signing_key(report: &Report, policy: &SnpPolicy, checks: &mut Checks) {
    let key = report.signing_key();
    let is_accepted = key != SigningKey::None && policy.signing_keys.contains(&key);
    checks.put(
        CheckName::SigningKey,
        match (key, is_accepted) {
            (SigningKey::None, _) => Err("the report is not signed".to_owned()),
            (_, true) => Ok(format!("signed with a {key}, which the policy accepts")),
            (SigningKey::Vlek, false) => Err(
                "signed with a VLEK: a key of a provider, for all its chips, and the policy demands a chip's own"
                    .to_owned(),
            ),
            (_, false) => Err(format!("signed with a {key}, and the policy does not accept that")),
        },
    );
}

/// Checks the guest.
pub(crate) fn check_guest(report: &Report, policy: &SnpPolicy, has_manifest: bool, checks: &mut Checks) {
    checks.put(Vmpl, is_vmpl_accepted(report, policy));
    let allowed = [
        (
            DebugPolicy,
            report.allows_debug(),
            policy.allows_debug,
            "the host may debug the guest, and read all its memory",
        ),
        (
            MigrationPolicy,
            report.allows_migration(),
            policy.allows_migration,
            "a migration agent may move the guest to another machine",
        ),
    ];
    for (name, of_guest, of_policy, what) in allowed {
        checks.put(
            name,
            match (of_guest, of_policy) {
                (false, _) => Ok("not allowed".to_owned()),
                (true, true) => Ok(format!("{what}, which the policy allows")),
                (true, false) => Err(what.to_owned()),
            },
        );
    }
    check_author(report, policy, checks);
    check_launch(report, policy, has_manifest, checks);
}

fn is_vmpl_accepted(report: &Report, policy: &SnpPolicy) -> Result<String, String> {
    let vmpl = report.vmpl();
    if !GUEST_VMPLS.contains(&vmpl) {
        return Err(format!(
            "{vmpl:#x} is no level of a guest, 0 to 3: the host has asked for the report"
        ));
    }
    if policy.vmpls.iter().any(|accepted| u32::from(*accepted) == vmpl) {
        return Ok(format!("{vmpl}"));
    }
    let accepted: Vec<String> = policy.vmpls.iter().map(u8::to_string).collect();
    Err(format!(
        "asked for at level {vmpl}, and the policy demands {}",
        accepted.join(" or ")
    ))
}

fn check_author(report: &Report, policy: &SnpPolicy, checks: &mut Checks) {
    if policy.author_keys.is_empty() {
        checks.skip(AuthorKey, "the policy names none");
        return;
    }
    let digest = Digest(report.layout.author_key_digest);
    checks.put(
        AuthorKey,
        match (report.has_author_key(), policy.author_keys.contains(&digest)) {
            (false, _) => Err("no author's key has certified the guest".to_owned()),
            (true, true) => Ok(digest.to_string()),
            (true, false) => Err(format!("{digest} is not among those that the policy names")),
        },
    );
}

fn check_launch(report: &Report, policy: &SnpPolicy, has_manifest: bool, checks: &mut Checks) {
    let measurement = Digest(*report.launch_measurement());
    match &policy.launch {
        Launch::Any => checks.skip(
            LaunchMeasurement,
            format!("the policy accepts any; it is {measurement}"),
        ),
        Launch::OneOf(accepted) => checks.put(
            LaunchMeasurement,
            match accepted.contains(&measurement) {
                true => Ok(measurement.to_string()),
                false => Err(format!(
                    "{measurement} is not among the {} that the policy names",
                    accepted.len()
                )),
            },
        ),
        Launch::Unsaid if has_manifest => checks.fail(
            LaunchMeasurement,
            format!(
                "a guest that was launched with anything else could have made the same manifest, and the policy \
                 names no measurement; this one is {measurement}"
            ),
        ),
        Launch::Unsaid => checks.skip(
            LaunchMeasurement,
            format!("the policy names none; it is {measurement}"),
        ),
    }
}
