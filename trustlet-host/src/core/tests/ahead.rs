//! Who is given whose page and bell to wake it ahead.

use super::driver::{Driver, told};
use crate::calls::Call;

/// `ingress -> one -> two -> three -> egress`, each member placed by `cpus`: the gateway first.
fn line(cpus: [Option<u64>; 4], spin_ns: u64) -> Driver {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("line");
    let functions = ["one", "two", "three"].map(|name| driver.function(id, name, 1, &["out"]));
    for (function, cpu) in [0].into_iter().chain(functions).zip(cpus) {
        let cpu = cpu.unwrap_or(crate::calls::ANY_CPU);
        driver
            .load(
                Call::SetPlacement,
                [id, function, 0, cpu, spin_ns, 0],
                &[],
                Vec::new(),
            )
            .ok();
    }
    let mut from = 0;
    for to in functions.into_iter().chain([0]) {
        driver.edge([id, from, 0, to, 0, 0]);
        from = to;
    }
    driver.seal(id).ok();
    for instance in 1..=3 {
        driver.create(id, instance).ok();
    }
    driver
}

/// For each function, in order: how many it wakes ahead, and whether it shares its core.
fn given(driver: &Driver) -> Vec<(u32, u32)> {
    let processes = driver.processes();
    let functions = processes.iter().map(|process| {
        let told = told(driver.process(*process)).0.remove(0);
        assert_eq!(crate::ids::index(told.begin.wakes_ahead), told.ahead.len());
        (told.begin.wakes_ahead, told.begin.shares_core)
    });
    functions.collect()
}

#[test]
fn functions_that_take_turns_are_given_the_next_one_on_their_core() {
    // `one` wakes `three`, `two` the gateway, and `three` again `one`, for the next request.
    let driver = line([Some(0), Some(1), Some(0), Some(1)], 1_000);
    assert_eq!(given(&driver), [(1, 1); 3]);
    // With two neighbours on one core only who is before and after those on the other wakes ahead.
    let driver = line([Some(0), Some(1), Some(1), Some(0)], 1_000);
    assert_eq!(given(&driver), [(0, 1), (1, 1), (0, 1)]);
}

#[test]
fn functions_on_one_core_or_on_any_are_given_nobody_elses_bell() {
    for cpus in [[Some(0); 4], [None; 4], [Some(0), Some(1), Some(2), Some(3)]] {
        let driver = line(cpus, 1_000);
        let given = given(&driver);
        assert!(given.iter().all(|given| given.0 == 0), "{cpus:?}");
        let shares = u32::from(cpus[1] == cpus[0] && cpus[0].is_some());
        assert!(given.iter().all(|given| given.1 == shares), "{cpus:?}");
    }
}

#[test]
fn who_does_not_look_for_work_is_not_woken_ahead() {
    let driver = line([Some(0), Some(1), Some(0), Some(1)], 0);
    assert!(given(&driver).iter().all(|given| given.0 == 0));
}

#[test]
fn who_takes_turns_or_shares_its_core_with_many_lets_its_waker_finish() {
    let patient = |cpus, spin_ns| {
        let driver = line(cpus, spin_ns);
        let processes = driver.processes();
        processes
            .iter()
            .map(|process| driver.process(*process).patient)
            .collect::<Vec<_>>()
    };
    assert_eq!(patient([Some(0), Some(1), Some(0), Some(1)], 1_000), [true; 3]);
    assert_eq!(patient([Some(0), Some(1), Some(0), Some(1)], 0), [false; 3]);
    assert_eq!(patient([Some(0); 4], 0), [true; 3]);
    assert_eq!(patient([None, Some(0), Some(0), Some(0)], 0), [false; 3]);
    assert_eq!(patient([None; 4], 0), [false; 3]);
}

#[test]
fn one_further_bell_and_page_and_nothing_else_come_with_it() {
    let with = line([Some(0), Some(1), Some(0), Some(1)], 1_000);
    let without = line([Some(0), Some(1), Some(0), Some(1)], 0);
    for (with_it, without_it) in with.processes().into_iter().zip(without.processes()) {
        let (with_it, without_it) = (with.process(with_it), without.process(without_it));
        assert!(with_it.doorbells.is_superset(&without_it.doorbells));
        assert!(with_it.readable.is_superset(&without_it.readable));
        assert!(with_it.doorbells.len() <= without_it.doorbells.len() + 1);
        assert!(with_it.readable.len() <= without_it.readable.len() + 1);
        assert_eq!(with_it.writable, without_it.writable);
    }
    assert_ne!(given(&with), given(&without));
}
