//! What is promised of seats and of `auto`.

use super::*;

const LINE: &str = "ingress -> a -> b -> egress";
const FAN: &str = "ingress -> a & b -> c -> egress";

fn chain_with(flow: &str, placement: &str, ingress: &str, function: &str) -> Chain {
    let functions: String = flow
        .split([' ', '-', '>', '&'])
        .filter(|name| !["", "ingress", "egress"].contains(name))
        .collect::<std::collections::BTreeSet<_>>()
        .iter()
        .map(|name| format!("[function.{name}]\nexec = \"x\"\n{function}\n"))
        .collect();
    let text = format!(
        "chain = \"t\"\nversion = \"1\"\nplacement = \"{placement}\"\nflow = [\"{flow}\"]\n[ingress]\n{ingress}\n{functions}"
    );
    hacher_chain_dsl::check(&text, "t.toml").unwrap().into_chain()
}

fn chain(flow: &str, placement: &str) -> Chain {
    chain_with(flow, placement, "", "")
}

fn line(functions: usize) -> String {
    let names: String = (0..functions).map(|at| format!("f{at} -> ")).collect();
    format!("ingress -> {names}egress")
}

fn auto(flow: &str, cpus: &[u32], front: Front) -> Chosen {
    seat_all(&[&chain(flow, "auto")], cpus, front).remove(0).chosen
}

fn cpus(count: u32) -> Vec<u32> {
    (0..count).collect()
}

#[test]
fn nobody_looks_for_work_on_a_single_core() {
    for placement in ["packed", "spread", "auto"] {
        let seating = seat_all(&[&chain(LINE, placement)], &[3], Front::Driver).remove(0);
        let seat = Seat {
            cpu: Some(3),
            waiting: Waiting::Sleep,
            spin_ns: 0,
        };
        assert_eq!(
            (seating.gateway, seating.of(0), seating.of(1)),
            (seat, seat, seat)
        );
    }
}

#[test]
fn what_a_function_starts_is_kept_on_one_core_only_where_the_file_says_so() {
    let chain = |placement| chain_with(LINE, placement, "", "syscalls = \"program\"");
    let seating = seat_all(&[&chain("auto")], &cpus(2), Front::Http).remove(0);
    assert_eq!(seating.chosen, Chosen::Floating);
    assert_eq!((seating.of(0).cpu, seating.of(1).cpu), (None, None));
    let seating = seat_all(&[&chain("packed")], &cpus(2), Front::Http).remove(0);
    assert_eq!(seating.chosen, Chosen::Packed);
}

#[test]
fn a_spread_line_crosses_cores_at_every_hop() {
    let seating = seat(&chain(&line(3), "spread"), &[4, 7]);
    let way: Vec<_> = [
        seating.gateway,
        seating.of(0),
        seating.of(1),
        seating.of(2),
        seating.gateway,
    ]
    .iter()
    .map(|seat| seat.cpu)
    .collect();
    assert_eq!(way, [4, 7, 4, 7, 4].map(Some));
}

#[test]
fn a_spread_line_follows_its_flow_and_not_the_order_of_the_file() {
    let text = "chain = \"t\"\nversion = \"1\"\nplacement = \"spread\"\nflow = [\"ingress -> z -> y -> x -> egress\"]\n\
                [function.x]\nexec = \"x\"\n[function.y]\nexec = \"x\"\n[function.z]\nexec = \"x\"\n";
    let chain = hacher_chain_dsl::check(text, "t.toml").unwrap().into_chain();
    let seating = seat(&chain, &cpus(4));
    let of: Vec<_> = chain
        .functions()
        .iter()
        .enumerate()
        .map(|(nth, function)| (function.name(), seating.of(nth).cpu))
        .collect();
    for (name, cpu) in [("z", 1), ("y", 2), ("x", 3)] {
        assert!(of.contains(&(name, Some(cpu))), "{of:?}");
    }
}

#[test]
fn a_spread_line_with_more_members_than_cores_takes_turns_over_two_of_them() {
    for cores in [2, 3] {
        let seating = seat_all(&[&chain(&line(4), "spread")], &cpus(cores), Front::Driver).remove(0);
        let seats = [
            seating.gateway,
            seating.of(0),
            seating.of(1),
            seating.of(2),
            seating.of(3),
        ];
        assert_eq!(seats.map(|seat| seat.cpu), [0, 1, 0, 1, 0].map(Some));
        // All look once they are woken ahead.
        assert!(
            seats
                .iter()
                .all(|seat| seat.spin_ns > 0 && seat.waiting == Waiting::TakeTurns)
        );
    }
}

#[test]
fn branches_do_not_take_turns() {
    let seating = seat_all(&[&chain(FAN, "spread")], &cpus(2), Front::Driver).remove(0);
    assert!((0..3).all(|nth| seating.of(nth).spin_ns == 0 || seating.of(nth).cpu != seating.gateway.cpu));
}

#[test]
fn only_who_has_a_core_to_itself_looks() {
    let enough = seat_all(&[&chain(LINE, "spread")], &cpus(3), Front::Driver).remove(0);
    let looking = |seat: Seat| seat.spin_ns > 0 && seat.waiting == Waiting::Look;
    assert!(looking(enough.gateway) && looking(enough.of(0)) && looking(enough.of(1)));
    let short = seat_all(&[&chain(FAN, "spread")], &cpus(3), Front::Driver).remove(0);
    // The gateway and the last function share a core.
    assert!(!looking(short.gateway) && !looking(short.of(2)));
    assert!(looking(short.of(0)) && looking(short.of(1)));
}

#[test]
fn the_http_gateway_never_looks() {
    let seating = seat(&chain(LINE, "spread"), &cpus(8));
    assert_eq!(seating.gateway.spin_ns, 0);
    assert!(seating.of(0).spin_ns > 0);
}

#[test]
fn chains_that_are_served_together_do_not_look_on_each_others_cores() {
    let (first, second) = (chain(LINE, "spread"), chain(LINE, "spread"));
    let few = seat_all(&[&first, &second], &cpus(3), Front::Http);
    assert!(few.iter().all(|seating| seating.of(0).spin_ns == 0));
    let packed = seat_all(
        &[&chain(LINE, "packed"), &chain(LINE, "packed")],
        &cpus(2),
        Front::Http,
    );
    assert_eq!((packed[0].of(1).cpu, packed[1].of(1).cpu), (Some(0), Some(1)));
    assert_eq!(packed[0].gateway.cpu, None);
}

#[test]
fn the_gateway_sits_with_the_only_packed_chain() {
    let seating = seat(&chain(LINE, "packed"), &[5, 6]);
    assert_eq!((seating.gateway.cpu, seating.of(1).cpu), (Some(5), Some(5)));
}

#[test]
fn auto_packs_short_lines_behind_the_gateway_which_sleeps() {
    for functions in [1, 2, 4] {
        for cores in [1, 2, 8, 64] {
            assert_eq!(auto(&line(functions), &cpus(cores), Front::Http), Chosen::Packed);
        }
    }
}

#[test]
fn auto_has_long_lines_take_turns_over_two_cores() {
    for functions in [8, 16, 32] {
        assert_eq!(auto(&line(functions), &cpus(2), Front::Http), Chosen::Spread);
    }
    assert_eq!(auto(&line(32), &cpus(1), Front::Http), Chosen::Packed);
    for functions in [1, 2, 4, 8, 16, 32] {
        assert_eq!(auto(&line(functions), &cpus(2), Front::Driver), Chosen::Spread);
    }
}

#[test]
fn auto_keeps_few_cores_busy_with_looking_however_many_there_are() {
    assert_eq!(auto(&line(3), &cpus(64), Front::Driver), Chosen::Spread);
    assert_eq!(auto(&line(4), &cpus(64), Front::Driver), Chosen::Packed);
}

#[test]
fn auto_lets_branches_and_instances_work_at_the_same_time() {
    for cores in [2, 8] {
        assert_ne!(auto(FAN, &cpus(cores), Front::Http), Chosen::Packed);
        let several = chain_with(&line(1), "auto", "", "instances = 2");
        assert_ne!(seat(&several, &cpus(cores)).chosen, Chosen::Packed);
    }
    assert_eq!(auto(FAN, &cpus(1), Front::Http), Chosen::Packed);
}

#[test]
fn a_large_bound_on_bodies_alone_does_not_move_a_chain_to_several_cores() {
    let large = chain_with(LINE, "auto", "max_body = \"32MiB\"", "");
    let seating = seat(&large, &cpus(2));
    assert_eq!(seating.chosen, Chosen::Packed);
    // But it is told what the largest would gain.
    let of = |chosen| {
        let estimate = seating
            .estimates
            .iter()
            .filter(|estimate| estimate.chosen == chosen);
        estimate.map(|estimate| estimate.request_ns).max().unwrap()
    };
    assert!(of(Chosen::Spread) < of(Chosen::Packed));
}

#[test]
fn each_instance_has_a_seat() {
    let chain = chain_with(LINE, "spread", "", "instances = 3");
    let seating = seat(&chain, &cpus(8));
    let taken: std::collections::BTreeSet<_> = (0..6).map(|nth| seating.of(nth).cpu).collect();
    assert_eq!(taken.len(), 6);
}
