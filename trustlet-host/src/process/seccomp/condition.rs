//! Rules of a filter: calls that are let through, and conditions on their arguments.

use rustix::io::Errno;
use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};
use std::collections::BTreeMap;

/// For each call the ways in which it is let through; with any arguments if there are none.
pub(super) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

#[derive(Clone, Copy)]
pub(super) enum Width {
    /// The kernel looks at 32 bits of the register.
    Int,
    /// The kernel looks at all of it.
    Long,
}

pub(super) fn allow(rules: &mut Rules, calls: &[libc::c_long]) {
    for &call in calls {
        rules.insert(call, Vec::new());
    }
}

/// One more way in which `call` is let through: all of `conditions` hold.
pub(super) fn allow_if(
    rules: &mut Rules,
    call: libc::c_long,
    conditions: Vec<SeccompCondition>,
) -> Result<(), Errno> {
    let rule = SeccompRule::new(conditions).map_err(|_| Errno::INVAL)?;
    rules.entry(call).or_default().push(rule);
    Ok(())
}

pub(super) fn argument(
    index: u8,
    width: Width,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, Errno> {
    let width = match width {
        Width::Int => SeccompCmpArgLen::Dword,
        Width::Long => SeccompCmpArgLen::Qword,
    };
    SeccompCondition::new(index, width, operator, value).map_err(|_| Errno::INVAL)
}

/// An argument of C type `int` that must have this value.
pub(super) fn number(index: u8, value: i32) -> Result<SeccompCondition, Errno> {
    argument(
        index,
        Width::Int,
        SeccompCmpOp::Eq,
        u64::from(value.cast_unsigned()),
    )
}

/// An argument whose low 32 bits must have this value where `mask` is set.
pub(super) fn masked(index: u8, mask: u64, value: u64) -> Result<SeccompCondition, Errno> {
    argument(index, Width::Int, SeccompCmpOp::MaskedEq(mask), value)
}

/// Memory that is asked for without the right to execute it (the third argument of `mmap` and `mprotect`).
pub(super) fn not_executable() -> Result<SeccompCondition, Errno> {
    masked(2, bits(libc::PROT_EXEC), 0)
}

pub(super) fn bits(flags: i32) -> u64 {
    u64::from(flags.cast_unsigned())
}

pub(super) fn tsync() -> u64 {
    libc::SECCOMP_FILTER_FLAG_TSYNC
}
