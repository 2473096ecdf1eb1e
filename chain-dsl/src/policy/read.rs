//! TOML tree to policy: every key read, every value within its bounds.

use super::demands::{Floor, Listed, PolicyFile};
use super::keys;
use super::list::{hex, is_any, numbers, words};
use crate::diagnostic::Problems;
use crate::kinds::{IntegerKind, Key, TableKind};
use crate::section::Section;
use toml::de::DeTable;

/// Reads a whole file.
pub(super) fn policy(root: &DeTable<'_>, problems: &mut Problems) -> PolicyFile {
    let root = Section::open_of(keys::TABLES, "a policy file", root, keys::ROOT_KEYS, problems);
    let mut policy = PolicyFile {
        description: root.text(&keys::DESCRIPTION, problems).map(|text| text.value),
        platforms: words(&root, &keys::PLATFORMS, problems),
        ..PolicyFile::default()
    };
    if let Some(section) = root.table(&keys::CHAIN, "`[chain]`", problems) {
        chain(&section, &mut policy, problems);
    }
    if let Some(section) = root.table(&keys::MONITOR, "`[monitor]`", problems) {
        policy.monitors = hex(&section, &keys::MONITORS, problems);
        policy.layers = words(&section, &keys::LAYERS, problems);
        let trust = section.choice(&keys::TRUST, problems);
        policy.hardware_trust = trust.map(|word| word == "hardware");
    }
    if let Some(section) = root.table(&keys::SNP, "`[snp]`", problems) {
        snp(&section, &mut policy, problems);
    }
    policy
}

fn chain(section: &Section<'_>, policy: &mut PolicyFile, problems: &mut Problems) {
    policy.digests = hex(section, &keys::DIGESTS, problems);
    policy.functions = hex(section, &keys::FUNCTIONS, problems);
    policy.gateways = hex(section, &keys::GATEWAYS, problems);
    policy.own_gateway = section.flag(&keys::OWN_GATEWAY, problems);
    let logs = section.choice(&keys::LOGS, problems);
    policy.logs_dropped = logs.map(|word| word == "dropped");
    let protection = section.choice(&keys::PROTECTION, problems);
    policy.edges_sealed = protection.map(|word| word == "sealed");
}

fn snp(section: &Section<'_>, policy: &mut PolicyFile, problems: &mut Problems) {
    policy.generations = words(section, &keys::GENERATIONS, problems);
    policy.chips = hex(section, &keys::CHIPS, problems);
    policy.masked_chip = section.flag(&keys::MASKED_CHIP, problems);
    policy.signing_keys = words(section, &keys::KEYS, problems);
    policy.vmpls = numbers(section, &keys::VMPL, problems);
    policy.debug = section.flag(&keys::DEBUG, problems);
    policy.migration = section.flag(&keys::MIGRATION, problems);
    policy.author_keys = hex(section, &keys::AUTHOR_KEYS, problems);
    policy.launch = match is_any(section, &keys::LAUNCH) {
        true => Some(Listed::Any),
        false => hex(section, &keys::LAUNCH, problems).map(Listed::These),
    };
    policy.revocation_list = section.flag(&keys::REVOCATION_LIST, problems);
    let Some(floors) = section.table(&keys::FLOOR, "`[snp.floor]`", problems) else {
        return;
    };
    for key in [&keys::MILAN, &keys::GENOA, &keys::TURIN] {
        if let Some(floor) = floor(&floors, key, problems) {
            policy.floors.insert(key.name.to_owned(), floor);
        }
    }
}

fn floor(floors: &Section<'_>, key: &Key<TableKind>, problems: &mut Problems) -> Option<Floor> {
    let section = floors.table(key, &format!("`[snp.floor.{}]`", key.name), problems)?;
    let mut version = |key: &Key<IntegerKind>| {
        let number = section.integer(key, problems);
        number.map_or(0, |number| u8::try_from(number.value).unwrap_or(u8::MAX))
    };
    Some(Floor {
        fmc: version(&keys::FMC),
        boot_loader: version(&keys::BOOT_LOADER),
        tee: version(&keys::TEE),
        snp: version(&keys::SNP_VERSION),
        microcode: version(&keys::MICROCODE),
    })
}
