//! A function that starts programs, and what these tell of themselves: this executable once more, which the
//! function finds at [`PROGRAM`] among its files.
#![allow(
    unsafe_code,
    reason = "asks of numbers whether they are open descriptors, and does what no safe interface offers, as an attacker would"
)]

use hacher_libos_net::{Failure, Input, Output};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

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
/// running after its first line, `fault WORDS` touches memory that it may not when it has ended.
///
/// # Errors
/// When it cannot be started, with the number of the error; or the output cannot be sent.
pub fn tell(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(input.bytes()?).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    let said = match words.as_slice() {
        ["leave", words @ ..] => leave(words),
        ["fault", words @ ..] => command(words).output().map(|_| fault()),
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

/// Ends by a signal of the processor's own.
fn fault() -> Vec<u8> {
    const PAGE_BYTES: usize = 4096;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            PAGE_BYTES,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    // SAFETY: it is not sound at all: nobody may read there, and so the process ends here.
    vec![unsafe { page.cast::<u8>().read_volatile() }]
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
        ["forge"] => forge(),
        ["spin", millis, count] => {
            let words = ["spin", millis, "1"];
            let others: Vec<_> = (1..number(count)).map(|_| command(&words).spawn()).collect();
            let end = Instant::now() + Duration::from_millis(number(millis));
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            for mut other in others.into_iter().flatten() {
                let _ = other.wait();
            }
        }
        ["hold", mib, count] => {
            let words = ["hold", mib, "1"];
            let _others: Vec<_> = (1..number(count)).map(|_| leave(&words)).collect();
            let len_bytes = usize::try_from(number(mib)).unwrap_or(0) << 20;
            let held = vec![1_u8; len_bytes];
            println!("holding");
            loop {
                std::thread::park();
                std::hint::black_box(&held);
            }
        }
        ["multiply"] => {
            let words = ["wait"];
            let started: Vec<_> = (0..4096).map_while(|_| leave(&words).ok()).collect();
            println!("{}", started.len());
            if let Ok(mut left) = LEFT.lock() {
                for mut child in left.drain(..) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        }
        ["backlog"] => println!("{:?}", backlog(0)),
        ["flood", listeners] => {
            let listeners = usize::try_from(number(listeners)).unwrap_or(0);
            let sent: Vec<_> = (1..=listeners).map(backlog).collect();
            println!("{sent:?}");
            loop {
                std::thread::park();
            }
        }
        ["hostile"] => {
            print!("{}", crate::hostile::report("/none", Vec::new()));
        }
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

/// Sends the function signals that look as if it had aborted, or its memory were at fault.
fn forge() {
    // SAFETY: a signal to the process that has started this one, which takes care of both.
    let sent = [libc::SIGABRT, libc::SIGSEGV].map(|signal| unsafe { libc::kill(1, signal) });
    // SAFETY: as above.
    let to_thread = unsafe { libc::syscall(libc::SYS_tgkill, 1, 1, libc::SIGABRT) };
    // SAFETY: plain data, for which all zeros is a valid value.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    info.si_signo = libc::SIGABRT;
    info.si_code = libc::SI_QUEUE;
    // SAFETY: asks for a descriptor of the function.
    let function = unsafe { libc::syscall(libc::SYS_pidfd_open, 1, 0) };
    // SAFETY: the structure outlives the call.
    let queued = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            function,
            libc::SIGABRT,
            &raw const info,
            0,
        )
    };
    println!("{sent:?} {to_thread} {queued}");
}

/// Connections that wait at a listening socket, which is never looked at again: how many there can be, with
/// as many bytes sent over each as it takes, unless this is the first. Their sending ends are closed.
fn backlog(at: usize) -> Result<usize, rustix::io::Errno> {
    use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
    let socket = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
    };
    let address = SocketAddrUnix::new_abstract_name(format!("backlog-{at}").as_bytes())?;
    let listener = socket()?;
    rustix::net::bind(&listener, &address)?;
    rustix::net::listen(&listener, 4096)?;
    std::mem::forget(listener);
    let mut count = 0;
    loop {
        let connection = socket()?;
        if rustix::net::connect(&connection, &address).is_err() {
            return Ok(count);
        }
        if at > 0 {
            while rustix::net::send(&connection, &[1; 32768], SendFlags::NOSIGNAL).is_ok() {}
        }
        count += 1;
    }
}

fn echo() -> std::io::Result<[u8; 4]> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut there = TcpStream::connect(listener.local_addr()?)?;
    there.write_all(b"ping")?;
    let mut here = [0; 4];
    listener.accept()?.0.read_exact(&mut here)?;
    Ok(here)
}
