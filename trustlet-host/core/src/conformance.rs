//! What every carrier of monitor calls has to bring: the same requests get the same answers, over a socket or
//! over a calling area. Whoever carries calls runs [`run`].

use crate::calls::{
    self, ANY_CPU, Call, ChainDefinition, ChainEntry, EdgeDefinition, FunctionDefinition, FunctionEntry,
    GATEWAY_PROCESS, GatewayDefinition, MESSAGE_MAX_BYTES, MonitorEntry, OPERAND_MAX_BYTES, PROTOCOL,
    PortEntry, ReplyHeader, RequestHeader, ResultCode, Statistics, VERSION, protection, reading,
};
use crate::core::Caller;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::name::Name;
use zerocopy::{FromBytes, IntoBytes};

/// Carries calls to a monitor that has just begun.
pub trait Carrier {
    /// Sends a message with these files beside it; the reply.
    ///
    /// # Errors
    /// When it does not arrive; in words.
    fn carry(&mut self, caller: Caller, message: &[u8], files: &[Vec<u8>]) -> Result<Vec<u8>, String>;

    /// Tells the monitor that a caller has ended: the loader because it has defined all, the daemon because
    /// it died.
    ///
    /// # Errors
    /// When the monitor does not take it; in words.
    fn end(&mut self, caller: Caller) -> Result<(), String>;

    /// A file that the platform takes for a program.
    fn program(&self) -> Vec<u8>;
}

/// Makes the calls; how many.
///
/// # Errors
/// The first that was not answered as it should be.
pub fn run(carrier: &mut dyn Carrier) -> Result<usize, String> {
    let mut suite = Suite { carrier, calls: 0 };
    suite.frames()?;
    suite.permissions()?;
    suite.definition()?;
    suite.questions()?;
    suite.seal()?;
    suite.after_sealing()?;
    suite.ends()?;
    Ok(suite.calls)
}

/// The chain and its functions in the monitor's tables.
const CHAIN: u64 = 0;
const FUNCTION: u64 = 1;

struct Suite<'a> {
    carrier: &'a mut dyn Carrier,
    calls: usize,
}

struct Answer {
    code: ResultCode,
    values: [u64; 6],
    operand: Vec<u8>,
}

impl Suite<'_> {
    /// Sends a header and an operand as they are.
    fn send(
        &mut self,
        caller: Caller,
        header: RequestHeader,
        operand: &[u8],
        files: &[Vec<u8>],
    ) -> Result<Answer, String> {
        self.calls += 1;
        let reply = self
            .carrier
            .carry(caller, &calls::message(&header, operand), files)?;
        let (said, operand) =
            ReplyHeader::read_from_prefix(&reply).map_err(|_| format!("a reply of {} bytes", reply.len()))?;
        let repeats = (said.call, said.sequence) == (header.call, header.sequence);
        if said.protocol != PROTOCOL || !repeats || said.operand_bytes as usize != operand.len() {
            return Err(format!("{header:?} was answered with {said:?}"));
        }
        let code = ResultCode::from_number(said.result);
        Ok(Answer {
            code: code.ok_or_else(|| format!("{header:?}: result {:#x}", said.result))?,
            values: said.values,
            operand: operand.to_vec(),
        })
    }

    fn header(&self, call: Call, arguments: [u64; 6], operand: &[u8], files: &[Vec<u8>]) -> RequestHeader {
        RequestHeader {
            protocol: PROTOCOL,
            call: call.number(),
            version: VERSION,
            sequence: u32::try_from(self.calls + 1).unwrap_or(u32::MAX),
            arguments,
            operand_bytes: u32::try_from(operand.len()).unwrap_or(u32::MAX),
            descriptor_count: u32::try_from(files.len()).unwrap_or(u32::MAX),
        }
    }

    /// A call that has to be answered with this code.
    fn call(
        &mut self,
        (caller, call): (Caller, Call),
        arguments: [u64; 6],
        operand: &[u8],
        files: &[Vec<u8>],
        expected: ResultCode,
    ) -> Result<Answer, String> {
        let header = self.header(call, arguments, operand, files);
        let answer = self.send(caller, header, operand, files)?;
        if answer.code != expected {
            let said = String::from_utf8_lossy(&answer.operand);
            return Err(format!(
                "{call:?}{arguments:?} of {caller:?}: {:?} ({said}), not {expected:?}",
                answer.code
            ));
        }
        Ok(answer)
    }

    /// What is wrong with a message itself.
    fn frames(&mut self) -> Result<(), String> {
        let good = self.header(Call::QueryMonitor, [0; 6], &[], &[]);
        let long = vec![0; OPERAND_MAX_BYTES];
        for (header, operand, expected) in [
            (good, &[][..], ResultCode::Success),
            (
                RequestHeader { protocol: 2, ..good },
                &[],
                ResultCode::UnsupportedProtocol,
            ),
            (
                RequestHeader { call: 9999, ..good },
                &[],
                ResultCode::UnsupportedCall,
            ),
            (
                RequestHeader {
                    version: VERSION + 1,
                    ..good
                },
                &[],
                ResultCode::InvalidFormat,
            ),
            (
                RequestHeader { sequence: 0, ..good },
                &[],
                ResultCode::InvalidFormat,
            ),
            (
                RequestHeader {
                    operand_bytes: 1,
                    ..good
                },
                &[],
                ResultCode::InvalidFormat,
            ),
            (good, b"more", ResultCode::InvalidFormat),
            (
                RequestHeader {
                    descriptor_count: 1,
                    ..good
                },
                &[],
                ResultCode::InvalidFormat,
            ),
            (
                RequestHeader {
                    operand_bytes: u32::try_from(OPERAND_MAX_BYTES).unwrap_or(0),
                    ..good
                },
                &long,
                ResultCode::Success,
            ),
        ] {
            let answer = self.send(Caller::Loader, header, operand, &[])?;
            if answer.code != expected {
                return Err(format!("{header:?}: {:?}, not {expected:?}", answer.code));
            }
        }
        debug_assert!(good.as_bytes().len() + long.len() == MESSAGE_MAX_BYTES);
        Ok(())
    }

    fn permissions(&mut self) -> Result<(), String> {
        let refused = ResultCode::NotPermitted;
        for call in [
            Call::BeginChain,
            Call::AddFunction,
            Call::AddEdge,
            Call::SealChain,
        ] {
            self.call((Caller::Daemon, call), [0; 6], &[], &[], refused)?;
        }
        for call in [Call::CreateTrustlet, Call::DeleteTrustlet, Call::QueryInstance] {
            self.call((Caller::Loader, call), [0; 6], &[], &[], refused)?;
        }
        Ok(())
    }

    /// `ingress -> f -> egress`, with everything in between that is refused.
    fn definition(&mut self) -> Result<(), String> {
        self.expect_open("nothing was defined")?;
        let loader = |call| (Caller::Loader, call);
        let program = [self.carrier.program()];
        let chain = chain()?;
        let no_gateway = ResultCode::InvalidParameter;
        self.call(
            loader(Call::BeginChain),
            [7; 6],
            chain.as_bytes(),
            &[],
            no_gateway,
        )?;
        let (gateway, set) = (gateway()?, loader(Call::SetGateway));
        self.call(set, [0; 6], gateway.as_bytes(), &[], ResultCode::InvalidAddress)?;
        self.call(set, [0; 6], &[1, 2, 3], &program, ResultCode::InvalidFormat)?;
        let answer = self.call(set, [0; 6], gateway.as_bytes(), &program, ResultCode::Success)?;
        self.expect(answer.values[0] == 0, "the first gateway")?;
        let begin = loader(Call::BeginChain);
        let answer = self.call(begin, [0; 6], chain.as_bytes(), &[], ResultCode::Success)?;
        self.expect(answer.values[0] == CHAIN, "the first chain")?;
        self.call(begin, [0; 6], chain.as_bytes(), &[], ResultCode::NameTaken)?;
        let (function, add) = (function()?, loader(Call::AddFunction));
        let nowhere = [9, 0, 0, 0, 0, 0];
        self.call(
            add,
            nowhere,
            function.as_bytes(),
            &program,
            ResultCode::InvalidParameter,
        )?;
        self.call(add, [0; 6], function.as_bytes(), &[], ResultCode::InvalidAddress)?;
        let answer = self.call(add, [0; 6], function.as_bytes(), &program, ResultCode::Success)?;
        self.expect(answer.values[0] == FUNCTION, "the first function")?;
        let (port, of_function) = (name("out")?, [CHAIN, FUNCTION, 0, 0, 0, 0]);
        let add_port = loader(Call::AddPort);
        self.call(add_port, of_function, port.as_bytes(), &[], ResultCode::Success)?;
        self.call(add_port, of_function, port.as_bytes(), &[], ResultCode::NameTaken)?;
        let seal = (Caller::Loader, Call::SealChain);
        self.call(seal, [0; 6], &[], &[], ResultCode::BadGraph)?;
        self.expect_open("the chain is not sealed")?;
        let edge = EdgeDefinition {
            protection: protection::SEALED,
            carrier: 0,
            reading: reading::AS_FUNCTION,
        };
        let add_edge = loader(Call::AddEdge);
        let unknown = [CHAIN, FUNCTION, 5, 0, 0, 0];
        self.call(
            add_edge,
            unknown,
            edge.as_bytes(),
            &[],
            ResultCode::InvalidParameter,
        )?;
        for ends in [[CHAIN, 0, 0, FUNCTION, 0, 0], [CHAIN, FUNCTION, 0, 0, 0, 0]] {
            self.call(add_edge, ends, edge.as_bytes(), &[], ResultCode::Success)?;
        }
        Ok(())
    }

    fn questions(&mut self) -> Result<(), String> {
        for caller in [Caller::Loader, Caller::Daemon] {
            let of = |call| (caller, call);
            let answer = self.call(of(Call::QueryMonitor), [0; 6], &[], &[], ResultCode::Success)?;
            self.expect(
                MonitorEntry::read_from_bytes(&answer.operand).is_ok(),
                "a monitor",
            )?;
            let answer = self.call(of(Call::QueryChain), [0; 6], &[], &[], ResultCode::Success)?;
            self.expect(ChainEntry::read_from_bytes(&answer.operand).is_ok(), "a chain")?;
            let one = [CHAIN, FUNCTION, 0, 0, 0, 0];
            let answer = self.call(of(Call::QueryFunction), one, &[], &[], ResultCode::Success)?;
            self.expect(
                FunctionEntry::read_from_bytes(&answer.operand).is_ok(),
                "a function",
            )?;
            let answer = self.call(of(Call::QueryPort), [0; 6], &[], &[], ResultCode::Success)?;
            self.expect(PortEntry::read_from_bytes(&answer.operand).is_ok(), "a port")?;
            for call in [
                Call::QueryChain,
                Call::QueryFunction,
                Call::QueryPort,
                Call::QueryEdge,
            ] {
                let nothing = [u64::MAX; 6];
                self.call(of(call), nothing, &[], &[], ResultCode::InvalidParameter)?;
            }
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<(), String> {
        let daemon = Caller::Daemon;
        let create = (daemon, Call::CreateTrustlet);
        self.call(create, [CHAIN, 1, 0, 0, 0, 0], &[], &[], ResultCode::NotSealed)?;
        let seal = (Caller::Loader, Call::SealChain);
        let answer = self.call(seal, [CHAIN, 0, 0, 0, 0, 0], &[], &[], ResultCode::Success)?;
        self.expect(answer.operand.len() == 48, "a digest")?;
        self.call(seal, [CHAIN, 0, 0, 0, 0, 0], &[], &[], ResultCode::Sealed)?;
        Ok(())
    }

    fn after_sealing(&mut self) -> Result<(), String> {
        let program = [self.carrier.program()];
        let function = FunctionDefinition {
            name: name("late")?,
            ..function()?
        };
        let add = (Caller::Loader, Call::AddFunction);
        self.call(add, [0; 6], function.as_bytes(), &program, ResultCode::Sealed)?;
        let instance = (Caller::Daemon, Call::QueryInstance);
        for number in [0, 1] {
            let of = [CHAIN, number, 0, 0, 0, 0];
            self.call(instance, of, &[], &[], ResultCode::Success)?;
        }
        let none = [CHAIN, 2, 0, 0, 0, 0];
        self.call(instance, none, &[], &[], ResultCode::InvalidParameter)?;
        let delete = (Caller::Daemon, Call::DeleteTrustlet);
        self.call(delete, [CHAIN, 1, 1, 0, 0, 0], &[], &[], ResultCode::NotRunning)?;
        Ok(())
    }

    /// The end of the loader, until which no gateway starts, and of a daemon.
    fn ends(&mut self) -> Result<(), String> {
        let gateway = (Caller::Daemon, Call::CreateTrustlet);
        let of_gateway = [GATEWAY_PROCESS, 0, 0, 0, 0, 0];
        self.call(gateway, of_gateway, &[], &[], ResultCode::InvalidRequest)?;
        let loaded = self.monitor()?.loaded;
        self.expect(loaded == 0, "a loader that is there")?;
        self.carrier.end(Caller::Loader)?;
        let loaded = self.monitor()?.loaded;
        self.expect(loaded == 1, "a loader that has finished")?;
        self.expect_open("the loader has finished")?;
        let begin = (Caller::Loader, Call::BeginChain);
        let chain = chain()?;
        self.call(begin, [0; 6], chain.as_bytes(), &[], ResultCode::InvalidRequest)?;
        let before = self.daemon_restarts()?;
        self.carrier.end(Caller::Daemon)?;
        let after = self.daemon_restarts()?;
        self.expect(after == before + 1, "a daemon that died")
    }

    fn monitor(&mut self) -> Result<MonitorEntry, String> {
        let query = (Caller::Daemon, Call::QueryMonitor);
        let answer = self.call(query, [0; 6], &[], &[], ResultCode::Success)?;
        MonitorEntry::read_from_bytes(&answer.operand).map_err(|_| "no monitor".into())
    }

    fn daemon_restarts(&mut self) -> Result<u64, String> {
        let query = (Caller::Daemon, Call::Statistics);
        let answer = self.call(query, [0; 6], &[], &[], ResultCode::Success)?;
        let counts = Statistics::read_from_bytes(&answer.operand).map_err(|_| "no statistics")?;
        Ok(counts.daemon_restarts)
    }

    /// The monitor does not take the loader's end.
    fn expect_open(&mut self, why: &str) -> Result<(), String> {
        match self.carrier.end(Caller::Loader) {
            Ok(()) => Err(format!("the loader could end although {why}")),
            Err(_) => Ok(()),
        }
    }

    fn expect(&self, holds: bool, what: &str) -> Result<(), String> {
        if holds {
            Ok(())
        } else {
            Err(format!("call {} is not answered with {what}", self.calls))
        }
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|_| format!("the name {text}"))
}

fn gateway() -> Result<GatewayDefinition, String> {
    Ok(GatewayDefinition {
        role: name("gateway")?,
        memory_bytes: 64 << 20,
        scratch_bytes: 0,
        cpu: ANY_CPU,
        threads: 1,
        logs: 0,
        own: 0,
        tls: 0,
    })
}

fn chain() -> Result<ChainDefinition, String> {
    Ok(ChainDefinition {
        name: name("conformance")?,
        version: name("1")?,
        max_body_bytes: 1 << 20,
        max_reply_bytes: 1 << 20,
        deadline_ns: 1_000_000_000,
        gateway_outbox_bytes: 1 << 20,
        in_flight: 1,
        protection: protection::SEALED,
    })
}

fn function() -> Result<FunctionDefinition, String> {
    Ok(FunctionDefinition {
        name: name("f")?,
        limits: FunctionLimits {
            memory_bytes: 64 << 20,
            outbox_bytes: 1 << 20,
            timeout_ns: 1_000_000_000,
            retry_factor_milli: 1000,
            retry_attempts: 1,
            instances: 1,
            threads: 1,
            ..FunctionLimits::NONE
        },
    })
}
