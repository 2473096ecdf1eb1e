//! One function of a checked chain, with every value that it runs with.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::keys;
use crate::program::{FileRef, Guest, Interpreter, Program, Python};
use crate::units::ByteSize;

/// An output port of one function: its place in [`Function::ports`], or the `error` port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub(crate) u16);

impl PortId {
    /// The port that every function has without declaring it: the failing record, after the last attempt.
    pub const ERROR: Self = Self(u16::MAX);

    /// Its place in [`Function::ports`]; `None` for [`PortId::ERROR`].
    #[must_use]
    pub fn index(self) -> Option<usize> {
        (self != Self::ERROR).then_some(usize::from(self.0))
    }
}

/// What becomes of a function's standard output and error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Logs {
    /// They never leave the trustlet.
    #[default]
    Drop,
    /// They are forwarded to the operator; part of the chain digest.
    Forward,
}

impl Logs {
    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Forward => "forward",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Drop, Self::Forward]
            .into_iter()
            .find(|logs| logs.as_str() == word)
    }
}

/// Which system calls a function has; part of its image, and of the chain digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SystemCalls {
    /// Those of one process that computes, with files and threads of its own.
    #[default]
    Native,
    /// Also those for starting programs, and for sockets between them.
    Program,
}

impl SystemCalls {
    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Program => "program",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Native, Self::Program]
            .into_iter()
            .find(|calls| calls.as_str() == word)
    }
}

/// What happens after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// How often a record is tried in all, 1 to 100.
    pub attempts: u32,
    /// The wait before the second attempt.
    pub backoff: Duration,
    /// What each further wait is multiplied by, 1.0 to 100.0.
    pub factor: f64,
    /// The longest wait; never shorter than [`Retry::backoff`].
    pub max: Duration,
    /// Whether waits are spread at random.
    pub jitter: bool,
}

/// What each instance of a function may use, and how it is run: every value that a function and `[defaults]`
/// may both set. One of a checked chain is within its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The memory that one instance may use.
    pub memory: ByteSize,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many instances run, 1 to 64.
    pub instances: u32,
    /// What happens after a failed attempt.
    pub retry: Retry,
    /// What becomes of its standard output and error.
    pub logs: Logs,
    /// The size of one instance's outbox.
    pub outbox: ByteSize,
    /// Whether the outbox is to be backed by huge pages.
    pub huge_pages: bool,
    /// Whether all of the outbox is backed before the first record.
    pub prefault: bool,
    /// The private temporary file space of one instance; zero for none.
    pub scratch: ByteSize,
    /// How many threads one instance may have, 1 to 256.
    pub threads: u32,
}

/// A secret, as a reference that only the monitor resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRef {
    pub(crate) path: String,
    pub(crate) resource: Option<Resource>,
    pub(crate) trim: bool,
}

/// What a key broker keeps, as its protocol names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Whose it is.
    pub repository: String,
    /// What it is.
    pub kind: String,
    /// Which it is.
    pub tag: String,
}

impl Resource {
    /// The resource with this path, `/REPOSITORY/TYPE/TAG`; nothing if it has another form.
    pub(crate) fn at(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/').map(part_of_path);
        let resource = Self {
            repository: parts.next()??,
            kind: parts.next()??,
            tag: parts.next()??,
        };
        parts.next().is_none().then_some(resource)
    }
}

/// One part of a resource's path, as key brokers take them.
fn part_of_path(part: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_right = !part.is_empty()
        && part.len() <= keys::MAX_NAME_BYTES
        && !part.starts_with('.')
        && part.chars().all(is_part);
    is_right.then(|| part.to_owned())
}

impl SecretRef {
    /// The absolute path of the file that holds it, or that of the resource that a key broker keeps.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What a key broker is asked for; nothing for a secret in a file.
    #[must_use]
    pub fn resource(&self) -> Option<&Resource> {
        self.resource.as_ref()
    }

    /// Whether line breaks at the end are not part of the secret.
    #[must_use]
    pub fn trim(&self) -> bool {
        self.trim
    }
}

/// As the file writes it: `file:/run/secrets/api`, `kbs:///default/db/password`.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.resource {
            None => keys::SECRET_SCHEME,
            Some(_) => keys::BROKER_SCHEME,
        };
        write!(f, "{scheme}{}", self.path)
    }
}

/// One function with all its values; what the file does not write is filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub(crate) name: String,
    pub(crate) program: Program,
    pub(crate) build: Option<String>,
    pub(crate) ports: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) args: Vec<String>,
    pub(crate) files: Vec<FileRef>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, SecretRef>,
    pub(crate) stream: bool,
    pub(crate) system_calls: SystemCalls,
    pub(crate) jit: bool,
}

impl Function {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The path of its executable, as written: relative to the chain file. `None` if it is no executable.
    #[must_use]
    pub fn exec(&self) -> Option<&str> {
        match &self.program {
            Program::Executable(path) => Some(path),
            Program::Python(_) | Program::Guest(_) => None,
        }
    }

    /// What it is made of, if it is in Python.
    #[must_use]
    pub fn python(&self) -> Option<&Python> {
        match &self.program {
            Program::Python(python) => Some(python),
            Program::Executable(_) | Program::Guest(_) => None,
        }
    }

    /// The program, if it is one that knows nothing of chains.
    #[must_use]
    pub fn guest(&self) -> Option<&Guest> {
        match &self.program {
            Program::Guest(guest) => Some(guest),
            Program::Executable(_) | Program::Python(_) => None,
        }
    }

    /// The interpreter of Python that it is run by, if it is.
    #[must_use]
    pub fn interpreter(&self) -> Option<&Interpreter> {
        match &self.program {
            Program::Python(python) => Some(python.interpreter()),
            Program::Guest(guest) => guest.interpreter(),
            Program::Executable(_) => None,
        }
    }

    /// The command that builds it.
    #[must_use]
    pub fn build(&self) -> Option<&str> {
        self.build.as_deref()
    }

    /// Its declared output ports, 1 to 64, in the order of the file. `error` is not among them.
    #[must_use]
    pub fn ports(&self) -> &[String] {
        &self.ports
    }

    /// The name of one of its ports; `None` when it has no such port.
    #[must_use]
    pub fn port_name(&self, port: PortId) -> Option<&str> {
        match port.index() {
            None => Some(keys::ERROR_PORT),
            Some(index) => self.ports.get(index).map(String::as_str),
        }
    }

    /// The port with a name, `error` included.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<PortId> {
        if name == keys::ERROR_PORT {
            return Some(PortId::ERROR);
        }
        let index = self.ports.iter().position(|port| port == name)?;
        u16::try_from(index).ok().map(PortId)
    }

    /// The memory that one instance may use.
    #[must_use]
    pub fn memory(&self) -> ByteSize {
        self.limits.memory
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.limits.timeout
    }

    /// How many instances run, 1 to 64.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.limits.instances
    }

    /// What happens after a failed attempt.
    #[must_use]
    pub fn retry(&self) -> &Retry {
        &self.limits.retry
    }

    /// Everything that limits it, in one.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The arguments of its process, after its name.
    #[must_use]
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The files and folders that it finds; their places are apart.
    #[must_use]
    pub fn files(&self) -> &[FileRef] {
        &self.files
    }

    /// Its environment variables.
    #[must_use]
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Its secrets.
    #[must_use]
    pub fn secrets(&self) -> &BTreeMap<String, SecretRef> {
        &self.secrets
    }

    /// Whether it reads its input as a stream; [`Chain::streams`](crate::Chain::streams) says so of an edge.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// Which system calls it has.
    #[must_use]
    pub fn system_calls(&self) -> SystemCalls {
        self.system_calls
    }

    /// Whether memory that was written can become code in it and its programs; never of a native function.
    #[must_use]
    pub fn jit(&self) -> bool {
        self.jit
    }

    /// What becomes of its standard output and error.
    #[must_use]
    pub fn logs(&self) -> Logs {
        self.limits.logs
    }

    /// The size of one instance's outbox.
    #[must_use]
    pub fn outbox(&self) -> ByteSize {
        self.limits.outbox
    }

    /// Whether the outbox is to be backed by huge pages.
    #[must_use]
    pub fn huge_pages(&self) -> bool {
        self.limits.huge_pages
    }

    /// Whether all of the outbox is backed before the first record.
    #[must_use]
    pub fn prefault(&self) -> bool {
        self.limits.prefault
    }

    /// The private temporary file space of one instance; zero for none.
    #[must_use]
    pub fn scratch(&self) -> ByteSize {
        self.limits.scratch
    }

    /// How many threads one instance may have, 1 to 256.
    #[must_use]
    pub fn threads(&self) -> u32 {
        self.limits.threads
    }
}
