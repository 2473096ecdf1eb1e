//! `measure`: the digest of a chain and the measurements in it, without running anything.

use super::{Failed, print, print_json, read_chain, report_chain_error};
use crate::chain::define::{Definer, define_chain, define_gateway};
use crate::chain::own_gateway;
use crate::chain::placement::{seat, usable_cpus};
use crate::cli::{ChainArgs, Format};
use crate::gateway;
use crate::loader::own_executable;
use crate::table::{Align, Table};
use hacher_trustlet_host::calls::{Call, FunctionEntry};
use hacher_trustlet_host::measure::Measurer;
use serde_json::json;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use zerocopy::FromBytes;

impl Definer for Measurer {
    fn call(
        &mut self,
        call: Call,
        arguments: &[u64],
        operand: &[u8],
        files: Vec<OwnedFd>,
    ) -> Result<(u64, Vec<u8>), String> {
        Self::call(self, call, arguments, operand, files).map(|(values, operand)| (values[0], operand))
    }
}

/// Prints the digest that `serve` would report for this chain.
///
/// # Errors
/// When the chain file or what it names cannot be used.
pub fn measure(arguments: &ChainArgs) -> Result<(), Failed> {
    let format = arguments.format.format;
    let file = read_chain(&arguments.chain, format)?;
    let functions = file
        .open_functions()
        .map_err(|error| report_chain_error(&error, format))?;
    let mut measurer = Measurer::new();
    let (executable, linked) = own_executable()?;
    let kind = own_gateway::kind(file.chain(), gateway::ROLE, None);
    let gateway = define_gateway(&mut measurer, executable, linked, kind)?;
    let seating = seat(file.chain(), &usable_cpus());
    let digest = hex(&define_chain(&mut measurer, gateway, &file, functions, &seating)?);
    let mut measured = Vec::new();
    for function in 0..=file.chain().functions().len() as u64 {
        let (_, answer) = Definer::call(
            &mut measurer,
            Call::QueryFunction,
            &[0, function],
            &[],
            Vec::new(),
        )
        .map_err(Failed::new)?;
        let (entry, _) = FunctionEntry::read_from_prefix(&answer)
            .map_err(|_| Failed::new("an answer has another layout"))?;
        measured.push((
            entry.definition.name.to_string(),
            hex(&entry.measurement),
            entry.library_count,
        ));
    }
    match format {
        Format::Json => {
            let functions: Vec<_> = measured
                .iter()
                .map(|(name, sha384, libraries)| json!({ "function": name, "sha384": sha384, "libraries": libraries }))
                .collect();
            print_json(&json!({ "chain": file.chain().name(), "digest": digest, "functions": functions }));
        }
        Format::Human => {
            let mut table = Table::new(&[
                ("function", Align::Left),
                ("libraries", Align::Right),
                ("SHA-384", Align::Left),
            ]);
            for (name, sha384, libraries) in measured {
                table.row([name, libraries.to_string(), sha384]);
            }
            print(&format!(
                "chain `{}`\n  digest {digest}\n\n{}",
                file.chain().name(),
                table.render()
            ));
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
