//! `new`: a folder with a chain that runs at once, its function, a test and a README.

use super::{Failed, print};
use crate::cli::{NewArgs, Template};
use hacher_chain_dsl::check;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The files of a template: where each goes, and its text.
type Files = &'static [(&'static str, &'static str)];

const INPUT: (&str, &str) = ("input.json", "{\"name\": \"Ada\"}\n");
const RUST: Files = &[
    ("Cargo.toml", include_str!("../../templates/rust/Cargo.toml.in")),
    ("src/main.rs", include_str!("../../templates/rust/main.rs.in")),
    ("chain.toml", include_str!("../../templates/rust/chain.toml.in")),
    ("README.md", include_str!("../../templates/rust/README.md.in")),
    (".gitignore", "target/\n"),
    INPUT,
];
const PYTHON: Files = &[
    ("app.py", include_str!("../../templates/python/app.py.in")),
    (
        "test_app.py",
        include_str!("../../templates/python/test_app.py.in"),
    ),
    ("chain.toml", include_str!("../../templates/python/chain.toml.in")),
    ("README.md", include_str!("../../templates/python/README.md.in")),
    (".gitignore", ".venv/\n__pycache__/\n"),
    INPUT,
];
const LAMBDA: Files = &[
    ("task/app.py", include_str!("../../templates/lambda/app.py.in")),
    (
        "test_app.py",
        include_str!("../../templates/lambda/test_app.py.in"),
    ),
    ("chain.toml", include_str!("../../templates/lambda/chain.toml.in")),
    ("README.md", include_str!("../../templates/lambda/README.md.in")),
    (".gitignore", ".venv/\n__pycache__/\n"),
    INPUT,
];
const HTTP: Files = &[
    ("server.py", include_str!("../../templates/http/server.py.in")),
    (
        "test_server.py",
        include_str!("../../templates/http/test_server.py.in"),
    ),
    ("chain.toml", include_str!("../../templates/http/chain.toml.in")),
    ("README.md", include_str!("../../templates/http/README.md.in")),
    (".gitignore", "__pycache__/\n"),
    INPUT,
];

/// What a folder of Hacher's sources has.
const SDK: &str = "libos-net/hacher/Cargo.toml";
/// This command, where a shell finds it.
const COMMAND: &str = "hacher-fabric";

/// Makes the folder.
///
/// # Errors
/// When the name is none for a chain, something is there already, or it cannot be written.
pub fn new(arguments: &NewArgs) -> Result<(), Failed> {
    let folder = &arguments.folder;
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if name.is_empty() {
        return Err(Failed::new(format!(
            "`{}` has no name that a chain could have, such as greetings",
            folder.display()
        )));
    }
    let sources = match arguments.template {
        Template::Rust | Template::Python => sources(arguments.sources.as_deref())?,
        Template::Lambda | Template::Http => PathBuf::new(),
    };
    let (sources, command) = (text(&sources)?, own_command()?);
    let filled = |template: &str| {
        let text = template.replace("{{name}}", name);
        let text = text.replace("{{sources}}", &sources);
        text.replace("{{hacher-fabric}}", &command)
    };
    let files = match arguments.template {
        Template::Rust => RUST,
        Template::Python => PYTHON,
        Template::Lambda => LAMBDA,
        Template::Http => HTTP,
    };
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, filled(text))).collect();
    check_name(&files)?;
    make_empty(folder)?;
    for (path, text) in &files {
        let path = folder.join(path);
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, text));
        written.map_err(|error| Failed::new(format!("cannot write {}: {error}", path.display())))?;
    }
    let shown = folder.display();
    print(&format!(
        "made {shown}: a chain of one function, with an input and tests\n\n  cd {shown}\n  cat README.md\n"
    ))
}

/// Refuses a name that a chain cannot have, in the words of `check`.
fn check_name(files: &[(&str, String)]) -> Result<(), Failed> {
    let chain = files.iter().find(|(path, _)| *path == "chain.toml");
    let checked = chain.map(|(_, text)| check(text, "chain.toml"));
    match checked {
        Some(Err(problems)) => {
            let first = problems.iter().next();
            let said = first.map(|problem| [&[problem.message().to_owned()], problem.helps()].concat());
            let said = said.unwrap_or_default().join("; ");
            Err(Failed::new(format!(
                "a chain has the name of its folder, and {said}"
            )))
        }
        _ => Ok(()),
    }
}

/// Makes the folder, unless it is there and holds something.
fn make_empty(folder: &Path) -> Result<(), Failed> {
    let cannot = |error| Failed::new(format!("cannot make {}: {error}", folder.display()));
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failed::new(format!(
                "{} is there already, and not empty: nothing was written",
                folder.display()
            ))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(folder).map_err(cannot),
        Err(error) => Err(cannot(error)),
    }
}

/// The folder of Hacher's sources: the one that is named, or one that holds this executable.
fn sources(named: Option<&Path>) -> Result<PathBuf, Failed> {
    if let Some(named) = named {
        let folder = named.canonicalize();
        let folder =
            folder.map_err(|error| Failed::new(format!("--sources {}: {error}", named.display())))?;
        if !folder.join(SDK).is_file() {
            let message = format!("--sources {}: there is no {SDK} in it", named.display());
            return Err(Failed::new(message));
        }
        return Ok(folder);
    }
    let this = std::env::current_exe()?;
    let found = this.ancestors().find(|folder| folder.join(SDK).is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        Failed::new(
            "functions in Rust and Python build upon Hacher's sources: name their folder with --sources DIR, or use \
             --template lambda or http, which need none",
        )
    })
}

fn text(path: &Path) -> Result<String, Failed> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\\', '\n']));
    text.map(str::to_owned)
        .ok_or_else(|| Failed::new(format!("{} cannot be written into files of TOML", path.display())))
}

/// How a shell starts this executable.
fn own_command() -> Result<String, Failed> {
    let this = std::env::current_exe()?.canonicalize()?;
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search).map(|folder| folder.join(COMMAND));
    let mut found = found.filter_map(|path| path.canonicalize().ok());
    if found.next().is_some_and(|path| path == this) {
        return Ok(COMMAND.to_owned());
    }
    let path = text(&this)?;
    Ok(match path.contains(char::is_whitespace) {
        true => format!("\"{path}\""),
        false => path,
    })
}
