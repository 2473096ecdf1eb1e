//! The loader's calls.

use super::definition::{Definition, Placement, Secret, cpu_hint};
use super::event::Event;
use super::limits;
use super::names::word;
use super::operand::{fixed, function_index, name, narrow, present, text};
use super::program::NewFile;
use super::refusal::{Refusal, refuse};
use super::reply::Outcome;
use super::sealed::Chain;
use super::tables::Core;
use crate::calls::{
    ChainDefinition, EdgeDefinition, FunctionDefinition, GATEWAY_PROCESS, ResultCode, file_kind,
};
use crate::ids::{index, number};
use crate::platform::{Platform, SystemCalls};
use alloc::string::ToString;
use alloc::vec::Vec;
use hacher_data_path::attach::message::SECRET_VALUE_MAX_BYTES;
use hacher_data_path::waiting::Waiting;
use zeroize::Zeroizing;

impl<P: Platform> Core<P> {
    pub(super) fn begin_chain(
        &mut self,
        [gateway, ..]: [u64; 6],
        operand: &[u8],
    ) -> Result<Outcome, Refusal> {
        let gateway = self.gateway_id(gateway)?;
        if self.gateway(gateway)?.is_own() && !self.chains_of(gateway).is_empty() {
            return refuse(ResultCode::InvalidRequest, "the gateway is another chain's own");
        }
        let definition = Definition::new(fixed::<ChainDefinition>(operand)?)?;
        if self.chains.len() >= limits::CHAINS_MAX {
            return refuse(ResultCode::LimitReached, "a monitor has at most 64 chains");
        }
        let taken = self
            .chains
            .iter()
            .any(|chain| chain.definition.chain.name == definition.chain.name);
        if taken {
            return refuse(ResultCode::NameTaken, "there is a chain of this name");
        }
        self.take_instances(1)?;
        self.chains.push(Chain {
            definition,
            gateway,
            unready: false,
            sealed: None,
        });
        Ok(Outcome::value(u64::from(number(self.chains.len() - 1))))
    }

    pub(super) fn set_requests(
        &mut self,
        [chain, methods, ..]: [u64; 6],
        operand: &[u8],
    ) -> Result<Outcome, Refusal> {
        let requests = &mut self.chain_mut(chain)?.open_mut()?.requests;
        requests.set(narrow(methods)?, text(operand)?)?;
        Ok(Outcome::default())
    }

    pub(super) fn carry_header(&mut self, [chain, ..]: [u64; 6], operand: &[u8]) -> Result<Outcome, Refusal> {
        let requests = &mut self.chain_mut(chain)?.open_mut()?.requests;
        requests.carry(word(&fixed(operand)?)?)?;
        Ok(Outcome::default())
    }

    /// Adds a function, or a carrier.
    pub(super) fn add_function(
        &mut self,
        is_carrier: bool,
        [chain, ..]: [u64; 6],
        operand: &[u8],
        file: Option<P::File>,
    ) -> Result<Outcome, Refusal> {
        let mut definition: FunctionDefinition = fixed(operand)?;
        definition.name = word(&definition.name)?;
        let open = self.chain_mut(chain)?.open_mut()?;
        open.check_function(&definition, is_carrier)?;
        let image = self.image(definition.name.as_str(), file)?;
        self.take_instances(index(definition.limits.instances))?;
        let open = self.chain_mut(chain)?.open_mut()?;
        let function = open.add_function(definition, is_carrier, image);
        Ok(Outcome::value(u64::from(function.0)))
    }

    pub(super) fn add_library(
        &mut self,
        [chain, function, interpreter, ..]: [u64; 6],
        operand: &[u8],
        file: Option<P::File>,
    ) -> Result<Outcome, Refusal> {
        let interpreter = match interpreter {
            0 => false,
            1 => true,
            _ => return Err(ResultCode::InvalidParameter.into()),
        };
        let path = text(operand)?;
        let file = present(file)?;
        self.check_text(path.len())?;
        if chain == GATEWAY_PROCESS {
            self.add_gateway_library(function, file, path, interpreter)?;
        } else {
            let function = function_index(function)?;
            let chain = self.chain_id(chain)?;
            let Some(entry) = self.chains.get_mut(chain.at()) else {
                return Err(ResultCode::InvalidParameter.into());
            };
            entry.open_mut()?.function_mut(function)?.program.add_library(
                &mut self.platform,
                file,
                path,
                interpreter,
            )?;
        }
        self.text_bytes += path.len();
        Ok(Outcome::default())
    }

    pub(super) fn add_variable(
        &mut self,
        [chain, function, name_bytes, ..]: [u64; 6],
        operand: &[u8],
    ) -> Result<Outcome, Refusal> {
        let both = text(operand)?;
        let (name, value) = usize::try_from(name_bytes)
            .ok()
            .and_then(|at| both.split_at_checked(at))
            .ok_or(ResultCode::InvalidParameter)?;
        self.check_text(both.len())?;
        let function = function_index(function)?;
        let definition = self.chain_mut(chain)?.open_mut()?;
        definition
            .function_mut(function)?
            .program
            .add_variable(name, value)?;
        self.text_bytes += both.len();
        Ok(Outcome::default())
    }

    pub(super) fn add_argument(
        &mut self,
        [chain, function, ..]: [u64; 6],
        operand: &[u8],
    ) -> Result<Outcome, Refusal> {
        let argument = text(operand)?;
        self.check_text(argument.len())?;
        let function = function_index(function)?;
        let definition = self.chain_mut(chain)?.open_mut()?;
        definition
            .function_mut(function)?
            .program
            .add_argument(argument)?;
        self.text_bytes += argument.len();
        Ok(Outcome::default())
    }

    pub(super) fn set_system_calls(
        &mut self,
        [chain, function, calls, ..]: [u64; 6],
    ) -> Result<Outcome, Refusal> {
        let Some(calls) = SystemCalls::from_number(calls) else {
            return Err(ResultCode::InvalidParameter.into());
        };
        self.platform.admits(calls)?;
        let function = self
            .chain_mut(chain)?
            .open_mut()?
            .function_mut(function_index(function)?)?;
        if function.is_carrier && calls != SystemCalls::Native {
            return refuse(ResultCode::InvalidParameter, "a carrier starts no programs");
        }
        function.program.system_calls = calls;
        Ok(Outcome::default())
    }

    pub(super) fn add_file(
        &mut self,
        [chain, function, kind, place_bytes, ..]: [u64; 6],
        operand: &[u8],
        file: Option<P::File>,
    ) -> Result<Outcome, Refusal> {
        let both = text(operand)?;
        let (path, target) = usize::try_from(place_bytes)
            .ok()
            .and_then(|at| both.split_at_checked(at))
            .ok_or(ResultCode::InvalidParameter)?;
        let new = match (kind, file, target) {
            (file_kind::FOLDER, None, "") => NewFile::Folder,
            (file_kind::FILE, Some(file), "") => NewFile::File(file),
            (file_kind::LINK, None, target) => NewFile::Link(target),
            _ => {
                return refuse(
                    ResultCode::InvalidParameter,
                    "a file has a descriptor, a link leads somewhere, a folder has neither",
                );
            }
        };
        self.check_text(both.len())?;
        if self.file_total >= limits::FILES_TOTAL_MAX {
            return refuse(
                ResultCode::LimitReached,
                "the functions of a monitor have at most 262,144 files",
            );
        }
        let function = function_index(function)?;
        let chain = self.chain_id(chain)?;
        let Some(entry) = self.chains.get_mut(chain.at()) else {
            return Err(ResultCode::InvalidParameter.into());
        };
        let program = &mut entry.open_mut()?.function_mut(function)?.program;
        let left_bytes = limits::FILES_TOTAL_MAX_BYTES.saturating_sub(self.file_bytes);
        let before_bytes = program.files_bytes;
        program.add_file(&mut self.platform, path, new, left_bytes)?;
        self.file_bytes += program.files_bytes - before_bytes;
        self.text_bytes += both.len();
        self.file_total += 1;
        Ok(Outcome::default())
    }

    pub(super) fn add_secret(
        &mut self,
        [chain, function, trim, ..]: [u64; 6],
        operand: &[u8],
        file: Option<P::File>,
    ) -> Result<Outcome, Refusal> {
        let name = name(operand)?;
        if trim > 1 {
            return refuse(ResultCode::InvalidParameter, "whether to trim is 0 or 1");
        }
        let function = function_index(function)?;
        self.chain_mut(chain)?.open_mut()?.check_secret(function, &name)?;
        let mut value = self
            .platform
            .read_secret(present(file)?, SECRET_VALUE_MAX_BYTES)
            .map_err(|error| Refusal::new(ResultCode::BadSecret, error.to_string()))?;
        if value.len() > SECRET_VALUE_MAX_BYTES {
            return refuse(ResultCode::BadSecret, "a secret has at most 8 KiB");
        }
        if trim == 1 {
            trim_line_breaks(&mut value);
        }
        self.check_text(value.len())?;
        self.text_bytes += value.len();
        let secret = Secret {
            name,
            awaited: None,
            value: Some(value),
        };
        self.chain_mut(chain)?.open_mut()?.add_secret(function, secret)?;
        Ok(Outcome::default())
    }

    pub(super) fn add_port(
        &mut self,
        [chain, function, ..]: [u64; 6],
        operand: &[u8],
    ) -> Result<Outcome, Refusal> {
        let name = word(&fixed(operand)?)?;
        let function = function_index(function)?;
        let index = self.chain_mut(chain)?.open_mut()?.add_port(function, name)?;
        Ok(Outcome::value(u64::from(index)))
    }

    pub(super) fn add_edge(
        &mut self,
        [chain, producer, port_index, consumer, group, member]: [u64; 6],
        operand: &[u8],
    ) -> Result<Outcome, Refusal> {
        let definition: EdgeDefinition = fixed(operand)?;
        let edge = self.chain_mut(chain)?.open_mut()?.add_edge(
            function_index(producer)?,
            narrow(port_index)?,
            function_index(consumer)?,
            narrow(group)?,
            narrow(member)?,
            &definition,
        )?;
        Ok(Outcome::value(u64::from(edge)))
    }

    pub(super) fn set_placement(
        &mut self,
        [chain, function, ordinal, cpu, spin_ns, waiting]: [u64; 6],
    ) -> Result<Outcome, Refusal> {
        let Some(waiting) = Waiting::from_word(narrow(waiting)?, spin_ns) else {
            return refuse(
                ResultCode::InvalidParameter,
                "an instance looks for work for some time, or sleeps at once",
            );
        };
        let placement = Placement {
            cpu: cpu_hint(cpu)?,
            waiting,
            spin_ns,
        };
        let function = function_index(function)?;
        let ordinal = narrow(ordinal)?;
        self.chain_mut(chain)?
            .open_mut()?
            .set_placement(function, ordinal, placement)?;
        Ok(Outcome::default())
    }

    pub(super) fn set_admin(&mut self, file: Option<P::File>) -> Result<Outcome, Refusal> {
        let file = present(file)?;
        if !self.platform.is_listener(&file) {
            return refuse(
                ResultCode::InvalidAddress,
                "the descriptor is no listening socket",
            );
        }
        if self.admin.len() >= limits::ADMIN_SOCKETS_MAX {
            return refuse(
                ResultCode::LimitReached,
                "the daemon has as many sockets as it may",
            );
        }
        self.admin.push(file);
        Ok(Outcome::default())
    }

    pub(super) fn seal_chain(&mut self, [chain, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let id = self.chain_id(chain)?;
        let Some(entry) = self.chains.get_mut(id.at()) else {
            return Err(ResultCode::InvalidParameter.into());
        };
        let Some(gateway) = self.gateways.get(entry.gateway.at()) else {
            return Err(ResultCode::InvalidParameter.into());
        };
        entry.seal(&mut self.platform, gateway, self.sealings + 1)?;
        self.sealings += 1;
        self.events.push_back(Event::ChainSealed { chain: id });
        Ok(Outcome::operand(&entry.sealed()?.digest))
    }

    pub(super) fn image(&mut self, name: &str, file: Option<P::File>) -> Result<P::Image, Refusal> {
        self.platform
            .load_image(name, present(file)?)
            .map_err(|error| Refusal::new(ResultCode::BadImage, error.to_string()))
    }

    fn take_instances(&mut self, count: usize) -> Result<(), Refusal> {
        if self.instance_total + count > limits::INSTANCES_TOTAL_MAX {
            return refuse(ResultCode::LimitReached, "a monitor has at most 2,048 instances");
        }
        self.instance_total += count;
        Ok(())
    }

    pub(super) fn check_text(&self, len_bytes: usize) -> Result<(), Refusal> {
        if self.text_bytes + len_bytes > limits::TEXT_TOTAL_MAX_BYTES {
            return refuse(
                ResultCode::LimitReached,
                "paths, arguments, variables and secrets of all chains have at most 64 MiB",
            );
        }
        Ok(())
    }
}

/// Drops line breaks at the end of a secret, which are its file's.
pub(super) fn trim_line_breaks(value: &mut Zeroizing<Vec<u8>>) {
    let kept = value
        .iter()
        .rposition(|byte| !matches!(byte, b'\n' | b'\r'))
        .map_or(0, |last| last + 1);
    value.truncate(kept);
}
