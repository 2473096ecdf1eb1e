//! Who is given whose page and bell to wake it ahead.

use super::driver::{Driver, told};
use crate::calls::Call;
use hacher_data_path::waiting::Waiting;

/// `ingress -> one -> two -> three -> egress`, each member placed by `cpus`: the gateway first.
fn line(cpus: [Option<u64>; 4], spin_ns: u64) -> Driver {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("line");
    let functions = ["one", "two", "three"].map(|name| driver.function(id, name, 1, &["out"]));
    for (function, cpu) in [0].into_iter().chain(functions).zip(cpus) {
        let on_core = cpus
            .iter()
            .filter(|other| cpu.is_some() && **other == cpu)
            .count();
        let waiting = match (spin_ns, on_core) {
            (0, _) => Waiting::Sleep,
            (_, 0 | 1) => Waiting::Look,
            _ => Waiting::TakeTurns,
        };
        let cpu = cpu.unwrap_or(crate::calls::ANY_CPU);
        driver
            .load(
                Call::SetPlacement,
                [id, function, 0, cpu, spin_ns, u64::from(waiting.word())],
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

/// For each function, in order: how many it wakes ahead, and how it waits.
fn given(driver: &Driver) -> Vec<(u32, Waiting)> {
    let processes = driver.processes();
    let functions = processes.iter().map(|process| {
        let told = told(driver.process(*process)).0.remove(0);
        assert_eq!(crate::ids::index(told.begin.wakes_ahead), told.ahead.len());
        let waiting = Waiting::from_word(told.begin.waiting, told.begin.spin_ns);
        (told.begin.wakes_ahead, waiting.unwrap())
    });
    functions.collect()
}

#[test]
fn functions_that_take_turns_are_given_the_next_one_on_their_core() {
    // `one` wakes `three`, `two` the gateway, and `three` again `one`, for the next request.
    let driver = line([Some(0), Some(1), Some(0), Some(1)], 1_000);
    assert_eq!(given(&driver), [(1, Waiting::TakeTurns); 3]);
    // With two neighbours on one core only who is before and after those on the other wakes ahead.
    let driver = line([Some(0), Some(1), Some(1), Some(0)], 1_000);
    assert_eq!(given(&driver), [0, 1, 0].map(|count| (count, Waiting::TakeTurns)));
}

#[test]
fn functions_on_one_core_or_on_any_are_given_nobody_elses_bell() {
    for cpus in [[Some(0); 4], [None; 4], [Some(0), Some(1), Some(2), Some(3)]] {
        let driver = line(cpus, 1_000);
        let given = given(&driver);
        assert!(given.iter().all(|given| given.0 == 0), "{cpus:?}");
        let waiting = if cpus[1] == cpus[0] && cpus[0].is_some() {
            Waiting::TakeTurns
        } else {
            Waiting::Look
        };
        assert!(given.iter().all(|given| given.1 == waiting), "{cpus:?}");
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

#[test]
fn a_placement_that_contradicts_itself_is_refused() {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("line");
    let function = driver.function(id, "one", 1, &["out"]);
    let place = |driver: &mut Driver, spin_ns, waiting| {
        let arguments = [id, function, 0, 0, spin_ns, waiting];
        driver.load(Call::SetPlacement, arguments, &[], Vec::new()).code
    };
    for (spin_ns, waiting) in [(0, 1), (0, 2), (1_000, 0), (1_000, 3), (1_000, u64::MAX)] {
        let code = place(&mut driver, spin_ns, waiting);
        assert_ne!(code, place(&mut driver, 0, 0), "{spin_ns} ns, {waiting}");
    }
}
