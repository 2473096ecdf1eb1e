//! The virtual environment that functions in Python are measured with: one that is named, which is used as it
//! is; or one of the benchmark's own, which is made, with pip, and kept.

use super::sources::{PROBE, REQUIREMENTS, Sources};
use hacher_fabric::failed::Failed;
use hacher_trustlet_host::lines::{About, Level, say};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where the sources of the package `hacher` lie in a source tree.
const PACKAGE: &str = "libos-net/python";
/// What the functions, and those that call them, import, by the names that pip knows. The first is the one
/// that none can be measured without.
const PACKAGES: [&str; 8] = [
    "hacher",
    "jinja2",
    "pillow",
    "igraph",
    "squiggle",
    "uvicorn",
    "uvloop",
    "httptools",
];
/// What the server is made of.
pub const SERVER: &[&str] = &["uvicorn", "uvloop", "httptools"];
/// Installed by itself: most of what it names as needed is for windows and plots.
const SQUIGGLE: &str = "squiggle==0.3.1";
/// In an environment of the benchmark's own, which commit its package `hacher` is of.
const STAMP: &str = "hacher-commit";
/// Of a build that is of no commit as it stands.
const DIRTY: [&str; 2] = ["+dirty", "unknown"];
/// A mark of cargo's folder of results.
const TARGET_MARK: &str = "CACHEDIR.TAG";
/// Lines of what pip has said that are told if it fails.
const TAIL_LINES: usize = 20;

/// An environment that has the package `hacher`, and most of the others.
#[derive(Debug)]
pub struct Venv {
    folder: PathBuf,
    found: Found,
}

/// What `probe.py` says.
#[derive(Debug, Deserialize)]
struct Found {
    python: String,
    versions: BTreeMap<String, String>,
    missing: BTreeMap<String, String>,
}

impl Venv {
    /// The environment in `named`, or else the benchmark's own. One that is not there is made; one that was
    /// named and is there is not changed.
    ///
    /// # Errors
    /// When there is none with the package `hacher`, and none can be made; says what to run.
    pub fn ready(named: Option<&Path>, sources: &Sources) -> Result<Self, Failed> {
        let own;
        let folder = match named {
            Some(named) => named,
            None => {
                own = own_folder()?;
                &own
            }
        };
        let making = Making {
            folder,
            sources,
            package: source_tree().map(|tree| tree.join(PACKAGE)),
        };
        if named.is_none() || !folder.exists() {
            making.make()?;
        }
        let folder = fs::canonicalize(folder)
            .map_err(|error| Failed::new(format!("cannot use {}: {error}", folder.display())))?;
        let found = probe(&folder, sources).map_err(|failed| failed.with_details(&making.by_hand()))?;
        if let Some(why) = found.missing.get("hacher") {
            let failed = format!("{} does not have the package `hacher` ({why})", folder.display());
            return Err(Failed::new(failed).with_details(&making.by_hand()));
        }
        Ok(Self { folder, found })
    }

    /// Its folder, from the root.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its interpreter.
    #[must_use]
    pub fn interpreter(&self) -> PathBuf {
        interpreter(&self.folder)
    }

    /// Why something that imports these packages cannot be measured, and what to run; `None` if it can.
    #[must_use]
    pub fn lacks(&self, what: &str, packages: &[&str]) -> Option<String> {
        let missing = packages
            .iter()
            .find_map(|package| self.found.missing.get_key_value(*package));
        missing.map(|(package, why)| {
            format!(
                "{what} is left out: {} does not have {package} ({why}). To add it:\n    {} -m pip install {}",
                self.folder.display(),
                self.interpreter().display(),
                if package == "squiggle" {
                    format!("--no-deps {SQUIGGLE}")
                } else {
                    package.clone()
                }
            )
        })
    }

    /// Its versions, for the reader of a report.
    #[must_use]
    pub fn told(&self) -> String {
        let versions = self.found.versions.iter();
        let versions: Vec<String> = versions
            .map(|(package, version)| format!("{package} {version}"))
            .collect();
        format!("functions: Python {}, {}", self.found.python, versions.join(", "))
    }
}

fn interpreter(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

fn probe(folder: &Path, sources: &Sources) -> Result<Found, Failed> {
    let output = Command::new(interpreter(folder))
        .arg(sources.path(PROBE))
        .args(PACKAGES)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            Failed::new(format!(
                "{} is no virtual environment of Python: {error}",
                folder.display()
            ))
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(
            Failed::new(format!("the interpreter of {} fails", folder.display())).with_details(&said),
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// An environment that is to be made.
struct Making<'a> {
    folder: &'a Path,
    sources: &'a Sources,
    /// The sources of the package `hacher`.
    package: Option<PathBuf>,
}

/// One step of making it.
struct Step {
    what: &'static str,
    program: OsString,
    arguments: Vec<OsString>,
}

impl Making<'_> {
    /// Makes what of it is not there yet, and builds the package `hacher` anew if it may be another than this
    /// executable's.
    fn make(&self) -> Result<(), Failed> {
        let Some(package) = &self.package else {
            if interpreter(self.folder).exists() {
                return Ok(());
            }
            return Err(
                Failed::new("the package `hacher` is built of its sources, and these are not here")
                    .with_details(&self.by_hand()),
            );
        };
        let stamp = self.folder.join(STAMP);
        let commit = env!("HACHER_COMMIT");
        let is_stamped = fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == commit);
        if is_stamped && !DIRTY.iter().any(|mark| commit.ends_with(mark)) {
            return Ok(());
        }
        for step in self.steps(package) {
            self.run(&step)?;
        }
        fs::write(&stamp, commit)?;
        Ok(())
    }

    fn steps(&self, package: &Path) -> Vec<Step> {
        let pip = |what, arguments: &[&OsStr]| {
            let words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            Step {
                what,
                program: interpreter(self.folder).into(),
                arguments: words
                    .into_iter()
                    .map(OsString::from)
                    .chain(arguments.iter().map(OsString::from))
                    .collect(),
            }
        };
        let new = !interpreter(self.folder).exists();
        let venv = new.then(|| Step {
            what: "making a virtual environment",
            program: "python3".into(),
            arguments: vec!["-m".into(), "venv".into(), self.folder.into()],
        });
        let requirements = self.sources.path(REQUIREMENTS);
        let packages = [
            pip(
                "installing the packages of the functions",
                &["-r".as_ref(), requirements.as_ref()],
            ),
            pip("installing squiggle", &["--no-deps".as_ref(), SQUIGGLE.as_ref()]),
            pip(
                "building the package `hacher`",
                &[
                    "--force-reinstall".as_ref(),
                    "--no-deps".as_ref(),
                    package.as_ref(),
                ],
            ),
        ];
        venv.into_iter().chain(packages).collect()
    }

    /// Runs a step, with a bar that shows that it goes on.
    fn run(&self, step: &Step) -> Result<(), Failed> {
        let folder = self.folder.display();
        say(
            Level::Info,
            &About::default(),
            format_args!("{} ({folder})", step.what),
        );
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(step.what);
        bar.enable_steady_tick(Duration::from_millis(200));
        let mut command = Command::new(&step.program);
        command.args(&step.arguments).stdin(Stdio::null());
        // Beside what was built already, so that what both need is built once.
        if let Some(target) = target_folder() {
            command.env("CARGO_TARGET_DIR", target);
        }
        let output = command.output();
        bar.finish_and_clear();
        let failed = |why: String, said: &[u8]| {
            let said = String::from_utf8_lossy(said);
            let lines: Vec<&str> = said.lines().collect();
            let tail = lines
                .get(lines.len().saturating_sub(TAIL_LINES)..)
                .unwrap_or_default();
            Failed::new(format!("{} failed: {why}", step.what))
                .with_details(&tail.join("\n"))
                .with_details(&self.by_hand())
        };
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(failed(output.status.to_string(), &output.stderr)),
            Err(error) => Err(failed(format!("{}: {error}", step.program.display()), &[])),
        }
    }

    /// What to run instead of all this.
    fn by_hand(&self) -> String {
        let tree = self.package.as_deref();
        let package = tree.map_or_else(
            || format!("PATH-OF-THE-SOURCES/{PACKAGE}"),
            |tree| tree.display().to_string(),
        );
        let requirements = tree.and_then(|tree| {
            let path = tree
                .parent()?
                .parent()?
                .join("benches/functions")
                .join(REQUIREMENTS);
            path.exists().then(|| path.display().to_string())
        });
        let requirements =
            requirements.unwrap_or_else(|| format!("PATH-OF-THE-SOURCES/benches/functions/{REQUIREMENTS}"));
        let folder = self.folder.display();
        format!(
            "An environment by hand, with Python 3.9 or later and Rust:\n  \
             python3 -m venv {folder}\n  \
             {folder}/bin/pip install -r {requirements}\n  \
             {folder}/bin/pip install --no-deps {SQUIGGLE}\n  \
             {folder}/bin/pip install {package}\n\
             and then\n  \
             hacher-fabric bench functions --venv {folder}"
        )
    }
}

/// The source tree that this executable was built in, or that this command is given in.
fn source_tree() -> Option<PathBuf> {
    let places = [std::env::current_exe().ok(), std::env::current_dir().ok()];
    let is_tree = |folder: &&Path| folder.join(PACKAGE).join("pyproject.toml").is_file();
    places.into_iter().flatten().find_map(|place| {
        let tree = place.ancestors().find(is_tree)?;
        Some(tree.to_owned())
    })
}

/// The folder that cargo has put this executable in, whatever the profile.
fn target_folder() -> Option<PathBuf> {
    let this = std::env::current_exe().ok()?;
    let is_target = |folder: &&Path| folder.join(TARGET_MARK).is_file();
    Some(this.ancestors().find(is_target)?.to_owned())
}

/// Where the benchmark keeps an environment of its own.
fn own_folder() -> Result<PathBuf, Failed> {
    if let Some(target) = target_folder() {
        return Ok(target.join("python/bench"));
    }
    let of_user = |variable: &str, below: &str| {
        let folder = std::env::var_os(variable).map(PathBuf::from);
        folder
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(below))
    };
    of_user("XDG_CACHE_HOME", "hacher/bench")
        .or_else(|| of_user("HOME", ".cache/hacher/bench"))
        .ok_or_else(|| Failed::usage("there is no folder for caches (HOME): say where with --venv FOLDER"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_run_by_hand_names_each_step() {
        let sources = Sources::write().unwrap();
        let making = Making {
            folder: Path::new("/somewhere/venv"),
            sources: &sources,
            package: None,
        };
        let told = making.by_hand();
        for part in [
            "python3 -m venv /somewhere/venv",
            "pip install -r PATH-OF-THE-SOURCES/benches/functions/requirements.txt",
            "pip install PATH-OF-THE-SOURCES/libos-net/python",
            "--venv /somewhere/venv",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        let message = format!("{:?}", making.make().unwrap_err());
        assert!(message.contains("python3 -m venv /somewhere/venv"), "{message}");
    }

    #[test]
    fn a_package_that_is_not_there_leaves_out_what_imports_it_alone() {
        let venv = Venv {
            folder: "/somewhere/venv".into(),
            found: Found {
                python: "3.11.7".to_owned(),
                versions: [("jinja2".to_owned(), "3.1.6".to_owned())].into(),
                missing: [(
                    "igraph".to_owned(),
                    "ModuleNotFoundError: No module named 'igraph'".to_owned(),
                )]
                .into(),
            },
        };
        assert_eq!(venv.lacks("dynamic-html", &["jinja2"]), None);
        let told = venv.lacks("graph-bfs", &["igraph"]).unwrap();
        assert!(
            told.contains("graph-bfs is left out")
                && told.contains("/somewhere/venv/bin/python -m pip install igraph"),
            "{told}"
        );
        assert_eq!(venv.told(), "functions: Python 3.11.7, jinja2 3.1.6");
    }

    #[test]
    fn a_named_folder_that_is_no_environment_is_not_changed_and_says_what_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources::write().unwrap();
        let message = format!("{:?}", Venv::ready(Some(folder.path()), &sources).unwrap_err());
        assert!(
            message.contains("is no virtual environment") && message.contains("python3 -m venv"),
            "{message}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
