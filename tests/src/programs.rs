//! A function that starts programs, and what these tell of themselves: this executable once more, which the
//! function finds at [`PROGRAM`] among its files.
#![allow(unsafe_code, reason = "asks of numbers whether they are open descriptors")]

use hacher_libos_net::{Failure, Input, Output};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;

/// Where the function finds its program.
pub const PROGRAM: &str = "/opt/program";

/// Programs that were started and not waited for.
static LEFT: Mutex<Vec<Child>> = Mutex::new(Vec::new());

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().env("FUNCTION", "child");
    command
}

/// Starts a program as the words of the input say, and answers with what it prints; `leave WORDS` leaves it
/// running after its first line.
///
/// # Errors
/// When it cannot be started, with the number of the error; or the output cannot be sent.
pub fn tell(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(input.bytes()?).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    let said = match words.as_slice() {
        ["leave", words @ ..] => leave(words),
        words => command(words).output().map(|output| output.stdout),
    };
    let said = said.unwrap_or_else(|error| format!("failed: {error}").into_bytes());
    output.send(&said)
}

fn leave(words: &[&str]) -> std::io::Result<Vec<u8>> {
    let mut child = command(words).stdout(Stdio::piped()).spawn()?;
    let mut first = [0; 8];
    if let Some(stdout) = &mut child.stdout {
        stdout.read_exact(&mut first)?;
    }
    if let Ok(mut left) = LEFT.lock() {
        left.push(child);
    }
    Ok(first.to_vec())
}

/// The program.
#[must_use]
pub fn child() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["descriptors"] => {
            let is_open = |number: &i32| {
                // SAFETY: no descriptor is used; a number that is none gives an error.
                let fd = unsafe { rustix::fd::BorrowedFd::borrow_raw(*number) };
                rustix::io::fcntl_getfd(fd).is_ok()
            };
            println!("{:?}", (0..4096).filter(is_open).collect::<Vec<_>>());
        }
        ["environment"] => println!("{:?}", std::env::vars().collect::<Vec<_>>()),
        ["wait"] => {
            println!("waiting");
            loop {
                std::thread::park();
            }
        }
        ["network"] => println!("{:?}", echo().map_err(|error| error.kind())),
        ["refused", times] => {
            // Nobody but seccomp says this.
            let is_refused = || rustix::process::setsid() == Err(rustix::io::Errno::PERM);
            if !(0..times.parse().unwrap_or(1)).all(|_: u32| is_refused()) {
                return ExitCode::FAILURE;
            }
            println!("refused");
        }
        ["hostile"] => {
            print!("{}", crate::hostile::report("/none", Vec::new()));
        }
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

fn echo() -> std::io::Result<[u8; 4]> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut there = TcpStream::connect(listener.local_addr()?)?;
    there.write_all(b"ping")?;
    let mut here = [0; 4];
    listener.accept()?.0.read_exact(&mut here)?;
    Ok(here)
}
