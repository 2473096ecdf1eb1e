//! What a process is told, and its life.

use super::driver::{Driver, chain, function, name, text, told};
use crate::calls::{Call, GATEWAY_PROCESS, InstanceEntry, InstanceState, ResultCode};
use crate::core::{Caller, EndReason, Event, Owner};
use crate::ids::{ChainId, InstanceNumber};
use crate::simulated::SimulatedFile;
use hacher_data_path::aead::keys::{KeyContext, epoch_secret};
use hacher_data_path::attach::message::{MessageHeader, kind};
use hacher_data_path::fault::end::End;
use zerocopy::{FromBytes, IntoBytes};

fn instance(driver: &mut Driver, chain: u64, instance: u64) -> InstanceEntry {
    let answer = driver
        .daemon(Call::QueryInstance, [chain, instance, 0, 0, 0, 0])
        .ok();
    InstanceEntry::read_from_bytes(&answer.operand).unwrap()
}

#[test]
fn an_attachment_matches_the_chain() {
    let mut driver = Driver::with_gateway();
    let chain = driver.thumbnails("t");
    assert_eq!(driver.create(chain, 1).ok().values[0], 1);
    let process = driver.process(driver.latest()).clone();
    let (attachments, _) = told(&process);
    let decode = &attachments[0];
    assert_eq!(decode.begin.function, name("decode"));
    assert_eq!(
        (
            decode.begin.instance,
            decode.begin.instance_epoch,
            decode.begin.role
        ),
        (1, 1, 0)
    );
    assert_eq!(decode.begin.error_port, u32::MAX);
    // From the gateway alone.
    assert_eq!(decode.inbound.len(), 1);
    assert_eq!(decode.inbound[0].upstream, name("ingress"));
    assert_eq!(decode.inbound[0].gapless, 1);
    // out, reject, and the implicit fault.
    assert_eq!(decode.ports.len(), 3);
    assert_eq!(decode.ports[2].name, name("fault"));
    assert_eq!(decode.ports[2].fault, 1);
    // Two lanes of small, one of large, egress by reject, fault.
    let edges: Vec<_> = decode
        .edges
        .iter()
        .map(|edge| (edge.port_index, edge.ring, edge.lane, edge.lanes, edge.to_gateway))
        .collect();
    assert_eq!(
        edges,
        [
            (0, 0, 0, 2, 0),
            (0, 1, 1, 2, 0),
            (0, 2, 0, 1, 0),
            (1, 3, 0, 1, 1),
            (2, 4, 0, 1, 1)
        ]
    );
    assert_eq!(decode.begin.ring_count, 5);
    assert_eq!(process.writable.len(), 2);
    // The gateway's outbox, and the pages of small (2), large and the gateway.
    assert_eq!(process.readable.len(), 5);
    assert_eq!(process.limits.descriptors, 3 + 2 * 6);
}

#[test]
fn rings_of_both_ends_agree() {
    let mut driver = Driver::with_gateway();
    let chain = driver.thumbnails("t");
    driver.core.finish_loading().unwrap();
    driver.create_gateway().ok();
    for instance in 1..=5 {
        driver.create(chain, instance).ok();
    }
    let all: Vec<_> = driver
        .processes()
        .into_iter()
        .map(|process| told(driver.process(process)).0.remove(0))
        .collect();
    let mut rings = 0;
    for consumer in &all {
        for (at, inbound) in consumer.inbound.iter().enumerate() {
            let producer = all
                .iter()
                .find(|other| other.begin.instance == inbound.producer_instance)
                .unwrap();
            assert_eq!(producer.begin.ring_count, inbound.producer_ring_count);
            let edge = producer
                .edges
                .iter()
                .find(|edge| edge.ring == inbound.ring)
                .unwrap();
            assert_eq!(crate::ids::index(edge.consumer_inbound), at);
            assert_eq!(edge.consumer_inbound_count, consumer.begin.inbound_count);
            assert_eq!(edge.consumer_port_count, consumer.begin.port_count);
            let port = &producer.ports[crate::ids::index(edge.port_index)];
            assert_eq!(port.port, inbound.port);
            assert_eq!(port.name, inbound.port_name);
            let expected = epoch_secret(
                &hacher_data_path::aead::keys::SecretBytes::new(inbound.port_secret),
                KeyContext {
                    chain_digest: &consumer.begin.chain_digest,
                    chain_epoch: consumer.begin.chain_epoch,
                    port: inbound.port,
                    instance: inbound.producer_instance,
                },
                producer.begin.instance_epoch,
            );
            assert_eq!(port.epoch_secret, *expected.expose());
            rings += 1;
        }
    }
    // 1 + (2 + 1) + (2 + 1) + 1 + 1, and a fault ring for each of five instances.
    assert_eq!(rings, 9 + 5);
    let pack = all
        .iter()
        .find(|told| told.begin.function == name("pack"))
        .unwrap();
    let members: Vec<_> = pack
        .inbound
        .iter()
        .map(|inbound| (inbound.group, inbound.group_width, inbound.member))
        .collect();
    assert_eq!(members, [(0, 2, 0), (0, 2, 0), (0, 2, 1)]);
}

#[test]
fn a_replacement_gets_the_same_regions_and_new_keys() {
    let mut driver = Driver::with_gateway();
    let chain = driver.thumbnails("t");
    driver.create(chain, 2).ok();
    let first = driver.latest();
    assert_eq!(driver.create(chain, 2).code, ResultCode::SlotLive);
    driver.die(first);
    assert_eq!(driver.create(chain, 2).ok().values[0], 2);
    let second = driver.latest();
    assert_ne!(first, second);
    let (before, after) = (driver.process(first).clone(), driver.process(second).clone());
    assert_eq!(before.writable, after.writable);
    assert_eq!(before.readable, after.readable);
    let (before, after) = (told(&before).0.remove(0), told(&after).0.remove(0));
    assert_eq!(after.begin.instance_epoch, 2);
    for (old, new) in before.ports.iter().zip(&after.ports) {
        assert_ne!(old.epoch_secret, new.epoch_secret);
    }
    assert_eq!(before.inbound[0].port_secret, after.inbound[0].port_secret);
}

#[test]
fn a_process_that_did_not_start_uses_up_its_epoch() {
    let mut driver = Driver::with_gateway();
    let chain = driver.thumbnails("t");
    driver.core.platform_mut().refuse_spawns = true;
    assert_eq!(driver.create(chain, 1).code, ResultCode::Busy);
    driver.core.platform_mut().refuse_spawns = false;
    assert_eq!(driver.create(chain, 1).ok().values[0], 2);
}

#[test]
fn a_process_that_cannot_be_attached_is_killed_and_stays_the_writer_until_it_is_gone() {
    let mut driver = Driver::with_gateway();
    let chain = driver.thumbnails("t");
    driver.core.platform_mut().refuse_sends = true;
    assert_eq!(driver.create(chain, 1).code, ResultCode::Busy);
    driver.core.platform_mut().refuse_sends = false;
    assert!(driver.process(driver.latest()).killed);
    assert_eq!(driver.create(chain, 1).code, ResultCode::SlotLive);
    driver.die(driver.latest());
    driver.create(chain, 1).ok();
}

#[test]
fn states_follow_the_life_of_a_process() {
    let mut driver = Driver::with_gateway();
    let chain = driver.thumbnails("t");
    let state = |driver: &mut Driver| InstanceState::from_number(instance(driver, chain, 1).state).unwrap();
    assert_eq!(state(&mut driver), InstanceState::Absent);
    driver.create(chain, 1).ok();
    let process = driver.latest();
    assert_eq!(state(&mut driver), InstanceState::Starting);
    assert!(driver.core.ready(process));
    assert_eq!(state(&mut driver), InstanceState::Ready);
    assert!(!driver.core.ready(process), "it has nothing more to answer");
    assert_eq!(
        driver.daemon(Call::DeleteTrustlet, [chain, 1, 7, 0, 0, 0]).code,
        ResultCode::Stale
    );
    let overran = EndReason::Overran.number();
    driver
        .daemon(Call::DeleteTrustlet, [chain, 1, 1, overran, 0, 0])
        .ok();
    assert_eq!(state(&mut driver), InstanceState::Ending);
    driver.die(process);
    assert_eq!(state(&mut driver), InstanceState::Absent);
    let entry = instance(&mut driver, chain, 1);
    assert_eq!(
        (
            entry.deaths,
            End::decode(entry.last_end_kind, entry.last_end_code)
        ),
        (1, Some(End::Overran))
    );
    let events: Vec<_> = core::iter::from_fn(|| driver.core.next_event()).collect();
    let owner = Owner::Function(ChainId(0), InstanceNumber(1));
    assert_eq!(events[0], Event::ChainSealed { chain: ChainId(0) });
    assert_eq!(events[1], Event::InstanceReady { owner, epoch: 1 });
    assert!(matches!(events[2], Event::InstanceDied { epoch: 1, .. }));
    driver.core.died(process, super::driver::EXIT);
    assert_eq!(driver.core.next_event(), None, "a process dies once");
}

#[test]
fn the_gateway_is_attached_to_every_chain_and_then_listens() {
    let mut driver = Driver::with_gateway();
    let first = driver.thumbnails("a");
    driver.thumbnails("b");
    driver.listen(0).ok();
    assert_eq!(driver.create_gateway().code, ResultCode::InvalidRequest);
    driver.core.finish_loading().unwrap();
    driver.create_gateway().ok();
    let process = driver.latest();
    let (attachments, listens) = told(driver.process(process));
    assert!(listens);
    assert_eq!(attachments.len(), 2);
    assert_eq!(driver.process(process).writable.len(), 4);
    assert_eq!(driver.process(process).files, 1);
    assert!(
        attachments
            .iter()
            .all(|told| told.begin.role == 1 && told.begin.instance == 0)
    );
    // Its own port alone; the fault ports of five functions' six instances, egress and reject.
    assert_eq!(attachments[0].ports.len(), 1);
    assert_eq!(
        attachments[0]
            .inbound
            .iter()
            .filter(|inbound| inbound.fault == 1)
            .count(),
        5
    );
    driver.core.ready(process);
    assert_eq!(
        instance(&mut driver, first, 0).state,
        InstanceState::Starting.number()
    );
    driver.core.ready(process);
    assert_eq!(
        instance(&mut driver, first, 0).state,
        InstanceState::Ready.number()
    );
    assert_eq!(driver.create(first, 0).code, ResultCode::InvalidParameter);
    assert_eq!(
        driver.daemon(Call::DeleteTrustlet, [first, 0, 1, 0, 0, 0]).code,
        ResultCode::InvalidParameter
    );
    driver
        .daemon(Call::DeleteTrustlet, [GATEWAY_PROCESS, 0, 1, 0, 0, 0])
        .ok();
    assert_eq!(driver.create_gateway().code, ResultCode::SlotLive);
    driver.die(process);
    assert_eq!(driver.create_gateway().ok().values[0], 2);
    let (attachments, listens) = told(driver.process(driver.latest()));
    assert!(listens && attachments.len() == 2 && attachments[0].begin.instance_epoch == 2);
}

#[test]
fn the_gateway_is_locked_down_before_it_is_given_anything() {
    let mut driver = Driver::with_gateway();
    driver.thumbnails("a");
    driver
        .load(
            Call::SetListener,
            [0; 6],
            b"127.0.0.1:1",
            vec![SimulatedFile::Listener],
        )
        .ok();
    driver.core.finish_loading().unwrap();
    driver.create_gateway().ok();
    let kinds: Vec<u32> = driver
        .process(driver.latest())
        .messages
        .iter()
        .map(|message| MessageHeader::read_from_prefix(message).unwrap().0.kind)
        .collect();
    assert_eq!(kinds.first(), Some(&kind::LOCKDOWN));
    assert_eq!(kinds.iter().filter(|&&sent| sent == kind::LOCKDOWN).count(), 1);
    assert_eq!(kinds.last(), Some(&kind::LISTEN));
}

#[test]
fn line_breaks_at_the_end_of_a_secret_go_where_that_is_asked_for() {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("s");
    let one = driver.function(id, "one", 1, &["out"]);
    for (key, trim) in [("KEPT", 0), ("TRIMMED", 1)] {
        let value = text("\nsword\nfish\r\n\n");
        driver
            .load(
                Call::AddSecret,
                [id, one, trim, 0, 0, 0],
                name(key).as_bytes(),
                vec![value],
            )
            .ok();
    }
    let answer = driver.load(
        Call::AddSecret,
        [id, one, 2, 0, 0, 0],
        name("X").as_bytes(),
        vec![text("x")],
    );
    assert_eq!(answer.code, ResultCode::InvalidParameter);
    driver.edge([id, 0, 0, one, 0, 0]);
    driver.edge([id, one, 0, 0, 0, 0]);
    driver.seal(id).ok();
    driver.create(id, 1).ok();
    let process = driver.process(driver.latest()).clone();
    let secrets = &told(&process).0[0].secrets;
    assert!(
        secrets
            .iter()
            .any(|secret| secret.ends_with(b"\nsword\nfish\r\n\n"))
    );
    assert!(secrets.iter().any(|secret| secret.ends_with(b"\nsword\nfish")));
}

#[test]
fn secrets_and_variables_go_to_their_function_alone() {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("s");
    let one = driver.function(id, "one", 1, &["out"]);
    let two = driver.function(id, "two", 1, &["out"]);
    driver
        .load(
            Call::AddSecret,
            [id, one, 0, 0, 0, 0],
            name("API_KEY").as_bytes(),
            vec![text("swordfish")],
        )
        .ok();
    driver
        .load(Call::AddVariable, [id, two, 4, 0, 0, 0], b"MODEfast", Vec::new())
        .ok();
    driver
        .load(Call::SetPlacement, [id, one, 0, 1, 5_000, 1], &[], Vec::new())
        .ok();
    driver.edge([id, 0, 0, one, 0, 0]);
    driver.edge([id, one, 0, two, 0, 0]);
    driver.edge([id, two, 0, 0, 0, 0]);
    driver.seal(id).ok();
    driver.create(id, 1).ok();
    let first = driver.process(driver.latest()).clone();
    driver.create(id, 2).ok();
    let second = driver.process(driver.latest()).clone();
    let secrets = &told(&first).0[0].secrets;
    assert_eq!(secrets.len(), 1);
    assert!(secrets[0].ends_with(b"swordfish"));
    assert!(told(&second).0[0].secrets.is_empty());
    assert!(first.environment.is_empty());
    assert_eq!(second.environment, [("MODE".to_owned(), "fast".to_owned())]);
    assert_eq!((first.cpu, second.cpu), (Some(1), None));
    assert_eq!(told(&first).0[0].begin.spin_ns, 5_000);
    assert_eq!(
        [&first, &second].map(|process| told(process).0[0].begin.waiting),
        [1, 0]
    );
}

#[test]
fn sealing_that_fails_leaves_the_chain_open_and_sealable() {
    let mut driver = Driver::with_gateway();
    let id = driver.begin("s");
    let one = driver.function(id, "one", 1, &["out"]);
    driver.edge([id, 0, 0, one, 0, 0]);
    assert_eq!(driver.seal(id).code, ResultCode::BadGraph);
    driver.edge([id, one, 0, 0, 0, 0]);
    driver.core.platform_mut().region_limit = 1;
    assert_eq!(driver.seal(id).code, ResultCode::Busy);
    assert_eq!(driver.create(id, 1).code, ResultCode::NotSealed);
    driver.core.platform_mut().region_limit = u32::MAX;
    let digest = driver.seal(id).ok().operand;
    assert_eq!(digest.len(), 48);
    assert_eq!(driver.seal(id).code, ResultCode::Sealed);
}

#[test]
fn nothing_is_added_to_a_sealed_chain() {
    let mut driver = Driver::with_gateway();
    let id = driver.thumbnails("t");
    let here = [id, 1, 0, 0, 0, 0];
    for (call, operand, files) in [
        (
            Call::AddFunction,
            function("new", 1).as_bytes().to_vec(),
            vec![text("p")],
        ),
        (Call::AddLibrary, b"/lib/x".to_vec(), vec![text("p")]),
        (Call::AddVariable, b"".to_vec(), vec![]),
        (Call::AddSecret, name("S").as_bytes().to_vec(), vec![text("p")]),
        (Call::AddPort, name("p").as_bytes().to_vec(), vec![]),
        (Call::AddEdge, vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![]),
        (Call::SetSystemCalls, vec![], vec![]),
        (Call::SetPlacement, vec![], vec![]),
    ] {
        let answer = driver.call(Caller::Loader, call, here, &operand, files);
        assert_eq!(answer.code, ResultCode::Sealed, "{call:?}");
    }
    let answer = driver.load(
        Call::AddLibrary,
        [GATEWAY_PROCESS, 0, 0, 0, 0, 0],
        b"/lib/x",
        vec![text("p")],
    );
    assert_eq!(answer.code, ResultCode::Sealed);
    driver.core.finish_loading().unwrap();
    let answer = driver.load(Call::BeginChain, [0; 6], chain("late").as_bytes(), vec![]);
    assert_eq!(answer.code, ResultCode::InvalidRequest);
}
