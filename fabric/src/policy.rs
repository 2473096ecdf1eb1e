//! Policy files: read for `verify`, drafted by `measure`.

use hacher_chain_dsl::{Diagnostics, Floor, Listed, PolicyFile, check_policy_bytes};
use hacher_verifier::{
    ChipId, Digest, Generation, Kind, Launch, ManifestPolicy, Policy, SigningKey, SnpPolicy, TcbFloor,
};
use std::collections::BTreeSet;

/// Reads a policy file.
///
/// # Errors
/// Every problem of it.
pub fn read(bytes: &[u8], file_name: &str) -> Result<Policy, Diagnostics> {
    check_policy_bytes(bytes, file_name).map(|file| policy(&file))
}

/// What a file demands, and the verifier's defaults where it says nothing.
fn policy(file: &PolicyFile) -> Policy {
    let kinds = file.platforms.iter().flatten().filter_map(|word| {
        let mut kinds = Kind::ALL.into_iter();
        kinds.find(|kind| kind.word() == word)
    });
    Policy {
        platforms: kinds.collect(),
        snp: snp(file),
        manifest: ManifestPolicy {
            chains: digests(file.digests.as_deref()),
            functions: digests(file.functions.as_deref()),
            gateways: digests(file.gateways.as_deref()),
            monitors: digests(file.monitors.as_deref()),
            layers: file.layers.iter().flatten().cloned().collect(),
            demands_hardware_trust: file.hardware_trust == Some(true),
            demands_dropped_logs: file.logs_dropped == Some(true),
            demands_sealed_edges: file.edges_sealed == Some(true),
            demands_own_gateway: file.own_gateway == Some(true),
        },
    }
}

fn digests(listed: Option<&[[u8; 48]]>) -> BTreeSet<Digest> {
    listed.unwrap_or_default().iter().copied().map(Digest).collect()
}

fn snp(file: &PolicyFile) -> SnpPolicy {
    let default = SnpPolicy::default();
    let named = |words: &Vec<String>| words.iter().filter_map(|word| Generation::named(word)).collect();
    let keys = |words: &Vec<String>| {
        let known = [SigningKey::Vcek, SigningKey::Vlek].into_iter();
        known
            .filter(|key| words.iter().any(|word| word == key.as_str()))
            .collect()
    };
    let floors = file.floors.iter();
    SnpPolicy {
        generations: file.generations.as_ref().map_or(default.generations, named),
        floors: floors
            .filter_map(|(name, versions)| Some((Generation::named(name)?, floor(*versions))))
            .collect(),
        chips: file.chips.iter().flatten().copied().map(ChipId).collect(),
        allows_masked_chip: file.masked_chip == Some(true),
        signing_keys: file.signing_keys.as_ref().map_or(default.signing_keys, keys),
        vmpls: file
            .vmpls
            .as_ref()
            .map_or(default.vmpls, |levels| levels.iter().copied().collect()),
        allows_debug: file.debug == Some(true),
        allows_migration: file.migration == Some(true),
        author_keys: digests(file.author_keys.as_deref()),
        launch: match &file.launch {
            None => Launch::Unsaid,
            Some(Listed::Any) => Launch::Any,
            Some(Listed::These(accepted)) => Launch::OneOf(digests(Some(accepted))),
        },
        demands_revocation_list: file.revocation_list == Some(true),
    }
}

const fn floor(versions: Floor) -> TcbFloor {
    let Floor {
        fmc,
        boot_loader,
        tee,
        snp,
        microcode,
    } = versions;
    TcbFloor {
        fmc,
        boot_loader,
        tee,
        snp,
        microcode,
    }
}

/// What was measured of a chain, for a draft.
#[derive(Debug)]
pub struct MeasuredChain<'a> {
    /// The chain's name.
    pub name: &'a str,
    /// Its digest, in hexadecimal.
    pub digest: &'a str,
    /// Whether nothing that its functions print is forwarded.
    pub drops_logs: bool,
    /// Whether all of its edges are sealed.
    pub seals_edges: bool,
    /// Measurement of its gateway, in hexadecimal.
    pub gateway: String,
    /// Names and measurements of its functions, in hexadecimal.
    pub functions: Vec<(String, String)>,
}

/// A policy that accepts these chains, to be reviewed and handed to data owners.
///
/// `monitor` is the measurement of the monitor beside this executable, in hexadecimal, if that is known.
#[must_use]
pub fn draft(chains: &[MeasuredChain<'_>], monitor: Option<&str>, version: &str) -> String {
    let names: Vec<&str> = chains.iter().map(|chain| chain.name).collect();
    let digests: Vec<String> = chains
        .iter()
        .map(|chain| format!("    # chain `{}`\n    \"{}\",\n", chain.name, chain.digest))
        .collect();
    let mut gateways = Commented::default();
    let mut functions = Commented::default();
    for chain in chains {
        gateways.add(&chain.gateway, &format!("of chain `{}`", chain.name));
        for (name, measurement) in &chain.functions {
            functions.add(measurement, &format!("`{name}` of chain `{}`", chain.name));
        }
    }
    let demanded = |all: bool, line: &str, why: &str| match all {
        true => format!("{line}\n"),
        false => format!("# {line}   # {why}\n"),
    };
    let logs = demanded(
        chains.iter().all(|chain| chain.drops_logs),
        "logs = \"dropped\"",
        "not so here: functions have `logs` forwarded",
    );
    let protection = demanded(
        chains.iter().all(|chain| chain.seals_edges),
        "protection = \"sealed\"",
        "not so here: edges are mapped",
    );
    format!(
        r#"# What a data owner accepts: for `hacher-fabric verify --policy`. Written by `hacher-fabric measure`, version
# {version}, from what it measured; review every line. A line that is left out demands nothing.
description = "{names}"

# What may vouch. "emulated" proves nothing about hardware, and needs --allow-emulated besides.
platforms = ["snp", "snp-svsm"]

[chain]
# A digest pins the executable, libraries, files, arguments and limits of every function, the gateway, and every
# edge with its protection.
digests = [
{digests}]
# The digest has them already. To accept these functions in whatever chain, and behind whatever edges, remove
# `digests` and uncomment both:
# functions = [
{functions}# ]
# gateways = [
{gateways}# ]
# The gateway sees all data first; this demands one that serves no other chain.
# own_gateway = true
# Data that a function prints would leave the chain.
{logs}{protection}
[monitor]
# No digest of a chain has the monitor and the layers. With hardware, `launch` below covers the monitor, too. This is
# `sha384sum` of hacher-monitor, or of hacher-fabric where that plays its part.
{monitor}# The isolation that has to be in force, by the names that `verify` prints; trust = "hardware" demands that the
# operating system is kept out.
# layers = ["user-namespace", "landlock", "seccomp"]
# trust = "hardware"

[snp]
# What the machine was launched with: the launch measurement of the image that the monitor is part of. Until it is
# written here, evidence of hardware is refused: another image could say anything of itself.
# launch = ["96 hex digits"]
# Reports of milan can be forged: the root seed of its keys was extracted by software (arXiv 2605.12990).
generations = ["genoa", "turin"]
vmpl = [0]
keys = ["vcek"]
debug = false
migration = false

# Oldest firmware and microcode, from AMD's security bulletins.
# [snp.floor.genoa]
# boot_loader = 0
# tee = 0
# snp = 0
# microcode = 0
"#,
        names = names.join(", "),
        digests = digests.concat(),
        functions = functions.lines,
        gateways = gateways.lines,
        monitor = match monitor {
            Some(monitor) => format!("measurements = [\"{monitor}\"]\n"),
            None => "# measurements = [\"96 hex digits\"]\n".to_owned(),
        },
    )
}

/// Entries of a list that is commented out, each measurement once.
#[derive(Default)]
struct Commented {
    lines: String,
    named: BTreeSet<String>,
}

impl Commented {
    fn add(&mut self, measurement: &str, what: &str) {
        if self.named.insert(measurement.to_owned()) {
            self.lines += &format!("#     # {what}\n#     \"{measurement}\",\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_accepts_what_was_measured_and_nothing_else() {
        let digest = "ab".repeat(48);
        let chain = |drops_logs, seals_edges| MeasuredChain {
            name: "thumbnails",
            digest: &digest,
            drops_logs,
            seals_edges,
            gateway: "cd".repeat(48),
            functions: vec![
                ("decode".to_owned(), "ef".repeat(48)),
                ("again".to_owned(), "ef".repeat(48)),
                ("pack".to_owned(), "01".repeat(48)),
            ],
        };
        let read = |text: String| {
            read(text.as_bytes(), "draft.toml").unwrap_or_else(|problems| panic!("{problems}"))
        };
        let monitor = "0f".repeat(48);
        let pinned = read(draft(&[chain(true, true)], Some(&monitor), "0.1.0")).manifest;
        assert_eq!(pinned.monitors, BTreeSet::from([Digest([0x0F; 48])]));
        let policy = read(draft(&[chain(true, true)], None, "0.1.0"));
        assert!(policy.manifest.monitors.is_empty());
        assert_eq!(policy.manifest.chains, BTreeSet::from([Digest([0xAB; 48])]));
        assert!(policy.manifest.functions.is_empty() && policy.manifest.gateways.is_empty());
        assert!(policy.manifest.demands_dropped_logs && policy.manifest.demands_sealed_edges);
        assert_eq!(policy.platforms, [Kind::Snp, Kind::SnpSvsm]);
        assert_eq!(policy.snp, SnpPolicy::default());
        let uncommented = draft(&[chain(true, true)], None, "0.1.0")
            .replace("# functions = [", "functions = [")
            .replace("# gateways = [", "gateways = [")
            .replace("#     ", "    ")
            .replace("# ]", "]");
        let policy = read(uncommented).manifest;
        let digests = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| Digest([*byte; 48]))
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(policy.functions, digests(&[0xEF, 0x01]));
        assert_eq!(policy.gateways, digests(&[0xCD]));
        let policy = read(draft(&[chain(false, false)], None, "0.1.0"));
        assert!(!policy.manifest.demands_dropped_logs && !policy.manifest.demands_sealed_edges);
    }
}
