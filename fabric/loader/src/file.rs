//! A chain file together with what it names on this machine: executables and secrets.

use super::beneath::{Beneath, Folders};
use super::executable::Executable;
use super::given::Given;
use super::guest;
use super::linked::{ElfError, LIBRARY_PATH, LinkedFiles, Loadable};
use super::program_libraries;
use super::progress::asking;
use super::python::{self, Asked, Found};
use super::secret;
use super::tls_source::Source;
use super::tree::Tree;
use hacher_chain_dsl::{
    Chain, Checked, Code, Diagnostic, Diagnostics, Function, FunctionId, Guest, Interpreter, MAX_TEXT_BYTES,
    Program, Resource, Severity, Span, SystemCalls, check_bytes, is_binary,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A chain file that could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFileError {
    /// It could not be read.
    #[error("cannot read the chain file `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no text.
    #[error("`{}` is not a chain file but a program or other binary data; a chain file is TOML", .0.display())]
    Binary(PathBuf),
    /// No gateway has the memory that it takes.
    #[error("{0}")]
    Gateway(String),
    /// It cannot be served beside another that is to be served with it.
    #[error("{0}")]
    Together(String),
    /// It has problems; all of them.
    #[error("{}", .0.render(false))]
    Problems(Box<Diagnostics>),
}

/// A chain that checks, and where its file stands.
#[derive(Debug)]
pub struct ChainFile {
    path: PathBuf,
    checked: Checked,
    folders: Folders,
    adaptor: Option<Adaptor>,
    /// What the files of each function are together, once they were looked at.
    given: RefCell<BTreeMap<FunctionId, Given>>,
}

/// The executable before programs that know nothing of chains, or why there is none.
pub type Adaptor = Result<AdaptorFile, String>;

/// The executable before programs that know nothing of chains.
#[derive(Debug)]
pub struct AdaptorFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The file.
    pub file: File,
}

/// What one function needs on this machine, opened.
#[derive(Debug)]
pub struct FunctionFiles {
    /// The executable.
    pub executable: File,
    /// What it links.
    pub linked: LinkedFiles,
    /// The files and folders that it is given.
    pub trees: Vec<Tree>,
    /// Arguments before its own.
    pub args: Vec<String>,
    /// Variables besides its own.
    pub env: Vec<(&'static str, String)>,
    /// Its secrets.
    pub secrets: Vec<SecretSource>,
}

/// What a chain needs on this machine, opened.
pub struct Opened {
    /// What the functions need, in their order.
    pub functions: Vec<FunctionFiles>,
    /// What its own gateway speaks TLS with.
    pub tls: Option<Source>,
    /// What is probably not meant, of the text and of what was opened.
    pub warnings: Diagnostics,
}

/// A secret of a function: its name, and where the monitor will have it from.
#[derive(Debug)]
pub struct SecretSource {
    /// Its name.
    pub name: String,
    /// Where its value is.
    pub origin: SecretOrigin,
    /// Whether line breaks at the end are not part of it.
    pub trim: bool,
}

/// Where the value of a secret is.
#[derive(Debug)]
pub enum SecretOrigin {
    /// A regular file of at most as many bytes as a secret may have, when it was opened.
    File(File),
    /// What a key broker keeps.
    Broker(Resource),
}

impl ChainFile {
    /// Reads and checks the text alone.
    ///
    /// # Errors
    /// [`ChainFileError`], with all problems at once.
    pub fn read(path: &Path) -> Result<Self, ChainFileError> {
        let read_error = |source| ChainFileError::Read {
            path: path.to_owned(),
            source,
        };
        // One byte more than may be: the checker then says that it is too large.
        let limit = MAX_TEXT_BYTES as u64 + 1;
        let going = asking(path);
        // A pipe is read at its writer's pace, and only a file is given up.
        let is_file = std::fs::metadata(path).map_or(true, |metadata| metadata.is_file());
        let _going = is_file.then_some(going);
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(read_error)?;
        if is_binary(&bytes) {
            return Err(ChainFileError::Binary(path.to_owned()));
        }
        let checked = check_bytes(&bytes, &path.display().to_string())
            .map_err(|problems| ChainFileError::Problems(Box::new(problems)))?;
        Ok(Self {
            path: path.to_owned(),
            checked,
            folders: Folders::default(),
            adaptor: None,
            given: RefCell::default(),
        })
    }

    /// The same, with secrets and files from within `folders` alone, as far as these are given.
    #[must_use]
    pub fn within(self, folders: &Folders) -> Self {
        Self {
            folders: folders.clone(),
            ..self
        }
    }

    /// The same, with this executable for functions that are programs which know nothing of chains.
    #[must_use]
    pub fn with_adaptor(self, adaptor: Adaptor) -> Self {
        Self {
            adaptor: Some(adaptor),
            ..self
        }
    }

    /// Whether functions of the chain are such programs.
    #[must_use]
    pub fn needs_adaptor(&self) -> bool {
        self.chain()
            .functions()
            .iter()
            .any(|function| function.guest().is_some())
    }

    /// A function's files, as far as they were looked at.
    pub(super) fn given(&self, function: FunctionId) -> Given {
        self.given.borrow().get(&function).copied().unwrap_or_default()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that relative paths start from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        }
    }

    /// The chain.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        self.checked.chain()
    }

    /// What is probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &Diagnostics {
        self.checked.warnings()
    }

    /// What the checker made of the text.
    pub(super) fn checked(&self) -> &Checked {
        &self.checked
    }

    /// Opens all that the file names on this machine.
    ///
    /// # Errors
    /// [`ChainFileError::Problems`] with everything that is missing or cannot be used.
    pub fn open_all(&self) -> Result<Opened, ChainFileError> {
        // Also of what is closed again.
        let _going = asking(&self.path);
        let (functions, mut problems) = self.functions_and_problems();
        let is_doubt = |found: &&Diagnostic| found.severity() == Severity::Warning;
        let mut doubts: Vec<_> = problems.iter().filter(is_doubt).cloned().collect();
        let tls = self.open_tls().unwrap_or_else(|found| {
            problems.extend(found);
            None
        });
        let of_tls = tls
            .as_ref()
            .map_or_else(Vec::new, |source| self.tls_warnings(source));
        problems.extend(of_tls.iter().cloned());
        doubts.extend(of_tls);
        if has_errors(&problems) {
            return Err(self.with_problems(problems));
        }
        Ok(Opened {
            functions,
            tls,
            warnings: self.checked.with_found(doubts),
        })
    }

    /// Opens what the functions need, in the order of the functions.
    ///
    /// # Errors
    /// [`ChainFileError::Problems`] with everything that is missing, each where the chain file names it.
    pub fn open_functions(&self) -> Result<Vec<FunctionFiles>, ChainFileError> {
        let _going = asking(&self.path);
        let (opened, problems) = self.functions_and_problems();
        if has_errors(&problems) {
            return Err(self.with_problems(problems));
        }
        Ok(opened)
    }

    fn with_problems(&self, problems: Vec<Diagnostic>) -> ChainFileError {
        ChainFileError::Problems(Box::new(self.checked.with_found(problems)))
    }

    fn functions_and_problems(&self) -> (Vec<FunctionFiles>, Vec<Diagnostic>) {
        let mut problems = Vec::new();
        let functions = self.chain().functions_with_ids();
        let opened = functions
            .filter_map(|(id, function)| self.open_function(id, function, &mut problems))
            .collect();
        (opened, problems)
    }

    /// Opens what one function needs. `None` without its executable; everything else is looked at all the
    /// same, so that all of its problems are reported.
    fn open_function(
        &self,
        id: FunctionId,
        function: &Function,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<FunctionFiles> {
        let library_path = function.env().get(LIBRARY_PATH).map(String::as_str);
        let mut noted = |found: Vec<Diagnostic>| problems.extend(found);
        let python = function.interpreter().and_then(|interpreter| {
            let found = self.find_python(id, function, interpreter);
            found.map_err(&mut noted).ok()
        });
        let has_interpreter = python.is_some() || function.interpreter().is_none();
        let guest = function.guest().filter(|_| has_interpreter).and_then(|guest| {
            let found = self.find_guest(id, function, guest, python.as_ref());
            found.map_err(&mut noted).ok()
        });
        let executable = self.executable(id, function, python.as_ref()).and_then(|wanted| {
            let loadable = python.as_ref().map_or(Loadable::NONE, Found::loadable);
            let opened = wanted.open(library_path, loadable);
            opened.map_err(|problem| noted(vec![*problem])).ok()
        });
        let secrets = self.open_secrets(id, function, problems);
        let (trees, refused): (Vec<_>, Vec<_>) =
            self.read_trees(id, function).into_iter().partition(Result::is_ok);
        let has_all_files = refused.is_empty();
        problems.extend(
            refused
                .into_iter()
                .filter_map(Result::err)
                .map(|problem| *problem),
        );
        let mut trees: Vec<Tree> = trees.into_iter().flatten().collect();
        let of_files = trees.len();
        let (mut args, mut env) = (Vec::new(), Vec::new());
        if let Some(guest) = guest {
            trees.extend(guest.tree);
            problems.extend(guest::check_program(&trees, &guest.place, self.program_span(id)));
            (args, env) = (guest.args, guest.env);
        }
        let (executable, mut linked, missing) = executable?;
        problems.extend(missing.iter().map(|error| self.missing_library(id, error)));
        if has_all_files && function.system_calls() == SystemCalls::Program {
            let missing = program_libraries::add(&mut linked, &trees, library_path);
            let missing = missing.into_iter().map(|(at, text)| {
                let span = (at < of_files).then(|| self.checked.file_span(id, at)).flatten();
                missing_library_of_program(span.unwrap_or_else(|| self.program_span(id)), &text)
            });
            problems.extend(missing);
        }
        problems.extend(self.taken_places(id, function, &linked));
        if let Some(python) = python {
            problems.extend(self.count(id, &python.trees));
            trees.extend(python.trees);
            args.extend(python.args);
            env.extend(python.env);
        }
        Some(FunctionFiles {
            executable,
            linked,
            trees,
            args,
            env,
            secrets,
        })
    }

    /// Where what a function is stands in the chain file.
    fn program_span(&self, id: FunctionId) -> Span {
        self.checked.exec_span(id).unwrap_or_default()
    }

    /// The executable of a function, which is still to be opened; `None` where what leads to it has a problem
    /// already.
    fn executable(
        &self,
        id: FunctionId,
        function: &Function,
        python: Option<&Found>,
    ) -> Option<Executable<'_>> {
        let span = self.program_span(id);
        let (path, opened) = match function.program() {
            Program::Executable(exec) => (self.folder().join(exec), None),
            Program::Python(_) => (python?.interpreter.clone(), None),
            _ => {
                let adaptor = self.adaptor.as_ref()?.as_ref().ok()?;
                (adaptor.path.clone(), Some(&adaptor.file))
            }
        };
        Some(Executable {
            path,
            opened,
            span,
            can_build: function.build().is_some(),
        })
    }

    /// Finds the program that a function starts.
    fn find_guest(
        &self,
        id: FunctionId,
        function: &Function,
        guest: &Guest,
        python: Option<&Found>,
    ) -> Result<guest::Found, Vec<Diagnostic>> {
        let span = self.program_span(id);
        let no_adaptor = match &self.adaptor {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(why.as_str()),
            None => Some("it was not looked for"),
        };
        if let Some(why) = no_adaptor {
            return Err(vec![guest::without_adaptor(span, why)]);
        }
        let Ok(bound) = self.bound_of_files() else {
            return Err(Vec::new()); // of the folder, `files` complain
        };
        let asked = guest::Asked {
            guest,
            span,
            folder: self.folder(),
            own_args: function.args(),
            memory: function.memory(),
            bound: bound.as_ref(),
            interpreter: python.map(|found| found.interpreter.as_path()),
            can_build: function.build().is_some(),
        };
        asked.find().map_err(|problem| vec![*problem])
    }

    /// Opens the secrets of a function that are here.
    fn open_secrets(
        &self,
        id: FunctionId,
        function: &Function,
        problems: &mut Vec<Diagnostic>,
    ) -> Vec<SecretSource> {
        let mut secrets = Vec::new();
        for (name, secret) in function.secrets() {
            let origin = match secret.resource() {
                Some(resource) => Ok(SecretOrigin::Broker(resource.clone())),
                None => self.open_secret(id, name, secret.path()).map(SecretOrigin::File),
            };
            match origin {
                Ok(origin) => secrets.push(SecretSource {
                    name: name.clone(),
                    origin,
                    trim: secret.trim(),
                }),
                Err(problem) => problems.push(*problem),
            }
        }
        secrets
    }

    /// Finds what a function in Python is made of.
    fn find_python(
        &self,
        id: FunctionId,
        function: &Function,
        interpreter: &Interpreter,
    ) -> Result<Found, Vec<Diagnostic>> {
        let spans = self.checked.python_spans(id);
        let bound = self.bound_of_files();
        let (Some(spans), Ok(bound)) = (spans, bound) else {
            return Err(Vec::new()); // of the folder, `files` complain
        };
        let handler = function.python().map(|python| python::Handler {
            python,
            files: function.files(),
            own_args: function.args(),
        });
        let asked = Asked {
            interpreter,
            spans,
            folder: self.folder(),
            bound: bound.as_ref(),
            handler,
        };
        asked.find()
    }

    /// A library that an extension module links, and that is not there.
    fn missing_library(&self, id: FunctionId, error: &ElfError) -> Diagnostic {
        let span = self.checked.exec_span(id).unwrap_or_default();
        Diagnostic::new(
            Code::LibraryMissing,
            span,
            error.to_string(),
            "importing what needs it will fail",
        )
    }

    /// Counts what a function is given besides its `files`; a problem if that is more than one can have.
    fn count(&self, id: FunctionId, trees: &[Tree]) -> Option<Diagnostic> {
        let mut given = self.given.borrow_mut();
        let given = given.entry(id).or_default();
        trees.iter().for_each(|tree| given.add(tree));
        let most = given.past()?;
        let span = self.checked.python_spans(id).map(|spans| spans.venv);
        let message =
            format!("with the interpreter's library and packages the function has more than {most}");
        Some(
            python::problem(span.unwrap_or_default(), message, "for this function").with_help(
                "make a virtual environment with what the function needs alone: python3 -m venv NAME",
            ),
        )
    }

    /// Looks at the files and folders that a function is given.
    fn read_trees(&self, id: FunctionId, function: &Function) -> Vec<Result<Tree, Box<Diagnostic>>> {
        let bound = self.bound_of_files();
        let mut given = Given::default();
        let mut read = Vec::new();
        for (at, file) in function.files().iter().enumerate() {
            let problem = |message: String| {
                let span = self.checked.file_span(id, at).unwrap_or_default();
                let label = "named here, relative to this file";
                Box::new(Diagnostic::new(Code::FileNotUsable, span, message, label))
            };
            let found = match &bound {
                Ok(bound) => Tree::read(&self.folder().join(file.from()), file.to(), bound.as_ref()),
                Err(error) => {
                    read.push(Err(problem(format!(
                        "cannot find the chain file's folder: {error}"
                    ))));
                    continue;
                }
            };
            let found = found.map_err(|error| problem(error.to_string()));
            if let Ok(tree) = &found {
                given.add(tree);
            }
            read.push(match given.past() {
                Some(most) => {
                    given = Given::default();
                    Err(problem(format!("with it the function has more than {most}")))
                }
                None => found,
            });
        }
        self.given.borrow_mut().insert(id, given);
        read
    }

    /// Beneath what files are to lie: where secrets are bounded, files must not lead around that.
    fn bound_of_files(&self) -> io::Result<Option<Beneath>> {
        match (&self.folders.files, &self.folders.secrets) {
            (Some(files), _) => Ok(Some(files.clone())),
            (None, Some(_)) => Beneath::new("the chain file's folder", self.folder()).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Problems of places that the executable's libraries have.
    fn taken_places(&self, id: FunctionId, function: &Function, linked: &LinkedFiles) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        for (at, file) in function.files().iter().enumerate() {
            let place = Path::new(file.to());
            let overlaps = |path: &Path| path.starts_with(place) || place.starts_with(path);
            if let Some(library) = linked.files.iter().find(|library| overlaps(&library.path)) {
                let span = self.checked.file_span(id, at).unwrap_or_default();
                let message = format!(
                    "a file of the function cannot be at `{}`: the executable links `{}`",
                    file.to(),
                    library.path.display()
                );
                problems.push(Diagnostic::new(
                    Code::FileNotUsable,
                    span,
                    message,
                    "choose another place",
                ));
            }
        }
        problems
    }

    fn open_secret(&self, function: FunctionId, name: &str, path: &str) -> Result<File, Box<Diagnostic>> {
        let path = self.folder().join(path);
        secret::open(&path, self.folders.secrets.as_ref()).map_err(|error| {
            let span = self.checked.secret_span(function, name).unwrap_or_default();
            let message = format!("cannot read secret `{name}` from `{}`: {error}", path.display());
            Box::new(Diagnostic::new(
                Code::SecretUnresolvable,
                span,
                message,
                "named here",
            ))
        })
    }
}

/// A library that a program among the files links, and that is not there.
fn missing_library_of_program(span: Span, text: &str) -> Diagnostic {
    let message = format!("a library of a program among the files is missing: {text}");
    Diagnostic::new(
        Code::ProgramLibraryMissing,
        span,
        message,
        "starting it will fail",
    )
}

fn has_errors(problems: &[Diagnostic]) -> bool {
    problems
        .iter()
        .any(|problem| problem.severity() == Severity::Error)
}
