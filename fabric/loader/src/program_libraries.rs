//! What the programs among a function's files link: found by the rules for its own executable, and given to
//! the function with that one's libraries, unless they are among the files themselves. What is nowhere to be
//! found is named when the chain is loaded, and not when the program is started.

use super::linked::{ElfError, IMAGE_FOLDER, LinkedFiles, linked};
use super::progress::asking;
use super::tree::{Content, Tree};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

/// The first bytes of an ELF file (elf(5)); scripts have others.
const ELF_MAGIC: [u8; 4] = *b"\x7fELF";

/// Adds what programs in `trees` link to what their function's executable links. `library_path`: as in
/// [`linked()`]. What could not be found, each with the number of its tree.
pub(super) fn add(
    function: &mut LinkedFiles,
    trees: &[Tree],
    library_path: Option<&str>,
) -> Vec<(usize, String)> {
    let entries = trees
        .iter()
        .flat_map(|tree| tree.entries().iter().map(move |entry| (tree, entry)));
    let places: BTreeSet<String> = entries.map(|(tree, entry)| tree.place_of(entry)).collect();
    let name_of = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let names: BTreeSet<String> = places
        .iter()
        .filter_map(|place| name_of(Path::new(place)))
        .collect();
    let mut known: BTreeSet<_> = function.files.iter().map(|file| file.path.clone()).collect();
    let mut problems = Vec::new();
    for (at, tree) in trees.iter().enumerate() {
        for entry in tree.entries() {
            let named = tree.named_of(entry);
            let _going = asking(&named);
            // What has become something else is said when it is handed over.
            let Ok(Content::File(file)) = tree.content(entry) else {
                continue;
            };
            let file = File::from(file);
            if !is_program(&file) {
                continue;
            }
            match linked(&file, &named, library_path) {
                Ok(found) => {
                    for library in found.files {
                        let is_elsewhere = library.path.starts_with(IMAGE_FOLDER);
                        let is_given = places.contains(&*library.path.to_string_lossy())
                            // Its program finds it beside itself, or where the function says.
                            || is_elsewhere && name_of(&library.path).is_some_and(|name| names.contains(&name));
                        if is_given || !known.insert(library.path.clone()) {
                            continue;
                        }
                        if is_elsewhere {
                            function.library_path = Some(IMAGE_FOLDER);
                        }
                        function.files.push(library);
                    }
                }
                // A library that may be executed, as some are: it starts nothing.
                Err(ElfError::Unsupported { .. } | ElfError::NotElf { .. }) => {}
                Err(ElfError::Missing { name, .. }) if names.contains(&name) => {}
                Err(error) => problems.push((at, format!("`{}`: {error}", tree.place_of(entry)))),
            }
        }
    }
    problems
}

fn is_program(file: &File) -> bool {
    let may_run = file
        .metadata()
        .is_ok_and(|found| found.permissions().mode() & 0o111 != 0);
    let mut magic = [0; ELF_MAGIC.len()];
    may_run && file.read_exact_at(&mut magic, 0).is_ok() && magic == ELF_MAGIC
}

#[cfg(test)]
mod tests {
    use super::super::file::ChainFile;
    use super::*;
    use hacher_skipped::skipped;
    use std::path::PathBuf;

    /// What a program of this machine links that this test does not; `None` if there is none such.
    fn program_with_a_library() -> Option<(PathBuf, PathBuf)> {
        let this = std::env::current_exe().unwrap();
        let paths = |path: &Path| -> Option<Vec<PathBuf>> {
            let found = linked(&File::open(path).ok()?, path, None).ok()?;
            Some(found.files.into_iter().map(|file| file.path).collect())
        };
        let own = paths(&this)?;
        ["/bin/ls", "/usr/bin/openssl", "/usr/bin/curl", "/usr/bin/perl"]
            .iter()
            .find_map(|program| {
                let found = paths(Path::new(program))?;
                let library = found.into_iter().find(|path| !own.contains(path))?;
                Some((PathBuf::from(program), library))
            })
    }

    fn chain_file(folder: &Path, files: &str, calls: &str) -> ChainFile {
        let path = folder.join("chain.toml");
        let exec = std::env::current_exe().unwrap();
        let text = format!(
            "chain = \"c\"\nflow = [\"ingress -> f -> egress\"]\n[function.f]\nexec = \"{}\"\nsyscalls = \"{calls}\"\nfiles = [{files}]\n",
            exec.display()
        );
        std::fs::write(&path, text).unwrap();
        ChainFile::read(&path).unwrap()
    }

    #[test]
    fn what_a_program_links_is_given_to_its_function_and_what_is_missing_is_named() {
        let Some((program, library)) = program_with_a_library() else {
            skipped!("no program of this machine links more than this test");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let given = format!("{{ from = \"{}\", to = \"/opt/program\" }}", program.display());
        let has = |calls: &str, files: &str| {
            let opened = chain_file(folder.path(), files, calls).open_functions().unwrap();
            let files = opened[0].linked.files.iter();
            files.filter(|file| file.path == library).count()
        };
        assert_eq!(has("program", &given), 1);
        assert_eq!(has("native", &given), 0, "it can start none");
        let own = format!("{given}, {{ from = \"{0}\", to = \"{0}\" }}", library.display());
        assert_eq!(has("program", &own), 0, "it has one of its own in this place");

        // A library of another name, as long as the one that is there.
        let name = library.file_name().unwrap().to_str().unwrap().as_bytes();
        let mut bytes = std::fs::read(&program).unwrap();
        let at = bytes
            .windows(name.len())
            .position(|window| window == name)
            .unwrap();
        bytes[at + name.len() - 1] = b'~';
        let changed = folder.path().join("changed");
        std::fs::write(&changed, bytes).unwrap();
        std::fs::set_permissions(&changed, std::fs::Permissions::from_mode(0o755)).unwrap();
        let files = "{ from = \"changed\", to = \"/opt/changed\" }";
        let file = chain_file(folder.path(), files, "program");
        let text = file.open_all().unwrap().warnings.render(false);
        assert_eq!(text.matches("W0610").count(), 1, "{text}");
        assert!(text.contains("`/opt/changed`") && text.contains("~"), "{text}");
    }
}
