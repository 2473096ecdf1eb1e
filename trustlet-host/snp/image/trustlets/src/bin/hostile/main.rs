//! A trustlet that tries everything, one thing in each life: which one follows from how many lives it has
//! had.

#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "does on purpose what is forbidden")]

extern crate alloc;

mod calls;
mod instructions;
mod memory;
mod registers;

use alloc::format;
use alloc::vec::Vec;
use hacher_snp::abi::{Handle, handle};
use hacher_snp_bare::attack::Attack;
use hacher_snp_trustlets::call;
use hacher_snp_trustlets::channel::attach;

/// It ends with this if an attack came to nothing, as it has to.
const CODE_NOTHING: u64 = 0;
/// An attack had an effect.
const CODE_BREACH: u64 = 1;

/// What it was given.
struct Given {
    /// A region of another, to read.
    foreign: Handle,
    /// A region of its own.
    own: Handle,
    /// All regions.
    regions: Vec<Handle>,
}

#[unsafe(no_mangle)]
fn trustlet() {
    let (place, regions) = match attach() {
        Ok(attached) => attached,
        Err(why) => panic!("no attachment: {why}"),
    };
    let of_kind = |kind| regions.iter().copied().find(|region| region.kind == kind);
    let (foreign, own) = (of_kind(handle::READ), of_kind(handle::WRITE));
    let given = Given {
        foreign: foreign.expect("a function reads of another"),
        own: own.expect("a function has an outbox"),
        regions,
    };
    let life = place.begin.instance_epoch as usize;
    let attack = life.checked_sub(1).and_then(|at| Attack::ALL.get(at)).copied();
    let attack = attack.expect("as many lives as attacks");
    // For the next life to find, if it can.
    let is_clean = memory::heap_is_clean();
    memory::soil_heap();
    let came_to_nothing = run(attack, &given, is_clean);
    if !came_to_nothing {
        call::print(&format!("breach: {}", attack.words()));
    }
    call::exit(if came_to_nothing {
        CODE_NOTHING
    } else {
        CODE_BREACH
    });
}

/// Tries it. Whoever comes back says whether it came to nothing; most never do.
fn run(attack: Attack, given: &Given, is_clean: bool) -> bool {
    match attack {
        Attack::StaleMemory => is_clean,
        Attack::BadCalls => calls::numbers(),
        Attack::BadPointers => calls::pointers(given),
        Attack::BadBells => calls::bells(),
        Attack::BadMessages => calls::messages(),
        Attack::SpinInCalls => calls::spin(),
        Attack::StaleRegisters => registers::are_empty_at_begin(),
        Attack::StolenRegisters => registers::stay(),
        Attack::PoisonedFloats => registers::poisoned_floats(),
        Attack::BackwardCall => registers::backward_call(),
        Attack::OpenCall => registers::open_call(given),
        Attack::RaiseIopl => registers::raise_iopl(),
        Attack::Spin => registers::spin(),
        _ => memory::run(attack, given) || instructions::run(attack),
    }
}
