//! Evidence: what a manifest says, who may have it, and whose keys go where.

use super::driver::{Driver, told};
use crate::calls::{Call, FunctionEntry, GATEWAY_PROCESS, GatewayEntry, MonitorEntry, ResultCode, tls};
use crate::core::Caller;
use crate::evidence::manifest::{Logs, Protection, Purpose, Trust};
use crate::evidence::{Evidence, Kind, Manifest, emulated};
use crate::ids::ProcessId;
use hacher_data_path::attach::message::{
    AskEvidence, EvidencePart, MessageHeader, RequestKey, evidence_purpose, evidence_status, kind,
};
use hacher_data_path::name::Name;
use x25519_dalek::{PublicKey, StaticSecret};
use zerocopy::FromBytes;

const NONCE: [u8; 64] = [5; 64];

/// All of the evidence for a chain, or for all of them, in its parts.
fn read(driver: &mut Driver, chain: u64, nonce: [u8; 64]) -> Vec<u8> {
    let mut evidence = Vec::new();
    loop {
        let from = u64::try_from(evidence.len()).unwrap();
        let arguments = [chain, from, 0, 0, 0, 0];
        let answer = driver.call(Caller::Daemon, Call::Evidence, arguments, &nonce, vec![]);
        let answer = answer.ok();
        evidence.extend_from_slice(&answer.operand);
        if u64::try_from(evidence.len()).unwrap() == answer.values[0] {
            return evidence;
        }
    }
}

/// What was vouched for.
fn verified(bytes: &[u8]) -> Manifest {
    let evidence = Evidence::decode(bytes).unwrap();
    assert_eq!(evidence.kind, Kind::Emulated);
    emulated::verify(&evidence.report, &evidence.expected_report_data(&NONCE)).unwrap();
    Manifest::decode(&evidence.manifest).unwrap()
}

fn manifest(driver: &mut Driver, chain: u64) -> Manifest {
    verified(&read(driver, chain, NONCE))
}

/// Chain `a` at the shared gateway, `b` at one of its own with TLS.
fn tenants() -> (Driver, [u64; 2]) {
    let mut driver = Driver::with_gateway();
    let own = driver.own_gateway(tls::SERVER);
    let chains = [driver.thumbnails_at(0, "a"), driver.thumbnails_at(own, "b")];
    driver.listen(0).ok();
    driver.listen(own).ok();
    driver.core.finish_loading().unwrap();
    (driver, chains)
}

fn start(driver: &mut Driver, gateway: u64) -> ProcessId {
    driver.create(GATEWAY_PROCESS, gateway).ok();
    driver.latest()
}

/// A gateway that serves what was defined.
fn serving(driver: &mut Driver) -> ProcessId {
    driver.core.finish_loading().unwrap();
    start(driver, 0)
}

/// What the daemon is answered who asks for evidence about a chain.
fn code(driver: &mut Driver, chain: u64) -> ResultCode {
    let arguments = [chain, 0, 0, 0, 0, 0];
    driver
        .call(Caller::Daemon, Call::Evidence, arguments, &NONCE, vec![])
        .code
}

/// What a process was sent of this kind: all that follows each header.
fn sent(driver: &Driver, process: ProcessId, wanted: u32) -> Vec<Vec<u8>> {
    let messages = driver.process(process).messages.iter();
    messages
        .filter_map(|message| {
            let (header, rest) = MessageHeader::read_from_prefix(message).unwrap();
            (header.kind == wanted).then(|| rest.to_vec())
        })
        .collect()
}

fn question(number: u32, chain: Option<&str>) -> AskEvidence {
    AskEvidence {
        number,
        purpose: evidence_purpose::NONCE,
        chain: chain.map_or(Name::none(), |chain| Name::new(chain).unwrap()),
        nonce: NONCE,
    }
}

/// The statuses of what a gateway was answered to its last question, and the bytes of it.
fn answered(driver: &Driver, process: ProcessId, number: u32) -> (Vec<u32>, Vec<u8>) {
    let (mut statuses, mut bytes) = (Vec::new(), Vec::new());
    for message in sent(driver, process, kind::EVIDENCE) {
        let (part, rest) = EvidencePart::read_from_prefix(&message).unwrap();
        assert_eq!(crate::ids::index(part.len_bytes), rest.len());
        if part.question == number {
            statuses.push(part.status);
            bytes.extend_from_slice(rest);
        }
    }
    (statuses, bytes)
}

#[test]
fn evidence_is_read_in_parts_and_verifies() {
    let mut driver = Driver::with_gateway();
    for at in 0..12 {
        driver.thumbnails(&format!("chain-{at}"));
    }
    serving(&mut driver);
    let bytes = read(&mut driver, GATEWAY_PROCESS, NONCE);
    assert!(bytes.len() > 2 * 4096);
    assert_eq!(
        driver.core.platform().reports.len(),
        1,
        "its parts are of one evidence"
    );
    let all = verified(&bytes);
    assert_eq!(all.chains.len(), 12);
    assert_eq!(all.trust, Trust::OperatingSystem);
    assert_eq!(all.platform, *"simulated");
    let layers: Vec<_> = all
        .layers
        .iter()
        .map(|layer| (layer.name.as_str(), layer.is_enforced))
        .collect();
    assert_eq!(layers, [("hardware", false), ("table", true)]);
    let entry = driver.daemon(Call::QueryMonitor, [0; 6]).ok().operand;
    let entry = MonitorEntry::read_from_bytes(&entry).unwrap();
    assert_eq!(all.statement_key, entry.statement_key);
    let one = manifest(&mut driver, 3);
    assert_eq!(one.chains, [all.chains[3].clone()]);
    let short = driver.call(Caller::Daemon, Call::Evidence, [0; 6], &NONCE[..63], vec![]);
    assert_eq!(short.code, ResultCode::InvalidFormat);
}

#[test]
fn a_manifest_says_what_the_tables_say() {
    let (mut driver, [a, b]) = tenants();
    start(&mut driver, 0);
    let gateway = start(&mut driver, 1);
    assert!(driver.core.tls_key_said(gateway, [9; 32]));
    let of_a = manifest(&mut driver, a).chains.remove(0);
    let of_b = manifest(&mut driver, b).chains.remove(0);
    assert_eq!((of_a.gateway.is_own, of_a.gateway.tls_key), (false, None));
    assert_eq!((of_b.gateway.is_own, of_b.gateway.tls_key), (true, Some([9; 32])));
    assert_ne!(of_a.request_key, of_b.request_key);
    let entry = driver
        .daemon(Call::QueryFunction, [a, 1, 0, 0, 0, 0])
        .ok()
        .operand;
    let entry = FunctionEntry::read_from_bytes(&entry).unwrap();
    let decode = &of_a.functions[0];
    assert_eq!((decode.name.as_str(), decode.image), ("decode", entry.image));
    assert_ne!(
        entry.image, entry.measurement,
        "an image is more than its executable"
    );
    assert_eq!(decode.logs, Logs::Dropped);
    let entry = driver.daemon(Call::QueryGateway, [0; 6]).ok().operand;
    assert_eq!(
        GatewayEntry::read_from_prefix(&entry).unwrap().0.image,
        of_a.gateway.image
    );
    let edges: Vec<_> = of_a
        .edges
        .iter()
        .map(|edge| format!("{} {} {}", edge.from, edge.port, edge.to))
        .collect();
    let expected = [
        "ingress ingress decode",
        "decode out small",
        "decode out large",
        "small out pack",
        "large out pack",
        "pack out egress",
        "decode reject egress",
    ];
    assert_eq!(edges, expected);
    assert!(
        of_a.edges
            .iter()
            .all(|edge| edge.protection == Protection::Sealed)
    );
}

#[test]
fn an_image_is_measured_with_all_that_belongs_to_it() {
    let image = |change: &dyn Fn(&mut Driver, u64)| {
        let mut driver = Driver::with_gateway();
        let chain = driver.begin("c");
        let function = driver.function(chain, "f", 1, &["out"]);
        change(&mut driver, chain);
        driver.edge([chain, 0, 0, function, 0, 0]);
        driver.edge([chain, function, 0, 0, 0, 0]);
        driver.seal(chain).ok();
        serving(&mut driver);
        manifest(&mut driver, chain).chains[0].functions[0].image
    };
    let plain = image(&|_, _| {});
    assert_eq!(plain, image(&|_, _| {}));
    let argument = image(&|driver, chain| {
        driver
            .load(Call::AddArgument, [chain, 1, 0, 0, 0, 0], b"--fast", vec![])
            .ok();
    });
    let variable = image(&|driver, chain| {
        driver
            .load(Call::AddVariable, [chain, 1, 1, 0, 0, 0], b"A1", vec![])
            .ok();
    });
    let library = image(&|driver, chain| {
        let file = vec![super::driver::text("library")];
        driver
            .load(Call::AddLibrary, [chain, 1, 0, 0, 0, 0], b"/lib/x.so", file)
            .ok();
    });
    let all = [plain, argument, variable, library];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(one), "{at}");
    }
}

#[test]
fn each_chains_request_key_goes_to_its_gateway_alone() {
    let (mut driver, chains) = tenants();
    let (shared, own) = (start(&mut driver, 0), start(&mut driver, 1));
    driver.core.tls_key_said(own, [9; 32]);
    for (gateway, chain) in [(shared, chains[0]), (own, chains[1])] {
        let keys = sent(&driver, gateway, kind::REQUEST_KEY);
        assert_eq!(keys.len(), 1);
        let key = RequestKey::read_from_bytes(&keys[0]).unwrap();
        let public = PublicKey::from(&StaticSecret::from(key.secret)).to_bytes();
        assert_eq!(manifest(&mut driver, chain).chains[0].request_key, Some(public));
        driver.create(chain, 1).ok();
        let function = driver.latest();
        assert!(sent(&driver, function, kind::REQUEST_KEY).is_empty());
        let (attached, _) = told(driver.process(function));
        assert_eq!(attached.len(), 1);
    }
}

#[test]
fn a_request_key_lives_and_dies_with_the_process_of_its_gateway() {
    let (mut driver, [a, b]) = tenants();
    for chain in [a, b, GATEWAY_PROCESS] {
        assert_eq!(code(&mut driver, chain), ResultCode::Busy, "nobody has a key yet");
    }
    let (shared, own) = (start(&mut driver, 0), start(&mut driver, 1));
    driver.core.tls_key_said(own, [9; 32]);
    let key = |driver: &Driver, process| sent(driver, process, kind::REQUEST_KEY);
    let public = |driver: &mut Driver, chain| manifest(driver, chain).chains[0].request_key;
    let (before, of_other) = (public(&mut driver, a), public(&mut driver, b));
    driver.die(shared);
    assert_eq!(
        code(&mut driver, a),
        ResultCode::Busy,
        "who could open it is gone"
    );
    let again = start(&mut driver, 0);
    // It does not know what its predecessor has opened, so it cannot open anything of that again.
    assert_ne!(key(&driver, again), key(&driver, shared));
    assert_ne!(public(&mut driver, a), before);
    assert_eq!(public(&mut driver, b), of_other, "that gateway is alive");
}

#[test]
fn a_gateway_is_answered_for_its_own_chains() {
    let (mut driver, _) = tenants();
    let (shared, own) = (start(&mut driver, 0), start(&mut driver, 1));
    driver.core.tls_key_said(own, [9; 32]);
    for (number, gateway, chain, name) in [(1, shared, None, "a"), (2, own, Some("b"), "b")] {
        assert!(driver.core.asked_for_evidence(gateway, &question(number, chain)));
        let (statuses, bytes) = answered(&driver, gateway, number);
        assert_eq!(statuses.last(), Some(&evidence_status::LAST));
        let chains = verified(&bytes).chains;
        assert_eq!(chains.len(), 1);
        assert_eq!(chains[0].name, *name);
    }
    assert!(
        !driver.core.asked_for_evidence(shared, &question(3, Some("b"))),
        "another's"
    );
    driver.create(0, 1).ok();
    let function = driver.latest();
    assert!(!driver.core.asked_for_evidence(function, &question(4, None)));
    assert!(!driver.core.tls_key_said(function, [1; 32]));
    assert!(
        !driver.core.tls_key_said(shared, [1; 32]),
        "it has no certificate"
    );
    assert!(sent(&driver, function, kind::EVIDENCE).is_empty());
}

#[test]
fn only_a_gateway_says_that_a_nonce_is_of_its_own_making() {
    let (mut driver, [a, _]) = tenants();
    let gateway = start(&mut driver, 0);
    let asks = |driver: &mut Driver, number, purpose| {
        let question = AskEvidence {
            purpose,
            ..question(number, None)
        };
        driver.core.asked_for_evidence(gateway, &question)
    };
    assert!(asks(&mut driver, 1, evidence_purpose::SESSION));
    let for_session = answered(&driver, gateway, 1).1;
    assert_eq!(verified(&for_session).purpose, Purpose::Session);
    assert!(asks(&mut driver, 2, evidence_purpose::NONCE));
    let for_nonce = answered(&driver, gateway, 2).1;
    assert_eq!(verified(&for_nonce).purpose, Purpose::Nonce);
    // The daemon reads no part of what was made for a session, though chains and nonce are the same.
    assert!(asks(&mut driver, 3, evidence_purpose::SESSION));
    let arguments = [a, 1, 0, 0, 0, 0];
    let rest = driver.call(Caller::Daemon, Call::Evidence, arguments, &NONCE, vec![]);
    assert_eq!(rest.ok().operand, for_nonce[1..]);
    assert_eq!(manifest(&mut driver, a).purpose, Purpose::Nonce);
    assert!(!asks(&mut driver, 4, 2), "there is no such purpose");
}

#[test]
fn long_evidence_is_sent_in_parts() {
    let mut driver = Driver::with_gateway();
    for at in 0..12 {
        driver.thumbnails(&format!("chain-{at}"));
    }
    let gateway = serving(&mut driver);
    assert!(driver.core.asked_for_evidence(gateway, &question(7, None)));
    let (statuses, bytes) = answered(&driver, gateway, 7);
    let (last, parts) = statuses.split_last().unwrap();
    assert!(!parts.is_empty() && parts.iter().all(|status| *status == evidence_status::PART));
    assert_eq!(*last, evidence_status::LAST);
    assert_eq!(verified(&bytes).chains.len(), 12);
}

#[test]
fn nothing_is_said_of_a_tls_key_before_its_gateway_has_said_it() {
    let (mut driver, [a, b]) = tenants();
    start(&mut driver, 0);
    let gateway = start(&mut driver, 1);
    for chain in [b, GATEWAY_PROCESS] {
        assert_eq!(code(&mut driver, chain), ResultCode::Busy);
    }
    manifest(&mut driver, a);
    assert!(driver.core.asked_for_evidence(gateway, &question(1, None)));
    assert_eq!(answered(&driver, gateway, 1).0, [evidence_status::BUSY]);
    driver.core.tls_key_said(gateway, [1; 32]);
    driver.core.tls_key_said(gateway, [2; 32]);
    assert_eq!(manifest(&mut driver, b).chains[0].gateway.tls_key, Some([2; 32]));
    // Its successor begins with the same files, and may take others: nothing is said of it before it has
    // spoken.
    driver.die(gateway);
    let successor = start(&mut driver, 1);
    assert_eq!(code(&mut driver, b), ResultCode::Busy);
    driver.core.tls_key_said(successor, [3; 32]);
    assert_eq!(manifest(&mut driver, b).chains[0].gateway.tls_key, Some([3; 32]));
}

#[test]
fn a_late_device_makes_a_question_busy_and_not_refused() {
    let (mut driver, [a, _]) = tenants();
    let gateway = start(&mut driver, 0);
    driver.core.platform_mut().report_is_late = true;
    assert_eq!(code(&mut driver, a), ResultCode::Busy);
    assert!(driver.core.asked_for_evidence(gateway, &question(1, None)));
    assert_eq!(answered(&driver, gateway, 1).0, [evidence_status::BUSY]);
    driver.core.platform_mut().report_is_late = false;
    assert!(driver.core.asked_for_evidence(gateway, &question(2, None)));
    verified(&answered(&driver, gateway, 2).1);
}

#[test]
fn hardware_that_keeps_the_system_out_is_said_and_no_two_chains_have_one_key() {
    let mut driver = Driver::with_gateway();
    driver.core.platform_mut().snp = true;
    let chain = driver.thumbnails("c");
    let other = driver.thumbnails("d");
    serving(&mut driver);
    assert_eq!(manifest(&mut driver, chain).trust, Trust::Hardware);
    let keys = [chain, other].map(|chain| manifest(&mut driver, chain).chains[0].request_key);
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn names_that_would_part_a_line_are_refused() {
    let mut driver = Driver::with_gateway();
    for text in ["a b", "a\u{a0}b", "\u{e9}", " a"] {
        assert_eq!(driver.begin_at(0, text).code, ResultCode::InvalidFormat, "{text}");
    }
    let chain = driver.begin("c");
    driver.function(chain, "f", 1, &["out"]);
    let port = super::driver::name("x y");
    let answer = driver.load(
        Call::AddPort,
        [chain, 1, 0, 0, 0, 0],
        zerocopy::IntoBytes::as_bytes(&port),
        vec![],
    );
    assert_eq!(answer.code, ResultCode::InvalidFormat);
}
