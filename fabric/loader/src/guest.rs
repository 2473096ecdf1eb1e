//! Programs that know nothing of chains: where the program of a function lies, and the arguments with which
//! the adaptor, which is the function's executable, starts it.

use super::beneath::Beneath;
use super::executable::{check_mode, with_build};
use super::magic;
use super::tree::{Content, Tree};
use hacher_chain_dsl::{
    ByteSize, Code, Diagnostic, FileRef, Guest, GuestProgram, PYTHON_PLACE, Protocol, Span, usable_place,
};
use hacher_trustlet_host::core::limits::ARGUMENTS_MAX;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where a function finds a program that lies on this machine where functions have something else, as in
/// /tmp.
const OTHERWISE: &str = "/usr/local/bin";

/// What a chain file asks for of such a program.
pub(super) struct Asked<'a> {
    pub(super) guest: &'a Guest,
    /// Where the program is named.
    pub(super) span: Span,
    /// The chain file's folder.
    pub(super) folder: &'a Path,
    /// The function's own arguments, which follow those of the command.
    pub(super) own_args: &'a [String],
    /// The memory that its author has given it.
    pub(super) memory: ByteSize,
    /// Beneath what files are to lie.
    pub(super) bound: Option<&'a Beneath>,
    /// The interpreter of Python, if it is the program and was found.
    pub(super) interpreter: Option<&'a Path>,
    /// Whether there is a command that builds it.
    pub(super) can_build: bool,
}

/// What a function has for it.
pub(super) struct Found {
    /// The program, unless it is among the function's files.
    pub(super) tree: Option<Tree>,
    /// Where the function finds it.
    pub(super) place: String,
    /// Arguments of the adaptor, before those of the function.
    pub(super) args: Vec<String>,
    /// Variables that the function has besides its own.
    pub(super) env: Vec<(&'static str, String)>,
}

impl Asked<'_> {
    /// Finds it.
    ///
    /// # Errors
    /// What is missing, where the chain file names it.
    pub(super) fn find(&self) -> Result<Found, Box<Diagnostic>> {
        let (tree, place) = match self.guest.program() {
            GuestProgram::Given(place) => (None, place.clone()),
            GuestProgram::File(file) => (Some(self.file(file)?), file.to().to_owned()),
            GuestProgram::Named(name) => {
                let (path, place) = self.named(name)?;
                // The search path is that of the service, and so the operator's choice.
                (Some(self.read(&path, &place, None)?), place)
            }
            _ => {
                let Some(path) = self.interpreter else {
                    return Err(Box::new(self.problem("the interpreter was not found".to_owned())));
                };
                let place = format!("{PYTHON_PLACE}/bin/python3");
                (Some(self.read(path, &place, None)?), place)
            }
        };
        let args = self.args(&place)?;
        let variable = match self.guest.protocol() {
            Protocol::Http(server) => ("PORT", server.port().to_string()),
            _ => ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", mebibytes(self.memory)),
        };
        Ok(Found {
            tree,
            place,
            args,
            env: vec![variable],
        })
    }

    fn file(&self, file: &FileRef) -> Result<Tree, Box<Diagnostic>> {
        let path = self.folder.join(file.from());
        if !path.exists() {
            let message = format!("there is no program `{}`", path.display());
            let label = "named here, relative to this file";
            let missing = Diagnostic::new(Code::ExecMissing, self.span, message, label);
            return Err(Box::new(with_build(missing, self.can_build)));
        }
        self.read(&path, file.to(), self.bound)
    }

    fn read(&self, path: &Path, place: &str, bound: Option<&Beneath>) -> Result<Tree, Box<Diagnostic>> {
        Tree::read(path, place, bound).map_err(|error| Box::new(self.problem(error.to_string())))
    }

    /// Where the service's search path has a program, and where the function finds it: at the same place, if
    /// that can be.
    fn named(&self, name: &str) -> Result<(PathBuf, String), Box<Diagnostic>> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        self.named_in(name, std::env::split_paths(&search))
    }

    /// The same, in these folders.
    fn named_in(
        &self,
        name: &str,
        folders: impl Iterator<Item = PathBuf>,
    ) -> Result<(PathBuf, String), Box<Diagnostic>> {
        let may_run = |path: &PathBuf| {
            let found = path.metadata();
            found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let found = folders.map(|folder| folder.join(name)).find(may_run);
        let placed = found.map(|path| {
            let same = path.to_str().and_then(usable_place);
            let place = same.unwrap_or_else(|| format!("{OTHERWISE}/{name}"));
            (path, place)
        });
        placed.ok_or_else(|| {
            let message = format!("there is no program `{name}` in the folders of PATH");
            let missing = Diagnostic::new(Code::ExecMissing, self.span, message, "named here");
            Box::new(missing.with_help(format!(
                "a program beside the chain file is named with a slash: \"./{name}\""
            )))
        })
    }

    /// What the adaptor is started with, before the function's own arguments.
    fn args(&self, place: &str) -> Result<Vec<String>, Box<Diagnostic>> {
        let mut args = Vec::new();
        let mut option = |name: &str, value: String| args.extend([format!("--{name}"), value]);
        let way = match self.guest.protocol() {
            Protocol::Http(server) => {
                option("port", server.port().to_string());
                for (name, path) in [("path", server.path()), ("ready", server.ready())] {
                    if let Some(path) = path {
                        option(name, path.to_owned());
                    }
                }
                "http"
            }
            _ => "lambda",
        };
        if let Some(time) = self.guest.start_within() {
            option("start-within", format!("{}s", time.as_secs()));
        }
        args.insert(0, way.to_owned());
        args.extend(["--".to_owned(), place.to_owned()]);
        args.extend(self.guest.command().iter().skip(1).cloned());
        let count = args.len() + self.own_args.len();
        if count > ARGUMENTS_MAX {
            let message = format!(
                "the function has {count} arguments with its command and those of the adaptor, and {ARGUMENTS_MAX} are possible"
            );
            return Err(Box::new(Diagnostic::new(
                Code::ExecNotUsable,
                self.span,
                message,
                "too many arguments",
            )));
        }
        Ok(args)
    }

    fn problem(&self, message: String) -> Diagnostic {
        Diagnostic::new(Code::ExecNotUsable, self.span, message, "named here")
    }
}

fn mebibytes(memory: ByteSize) -> String {
    (memory.bytes() >> 20).to_string()
}

/// A function whose adaptor is not there.
pub(super) fn without_adaptor(span: Span, why: &str) -> Diagnostic {
    let message = format!("`http` and `lambda` functions need `hacher-adaptor`: {why}");
    let missing = Diagnostic::new(Code::AdaptorMissing, span, message, "started by the adaptor");
    missing.with_help("install `hacher-adaptor` beside `hacher-fabric`, or build it there: cargo build --release -p hacher-adaptor")
}

/// Finds out whether what is at `at` among a function's files can be started.
pub(super) fn check_program(trees: &[Tree], at: &str, span: Span) -> Option<Diagnostic> {
    let mut entries = trees
        .iter()
        .flat_map(|tree| tree.entries().iter().map(move |entry| (tree, entry)));
    let Some((tree, entry)) = entries.find(|(tree, entry)| tree.place_of(entry) == at) else {
        let message = format!("there is no program `{at}` among the function's files");
        return Some(Diagnostic::new(
            Code::ExecMissing,
            span,
            message,
            "found there by the function",
        ));
    };
    let file = match tree.content(entry) {
        Ok(Content::File(file)) => File::from(file),
        // Where a link leads, the function finds out.
        Ok(Content::Link(_)) => return None,
        Ok(Content::Folder) => {
            let message = format!("`{at}` is a folder, and no program");
            return Some(Diagnostic::new(
                Code::ExecNotExecutable,
                span,
                message,
                "named here",
            ));
        }
        Err(error) => {
            return Some(Diagnostic::new(
                Code::ExecNotUsable,
                span,
                error.to_string(),
                "named here",
            ));
        }
    };
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(error) => {
            let message = format!("cannot look at `{at}`: {error}");
            return Some(Diagnostic::new(Code::ExecNotUsable, span, message, "named here"));
        }
    };
    if let Err(problem) = check_mode(&tree.named_of(entry), &metadata, span) {
        return Some(*problem);
    }
    let misfit = magic::misfit(&file)?;
    let message = format!("cannot run `{at}`: {}", misfit.what);
    let not = Diagnostic::new(Code::ExecNotUsable, span, message, "named here");
    Some(match misfit.is_script {
        true => not.with_help(
            "begin the command with its interpreter, as in command = [\"python3\", \"server.py\"]",
        ),
        false => not.with_help("a program is a 64-bit Linux executable that is built for this machine"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_chain_dsl::check;
    use std::fs;
    use tempfile::TempDir;

    /// A folder with a program, a script and a file that may not be executed.
    fn machine() -> TempDir {
        // Not in /tmp, which every function has of its own.
        let this = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(this.parent().unwrap()).unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::copy(this, folder.path().join("bin/server")).unwrap();
        for (name, mode) in [("bin/script", 0o755), ("bin/plain", 0o644)] {
            let path = folder.path().join(name);
            fs::write(&path, "#!/usr/bin/env python3\n").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        folder
    }

    /// What is found of a function with these lines, by a service with `bin` as its search path.
    fn find(machine: &TempDir, lines: &str) -> Result<(String, Vec<String>), String> {
        let text = format!("chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n[function.f]\n{lines}\n");
        let checked = check(&text, "chain.toml").map_err(|problems| problems.render(false))?;
        let (id, function) = checked.chain().functions_with_ids().next().unwrap();
        let guest = function.guest().unwrap();
        let span = checked.exec_span(id).unwrap();
        let asked = Asked {
            guest,
            span,
            folder: machine.path(),
            own_args: function.args(),
            memory: function.memory(),
            bound: None,
            interpreter: None,
            can_build: false,
        };
        let rendered = |problem: Diagnostic| checked.with_found(vec![problem]).render(false);
        let found = match guest.program() {
            GuestProgram::Named(name) => {
                let search = [machine.path().join("bin")].into_iter();
                let (path, place) = asked
                    .named_in(name, search)
                    .map_err(|problem| rendered(*problem))?;
                let same = usable_place(path.to_str().unwrap());
                assert_eq!(place, same.unwrap_or_else(|| format!("/usr/local/bin/{name}")));
                return Ok((place.clone(), asked.args(&place).unwrap()));
            }
            _ => asked.find().map_err(|problem| rendered(*problem))?,
        };
        let trees: Vec<Tree> = found.tree.into_iter().collect();
        match check_program(&trees, &found.place, span) {
            Some(problem) => Err(rendered(problem)),
            None => Ok((found.place, found.args)),
        }
    }

    #[test]
    fn a_command_becomes_the_arguments_of_the_adaptor() {
        let machine = machine();
        let http = "http = { command = [\"bin/server\", \"--x\"], port = 1, path = \"/p\", ready = \"/r\", start_within = \"2m\" }";
        let (place, args) = find(&machine, http).unwrap();
        assert_eq!(place, "/bin/server");
        assert_eq!(
            args.join(" "),
            "http --port 1 --path /p --ready /r --start-within 120s -- /bin/server --x"
        );
        let (place, args) = find(&machine, "lambda = \"bin/server\"").unwrap();
        assert_eq!(
            (&*place, &*args.join(" ")),
            ("/bin/server", "lambda -- /bin/server")
        );
        let (place, args) = find(&machine, "http = { command = [\"server\"] }").unwrap();
        assert_eq!(args.join(" "), format!("http --port 8080 -- {place}"));
    }

    #[test]
    fn a_program_that_cannot_be_started_is_refused_where_it_is_named() {
        let machine = machine();
        for (lines, told) in [
            ("lambda = \"bootstrap\"", "there is no program"),
            ("lambda = \"bin/plain\"", "is not executable"),
            (
                "lambda = \"bin/script\"",
                "it is a script for `/usr/bin/env python3`",
            ),
            (
                "lambda = \"bin/script\"",
                "begin the command with its interpreter",
            ),
            ("lambda = \"bin\"", "`/bin` is a folder"),
            ("http = { command = [\"absent\"] }", "in the folders of PATH"),
            ("http = { command = [\"plain\"] }", "in the folders of PATH"),
            (
                "lambda = \"/opt/x\"\nfiles = [{ from = \"bin\", to = \"/opt\" }]",
                "there is no program `/opt/x` among the function's files",
            ),
        ] {
            let error = find(&machine, lines).unwrap_err();
            assert!(
                error.contains(told) && error.contains("chain.toml:4:"),
                "{lines}: {error}"
            );
        }
        let many = ["\"x\""; 40].join(", ");
        let lines = format!("http = {{ command = [\"bin/server\"] }}\nargs = [{many}, {many}]");
        let error = find(&machine, &lines).unwrap_err();
        assert!(error.contains("too many") || error.contains("64"), "{error}");
        let most = ["\"x\""; 60].join(", ");
        let error = find(
            &machine,
            &format!("http = {{ command = [\"bin/server\"] }}\nargs = [{most}]"),
        )
        .unwrap_err();
        assert!(
            error.contains("65 arguments") && error.contains("64 are possible"),
            "{error}"
        );
    }
}
