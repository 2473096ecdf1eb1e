//! What a key of the language is: its name, its meaning, and what its value can be.

use std::time::Duration;

use crate::units::ByteSize;

/// One key: its name, its meaning for editors and messages, and what its value is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<K> {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) kind: K,
}

/// A size between two bounds, both included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SizeKind {
    pub(crate) min: ByteSize,
    pub(crate) max: ByteSize,
    pub(crate) default: ByteSize,
}

/// A duration between two bounds, both included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DurationKind {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    pub(crate) default: Duration,
}

/// A whole number between two bounds, both included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IntegerKind {
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) default: u32,
}

/// A number between two bounds, both included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NumberKind {
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) default: f64,
}

/// True or false.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlagKind {
    pub(crate) default: bool,
}

/// One of a few words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChoiceKind {
    pub(crate) words: &'static [&'static str],
    pub(crate) default: &'static str,
}

/// A text up to a length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextKind {
    pub(crate) max_bytes: usize,
    pub(crate) required: bool,
    pub(crate) example: &'static str,
}

/// A table with its own keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableKind {
    pub(crate) keys: &'static [AnyKey],
}

/// A list of items of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListKind {
    pub(crate) item: ItemKind,
    pub(crate) max: usize,
    /// Whether the word "any" may stand instead of the list.
    pub(crate) or_any: bool,
}

/// What the items of a list are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ItemKind {
    /// So many bytes in hexadecimal, and what they are.
    Hex(usize, &'static str),
    /// Some of a few words.
    Word(&'static [&'static str]),
    /// Names that only a machine knows.
    Name,
    /// Whole numbers.
    Integer(IntegerKind),
}

/// A value that has its own reader; what it is for the schema.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OwnKind {
    /// The chain's name.
    Name,
    /// The version text.
    Version,
    /// The flow lines.
    Flow,
    /// Port names.
    Ports,
    /// The number of instances, or a table that is not built yet.
    Instances(IntegerKind),
    /// Arguments.
    Args,
    /// Modules of Python.
    Modules,
    /// A program and its arguments.
    Command,
    /// A path, or a table with these keys.
    Lambda(&'static [AnyKey]),
    /// Files and folders.
    Files,
    /// Environment variables.
    Env,
    /// References to secrets.
    Secrets,
    /// Which of several records is the reply.
    Egress,
    /// Methods of HTTP.
    Methods,
    /// Names of headers.
    Headers,
    /// A path with captures.
    Route,
    /// An address and a port.
    Address,
    /// A table of functions, each with these keys.
    Functions(&'static [AnyKey]),
    /// A table of edges, each with these keys.
    Edges(&'static [AnyKey]),
}

/// A key of any kind, as the lists of keys hold them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnyKey {
    Size(Key<SizeKind>),
    Duration(Key<DurationKind>),
    Integer(Key<IntegerKind>),
    Number(Key<NumberKind>),
    Flag(Key<FlagKind>),
    Choice(Key<ChoiceKind>),
    Text(Key<TextKind>),
    Table(Key<TableKind>),
    List(Key<ListKind>),
    Own(Key<OwnKind>),
}

/// The tables of a language: what messages call each, and its keys. For a key that stands in the wrong one.
pub(crate) type Tables = &'static [(&'static str, &'static [AnyKey])];

impl AnyKey {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Size(key) => key.name,
            Self::Duration(key) => key.name,
            Self::Integer(key) => key.name,
            Self::Number(key) => key.name,
            Self::Flag(key) => key.name,
            Self::Choice(key) => key.name,
            Self::Text(key) => key.name,
            Self::Table(key) => key.name,
            Self::List(key) => key.name,
            Self::Own(key) => key.name,
        }
    }
}
