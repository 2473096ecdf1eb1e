//! What chains that one service serves must not have in common, and what they need together: `check`, `serve`
//! and `doctor` ask here, so they agree.

use super::file::{ChainFile, ChainFileError};
use super::gateway_memory::check_fit;
use super::own_gateway::{Elsewhere, address_taken_twice};
use hacher_chain_dsl::Chain;
use hacher_trustlet_host::core::limits::{CHAINS_MAX, INSTANCES_TOTAL_MAX};

/// The first of these files whose chain cannot be served beside those before it, or by a service that listens
/// `elsewhere`, and why. Without that, nobody listens for one chain alone.
#[must_use]
pub fn first_conflict(
    files: &[&ChainFile],
    elsewhere: Option<&Elsewhere>,
) -> Option<(usize, ChainFileError)> {
    let name = name_taken_twice(files);
    let address = elsewhere.and_then(|elsewhere| address_taken_twice(files, elsewhere));
    name.into_iter().chain(address).min_by_key(|(at, _)| *at)
}

fn name_taken_twice(files: &[&ChainFile]) -> Option<(usize, ChainFileError)> {
    files.iter().enumerate().find_map(|(at, file)| {
        let name = file.chain().name();
        let first = files.iter().take(at).find(|other| other.chain().name() == name)?;
        let message = format!(
            "the chain `{name}` of `{}` is named as that of `{}`; requests find a chain by its name",
            file.path().display(),
            first.path().display()
        );
        Some((at, ChainFileError::Together(message)))
    })
}

/// Whether the chains fit into one service, and the gateways that serve them have room for the largest
/// request and reply of each.
///
/// # Errors
/// What does not fit, with the sum and the limit.
pub fn check_sums(chains: &[&Chain]) -> Result<(), String> {
    if chains.len() > CHAINS_MAX {
        return Err(format!(
            "a service has at most {CHAINS_MAX} chains, and these are {}",
            chains.len()
        ));
    }
    // Each chain has one of the gateway besides.
    let functions = chains.iter().flat_map(|chain| chain.functions());
    let instances = functions
        .map(|function| u64::from(function.instances()))
        .sum::<u64>()
        + chains.len() as u64;
    if instances > INSTANCES_TOTAL_MAX as u64 {
        return Err(format!(
            "a service has at most {INSTANCES_TOTAL_MAX} instances, and these chains have {instances}, with one of the gateway for each"
        ));
    }
    let fits = |chains: &[&Chain]| check_fit(chains.iter().copied()).map_err(|error| error.to_string());
    let (own, shared): (Vec<&Chain>, Vec<&Chain>) = chains
        .iter()
        .partition(|chain| chain.ingress().listen().is_some());
    fits(&shared)?;
    own.iter().try_for_each(|chain| fits(&[*chain]))
}
