use super::*;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("app/below/empty")).unwrap();
    std::fs::write(path("app/one"), "1").unwrap();
    std::fs::write(path("app/below/two"), "22").unwrap();
    symlink("below/two", path("app/link")).unwrap();
    symlink("../one", path("app/below/up")).unwrap();
    symlink("nowhere", path("app/dangling")).unwrap();
    folder
}

fn read(path: &Path) -> Result<Tree, TreeError> {
    Tree::read(path, "/app", None)
}

fn refusal(path: &Path) -> String {
    read(path).unwrap_err().to_string()
}

#[test]
fn a_folder_is_listed_with_each_thing_after_the_folder_that_it_lies_in() {
    let folder = folder();
    // The path itself may lead through links.
    symlink("app", folder.path().join("alias")).unwrap();
    let tree = read(&folder.path().join("alias")).unwrap();
    let listed: Vec<String> = tree
        .entries()
        .iter()
        .map(|entry| {
            let content = match tree.content(entry).unwrap() {
                Content::Folder => "/".to_owned(),
                Content::Link(target) => format!(" -> {target}"),
                Content::File(file) => {
                    let mut text = String::new();
                    File::from(file).read_to_string(&mut text).unwrap();
                    format!(" {text}")
                }
            };
            format!("{}{content}", tree.place_of(entry))
        })
        .collect();
    let expected = [
        "/app/",
        "/app/below/",
        "/app/below/empty/",
        "/app/below/two 22",
        "/app/below/up -> ../one",
        "/app/dangling -> nowhere",
        "/app/link -> below/two",
        "/app/one 1",
    ];
    assert_eq!(listed, expected);
    assert_eq!(tree.len_bytes(), 3);
    let file = read(&folder.path().join("app/link")).unwrap();
    assert_eq!((file.entries().len(), file.len_bytes()), (1, 2));
}

#[test]
fn a_link_that_leads_out_of_its_folder_is_refused_by_name() {
    for target in ["/etc/passwd", "..", "../app/one", "below/../../app", "/"] {
        let folder = folder();
        symlink(target, folder.path().join("app/out")).unwrap();
        let said = refusal(&folder.path().join("app"));
        assert!(said.contains("app/out` is a link that leads out"), "{said}");
        assert!(said.contains(&format!("to `{target}`")), "{said}");
    }
    assert!(stays_within("a/b", "../c") && !stays_within("a/b", "../../c"));
    assert!(stays_within("a", ".") && !stays_within("a", ".."));
}

#[test]
fn what_is_neither_file_nor_folder_nor_link_is_refused_without_waiting_for_it() {
    let folder = folder();
    let path = folder.path().join("app/below/pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RUSR).unwrap();
    for named in ["app", "app/below/pipe"] {
        let said = refusal(&folder.path().join(named));
        assert!(said.contains("below/pipe` is a pipe"), "{said}");
    }
    assert!(refusal(Path::new("/dev/null")).contains("is a device"));
    assert!(refusal(&folder.path().join("none")).contains("No such file"));
}

#[test]
fn names_are_text_and_messages_show_them_escaped() {
    let folder = folder();
    let name = std::ffi::OsStr::from_bytes(b"app/\x1b[2J\xff");
    std::fs::write(folder.path().join(name), "x").unwrap();
    let said = refusal(&folder.path().join("app"));
    assert!(
        said.contains("is not UTF-8") && !said.contains('\u{1b}'),
        "{said:?}"
    );
}

#[test]
fn depth_and_length_of_paths_have_bounds() {
    let folder = folder();
    let mut path = folder.path().join("app");
    for _ in 0..FILE_DEPTH_MAX - 1 {
        path.push("d");
    }
    std::fs::create_dir_all(&path).unwrap();
    assert!(read(&folder.path().join("app")).is_ok());
    std::fs::write(path.join("file"), "x").unwrap();
    assert!(refusal(&folder.path().join("app")).contains("64 names"));
    let huge = folder.path().join("huge");
    File::create(&huge).unwrap().set_len(FILE_MAX_BYTES + 1).unwrap();
    assert!(refusal(&huge).contains("has 1073741825 bytes"));
}

#[test]
fn what_changes_after_the_look_leads_nowhere_else() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let tree = read(&path("app")).unwrap();
    let content = |within: &str| {
        let entry = tree.entries().iter().find(|entry| entry.within == within);
        tree.content(entry.unwrap())
    };
    // A link in the place of a file, and in the place of a folder on the way.
    std::fs::write(path("secret"), "secret").unwrap();
    std::fs::create_dir(path("elsewhere")).unwrap();
    std::fs::write(path("elsewhere/two"), "secret").unwrap();
    std::fs::remove_file(path("app/one")).unwrap();
    symlink(path("secret"), path("app/one")).unwrap();
    assert!(content("one").is_err());
    std::fs::rename(path("app/below"), path("moved")).unwrap();
    symlink(path("elsewhere"), path("app/below")).unwrap();
    assert!(content("below/two").is_err());
    // A pipe that nobody writes to.
    std::fs::remove_file(path("app/one")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path("app/one"), Mode::RUSR | Mode::WUSR).unwrap();
    let said = content("one").unwrap_err().to_string();
    assert!(said.contains("was replaced while it was read"), "{said}");
}

#[test]
fn files_lie_beneath_their_folder_if_there_is_one() {
    let folder = folder();
    let bound = Beneath::new("--files-dir", &folder.path().join("app")).unwrap();
    let read = |name: &str| Tree::read(&folder.path().join(name), "/x", Some(&bound));
    assert!(read("app/one").is_ok() && read("app/below/empty").is_ok());
    std::fs::write(folder.path().join("outside"), "x").unwrap();
    symlink("../outside", folder.path().join("app/out")).unwrap();
    for bad in ["outside", "app/out", "app/../outside", "app"] {
        let said = read(bad).unwrap_err().to_string();
        assert!(said.contains("not beneath --files-dir"), "{said}");
    }
}
