//! Finding out whether a layer works by using it in a child process, as starting a trustlet will.
#![allow(
    unsafe_code,
    reason = "some probes make system calls that have no safe wrapper"
)]

use super::descriptors::close;
use super::fork::{Forked, fork};
use super::headroom::shortage;
use super::identity::{HostIds, INSIDE_ID, Lease, change_ids};
use super::image::Image;
use super::layers::{Layer, Layers, Missing};
use super::permission::{refusal, setting};
use super::region::Region;
use super::seccomp::{Role, StageOne, Subject};
use super::{landlock, limits, root};
use crate::linux::patience::until_readable;
use core::time::Duration;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};
use rustix::io::{Errno, read, write};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::system::sethostname;
use rustix::thread::{no_new_privs, set_no_new_privs};
use std::ptr::null_mut;

/// A child that says 0 found its layer working; anything else is the number of an error.
const WORKS: i32 = 0;
/// Says that a layer took no effect although no call failed. Above all error numbers.
const NO_EFFECT: i32 = 200;
/// Longest wait for a signal of the kernel's.
const SIGNAL_MAX: Duration = Duration::from_secs(2);
/// Longest wait for a child that tries a layer, which takes it a millisecond.
const CHILD_MAX: Duration = Duration::from_secs(5);

/// A layer could not be used.
#[derive(Debug)]
struct Lack {
    /// Why, in plain words.
    reason: String,
    /// It was not found out whether it is there: something else is short, or it took too long.
    untried: bool,
}

impl From<Errno> for Lack {
    fn from(errno: Errno) -> Self {
        let untried = matches!(
            errno,
            Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::TIMEDOUT | Errno::CANCELED
        );
        let reason = match errno {
            Errno::TIMEDOUT => "the process that tried it did not answer".to_owned(),
            Errno::CANCELED => "the monitor was asked to stop meanwhile".to_owned(),
            errno => shortage(errno).unwrap_or_else(|| said(errno)),
        };
        Self { reason, untried }
    }
}

impl From<std::io::Error> for Lack {
    fn from(error: std::io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => Self::from(errno),
            None => Self::from(error.to_string()),
        }
    }
}

impl From<String> for Lack {
    fn from(reason: String) -> Self {
        Self {
            reason,
            untried: false,
        }
    }
}

impl Lack {
    /// As for `errno`, of a namespace that was made or used.
    fn of_namespace(layer: Layer, errno: Errno) -> Self {
        let lack = Self::from(errno);
        if lack.untried {
            return lack;
        }
        refusal(layer, errno, setting).into()
    }
}

impl Layers {
    /// Tries each layer in a child process. Takes some milliseconds.
    #[must_use]
    pub fn probe() -> Self {
        let mut layers = Self {
            missing: Vec::new(),
            no_notices: None,
            landlock_abi: landlock_abi(),
        };
        for layer in Layer::ALL {
            // The other namespaces depend on the user namespace, which stands first.
            if let Err(Lack { reason, untried }) = try_layer(layer, &layers) {
                layers.missing.push(Missing {
                    layer,
                    reason,
                    untried,
                });
            }
        }
        if layers.has(Layer::Seccomp)
            && let Err(failure) = in_child(0, told_of_refusals)
        {
            let Lack { reason, untried } = failure.into();
            layers.no_notices = Some(Missing {
                layer: Layer::Seccomp,
                reason: format!("the monitor cannot be told of refused calls: {reason}"),
                untried,
            });
        }
        layers
    }
}

/// `Err` says why `layer` cannot be had. `found`: what has been found out so far.
fn try_layer(layer: Layer, found: &Layers) -> Result<(), Lack> {
    let tried = match layer {
        Layer::UserNamespace => return namespace(layer, found, || Ok(())),
        Layer::MountNamespace => return namespace(layer, found, || root::enter(&[], &[], 4096, None)),
        Layer::PidNamespace => {
            return namespace(layer, found, || {
                effect(rustix::process::getpid().as_raw_nonzero().get() == 1)
            });
        }
        Layer::NetNamespace => return namespace(layer, found, no_network),
        Layer::IpcNamespace => return namespace(layer, found, || Ok(())),
        Layer::UtsNamespace => return namespace(layer, found, || sethostname(b"probe")),
        Layer::Landlock => in_child(0, confined_by_landlock),
        Layer::Seccomp => in_child(0, confined_by_seccomp),
        Layer::NoNewPrivileges => in_child(0, || {
            set_no_new_privs(true)?;
            effect(no_new_privs()?)
        }),
        Layer::NonDumpable => starts_non_dumpable(),
        Layer::ParentDeath => dies_with_parent(),
        Layer::ResourceLimits => in_child(0, bounded_by_limits),
        Layer::SealedImage => executable().map(|_| ()),
        Layer::ReadOnlyDescriptors => read_only_region(),
    };
    tried.map_err(Lack::from)
}

/// Version of Landlock's interface, 0 if it has none.
fn landlock_abi() -> u32 {
    const CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no structure and only answers with a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            null_mut::<u8>(),
            0_usize,
            CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

fn effect(seen: bool) -> Result<(), Errno> {
    if seen {
        Ok(())
    } else {
        Err(Errno::from_raw_os_error(NO_EFFECT))
    }
}

/// Runs `body` in a child in the namespace, and in a user namespace of its own if the machine has those.
fn namespace(layer: Layer, found: &Layers, body: impl FnOnce() -> Result<(), Errno>) -> Result<(), Lack> {
    let Some(flag) = layer.clone_flag() else {
        return Err("is not a namespace".to_owned().into());
    };
    let user = match Layer::UserNamespace.clone_flag() {
        Some(user) if layer == Layer::UserNamespace || found.has(Layer::UserNamespace) => user,
        _ => 0,
    };
    let tried = in_child(flag | user, body);
    tried.map_err(|failure| match failure {
        Failure::Refused(errno) => Lack::of_namespace(layer, errno),
        other => other.into(),
    })
}

/// Runs `body` in a child in those of `namespaces` that the machine has.
pub(super) fn in_namespaces(
    found: &Layers,
    namespaces: &[Layer],
    body: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), String> {
    let there = namespaces.iter().filter(|&&layer| found.has(layer));
    let flags = there.filter_map(|layer| layer.clone_flag());
    let tried = in_child(flags.fold(0, |bits, flag| bits | flag), body);
    tried.map_err(|failure| Lack::from(failure).reason)
}

/// How a layer failed.
enum Failure {
    /// The kernel refused a step.
    Refused(Errno),
    /// In these words.
    Told(String),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => Self::Refused(errno),
            None => Self::Told(error.to_string()),
        }
    }
}

impl From<Failure> for Lack {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(errno) => errno.into(),
            Failure::Told(reason) => reason.into(),
        }
    }
}

fn in_child(namespaces: u64, body: impl FnOnce() -> Result<(), Errno>) -> Result<(), Failure> {
    let (go_read, go_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (ready_read, ready_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let user = Layer::UserNamespace
        .clone_flag()
        .is_some_and(|flag| namespaces & flag != 0);
    let lease = Lease::next().ok_or_else(|| Failure::Told("every user id is in use".to_owned()))?;
    let ids = lease.ids();
    let mut child = fork(namespaces, || {
        // The parent's ends, without which `go` ends when the parent does.
        let closed = close(go_write.as_fd()).and_then(|()| close(ready_read.as_fd()));
        let mut byte = [0];
        // As in a jail's child, and undone at once.
        let ready = closed
            .and_then(|()| set_dumpable_behavior(DumpableBehavior::Dumpable))
            .and_then(|()| write(&ready_write, &[1]));
        let went = ready.and_then(|_| read(&go_read, &mut byte));
        let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        let identity = || match ids {
            HostIds::Distinct(_) if user => change_ids(INSIDE_ID),
            _ => Ok(()),
        };
        match went.and(hidden).and_then(|()| identity()).and_then(|()| body()) {
            Ok(()) => WORKS,
            Err(errno) => errno.raw_os_error(),
        }
    })?;
    drop((go_read, ready_write));
    let mut byte = [0];
    until_readable(&ready_read, CHILD_MAX)?;
    if read(&ready_read, &mut byte)? == 1 {
        if user {
            ids.write_maps(&child)?;
        }
        write(&go_write, &[1])?;
    }
    verdict(&mut child)
}

fn verdict(child: &mut Forked) -> Result<(), Failure> {
    let status = child.wait_for(CHILD_MAX)?;
    match status.and_then(|status| status.exit_status()) {
        Some(WORKS) => Ok(()),
        Some(NO_EFFECT) => Err(Failure::Told(
            "the kernel accepts it, but it takes no effect".to_owned(),
        )),
        Some(errno) => Err(Errno::from_raw_os_error(errno).into()),
        None => Err(Failure::Told("the process that tried it was killed".to_owned())),
    }
}

fn said(errno: Errno) -> String {
    std::io::Error::from(errno).to_string()
}

/// In a new net namespace, not even the loopback device is up.
fn no_network() -> Result<(), Errno> {
    let bound = std::net::UdpSocket::bind(("127.0.0.1", 0));
    let sent = bound.and_then(|socket| socket.send_to(b"x", ("127.0.0.1", 9)));
    effect(sent.is_err())
}

fn confined_by_landlock() -> Result<(), Errno> {
    set_no_new_privs(true)?;
    landlock::restrict(&[], false)?;
    let refused = open(
        "/",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    effect(refused.err() == Some(Errno::ACCESS))
}

fn confined_by_seccomp() -> Result<(), Errno> {
    let subject = Subject {
        role: Role::Function,
        image_number: 1,
        pid: 1,
        scratch: false,
    };
    StageOne::new(subject)?.install()?;
    effect(memfd_create("probe", MemfdFlags::CLOEXEC).err() == Some(Errno::PERM))
}

/// A process can have one listener of this kind, so this fails where a container's runtime has one already.
fn told_of_refusals() -> Result<(), Errno> {
    let subject = Subject {
        role: Role::Program { jit: false },
        image_number: 1,
        pid: 1,
        scratch: false,
    };
    effect(StageOne::new(subject)?.install()?.is_some())
}

fn bounded_by_limits() -> Result<(), Errno> {
    const MEMORY_BYTES: u64 = 64 << 20;
    limits::apply(
        &limits::Limits {
            memory_bytes: MEMORY_BYTES,
            scratch_bytes: 0,
            threads: 1,
            open_files: 64,
            open_files_min: 64,
        },
        false,
    )?;
    // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that exists.
    let mapped = unsafe {
        mmap_anonymous(
            null_mut(),
            65 << 20,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )
    };
    effect(mapped.err() == Some(Errno::NOMEM))
}

/// A child of a child says who it is, its parent ends, and the kernel must close its end of the pipe.
fn dies_with_parent() -> Result<(), Failure> {
    let (alive_read, alive_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut between = fork(0, || {
        let grandchild = fork(0, || {
            if write(&alive_write, &[1]).is_ok() {
                std::thread::sleep(2 * SIGNAL_MAX);
            }
            NO_EFFECT
        });
        let grandchild = match grandchild {
            Ok(grandchild) => grandchild,
            Err(error) => return error.raw_os_error().unwrap_or(NO_EFFECT),
        };
        // Without this process's own copy, the pipe ends with the grandchild, whatever becomes of that.
        let closed = close(alive_write.as_fd());
        // Held until it is ready; then this process ends without killing it.
        let mut byte = [0];
        let ready = closed.and_then(|()| read(&alive_read, &mut byte));
        std::mem::forget(grandchild);
        if ready == Ok(1) { WORKS } else { NO_EFFECT }
    })?;
    drop(alive_write);
    verdict(&mut between)?;
    match until_readable(&alive_read, SIGNAL_MAX) {
        Err(Errno::TIMEDOUT) => Err(Failure::Told("a process outlived its parent".to_owned())),
        other => Ok(other?),
    }
}

/// A whole program that ends with its dumpable attribute as its exit code: `exit(prctl(PR_GET_DUMPABLE))`.
#[cfg(target_arch = "x86_64")]
const PROGRAM: (u16, &[u8]) = (
    62,
    &[
        0xbf, 0x03, 0x00, 0x00, 0x00, // mov edi, PR_GET_DUMPABLE
        0xb8, 0x9d, 0x00, 0x00, 0x00, // mov eax, SYS_prctl
        0x0f, 0x05, // syscall
        0x89, 0xc7, // mov edi, eax
        0xb8, 0x3c, 0x00, 0x00, 0x00, // mov eax, SYS_exit
        0x0f, 0x05, // syscall
    ],
);
#[cfg(target_arch = "aarch64")]
const PROGRAM: (u16, &[u8]) = (
    183,
    &[
        0x60, 0x00, 0x80, 0xd2, // mov x0, PR_GET_DUMPABLE
        0xe8, 0x14, 0x80, 0xd2, // mov x8, SYS_prctl
        0x01, 0x00, 0x00, 0xd4, // svc 0
        0xa8, 0x0b, 0x80, 0xd2, // mov x8, SYS_exit
        0x01, 0x00, 0x00, 0xd4, // svc 0
    ],
);

/// [`PROGRAM`] as an ELF file of one segment.
fn program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS_BYTES: u16 = 64 + 56;
    let (machine, code) = PROGRAM;
    let len_bytes = u64::from(HEADERS_BYTES) + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| elf.extend_from_slice(bytes);
    put(&2_u16.to_le_bytes()); // an executable
    put(&machine.to_le_bytes());
    put(&1_u32.to_le_bytes());
    put(&(BASE + u64::from(HEADERS_BYTES)).to_le_bytes()); // entry
    put(&64_u64.to_le_bytes()); // program headers
    put(&0_u64.to_le_bytes());
    put(&0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        put(&half.to_le_bytes());
    }
    put(&1_u32.to_le_bytes()); // PT_LOAD
    put(&5_u32.to_le_bytes()); // read, execute
    for word in [0, BASE, BASE, len_bytes, len_bytes, 0x1000] {
        put(&word.to_le_bytes());
    }
    put(code);
    elf
}

fn executable() -> Result<Image, Failure> {
    let file = memfd_create("probe", MemfdFlags::CLOEXEC)?;
    write(&file, &program())?;
    Image::load("probe", file.as_fd(), 4096).map_err(|error| {
        let source = std::error::Error::source(&error);
        let cause = source.map(|cause| format!(": {cause}")).unwrap_or_default();
        let errno = source
            .and_then(|cause| cause.downcast_ref())
            .and_then(Errno::from_io_error);
        match errno {
            Some(errno) if Lack::from(errno).untried => errno.into(),
            _ => Failure::Told(format!("{error}{cause}")),
        }
    })
}

/// An image starts without being dumpable when nothing but its permissions asks for that.
fn starts_non_dumpable() -> Result<(), Failure> {
    let image = executable()?;
    // A process with the capability to read all files may read the image too, so that is dropped as in a
    // jail.
    let mut child = fork(0, || {
        if let Err(errno) = super::capabilities::drop_all() {
            return errno.raw_os_error();
        }
        let argv = [c"probe".as_ptr(), std::ptr::null()];
        // SAFETY: the path is a NUL-terminated constant, both arrays end with a null pointer and outlive the
        // call.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                image.memfd().as_raw_fd(),
                c"".as_ptr(),
                argv.as_ptr(),
                argv.as_ptr().wrapping_add(1),
                libc::AT_EMPTY_PATH,
            )
        };
        NO_EFFECT
    })?;
    // 0: not dumpable. 2: dumpable for root alone. 1: for everybody of the same user.
    let status = child.wait_for(CHILD_MAX)?;
    match status.and_then(|status| status.exit_status()) {
        Some(0 | 2) => Ok(()),
        Some(1) => Err(Failure::Told(
            "a program that cannot be read is dumpable all the same".to_owned(),
        )),
        _ => Err(Failure::Told(
            "the program that tells could not be executed".to_owned(),
        )),
    }
}

fn read_only_region() -> Result<(), Failure> {
    let region = Region::create("probe", 4096)?;
    let reader = region.read_only()?;
    // SAFETY: a new shared mapping at an address of the kernel's choice touches nothing that exists.
    let mapped = unsafe {
        mmap(
            null_mut(),
            4096,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
            &reader,
            0,
        )
    };
    match mapped {
        Err(Errno::ACCESS) => Ok(()),
        Err(errno) => Err(errno.into()),
        Ok(_) => Err(Failure::Told(
            "memory shared for reading can be mapped for writing".to_owned(),
        )),
    }
}
