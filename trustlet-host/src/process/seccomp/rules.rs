//! What a process may call, and with which arguments, by its role and from when on.

use super::calls::{
    EVERYONE, EVERYONE_LEGACY, FCNTL, FCNTL_LOCKS, IOCTL, NAMESPACE_FLAGS, PAIR_OPTIONS_READ,
    PAIR_OPTIONS_SET, PR_SET_VMA, PRCTL, PRCTL_LOCKED, SERVERS, SOCKET_OPTIONS, THREAD_FLAGS,
};
use super::condition::{Rules, Width, allow, allow_if, argument, bits, masked, number, tsync};
use super::memory::{Code, memory};
use super::program_rules::checked_for_programs;
use super::role::{Role, Stage, Subject};
use super::scratch::checked_with_scratch;
use rustix::io::Errno;
use seccompiler::SeccompCmpOp;

/// What a process of `role` may do, and with which arguments.
pub(super) fn rules(stage: Stage, role: Role) -> Result<Rules, Errno> {
    let mut rules = Rules::new();
    allow(&mut rules, &[EVERYONE, EVERYONE_LEGACY].concat());
    // Another program of stage 1 answers it: the first of two filters that both refuse would win or lose by
    // their order.
    allow(&mut rules, &[libc::SYS_clone3]);
    checked_for_everyone(&mut rules)?;
    if let (Role::Program { jit }, Stage::Start(subject)) = (role, stage) {
        checked_for_programs(&mut rules, subject, jit)?;
        return Ok(rules);
    }
    match stage {
        Stage::Start(subject) => {
            checked_at_start(&mut rules, subject)?;
            memory(&mut rules, Code::Any)?;
        }
        Stage::Locked => {
            checked_when_locked(&mut rules, role)?;
            memory(&mut rules, Code::None)?;
        }
    }
    let thread = bits(THREAD_FLAGS);
    allow_if(
        &mut rules,
        libc::SYS_clone,
        vec![masked(0, thread | bits(NAMESPACE_FLAGS), thread)?],
    )?;
    if role.is_function() {
        checked_for_functions(&mut rules, stage)?;
    } else {
        allow(&mut rules, SERVERS);
        checked_for_servers(&mut rules)?;
    }
    Ok(rules)
}

/// What only a process that is being loaded needs, or what depends on which process it is.
fn checked_at_start(rules: &mut Rules, subject: Subject) -> Result<(), Errno> {
    allow(rules, &[libc::SYS_rt_sigprocmask]);
    allow_if(
        rules,
        libc::SYS_execveat,
        vec![number(0, subject.image_number)?, number(4, libc::AT_EMPTY_PATH)?],
    )?;
    // abort() and pthread_kill().
    allow_if(rules, libc::SYS_tgkill, vec![number(0, subject.pid)?])?;
    for &option in PRCTL {
        allow_if(rules, libc::SYS_prctl, vec![number(0, option)?])?;
    }
    allow_if(rules, libc::SYS_prctl, vec![number(0, PR_SET_VMA)?])?;
    allow_if(
        rules,
        libc::SYS_prctl,
        vec![number(0, libc::PR_SET_DUMPABLE)?, number(1, 0)?],
    )?;
    // For stage 2. Filters only ever take away.
    let filter = i32::try_from(libc::SECCOMP_SET_MODE_FILTER).map_err(|_| Errno::INVAL)?;
    allow_if(
        rules,
        libc::SYS_seccomp,
        vec![number(0, filter)?, masked(1, !tsync(), 0)?],
    )
}

/// What is left of that later. Which process may be signalled, stage 1 has decided.
fn checked_when_locked(rules: &mut Rules, role: Role) -> Result<(), Errno> {
    allow(rules, &[libc::SYS_tgkill]);
    if role == Role::Function {
        // Anything else is done by the handler of refused calls, for which the signal must not be blocked. In a
        // thread that has just been started everything is, until it sets the mask that it is to have, as C
        // libraries do without asking for the one before.
        let how = |how| number(0, how);
        let previous_unasked = argument(2, Width::Long, SeccompCmpOp::Eq, 0)?;
        allow_if(rules, libc::SYS_rt_sigprocmask, vec![how(libc::SIG_UNBLOCK)?])?;
        allow_if(
            rules,
            libc::SYS_rt_sigprocmask,
            vec![how(libc::SIG_SETMASK)?, previous_unasked],
        )?;
    } else {
        allow(rules, &[libc::SYS_rt_sigprocmask]);
    }
    for &option in PRCTL_LOCKED {
        allow_if(rules, libc::SYS_prctl, vec![number(0, option)?])?;
    }
    Ok(())
}

fn checked_for_everyone(rules: &mut Rules) -> Result<(), Errno> {
    // Reading its own limits.
    allow_if(
        rules,
        libc::SYS_prlimit64,
        vec![number(0, 0)?, argument(2, Width::Long, SeccompCmpOp::Eq, 0)?],
    )?;
    // Not into a table of descriptors of its own, whose number would be bounded by itself.
    let unshare = u64::from(libc::CLOSE_RANGE_UNSHARE);
    allow_if(rules, libc::SYS_close_range, vec![masked(2, unshare, 0)?])?;
    for &command in FCNTL {
        allow_if(rules, libc::SYS_fcntl, vec![number(1, command)?])?;
    }
    for &request in IOCTL {
        let request = request & u64::from(u32::MAX);
        allow_if(
            rules,
            libc::SYS_ioctl,
            vec![argument(1, Width::Int, SeccompCmpOp::Eq, request)?],
        )?;
    }
    Ok(())
}

fn checked_for_functions(rules: &mut Rules, stage: Stage) -> Result<(), Errno> {
    for &command in FCNTL_LOCKS {
        allow_if(rules, libc::SYS_fcntl, vec![number(1, command)?])?;
    }
    let scratch = match stage {
        Stage::Start(subject) => subject.scratch,
        Stage::Locked => true,
    };
    if scratch {
        checked_with_scratch(rules)?;
    }
    // Both ends are its own.
    allow_if(rules, libc::SYS_socketpair, vec![number(0, libc::AF_UNIX)?])?;
    allow(rules, &[libc::SYS_shutdown]);
    for (call, options) in [
        (libc::SYS_getsockopt, PAIR_OPTIONS_READ),
        (libc::SYS_setsockopt, PAIR_OPTIONS_SET),
    ] {
        for &option in options {
            let conditions = vec![number(1, libc::SOL_SOCKET)?, number(2, option)?];
            allow_if(rules, call, conditions)?;
        }
    }
    // On a socket that has a peer; never to an address, nor out of band. Sending descriptors is not needed.
    allow_if(
        rules,
        libc::SYS_sendto,
        vec![
            argument(4, Width::Long, SeccompCmpOp::Eq, 0)?,
            masked(3, bits(libc::MSG_OOB), 0)?,
        ],
    )
}

fn checked_for_servers(rules: &mut Rules) -> Result<(), Errno> {
    // Not for functions, and only to non-blocking mode: whether writing to a pipe blocks is a property that
    // its holders share, and no holder of a doorbell may have another one wait who rings it. Not by
    // FIONBIO either, whose argument cannot be seen here.
    let modes = libc::O_NONBLOCK | libc::O_DIRECT | libc::O_ASYNC;
    allow_if(
        rules,
        libc::SYS_fcntl,
        vec![
            number(1, libc::F_SETFL)?,
            masked(2, bits(modes), bits(libc::O_NONBLOCK))?,
        ],
    )?;
    // The end of what it sends, and no other: a listening socket whose reading end is shut listens no more,
    // for nobody who has it.
    allow_if(rules, libc::SYS_shutdown, vec![number(1, libc::SHUT_WR)?])?;
    // Over a connection that is there. Sending with MSG_FASTOPEN connects, and asks none of the layers that
    // connect(2) asks.
    let fast_open = bits(libc::MSG_FASTOPEN);
    allow_if(
        rules,
        libc::SYS_sendto,
        vec![
            argument(4, Width::Long, SeccompCmpOp::Eq, 0)?,
            masked(3, fast_open, 0)?,
        ],
    )?;
    allow_if(rules, libc::SYS_sendmsg, vec![masked(2, fast_open, 0)?])?;
    for &(level, option) in SOCKET_OPTIONS {
        allow_if(
            rules,
            libc::SYS_setsockopt,
            vec![number(1, level)?, number(2, option)?],
        )?;
    }
    Ok(())
}
