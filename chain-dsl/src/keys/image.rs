//! Keys of what a function is made of.

use crate::kinds::{ChoiceKind, FlagKind, Key, OwnKind, TextKind};

/// The longest path, command or description, and the longest name and value of an environment variable
/// together: what one message to the monitor holds.
pub const MAX_VALUE_BYTES: usize = 4096;

pub(crate) const EXEC: Key<TextKind> = Key {
    name: "exec",
    doc: "The executable, relative to this file.",
    kind: TextKind {
        max_bytes: MAX_VALUE_BYTES,
        required: false,
        example: "../target/release/decode",
    },
};
pub(crate) const BUILD: Key<TextKind> = Key {
    name: "build",
    doc: "The command that builds the executable; run by --build.",
    kind: TextKind {
        max_bytes: MAX_VALUE_BYTES,
        required: false,
        example: "cargo build --release -p decode",
    },
};
pub(crate) const ARGS: Key<OwnKind> = Key {
    name: "args",
    doc: "The arguments of the function's process, after its name.",
    kind: OwnKind::Args,
};
pub(crate) const FILES: Key<OwnKind> = Key {
    name: "files",
    doc: "Files and folders that the function finds, read-only, as they were when the chain was loaded. A path, relative to \
          this file, is found at the same path from the function's root; { from = \"models\", to = \"/opt/models\" } \
          chooses another place.",
    kind: OwnKind::Files,
};
pub(crate) const SYSCALLS: Key<ChoiceKind> = Key {
    name: "syscalls",
    doc: "Which system calls the function has: `native` those of one process that computes, with files and threads of its \
          own; `program` also those for starting programs among its `files`, and for sockets between them, in an empty \
          network. Part of the chain digest.",
    kind: ChoiceKind {
        words: &["native", "program"],
        default: "native",
    },
};
pub(crate) const JIT: Key<FlagKind> = Key {
    name: "jit",
    doc: "Whether memory that was written can be executed, as just-in-time compilers need it. Only with \
          syscalls = \"program\". Part of the chain digest.",
    kind: FlagKind { default: false },
};
