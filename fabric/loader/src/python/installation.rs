//! Where an interpreter of Python and its packages lie.

use super::super::progress::asking;
use super::asked::{Asked, problem};
use hacher_chain_dsl::Diagnostic;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a virtual environment says of itself.
const CONFIGURATION: &str = "pyvenv.cfg";
const CONFIGURATION_MAX_BYTES: u64 = 64 * 1024;
/// A module that every library has: by it interpreters find theirs.
const LANDMARK: &str = "os.py";

/// An interpreter with all that it finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) interpreter: PathBuf,
    /// The folder that it is installed in.
    pub(super) base: PathBuf,
    /// Whether the service finds it by its own search path: what lies around it is the operator's choice,
    /// not the chain file's.
    pub(super) is_of_service: bool,
    pub(super) version: (u32, u32),
    /// The standard library.
    pub(super) library: PathBuf,
    /// The same from the folder that the interpreter is installed in: `lib/python3.11`.
    pub(super) library_within: String,
    /// Folders of packages, in the order in which they are searched.
    pub(super) packages: Vec<Packages>,
    /// The virtual environment, if there is one.
    pub(super) environment: Option<PathBuf>,
}

/// A folder of packages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packages {
    pub(super) folder: PathBuf,
    /// Whether it was looked for in the virtual environment, wherever a link has led from there.
    pub(super) is_of_environment: bool,
}

impl Installation {
    /// Finds what a chain file asks for, with these folders of programs.
    pub(super) fn find_in(asked: &Asked<'_>, programs: &[PathBuf]) -> Result<Self, Box<Diagnostic>> {
        let (named_by, spans) = (asked.interpreter, asked.spans);
        let refuse = |span, message: String, label: &str| Box::new(problem(span, message, label));
        let named = named_by.venv().map(|venv| asked.folder.join(venv));
        if let Some(folder) = &named
            && configuration(folder).is_none()
        {
            let message = format!(
                "`{}` is no virtual environment: it has no {CONFIGURATION}",
                folder.display()
            );
            let made = named_by.venv().unwrap_or_default();
            let none = problem(spans.venv, message, "named here, relative to this file");
            return Err(Box::new(
                none.with_help(format!("make one: python3 -m venv {made}")),
            ));
        }
        let interpreter = match (named_by.path(), &named) {
            (Some(path), _) => Some(asked.folder.join(path)),
            (None, Some(folder)) => ["python3", "python"]
                .map(|name| folder.join("bin").join(name))
                .into_iter()
                .find(|path| path.exists()),
            (None, None) => programs
                .iter()
                .map(|folder| folder.join("python3"))
                .find(|path| path.is_file() && !is_script(path)),
        };
        let no_interpreter = |what: String| {
            let none = problem(spans.interpreter, what, "an interpreter of Python is needed");
            Box::new(none.with_help("name one: interpreter = \"/usr/bin/python3\""))
        };
        let interpreter = interpreter.ok_or_else(|| match &named {
            Some(folder) => no_interpreter(format!("`{}` has no interpreter in `bin`", folder.display())),
            None => {
                no_interpreter("there is no `python3` in the folders of PATH, or scripts alone".to_owned())
            }
        })?;
        let _going = asking(&interpreter);
        let real = interpreter
            .canonicalize()
            .map_err(|error| no_interpreter(format!("cannot find `{}`: {error}", interpreter.display())))?;
        // One that lies in an environment is its, as when it is activated.
        let around = interpreter.parent().and_then(Path::parent);
        let environment = named.or_else(|| {
            around
                .filter(|folder| configuration(folder).is_some())
                .map(PathBuf::from)
        });
        let (library_within, version) = library_of(&real).ok_or_else(|| {
            let copied = environment.as_ref().and_then(|folder| folder.canonicalize().ok());
            match copied.filter(|folder| real.starts_with(folder)) {
                Some(folder) => Box::new(
                    problem(
                        spans.venv,
                        format!(
                            "`{}` has a copy of its interpreter, which has no library",
                            folder.display()
                        ),
                        "made with --copies?",
                    )
                    .with_help("make it with links, as without options: python3 -m venv --symlinks NAME"),
                ),
                None => no_interpreter(no_library(&real)),
            }
        })?;
        let base = base_of(&real);
        let mut packages = Vec::new();
        let configured = environment.as_deref().and_then(configuration);
        let also_system = configured.as_ref().is_none_or(|text| includes_system(text));
        let version_folder = format!("python{}.{}", version.0, version.1);
        if let Some(folder) = &environment {
            let found =
                ["lib", "lib64"].map(|lib| folder.join(lib).join(&version_folder).join("site-packages"));
            add_folders(&mut packages, true, found);
            if packages.is_empty() {
                let message = format!(
                    "the virtual environment `{}` has no packages for Python {}.{}, which `{}` is",
                    folder.display(),
                    version.0,
                    version.1,
                    real.display()
                );
                return Err(refuse(spans.venv, message, "made for another version?"));
            }
        }
        if also_system {
            // Debian's interpreter has its packages elsewhere than others.
            add_folders(
                &mut packages,
                false,
                [
                    base.join("local/lib").join(&version_folder).join("dist-packages"),
                    base.join("lib").join(&version_folder).join("site-packages"),
                    base.join("lib64").join(&version_folder).join("site-packages"),
                    base.join("lib/python3/dist-packages"),
                ],
            );
        }
        let library = base.join(&library_within);
        Ok(Self {
            library: library.canonicalize().unwrap_or(library),
            is_of_service: is_in(programs, &real, &version_folder),
            base,
            interpreter: real,
            version,
            library_within,
            packages,
            environment: environment.map(|folder| folder.canonicalize().unwrap_or(folder)),
        })
    }
}

/// Whether it is a script, as managers of versions place in front of interpreters: which one it starts, only
/// running it would tell.
fn is_script(path: &Path) -> bool {
    let mut magic = [0; 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"#!"
}

/// Whether one of the folders of programs has the interpreter, under its usual names.
fn is_in(programs: &[PathBuf], real: &Path, versioned: &str) -> bool {
    let named = programs
        .iter()
        .filter(|folder| folder.is_absolute())
        .flat_map(|folder| ["python3", versioned].map(|name| folder.join(name)));
    named
        .filter_map(|path| path.canonicalize().ok())
        .any(|path| path == real)
}

/// Adds those that are there, each once, as what it was found as first.
fn add_folders(
    packages: &mut Vec<Packages>,
    is_of_environment: bool,
    folders: impl IntoIterator<Item = PathBuf>,
) {
    for folder in folders {
        let _going = asking(&folder);
        if let Ok(real) = folder.canonicalize()
            && real.is_dir()
            && packages.iter().all(|known| known.folder != real)
        {
            packages.push(Packages {
                folder: real,
                is_of_environment,
            });
        }
    }
}

/// The folder that an interpreter is installed in: it lies in `bin` there.
fn base_of(interpreter: &Path) -> PathBuf {
    let folder = interpreter.parent().and_then(Path::parent);
    folder.unwrap_or(Path::new("/")).to_owned()
}

fn no_library(interpreter: &Path) -> String {
    format!(
        "cannot use `{}` as an interpreter of Python: no standard library in `{base}/lib/pythonX.Y` fits its name; \
         free-threaded and debug builds are not supported",
        interpreter.display(),
        base = base_of(interpreter).display()
    )
}

/// The standard library of an interpreter, from its base on, and its version.
fn library_of(interpreter: &Path) -> Option<(String, (u32, u32))> {
    let base = base_of(interpreter);
    // Other programs may lie beside a library, too.
    let own = interpreter.file_name()?.to_str()?;
    if !own.starts_with("python") || is_other_build(own) {
        return None;
    }
    let mut found = Vec::new();
    for lib in ["lib", "lib64"] {
        let folder = base.join(lib);
        let _going = asking(&folder);
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Some(version) = version_of(name) else { continue };
            // `lib64` may be a link to `lib`.
            let is_new = |known: &(String, (u32, u32))| known.1 != version;
            if folder.join(name).join(LANDMARK).is_file() && found.iter().all(is_new) {
                found.push((format!("{lib}/{name}"), version));
            }
        }
    }
    let by_name = version_of(own);
    match found.len() {
        1 => found
            .pop()
            .filter(|(_, version)| by_name.is_none_or(|own| own == *version)),
        _ => found.into_iter().find(|(_, version)| by_name == Some(*version)),
    }
}

/// Whether the name is that of a free-threaded or debug build (`python3.13t`, `python3.12d`), whose library
/// and extension modules are others.
fn is_other_build(own: &str) -> bool {
    own.contains('.') && version_of(own).is_none()
}

/// The version that `python3.11` names. That of free-threaded interpreters (`python3.13t`) is none: they have
/// another ABI.
fn version_of(name: &str) -> Option<(u32, u32)> {
    let (major, minor) = name.strip_prefix("python")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The text of an environment's configuration, if `folder` is one.
fn configuration(folder: &Path) -> Option<String> {
    let path = folder.join(CONFIGURATION);
    let _going = asking(&path);
    if !path.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(CONFIGURATION_MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether an environment has the interpreter's packages, too.
fn includes_system(configuration: &str) -> bool {
    configuration.lines().any(|line| {
        line.split_once('=').is_some_and(|(key, value)| {
            key.trim() == "include-system-site-packages" && value.trim().eq_ignore_ascii_case("true")
        })
    })
}
