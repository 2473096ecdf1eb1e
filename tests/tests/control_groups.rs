//! Chains and instances of a service that has a control group of its own to divide. One test, for which its
//! process must be alone where it was started.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_skipped::skipped;
use hacher_tests::programs::PROGRAM;
use hacher_tests::{Service, executable, function, until};
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use rustix::fs::{XattrFlags, setxattr};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn chain(name: &str) -> String {
    format!(
        "chain = \"{name}\"\nversion = \"1\"\nflow = [\"ingress -> {name}f -> egress\"]\n{}",
        function(&format!("{name}f"), name, "instances = 2")
    )
}

/// A control group for one service, below that of this process, which moves to another one beside it: only a
/// group without processes can divide the processors between others.
struct Group {
    path: PathBuf,
    /// Where this process was.
    around: PathBuf,
    aside: PathBuf,
}

impl Group {
    /// Marked as systemd marks a group that it delegates. `Err` says why there can be none.
    fn make() -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let name = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let around = Path::new("/sys/fs/cgroup").join(name.ok_or("no control groups of version 2")?);
        let controllers = fs::read_to_string(around.join("cgroup.controllers")).unwrap_or_default();
        if !controllers.split_whitespace().any(|name| name == "cpu") {
            return Err(format!("{} does not have the cpu controller", around.display()));
        }
        let below = |name: &str| around.join(format!("hacher-test-{name}-{}", std::process::id()));
        let group = Self {
            path: below("service"),
            aside: below("aside"),
            around,
        };
        let made = fs::create_dir(&group.path)
            .and_then(|()| fs::create_dir(&group.aside))
            .and_then(|()| fs::write(group.aside.join("cgroup.procs"), std::process::id().to_string()))
            .and_then(|()| fs::write(group.around.join("cgroup.subtree_control"), "+cpu +memory +pids"))
            .and_then(|()| Ok(setxattr(&group.path, "user.delegate", b"1", XattrFlags::empty())?));
        match made {
            Ok(()) => Ok(group),
            Err(error) => Err(format!(
                "{} is not this process's to divide: {error}",
                group.around.display()
            )),
        }
    }

    /// What a file of a part holds.
    fn read(&self, part: &str, file: &str) -> String {
        fs::read_to_string(self.path.join(part).join(file)).unwrap_or_default()
    }

    /// The names of the processes in a part, sorted.
    fn names(&self, part: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .read(part, "cgroup.procs")
            .lines()
            // Not `comm`, in which older kernels name the file in memory.
            .map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default())
            .map(|line| line.split('\0').next().unwrap_or_default().to_owned())
            .collect();
        names.sort();
        names
    }

    /// The command `serve`, in this group from its first instruction on.
    fn serve(&self, files: &[&Path]) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""])
            .arg(&self.path)
            .arg(executable("fabric-under-test"))
            .arg("serve")
            .args(files)
            .args([
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--drain-delay",
                "0",
                "--tied",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.around.join("cgroup.subtree_control"), "-cpu -memory -pids");
        let _ = fs::write(self.around.join("cgroup.procs"), std::process::id().to_string());
        let _ = fs::remove_dir(&self.path);
        let _ = fs::remove_dir(&self.aside);
    }
}

#[test]
fn chains_and_instances_have_control_groups_where_the_service_has_one_to_divide() {
    let group = match Group::make() {
        Ok(group) => group,
        Err(why) => {
            skipped!("{why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let files = ["echo", "spin"].map(|name| {
        let file = folder.path().join(format!("{name}.toml"));
        fs::write(&file, chain(name)).unwrap();
        file
    });
    let mut service = group.serve(&[&files[0], &files[1]]).spawn().unwrap();
    let mut ready = String::new();
    std::io::BufReader::new(service.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    assert!(ready.starts_with("ready"), "{ready}");

    let parts = ["", "hacher-service", "hacher-chain-echo", "hacher-chain-spin"];
    let [left, of_service, echo, spin] = parts.map(|part| group.names(part));
    for left in [left, echo, spin] {
        assert!(left.is_empty(), "{left:?}");
    }
    let instance = |function: &str, ordinal: u32| {
        format!(
            "hacher-chain-{}/hacher-instance-{function}-{ordinal}",
            function.trim_end_matches('f')
        )
    };
    for (function, ordinal) in [("echof", 0), ("echof", 1), ("spinf", 0), ("spinf", 1)] {
        let part = instance(function, ordinal);
        assert_eq!(group.names(&part), [function]);
        let bytes: u64 = group.read(&part, "memory.max").trim().parse().unwrap();
        assert!((64 << 20..1 << 30).contains(&bytes), "{bytes}");
        assert_eq!(group.read(&part, "memory.oom.group").trim(), "1");
        let threads: u64 = group.read(&part, "pids.max").trim().parse().unwrap();
        assert!(threads > 0);
    }
    for name in ["hacher-daemon", "hacher-gateway", "hacher-scribe"] {
        assert!(
            of_service.iter().any(|found| found == name),
            "{name}: {of_service:?}"
        );
    }
    let monitor = service.id().to_string();
    let of_service = group.read("hacher-service", "cgroup.procs");
    assert!(of_service.lines().any(|pid| pid == monitor), "{of_service}");
    let weights = parts.map(|part| group.read(part, "cpu.weight").trim().to_owned());
    assert_eq!(weights[1..], ["1000", "100", "100"]);

    // A replacement goes where its predecessor was.
    let echo = instance("echof", 1);
    let victim = group.read(&echo, "cgroup.procs");
    let victim = Pid::from_raw(victim.lines().next().unwrap().parse().unwrap()).unwrap();
    kill_process(victim, Signal::KILL).unwrap();
    until("the replacement is in the group", || {
        let present = group.read(&echo, "cgroup.procs");
        !present
            .lines()
            .any(|pid| pid == victim.as_raw_nonzero().to_string())
            && present.lines().count() == 1
    });

    kill_process(Pid::from_child(&service), Signal::TERM).unwrap();
    assert!(service.wait().unwrap().success());
    group.is_as_it_was();
    everything_of_an_instance_is_bounded_as_one(&group);
    group.is_as_it_was();
}

/// What the function of a chain with programs says of `words`: status, and text or problem.
fn told(service: &Service, words: &str) -> (u16, String) {
    let reply = service.post("t", words.as_bytes().to_vec()).unwrap();
    (
        reply.status.as_u16(),
        String::from_utf8_lossy(&reply.body).into_owned(),
    )
}

fn everything_of_an_instance_is_bounded_as_one(group: &Group) {
    if let Some(missing) = programs_missing_here() {
        skipped!("{missing}");
        return;
    }
    let program = executable("test-function");
    let more = format!(
        "syscalls = \"program\"\nmemory = \"64MiB\"\noutbox = \"4MiB\"\nthreads = 12\nretry = {{ attempts = 1 }}\ntimeout = \"30s\"\n\
         files = [{{ from = \"{}\", to = \"{PROGRAM}\" }}]",
        program.display()
    );
    let table = function("f", "programs", &more);
    let chain = format!(
        "chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n[ingress]\ndeadline = \"40s\"\nmax_body = \"1MiB\"\n{table}"
    );
    let service = Service::start_within(&group.path, &chain).unwrap();
    let part = "hacher-chain-t/hacher-instance-f-0";
    let most: u64 = group.read(part, "memory.max").trim().parse().unwrap();
    let members = || group.read(part, "cgroup.procs").lines().count();
    let members_are = |wanted: usize| {
        until("all have ended, and one has taken their place", || {
            members() == wanted
        })
    };

    // What a program starts is in the group from its beginning.
    assert_eq!(told(&service, "leave hold 1 4"), (200, "holding\n".to_owned()));
    assert_eq!(members(), 5);
    // Of 12 threads that there may be, these five, and the program that counts.
    let (status, started) = told(&service, "multiply");
    assert_eq!((status, started.as_str()), (200, "6\n"));

    // Each program takes less than a process may, and all together more: all of them are ended as one.
    let each = (most / 4) >> 20;
    let (status, problem) = told(&service, &format!("leave hold {each} 6"));
    assert!(
        status == 502 && problem.contains("out_of_memory"),
        "{status} {problem}"
    );
    members_are(1);

    // Memory of the kernel: what was sent over connections that nobody accepts.
    let (status, problem) = told(&service, "flood 50");
    assert!(
        status == 502 && problem.contains("out_of_memory"),
        "{status} {problem}"
    );
    members_are(1);
    assert_eq!(told(&service, "descriptors"), (200, "[0, 1, 2]\n".to_owned()));

    // A function that is ended takes all that it has started along.
    assert_eq!(told(&service, "leave hold 1 4"), (200, "holding\n".to_owned()));
    let victims = group.read(part, "cgroup.procs");
    service.signal(service.process("f").unwrap(), Signal::KILL);
    until("all have ended, and a replacement is there", || {
        let present = group.read(part, "cgroup.procs");
        let is_left = |pid: &str| victims.lines().any(|victim| victim == pid);
        present.lines().count() == 1 && !present.lines().any(is_left)
    });
    assert_eq!(service.stop().unwrap(), Some(0));
}

impl Group {
    /// Nothing of a service is left in it.
    fn is_as_it_was(&self) {
        let entries = fs::read_dir(&self.path).unwrap().flatten();
        let left: Vec<_> = entries
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.file_name())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
