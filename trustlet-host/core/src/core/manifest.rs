//! The evidence call: what this monitor serves, as text, signed by the platform.
//!
//! Evidence can be longer than a reply. It is the same for the same nonce as long as no chain is added, so a
//! caller asks for one part after the other with the same nonce, and the signature tells if something changed
//! in between.

use super::operand::narrow;
use super::refusal::{Refusal, refuse};
use super::reply::Outcome;
use super::sealed::Chain;
use super::tables::Core;
use crate::calls::{GATEWAY_PROCESS, OPERAND_MAX_BYTES, ResultCode};
use crate::evidence::{NONCE_BYTES, WARNING};
use crate::hex::Hex;
use crate::platform::Platform;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

impl<P: Platform> Core<P> {
    pub(super) fn evidence(&self, [chain, from, ..]: [u64; 6], operand: &[u8]) -> Result<Outcome, Refusal> {
        let nonce: &[u8; NONCE_BYTES] = operand
            .try_into()
            .map_err(|_| Refusal::new(ResultCode::InvalidFormat, "a nonce has 64 bytes"))?;
        let manifest = if chain == GATEWAY_PROCESS {
            self.manifest(self.chains.iter())
        } else {
            let chain = self.chain(chain)?;
            chain.sealed()?;
            self.manifest(core::iter::once(chain))
        };
        let evidence = self.platform.sign(&manifest, nonce);
        let from = crate::ids::index(narrow(from)?);
        let Some(rest) = evidence.get(from..) else {
            return refuse(ResultCode::InvalidParameter, "the evidence is shorter");
        };
        let mut outcome = Outcome::value(u64::try_from(evidence.len()).unwrap_or(u64::MAX));
        outcome.operand = rest.iter().copied().take(OPERAND_MAX_BYTES).collect();
        Ok(outcome)
    }

    fn manifest<'a>(&self, chains: impl Iterator<Item = &'a Chain<P>> + Clone) -> String
    where
        P: 'a,
    {
        let mut text = format!("backend {}\n", self.platform.backend());
        if !self.platform.is_snp() {
            text.push_str(WARNING);
        }
        let line = |text: &mut String, words: core::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = text.write_fmt(words);
            text.push('\n');
        };
        for layer in &self.layers {
            match layer.missing_because {
                None => line(&mut text, format_args!("layer {} enforced", layer.name)),
                Some(_) => line(&mut text, format_args!("layer {} missing", layer.name)),
            }
        }
        for (name, measurement) in ["monitor", "daemon"].into_iter().zip(&self.measurements) {
            line(&mut text, format_args!("{name} {}", Hex(measurement)));
        }
        // Of the gateways, those that serve one of the chains; an own one with the name of its chain.
        let mut named = Vec::new();
        for chain in chains.clone() {
            let Some(gateway) = self.gateways.get(chain.gateway.at()) else {
                continue;
            };
            if named.contains(&chain.gateway) {
                continue;
            }
            named.push(chain.gateway);
            let measurement = P::image_measurement(&gateway.program.image);
            let hash = Hex(&measurement);
            match gateway.is_own() {
                true => line(
                    &mut text,
                    format_args!("gateway {hash} {}", chain.definition.chain.name),
                ),
                false => line(&mut text, format_args!("gateway {hash}")),
            }
        }
        for chain in chains {
            let Some(sealed) = &chain.sealed else {
                continue;
            };
            let definition = &chain.definition;
            line(
                &mut text,
                format_args!(
                    "chain {} {} {}",
                    Hex(&sealed.digest),
                    definition.chain.version,
                    definition.chain.name
                ),
            );
            for function in &definition.functions {
                let measurement = P::image_measurement(&function.program.image);
                let kind = if function.is_carrier {
                    "carrier"
                } else {
                    "function"
                };
                line(
                    &mut text,
                    format_args!("{kind} {} {}", Hex(&measurement), function.definition.name),
                );
            }
        }
        text
    }
}
