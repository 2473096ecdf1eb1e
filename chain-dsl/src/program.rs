//! What a function is: an executable, or a handler in Python.

/// What a function is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Program {
    /// An executable, by its path as written: relative to the chain file.
    Executable(String),
    /// A handler in Python.
    Python(Python),
}

/// What a function in Python is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    pub(crate) file: String,
    pub(crate) handler: String,
    pub(crate) place: String,
    pub(crate) venv: Option<String>,
    pub(crate) interpreter: Option<String>,
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

    /// The folder of its virtual environment, as written.
    #[must_use]
    pub fn venv(&self) -> Option<&str> {
        self.venv.as_deref()
    }

    /// The path of its interpreter, as written.
    #[must_use]
    pub fn interpreter(&self) -> Option<&str> {
        self.interpreter.as_deref()
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
