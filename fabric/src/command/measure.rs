//! `measure`: the digest of a chain and the measurements in it, without running anything.

use super::{Failed, complain, print, print_json, read_chain, report_chain_error};
use crate::adaptor_program::with_adaptor;
use crate::cli::{Format, MeasureArgs};
use crate::companion::Companion;
use crate::gateway_program::GatewayProgram;
use crate::policy::{MeasuredChain, draft};
use crate::table::{Align, Table, bytes};
use hacher_chain_dsl::{Function, Logs};
use hacher_loader::beneath::Folders;
use hacher_loader::define::{define_chain, define_gateway};
use hacher_loader::definer::Definer;
use hacher_loader::named::chain_files;
use hacher_loader::own_gateway;
use hacher_loader::placement::{seat, usable_cpus};
use hacher_loader::progress;
use hacher_loader::protection::is_mapped;
use hacher_trustlet_host::VERSION;
use hacher_trustlet_host::calls::{Call, FunctionEntry};
use hacher_trustlet_host::evidence::cryptography::Sha384;
use hacher_trustlet_host::hex::hex;
use hacher_trustlet_host::measure::Measurer;
use hacher_trustlet_host::platform::SystemCalls;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use zerocopy::FromBytes;

/// Prints the digests that `serve` would report for these chains.
///
/// # Errors
/// When a chain file or what it names cannot be used, or nothing can be printed.
pub fn measure(arguments: &MeasureArgs) -> Result<(), Failed> {
    progress::watch(|| {});
    let format = arguments.format.format;
    let folders = arguments.secrets.folders()?;
    let paths = chain_files(&arguments.chains)?;
    let measured = paths
        .iter()
        .map(|path| measure_one(path, format, &folders))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(path) = &arguments.policy {
        write_policy(path, &measured)?;
    }
    if format == Format::Human {
        let texts: Vec<String> = measured.iter().map(Measured::human).collect();
        return print(&texts.join("\n"));
    }
    let mut data: Vec<Value> = measured.iter().map(Measured::data).collect();
    // Who names one file gets one report, and who names several, or a folder, a list.
    let is_one = matches!(arguments.chains.as_slice(), [path] if !path.is_dir());
    print_json(&match data.pop() {
        Some(one) if is_one => one,
        last => {
            data.extend(last);
            Value::Array(data)
        }
    })
}

/// Writes a policy that accepts what was measured; never over a file that is there, which somebody may have
/// reviewed.
fn write_policy(path: &Path, measured: &[Measured]) -> Result<(), Failed> {
    let chains: Vec<MeasuredChain<'_>> = measured
        .iter()
        .map(|measured| MeasuredChain {
            name: &measured.chain,
            digest: &measured.digest,
            drops_logs: measured.drops_logs,
            seals_edges: measured.seals_edges,
            gateway: measured.functions.first().map_or_else(String::new, image),
            functions: measured
                .functions
                .iter()
                .skip(1)
                .map(|function| (function.definition.name.to_string(), image(function)))
                .collect(),
        })
        .collect();
    let failed = |error: io::Error| {
        Failed::new(match error.kind() {
            io::ErrorKind::AlreadyExists => format!(
                "`{}` exists: a policy is never overwritten; move it away first",
                path.display()
            ),
            _ => format!("cannot write `{}`: {error}", path.display()),
        })
    };
    let monitor = monitor_measurement()?;
    let mut file = File::create_new(path).map_err(failed)?;
    file.write_all(draft(&chains, Some(&monitor), VERSION).as_bytes())
        .map_err(failed)?;
    complain(&format!(
        "wrote {}: review it, and hand it to data owners for `hacher-fabric verify --policy`\n",
        path.display()
    ))
}

/// The measurement of the monitor that `serve` would start here: the executable beside this one, or this one.
fn monitor_measurement() -> Result<String, Failed> {
    let mut file = match Companion::Monitor.beside(Companion::Fabric)? {
        Some(found) => found.file,
        None => File::open("/proc/self/exe")?,
    };
    let mut hash = Sha384::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hash.finish())),
            len => hash.update(piece.get(..len).unwrap_or_default()),
        }
    }
}

/// The measurement that evidence has of a function.
fn image(function: &FunctionEntry) -> String {
    hex(&function.image)
}

/// The word of a chain file for its system calls.
fn system_calls(function: &FunctionEntry) -> Option<&'static str> {
    match SystemCalls::from_number(u64::from(function.system_calls))? {
        SystemCalls::Native => Some("native"),
        SystemCalls::Program { jit: false } => Some("program"),
        SystemCalls::Program { jit: true } => Some("program, jit"),
    }
}

/// What was measured of one chain.
struct Measured {
    chain: String,
    digest: String,
    drops_logs: bool,
    seals_edges: bool,
    /// The gateway first.
    functions: Vec<FunctionEntry>,
}

impl Measured {
    fn data(&self) -> Value {
        let functions = self.functions.iter();
        let functions: Vec<_> = functions
            .map(|function| {
                json!({
                    "function": function.definition.name.to_string(), "sha384": hex(&function.measurement), "image": image(function),
                    "libraries": function.library_count, "files": function.file_count,
                    "files_bytes": function.files_bytes, "arguments": function.argument_count,
                    "syscalls": system_calls(function),
                })
            })
            .collect();
        json!({ "chain": self.chain, "digest": self.digest, "functions": functions })
    }

    fn human(&self) -> String {
        let mut table = Table::new(&[
            ("function", Align::Left),
            ("libraries", Align::Right),
            ("files", Align::Right),
            ("of files", Align::Right),
            ("arguments", Align::Right),
            ("system calls", Align::Left),
        ]);
        let mut measurements = Table::new(&[
            ("measurement of", Align::Left),
            ("", Align::Left),
            ("SHA-384", Align::Left),
        ]);
        for function in &self.functions {
            let name = function.definition.name.to_string();
            table.row([
                name.clone(),
                function.library_count.to_string(),
                function.file_count.to_string(),
                bytes(function.files_bytes),
                function.argument_count.to_string(),
                system_calls(function).unwrap_or_default().to_owned(),
            ]);
            measurements.row([name.clone(), "image".to_owned(), image(function)]);
            measurements.row([name, "executable".to_owned(), hex(&function.measurement)]);
        }
        format!(
            "chain `{}`\n  digest {}\n\n{}\n{}",
            self.chain,
            self.digest,
            table.render(),
            measurements.render()
        )
    }
}

fn measure_one(path: &Path, format: Format, folders: &Folders) -> Result<Measured, Failed> {
    let file = with_adaptor(read_chain(path, format)?.within(folders), false);
    let functions = file
        .open_functions()
        .map_err(|error| report_chain_error(&error, format))?;
    let mut measurer = Measurer::new()?;
    let program = GatewayProgram::find()?;
    let (executable, linked) = program.open_all()?;
    let kind = own_gateway::kind(file.chain(), program.role, None);
    let gateway = define_gateway(&mut measurer, executable, linked, kind)?;
    let seating = seat(file.chain(), &usable_cpus());
    let digest = hex(&define_chain(&mut measurer, gateway, &file, functions, &seating)?.digest);
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
        measured.push(entry);
    }
    let chain = file.chain();
    let mut logs = chain.functions().iter().map(Function::logs);
    Ok(Measured {
        chain: chain.name().to_owned(),
        digest,
        drops_logs: logs.all(|logs| logs == Logs::Drop),
        seals_edges: !chain.edges().iter().any(is_mapped),
        functions: measured,
    })
}
