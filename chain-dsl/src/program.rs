//! What a function is: an executable, a handler in Python, or a program that knows nothing of chains.

use core::time::Duration;

/// What a function is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Program {
    /// An executable, by its path as written: relative to the chain file.
    Executable(String),
    /// A handler in Python.
    Python(Python),
    /// A program behind the adaptor, which knows nothing of chains.
    Guest(Guest),
}

/// An interpreter of Python, by what chooses it and its packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interpreter {
    pub(crate) venv: Option<String>,
    pub(crate) path: Option<String>,
}

impl Interpreter {
    /// The folder of its virtual environment, as written.
    #[must_use]
    pub fn venv(&self) -> Option<&str> {
        self.venv.as_deref()
    }

    /// Its own path, as written.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }
}

/// A file or folder of the machine, and where the function finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRef {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl FileRef {
    /// Its path, as written: relative to the chain file.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Its place in the function: an absolute path, with nothing in it but names and single slashes.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.to
    }
}

/// What a function in Python is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    pub(crate) file: String,
    pub(crate) handler: String,
    pub(crate) place: String,
    pub(crate) interpreter: Interpreter,
    pub(crate) preload: Vec<String>,
}

impl Python {
    /// The path of its file, as written: relative to the chain file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The name of the handler in the file.
    #[must_use]
    pub fn handler(&self) -> &str {
        &self.handler
    }

    /// Where the function finds the file: an absolute path. It lies in one of the function's `files` or apart
    /// from all of them.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What runs it.
    #[must_use]
    pub fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// Modules that it imports before its file.
    #[must_use]
    pub fn preload(&self) -> &[String] {
        &self.preload
    }

    /// The value of `python`.
    pub(crate) fn named(&self) -> String {
        format!("{}:{}", self.file, self.handler)
    }
}

/// A program that knows nothing of chains, and how records reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    pub(crate) protocol: Protocol,
    pub(crate) command: Vec<String>,
    pub(crate) program: GuestProgram,
    pub(crate) start_within: Option<Duration>,
}

/// How records reach a program that knows nothing of chains.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// As requests to its server of HTTP.
    Http(HttpServer),
    /// As events of the AWS Lambda Runtime API.
    Lambda,
}

/// Where a program serves HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpServer {
    pub(crate) port: u16,
    pub(crate) path: Option<String>,
    pub(crate) ready: Option<String>,
}

/// Where the program of a [`Guest`] comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuestProgram {
    /// It is among the function's `files`, at this place.
    Given(String),
    /// It is a file of this machine.
    File(FileRef),
    /// It is found by its name, as a shell finds it.
    Named(String),
    /// It is an interpreter of Python, which has its library and packages.
    Python(Interpreter),
}

impl Guest {
    /// How records reach it.
    #[must_use]
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// The program and its arguments, as written; never empty.
    #[must_use]
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// Where the program comes from.
    #[must_use]
    pub fn program(&self) -> &GuestProgram {
        &self.program
    }

    /// How long it may take until it is ready, where that is written.
    #[must_use]
    pub fn start_within(&self) -> Option<Duration> {
        self.start_within
    }

    /// The interpreter of Python that it is run by, if it is.
    #[must_use]
    pub fn interpreter(&self) -> Option<&Interpreter> {
        match &self.program {
            GuestProgram::Python(interpreter) => Some(interpreter),
            _ => None,
        }
    }
}

impl HttpServer {
    /// Its port, never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What stands before the path of each request.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// The path that answers with 2xx as soon as it is ready.
    #[must_use]
    pub fn ready(&self) -> Option<&str> {
        self.ready.as_deref()
    }
}
