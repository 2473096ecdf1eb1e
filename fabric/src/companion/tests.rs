use super::*;
use std::os::unix::fs::PermissionsExt;

/// Another program under this name. No script: its interpreter could not open it again by the number.
fn program(folder: &Path, name: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    // By a process of its own: a descriptor of this one through which the copy is written would be inherited
    // by what another test starts at that moment, and what is open for writing does not run (ETXTBSY).
    let copied = Command::new("cp").args([Path::new("/bin/echo"), &path]).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn mine() -> u32 {
    geteuid().as_raw()
}

#[test]
fn a_companion_bears_the_name_of_the_executable_it_lies_beside() {
    let beside = |companion: Companion, own, this: &str| {
        let path = companion.path_beside(own, Path::new(this))?;
        Some(path.to_str().unwrap().to_owned())
    };
    for (companion, own, this, expected) in [
        (
            Companion::Monitor,
            Companion::Fabric,
            "/usr/bin/hacher-fabric",
            Some("/usr/bin/hacher-monitor"),
        ),
        (
            Companion::Gateway,
            Companion::Fabric,
            "/o/hacher-fabric-1.2",
            Some("/o/hacher-gateway-1.2"),
        ),
        (
            Companion::Fabric,
            Companion::Bench,
            "/fabric/hacher-bench",
            Some("/fabric/hacher-fabric"),
        ),
        (Companion::Monitor, Companion::Fabric, "/usr/bin/renamed", None),
        (Companion::Monitor, Companion::Fabric, "/", None),
    ] {
        assert_eq!(beside(companion, own, this).as_deref(), expected, "{this}");
    }
}

#[test]
fn what_is_not_there_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let found = Companion::Monitor.judged(folder.path().join("hacher-monitor"), mine());
    assert!(found.unwrap().is_none());
}

#[test]
fn a_companion_of_another_build_is_refused_with_both_builds_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = program(folder.path(), "hacher-monitor", 0o755);
    let refused = Companion::Monitor.judged(path, mine()).unwrap_err().to_string();
    assert!(refused.contains(VERSION), "{refused}");
    assert!(refused.contains("echo"), "{refused}");
    assert!(refused.contains("cargo build"), "{refused}");
}

#[test]
fn a_companion_that_somebody_else_could_have_put_there_is_not_even_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = program(folder.path(), "hacher-monitor", 0o757);
    let refused = Companion::Monitor.judged(path.clone(), mine());
    assert!(
        matches!(refused, Err(CompanionError::Doubtful { .. })),
        "{refused:?}"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    // As whoever owns this executable would see a file of somebody else.
    if mine() != ROOT {
        let refused = Companion::Monitor.judged(path, mine() + 1);
        assert!(
            matches!(refused, Err(CompanionError::Doubtful { .. })),
            "{refused:?}"
        );
    }
    let refused = Companion::Monitor.judged(folder.path().to_owned(), mine());
    assert!(
        matches!(refused, Err(CompanionError::Doubtful { .. })),
        "{refused:?}"
    );
}
