//! What the monitor says of itself and its chains, against what the policy demands.
//!
//! All of it is the monitor's word: it is worth what the report says of the monitor's machine.

use crate::check::CheckName::{
    ChainDigest, Functions, Gateway, Layers, Logs, ManifestForm, ManifestPlatform, Monitor, Protections,
};
use crate::check::{CheckName, Checks};
use crate::connection_checks::check_connection;
use crate::expectations::Expectations;
use crate::policy::{Digest, ManifestPolicy, Policy};
use hacher_evidence::manifest::{self, Chain, Trust};
use hacher_evidence::{Evidence, Kind, Manifest};
use std::collections::BTreeSet;

/// What nobody can look at without a manifest.
const OF_MANIFEST: [CheckName; 11] = [
    CheckName::Purpose,
    ManifestPlatform,
    Monitor,
    Layers,
    CheckName::Chain,
    ChainDigest,
    Functions,
    Gateway,
    CheckName::TlsKey,
    Logs,
    Protections,
];

/// Checks the manifest; nothing if it is none.
pub(crate) fn check_manifest(
    evidence: &Evidence,
    policy: &Policy,
    expectations: &Expectations<'_>,
    checks: &mut Checks,
) -> Option<Manifest> {
    let manifest = match Manifest::decode(&evidence.manifest) {
        Ok(manifest) => manifest,
        Err(error) => {
            checks.fail(ManifestForm, error.to_string());
            checks.skip_all(&OF_MANIFEST, "there is no manifest");
            return None;
        }
    };
    let chains = manifest.chains.len();
    checks.pass(
        ManifestForm,
        format!("a manifest with {}", count(chains, "chain")),
    );
    check_connection(&manifest, expectations, checks);
    let policy = &policy.manifest;
    check_trust(evidence.kind, &manifest, policy, checks);
    let monitor = Digest(manifest.monitor);
    check_named(checks, Monitor, &policy.monitors, &[("the monitor", monitor)]);
    check_layers(&manifest, policy, checks);
    check_measurements(&manifest, policy, checks);
    check_gateways(&manifest, policy, checks);
    check_logs(&manifest, policy, checks);
    check_protections(&manifest, policy, checks);
    Some(manifest)
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn check_trust(kind: Kind, manifest: &Manifest, policy: &ManifestPolicy, checks: &mut Checks) {
    let trust = manifest.trust;
    let platform = &manifest.platform;
    if kind == Kind::Emulated && trust == Trust::Hardware {
        let reason = "the manifest speaks of hardware, and no hardware vouches for it";
        checks.fail(ManifestPlatform, reason);
        return;
    }
    match (policy.demands_hardware_trust, trust) {
        (true, Trust::Hardware) => checks.pass(
            ManifestPlatform,
            format!("platform `{platform}`, trusting the monitor and the hardware alone"),
        ),
        (true, Trust::OperatingSystem) => checks.fail(
            ManifestPlatform,
            format!(
                "platform `{platform}` leaves the operating system in the trusted base, and the policy demands one \
                 without it"
            ),
        ),
        (false, _) => {
            let trusted = match trust {
                Trust::Hardware => "the monitor and the hardware alone are trusted",
                Trust::OperatingSystem => "the operating system that the monitor runs on is trusted",
            };
            let reason = format!("the policy demands no `trust`; on platform `{platform}` {trusted}");
            checks.skip(ManifestPlatform, reason);
        }
    }
}

/// Checks that each of these is named by the policy, if it names any.
fn check_named(checks: &mut Checks, name: CheckName, accepted: &BTreeSet<Digest>, found: &[(&str, Digest)]) {
    if accepted.is_empty() {
        let listed: Vec<String> = found
            .iter()
            .map(|(what, digest)| format!("{what} {digest}"))
            .collect();
        let listed = listed.join(", ");
        checks.skip(name, format!("the policy names none; here: {listed}"));
        return;
    }
    if found.is_empty() {
        checks.fail(name, "the policy names some, and the manifest has none");
        return;
    }
    let others: Vec<String> = found
        .iter()
        .filter(|(_, digest)| !accepted.contains(digest))
        .map(|(what, digest)| format!("{what} is {digest}"))
        .collect();
    checks.put(
        name,
        match others.is_empty() {
            true if found.len() == 1 => Ok("its digest is in the policy".to_owned()),
            true => Ok(format!("the digests of all {} are in the policy", found.len())),
            false => Err(format!(
                "{}, which is not among the {} that are accepted",
                others.join("; "),
                accepted.len()
            )),
        },
    );
}

fn check_layers(manifest: &Manifest, policy: &ManifestPolicy, checks: &mut Checks) {
    let of_state = |is_enforced: bool| {
        let layers = manifest.layers.iter();
        layers
            .filter(move |layer| layer.is_enforced == is_enforced)
            .map(|layer| layer.name.as_str())
    };
    let enforced: BTreeSet<&str> = of_state(true).collect();
    if policy.layers.is_empty() {
        let listed = |layers: Vec<&str>| match layers.is_empty() {
            true => "none".to_owned(),
            false => layers.join(", "),
        };
        let (in_force, missing) = (
            listed(enforced.into_iter().collect()),
            listed(of_state(false).collect()),
        );
        let reason = format!("the policy demands none; in force: {in_force}; missing: {missing}");
        checks.skip(Layers, reason);
        return;
    }
    let lacking: Vec<&str> = policy
        .layers
        .iter()
        .map(String::as_str)
        .filter(|layer| !enforced.contains(layer))
        .collect();
    checks.put(
        Layers,
        match lacking.is_empty() {
            true => Ok(format!(
                "all {} that are demanded are in force",
                policy.layers.len()
            )),
            false => Err(format!("demanded and not in force: {}", lacking.join(", "))),
        },
    );
}

/// How functions of chains are called in reasons.
fn function_name(chain: &Chain, function: &manifest::Function) -> String {
    format!("`{}` of chain `{}`", function.name, chain.name)
}

fn check_measurements(manifest: &Manifest, policy: &ManifestPolicy, checks: &mut Checks) {
    let chains = manifest.chains.iter();
    let digests = chains
        .clone()
        .map(|chain| (format!("chain `{}`", chain.name), Digest(chain.digest)));
    let functions = chains.flat_map(|chain| {
        let functions = chain.functions.iter();
        functions.map(|function| (function_name(chain, function), Digest(function.image)))
    });
    let is_for_secret = manifest.purpose == manifest::Purpose::Secret;
    if is_for_secret && policy.chains.is_empty() {
        // Whoever loads a chain chooses which of its functions gets the secret, and where its edges lead.
        let reason = "a secret is for a chain that the policy names by its digest: functions alone do not say which gets it";
        checks.fail(ChainDigest, reason);
    } else {
        check_all(checks, ChainDigest, &policy.chains, &digests.collect::<Vec<_>>());
    }
    check_all(
        checks,
        Functions,
        &policy.functions,
        &functions.collect::<Vec<_>>(),
    );
}

fn check_all(checks: &mut Checks, name: CheckName, accepted: &BTreeSet<Digest>, found: &[(String, Digest)]) {
    let found: Vec<(&str, Digest)> = found
        .iter()
        .map(|(what, digest)| (what.as_str(), *digest))
        .collect();
    check_named(checks, name, accepted, &found);
}

fn check_gateways(manifest: &Manifest, policy: &ManifestPolicy, checks: &mut Checks) {
    let shared: Vec<String> = manifest
        .chains
        .iter()
        .filter(|chain| !chain.gateway.is_own)
        .map(|chain| format!("`{}`", chain.name))
        .collect();
    if policy.demands_own_gateway && !shared.is_empty() {
        let reason = format!(
            "the policy demands a gateway for each chain alone, and shared is that of {}",
            shared.join(", ")
        );
        checks.fail(Gateway, reason);
    }
    let gateways = manifest.chains.iter().map(|chain| {
        let name = format!("that of chain `{}`", chain.name);
        (name, Digest(chain.gateway.image))
    });
    let gateways: Vec<_> = gateways.collect();
    if policy.leaves_gateway_open() {
        let listed: Vec<String> = gateways
            .iter()
            .map(|(what, digest)| format!("{what} {digest}"))
            .collect();
        let reason = format!(
            "the policy names functions and neither gateways nor digests: any gateway, which sees all data first, \
             could stand before them; here: {}",
            listed.join(", ")
        );
        checks.fail(Gateway, reason);
        return;
    }
    check_all(checks, Gateway, &policy.gateways, &gateways);
}

/// Of functions. A gateway prints messages about itself, and every service forwards those: what else it could
/// print, its measurement says.
fn check_logs(manifest: &Manifest, policy: &ManifestPolicy, checks: &mut Checks) {
    let mut forwarded = Vec::new();
    for chain in &manifest.chains {
        let functions = chain.functions.iter();
        forwarded.extend(
            functions
                .filter(|function| function.logs == manifest::Logs::Forwarded)
                .map(|function| function_name(chain, function)),
        );
    }
    let what = (
        "of the functions may pass data to the daemon in their logs",
        "no function may pass data to the daemon in its logs",
    );
    check_absent(checks, Logs, policy.demands_dropped_logs, &forwarded, what);
}

fn check_protections(manifest: &Manifest, policy: &ManifestPolicy, checks: &mut Checks) {
    let mapped = manifest.chains.iter().flat_map(|chain| {
        let edges = chain.edges.iter();
        edges
            .filter(|edge| edge.protection == manifest::Protection::Mapped)
            .map(|edge| format!("{} -> {} of chain `{}`", edge.from, edge.to, chain.name))
    });
    check_absent(
        checks,
        Protections,
        policy.demands_sealed_edges,
        &mapped.collect::<Vec<_>>(),
        (
            "of the edges are mapped instead of sealed",
            "every edge is sealed",
        ),
    );
}

/// Checks that there is none of these, if that is demanded. `what` says that there are some, and that there
/// are none.
fn check_absent(
    checks: &mut Checks,
    name: CheckName,
    is_demanded: bool,
    found: &[String],
    (what, none): (&str, &str),
) {
    match (is_demanded, found.is_empty()) {
        (true, true) => checks.pass(name, none),
        (true, false) => checks.fail(name, format!("{} {what}: {}", found.len(), found.join(", "))),
        (false, true) => checks.skip(name, format!("nothing is demanded; {none}")),
        (false, false) => {
            let reason = format!(
                "nothing is demanded; {} {what}: {}",
                found.len(),
                found.join(", ")
            );
            checks.skip(name, reason);
        }
    }
}
