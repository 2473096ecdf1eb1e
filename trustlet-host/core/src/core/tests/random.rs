//! Random sequences of calls, of both callers, valid and not, between starts and deaths of processes.
//! Whatever comes: no region has two live writers, no key reaches a process that the sealed chain does not
//! give it, numbers are not confused, an open chain does not run, a sealed one does not change, and no call
//! panics.

use super::driver::{Driver, chain, function, name, text, told};
use crate::calls::{Call, GATEWAY_PROCESS, GatewayDefinition, ResultCode, file_kind, protection};
use crate::core::Caller;
use crate::core::digest::chain_digest;
use crate::ids::{ProcessId, index};
use crate::platform::Platform;
use crate::simulated::SimulatedFile;
use alloc::collections::{BTreeMap, BTreeSet};
use hacher_data_path::aead::keys::{KeyContext, epoch_secret};
use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::IntoBytes;

#[derive(Debug, Clone)]
enum Step {
    /// Bytes that nobody wrote as a message.
    Garbage(Caller, Vec<u8>, usize),
    /// A call with arguments that are often in range.
    Call(Caller, usize, [u64; 6], u8, u8),
    /// A whole chain, sealed or not.
    Chain(u8, bool),
    /// Something well formed that is new to a chain, which a sealed one must refuse.
    Add(u64, u8),
    FinishLoading,
    Create(u64, u64),
    CreateGateway(u64),
    Delete(u64, u64, u64),
    Ready(usize),
    Die(usize),
    DaemonDied,
    RefuseSpawns(bool),
    RefuseSends(bool),
}

fn caller() -> impl Strategy<Value = Caller> {
    prop_oneof![Just(Caller::Loader), Just(Caller::Daemon)]
}

fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..6_u64, 1 => Just(u64::MAX), 1 => Just(u64::from(u32::MAX)), 1 => any::<u64>()]
}

fn step() -> impl Strategy<Value = Step> {
    let arguments = || proptest::array::uniform6(argument());
    prop_oneof![
        1 => (caller(), vec(any::<u8>(), 0..200), 0..3_usize)
            .prop_map(|(caller, bytes, files)| Step::Garbage(caller, bytes, files)),
        8 => (caller(), 0..Call::ALL.len(), arguments(), 0..8_u8, 0..4_u8)
            .prop_map(|(caller, call, arguments, operand, file)| Step::Call(caller, call, arguments, operand, file)),
        3 => (0..6_u8, proptest::bool::weighted(0.8)).prop_map(|(which, seal)| Step::Chain(which, seal)),
        3 => (0..3_u64, 0..9_u8).prop_map(|(chain, what)| Step::Add(chain, what)),
        1 => Just(Step::FinishLoading),
        // Few chains and instances, so that the same one is asked for again while it lives.
        9 => (0..3_u64, 0..4_u64).prop_map(|(chain, instance)| Step::Create(chain, instance)),
        2 => (0..2_u64).prop_map(Step::CreateGateway),
        2 => (0..3_u64, 0..4_u64, 0..4_u64)
            .prop_map(|(chain, instance, epoch)| Step::Delete(chain, instance, epoch)),
        3 => (0..8_usize).prop_map(Step::Ready),
        4 => (0..8_usize).prop_map(Step::Die),
        1 => Just(Step::DaemonDied),
        1 => proptest::bool::weighted(0.2).prop_map(Step::RefuseSpawns),
        1 => proptest::bool::weighted(0.2).prop_map(Step::RefuseSends),
    ]
}

fn operand(choice: u8) -> Vec<u8> {
    match choice {
        0 => Vec::new(),
        1 => name("p").as_bytes().to_vec(),
        2 => function("random", 2).as_bytes().to_vec(),
        3 => chain("random").as_bytes().to_vec(),
        4 => b"/lib/random".to_vec(),
        5 => vec![7; 64],
        6 => GatewayDefinition {
            logs: 0,
            ..super::driver::gateway()
        }
        .as_bytes()
        .to_vec(),
        _ => vec![0xff; 4096],
    }
}

fn files(choice: u8) -> Vec<SimulatedFile> {
    match choice {
        0 => Vec::new(),
        1 => vec![text("file")],
        2 => vec![SimulatedFile::Listener],
        _ => vec![SimulatedFile::Listener, text("certificate"), text("key")],
    }
}

/// The random run, and what it must remember to check the next state.
struct Run {
    driver: Driver,
    digests: BTreeMap<u32, Vec<u8>>,
    epochs: BTreeMap<(String, u32), u32>,
    checked: BTreeSet<ProcessId>,
    named: u32,
}

impl Run {
    fn nth(&self, at: usize) -> Option<ProcessId> {
        let live = self.driver.processes();
        live.get(at % live.len().max(1)).copied()
    }

    fn step(&mut self, step: Step) {
        let driver = &mut self.driver;
        let answer = match step {
            Step::Garbage(caller, bytes, count) => driver.raw(caller, &bytes, vec![text("x"); count]),
            Step::Call(caller, call, arguments, choice, file) => {
                driver.call(caller, Call::ALL[call], arguments, &operand(choice), files(file))
            }
            Step::Chain(which, seal) => return self.chain(which, seal),
            Step::Add(chain, what) => return self.add(chain, what),
            Step::FinishLoading => {
                let _ = driver.core.finish_loading();
                return;
            }
            Step::Create(chain, instance) => driver.create(chain, instance),
            Step::CreateGateway(gateway) => driver.create(GATEWAY_PROCESS, gateway),
            Step::Delete(chain, instance, epoch) => {
                driver.daemon(Call::DeleteTrustlet, [chain, instance, epoch, 0, 0, 0])
            }
            Step::Ready(at) => {
                if let Some(process) = self.nth(at) {
                    self.driver.core.ready(process);
                }
                return;
            }
            Step::Die(at) => {
                if let Some(process) = self.nth(at) {
                    self.driver.die(process);
                }
                return;
            }
            Step::DaemonDied => return driver.core.daemon_died(),
            Step::RefuseSpawns(refuse) => {
                driver.core.platform_mut().refuse_spawns = refuse;
                return;
            }
            Step::RefuseSends(refuse) => {
                driver.core.platform_mut().refuse_sends = refuse;
                return;
            }
        };
        // Nothing that is answered holds a key.
        for secret in self.port_secrets() {
            assert!(!contains(&answer.operand, &secret), "a key in a reply");
        }
    }

    /// Adds something well formed; a sealed chain must refuse it.
    fn add(&mut self, chain: u64, what: u8) {
        self.named += 1;
        let fresh = name(&format!("fresh-{}", self.named));
        let sealed = usize::try_from(chain)
            .ok()
            .and_then(|at| self.driver.core.chains.get(at))
            .is_some_and(|chain| chain.sealed.is_some());
        let to_first = [chain, 1, 0, 0, 0, 0];
        let driver = &mut self.driver;
        let answer = match what {
            0 => {
                let definition = function(fresh.as_str(), 1);
                driver.load(
                    Call::AddFunction,
                    to_first,
                    definition.as_bytes(),
                    vec![text("new")],
                )
            }
            1 => driver.load(
                Call::AddLibrary,
                to_first,
                format!("/{fresh}").as_bytes(),
                vec![text("l")],
            ),
            2 => {
                let arguments = [chain, 1, 1, 0, 0, 0];
                driver.load(
                    Call::AddVariable,
                    arguments,
                    format!("{fresh}").as_bytes(),
                    vec![],
                )
            }
            3 => driver.load(Call::AddSecret, to_first, fresh.as_bytes(), vec![text("s")]),
            4 => driver.load(Call::AddPort, to_first, fresh.as_bytes(), vec![]),
            5 => driver.protected_edge([chain, 1, 0, 2, 1, 0], protection::MAPPED),
            6 => driver.load(Call::AddArgument, to_first, fresh.as_bytes(), vec![]),
            7 => {
                let path = format!("/{fresh}");
                let arguments = [chain, 1, file_kind::FILE, path.len() as u64, 0, 0];
                driver.load(Call::AddFile, arguments, path.as_bytes(), vec![text("f")])
            }
            8 => driver.load(Call::SetRequests, [chain, 1, 0, 0, 0, 0], b"/a", vec![]),
            9 => driver.load(Call::CarryHeader, to_first, fresh.as_bytes(), vec![]),
            _ => driver.seal(chain),
        };
        assert!(
            !sealed || answer.code != ResultCode::Success,
            "a sealed chain took something new"
        );
    }

    /// One of a few shapes, by calls that may fail because of what came before.
    fn chain(&mut self, which: u8, seal: bool) {
        self.named += 1;
        let driver = &mut self.driver;
        let definition = chain(&format!("chain-{}", self.named));
        let arguments = [u64::from(which == 4), 0, 0, 0, 0, 0];
        let begun = driver.load(Call::BeginChain, arguments, definition.as_bytes(), vec![]);
        if begun.code != ResultCode::Success {
            return;
        }
        let id = begun.values[0];
        let instances = 1 + u32::from(which % 3);
        let one = driver.function(id, "one", instances, &["out", "error"]);
        let two = driver.function(id, "two", 1 + u32::from(which / 3), &["out"]);
        driver
            .load(
                Call::AddSecret,
                [id, one, 0, 0, 0, 0],
                name("S").as_bytes(),
                vec![text("v")],
            )
            .ok();
        for edge in [
            [id, 0, 0, one, 0, 0],
            [id, one, 0, two, 0, 0],
            [id, two, 0, 0, 0, 0],
            [id, one, 1, 0, 1, 0],
        ] {
            driver.edge(edge);
        }
        if seal {
            let _ = driver.seal(id);
        }
    }

    fn port_secrets(&self) -> Vec<[u8; 32]> {
        self.driver
            .core
            .chains
            .iter()
            .filter_map(|chain| chain.sealed.as_ref())
            .flat_map(|sealed| sealed.port_secrets.iter().map(|secret| *secret.expose()))
            .collect()
    }

    fn check(&mut self) {
        self.check_writers();
        self.check_keys();
        self.check_sealed();
    }

    fn check_writers(&self) {
        let mut writers = BTreeMap::new();
        for process in self.driver.processes() {
            for &region in &self.driver.process(process).writable {
                if let Some(other) = writers.insert(region, process) {
                    panic!("region {region} has the writers {other} and {process}");
                }
            }
        }
    }

    /// What each new process was told, against the declared edges alone.
    fn check_keys(&mut self) {
        let all = self.port_secrets();
        let ids: Vec<_> = self.driver.core.platform().processes.keys().copied().collect();
        for id in ids {
            if !self.checked.insert(id) {
                continue;
            }
            let process = self.driver.process(id).clone();
            let mut given = BTreeSet::new();
            for told in told(&process).0 {
                let name = told.begin.chain.to_string();
                let chain = self
                    .driver
                    .core
                    .chains
                    .iter()
                    .find(|chain| chain.definition.chain.name == told.begin.chain)
                    .unwrap();
                let sealed = chain.sealed.as_ref().expect("only a sealed chain runs");
                let definition = &chain.definition;
                let me = told.begin.function_index;
                let epoch = told.begin.instance_epoch;
                let before = self.epochs.insert((name, told.begin.instance), epoch);
                assert!(before.is_none_or(|before| before < epoch), "an epoch came twice");
                for inbound in &told.inbound {
                    let port = definition.ports[index(inbound.port)];
                    let declared = definition
                        .edges
                        .iter()
                        .any(|edge| edge.port == inbound.port && edge.consumer.0 == me);
                    assert!(declared || (port.fault && me == 0), "a key that no edge gives");
                    let secret = match inbound.mapped {
                        0 => *sealed.port_secrets[index(inbound.port)].expose(),
                        _ => [0; 32],
                    };
                    assert_eq!(inbound.port_secret, secret);
                    given.insert(inbound.port_secret);
                }
                for port in &told.ports {
                    assert_eq!(
                        definition.ports[index(port.port)].function.0,
                        me,
                        "another's port"
                    );
                    let context = KeyContext {
                        chain_digest: &sealed.digest,
                        chain_epoch: sealed.epoch,
                        port: port.port,
                        instance: told.begin.instance,
                    };
                    let expected = epoch_secret(&sealed.port_secrets[index(port.port)], context, epoch);
                    assert_eq!(&port.epoch_secret, expected.expose());
                }
            }
            // And nowhere in all that it was sent is a port's secret that it was not given.
            for message in &process.messages {
                for secret in all.iter().filter(|secret| !given.contains(*secret)) {
                    assert!(!contains(message, secret), "a stray key");
                }
            }
        }
    }

    fn check_sealed(&mut self) {
        let core = &self.driver.core;
        for (at, chain) in (0..).zip(&core.chains) {
            let Some(sealed) = &chain.sealed else {
                let running = core
                    .platform
                    .processes
                    .values()
                    .any(|process| process.chain == chain.definition.chain.name.as_str());
                assert!(!running, "an open chain runs");
                continue;
            };
            let gateway = core.gateway(chain.gateway).unwrap();
            let now = chain_digest(core.platform.backend(), gateway, &chain.definition);
            assert_eq!(now, sealed.digest, "a sealed chain changed");
            let before = self.digests.entry(at).or_insert_with(|| now.to_vec());
            assert_eq!(*before, now);
            assert_eq!(sealed.slots.len(), sealed.plan.instances.len());
        }
    }
}

fn contains(bytes: &[u8], secret: &[u8; 32]) -> bool {
    bytes.windows(32).any(|window| window == secret)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_calls_breaks_the_monitor(set_gateway in proptest::bool::weighted(0.9), steps in vec(step(), 1..160)) {
        let mut driver = if set_gateway { Driver::with_gateway() } else { Driver::new() };
        if set_gateway {
            driver.own_gateway(0);
        }
        let mut run = Run {
            driver,
            digests: BTreeMap::new(),
            epochs: BTreeMap::new(),
            checked: BTreeSet::new(),
            named: 0,
        };
        for step in steps {
            run.step(step);
            run.check();
        }
        let _ = run.driver.create(GATEWAY_PROCESS, 0);
        run.check();
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(mut bytes in vec(any::<u8>(), 0..300), frame in any::<bool>(), count in 0..5_usize) {
        if frame {
            // A right frame around arbitrary arguments and operand.
            bytes.resize(bytes.len().max(72), 0);
            let operand = u32::try_from(bytes.len() - 72).unwrap();
            let call = u32::from(bytes[4] % 40);
            bytes[0..4].copy_from_slice(&1_u32.to_le_bytes());
            bytes[4..8].copy_from_slice(&call.to_le_bytes());
            bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
            bytes[64..68].copy_from_slice(&operand.to_le_bytes());
            bytes[68..72].copy_from_slice(&u32::try_from(count).unwrap().to_le_bytes());
        }
        let mut driver = Driver::with_gateway();
        driver.thumbnails("t");
        for caller in [Caller::Loader, Caller::Daemon] {
            let _ = driver.raw(caller, &bytes, vec![text("x"); count]);
        }
    }
}
