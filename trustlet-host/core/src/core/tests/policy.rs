//! Who may do what, and what is refused.

use super::driver::{Driver, chain, function, name, text};
use crate::calls::{
    Call, ChainDefinition, ChainEntry, EdgeEntry, FunctionEntry, InboundEntry, MonitorEntry, PortEntry,
    ResultCode, Statistics, protection,
};
use crate::core::LoadError;
use crate::simulated::{SIMULATED_MEMORY_BYTES, SimulatedFile};
use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::attach::message::Tracing;
use zerocopy::{FromBytes, IntoBytes};

#[test]
fn each_caller_has_its_calls_and_no_others() {
    let mut driver = Driver::with_gateway();
    for &call in Call::ALL {
        let number = call.number();
        let loader = driver.load(call, [u64::MAX; 6], &[], Vec::new()).code;
        let daemon = driver.daemon(call, [u64::MAX; 6]).code;
        if (16..32).contains(&number) || (48..64).contains(&number) {
            assert_eq!(daemon, ResultCode::NotPermitted, "{call:?}");
            assert_ne!(loader, ResultCode::NotPermitted, "{call:?}");
        } else {
            assert_ne!(daemon, ResultCode::NotPermitted, "{call:?}");
        }
        let for_daemon_alone = [
            Call::QueryInstance,
            Call::QueryAdmin,
            Call::QueryMemory,
            Call::QueryRefused,
            Call::CreateTrustlet,
            Call::DeleteTrustlet,
            Call::DaemonReady,
            Call::SetReadiness,
            Call::ReachCollector,
        ];
        assert_eq!(
            loader == ResultCode::NotPermitted,
            for_daemon_alone.contains(&call),
            "{call:?}"
        );
    }
}

#[test]
fn the_daemon_reaches_the_collector_that_the_operator_has_named_and_no_other() {
    let mut driver = Driver::with_gateway();
    let refused = driver.daemon(Call::ReachCollector, [0; 6]);
    assert_eq!(refused.code, ResultCode::InvalidRequest);
    assert!(refused.descriptors.is_empty());
    driver.core.trace(Tracing {
        parent_based: 1,
        reserved: 0,
        threshold: 1 << 63,
    });
    let reached = driver.daemon(Call::ReachCollector, [0; 6]);
    assert_eq!(
        (reached.code, reached.descriptors.as_slice()),
        (ResultCode::Success, &["collector".to_owned()][..])
    );
    let asked = driver.load(Call::ReachCollector, [0; 6], &[], Vec::new());
    assert_eq!(asked.code, ResultCode::NotPermitted);
}

#[test]
fn values_out_of_their_range_are_refused() {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("c");
    let good = function("f", 1);
    let changes: [fn(&mut FunctionLimits); 14] = [
        |limits| limits.memory_bytes = 0,
        |limits| limits.scratch_bytes = u64::MAX,
        |limits| limits.outbox_bytes = 1,
        |limits| limits.timeout_ns = 0,
        |limits| limits.retry_backoff_ns = u64::MAX,
        |limits| limits.retry_max_ns = u64::MAX,
        |limits| limits.retry_factor_milli = 999,
        |limits| limits.retry_attempts = 0,
        |limits| limits.retry_jitter = 2,
        |limits| limits.instances = 0,
        |limits| limits.instances = 65,
        |limits| limits.threads = 0,
        |limits| limits.logs = 2,
        |limits| limits.outbox_flags = 8,
    ];
    for change in changes {
        let mut case = good;
        change(&mut case.limits);
        let answer = driver.load(
            Call::AddFunction,
            [id, 0, 0, 0, 0, 0],
            case.as_bytes(),
            vec![text("p")],
        );
        assert_eq!(answer.code, ResultCode::InvalidParameter, "{case:?}");
    }
    let good = chain("d");
    let cases = [
        ChainDefinition {
            max_body_bytes: 0,
            ..good
        },
        ChainDefinition {
            max_reply_bytes: 0,
            ..good
        },
        ChainDefinition {
            deadline_ns: 0,
            ..good
        },
        ChainDefinition {
            gateway_outbox_bytes: 0,
            ..good
        },
        ChainDefinition { in_flight: 0, ..good },
        ChainDefinition {
            protection: 0,
            ..good
        },
    ];
    for case in cases {
        let answer = driver.load(Call::BeginChain, [0; 6], case.as_bytes(), vec![]);
        assert_eq!(answer.code, ResultCode::InvalidParameter, "{case:?}");
    }
}

#[test]
fn names_are_unique_and_some_are_reserved() {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("c");
    let answer = driver.load(Call::BeginChain, [0; 6], chain("c").as_bytes(), vec![]);
    assert_eq!(answer.code, ResultCode::NameTaken);
    driver.function(id, "f", 1, &["out"]);
    for taken in ["f", "ingress", "egress", "gateway"] {
        let definition = function(taken, 1);
        let answer = driver.load(
            Call::AddFunction,
            [id, 0, 0, 0, 0, 0],
            definition.as_bytes(),
            vec![text("p")],
        );
        assert_eq!(answer.code, ResultCode::NameTaken, "{taken}");
    }
    for taken in ["out", "fault"] {
        let answer = driver.load(Call::AddPort, [id, 1, 0, 0, 0, 0], name(taken).as_bytes(), vec![]);
        assert_eq!(answer.code, ResultCode::NameTaken, "{taken}");
    }
    // A name with other bytes behind its text is the same name.
    let mut bytes = name("f").as_bytes().to_vec();
    bytes[40] = 1;
    let mut definition = function("f", 1);
    definition.name = hacher_data_path::name::Name::read_from_bytes(&bytes).unwrap();
    let answer = driver.load(
        Call::AddFunction,
        [id, 0, 0, 0, 0, 0],
        definition.as_bytes(),
        vec![text("p")],
    );
    assert_eq!(answer.code, ResultCode::NameTaken);
}

#[test]
fn graphs_that_carry_nothing_are_refused() {
    type Edges = &'static [[u64; 5]];
    let cases: &[(&str, Edges)] = &[
        ("no edge", &[]),
        ("nothing in", &[[1, 0, 0, 0, 0], [1, 0, 2, 0, 0], [2, 0, 1, 0, 0]]),
        ("nothing out", &[[0, 0, 1, 0, 0], [1, 0, 2, 0, 0]]),
        ("unreached", &[[0, 0, 1, 0, 0], [1, 0, 0, 0, 0], [2, 0, 0, 1, 0]]),
        (
            "past all",
            &[[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [1, 0, 2, 0, 0], [2, 0, 0, 1, 0]],
        ),
        (
            "a cycle",
            &[[0, 0, 1, 0, 0], [1, 0, 2, 0, 0], [2, 0, 1, 1, 0], [2, 0, 0, 0, 0]],
        ),
        (
            "itself",
            &[[0, 0, 1, 0, 0], [1, 0, 1, 1, 0], [1, 0, 2, 0, 0], [2, 0, 0, 0, 0]],
        ),
        (
            "a gap in a join",
            &[[0, 0, 1, 0, 0], [1, 0, 2, 0, 0], [0, 0, 2, 0, 2], [2, 0, 0, 0, 0]],
        ),
        (
            "a gap in groups",
            &[[0, 0, 1, 0, 0], [1, 0, 2, 1, 0], [2, 0, 0, 0, 0]],
        ),
    ];
    for (what, edges) in cases {
        let mut driver = Driver::with_gateway();
        let id = driver.begin("c");
        driver.function(id, "one", 1, &["out"]);
        driver.function(id, "two", 1, &["out"]);
        for edge in *edges {
            driver.edge([id, edge[0], edge[1], edge[2], edge[3], edge[4]]);
        }
        assert_eq!(driver.seal(id).code, ResultCode::BadGraph, "{what}");
    }
}

#[test]
fn edges_between_what_is_not_there_are_refused() {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("c");
    driver.function(id, "one", 1, &["out"]);
    for edge in [
        [id, 9, 0, 1, 0, 0],
        [id, 1, 0, 9, 0, 0],
        [id, 1, 1, 0, 0, 0],
        [id, 0, 1, 1, 0, 0],
        [id, 0, 0, 1, 4096, 0],
        [9, 0, 0, 1, 0, 0],
        [u64::MAX, 0, 0, 1, 0, 0],
    ] {
        let answer = driver.protected_edge(edge, protection::SEALED);
        assert_eq!(answer.code, ResultCode::InvalidParameter, "{edge:?}");
    }
    driver.edge([id, 0, 0, 1, 0, 0]);
    let answer = driver.protected_edge([id, 0, 0, 1, 0, 0], protection::SEALED);
    assert_eq!(answer.code, ResultCode::NameTaken);
}

#[test]
fn tables_have_their_bounds() {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("c0");
    for at in 0..31 {
        driver.function(id, &format!("f{at}"), 64, &[]);
    }
    // 31 * 64 + 1 of 2,048 are used.
    let definition = function("last", 64);
    let answer = driver.load(
        Call::AddFunction,
        [id, 0, 0, 0, 0, 0],
        definition.as_bytes(),
        vec![text("p")],
    );
    assert_eq!(answer.code, ResultCode::LimitReached);
    for at in 1..64 {
        let answer = driver.load(
            Call::BeginChain,
            [0; 6],
            chain(&format!("c{at}")).as_bytes(),
            vec![],
        );
        assert_eq!(answer.code, ResultCode::Success, "{at}");
    }
    let answer = driver.load(Call::BeginChain, [0; 6], chain("c64").as_bytes(), vec![]);
    assert_eq!(answer.code, ResultCode::LimitReached);
    for at in 0..65 {
        // `error` on top of 64 declared ones.
        driver
            .load(
                Call::AddPort,
                [id, 1, 0, 0, 0, 0],
                name(&format!("p{at}")).as_bytes(),
                vec![],
            )
            .ok();
    }
    let answer = driver.load(
        Call::AddPort,
        [id, 1, 0, 0, 0, 0],
        name("more").as_bytes(),
        vec![],
    );
    assert_eq!(answer.code, ResultCode::LimitReached);
}

#[test]
fn a_loader_that_leaves_a_chain_open_has_not_loaded() {
    let mut driver = Driver::with_gateway();
    assert_eq!(driver.core.finish_loading(), Err(LoadError::NoChain));
    driver.thumbnails("a");
    driver.begin("b");
    assert_eq!(driver.core.finish_loading(), Err(LoadError::Open("b".to_owned())));
}

#[test]
fn a_call_without_its_descriptor_is_refused() {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("c");
    driver.function(id, "f", 1, &["out"]);
    let answer = driver.load(
        Call::AddFunction,
        [id, 0, 0, 0, 0, 0],
        function("g", 1).as_bytes(),
        vec![],
    );
    assert_eq!(answer.code, ResultCode::InvalidAddress);
    let listener = SimulatedFile::Listener;
    let answer = driver.load(Call::SetListener, [0, 0, 0, 0, 0, 0], b"a", vec![text("file")]);
    assert_eq!(answer.code, ResultCode::InvalidAddress);
    driver
        .load(Call::SetListener, [0; 6], b"a", vec![listener.clone()])
        .ok();
    let answer = driver.load(Call::SetListener, [0; 6], b"a", vec![listener.clone()]);
    assert_eq!(answer.code, ResultCode::InvalidRequest);
    driver.load(Call::SetAdmin, [0; 6], &[], vec![listener]).ok();
    let answer = driver.daemon(Call::QueryAdmin, [0; 6]).ok();
    assert_eq!(
        (answer.values[0], answer.descriptors),
        (1, vec!["file".to_owned(), "doorbell 1".to_owned()])
    );
    let long = SimulatedFile::Bytes(vec![0; 8193]);
    let answer = driver.load(
        Call::AddSecret,
        [id, 1, 0, 0, 0, 0],
        name("s").as_bytes(),
        vec![long],
    );
    assert_eq!(answer.code, ResultCode::BadSecret);
}

#[test]
fn a_daemon_can_rebuild_its_view_from_queries() {
    let mut driver = Driver::with_gateway();
    let id = driver.thumbnails("t");
    driver.core.finish_loading().unwrap();
    driver.create(id, 5).ok();
    let monitor =
        MonitorEntry::read_from_bytes(&driver.daemon(Call::QueryMonitor, [0; 6]).ok().operand).unwrap();
    assert_eq!(
        (
            monitor.chain_count,
            monitor.layer_count,
            monitor.missing_layer_count
        ),
        (1, 2, 1)
    );
    assert_eq!(monitor.loaded, 1);
    let layer = driver.daemon(Call::QueryLayer, [1, 0, 0, 0, 0, 0]).ok();
    assert!(layer.operand.ends_with(b"this is a simulation"));
    let chain =
        ChainEntry::read_from_bytes(&driver.daemon(Call::QueryChain, [id, 0, 0, 0, 0, 0]).ok().operand)
            .unwrap();
    assert_eq!(
        (chain.function_count, chain.instance_count, chain.edge_count),
        (5, 6, 7)
    );
    // ingress, five declared, four implicit.
    assert_eq!(chain.port_count, 1 + 5 + 4);
    let small = driver.daemon(Call::QueryFunction, [id, 2, 0, 0, 0, 0]).ok();
    let small = FunctionEntry::read_from_bytes(&small.operand).unwrap();
    assert_eq!(
        (
            small.first_instance,
            small.definition.limits.instances,
            small.port_count
        ),
        (2, 2, 2)
    );
    let port = driver.daemon(Call::QueryPort, [id, 2, 0, 0, 0, 0]).ok();
    let port = PortEntry::read_from_bytes(&port.operand).unwrap();
    assert_eq!((port.name, port.function, port.index), (name("reject"), 1, 1));
    let edge = driver.daemon(Call::QueryEdge, [id, 4, 0, 0, 0, 0]).ok();
    let edge = EdgeEntry::read_from_bytes(&edge.operand).unwrap();
    assert_eq!(
        (edge.producer, edge.consumer, edge.member, edge.group_width),
        (3, 4, 1, 2)
    );
    let inbound = driver.daemon(Call::QueryInbound, [id, 5, 1, 0, 0, 0]).ok();
    assert_eq!(inbound.values[0], 3);
    let inbound = <[InboundEntry]>::ref_from_bytes(&inbound.operand).unwrap();
    let sources: Vec<_> = inbound.iter().map(|entry| (entry.edge, entry.producer)).collect();
    assert_eq!(sources, [(3, 3), (4, 4)]);
    let memory = driver.daemon(Call::QueryMemory, [id, 0, 0, 0, 0, 0]).ok();
    let instances = usize::try_from(memory.values[0]).unwrap();
    let bytes: Vec<u64> = memory
        .operand
        .chunks(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .collect();
    assert_eq!(bytes.len(), instances);
    let alive = bytes.iter().filter(|bytes| **bytes == SIMULATED_MEMORY_BYTES);
    assert_eq!(alive.count(), 1, "{bytes:?}");
    let last = [id, memory.values[0], 0, 0, 0, 0];
    assert!(driver.daemon(Call::QueryMemory, last).ok().operand.is_empty());
    let past = driver.daemon(Call::QueryMemory, [id, memory.values[0] + 1, 0, 0, 0, 0]);
    assert_eq!(past.code, ResultCode::InvalidParameter);
    let instance = driver.daemon(Call::QueryInstance, [id, 5, 0, 0, 0, 0]).ok();
    assert_eq!(instance.descriptors.len(), 1);
    let writable = &driver.process(driver.latest()).writable;
    let page = writable.last().unwrap();
    assert_eq!(instance.descriptors[0], format!("region {page}"));
    driver.create_gateway().ok();
    let gateway = driver.daemon(Call::QueryGateway, [0; 6]).ok();
    assert_eq!((gateway.values[0], gateway.descriptors.len()), (1, 1));
    assert!(
        driver
            .load(Call::QueryGateway, [0; 6], &[], vec![])
            .ok()
            .descriptors
            .is_empty()
    );
    let statistics =
        Statistics::read_from_bytes(&driver.daemon(Call::Statistics, [0; 6]).ok().operand).unwrap();
    assert_eq!(
        (statistics.created, statistics.live, statistics.refused_calls),
        (2, 2, 1)
    );
}
