//! The loader's calls about gateways, and how one is found by its number.

use super::definition::cpu_hint;
use super::gateway::{Gateway, Listener, TlsFile, check_gateway, no_such_gateway};
use super::limits;
use super::names::{GATEWAY, canonical_name};
use super::operand::{fixed, narrow, present, text};
use super::program::Program;
use super::refusal::{Refusal, refuse};
use super::reply::Outcome;
use super::sealed::Chain;
use super::tables::Core;
use crate::calls::{GatewayDefinition, ResultCode};
use crate::ids::{GatewayId, number};
use crate::platform::Platform;
use alloc::borrow::ToOwned;
use alloc::vec::Vec;

impl<P: Platform> Core<P> {
    pub(super) fn set_gateway(&mut self, operand: &[u8], file: Option<P::File>) -> Result<Outcome, Refusal> {
        let mut definition: GatewayDefinition = fixed(operand)?;
        definition.role = canonical_name(&definition.role)?;
        check_gateway(&definition)?;
        cpu_hint(definition.cpu)?;
        if self.gateways.len() >= limits::GATEWAYS_MAX {
            return refuse(ResultCode::LimitReached, "a monitor has at most 65 gateways");
        }
        if definition.own == 0 && self.gateways.iter().any(|gateway| !gateway.is_own()) {
            return refuse(ResultCode::InvalidRequest, "the shared gateway is set");
        }
        let image = self.image(GATEWAY, file)?;
        self.gateways.push(Gateway {
            definition,
            program: Program::new(image),
            listener: None,
            tls_files: Vec::new(),
            offered: None,
            tls_key: None,
            epoch: 0,
            deaths: 0,
            log: None,
        });
        Ok(Outcome::value(u64::from(number(self.gateways.len() - 1))))
    }

    /// Adds a library to a gateway of which no sealed chain is measured yet.
    pub(super) fn add_gateway_library(
        &mut self,
        gateway: u64,
        file: P::File,
        path: &str,
        interpreter: bool,
    ) -> Result<(), Refusal> {
        let id = self.gateway_id(gateway)?;
        let is_sealed = |chain: &Chain<P>| chain.gateway == id && chain.sealed.is_some();
        if self.chains.iter().any(is_sealed) {
            return refuse(ResultCode::Sealed, "the gateway is part of a sealed chain");
        }
        let Some(gateway) = self.gateways.get_mut(id.at()) else {
            return no_such_gateway();
        };
        gateway
            .program
            .add_library(&mut self.platform, file, path, interpreter)
    }

    pub(super) fn set_listener(
        &mut self,
        [gateway, outlives, ..]: [u64; 6],
        operand: &[u8],
        file: Option<P::File>,
    ) -> Result<Outcome, Refusal> {
        let address = text(operand)?;
        if outlives > 1 {
            return refuse(
                ResultCode::InvalidParameter,
                "a socket outlives the service or not",
            );
        }
        let socket = present(file)?;
        if !self.platform.is_listener(&socket) {
            return refuse(
                ResultCode::InvalidAddress,
                "the descriptor is no listening socket",
            );
        }
        if address.len() > limits::ADDRESS_MAX_BYTES {
            return refuse(ResultCode::InvalidParameter, "an address has at most 256 bytes");
        }
        let gateway = self.gateway_mut(gateway)?;
        if gateway.listener.is_some() {
            return refuse(ResultCode::InvalidRequest, "the listener is set");
        }
        if gateway.tls_files.len() != gateway.tls_file_count() {
            return refuse(
                ResultCode::InvalidRequest,
                "a file that the gateway's TLS needs is not set",
            );
        }
        gateway.listener = Some(Listener {
            address: address.to_owned(),
            socket,
            outlives: outlives == 1,
        });
        Ok(Outcome::default())
    }

    pub(super) fn set_tls_file(
        &mut self,
        [gateway, which, ..]: [u64; 6],
        operand: &[u8],
        file: Option<P::File>,
    ) -> Result<Outcome, Refusal> {
        let path = text(operand)?;
        let content = present(file)?;
        if !path.starts_with('/') || path.contains('\0') {
            return refuse(ResultCode::InvalidParameter, "a file's path is absolute");
        }
        self.check_text(path.len())?;
        let gateway = self.gateway_mut(gateway)?;
        let next = gateway.tls_files.len();
        if usize::try_from(which) != Ok(next) || next >= gateway.tls_file_count() {
            return refuse(
                ResultCode::InvalidParameter,
                "the gateway needs no such file, or another one before it",
            );
        }
        gateway.tls_files.push(TlsFile {
            path: path.to_owned(),
            content,
        });
        self.text_bytes += path.len();
        Ok(Outcome::default())
    }

    /// The gateway that an argument names.
    pub(super) fn gateway_id(&self, argument: u64) -> Result<GatewayId, Refusal> {
        let gateway = GatewayId(narrow(argument)?);
        if gateway.at() < self.gateways.len() {
            Ok(gateway)
        } else {
            no_such_gateway()
        }
    }

    pub(super) fn gateway(&self, gateway: GatewayId) -> Result<&Gateway<P>, Refusal> {
        match self.gateways.get(gateway.at()) {
            Some(gateway) => Ok(gateway),
            None => no_such_gateway(),
        }
    }

    fn gateway_mut(&mut self, argument: u64) -> Result<&mut Gateway<P>, Refusal> {
        let gateway = self.gateway_id(argument)?;
        match self.gateways.get_mut(gateway.at()) {
            Some(gateway) => Ok(gateway),
            None => no_such_gateway(),
        }
    }
}
