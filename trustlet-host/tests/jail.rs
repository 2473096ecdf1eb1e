//! What a jailed process can do, and what it cannot, tried by a process that is in one: this executable
//! itself.
//!
//! No test harness, because starting a jail wants a process of one thread. As root, everything runs a second
//! time as an ordinary user.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "test code, which tries system calls that nobody wraps"
)]

#[path = "jail/program.rs"]
mod program;

use hacher_skipped::skipped;
use hacher_trustlet_host::process::files::Files;
use hacher_trustlet_host::process::image::Image;
use hacher_trustlet_host::process::jail::{
    Child, Exit, Limits, Output, Role, Spawn, SpawnError, Step, spawn,
};
use hacher_trustlet_host::process::layers::{Layer, Layers};
use hacher_trustlet_host::process::library::Library;
use hacher_trustlet_host::process::measured_files::MeasuredFiles;
use hacher_trustlet_host::process::region::{Doorbell, Region};
use hacher_trustlet_host::process::seccomp::lockdown_program;
use hacher_trustlet_host::process::shelf::Shelf;
use program::{DOORBELL, MEMORY_BYTES, OPEN_FILES, SCRATCH_BYTES, SOCKET, THREADS};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, WaitId, WaitIdOptions, set_dumpable_behavior, waitid};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ORDINARY_USER: u32 = 1000;
const JAILED: &str = "jailed";
const MONITOR: &str = "monitor";

type Test = (&'static str, fn());
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}
const TESTS: &[Test] = tests![
    every_layer_of_this_machine_is_named,
    a_function_can_do_its_work,
    a_function_is_refused_everything_else,
    what_ordinary_libraries_do_works_and_what_is_next_to_it_does_not,
    without_seccomp_the_other_layers_refuse,
    without_views_of_its_own_landlock_refuses,
    without_namespaces_the_rest_holds,
    a_function_with_programs_can_do_its_work_and_no_more,
    a_function_with_programs_is_refused_everything_else,
    programs_make_sockets_of_the_kinds_that_exist_and_no_others,
    a_program_has_no_way_to_the_function_that_started_it,
    refused_calls_of_programs_are_told_by_number,
    programs_end_with_the_function_that_started_them,
    programs_need_every_layer_that_bounds_them,
    after_lockdown_no_data_becomes_code,
    limits_hold,
    servers_answer_on_the_socket_they_are_given,
    another_process_of_the_same_user_cannot_look_inside,
    a_killed_monitor_takes_its_processes_along,
    an_ending_is_reported_as_it_was,
    a_failed_start_names_its_step_and_leaves_nothing,
    a_library_outlives_its_file,
    a_library_that_cannot_be_shared_is_copied,
    files_are_found_at_their_places_and_cannot_be_changed,
    files_that_cannot_be_shared_are_copied,
    a_function_finds_what_the_book_says_and_nothing_else,
    a_function_may_bring_its_own_files_of_etc,
    without_mounts_a_changed_library_is_refused,
    without_mounts_nobody_changes_files_by_their_name_or_owner,
    the_cost_of_a_start,
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args[0].as_str() {
        JAILED => std::process::exit(program::run(&args[1], &args[2..])),
        MONITOR => monitor(),
        _ => {}
    }
    if args.iter().any(|arg| arg == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    // As the monitor is.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).unwrap();
    let filters: Vec<&String> = args[1..].iter().filter(|arg| !arg.starts_with('-')).collect();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let user = if is_root() { "root" } else { "an ordinary user" };
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| wanted(name)) {
        let outcome = catch_unwind(test);
        println!(
            "test {name} (as {user}) ... {}",
            if outcome.is_ok() { "ok" } else { "FAILED" }
        );
        failed += i32::from(outcome.is_err());
    }
    if is_root() {
        let alone = ["another_process".to_owned()];
        let passed = as_ordinary_user(&args[1..], &[]) && as_ordinary_user(&alone, &[ORDINARY_USER + 1]);
        failed += i32::from(!passed);
    }
    std::process::exit(failed.min(1));
}

/// Runs everything again without privilege, from a descriptor: the path of the executable may be root's
/// alone.
fn as_ordinary_user(args: &[String], supplementary: &[u32]) -> bool {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let this = std::fs::File::open("/proc/self/exe").unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", this.as_raw_fd()));
    let groups: Vec<Gid> = supplementary.iter().map(|&group| Gid::from_raw(group)).collect();
    let (user, group) = (Uid::from_raw(ORDINARY_USER), Gid::from_raw(ORDINARY_USER));
    let become_ordinary = move || {
        set_thread_groups(&groups)?;
        set_thread_res_gid(group, group, group)?;
        Ok(set_thread_res_uid(user, user, user)?)
    };
    // SAFETY: makes three system calls, between fork and exec.
    unsafe { command.pre_exec(become_ordinary) };
    command.args(args).status().unwrap().success()
}

/// Root who can become other users, unlike the root of a user namespace with one user.
fn is_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let users: u32 = map.split_whitespace().nth(2).unwrap().parse().unwrap();
    rustix::process::geteuid().is_root() && users > ORDINARY_USER
}

/// This executable with its libraries, and what the machine can enforce.
struct Fixture {
    image: Image,
    libraries: Vec<Library>,
    layers: Layers,
    files: MeasuredFiles,
    /// Files that programs find.
    given: Option<Files>,
}

impl Fixture {
    fn new() -> Self {
        let this = std::fs::File::open("/proc/self/exe").unwrap();
        let layers = Layers::probe();
        let shelf = Shelf::new(&layers);
        eprintln!("libraries unshared because: {:?}", shelf.unshared_because());
        let mut files = MeasuredFiles::new(shelf);
        Self {
            image: Image::load("jailed", this.as_fd(), 1 << 30).unwrap(),
            libraries: files.own_libraries().unwrap(),
            layers,
            files,
            given: None,
        }
    }

    /// Skips with a reason if the machine lacks something that a test is about.
    fn has(&self, layers: &[Layer]) -> bool {
        let lacking = self
            .layers
            .missing()
            .iter()
            .filter(|missing| layers.contains(&missing.layer));
        lacking.map(|missing| skipped!("{missing}")).count() == 0
    }

    fn loader(&self) -> String {
        let loader = self
            .libraries
            .iter()
            .find(|library| library.is_interpreter())
            .or(self.libraries.first());
        loader.map_or_else(
            || "/none".to_owned(),
            |library| library.path().to_string_lossy().into_owned(),
        )
    }

    fn start(
        &self,
        role: Role,
        args: &[&str],
        inherit: &[(BorrowedFd<'_>, i32)],
        stdout: Output<'_>,
    ) -> Result<Child, SpawnError> {
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        let loader = self.loader();
        spawn(&Spawn {
            name: "test",
            image: &self.image,
            libraries: &self.libraries,
            files: self.given.as_ref(),
            argv0: OsStr::new(JAILED),
            args: &args,
            env: &[
                (OsStr::new("LIBRARY"), OsStr::new(&loader)),
                (OsStr::new("RUST_BACKTRACE"), OsStr::new("0")),
            ],
            limits: limits(),
            role,
            cpu: None,
            patient: false,
            stdout,
            stderr: Output::Fd(std::io::stderr().as_fd()),
            inherit,
            layers: &self.layers,
            group: None,
        })
    }

    /// Runs a program to its end: what it printed, and how it ended.
    fn run(&self, role: Role, args: &[&str], inherit: &[(BorrowedFd<'_>, i32)]) -> (String, Exit) {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut child = self
            .start(role, args, inherit, Output::Fd(write.as_fd()))
            .unwrap();
        drop(write);
        let (text, _) = hear(&child, &read);
        let exit = child.wait().unwrap();
        (text, exit)
    }
}

/// What a process and its programs print until they end, and the numbers of the calls that were refused to
/// them, as the monitor does it.
fn hear(child: &Child, read: &OwnedFd) -> (String, Vec<u64>) {
    use rustix::event::{PollFd, PollFlags, poll};
    let (mut text, mut refused) = (Vec::new(), Vec::new());
    let mut refusals = child.refusals();
    loop {
        let mut fds = vec![PollFd::new(read, PollFlags::IN)];
        fds.extend(refusals.map(|refusals| PollFd::from_borrowed_fd(refusals.as_fd(), PollFlags::IN)));
        poll(&mut fds, None).unwrap();
        let has_text = !fds[0].revents().is_empty();
        let has_refusal = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        if has_refusal {
            match refusals.unwrap().refuse_next() {
                Ok(number) => refused.extend(number),
                // All of its processes have ended.
                Err(_) => refusals = None,
            }
        }
        let mut buffer = [0; 4096];
        if has_text {
            match rustix::io::read(read, &mut buffer).unwrap() {
                0 => return (String::from_utf8(text).unwrap(), refused),
                len => text.extend_from_slice(&buffer[..len]),
            }
        }
    }
}

fn limits() -> Limits {
    Limits {
        memory_bytes: MEMORY_BYTES,
        scratch_bytes: SCRATCH_BYTES,
        threads: THREADS,
        open_files: OPEN_FILES,
        open_files_min: OPEN_FILES,
    }
}

/// The lines "name: outcome" of `text`.
fn outcomes(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(": ")).collect()
}

fn channel() -> (OwnedFd, OwnedFd) {
    socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap()
}

fn every_layer_of_this_machine_is_named() {
    let layers = Layers::probe();
    println!("{layers}");
    assert_eq!(layers.is_full(), layers.missing().is_empty());
    let without = layers.without(Layer::Seccomp, "taken away by a test");
    assert!(!without.is_full());
    assert!(
        without.to_string().contains("seccomp: taken away by a test"),
        "{without}"
    );
}

fn a_function_can_do_its_work() {
    let fixture = Fixture::new();
    if !fixture.has(&[
        Layer::UserNamespace,
        Layer::MountNamespace,
        Layer::PidNamespace,
        Layer::UtsNamespace,
    ]) {
        return;
    }
    let (ours, theirs) = channel();
    let doorbell = Doorbell::create().unwrap();
    rustix::io::write(doorbell.ringing(), &5_u64.to_ne_bytes()).unwrap();
    let region = Region::create("outbox", 4096).unwrap();
    send_descriptors(&ours, [region.read_only().unwrap().as_fd(), region.as_fd()]);
    let inherit = [(doorbell.own(), DOORBELL), (theirs.as_fd(), SOCKET)];
    let (text, exit) = fixture.run(Role::Function, &["work"], &inherit);
    assert_eq!(exit, Exit::Code(0), "{text}");
    let expected = "process 1, user 1000, group 1000\nhost test\nenvironment LIBRARY RUST_BACKTRACE\n\
                    descriptors [0, 1, 2, 3, 4]\ndumpable 0\nthreads 6\nscratch works\ndoorbell 5\nregion !\n\
                    map a reader's region for writing: EACCES\nprotect it for writing: EACCES\nwrite it: EBADF\n\
                    truncate it: EPERM\nopen it again: ENOENT\n";
    assert_eq!(text, expected);
    let mut reply = [0; 8];
    assert_eq!(rustix::io::read(&ours, &mut reply).unwrap(), 4);
    assert_eq!(&reply[..4], b"done");
}

fn send_descriptors(socket: &OwnedFd, fds: [BorrowedFd<'_>; 2]) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(
        socket,
        &[std::io::IoSlice::new(b"x")],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
}

fn a_function_is_refused_everything_else() {
    let fixture = Fixture::new();
    if fixture.has(&[Layer::MountNamespace, Layer::Seccomp, Layer::Landlock]) {
        check_refusals(&fixture);
    }
}

/// What a function with programs may do of the list of what functions may not: it concerns nobody else.
const LAWFUL_FOR_PROGRAMS: [&str; 7] = [
    "internet socket",
    "unix socket",
    "kill everybody",
    "pidfd",
    "fork",
    "make a doorbell not block",
    "symbolic link",
];

fn check_refusals(fixture: &Fixture) {
    check_refusals_of(fixture, Role::Function);
}

fn check_refusals_of(fixture: &Fixture, role: Role) {
    let is_program = matches!(role, Role::Program { .. });
    let (_ours, theirs) = channel();
    let doorbell = Doorbell::create().unwrap();
    let inherit = [(doorbell.own(), DOORBELL), (theirs.as_fd(), SOCKET)];
    let args = if is_program {
        &["refusals", "program"][..]
    } else {
        &["refusals"]
    };
    let (text, exit) = fixture.run(role, args, &inherit);
    println!("{text}");
    assert_eq!(exit, Exit::Code(0), "{text}");
    let outcomes = outcomes(&text);
    assert!(outcomes.len() >= 54, "{} were tried", outcomes.len());
    for (name, outcome) in outcomes {
        let expected: &[&str] = match name {
            "read its library" => &["ok"],
            "open /etc/os-release"
            | "open /../etc/os-release"
            | "open /proc/self/status"
            | "open /proc/1/mem"
            | "open /dev/mem" => &["ENOENT"],
            "list /" => &["EACCES"],
            "create /new" | "write its library" => &["EACCES", "EROFS"],
            "clone3" => &["ENOSYS"],
            "take the image's number" | "execveat at the image's number" => &["EBADF"],
            // Nobody is there.
            "kill everybody" | "signal another" if is_program => &["ESRCH", "ok"],
            // The scratch directory.
            "execve" | "execveat" if is_program => &["EACCES"],
            lawful if is_program && LAWFUL_FOR_PROGRAMS.contains(&lawful) => &["ok"],
            _ => &["EPERM"],
        };
        assert!(expected.contains(&outcome), "{name}: {outcome}, not {expected:?}");
    }
}

fn what_ordinary_libraries_do_works_and_what_is_next_to_it_does_not() {
    let fixture = Fixture::new();
    if !fixture.has(&[
        Layer::UserNamespace,
        Layer::MountNamespace,
        Layer::Seccomp,
        Layer::Landlock,
    ]) {
        return;
    }
    let (text, exit) = fixture.run(Role::Function, &["ordinary"], &[]);
    println!("{text}");
    assert_eq!(exit, Exit::Code(0), "{text}");
    for (name, outcome) in outcomes(&text) {
        let expected: &[&str] = match name {
            "copy a file" | "chmod" | "lock" | "POSIX lock" | "hard link" | "pipe" | "socket pair"
            | "close one way" | "epoll" | "timer" => &["ok"],
            "chmod its library" | "copy over its library" => &["EACCES", "EROFS", "EPERM"],
            "hard link to its library" => &["EACCES", "EPERM", "Invalid cross-device link (os error 18)"],
            "null read" => &["Some(0)"],
            "full" => &["Err(StorageFull)"],
            "local time" => &["Some(\"/usr/share/zoneinfo/Etc/UTC\")"],
            _ if outcome == "true" => &["true"],
            _ => &["EPERM"],
        };
        assert!(expected.contains(&outcome), "{name}: {outcome}, not {expected:?}");
    }
}

/// What a jailed process without seccomp gets to hear when it reaches for what belongs to this one.
fn reach_outside(fixture: &Fixture) -> String {
    use std::os::linux::net::SocketAddrExt;
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("hacher-jail-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _unix = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let (port, pid) = (
        tcp.local_addr().unwrap().port().to_string(),
        std::process::id().to_string(),
    );
    let (text, exit) = fixture.run(Role::Function, &["outside", &pid, &port, &name], &[]);
    println!("{text}");
    assert_eq!(exit, Exit::Code(0), "{text}");
    text
}

fn without_seccomp_the_other_layers_refuse() {
    let mut fixture = Fixture::new();
    if !fixture.has(&Layer::ALL) {
        return;
    }
    fixture.layers = fixture.layers.without(Layer::Seccomp, "taken away by a test");
    let text = reach_outside(&fixture);
    let outcomes = outcomes(&text);
    assert_eq!(outcomes.len(), 13);
    for (name, outcome) in outcomes {
        assert_ne!(outcome, "ok", "{name}");
    }
}

fn without_views_of_its_own_landlock_refuses() {
    let mut fixture = Fixture::new();
    if !fixture.has(&[Layer::Landlock]) {
        return;
    }
    for layer in [
        Layer::MountNamespace,
        Layer::NetNamespace,
        Layer::PidNamespace,
        Layer::Seccomp,
    ] {
        fixture.layers = fixture.layers.without(layer, "taken away by a test");
    }
    let text = reach_outside(&fixture);
    let outcomes = outcomes(&text);
    for name in ["open /etc/os-release", "open /proc", "list /", "create /new"] {
        assert_eq!(outcomes[name], "EACCES", "{name}");
    }
    if fixture.layers.landlock_abi() < 6 {
        skipped!("this Landlock has no rules for all of TCP, signals and abstract sockets");
        return;
    }
    assert_eq!(outcomes["connect by TCP"], "EACCES");
    for name in [
        "connect to an abstract socket",
        "signal the monitor",
        "trace the monitor",
    ] {
        assert_eq!(outcomes[name], "EPERM", "{name}");
    }
}

fn without_namespaces_the_rest_holds() {
    let mut fixture = Fixture::new();
    if !fixture.has(&[Layer::Landlock, Layer::Seccomp]) {
        return;
    }
    fixture.layers = fixture
        .layers
        .without(Layer::UserNamespace, "taken away by a test");
    if is_root() && fixture.has(&[Layer::MountNamespace]) {
        // Root can have the others all the same, and changes to a user without rights.
        check_refusals(&fixture);
    }
    for layer in Layer::ALL
        .into_iter()
        .filter(|layer| layer.to_string().ends_with("namespace"))
    {
        fixture.layers = fixture.layers.without(layer, "taken away by a test");
    }
    assert!(fixture.layers.missing().len() >= 6);
    let child = fixture
        .start(Role::Function, &["fail"], &[], Output::Null)
        .unwrap();
    assert_eq!(child.layers_missing(), fixture.layers.missing());
    drop(child);
    assert_eq!(fixture.run(Role::Function, &["fail"], &[]).1, Exit::Code(7));
    let child = sleeper(&fixture);
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    for set in ["CapPrm:\t", "CapEff:\t", "CapAmb:\t"] {
        assert!(status.contains(&format!("{set}0000000000000000")), "{status}");
    }
    assert!(!is_root() || !status.contains("Uid:\t0"), "{status}");
}

/// A fixture with this executable and a file that is a program among its files, where functions can have
/// programs here.
fn with_programs() -> Option<Fixture> {
    use hacher_trustlet_host::process::jail::programs_missing;
    let mut fixture = Fixture::new();
    if let Some(missing) = programs_missing(&fixture.layers) {
        skipped!("{missing}");
        return None;
    }
    let mut given = Files::default();
    let this = std::fs::File::open("/proc/self/exe").unwrap();
    let small = tempfile_with_mode(0o755, b"#!/none\n");
    for (place, file) in [(program::PROGRAM, &this), ("/opt/small", &small)] {
        let added = fixture
            .files
            .add_file(&mut given, Path::new(place), file.as_fd(), 1 << 30);
        assert!(added.unwrap().executable, "{place}");
    }
    fixture.given = Some(given);
    Some(fixture)
}

fn tempfile_with_mode(mode: u32, bytes: &[u8]) -> std::fs::File {
    let mut file =
        std::fs::File::from(rustix::fs::memfd_create("file", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    file.write_all(bytes).unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode);
    file.set_permissions(mode).unwrap();
    file
}

fn a_function_with_programs_can_do_its_work_and_no_more() {
    let Some(fixture) = with_programs() else { return };
    for jit in [false, true] {
        let (text, exit) = fixture.run(Role::Program { jit }, &["programs"], &[]);
        println!("{text}");
        assert_eq!(exit, Exit::Code(0), "{text}");
        let outcomes = outcomes(&text);
        assert_eq!(outcomes.len(), 38);
        for (name, outcome) in outcomes {
            let expected: &[&str] = match name {
                "start a program"
                | "read what it says"
                | "kill it"
                | "write a program"
                | "link"
                | "connect to 127.0.0.1"
                | "connect to [::1]"
                | "UDP"
                | "a socket in the scratch directory"
                | "map a library's code"
                | "take its right to run"
                | "non-blocking mode"
                | "blocking mode"
                | "the same by ioctl"
                | "lock" => &["ok"],
                "start it" => &["EACCES"],
                "connect to the internet" => &["ENETUNREACH"],
                "connect to a port of the machine" => &["ECONNREFUSED"],
                "map code" | "map writable code" | "make data code" | "map it writable" | "map it shared"
                | "give it back"
                    if jit =>
                {
                    &["ok"]
                }
                _ => &["EPERM"],
            };
            assert!(
                expected.contains(&outcome),
                "jit {jit}, {name}: {outcome}, not {expected:?}"
            );
        }
    }
}

fn a_function_with_programs_is_refused_everything_else() {
    let Some(fixture) = with_programs() else { return };
    for jit in [false, true] {
        check_refusals_of(&fixture, Role::Program { jit });
    }
}

fn programs_make_sockets_of_the_kinds_that_exist_and_no_others() {
    const KINDS: [&str; 11] = [
        "unix stream default",
        "unix datagram default",
        "unix seqpacket default",
        "IPv4 stream default",
        "IPv4 stream TCP",
        "IPv4 datagram default",
        "IPv4 datagram UDP",
        "IPv6 stream default",
        "IPv6 stream TCP",
        "IPv6 datagram default",
        "IPv6 datagram UDP",
    ];
    let Some(fixture) = with_programs() else { return };
    let (text, exit) = fixture.run(Role::Program { jit: false }, &["sockets"], &[]);
    assert_eq!(exit, Exit::Code(0), "{text}");
    let outcomes = outcomes(&text);
    assert_eq!(outcomes.len(), 3 * 6 * 12 * 2);
    for (name, outcome) in outcomes {
        let kind = name.trim_end_matches(", with flags");
        let expected = if KINDS.contains(&kind) { "ok" } else { "EPERM" };
        assert_eq!(outcome, expected, "{name}");
    }
}

fn a_program_has_no_way_to_the_function_that_started_it() {
    let Some(fixture) = with_programs() else { return };
    let (text, exit) = fixture.run(Role::Program { jit: true }, &["start", "kin"], &[]);
    println!("{text}");
    assert_eq!(exit, Exit::Code(0), "{text}");
    assert!(text.contains("process 2\n"), "it went through everything: {text}");
    let outcomes = outcomes(&text);
    assert_eq!(outcomes.len(), 15, "{text}");
    for (name, outcome) in outcomes {
        let expected = match name {
            // The first process of a namespace takes no such signal from within, and nobody else is there.
            "signal the function" | "a descriptor of it" => "ok",
            "signal everybody" => "ESRCH",
            "open its memory" => "ENOENT",
            _ => "EPERM",
        };
        assert_eq!(outcome, expected, "{name}");
    }
}

fn refused_calls_of_programs_are_told_by_number() {
    let Some(fixture) = with_programs() else { return };
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let role = Role::Program { jit: false };
    let mut child = fixture
        .start(role, &["start", "kin"], &[], Output::Fd(write.as_fd()))
        .unwrap();
    drop(write);
    let (_, refused) = hear(&child, &read);
    assert_eq!(child.wait().unwrap(), Exit::Code(0));
    for number in [
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_setsid,
        libc::SYS_pidfd_getfd,
    ] {
        let count = refused
            .iter()
            .filter(|refused| **refused == number as u64)
            .count();
        assert_eq!(count, 1, "{number} in {refused:?}");
    }
    assert!(!refused.contains(&(libc::SYS_kill as u64)));
    // With the last process it is over, and nobody waits.
    assert_eq!(child.refusals().unwrap().refuse_next(), Err(Errno::SRCH));
}

fn programs_end_with_the_function_that_started_them() {
    let Some(fixture) = with_programs() else { return };
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let role = Role::Program { jit: false };
    let mut child = fixture
        .start(role, &["orphan"], &[], Output::Fd(write.as_fd()))
        .unwrap();
    drop(write);
    let mut line = [0; 8];
    let mut read = std::fs::File::from(read);
    read.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"waiting\n");
    let children = || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.pid())).unwrap();
    let program: i32 = children().trim().parse().unwrap();
    assert!(Path::new(&format!("/proc/{program}")).exists());
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Signal(libc::SIGKILL));
    // Reaping the first process of a pid namespace waits for all others.
    assert!(!Path::new(&format!("/proc/{program}")).exists());
    assert_eq!(read.read(&mut line).unwrap(), 0, "nobody is left who could write");
}

fn programs_need_every_layer_that_bounds_them() {
    let Some(mut fixture) = with_programs() else {
        return;
    };
    let layers = fixture.layers.clone();
    for layer in [
        Layer::UserNamespace,
        Layer::MountNamespace,
        Layer::PidNamespace,
        Layer::NetNamespace,
        Layer::IpcNamespace,
        Layer::Seccomp,
        Layer::NonDumpable,
        Layer::ResourceLimits,
    ] {
        fixture.layers = layers.clone().without(layer, "taken away by a test");
        let refused = fixture.start(Role::Program { jit: false }, &["fail"], &[], Output::Null);
        assert!(matches!(refused, Err(SpawnError::Request { .. })), "{layer}");
    }
}

fn after_lockdown_no_data_becomes_code() {
    let fixture = Fixture::new();
    if !fixture.has(&[Layer::Seccomp]) {
        return;
    }
    let (ours, theirs) = channel();
    rustix::io::write(&ours, &lockdown_program(Role::Gateway).unwrap()).unwrap();
    let (text, exit) = fixture.run(Role::Function, &["lockdown"], &[(theirs.as_fd(), SOCKET)]);
    println!("{text}");
    assert_eq!(exit, Exit::Code(0), "{text}");
    for (name, outcome) in outcomes(&text) {
        let expected = match name {
            "before" => "map code: ok",
            "install" | "name a thread" | "map data" => "ok",
            "thread" => "1048576",
            _ => "EPERM",
        };
        assert_eq!(outcome, expected, "{name}");
    }
}

fn limits_hold() {
    let fixture = Fixture::new();
    if !fixture.has(&[Layer::UserNamespace, Layer::MountNamespace, Layer::ResourceLimits]) {
        return;
    }
    let (text, exit) = fixture.run(Role::Function, &["exhaust"], &[]);
    println!("{text}");
    assert_eq!(exit, Exit::Code(0), "{text}");
    let expected = "all of the memory: ENOMEM\nallocate: ENOMEM\none large file: FileTooLarge\n\
                    a second one: StorageFull\ndescriptors: EMFILE\nthreads: 4, then EAGAIN\n";
    assert_eq!(text, expected);
}

fn servers_answer_on_the_socket_they_are_given() {
    let fixture = Fixture::new();
    if !fixture.has(&[Layer::MountNamespace, Layer::Seccomp]) {
        return;
    }
    for role in [Role::Gateway, Role::Daemon] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"ping").unwrap();
        let (text, exit) = fixture.run(role, &["serve"], &[(listener.as_fd(), SOCKET)]);
        assert_eq!(exit, Exit::Code(0), "{role:?} {text}");
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, "ping");
        for (name, outcome) in outcomes(&text) {
            let expected = match name {
                "eventfd" | "set non-blocking mode" => "ok",
                "open /etc/os-release" => "ENOENT",
                _ => "EPERM",
            };
            assert_eq!(outcome, expected, "{role:?}: {name}");
        }
    }
}

/// A jailed process that sleeps, once it runs.
fn sleeper(fixture: &Fixture) -> Child {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let child = fixture.start(Role::Function, &["wait"], &[], Output::Fd(write.as_fd()));
    drop(write);
    let mut line = [0; 8];
    std::fs::File::from(read).read_exact(&mut line).unwrap();
    assert_eq!(&line, b"waiting\n");
    child.unwrap()
}

/// What somebody else gets to see of process `pid`: the names of what is open to them.
fn look_inside(pid: i32) -> Vec<&'static str> {
    let mut seen = Vec::new();
    for name in ["mem", "maps", "environ", "auxv", "stack", "syscall"] {
        let opened = std::fs::File::open(format!("/proc/{pid}/{name}"));
        // Some can be opened and refuse to be read.
        if opened.is_ok_and(|mut file| name == "mem" || file.read(&mut [0; 64]).is_ok_and(|count| count > 0))
        {
            seen.push(name);
        }
    }
    for name in ["fd", "map_files"] {
        if std::fs::read_dir(format!("/proc/{pid}/{name}")).is_ok() {
            seen.push(name);
        }
    }
    for name in ["exe", "root", "cwd", "ns/user"] {
        if std::fs::read_link(format!("/proc/{pid}/{name}")).is_ok() {
            seen.push(name);
        }
    }
    // PTRACE_SEIZE does not stop the process.
    const SEIZE: usize = 0x4206;
    if program::call(libc::SYS_ptrace, [SEIZE, pid as usize, 0, 0, 0, 0]).is_ok() {
        seen.push("ptrace");
    }
    if program::call(libc::SYS_pidfd_getfd, [pid as usize, 0, 0, 0, 0, 0]).is_ok() {
        seen.push("descriptor");
    }
    seen
}

/// Runs `look_inside` as user `user` and, if asked, in a user namespace of its own.
fn seen_by(user: u32, own_namespace: bool, pid: i32) -> String {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    // SAFETY: this process has one thread, so the child may go on as it likes.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let report = || -> Result<Vec<&'static str>, Errno> {
            if is_root() {
                let (user, group) = (
                    rustix::process::Uid::from_raw(user),
                    rustix::process::Gid::from_raw(user),
                );
                rustix::thread::set_thread_groups(&[])?;
                rustix::thread::set_thread_res_gid(group, group, group)?;
                rustix::thread::set_thread_res_uid(user, user, user)?;
            }
            if own_namespace {
                program::call(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0])?;
            }
            Ok(look_inside(pid))
        };
        let text = match report() {
            Ok(seen) => seen.join(" "),
            Err(errno) => format!("failed: {errno}"),
        };
        let _ = rustix::io::write(&write, text.as_bytes());
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    drop(write);
    let mut text = String::new();
    std::fs::File::from(read).read_to_string(&mut text).unwrap();
    waitid(
        WaitId::Pid(rustix::process::Pid::from_raw(child).unwrap()),
        WaitIdOptions::EXITED,
    )
    .unwrap();
    text
}

fn another_process_of_the_same_user_cannot_look_inside() {
    let fixture = Fixture::new();
    if !fixture.has(&[Layer::NonDumpable, Layer::UserNamespace]) {
        return;
    }
    let child = sleeper(&fixture);
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let user: u32 = field("Uid:").parse().unwrap();
    println!(
        "user {user} on the host, capabilities {}, bounding {}",
        field("CapEff:"),
        field("CapBnd:")
    );
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(user == rustix::process::getuid().as_raw(), !is_root());

    // As the daemon or another trustlet would be: the same user, in a user namespace of its own.
    assert_eq!(seen_by(user, true, child.pid()), "");
    let plain = seen_by(user, false, child.pid());
    let groups = rustix::process::getgroups().unwrap();
    if is_root() || groups.iter().any(|&group| group != rustix::process::getegid()) {
        assert_eq!(plain, "");
    } else {
        // The user who runs the monitor owns its namespaces; see `unmapped_group` in the image.
        println!("a process of the monitor's own user, outside of any jail, sees: {plain}");
    }
    // The search itself works: it finds everything in a process that is not protected.
    let mut open = Command::new("sleep").arg("60").uid(user).gid(user).spawn();
    if let Ok(open) = &mut open {
        std::thread::sleep(Duration::from_millis(50));
        let seen = seen_by(user, false, i32::try_from(open.id()).unwrap());
        open.kill().unwrap();
        open.wait().unwrap();
        assert!(
            seen.starts_with("mem maps environ") && seen.contains("fd"),
            "{seen}"
        );
    }
}

/// As a process of its own: starts a sleeper, says who it is, and waits to be killed.
fn monitor() {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).unwrap();
    let fixture = Fixture::new();
    let child = sleeper(&fixture);
    println!("{}", child.pid());
    std::thread::sleep(Duration::from_secs(60));
}

fn a_killed_monitor_takes_its_processes_along() {
    let fixture = Fixture::new();
    if !fixture.has(&[Layer::ParentDeath]) {
        return;
    }
    let mut monitor = Command::new("/proc/self/exe")
        .arg0(MONITOR)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(monitor.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let pid = rustix::process::Pid::from_raw(line.trim().parse().unwrap()).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    let mut ended = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec {
        tv_sec: 5,
        tv_nsec: 0,
    };
    let outlived = rustix::event::poll(&mut ended, Some(&limit)).unwrap() == 0;
    if outlived {
        rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL).unwrap();
    }
    assert!(!outlived, "process {pid:?} outlived its monitor");
}

fn an_ending_is_reported_as_it_was() {
    let fixture = Fixture::new();
    assert_eq!(fixture.run(Role::Function, &["fail"], &[]).1, Exit::Code(7));
    // The first process of a pid namespace cannot be ended by its own SIGABRT; abort() then ends it
    // otherwise.
    assert!(matches!(
        fixture.run(Role::Function, &["abort"], &[]).1,
        Exit::Signal(_)
    ));
    let mut child = sleeper(&fixture);
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Signal(libc::SIGKILL));
    assert_eq!(child.wait().unwrap(), Exit::Signal(libc::SIGKILL));
    child.kill().unwrap();
}

/// A library of the fixture's own, at a path that is its alone.
fn add_library(fixture: &mut Fixture, bytes: &[u8]) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("hacher-jail-{}.so", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let library = fixture.files.library(&path, file.as_fd(), false).unwrap();
    fixture.libraries.push(library);
    path
}

fn a_library_outlives_its_file() {
    let mut fixture = Fixture::new();
    if !fixture.has(&[Layer::MountNamespace]) {
        return;
    }
    let path = add_library(&mut fixture, b"measured");
    let read = |fixture: &Fixture| {
        fixture
            .run(Role::Function, &["read", path.to_str().unwrap()], &[])
            .0
    };
    assert_eq!(read(&fixture), "measured\n");
    std::fs::write(&path, b"otherwise").unwrap();
    assert_eq!(read(&fixture), "measured\n");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(read(&fixture), "measured\n");
}

fn a_library_that_cannot_be_shared_is_copied() {
    let mut fixture = Fixture::new();
    if !fixture.has(&[Layer::MountNamespace]) {
        return;
    }
    let mut files = MeasuredFiles::new(Shelf::unshared("taken away by a test"));
    fixture.libraries = files.own_libraries().unwrap();
    fixture.files = files;
    let path = add_library(&mut fixture, b"measured");
    std::fs::remove_file(&path).unwrap();
    let (text, exit) = fixture.run(Role::Function, &["read", path.to_str().unwrap()], &[]);
    assert_eq!((text.as_str(), exit), ("measured\n", Exit::Code(0)));
    if fixture.has(&[Layer::Seccomp, Layer::Landlock]) {
        check_refusals(&fixture);
    }
}

/// A folder with a file, a file in a folder below and a link to it; and a file that may be executed alone.
fn add_files(fixture: &mut Fixture) {
    let path = std::env::temp_dir().join(format!("hacher-jail-{}.txt", std::process::id()));
    std::fs::write(&path, "measured").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut given = Files::default();
    let shelf = &mut fixture.files;
    for folder in ["/opt/app", "/opt/app/below"] {
        shelf.add_folder(&mut given, Path::new(folder)).unwrap();
    }
    for place in ["/opt/app/file", "/opt/app/below/file", "/usr/share/alone"] {
        let added = shelf.add_file(&mut given, Path::new(place), file.as_fd(), 1 << 20);
        assert_eq!(added.unwrap().len_bytes, 8);
    }
    shelf
        .add_link(&mut given, Path::new("/opt/app/link"), "below/file")
        .unwrap();
    fixture.given = Some(given);
}

fn check_files(fixture: &Fixture) {
    for place in ["/opt/app/file", "/opt/app/link", "/usr/share/alone"] {
        let (text, exit) = fixture.run(Role::Function, &["read", place], &[]);
        assert_eq!((text.as_str(), exit), ("measured\n", Exit::Code(0)), "{place}");
    }
    let (text, exit) = fixture.run(Role::Function, &["change", "/opt/app"], &[]);
    assert_eq!((text.as_str(), exit), ("nothing\n", Exit::Code(0)));
    // What was refused before is refused still.
    if fixture.has(&[Layer::Seccomp, Layer::Landlock]) {
        check_refusals(fixture);
    }
}

fn files_are_found_at_their_places_and_cannot_be_changed() {
    let mut fixture = Fixture::new();
    if !fixture.has(&[Layer::MountNamespace]) {
        return;
    }
    add_files(&mut fixture);
    check_files(&fixture);
    // By the mount alone.
    if fixture.has(&[Layer::Seccomp]) {
        fixture.layers = fixture.layers.without(Layer::Seccomp, "taken away by a test");
        fixture.layers = fixture.layers.without(Layer::Landlock, "taken away by a test");
        let (text, exit) = fixture.run(Role::Function, &["change", "/opt/app"], &[]);
        assert_eq!((text.as_str(), exit), ("nothing\n", Exit::Code(0)));
    }
}

fn files_that_cannot_be_shared_are_copied() {
    let mut fixture = Fixture::new();
    if !fixture.has(&[Layer::MountNamespace]) {
        return;
    }
    fixture.files = MeasuredFiles::new(Shelf::unshared("taken away by a test"));
    add_files(&mut fixture);
    check_files(&fixture);
}

/// Paths of the table under "Files" of the book, and what each is for.
fn documented_paths() -> BTreeMap<String, String> {
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/functions.md");
    let text = std::fs::read_to_string(book).unwrap();
    let (_, section) = text.split_once("\n## Files\n").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let mut paths = BTreeMap::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        for path in cells[0].split('`').skip(1).step_by(2) {
            paths.extend(
                path.starts_with('/')
                    .then(|| (path.to_owned(), cells[2].to_owned())),
            );
        }
    }
    // There if libraries lie outside of the loader's own folders.
    paths.remove("/image/lib").unwrap();
    paths
}

fn a_function_finds_what_the_book_says_and_nothing_else() {
    let mut fixture = Fixture::new();
    if !fixture.has(&[Layer::MountNamespace, Layer::Landlock, Layer::Seccomp]) {
        return;
    }
    let mut documented = documented_paths();
    if !Path::new("/usr/share/zoneinfo/Etc/UTC").exists() {
        skipped!("this machine has no time zones");
        documented.retain(|path, _| path != "/usr/share/zoneinfo" && path != "/etc/localtime");
    }
    let paths: Vec<&str> = documented.keys().map(String::as_str).collect();
    let args = [&["use"], &paths[..]].concat();
    let (text, exit) = fixture.run(Role::Function, &args, &[]);
    assert_eq!(exit, Exit::Code(0), "{text}");
    let expected: BTreeMap<&str, &str> = documented.iter().map(|(path, use_)| (&**path, &**use_)).collect();
    assert_eq!(outcomes(&text), expected);
    // Nobody may list the root, but for where Landlock is away. Then this device is, too.
    fixture.layers = fixture.layers.without(Layer::Landlock, "taken away by a test");
    let (text, exit) = fixture.run(Role::Function, &["find"], &[]);
    assert_eq!(exit, Exit::Code(0), "{text}");
    let libraries = fixture
        .libraries
        .iter()
        .map(|library| library.path().to_str().unwrap());
    let mut found: BTreeSet<&str> = text.lines().collect();
    libraries.for_each(|library| assert!(found.remove(library), "{library}"));
    let mut expected: BTreeSet<&str> = paths
        .iter()
        .copied()
        .filter(|path| *path != "/dev/zero")
        .collect();
    if !documented.contains_key("/etc/localtime") {
        expected.insert("/etc/localtime");
    }
    assert_eq!(found, expected);
}

fn a_function_may_bring_its_own_files_of_etc() {
    let mut fixture = Fixture::new();
    if !fixture.has(&[Layer::MountNamespace]) {
        return;
    }
    let read = |fixture: &Fixture, path: &str| fixture.run(Role::Function, &["read", path], &[]).0;
    assert!(read(&fixture, "/etc/passwd").contains("function:x:1000:1000:"));
    let mut file =
        std::fs::File::from(rustix::fs::memfd_create("own", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    file.write_all(b"its own").unwrap();
    let mut given = Files::default();
    let added = fixture
        .files
        .add_file(&mut given, Path::new("/etc/passwd"), file.as_fd(), 1 << 20);
    assert_eq!(added.unwrap().len_bytes, 7);
    fixture.given = Some(given);
    assert_eq!(read(&fixture, "/etc/passwd"), "its own\n");
    assert!(read(&fixture, "/etc/group").contains("function:x:1000:"));
}

fn without_mounts_a_changed_library_is_refused() {
    let mut fixture = Fixture::new();
    fixture.layers = fixture
        .layers
        .without(Layer::MountNamespace, "taken away by a test");
    let path = add_library(&mut fixture, b"measured");
    std::fs::write(&path, b"otherwise").unwrap();
    let start = |fixture: &Fixture| fixture.start(Role::Function, &["fail"], &[], Output::Null);
    let refused = start(&fixture).unwrap_err();
    let names = matches!(&refused, SpawnError::LibraryChanged { path: named, .. } if *named == path);
    assert!(names, "{refused}");
    std::fs::remove_file(&path).unwrap();
    let refused = start(&fixture).unwrap_err();
    assert!(matches!(refused, SpawnError::LibraryChanged { .. }), "{refused}");
}

fn without_mounts_nobody_changes_files_by_their_name_or_owner() {
    use std::os::unix::fs::MetadataExt;
    let mut fixture = Fixture::new();
    // Where the machine has mount namespaces, they are left away.
    fixture.layers = fixture
        .layers
        .without(Layer::MountNamespace, "taken away by a test");
    if !fixture.has(&[Layer::Seccomp]) {
        return;
    }
    let path = std::env::temp_dir().join(format!("hacher-jail-{}.file", std::process::id()));
    std::fs::write(&path, b"here").unwrap();
    let state =
        || std::fs::metadata(&path).map(|file| (file.mode(), file.mtime(), file.mtime_nsec(), file.len()));
    let before = state().unwrap();
    let (text, exit) = fixture.run(Role::Function, &["files", path.to_str().unwrap()], &[]);
    assert_eq!(exit, Exit::Code(0), "{text}");
    let outcomes = outcomes(&text);
    assert!(outcomes.len() >= 7, "{text}");
    for (call, outcome) in outcomes {
        assert_eq!(outcome, "EPERM", "{call}");
    }
    assert_eq!(state().unwrap(), before);
    std::fs::remove_file(&path).unwrap();
}

fn a_failed_start_names_its_step_and_leaves_nothing() {
    let state = || {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut open = Vec::new();
        for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
            open.push(std::fs::read_link(entry.unwrap().path()).unwrap_or_default());
        }
        open.sort();
        (mounts, open)
    };
    let before = state();
    let null = Output::Null;
    let mut fixture = Fixture::new();
    {
        let inside = [(
            std::io::stdin().as_fd().try_clone_to_owned().unwrap(),
            OPEN_FILES as i32,
        )];
        let inherit = inside.each_ref().map(|(fd, number)| (fd.as_fd(), *number));
        let refused = fixture
            .start(Role::Function, &["fail"], &inherit, null)
            .unwrap_err();
        assert!(matches!(refused, SpawnError::Request { .. }), "{refused}");
    }
    // Not a program.
    let text = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let image = std::mem::replace(
        &mut fixture.image,
        Image::load("text", text.as_fd(), 1 << 20).unwrap(),
    );
    let refused = fixture.start(Role::Function, &["fail"], &[], null).unwrap_err();
    assert!(
        matches!(
            refused,
            SpawnError::Step {
                step: Step::Execute,
                ..
            }
        ),
        "{refused}"
    );
    println!("{refused}");
    fixture.image = image;
    drop((fixture.run(Role::Function, &["fail"], &[]), text));
    drop(fixture);
    assert_eq!(
        waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG).unwrap_err(),
        Errno::CHILD
    );
    assert_eq!(state(), before);
}

fn the_cost_of_a_start() {
    let fixture = Fixture::new();
    let mut starts = Vec::new();
    let mut lives = Vec::new();
    for _ in 0..20 {
        let begin = Instant::now();
        let mut child = fixture
            .start(Role::Function, &["fail"], &[], Output::Null)
            .unwrap();
        starts.push(begin.elapsed());
        child.wait().unwrap();
        lives.push(begin.elapsed());
    }
    starts.sort();
    lives.sort();
    println!(
        "start to exec {:?}, start to end {:?} (median of 20)",
        starts[10], lives[10]
    );
}
