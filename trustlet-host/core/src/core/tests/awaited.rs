//! Secrets that a key broker releases: what it is shown, who gets them, and what is refused.

use super::driver::{Answer, Driver, name, text};
use crate::calls::{AwaitedSecret, Call, ReleaseEntry, ResultCode, SealedSecret};
use crate::core::release_key::tests::seal;
use crate::core::{Caller, LoadError};
use crate::evidence::manifest::{Purpose, Resource};
use crate::evidence::release::{ReleaseKey, release_nonce, runtime_data};
use crate::evidence::{Evidence, Manifest, Word, emulated};
use crate::ids::ProcessId;
use crate::simulated::SimulatedFile;
use hacher_data_path::attach::message::{MessageHeader, kind};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

const NONCE: &str = "YnJva2VyJ3Mgbm9uY2U=";
const PROTECTED: &[u8] = b"eyJhbGciOiJFQ0RILUVTK0EyNTZLVyJ9";

fn awaited(path: [&str; 3]) -> AwaitedSecret {
    let [repository, kind, tag] = path.map(name);
    AwaitedSecret {
        name: name("PASSWORD"),
        repository,
        kind,
        tag,
    }
}

/// `ingress -> f -> egress`, where `f` has these secrets: not sealed yet.
fn chain_with(driver: &mut Driver, secrets: &[AwaitedSecret]) -> u64 {
    let chain = driver.begin("c");
    let function = driver.function(chain, "f", 1, &["out"]);
    for secret in secrets {
        driver
            .load(
                Call::AwaitSecret,
                [chain, function, 1, 0, 0, 0],
                secret.as_bytes(),
                vec![],
            )
            .ok();
    }
    driver.edge([chain, 0, 0, function, 0, 0]);
    driver.edge([chain, function, 0, 0, 0, 0]);
    chain
}

fn with_password() -> Driver {
    let mut driver = Driver::with_gateway();
    let chain = chain_with(&mut driver, &[awaited(["default", "db", "password"])]);
    driver.seal(chain).ok();
    driver
}

fn ask(driver: &mut Driver, secret: u64, from: u64, nonce: &str) -> Answer {
    driver.load(
        Call::AskForSecret,
        [0, 1, secret, from, 0, 0],
        nonce.as_bytes(),
        vec![],
    )
}

/// What the broker is shown.
fn shown(driver: &mut Driver, secret: u64) -> (ReleaseKey, Vec<u8>) {
    let first = ask(driver, secret, 0, NONCE).ok();
    let mut bytes = first.operand;
    while u64::try_from(bytes.len()).unwrap() < first.values[0] {
        let from = u64::try_from(bytes.len()).unwrap();
        bytes.extend(ask(driver, secret, from, NONCE).ok().operand);
    }
    let (ReleaseEntry { x, y }, evidence) = ReleaseEntry::read_from_prefix(&bytes).unwrap();
    (ReleaseKey { x, y }, evidence.to_vec())
}

fn open(driver: &mut Driver, secret: u64, (sealed, content): (SealedSecret, Vec<u8>)) -> Answer {
    let operand = [sealed.as_bytes(), PROTECTED].concat();
    let file = vec![SimulatedFile::Bytes(content)];
    driver.load(Call::OpenSecret, [0, 1, secret, 0, 0, 0], &operand, file)
}

/// The secrets that a process was sent.
fn told(driver: &Driver, process: ProcessId) -> Vec<Vec<u8>> {
    let messages = driver.process(process).messages.iter();
    messages
        .filter_map(|bytes| {
            let (header, tail) = MessageHeader::read_from_prefix(bytes).unwrap();
            (header.kind == kind::SECRET).then(|| tail.to_vec())
        })
        .collect()
}

#[test]
fn a_released_secret_reaches_its_function_and_each_of_its_processes() {
    let mut driver = with_password();
    let (key, evidence) = shown(&mut driver, 0);
    // What the broker verifies: one nonce over its own nonce and the key, and the chain and resource.
    let evidence = Evidence::decode(&evidence).unwrap();
    let nonce = release_nonce(runtime_data(NONCE, &key).as_bytes());
    emulated::verify(&evidence.report, &evidence.expected_report_data(&nonce)).unwrap();
    let manifest = Manifest::decode(&evidence.manifest).unwrap();
    assert_eq!(manifest.purpose, Purpose::Secret);
    let [repository, kind, tag] = ["default", "db", "password"].map(|part| Word::new(part).unwrap());
    let resource = Resource {
        repository,
        kind,
        tag,
    };
    assert_eq!(manifest.secret, Some(resource));
    assert_eq!(manifest.chains[0].name, *"c");
    assert_eq!(manifest.chains[0].request_key, None);
    assert_eq!(manifest.encode(), evidence.manifest);
    // Nothing starts without it.
    assert_eq!(
        driver.core.finish_loading(),
        Err(LoadError::Secret("c".to_owned()))
    );
    assert_eq!(driver.create(0, 1).code, ResultCode::InvalidRequest);
    open(&mut driver, 0, seal(&key, PROTECTED, b"hunter2\r\n")).ok();
    driver.listen(0).ok();
    driver.core.finish_loading().unwrap();
    for _ in 0..2 {
        driver.create(0, 1).ok();
        let process = driver.latest();
        let [secret] = told(&driver, process).try_into().unwrap();
        assert!(secret.ends_with(b"hunter2"), "trimmed, as was asked for");
        driver.die(process);
    }
}

#[test]
fn each_question_has_a_key_of_its_own_which_opens_one_answer() {
    let mut driver = Driver::with_gateway();
    let second = AwaitedSecret {
        name: name("OTHER"),
        ..awaited(["default", "db", "other"])
    };
    let secrets = [awaited(["default", "db", "password"]), second];
    let chain = chain_with(&mut driver, &secrets);
    driver.seal(chain).ok();
    let (old, _) = shown(&mut driver, 0);
    let (key, _) = shown(&mut driver, 0);
    assert_ne!(old, key);
    // For the key before; the present one is used up by that.
    assert_eq!(
        open(&mut driver, 0, seal(&old, PROTECTED, b"a")).code,
        ResultCode::BadSecret
    );
    let refused = open(&mut driver, 0, seal(&key, PROTECTED, b"a"));
    assert_eq!(refused.code, ResultCode::InvalidRequest);
    // For the other secret.
    let (key, _) = shown(&mut driver, 0);
    let refused = open(&mut driver, 1, seal(&key, PROTECTED, b"a"));
    assert_eq!(refused.code, ResultCode::InvalidRequest);
    let (key, _) = shown(&mut driver, 0);
    open(&mut driver, 0, seal(&key, PROTECTED, b"a")).ok();
    // It has its value, for good.
    assert_eq!(ask(&mut driver, 0, 0, NONCE).code, ResultCode::InvalidParameter);
    let refused = open(&mut driver, 0, seal(&key, PROTECTED, b"b"));
    assert_eq!(refused.code, ResultCode::InvalidParameter);
    assert_eq!(
        driver.core.finish_loading(),
        Err(LoadError::Secret("c".to_owned()))
    );
}

#[test]
fn a_late_report_keeps_the_key() {
    let mut driver = with_password();
    driver.core.platform_mut().report_is_late = true;
    assert_eq!(ask(&mut driver, 0, 0, NONCE).code, ResultCode::Busy);
    let early = open(&mut driver, 0, (SealedSecret::new_zeroed(), vec![1]));
    assert_eq!(early.code, ResultCode::InvalidRequest);
    assert_eq!(ask(&mut driver, 0, 0, NONCE).code, ResultCode::Busy);
    driver.core.platform_mut().report_is_late = false;
    let (key, _) = shown(&mut driver, 0);
    let [first, .., last] = driver.core.platform().reports.as_slice() else {
        panic!("three were asked for");
    };
    assert_eq!(first, last, "both are over the key");
    open(&mut driver, 0, seal(&key, PROTECTED, b"a")).ok();
}

#[test]
fn long_evidence_is_shown_in_parts_of_one_question() {
    let mut driver = Driver::with_gateway();
    let chain = driver.begin("c");
    let mut before = 0;
    for at in 0..40 {
        let function = driver.function(chain, &format!("f{at}"), 1, &["out"]);
        driver.edge([chain, before, 0, function, 0, 0]);
        before = function;
    }
    driver.edge([chain, before, 0, 0, 0, 0]);
    let secret = awaited(["default", "db", "password"]);
    let arguments = [chain, before, 0, 0, 0, 0];
    let asked = driver.load(Call::AwaitSecret, arguments, secret.as_bytes(), vec![]);
    asked.ok();
    driver.seal(chain).ok();
    let (function, in_parts) = (before, |driver: &mut Driver| {
        let mut bytes: Vec<u8> = Vec::new();
        let mut parts = 0;
        loop {
            let from = u64::try_from(bytes.len()).unwrap();
            let arguments = [0, before, 0, from, 0, 0];
            let part = driver
                .load(Call::AskForSecret, arguments, NONCE.as_bytes(), vec![])
                .ok();
            bytes.extend(part.operand);
            parts += 1;
            if u64::try_from(bytes.len()).unwrap() == part.values[0] {
                return (bytes, parts);
            }
        }
    });
    let (bytes, parts) = in_parts(&mut driver);
    assert!(parts > 1, "{} bytes in {parts} parts", bytes.len());
    assert_eq!(driver.core.platform().reports.len(), 1, "of one question");
    let (ReleaseEntry { x, y }, evidence) = ReleaseEntry::read_from_prefix(&bytes).unwrap();
    let manifest = Manifest::decode(&Evidence::decode(evidence).unwrap().manifest).unwrap();
    assert_eq!(manifest.chains[0].functions.len(), 40);
    let (sealed, content) = seal(&ReleaseKey { x, y }, PROTECTED, b"hunter2");
    let operand = [sealed.as_bytes(), PROTECTED].concat();
    let file = vec![SimulatedFile::Bytes(content)];
    driver
        .load(Call::OpenSecret, [0, function, 0, 0, 0, 0], &operand, file)
        .ok();
}

#[test]
fn what_is_no_question_is_refused() {
    let mut driver = Driver::with_gateway();
    let chain = driver.begin("c");
    let function = driver.function(chain, "f", 1, &["out"]);
    let arguments = [chain, function, 0, 0, 0, 0];
    let mut asks = |secret: AwaitedSecret, trim| {
        let arguments = [chain, function, trim, 0, 0, 0];
        driver
            .load(Call::AwaitSecret, arguments, secret.as_bytes(), vec![])
            .code
    };
    for path in [
        ["..", "a", "b"],
        ["a/b", "a", "b"],
        ["a", "b c", "d"],
        ["a", "b", "?"],
    ] {
        assert_eq!(asks(awaited(path), 0), ResultCode::InvalidFormat, "{path:?}");
    }
    assert_eq!(asks(awaited(["a", "b", "c"]), 2), ResultCode::InvalidParameter);
    assert_eq!(asks(awaited(["a", "b", "c.d-e_f"]), 0), ResultCode::Success);
    assert_eq!(asks(awaited(["a", "b", "c"]), 0), ResultCode::NameTaken);
    let read = driver.load(
        Call::AddSecret,
        arguments,
        name("PASSWORD").as_bytes(),
        vec![text("x")],
    );
    assert_eq!(read.code, ResultCode::NameTaken);
    // Before sealing the digest is not known.
    assert_eq!(ask(&mut driver, 0, 0, NONCE).code, ResultCode::NotSealed);
    driver.edge([chain, 0, 0, function, 0, 0]);
    driver.edge([chain, function, 0, 0, 0, 0]);
    driver.seal(chain).ok();
    for nonce in ["", "a\"b", "a\n", &"a".repeat(257)] {
        assert_eq!(ask(&mut driver, 0, 0, nonce).code, ResultCode::InvalidFormat);
    }
    assert_eq!(ask(&mut driver, 1, 0, NONCE).code, ResultCode::InvalidParameter);
    assert_eq!(
        ask(&mut driver, 0, 1 << 20, NONCE).code,
        ResultCode::InvalidParameter
    );
    let (key, _) = shown(&mut driver, 0);
    let long = seal(&key, PROTECTED, &[7; 8193]);
    assert_eq!(open(&mut driver, 0, long).code, ResultCode::BadSecret);
    for caller_call in [Call::AwaitSecret, Call::AskForSecret, Call::OpenSecret] {
        let answer = driver.call(Caller::Daemon, caller_call, [0; 6], &[], vec![]);
        assert_eq!(answer.code, ResultCode::NotPermitted);
    }
}

#[test]
fn the_digest_has_what_a_broker_is_asked_for() {
    let digest = |secrets: &[AwaitedSecret]| {
        let mut driver = Driver::with_gateway();
        let chain = chain_with(&mut driver, secrets);
        driver.seal(chain).ok().operand
    };
    let one = digest(&[awaited(["default", "db", "password"])]);
    let of_file = {
        let mut driver = Driver::with_gateway();
        let chain = driver.begin("c");
        let function = driver.function(chain, "f", 1, &["out"]);
        let arguments = [chain, function, 0, 0, 0, 0];
        driver
            .load(
                Call::AddSecret,
                arguments,
                name("PASSWORD").as_bytes(),
                vec![text("x")],
            )
            .ok();
        driver.edge([chain, 0, 0, function, 0, 0]);
        driver.edge([chain, function, 0, 0, 0, 0]);
        driver.seal(chain).ok().operand
    };
    let others = [
        of_file,
        digest(&[]),
        digest(&[awaited(["default", "db", "passwort"])]),
        digest(&[awaited(["default", "dbp", "assword"])]),
        digest(&[awaited(["other", "db", "password"])]),
    ];
    for other in &others {
        assert_ne!(other, &one);
    }
    assert_eq!(digest(&[awaited(["default", "db", "password"])]), one);
}
