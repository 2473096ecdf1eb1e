use super::super::measured_files::MeasuredFiles;
use super::*;
use crate::process::layers::Layers;
use hacher_skipped::skipped;
use ring::digest::{SHA384, digest};
use rustix::fs::fstat;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

fn file(bytes: &[u8], mode: u32) -> File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("input", flags).unwrap());
    file.write_all(bytes).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(mode))
        .unwrap();
    file
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA384, bytes).as_ref().to_vec()
}

/// Each kind of shelf that this machine has.
fn shelves() -> Vec<MeasuredFiles> {
    let shared = Shelf::new(&Layers::probe());
    if let Some(reason) = shared.unshared_because() {
        skipped!("copies that are shared, because {reason}");
    }
    let unshared = Shelf::unshared("a test");
    vec![
        MeasuredFiles::new(Shelf::scales()),
        MeasuredFiles::new(shared),
        MeasuredFiles::new(unshared),
    ]
}

#[test]
fn files_are_measured_as_they_are_copied_on_every_shelf() {
    for mut shelf in shelves() {
        let mut files = Files::default();
        shelf.add_folder(&mut files, Path::new("/app")).unwrap();
        let mut add = |path: &str, file: &File| {
            shelf
                .add_file(&mut files, Path::new(path), file.as_fd(), 1000)
                .unwrap()
        };
        let plain = add("/app/plain", &file(b"plain", 0o640));
        assert_eq!((plain.executable, plain.len_bytes), (false, 5));
        assert_eq!(plain.measurement.to_vec(), hash(b"plain"));
        assert!(add("/app/run", &file(b"run", 0o700)).executable);
        let alone = add("/opt/alone", &file(b"", 0o400));
        assert_eq!(alone.measurement.to_vec(), hash(b""));
        shelf
            .add_link(&mut files, Path::new("/app/link"), "plain")
            .unwrap();
        let roots: Vec<_> = files
            .roots()
            .map(|(path, folder)| (path.to_owned(), folder))
            .collect();
        assert_eq!(roots, [("/app".into(), true), ("/opt/alone".into(), false)]);
    }
}

#[test]
fn what_cannot_be_copied_leaves_nothing_and_its_place_stays_free() {
    for mut shelf in shelves() {
        let mut files = Files::default();
        let place = Path::new("/file");
        let refused = shelf.add_file(&mut files, place, file(&[7; 101], 0o400).as_fd(), 100);
        assert!(matches!(refused, Err(CopyError::TooLong { max_bytes: 100 })));
        let folder = File::open("/").unwrap();
        assert!(shelf.add_file(&mut files, place, folder.as_fd(), 100).is_err());
        let (read, _write) = rustix::pipe::pipe().unwrap();
        assert!(shelf.add_file(&mut files, place, read.as_fd(), 100).is_err());
        let good = shelf.add_file(&mut files, place, file(b"good", 0o400).as_fd(), 100);
        assert_eq!(good.unwrap().len_bytes, 4);
        if let Ok(Some(Located::Copy { memory, entries, .. })) = files.located() {
            let kinds: Vec<&Kind> = entries.iter().map(|entry| &entry.kind).collect();
            let expected = matches!(
                kinds.as_slice(),
                [Kind::File {
                    from: 0,
                    len_bytes: 4,
                    ..
                }]
            );
            assert!(expected, "{kinds:?}");
            let mut bytes = [0; 5];
            assert_eq!(rustix::io::pread(memory, &mut bytes, 0), Ok(4));
        }
    }
}

#[test]
fn functions_share_the_copy_of_a_file_for_as_long_as_one_has_it() {
    let mut shelf = MeasuredFiles::new(Shelf::new(&Layers::probe()));
    if shelf.shelf().unshared_because().is_some() {
        skipped!("this machine shares no copies");
        return;
    }
    let input = file(b"shared", 0o400);
    let mut trees: Vec<Files> = Vec::new();
    for _ in 0..2 {
        let mut files = Files::default();
        shelf.add_folder(&mut files, Path::new("/app")).unwrap();
        let added = shelf.add_file(&mut files, Path::new("/app/file"), input.as_fd(), 100);
        assert_eq!(added.unwrap().measurement.to_vec(), hash(b"shared"));
        trees.push(files);
    }
    let inode = |files: &Files| {
        let Ok(Some(Located::Mount(roots))) = files.located() else {
            panic!("not on the shelf");
        };
        let (root, ..) = roots[0];
        let opened = openat(root, "file", OFlags::PATH, Mode::empty()).unwrap();
        fstat(opened).unwrap().st_ino
    };
    assert_eq!(inode(&trees[0]), inode(&trees[1]));
    let kept = inode(&trees[1]);
    trees.remove(0);
    assert_eq!(inode(&trees[0]), kept);
    drop(trees);
    let mut files = Files::default();
    let again = shelf.add_file(&mut files, Path::new("/file"), input.as_fd(), 100);
    assert_eq!(again.unwrap().measurement.to_vec(), hash(b"shared"));
}

#[test]
fn a_tree_is_gone_from_the_shelf_when_its_function_is() {
    let mut shelf = MeasuredFiles::new(Shelf::new(&Layers::probe()));
    let mut files = Files::default();
    shelf.add_folder(&mut files, Path::new("/app")).unwrap();
    shelf.add_folder(&mut files, Path::new("/app/below")).unwrap();
    let input = file(b"x", 0o400);
    shelf
        .add_file(&mut files, Path::new("/app/below/file"), input.as_fd(), 100)
        .unwrap();
    let Some(Tree::Shelved(folder)) = &files.tree else {
        skipped!("this machine shares no copies");
        return;
    };
    let (mount, name) = (Rc::clone(&folder.mount), folder.name.clone());
    let open = || openat(&mount, &*name, OFlags::PATH, Mode::empty());
    assert!(open().is_ok());
    drop(files);
    assert_eq!(open().unwrap_err(), Errno::NOENT);
}

#[test]
fn nothing_is_added_once_the_tree_is_closed() {
    let mut shelf = MeasuredFiles::new(Shelf::unshared("a test"));
    let mut files = Files::default();
    let input = file(b"x", 0o400);
    shelf
        .add_file(&mut files, Path::new("/one"), input.as_fd(), 100)
        .unwrap();
    files.seal().unwrap();
    files.seal().unwrap();
    assert!(
        shelf
            .add_file(&mut files, Path::new("/two"), input.as_fd(), 100)
            .is_err()
    );
    let Ok(Some(Located::Copy { memory, .. })) = files.located() else {
        panic!("not in memory");
    };
    assert_eq!(rustix::io::write(memory, b"y"), Err(Errno::PERM));
}

#[test]
fn files_that_each_process_copies_are_bounded_together() {
    let mut measured = MeasuredFiles::new(Shelf::unshared("a test"));
    let mut files = Files::default();
    let half = file(&[], 0o400);
    half.set_len(UNSHARED_MAX_BYTES / 2).unwrap();
    for (path, fits) in [("/one", true), ("/two", true), ("/three", false)] {
        let added = measured.add_file(&mut files, Path::new(path), half.as_fd(), u64::MAX);
        assert_eq!(added.is_ok(), fits, "{path}");
    }
}
