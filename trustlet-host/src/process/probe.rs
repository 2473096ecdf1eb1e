//! Finding out whether a layer works by using it in a child process, as starting a trustlet will.
#![allow(
    unsafe_code,
    reason = "some probes make system calls that have no safe wrapper"
)]

use super::child::change_ids;
use super::fork::{Forked, fork};
use super::identity::{HostIds, INSIDE_ID};
use super::image::Image;
use super::layers::{Layer, Layers};
use super::region::Region;
use super::seccomp::{self, Role, Subject};
use super::{landlock, limits, root};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};
use rustix::io::{Errno, read, write};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Signal, WaitIdOptions, set_dumpable_behavior, set_parent_process_death_signal,
};
use rustix::system::sethostname;
use rustix::thread::{no_new_privs, set_no_new_privs};
use std::ptr::null_mut;

/// A child that says 0 found its layer working; anything else is the number of an error.
const WORKS: i32 = 0;
/// Says that a layer took no effect although no call failed. Above all error numbers.
const NO_EFFECT: i32 = 200;
/// Longest wait for a signal of the kernel's.
const SIGNAL_MAX: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

/// `Err` says in plain words why `layer` cannot be had. `found`: what has been found out so far.
pub(super) fn try_layer(layer: Layer, found: &Layers) -> Result<(), String> {
    match layer {
        Layer::UserNamespace => namespace(layer, found, || Ok(())),
        Layer::MountNamespace => namespace(layer, found, || root::enter(&[], 4096, None)),
        Layer::PidNamespace => namespace(layer, found, || {
            effect(rustix::process::getpid().as_raw_nonzero().get() == 1)
        }),
        Layer::NetNamespace => namespace(layer, found, no_network),
        Layer::IpcNamespace => namespace(layer, found, || Ok(())),
        Layer::UtsNamespace => namespace(layer, found, || sethostname(b"probe")),
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
    }
}

/// Version of Landlock's interface, 0 if it has none.
pub(super) fn landlock_abi() -> u32 {
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
fn namespace(layer: Layer, found: &Layers, body: impl FnOnce() -> Result<(), Errno>) -> Result<(), String> {
    let Some(flag) = layer.clone_flag() else {
        return Err("is not a namespace".to_owned());
    };
    let user = match Layer::UserNamespace.clone_flag() {
        Some(user) if layer == Layer::UserNamespace || found.has(Layer::UserNamespace) => user,
        _ => 0,
    };
    in_child(flag | user, body)
}

/// Runs `body` in a child in those of `namespaces` that the machine has.
pub(super) fn in_namespaces(
    found: &Layers,
    namespaces: &[Layer],
    body: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), String> {
    let there = namespaces.iter().filter(|&&layer| found.has(layer));
    let flags = there.filter_map(|layer| layer.clone_flag());
    in_child(flags.fold(0, |bits, flag| bits | flag), body)
}

fn in_child(namespaces: u64, body: impl FnOnce() -> Result<(), Errno>) -> Result<(), String> {
    let (go_read, go_write) = pipe_with(PipeFlags::CLOEXEC).map_err(said)?;
    let (ready_read, ready_write) = pipe_with(PipeFlags::CLOEXEC).map_err(said)?;
    let user = Layer::UserNamespace
        .clone_flag()
        .is_some_and(|flag| namespaces & flag != 0);
    let ids = HostIds::next();
    let mut child = fork(namespaces, || {
        let mut byte = [0];
        // As in a jail's child, and undone at once.
        let ready =
            set_dumpable_behavior(DumpableBehavior::Dumpable).and_then(|()| write(&ready_write, &[1]));
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
    })
    .map_err(|error| refused(&error))?;
    drop(ready_write);
    let mut byte = [0];
    read(&ready_read, &mut byte).map_err(said)?;
    if user {
        ids.write_maps(&child)
            .map_err(|errno| format!("mapping users: {}", said(errno)))?;
    }
    write(&go_write, &[1]).map_err(said)?;
    verdict(&mut child)
}

fn verdict(child: &mut Forked) -> Result<(), String> {
    let status = child
        .wait(WaitIdOptions::empty())
        .map_err(|error| error.to_string())?;
    match status.and_then(|status| status.exit_status()) {
        Some(WORKS) => Ok(()),
        Some(NO_EFFECT) => Err("the kernel accepts it, but it takes no effect".to_owned()),
        Some(errno) => Err(said(Errno::from_raw_os_error(errno))),
        None => Err("the process that tried it was killed".to_owned()),
    }
}

/// What clone(2) means here by its error numbers.
fn refused(error: &std::io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC) => "the limit on namespaces, user.max_*_namespaces, is reached".to_owned(),
        Some(Errno::PERM) => "the kernel does not permit it to this user".to_owned(),
        Some(Errno::INVAL) => "the kernel was built without it".to_owned(),
        _ => error.to_string(),
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
    landlock::restrict(&[], &[], false)?;
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
    seccomp::install(&seccomp::stage_one(subject)?)?;
    effect(memfd_create("probe", MemfdFlags::CLOEXEC).err() == Some(Errno::PERM))
}

fn bounded_by_limits() -> Result<(), Errno> {
    const MEMORY_BYTES: u64 = 64 << 20;
    limits::apply(
        &limits::Limits {
            memory_bytes: MEMORY_BYTES,
            scratch_bytes: 0,
            threads: 1,
            open_files: 64,
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
fn dies_with_parent() -> Result<(), String> {
    let (alive_read, alive_write) = pipe_with(PipeFlags::CLOEXEC).map_err(said)?;
    let mut between = fork(0, || {
        let grandchild = fork(0, || {
            if set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
                && write(&alive_write, &[1]).is_ok()
            {
                std::thread::sleep(std::time::Duration::from_secs(4));
            }
            NO_EFFECT
        });
        // Held until it is ready; then this process ends without killing it.
        let mut byte = [0];
        let ready = read(&alive_read, &mut byte);
        std::mem::forget(grandchild);
        if ready == Ok(1) { WORKS } else { NO_EFFECT }
    })
    .map_err(|error| error.to_string())?;
    drop(alive_write);
    verdict(&mut between)?;
    match poll(&mut [PollFd::new(&alive_read, PollFlags::IN)], Some(&SIGNAL_MAX)) {
        Ok(0) => Err("a process outlived its parent".to_owned()),
        Ok(_) => Ok(()),
        Err(errno) => Err(said(errno)),
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

fn executable() -> Result<Image, String> {
    let file = memfd_create("probe", MemfdFlags::CLOEXEC).map_err(said)?;
    write(&file, &program()).map_err(said)?;
    Image::load("probe", file.as_fd(), 4096).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    })
}

/// An image starts without being dumpable when nothing but its permissions asks for that.
fn starts_non_dumpable() -> Result<(), String> {
    let image = executable()?;
    // A process with the capability to read all files may read the image too, so that is dropped as in a jail.
    let mut child = fork(0, || {
        if let Err(errno) = super::capabilities::drop_all() {
            return errno.raw_os_error();
        }
        let argv = [c"probe".as_ptr(), std::ptr::null()];
        // SAFETY: the path is a NUL-terminated constant, both arrays end with a null pointer and outlive the call.
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
    })
    .map_err(|error| error.to_string())?;
    // 0: not dumpable. 2: dumpable for root alone. 1: for everybody of the same user.
    let status = child
        .wait(WaitIdOptions::empty())
        .map_err(|error| error.to_string())?;
    match status.and_then(|status| status.exit_status()) {
        Some(0 | 2) => Ok(()),
        Some(1) => Err("a program that cannot be read is dumpable all the same".to_owned()),
        _ => Err("the program that tells could not be executed".to_owned()),
    }
}

fn read_only_region() -> Result<(), String> {
    let region = Region::create("probe", 4096).map_err(|error| error.to_string())?;
    let reader = region.read_only().map_err(|error| error.to_string())?;
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
        Err(errno) => Err(said(errno)),
        Ok(_) => Err("memory shared for reading can be mapped for writing".to_owned()),
    }
}
