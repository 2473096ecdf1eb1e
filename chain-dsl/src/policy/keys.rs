//! Every key of the policy language, once: its name, what its value is, its bounds, its meaning.

use crate::keys::MAX_VALUE_BYTES;
use crate::kinds::{
    AnyKey, ChoiceKind, FlagKind, IntegerKind, ItemKind, Key, ListKind, TableKind, Tables, TextKind,
};

/// The bound on items of a list: as many as a chain can have functions, four times.
const MAX_ITEMS: usize = 1024;

const fn list(name: &'static str, doc: &'static str, item: ItemKind) -> Key<ListKind> {
    Key {
        name,
        doc,
        kind: ListKind {
            item,
            max: MAX_ITEMS,
            or_any: false,
        },
    }
}

const fn flag(name: &'static str, doc: &'static str) -> Key<FlagKind> {
    Key {
        name,
        doc,
        kind: FlagKind { default: false },
    }
}

const fn version(name: &'static str, doc: &'static str) -> Key<IntegerKind> {
    let kind = IntegerKind {
        min: 0,
        max: 255,
        default: 0,
    };
    Key { name, doc, kind }
}

const fn table(name: &'static str, doc: &'static str, keys: &'static [AnyKey]) -> Key<TableKind> {
    Key {
        name,
        doc,
        kind: TableKind { keys },
    }
}

const SHA384: ItemKind = ItemKind::Hex(48, "a SHA-384");

pub(crate) const DESCRIPTION: Key<TextKind> = Key {
    name: "description",
    doc: "What this policy is for.",
    kind: TextKind {
        max_bytes: MAX_VALUE_BYTES,
        required: false,
        example: "thumbnails 1.2.0, as reviewed",
    },
};
pub(crate) const PLATFORMS: Key<ListKind> = list(
    "platforms",
    "What may vouch. Emulated evidence, which proves nothing about hardware, has to be allowed by the caller, too.",
    ItemKind::Word(&["snp", "snp-svsm", "emulated"]),
);
pub(crate) const CHAIN: Key<TableKind> =
    table("chain", "What chains may be, and their gateways.", CHAIN_KEYS);
pub(crate) const MONITOR: Key<TableKind> = table("monitor", "What the monitor has to be.", MONITOR_KEYS);
pub(crate) const SNP: Key<TableKind> = table("snp", "What reports of SEV-SNP have to say.", SNP_KEYS);
pub(crate) const ROOT_KEYS: &[AnyKey] = &[
    AnyKey::Text(DESCRIPTION),
    AnyKey::List(PLATFORMS),
    AnyKey::Table(CHAIN),
    AnyKey::Table(MONITOR),
    AnyKey::Table(SNP),
];

pub(crate) const DIGESTS: Key<ListKind> = list(
    "digests",
    "Chain digests that are accepted, as `measure` prints them. A digest pins every function, edge and limit.",
    SHA384,
);
pub(crate) const FUNCTIONS: Key<ListKind> = list(
    "functions",
    "Measurements of functions that are accepted, in whatever chain.",
    SHA384,
);
pub(crate) const GATEWAYS: Key<ListKind> =
    list("gateways", "Measurements of gateways that are accepted.", SHA384);
pub(crate) const OWN_GATEWAY: Key<FlagKind> = flag(
    "own_gateway",
    "Demand a gateway that serves no other chain: one that does sees the plaintext of all of them.",
);
pub(crate) const LOGS: Key<ChoiceKind> = Key {
    name: "logs",
    doc: "Whether what functions print has to be dropped, so that none can pass data on in it.",
    kind: ChoiceKind {
        words: &["any", "dropped"],
        default: "any",
    },
};
pub(crate) const PROTECTION: Key<ChoiceKind> = Key {
    name: "protection",
    doc: "Whether every edge has to be sealed.",
    kind: ChoiceKind {
        words: &["any", "sealed"],
        default: "any",
    },
};
pub(crate) const CHAIN_KEYS: &[AnyKey] = &[
    AnyKey::List(DIGESTS),
    AnyKey::List(FUNCTIONS),
    AnyKey::List(GATEWAYS),
    AnyKey::Flag(OWN_GATEWAY),
    AnyKey::Choice(LOGS),
    AnyKey::Choice(PROTECTION),
];

pub(crate) const MONITORS: Key<ListKind> = list(
    "measurements",
    "Measurements of monitors that are accepted.",
    SHA384,
);
pub(crate) const LAYERS: Key<ListKind> = list(
    "layers",
    "Isolation layers that have to be in force, as manifests call them.",
    ItemKind::Name,
);
pub(crate) const TRUST: Key<ChoiceKind> = Key {
    name: "trust",
    doc: "Whether the operating system has to be outside of the trusted base.",
    kind: ChoiceKind {
        words: &["any", "hardware"],
        default: "any",
    },
};
pub(crate) const MONITOR_KEYS: &[AnyKey] = &[
    AnyKey::List(MONITORS),
    AnyKey::List(LAYERS),
    AnyKey::Choice(TRUST),
];

pub(crate) const GENERATIONS: Key<ListKind> = list(
    "generations",
    "Generations of processors that are accepted; genoa and turin unless written. Reports of milan can be forged \
     (arXiv 2605.12990).",
    ItemKind::Word(&["milan", "genoa", "turin"]),
);
pub(crate) const CHIPS: Key<ListKind> = list(
    "chips",
    "Ids of chips that are accepted.",
    ItemKind::Hex(64, "the id of a chip"),
);
pub(crate) const MASKED_CHIP: Key<FlagKind> =
    flag("masked_chip", "Accept hosts that hide which chip they have.");
pub(crate) const KEYS: Key<ListKind> = list(
    "keys",
    "Kinds of keys that may sign reports; vcek, a chip's own, unless written. A vlek is a provider's.",
    ItemKind::Word(&["vcek", "vlek"]),
);
pub(crate) const VMPL: Key<ListKind> = list(
    "vmpl",
    "Privilege levels that may ask for the report; 0 unless written.",
    ItemKind::Integer(IntegerKind {
        min: 0,
        max: 3,
        default: 0,
    }),
);
pub(crate) const DEBUG: Key<FlagKind> = flag(
    "debug",
    "Accept guests that the host may debug, and read all memory of.",
);
pub(crate) const MIGRATION: Key<FlagKind> =
    flag("migration", "Accept guests that a migration agent may move.");
pub(crate) const AUTHOR_KEYS: Key<ListKind> = list(
    "author_keys",
    "Digests of author's keys, one of which has to have certified the guest.",
    SHA384,
);
pub(crate) const LAUNCH: Key<ListKind> = Key {
    name: "launch",
    doc: "What the guest may have been launched with: measurements, or \"any\". A guest that was launched with \
          something else can make any manifest, so evidence with a manifest is refused where this is not written.",
    kind: ListKind {
        item: SHA384,
        max: MAX_ITEMS,
        or_any: true,
    },
};
pub(crate) const REVOCATION_LIST: Key<FlagKind> =
    flag("revocation_list", "Demand that a revocation list is given.");
pub(crate) const FLOOR: Key<TableKind> = table(
    "floor",
    "Oldest versions of firmware and microcode, for each generation.",
    FLOOR_KEYS,
);
pub(crate) const SNP_KEYS: &[AnyKey] = &[
    AnyKey::List(GENERATIONS),
    AnyKey::List(CHIPS),
    AnyKey::Flag(MASKED_CHIP),
    AnyKey::List(KEYS),
    AnyKey::List(VMPL),
    AnyKey::Flag(DEBUG),
    AnyKey::Flag(MIGRATION),
    AnyKey::List(AUTHOR_KEYS),
    AnyKey::List(LAUNCH),
    AnyKey::Flag(REVOCATION_LIST),
    AnyKey::Table(FLOOR),
];

pub(crate) const MILAN: Key<TableKind> = table("milan", "Of Milan.", VERSION_KEYS);
pub(crate) const GENOA: Key<TableKind> = table("genoa", "Of Genoa.", VERSION_KEYS);
pub(crate) const TURIN: Key<TableKind> = table("turin", "Of Turin.", TURIN_KEYS);
pub(crate) const FLOOR_KEYS: &[AnyKey] = &[AnyKey::Table(MILAN), AnyKey::Table(GENOA), AnyKey::Table(TURIN)];

pub(crate) const FMC: Key<IntegerKind> = version("fmc", "Oldest version of the FMC.");
pub(crate) const BOOT_LOADER: Key<IntegerKind> = version("boot_loader", "Oldest version of the boot loader.");
pub(crate) const TEE: Key<IntegerKind> = version("tee", "Oldest version of the secure processor's system.");
pub(crate) const SNP_VERSION: Key<IntegerKind> = version("snp", "Oldest version of the SNP firmware.");
pub(crate) const MICROCODE: Key<IntegerKind> = version("microcode", "Oldest version of the microcode.");
pub(crate) const VERSION_KEYS: &[AnyKey] = &[
    AnyKey::Integer(BOOT_LOADER),
    AnyKey::Integer(TEE),
    AnyKey::Integer(SNP_VERSION),
    AnyKey::Integer(MICROCODE),
];
pub(crate) const TURIN_KEYS: &[AnyKey] = &[
    AnyKey::Integer(FMC),
    AnyKey::Integer(BOOT_LOADER),
    AnyKey::Integer(TEE),
    AnyKey::Integer(SNP_VERSION),
    AnyKey::Integer(MICROCODE),
];

/// All tables, as messages call them.
pub(crate) const TABLES: Tables = &[
    ("at the top of the file, above the first `[table]`", ROOT_KEYS),
    ("in `[chain]`", CHAIN_KEYS),
    ("in `[monitor]`", MONITOR_KEYS),
    ("in `[snp]`", SNP_KEYS),
    ("in `[snp.floor]`", FLOOR_KEYS),
    ("in `[snp.floor.GENERATION]`", TURIN_KEYS),
];
