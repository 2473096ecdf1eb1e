//! What a function's image has beside its executable, and what is refused of it.

use super::driver::{Driver, text};
use crate::calls::{Call, ResultCode, file_kind};
use crate::core::limits;
use crate::simulated::SimulatedFile;

fn add(driver: &mut Driver, kind: u64, path: &str, target: &str, files: Vec<SimulatedFile>) -> ResultCode {
    let arguments = [0, 1, kind, u64::try_from(path.len()).unwrap(), 0, 0];
    let operand = format!("{path}{target}");
    driver
        .load(Call::AddFile, arguments, operand.as_bytes(), files)
        .code
}

fn folder(driver: &mut Driver, path: &str) -> ResultCode {
    add(driver, file_kind::FOLDER, path, "", vec![])
}

fn file(driver: &mut Driver, path: &str) -> ResultCode {
    add(driver, file_kind::FILE, path, "", vec![text("content")])
}

fn link(driver: &mut Driver, path: &str, target: &str) -> ResultCode {
    add(driver, file_kind::LINK, path, target, vec![])
}

/// A chain of one function, which links `/lib/x/libc.so`.
fn driver() -> (Driver, u64) {
    let mut driver = Driver::with_gateway();
    let chain = driver.begin("c");
    let only = driver.function(chain, "f", 1, &["out"]);
    let arguments = [chain, only, 0, 0, 0, 0];
    driver
        .load(Call::AddLibrary, arguments, b"/lib/x/libc.so", vec![text("c")])
        .ok();
    driver.edge([chain, 0, 0, only, 0, 0]);
    driver.edge([chain, only, 0, 0, 0, 0]);
    (driver, chain)
}

#[test]
fn a_process_gets_the_arguments_and_files_of_its_function_each_time() {
    let (mut driver, chain) = driver();
    for argument in ["--one", ""] {
        let arguments = [chain, 1, 0, 0, 0, 0];
        driver
            .load(Call::AddArgument, arguments, argument.as_bytes(), vec![])
            .ok();
    }
    assert_eq!(folder(&mut driver, "/app"), ResultCode::Success);
    assert_eq!(file(&mut driver, "/app/file"), ResultCode::Success);
    assert_eq!(link(&mut driver, "/app/link", "file"), ResultCode::Success);
    driver.seal(chain).ok();
    driver.core.finish_loading().unwrap();
    for _ in 0..2 {
        driver.create(chain, 1).ok();
        let process = driver.latest();
        assert_eq!(driver.process(process).arguments, ["--one", ""]);
        assert_eq!(
            driver.process(process).finds,
            ["/app", "/app/file", "/app/link -> file"]
        );
        driver.die(process);
    }
}

#[test]
fn places_that_are_none_or_are_taken_are_refused() {
    let (mut driver, _) = driver();
    assert_eq!(folder(&mut driver, "/app"), ResultCode::Success);
    assert_eq!(file(&mut driver, "/app/file"), ResultCode::Success);
    assert_eq!(link(&mut driver, "/app/link", "."), ResultCode::Success);
    for path in [
        "",
        "/",
        "app/x",
        "/app/",
        "/app//x",
        "/app/../x",
        "/app/./x",
        "/app/x\0",
    ] {
        assert_eq!(file(&mut driver, path), ResultCode::InvalidParameter, "{path:?}");
    }
    // In a file, and behind a link.
    for path in ["/app/file/x", "/app/link/x"] {
        assert_eq!(file(&mut driver, path), ResultCode::InvalidParameter, "{path}");
    }
    for path in [
        // There already; in a folder that was not added; above what was added.
        "/app",
        "/app/file",
        "/app/other/x",
        // A library, what holds it and what lies beneath it.
        "/lib/x/libc.so",
        "/lib/x",
        "/lib",
        "/lib/x/libc.so/y",
        // What every function finds or never has.
        "/dev",
        "/dev/null",
        "/proc/self",
        "/sys",
        "/tmp/x",
        "/image/lib",
        "/etc",
        "/etc/localtime",
        "/usr",
        "/usr/share/zoneinfo/UTC",
    ] {
        assert_eq!(folder(&mut driver, path), ResultCode::NameTaken, "{path}");
    }
    for path in ["/lib/y", "/etc/app", "/usr/share/app", "/apps", "/app2/file"] {
        assert_eq!(file(&mut driver, path), ResultCode::Success, "{path}");
    }
    // Nor does a library come where a file is.
    for path in ["/app/file", "/app/lib.so", "/etc/app"] {
        let answer = driver.load(
            Call::AddLibrary,
            [0, 1, 0, 0, 0, 0],
            path.as_bytes(),
            vec![text("l")],
        );
        assert_eq!(answer.code, ResultCode::NameTaken, "{path}");
    }
}

#[test]
fn each_kind_has_what_belongs_to_it_and_nothing_else() {
    let (mut driver, _) = driver();
    assert_eq!(folder(&mut driver, "/app"), ResultCode::Success);
    let some = || vec![text("content")];
    for (kind, path, target, files) in [
        (file_kind::FOLDER, "/app/x", "", some()),
        (file_kind::FOLDER, "/app/x", "target", vec![]),
        (file_kind::FILE, "/app/x", "", vec![]),
        (file_kind::FILE, "/app/x", "target", some()),
        (file_kind::LINK, "/app/x", "", vec![]),
        (file_kind::LINK, "/app/x", "a\0b", vec![]),
        (file_kind::LINK, "/app/x", "file", some()),
        (file_kind::LINK, "/alone", "app", vec![]),
        (3, "/app/x", "", vec![]),
    ] {
        let code = add(&mut driver, kind, path, target, files);
        assert_eq!(code, ResultCode::InvalidParameter, "{kind} {path} {target}");
    }
    let socket = vec![SimulatedFile::Listener];
    assert_eq!(
        add(&mut driver, file_kind::FILE, "/app/x", "", socket),
        ResultCode::BadImage
    );
    // More of the operand than there is, and a gateway, which has no files.
    for arguments in [[0, 1, 0, 5, 0, 0], [u64::MAX, 0, 0, 4, 0, 0], [0, 2, 0, 4, 0, 0]] {
        let answer = driver.load(Call::AddFile, arguments, b"/new", vec![]);
        assert_eq!(answer.code, ResultCode::InvalidParameter, "{arguments:?}");
    }
    // All of it leaves the place free.
    assert_eq!(file(&mut driver, "/app/x"), ResultCode::Success);
}

#[test]
fn files_and_arguments_have_bounds_and_a_sealed_chain_takes_none() {
    let (mut driver, chain) = driver();
    for number in 0..limits::FILE_ROOTS_MAX {
        assert_eq!(file(&mut driver, &format!("/f{number}")), ResultCode::Success);
    }
    assert_eq!(file(&mut driver, "/more"), ResultCode::LimitReached);
    let arguments = [chain, 1, 0, 0, 0, 0];
    let argument = |driver: &mut Driver, text: &str| {
        driver
            .load(Call::AddArgument, arguments, text.as_bytes(), vec![])
            .code
    };
    assert_eq!(argument(&mut driver, "a\0b"), ResultCode::InvalidParameter);
    for _ in 0..limits::ARGUMENTS_MAX {
        assert_eq!(argument(&mut driver, "a"), ResultCode::Success);
    }
    assert_eq!(argument(&mut driver, "a"), ResultCode::LimitReached);
    driver.seal(chain).ok();
    assert_eq!(argument(&mut driver, "a"), ResultCode::Sealed);
    assert_eq!(folder(&mut driver, "/more"), ResultCode::Sealed);
}

#[test]
fn a_function_has_as_many_files_as_it_may_and_no_more() {
    let (mut driver, _) = driver();
    assert_eq!(folder(&mut driver, "/app"), ResultCode::Success);
    for number in 1..limits::FILES_MAX {
        let path = format!("/app/{number}");
        assert_eq!(folder(&mut driver, &path), ResultCode::Success, "{path}");
    }
    assert_eq!(folder(&mut driver, "/app/more"), ResultCode::LimitReached);
}
