//! A function that tells what its image has: its arguments and its files; and tries to change them.

use hacher_libos_net::{Failure, Input, Output};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Does what the first word of its input says with the path behind it, and answers with what it found.
///
/// # Errors
/// When the output cannot be sent, or the input is no such word.
pub fn tell(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(input.bytes()?).into_owned();
    let (word, path) = text.split_once(' ').unwrap_or((&text, ""));
    let path = Path::new(path);
    let found = match word {
        "args" => Ok(format!("{:?}", std::env::args().collect::<Vec<_>>())),
        "list" => list(path),
        "read" => fs::read_to_string(path),
        "change" => Ok(change(path)),
        _ => return Err(Failure::permanent("there is no such word")),
    };
    let said = found.unwrap_or_else(|error| format!("refused: {error}"));
    output.send(said.as_bytes())
}

/// All that is beneath `path`: a line for each with its path, kind and permissions.
fn list(path: &Path) -> io::Result<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        let shown = path.display();
        if metadata.is_dir() {
            lines.push(format!("{shown}/"));
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        } else if metadata.is_symlink() {
            lines.push(format!("{shown} -> {}", fs::read_link(&path)?.display()));
        } else {
            let may = if metadata.mode() & 0o111 == 0 {
                "read"
            } else {
                "execute"
            };
            lines.push(format!("{shown} {} {may}", metadata.len()));
        }
    }
    lines.sort();
    Ok(lines.join("\n"))
}

/// Tries to change what is at `path`, a folder with a file `file` in it, in every way: what succeeded.
fn change(path: &Path) -> String {
    let file = path.join("file");
    let mut done = String::new();
    let mut attempt = |what: &str, result: io::Result<()>| {
        if result.is_ok() {
            let _ = write!(done, "{what}; ");
        }
    };
    attempt("wrote", OpenOptions::new().write(true).open(&file).map(drop));
    attempt("appended", OpenOptions::new().append(true).open(&file).map(drop));
    attempt(
        "truncated",
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&file)
            .map(drop),
    );
    attempt("created", File::create(path.join("new")).map(drop));
    attempt("made a folder", fs::create_dir(path.join("folder")));
    attempt("removed", fs::remove_file(&file));
    attempt("renamed", fs::rename(&file, path.join("renamed")));
    attempt("renamed away", fs::rename(&file, "/tmp/renamed"));
    attempt("linked", fs::hard_link(&file, path.join("linked")));
    attempt("linked away", fs::hard_link(&file, "/tmp/linked"));
    attempt(
        "changed its mode",
        fs::set_permissions(&file, Permissions::from_mode(0o777)),
    );
    attempt(
        "changed the folder's mode",
        fs::set_permissions(path, Permissions::from_mode(0o777)),
    );
    let executed = std::process::Command::new(&file).status();
    attempt("executed", executed.map(drop));
    attempt("read it", fs::read(&file).map(drop));
    done
}
