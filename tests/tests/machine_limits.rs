//! A machine with little to give: a service works with what is there, or says in one message what it needs
//! and what the limit is. Either way it ends when asked to, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
#![allow(unsafe_code, reason = "limits are set between fork and exec")]

use hacher_fabric::http::Connection;
use hacher_skipped::skipped;
use hacher_tests::{executable, function};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, getuid, kill_process, setrlimit, wait,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// To detect what hangs: far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// A start that has come to no end after this long, ready or refused, hangs: it takes a second or two.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// A user that nobody has, not even another run of these tests, so that nobody else's processes count.
fn nobody_elses() -> u32 {
    1_414_000_000 + std::process::id()
}

/// One test at a time: what is left behind becomes a child of this process, and is to be told from what
/// belongs to another test.
static ALONE: Mutex<()> = Mutex::new(());

/// A machine that is as it is but for some limits.
struct Machine {
    limits: Vec<(Resource, u64)>,
    /// A control group that processes are started in.
    group: Option<ControlGroup>,
    /// Another user than this process's.
    user: Option<u32>,
    folder: TempDir,
    /// What lies in folders for temporary files besides, and was there before.
    before: BTreeSet<PathBuf>,
    _alone: MutexGuard<'static, ()>,
}

/// How `serve` went.
enum Started {
    Ready(Child, SocketAddr),
    Failed(ExitStatus),
}

impl Machine {
    fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        rustix::process::set_child_subreaper(Pid::from_raw(1)).unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let chain = format!(
            "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n{}",
            function("a", "echo", "memory = \"16MiB\"\noutbox = \"1MiB\"\n")
        );
        let chain = format!("{chain}[ingress]\nmax_body = \"1MiB\"\n");
        std::fs::write(folder.path().join("chain.toml"), chain).unwrap();
        // For whoever makes temporary files.
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        std::fs::set_permissions(&temporary, Permissions::from_mode(0o1777)).unwrap();
        Self {
            limits: Vec::new(),
            group: None,
            user: None,
            folder,
            before: shared_memory(),
            _alone: alone,
        }
    }

    fn limit(&mut self, resource: Resource, limit: u64) -> &mut Self {
        self.limits = vec![(resource, limit)];
        self
    }

    fn chain(&self) -> PathBuf {
        self.folder.path().join("chain.toml")
    }

    /// The command under these limits; what it says on standard error goes to a file.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(executable("fabric-under-test"));
        command.args(arguments).stdin(Stdio::null());
        command.env("TMPDIR", self.folder.path().join("tmp"));
        command.stderr(std::fs::File::create(self.folder.path().join("messages")).unwrap());
        let limits = self.limits.clone();
        let user = self.user;
        let group = self.group.as_ref().map(ControlGroup::entrance);
        // SAFETY: between fork and exec only system calls are made, on values made before.
        unsafe {
            command.pre_exec(move || {
                if let Some(group) = &group {
                    let file =
                        rustix::fs::open(group, rustix::fs::OFlags::WRONLY, rustix::fs::Mode::empty())?;
                    // Whoever writes this goes there itself.
                    rustix::io::write(file, b"0")?;
                }
                if let Some(user) = user {
                    let (uid, gid) = (
                        rustix::process::Uid::from_raw(user),
                        rustix::process::Gid::from_raw(user),
                    );
                    rustix::thread::set_thread_groups(&[])?;
                    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
                    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
                }
                for (resource, limit) in &limits {
                    let limit = Rlimit {
                        current: Some(*limit),
                        maximum: Some(*limit),
                    };
                    setrlimit(*resource, limit)?;
                }
                Ok(())
            });
        }
        command
    }

    /// Whether its user can run what was built here.
    fn can_run(&self) -> bool {
        let runs = self.command(&["--version"]).stdout(Stdio::null()).status();
        runs.is_ok_and(|status| status.success())
    }

    fn messages(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("messages")).unwrap()
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let chain = self.chain();
        let any = "127.0.0.1:0";
        let arguments = [
            "serve",
            chain.to_str().unwrap(),
            "--listen",
            any,
            "--admin",
            any,
            "--format",
            "json",
            "--drain-delay",
            "0",
        ];
        self.command(&arguments).stdout(Stdio::piped()).spawn()
    }

    /// Serves the chain, if it can be.
    fn serve(&self) -> Started {
        let mut child = match self.spawn() {
            Ok(child) => child,
            // The limit does not even let the program be executed.
            Err(error) => panic!("{:?}: {error}", self.limits),
        };
        let out = child.stdout.take().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let end = Instant::now() + START_PATIENCE;
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let line: Value = serde_json::from_str(&line).unwrap_or_default();
                    if line["event"] == "ready" {
                        return Started::Ready(child, line["listen"].as_str().unwrap().parse().unwrap());
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    return Started::Failed(ended(&mut child));
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    panic!("{:?}: neither ready nor failed; {}", self.limits, self.messages())
                }
            }
        }
    }

    /// Starts the service, uses and stops it; or sees that it says what is short. Whether it was ready.
    fn try_to_serve(&self, words: &[&str]) -> bool {
        let is_ready = match self.serve() {
            Started::Ready(mut child, gateway) => {
                let runtime = hacher_tests::runtime();
                let reply = runtime.block_on(async {
                    let mut connection = Connection::open(gateway).await.unwrap();
                    connection
                        .send(hyper::Method::POST, "/chains/t", None, "hello".into())
                        .await
                        .unwrap()
                });
                assert_eq!((reply.status.as_u16(), reply.body.as_ref()), (200, &b"hello"[..]));
                stop(&child);
                let status = ended(&mut child);
                assert!(
                    status.success(),
                    "{:?}: {status}; {}",
                    self.limits,
                    self.messages()
                );
                true
            }
            Started::Failed(status) => {
                let messages = self.messages();
                assert!(!status.success(), "{:?}", self.limits);
                let errors = messages.lines().filter(|line| line.contains("error:")).count();
                assert_eq!(errors, 1, "{:?}: {status}; {messages}", self.limits);
                for word in words {
                    assert!(
                        messages.contains(word),
                        "{:?}: no `{word}` in: {messages}",
                        self.limits
                    );
                }
                false
            }
        };
        self.nothing_is_left();
        is_ready
    }

    /// Whether `doctor` says that a service can start; it ends with an error if not.
    fn doctor(&self) -> bool {
        let chain = self.chain();
        let output = self
            .command(&["doctor", chain.to_str().unwrap(), "--format", "json"])
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let findings = said["findings"].as_array().cloned().unwrap_or_default();
        let is_fine = !findings.is_empty() && findings.iter().all(|finding| finding["status"] != "too low");
        assert_eq!(
            is_fine,
            output.status.success(),
            "{:?}: {}",
            self.limits,
            self.messages()
        );
        self.nothing_is_left();
        is_fine
    }

    /// Ends a service at its very start.
    fn stop_at_once(&self, after: Duration) {
        let mut child = self.spawn().unwrap();
        std::thread::sleep(after);
        stop(&child);
        let status = ended(&mut child);
        // A signal before the program could take any ends it as signals do.
        let is_ours = status.code().is_some() || status.signal() == Some(Signal::TERM.as_raw());
        assert!(is_ours, "{after:?}: {status}; {}", self.messages());
        self.nothing_is_left();
    }

    /// Every process of a tree whose first one has ended becomes a child of this process, and ends; and no
    /// file is left in memory, nor among temporary ones.
    fn nothing_is_left(&self) {
        self.no_process_is_left();
        let temporary = std::fs::read_dir(self.folder.path().join("tmp")).unwrap();
        assert_eq!(
            temporary.count(),
            0,
            "{:?}: a temporary file is left",
            self.limits
        );
        // Other programs of the machine have theirs, which come and go.
        let end = Instant::now() + PATIENCE;
        while let Some(left) = shared_memory().difference(&self.before).next() {
            assert!(
                Instant::now() < end,
                "{:?}: {} is left",
                self.limits,
                left.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn no_process_is_left(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            match wait(WaitOptions::NOHANG) {
                Err(_) => return,
                Ok(Some(_)) => {}
                Ok(None) => {
                    assert!(Instant::now() < end, "{:?}: a process is left", self.limits);
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }
}

/// What lies in `/dev/shm`, where shared memory has names.
fn shared_memory() -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn stop(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

fn ended(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < end, "the monitor does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A control group of this test's own, with a limit; gone when dropped, and it must be empty then.
struct ControlGroup {
    path: PathBuf,
    limit: &'static str,
}

impl ControlGroup {
    /// One for this controller, below the group that this process is in; `None` where that is not allowed.
    fn new(controller: &str, v1: &'static str, v2: &'static str) -> Option<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let name = format!("hacher-test-{}-{controller}", std::process::id());
        let mut candidates = Vec::new();
        for line in own.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
            if controllers.split(',').any(|found| found == controller) {
                candidates.push((PathBuf::from("/sys/fs/cgroup").join(controller).join(path), v1));
            } else if controllers.is_empty() {
                candidates.push((PathBuf::from("/sys/fs/cgroup").join(path), v2));
            }
        }
        candidates.into_iter().find_map(|(around, limit)| {
            let path = around.join(&name);
            std::fs::create_dir(&path).ok()?;
            let group = Self { path, limit };
            // Where the controller is not delegated, the file is not there.
            group.path.join(limit).exists().then_some(group)
        })
    }

    fn limit(&self, value: u64) {
        std::fs::write(self.path.join(self.limit), value.to_string()).unwrap();
    }

    /// What a process writes to that goes in.
    fn entrance(&self) -> std::ffi::CString {
        let path = self.path.join("cgroup.procs");
        std::ffi::CString::new(path.into_os_string().into_encoded_bytes()).unwrap()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let end = Instant::now() + PATIENCE;
        // The kernel takes a moment to forget processes that were waited for.
        while let Err(error) = std::fs::remove_dir(&self.path) {
            assert!(
                Instant::now() < end || std::thread::panicking(),
                "{}: {error}",
                self.path.display()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Serves and asks `doctor` under each limit: they agree, and what suffices once suffices from there on.
fn sweep(machine: &mut Machine, resource: Resource, limits: &[u64], words: &[&str]) -> Option<u64> {
    let mut suffices = None;
    let highest = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    for &limit in limits {
        if limit > highest {
            skipped!("{limit} is above this process's own hard limit of {highest}");
            continue;
        }
        machine.limit(resource, limit);
        let starts = machine.try_to_serve(words);
        let fine = machine.doctor();
        assert!(
            !fine || starts,
            "{limit}: doctor promises what does not start: {}",
            machine.messages()
        );
        assert!(
            starts || suffices.is_none(),
            "{limit} is too few, and {suffices:?} was not"
        );
        suffices = suffices.or(starts.then_some(limit));
    }
    suffices
}

#[test]
fn few_open_files_are_worked_with_or_named() {
    let mut machine = Machine::new();
    let words = ["needs ", "open files", "the limit is ", "ulimit -n"];
    let limits = [16, 32, 64, 128, 256, 1024, 4096, 16384];
    let suffices = sweep(&mut machine, Resource::Nofile, &limits, &words);
    println!("{suffices:?} open files suffice");
    assert!(suffices.is_some_and(|limit| limit <= 128), "{suffices:?}");
    assert!(machine.doctor(), "{}", machine.messages());
}

#[test]
fn short_files_in_memory_are_named_and_kill_nobody() {
    let mut machine = Machine::new();
    // The executable's own copy has to fit, which is long when built for debugging.
    let limits = [4096, 1 << 20, 2 << 30];
    let words = ["needs ", "the limit is ", "ulimit -f"];
    assert_eq!(
        sweep(&mut machine, Resource::Fsize, &limits, &words),
        Some(2 << 30)
    );
}

#[test]
fn little_address_space_and_little_private_memory_are_named() {
    let mut machine = Machine::new();
    // Below, the program itself cannot be loaded.
    let limits = [40, 64, 256, 2048].map(|mib: u64| mib << 20);
    let words = [
        "needs ",
        "of address space for its largest process, the limit is ",
        "ulimit -v",
    ];
    let suffices = sweep(&mut machine, Resource::As, &limits, &words);
    assert!(suffices.is_some(), "{}", machine.messages());
    let words = [
        "needs ",
        "of private memory for its largest process, the limit is ",
        "ulimit -d",
    ];
    let limits = [4, 16, 64, 2048].map(|mib: u64| mib << 20);
    let suffices = sweep(&mut machine, Resource::Data, &limits, &words);
    assert!(suffices.is_some(), "{}", machine.messages());
}

#[test]
fn a_service_without_queues_locks_or_signals_starts() {
    let mut machine = Machine::new();
    for resource in [
        Resource::Memlock,
        Resource::Msgqueue,
        Resource::Sigpending,
        Resource::Core,
    ] {
        machine.limit(resource, 0);
        assert!(machine.try_to_serve(&[]), "{}", machine.messages());
    }
}

#[test]
fn few_processes_are_worked_with_or_named_and_a_signal_ends_the_wait() {
    let mut machine = Machine::new();
    let used = if getuid().is_root() {
        machine.user = Some(nobody_elses());
        if !machine.can_run() {
            skipped!("another user cannot run what was built here");
            return;
        }
        0
    } else {
        processes_of_this_user()
    };
    let words = ["needs ", "processes", "the limit is ", "ulimit -u"];
    let limits = [1, 2, 3, 4, 5, 6, 10, 40].map(|more| used + more);
    let suffices = sweep(&mut machine, Resource::Nproc, &limits, &words);
    println!("{:?} processes suffice", suffices.map(|limit| limit - used));
    assert!(suffices.is_some(), "{}", machine.messages());
    for (limit, after) in [(1, 0), (2, 1), (3, 5), (4, 20), (5, 50), (10, 100)] {
        machine.limit(Resource::Nproc, used + limit);
        machine.stop_at_once(Duration::from_millis(after));
    }
}

/// Who is in a control group: this process's user, and where that is root another as well.
fn users() -> Vec<Option<u32>> {
    match getuid().is_root() {
        true => vec![None, Some(nobody_elses())],
        false => vec![None],
    }
}

/// Serves in a control group under each limit, as each user; what suffices.
fn sweep_group(machine: &mut Machine, limits: &[(u64, u64)], words: &[&str]) {
    for user in users() {
        machine.user = user;
        if !machine.can_run() {
            skipped!("another user cannot run what was built here");
            continue;
        }
        let mut suffices = None;
        for &(shown, limit) in limits {
            machine.group.as_ref().unwrap().limit(limit);
            let starts = machine.try_to_serve(words);
            assert!(
                starts || suffices.is_none(),
                "{shown} is too few, and {suffices:?} was not"
            );
            suffices = suffices.or(starts.then_some(shown));
        }
        println!("{suffices:?} suffice to {user:?}");
        assert!(suffices.is_some(), "{}", machine.messages());
    }
}

#[test]
fn few_processes_of_a_control_group_are_worked_with_or_named() {
    let mut machine = Machine::new();
    let Some(group) = ControlGroup::new("pids", "pids.max", "pids.max") else {
        skipped!("no control group with a limit on processes can be made here");
        return;
    };
    machine.group = Some(group);
    let limits = [1, 2, 3, 4, 5, 6, 8, 10, 16].map(|limit| (limit, limit));
    let words = ["needs ", "processes", "the limit is ", "pids.max of "];
    sweep_group(&mut machine, &limits, &words);
}

#[test]
fn little_memory_of_a_control_group_is_named() {
    let mut machine = Machine::new();
    let Some(group) = ControlGroup::new("memory", "memory.limit_in_bytes", "memory.max") else {
        skipped!("no control group with a limit on memory can be made here");
        return;
    };
    machine.group = Some(group);
    let limits = [8, 16, 32, 64, 2048].map(|mib| (mib, mib << 20));
    let words = ["needs ", "of memory, the limit is ", "MemoryMax= of systemd"];
    sweep_group(&mut machine, &limits, &words);
}

#[test]
fn a_signal_at_any_moment_of_the_start_ends_it() {
    let mut machine = Machine::new();
    let begun = Instant::now();
    assert!(machine.try_to_serve(&[]), "{}", machine.messages());
    let whole = begun.elapsed();
    for part in 0..16 {
        machine.stop_at_once(whole * part / 16);
    }
    // Where something is short, too, and the start is about to fail.
    for (resource, limit) in [
        (Resource::Nofile, 48),
        (Resource::Data, 16 << 20),
        (Resource::As, 256 << 20),
    ] {
        machine.limit(resource, limit);
        for part in 0..4 {
            machine.stop_at_once(whole * part / 16);
        }
    }
}

/// Threads included, as the kernel counts them.
fn processes_of_this_user() -> u64 {
    let user = getuid().as_raw().to_string();
    let statuses = std::fs::read_dir("/proc").unwrap().flatten();
    statuses
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok())
        .filter_map(|status| {
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                line.split_whitespace().next().map(str::to_owned)
            };
            (field("Uid:")? == user).then(|| field("Threads:")?.parse::<u64>().ok())?
        })
        .sum()
}

/// The whole range, one by one: minutes. `cargo test -p hacher-tests --test machine_limits -- --ignored
/// --nocapture`
#[test]
#[ignore = "takes minutes: the whole sweep, whose sample the other tests are"]
fn every_limit_from_one_up() {
    let mut machine = Machine::new();
    let open_files: Vec<u64> = (12..=80).collect();
    let memory: Vec<u64> = (24..=64).step_by(4).map(|mib| mib << 20).collect();
    for user in users() {
        machine.user = user;
        if !machine.can_run() {
            skipped!("another user cannot run what was built here");
            continue;
        }
        let words = ["needs ", "open files", "ulimit -n"];
        let suffices = sweep(&mut machine, Resource::Nofile, &open_files, &words);
        println!("{user:?}: {suffices:?} open files suffice");
        let words = ["needs ", "the limit is "];
        for (resource, name) in [
            (Resource::As, "address space"),
            (Resource::Data, "private memory"),
        ] {
            let suffices = sweep(&mut machine, resource, &memory, &words);
            let suffices = suffices.map(|bytes| bytes >> 20);
            println!("{user:?}: {suffices:?} MiB of {name} suffice");
        }
        // Root's are not counted; those of a user of this machine are, beside what else runs.
        if user.is_some() || !getuid().is_root() {
            let used = user.map_or_else(processes_of_this_user, |_| 0);
            let limits: Vec<u64> = (1..=40).map(|more| used + more).collect();
            let words = ["needs ", "processes", "ulimit -u"];
            let suffices = sweep(&mut machine, Resource::Nproc, &limits, &words);
            println!(
                "{user:?}: {:?} processes suffice",
                suffices.map(|limit| limit - used)
            );
        }
    }
}
