//! Whose a process is, and what people call it.

use super::gateway::Gateway;
use super::ledger::Owner;
use super::names::GATEWAY;
use super::tables::Core;
use crate::ids::{GatewayId, ProcessId};
use crate::platform::Platform;
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::fmt;

/// Whose a process is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whom {
    /// The chain; nothing for the gateway that chains share.
    pub chain: String,
    /// The function, or `gateway`.
    pub function: String,
    /// Which instance of its function it is; nothing for a gateway.
    pub ordinal: Option<u32>,
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain, function, .. } = self;
        match self.ordinal {
            Some(ordinal) => write!(f, "function `{function}` of chain `{chain}` (#{ordinal})"),
            None if chain.is_empty() => write!(f, "the gateway"),
            None => write!(f, "the gateway of chain `{chain}`"),
        }
    }
}

/// Who is who.
impl<P: Platform> Core<P> {
    /// Whose process it is.
    pub fn whom(&self, process: ProcessId) -> Option<Whom> {
        let (chain, instance) = match self.ledger.owner(process)?.0 {
            Owner::Gateway(gateway) => return Some(self.whom_of_gateway(gateway)),
            Owner::Function(chain, instance) => (chain, instance),
        };
        let chain = self.chains.get(chain.at())?;
        let planned = chain.sealed.as_ref()?.plan.instance(instance)?;
        let function = chain.definition.function(planned.function)?;
        Some(Whom {
            chain: chain.definition.chain.name.to_string(),
            function: function.definition.name.to_string(),
            ordinal: Some(planned.ordinal),
        })
    }

    /// What people call a process.
    pub fn name_of(&self, process: ProcessId) -> Option<String> {
        Some(self.whom(process)?.to_string())
    }

    /// What people call a gateway.
    pub fn gateway_name(&self, id: GatewayId) -> String {
        self.whom_of_gateway(id).to_string()
    }

    fn whom_of_gateway(&self, id: GatewayId) -> Whom {
        let own = self.gateways.get(id.at()).is_some_and(Gateway::is_own);
        let chain = self.chains.iter().find(|chain| own && chain.gateway == id);
        Whom {
            chain: chain.map_or_else(String::new, |chain| chain.definition.chain.name.to_string()),
            function: GATEWAY.to_owned(),
            ordinal: None,
        }
    }
}
