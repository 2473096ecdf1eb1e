//! Random steps of an operating system, a hypervisor and trustlets that try everything, between the steps of
//! a monitor that does its work; and the same with a monitor that has a fault, which has to be seen.

mod saboteur;
mod world;

use saboteur::Fault;
use world::World;

/// Steps of one world: after so many a new one begins, from another seed.
const STEPS: usize = 1_000;

/// Runs worlds from consecutive seeds, for so many steps in all.
fn run(steps: usize, fault: Option<Fault>) -> Result<(), String> {
    let mut done = 0;
    for seed in 0.. {
        let mut world = World::new(seed, fault);
        for step in 0..STEPS {
            world
                .step()
                .map_err(|violation| format!("seed {seed}, step {step}: {violation}"))?;
            done += 1;
            if done == steps {
                return Ok(());
            }
            if world.is_over() {
                break;
            }
        }
    }
    Ok(())
}

#[test]
fn nobody_gets_at_what_is_anothers() {
    run(200_000, None).unwrap();
}

#[test]
#[ignore = "takes longer; the same with more steps"]
fn nobody_gets_at_what_is_anothers_in_a_million_steps() {
    run(1_000_000, None).unwrap();
}

/// The monitor's step that `fault` breaks is needed: without it a violation is found.
fn is_found(fault: Fault) {
    let found = run(500_000, Some(fault));
    assert!(found.is_err(), "nobody has noticed: {fault:?}");
}

#[test]
fn a_page_that_is_not_emptied_is_found() {
    is_found(Fault::NoZero);
}

#[test]
fn a_page_that_is_emptied_after_it_was_granted_is_found() {
    is_found(Fault::LateZero);
}

#[test]
fn levels_that_are_mixed_up_are_found() {
    is_found(Fault::SwappedLevels);
}

#[test]
fn a_page_that_is_not_taken_from_the_system_is_found() {
    is_found(Fault::SystemKeeps);
}

#[test]
fn a_page_that_is_not_taken_from_the_level_below_the_system_is_found() {
    is_found(Fault::LowestKeeps);
}

#[test]
fn a_page_that_is_not_taken_from_trustlets_is_found() {
    is_found(Fault::TrustletsKeep);
}

#[test]
fn a_page_that_is_granted_before_it_is_validated_is_found() {
    is_found(Fault::NoValidation);
}

#[test]
fn a_page_that_is_validated_again_where_a_trustlet_misses_it_is_found() {
    is_found(Fault::ValidatesAgain);
}

#[test]
fn a_page_that_two_can_write_is_found() {
    is_found(Fault::WritableByTwo);
}

#[test]
fn code_that_trustlets_can_write_is_found() {
    is_found(Fault::WritableCode);
}

#[test]
fn a_page_that_stays_marked_as_a_state_is_found() {
    is_found(Fault::StaysState);
}

#[test]
fn a_state_that_is_given_up_while_a_processor_runs_is_found() {
    is_found(Fault::NoPark);
}

#[test]
fn a_state_that_is_looked_at_before_it_was_taken_is_found() {
    is_found(Fault::LooksEarly);
}

#[test]
fn a_processor_that_is_not_made_to_forget_is_found() {
    is_found(Fault::NoFlush);
}
