//! A function in a chain, as many times in a row as it is to be called: the real fabric, with the driver in
//! the gateway's place.

use super::call::Call;
use super::function::Function;
use super::sources::{FUNCTION, MEASURED, ONE_THREAD, Sources};
use super::venv::Venv;
use super::way::Way;
use crate::driver::{Order, Outcome, Timing};
use crate::fabric::Line;
use crate::subject::{Cores, Identity, Place};
use hacher_fabric::failed::Failed;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What reports call it.
pub const TRANSPORT: &str = "fabric";
/// For the interpreter, and what the largest of the functions makes.
const MEMORY: &str = "512MiB";

/// A running chain of one function, or of several that are the same.
pub struct InChain {
    line: Line,
    order: Order,
    body: Vec<u8>,
    place: Place,
}

impl InChain {
    /// Has `fabric` serve `functions` of `function` in a row.
    ///
    /// # Errors
    /// When the chain does not start.
    pub fn start(
        fabric: &Path,
        function: &Function,
        functions: u32,
        (venv, sources): (&Venv, &Sources),
        (place, cores): (Place, Cores),
    ) -> Result<Self, Failed> {
        let chain = name(function, functions);
        let file = sources.path(&format!("{chain}-{}.toml", place.as_str()));
        let text = chain_file(function, functions, (venv, sources), place);
        fs::write(&file, text)?;
        let body = function.input();
        let order = Order {
            chain,
            timing: Timing::Handlers { functions },
            touched: true,
            payload_bytes: body.len(),
            samples: 0,
        };
        Ok(Self {
            line: Line::serve(fabric, &file, place, cores)?,
            order,
            body,
            place,
        })
    }
}

impl Way for InChain {
    fn identity(&self) -> Identity {
        Identity {
            transport: TRANSPORT,
            protection: "sealed",
            placement: self.place,
            touched: true,
        }
    }

    fn call(&mut self, samples: u32, record: &mut dyn FnMut(Call)) -> Result<u64, Failed> {
        self.order.samples = samples;
        match self.line.ask(&self.order, &self.body)? {
            Outcome::Calls { calls, checksum } => {
                calls.into_iter().for_each(record);
                Ok(checksum)
            }
            Outcome::Times(_) => Err(Failed::new("the driver has timed something else")),
            Outcome::Failed(reason) => Err(Failed::new(format!(
                "the chain `{}`, {}: {reason}",
                self.order.chain,
                self.place.as_str()
            ))),
        }
    }
}

/// The name of the chain of so many functions.
#[must_use]
pub fn name(function: &Function, functions: u32) -> String {
    format!("bench-{}-{functions}", function.name)
}

/// The chain file.
#[must_use]
pub fn chain_file(
    function: &Function,
    functions: u32,
    (venv, sources): (&Venv, &Sources),
    place: Place,
) -> String {
    let (chain, venv, handlers) = (name(function, functions), venv.folder(), sources.of_chains());
    let placement = match place {
        Place::Packed => "packed",
        Place::Spread => "spread",
        Place::Floating | Place::Auto => "auto",
    };
    let names: Vec<String> = (1..=functions).map(|number| format!("f-{number}")).collect();
    let mut text = format!(
        "chain = \"{chain}\"\nversion = \"1.0.0\"\nplacement = \"{placement}\"\nflow = [\"ingress -> {} -> egress\"]\n\n\
         [ingress]\nmax_body = \"1MiB\"\ndeadline = \"30s\"\n\n[defaults]\ntimeout = \"30s\"\nmemory = \"{MEMORY}\"\nlogs = \"forward\"\n",
        names.join(" -> "),
    );
    for name in names {
        let _ = write!(
            text,
            "\n[function.{name}]\npython = \"/app/{MEASURED}:handler\"\nvenv = {venv:?}\nfiles = [{{ from = {handlers:?}, to = \"/app\" }}]\nenv = {{ {FUNCTION} = \"{}\", {} = \"{}\" }}\n",
            function.module, ONE_THREAD.0, ONE_THREAD.1,
        );
    }
    text
}
