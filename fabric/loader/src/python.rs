//! What a function in Python is made of on this machine: the interpreter with its library, packages, the file
//! with the handler if it has one, and what extension modules of these link.
//!
//! Nothing is executed to find it: a chain file must not choose what runs with the rights of the user who
//! starts the service. Where things lie is told by the interpreter's own folder and by `pyvenv.cfg`.

mod asked;
mod handler;
mod installation;

use super::beneath::Beneath;
use super::linked::Loadable;
use super::tree::{Bound, Selection, Tree, TreeError};
pub(super) use asked::{Asked, Handler, problem};
use hacher_chain_dsl::{Diagnostic, FileRef, PYTHON_PLACE};
use hacher_trustlet_host::calls::OPERAND_MAX_BYTES;
use hacher_trustlet_host::core::limits::ARGUMENTS_MAX;
use installation::Installation;
use std::path::{Path, PathBuf};

/// The oldest version that is served.
const VERSION_MIN: (u32, u32) = (3, 9);
/// Most places that a function in Python takes besides those of its `files`: its file, the library, two
/// folders of packages of an environment, and four of an interpreter.
pub(super) const PLACES_MAX: u64 = 8;

/// What a function in Python is made of.
pub(super) struct Found {
    /// The interpreter, where it really lies.
    pub(super) interpreter: PathBuf,
    pub(super) trees: Vec<Tree>,
    /// Arguments of the interpreter, before those of the function.
    pub(super) args: Vec<String>,
    /// Variables that the function has besides its own.
    pub(super) env: Vec<(&'static str, String)>,
    /// Extension modules, as they lie on this machine.
    pub(super) modules: Vec<PathBuf>,
    /// The folders that the function has whole: what lies in them is found beside what links it.
    pub(super) folders: Vec<PathBuf>,
}

/// A folder that a function in Python has whole.
struct Folder<'f> {
    /// Where it lies on this machine.
    real: &'f Path,
    /// Where the function finds it.
    place: String,
    selection: Selection,
    /// What links in it may lead to.
    bound: Bound<'f>,
}

impl Found {
    /// What it loads by itself.
    pub(super) fn loadable(&self) -> Loadable<'_> {
        Loadable {
            modules: &self.modules,
            folders: &self.folders,
        }
    }
}

impl Asked<'_> {
    /// Finds all of it.
    ///
    /// # Errors
    /// All that is missing, each where the chain file names it.
    pub(super) fn find(&self) -> Result<Found, Vec<Diagnostic>> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        self.find_in(&std::env::split_paths(&search).collect::<Vec<_>>())
    }

    /// The same, with these folders of programs.
    fn find_in(&self, programs: &[PathBuf]) -> Result<Found, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut noted = |found: Box<Diagnostic>| problems.push(*found);
        let file = self.handler.as_ref().and_then(|handler| {
            let file = self.file(handler);
            file.map_err(&mut noted).ok().flatten()
        });
        let installation = match Installation::find_in(self, programs) {
            Ok(installation) => installation,
            Err(found) => {
                problems.push(*found);
                return Err(problems);
            }
        };
        if let Err(found) = self.check(&installation) {
            problems.push(*found);
        }
        let base = self
            .base_of_service(&installation)
            .map_err(|found| vec![*found])?;
        let folders = self.folders(&installation, base.as_ref());
        let mut trees = Vec::from_iter(file);
        let mut modules = Vec::new();
        for folder in &folders {
            match Tree::select(folder.real, &folder.place, folder.bound, folder.selection) {
                Ok(tree) => {
                    modules.extend(tree.extension_modules());
                    trees.push(tree);
                }
                Err(error) => problems.push(self.refused(&error, folder, &installation)),
            }
        }
        let args = self
            .handler
            .as_ref()
            .map_or(Ok(Vec::new()), |handler| self.args(handler));
        let args = args.unwrap_or_else(|found| {
            problems.push(*found);
            Vec::new()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let packages = folders
            .iter()
            .filter(|folder| folder.selection == Selection::PythonPackages);
        let packages: Vec<&str> = packages.map(|folder| folder.place.as_str()).collect();
        let mut env = vec![
            ("PYTHONHOME", PYTHON_PLACE.to_owned()),
            ("PYTHONPATH", packages.join(":")),
            ("PYTHONNOUSERSITE", "1".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        if self.handler.is_some() {
            // From Python 3.11 on: the current folder does not come before the package.
            env.push(("PYTHONSAFEPATH", "1".to_owned()));
        }
        Ok(Found {
            trees,
            args,
            env,
            modules,
            folders: folders.iter().map(|folder| folder.real.to_owned()).collect(),
            interpreter: installation.interpreter,
        })
    }

    /// The folders that the function has of an installation: the library first, then packages in the order in
    /// which they are searched. `base`: as [`Self::base_of_service`] says.
    fn folders<'f>(&'f self, installation: &'f Installation, base: Option<&'f Beneath>) -> Vec<Folder<'f>> {
        let around = match (base, self.bound) {
            (Some(base), _) => Bound::WithLinks(base),
            (None, Some(bound)) => Bound::Strict(bound),
            (None, None) => Bound::None,
        };
        let library = Folder {
            real: &installation.library,
            place: format!("{PYTHON_PLACE}/{}", installation.library_within),
            selection: Selection::PythonLibrary,
            bound: around,
        };
        let packages = installation.packages.iter().enumerate().map(|(at, found)| {
            let number = if at == 0 { String::new() } else { at.to_string() };
            Folder {
                real: &found.folder,
                place: format!("{PYTHON_PLACE}/packages{number}"),
                selection: Selection::PythonPackages,
                bound: match self.bound {
                    Some(bound) if found.is_of_environment => Bound::Strict(bound),
                    _ => around,
                },
            }
        });
        core::iter::once(library).chain(packages).collect()
    }

    fn refused(&self, error: &TreeError, folder: &Folder<'_>, installation: &Installation) -> Diagnostic {
        let refused = problem(self.spans.venv, error.to_string(), "for this function");
        let is_strict = matches!(folder.bound, Bound::Strict(_));
        if !matches!(error, TreeError::Outside { .. }) || !is_strict || installation.is_of_service {
            return refused;
        }
        refused.with_help(format!(
            "or have the service find the interpreter by its own PATH: PATH={}/bin:$PATH, where the service is started",
            installation.base.display()
        ))
    }

    /// What the interpreter is started with, before the function's own arguments.
    fn args(&self, handler: &Handler<'_>) -> Result<Vec<String>, Box<Diagnostic>> {
        let mut args = vec!["-m".to_owned(), "hacher".to_owned()];
        let python = handler.python;
        let preload = python.preload().join(",");
        if !preload.is_empty() {
            args.push(format!("--preload={preload}"));
        }
        args.push(format!("{}:{}", python.place(), python.handler()));
        if let Some(long) = args.iter().find(|arg| arg.len() > OPERAND_MAX_BYTES) {
            let message = format!(
                "the modules of `preload` are one argument of {} bytes, and one has at most {OPERAND_MAX_BYTES}",
                long.len()
            );
            let long = problem(self.spans.preload, message, "too long together");
            return Err(Box::new(long.with_help(
                "import them in a module of your own beside the function's file, and name that one",
            )));
        }
        let count = args.len() + handler.own_args.len();
        if count > ARGUMENTS_MAX {
            let message = format!(
                "the function has {count} arguments with the {} of the interpreter, and {ARGUMENTS_MAX} are possible",
                args.len()
            );
            let many = problem(self.spans.python, message, "too many arguments");
            let most = ARGUMENTS_MAX - args.len();
            return Err(Box::new(
                many.with_help(format!("give `args` at most {most} entries")),
            ));
        }
        Ok(args)
    }

    /// The function's own file, unless it comes with its `files`.
    fn file(&self, handler: &Handler<'_>) -> Result<Option<Tree>, Box<Diagnostic>> {
        let (python, span) = (handler.python, self.spans.python);
        let place = python.place();
        let holds = |file: &&FileRef| {
            place
                .strip_prefix(file.to())
                .is_some_and(|rest| rest.starts_with('/'))
        };
        let holder = handler.files.iter().find(holds);
        let path = match holder {
            Some(holder) => {
                let within = place.strip_prefix(holder.to()).unwrap_or_default();
                self.folder
                    .join(holder.from())
                    .join(within.trim_start_matches('/'))
            }
            None => self.folder.join(python.file()),
        };
        let tree = Tree::read(&path, place, self.bound).map_err(|error| {
            Box::new(problem(
                span,
                error.to_string(),
                "named here, relative to this file",
            ))
        })?;
        handler::check(&tree, &path, python.handler(), span)?;
        Ok(holder.is_none().then_some(tree))
    }

    /// Where a bound is given, it holds for all that the chain file chooses, whatever links lead to. What
    /// lies around an interpreter that the service itself would start was chosen by the operator of the
    /// machine, and may lie in that interpreter's folder, which this opens. `None` where there is no
    /// bound, or the chain file chooses the interpreter.
    fn base_of_service(&self, installation: &Installation) -> Result<Option<Beneath>, Box<Diagnostic>> {
        if self.bound.is_none() || !installation.is_of_service {
            return Ok(None);
        }
        let base = &installation.base;
        Beneath::new("the interpreter's folder", base)
            .map(Some)
            .map_err(|error| {
                let message = format!("cannot use `{}`: {error}", base.display());
                Box::new(problem(self.spans.interpreter, message, "for this function"))
            })
    }

    /// Whether the version will do, and the package is there.
    fn check(&self, installation: &Installation) -> Result<(), Box<Diagnostic>> {
        let (major, minor) = installation.version;
        if installation.version < VERSION_MIN {
            let message = format!(
                "`{}` is Python {major}.{minor}, and functions need {}.{} or later",
                installation.interpreter.display(),
                VERSION_MIN.0,
                VERSION_MIN.1
            );
            let old = problem(self.spans.interpreter, message, "too old");
            return Err(Box::new(
                old.with_help("name a later one: interpreter = \"/usr/bin/python3.11\""),
            ));
        }
        let has = |folder: &Path| {
            let package = folder.join("hacher");
            package.join("__init__.py").is_file() && package.join("_native.abi3.so").is_file()
        };
        if self.handler.is_none() || installation.packages.iter().any(|found| has(&found.folder)) {
            return Ok(());
        }
        let whose = installation.environment.as_ref().map_or_else(
            || format!("`{}`", installation.interpreter.display()),
            |folder| format!("the virtual environment `{}`", folder.display()),
        );
        let message = format!("the package `hacher` is not installed for {whose}");
        let missing = problem(self.spans.venv, message, "a handler in Python is served by it");
        Err(Box::new(missing.with_help(match &installation.environment {
            Some(folder) => format!(
                "{}/bin/pip install HACHER/libos-net/python, with HACHER where Hacher's sources are",
                folder.display()
            ),
            None => "python3 -m venv .venv && .venv/bin/pip install HACHER/libos-net/python, with HACHER where Hacher's \
                     sources are; and venv = \".venv\""
                .to_owned(),
        })))
    }
}

#[cfg(test)]
mod tests;
