//! Functions that do what ordinary libraries do, and what none may do.

use hacher_libos_net::{Failure, Input, Output};
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

/// Does what ordinary libraries do; the output has a line for each, `ok` or `FAILED` first.
///
/// # Errors
/// When the output cannot be sent.
pub fn everything(_input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut report = String::new();
    let mut attempt = |what: &str, result: io::Result<()>| {
        let _ = match result {
            Ok(()) => writeln!(report, "ok {what}"),
            Err(error) => writeln!(report, "FAILED {what}: {error}"),
        };
    };
    attempt("write a file", fs::write("/tmp/a", b"bytes"));
    attempt("copy it", fs::copy("/tmp/a", "/tmp/b").map(drop));
    attempt(
        "change its mode",
        fs::set_permissions("/tmp/b", Permissions::from_mode(0o600)),
    );
    attempt("lock it", File::open("/tmp/b").and_then(|file| file.lock()));
    attempt("a pipe", pipe());
    attempt("a pair of streams", streams());
    attempt("a pair of datagram sockets", UnixDatagram::pair().map(drop));
    attempt("an asynchronous runtime", runtime());
    attempt("the null device", fs::write("/dev/null", b"x"));
    attempt(
        "the zero device",
        File::open("/dev/zero").and_then(|mut zero| zero.read_exact(&mut [1])),
    );
    attempt("a time zone", time_zone());
    attempt("a database", crate::database::commit());
    attempt("threads", std::thread::Builder::new().spawn(|| ()).map(drop));
    output.send(report.as_bytes())
}

fn pipe() -> io::Result<()> {
    let (mut reader, mut writer) = io::pipe()?;
    writer.write_all(b"x")?;
    reader.read_exact(&mut [0])
}

fn streams() -> io::Result<()> {
    let (mut left, mut right) = UnixStream::pair()?;
    left.write_all(b"x")?;
    right.read_exact(&mut [0])
}

fn runtime() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (left, right) = tokio::net::UnixStream::pair()?;
        left.writable().await?;
        left.try_write(b"x")?;
        right.readable().await?;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        Ok(())
    })
}

/// Local time is UTC where the machine has time zones, and everywhere else.
fn time_zone() -> io::Result<()> {
    match fs::read("/etc/localtime") {
        Ok(zone) if !zone.starts_with(b"TZif") => Err(io::Error::other("it is no time zone")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes system calls that are refused, and answers with what it was told.
///
/// # Errors
/// When the output cannot be sent.
pub fn refused(_input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let bound = UnixListener::bind("/tmp/socket").map(drop);
    let linked = std::os::unix::fs::symlink("/tmp/a", "/tmp/b");
    // From another thread, which has the same filter.
    let elsewhere = std::thread::spawn(|| UnixDatagram::unbound().map(drop)).join();
    let elsewhere = elsewhere.unwrap_or_else(|_| Err(io::Error::other("it panicked")));
    // Around this one the C library blocks all signals.
    let started = std::process::Command::new("/bin/true").status().map(drop);
    let codes =
        [bound, linked, elsewhere, started].map(|result| result.err().and_then(|error| error.raw_os_error()));
    output.send(format!("{codes:?}").as_bytes())
}
