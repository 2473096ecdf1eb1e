//! From a message to the call that it asks for: who may make which, and what does it.

use super::operand::narrow;
use super::refusal::{Refusal, refuse};
use super::reply::{Outcome, Reply, error_outcome};
use super::tables::Core;
use crate::calls::{self, Call, ReplyHeader, Request, ResultCode};
use crate::platform::Platform;
use alloc::vec::Vec;

/// Who calls. Each has a connection of its own, so nobody can pass for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Defines chains until it ends.
    Loader,
    /// Starts and ends trustlets.
    Daemon,
}

impl<P: Platform> Core<P> {
    /// Whether a message gets as far as a call that looks at the first of `file_count` files beside it. If
    /// not, [`Core::call`] gives the same answer whatever the files hold: so a carrier that has to copy them
    /// need not.
    pub fn reads_file(&self, caller: Caller, message: &[u8], file_count: usize) -> bool {
        Request::decode(message, file_count).is_ok_and(|request| {
            request.call.takes_file() && self.check_permission(caller, request.call).is_ok()
        })
    }

    /// Answers one message. Never fails: what is wrong with the message is the answer.
    pub fn call(&mut self, caller: Caller, message: &[u8], files: Vec<P::File>) -> Reply<'_, P> {
        let (call, sequence) = Request::peek(message);
        let result = Request::decode(message, files.len())
            .map_err(Refusal::from)
            .and_then(|request| self.dispatch(caller, &request, files));
        let (code, outcome) = match result {
            Ok(outcome) => {
                self.counts.calls += 1;
                (ResultCode::Success, outcome)
            }
            Err(refusal) => {
                self.counts.refused_calls += 1;
                (refusal.code, error_outcome(&refusal))
            }
        };
        let descriptors: Vec<_> = outcome
            .handles
            .iter()
            .filter_map(|&handle| self.descriptor(handle))
            .collect();
        let header = ReplyHeader {
            protocol: calls::PROTOCOL,
            call,
            result: code.number(),
            sequence,
            values: outcome.values,
            operand_bytes: crate::ids::number(outcome.operand.len()),
            descriptor_count: crate::ids::number(descriptors.len()),
        };
        Reply {
            bytes: calls::message(&header, &outcome.operand),
            descriptors,
        }
    }

    fn dispatch(
        &mut self,
        caller: Caller,
        request: &Request<'_>,
        files: Vec<P::File>,
    ) -> Result<Outcome, Refusal> {
        self.check_permission(caller, request.call)?;
        // A call that is not said to take a file gets none, so that `reads_file` says the same.
        let file = files.into_iter().next().filter(|_| request.call.takes_file());
        let arguments = request.arguments;
        match request.call {
            Call::QueryMonitor => Ok(self.query_monitor()),
            Call::QueryLayer => self.query_layer(arguments),
            Call::QueryChain => self.query_chain(arguments),
            Call::QueryFunction => self.query_function(arguments),
            Call::QueryPort => self.query_port(arguments),
            Call::QueryEdge => self.query_edge(arguments),
            Call::QueryInstance => self.query_instance(arguments),
            Call::QueryInbound => self.query_inbound(arguments),
            Call::QueryGateway => self.query_gateway(caller, arguments),
            Call::QueryAdmin => self.query_admin(),
            Call::QueryMemory => self.query_memory(arguments),
            Call::QueryRefused => self.query_refused(arguments),
            Call::SetGateway => self.set_gateway(request.operand, file),
            Call::BeginChain => self.begin_chain(arguments, request.operand),
            Call::AddFunction => self.add_function(false, arguments, request.operand, file),
            Call::AddCarrier => self.add_function(true, arguments, request.operand, file),
            Call::AddLibrary => self.add_library(arguments, request.operand, file),
            Call::AddFile => self.add_file(arguments, request.operand, file),
            Call::AddArgument => self.add_argument(arguments, request.operand),
            Call::AddVariable => self.add_variable(arguments, request.operand),
            Call::AddSecret => self.add_secret(arguments, request.operand, file),
            Call::AwaitSecret => self.await_secret(arguments, request.operand),
            Call::AskForSecret => self.ask_for_secret(arguments, request.operand),
            Call::OpenSecret => self.open_secret(arguments, request.operand, file),
            Call::AddPort => self.add_port(arguments, request.operand),
            Call::AddEdge => self.add_edge(arguments, request.operand),
            Call::SetRequests => self.set_requests(arguments, request.operand),
            Call::CarryHeader => self.carry_header(arguments, request.operand),
            Call::SetSystemCalls => self.set_system_calls(arguments),
            Call::SetPlacement => self.set_placement(arguments),
            Call::SetListener => self.set_listener(arguments, request.operand, file),
            Call::SetTlsFile => self.set_tls_file(arguments, request.operand, file),
            Call::SetAdmin => self.set_admin(file),
            Call::TakeSocket => self.take_socket(arguments),
            Call::SealChain => self.seal_chain(arguments),
            Call::CreateTrustlet => self.create_trustlet(arguments),
            Call::DeleteTrustlet => self.delete_trustlet(arguments),
            Call::Evidence => self.evidence(arguments, request.operand),
            Call::Statistics => Ok(self.statistics()),
            Call::DaemonReady => {
                let [serving, all, ..] = arguments;
                self.daemon_ready = Some((narrow(serving)?, narrow(all)?));
                Ok(Outcome::default())
            }
            Call::SetReadiness => self.set_readiness(arguments),
            Call::ReachCollector => self.reach_collector(),
        }
    }

    fn check_permission(&self, caller: Caller, call: Call) -> Result<(), Refusal> {
        let owner = match call {
            Call::QueryMonitor
            | Call::QueryLayer
            | Call::QueryChain
            | Call::QueryFunction
            | Call::QueryPort
            | Call::QueryEdge
            | Call::QueryInbound
            | Call::QueryGateway
            | Call::Evidence
            | Call::Statistics => return Ok(()),
            Call::QueryInstance
            | Call::QueryAdmin
            | Call::QueryMemory
            | Call::QueryRefused
            | Call::CreateTrustlet
            | Call::DeleteTrustlet
            | Call::DaemonReady
            | Call::SetReadiness
            | Call::ReachCollector => Caller::Daemon,
            Call::SetGateway
            | Call::BeginChain
            | Call::AddFunction
            | Call::AddCarrier
            | Call::AddLibrary
            | Call::AddFile
            | Call::AddArgument
            | Call::AddVariable
            | Call::AddSecret
            | Call::AwaitSecret
            | Call::AskForSecret
            | Call::OpenSecret
            | Call::AddPort
            | Call::AddEdge
            | Call::SetRequests
            | Call::CarryHeader
            | Call::SetSystemCalls
            | Call::SetPlacement
            | Call::SetListener
            | Call::SetTlsFile
            | Call::SetAdmin
            | Call::TakeSocket
            | Call::SealChain => Caller::Loader,
        };
        if caller != owner {
            return Err(ResultCode::NotPermitted.into());
        }
        if caller == Caller::Loader && self.loaded {
            return refuse(ResultCode::InvalidRequest, "the loader has finished");
        }
        Ok(())
    }
}
