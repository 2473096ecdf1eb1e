//! What a function with programs of its own may call. It has one stage: the programs that it starts have to
//! load code all their lives, and they inherit whatever holds for it.

use super::calls::{
    FILE_FLAGS_REFUSED, NAMESPACE_FLAGS, PRCTL_LOCKED, PROGRAM_OPTIONS_READ, PROGRAM_OPTIONS_SET, PROGRAMS,
    PROGRAMS_LEGACY, SOCKET_FLAGS, SOCKETS,
};
use super::condition::{Rules, Width, allow, allow_if, argument, bits, masked, number};
use super::memory::{Code, memory};
use super::role::Subject;
use super::scratch::checked_with_scratch;
use rustix::io::Errno;
use seccompiler::SeccompCmpOp;

/// Everything that [`super::rules::rules`] does not give to all roles.
pub(super) fn checked_for_programs(rules: &mut Rules, subject: Subject, jit: bool) -> Result<(), Errno> {
    allow(rules, &[PROGRAMS, PROGRAMS_LEGACY].concat());
    memory(rules, if jit { Code::Any } else { Code::OfFiles })?;
    // Processes and threads, in the namespaces that it has.
    allow_if(rules, libc::SYS_clone, vec![masked(0, bits(NAMESPACE_FLAGS), 0)?])?;
    // The report about itself that it sends before its program runs, from a number that the program cannot
    // use: so this is no way to send descriptors later.
    allow_if(
        rules,
        libc::SYS_sendmsg,
        vec![number(0, subject.notices_number())?],
    )?;
    for &option in PRCTL_LOCKED {
        allow_if(rules, libc::SYS_prctl, vec![number(0, option)?])?;
    }
    for (option, value) in [(libc::PR_SET_DUMPABLE, 0), (libc::PR_SET_NO_NEW_PRIVS, 1)] {
        allow_if(
            rules,
            libc::SYS_prctl,
            vec![number(0, option)?, number(1, value)?],
        )?;
    }
    // What the receiver is told of a signal is the kernel's word, and not the sender's.
    allow_if(
        rules,
        libc::SYS_pidfd_send_signal,
        vec![argument(2, Width::Long, SeccompCmpOp::Eq, 0)?],
    )?;
    allow_if(rules, libc::SYS_fcntl, vec![number(1, libc::F_GETLK)?])?;
    // Every descriptor that it shares with others has an open file of its own here, so that blocking mode is
    // its own affair.
    allow_if(
        rules,
        libc::SYS_fcntl,
        vec![number(1, libc::F_SETFL)?, masked(2, bits(FILE_FLAGS_REFUSED), 0)?],
    )?;
    allow_if(
        rules,
        libc::SYS_ioctl,
        vec![argument(
            1,
            Width::Int,
            SeccompCmpOp::Eq,
            libc::FIONBIO & u64::from(u32::MAX),
        )?],
    )?;
    if subject.scratch {
        checked_with_scratch(rules)?;
    }
    sockets(rules)
}

fn sockets(rules: &mut Rules) -> Result<(), Errno> {
    let kind = !bits(SOCKET_FLAGS) & u64::from(u32::MAX);
    // By triples: for one that does not exist the kernel has a helper of the machine's root look for a
    // module.
    for &(family, socket_type, protocol) in SOCKETS {
        allow_if(
            rules,
            libc::SYS_socket,
            vec![
                number(0, family)?,
                masked(1, kind, bits(socket_type))?,
                number(2, protocol)?,
            ],
        )?;
    }
    allow_if(rules, libc::SYS_socketpair, vec![number(0, libc::AF_UNIX)?])?;
    allow_if(rules, libc::SYS_sendto, vec![masked(3, bits(libc::MSG_OOB), 0)?])?;
    for (call, options) in [
        (libc::SYS_getsockopt, PROGRAM_OPTIONS_READ),
        (libc::SYS_setsockopt, PROGRAM_OPTIONS_SET),
    ] {
        for &(level, option) in options {
            allow_if(rules, call, vec![number(1, level)?, number(2, option)?])?;
        }
    }
    Ok(())
}
