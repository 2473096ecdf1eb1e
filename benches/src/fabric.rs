//! The fabric as a subject: a service of its own, isolated, keyed and attached as any other, with the driver
//! in the gateway's place.

use super::driver::{Order, Outcome, Timing};
use super::place::Pinned;
use super::step::{NOWHERE, ROLE, TOUCH, WORK, Work};
use super::subject::{Cores, Identity, Place, Subject};

use hacher_fabric::failed::Failed;
use hacher_fabric::tree::Tree;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

/// The largest payload of an experiment, and a little.
const MAX_BODY: &str = "17MiB";
/// Nothing in a benchmark takes longer, unless something is wrong.
const DEADLINE: &str = "30s";

/// How long the driver may work on one order.
const PATIENCE: Duration = Duration::from_secs(60);

/// How records are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Authenticated encryption.
    Sealed,
    /// In memory that the two ends of an edge alone have.
    Mapped,
}

impl Protection {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Sealed, Self::Mapped];

    /// The word for it in chain files and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Mapped => "mapped",
        }
    }
}

/// A straight chain of functions that all do the same.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Functions in a row.
    pub functions: u32,
    /// What each does.
    pub work: Work,
    /// How its records are protected.
    pub protection: Protection,
    /// Where it is placed.
    pub place: Place,
    /// Whether records are written and read.
    pub touched: bool,
}

impl Shape {
    /// What experiments that go through the gateway itself send requests to.
    pub const BEHIND_GATEWAY: Self = Self {
        functions: 4,
        work: Work::Forward,
        protection: Protection::Sealed,
        place: Place::Packed,
        touched: true,
    };

    /// The chain's name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("bench-{}", self.functions)
    }

    /// The chain file; `executable` is that of all functions.
    fn chain_file(&self, executable: &str) -> String {
        let placement = match self.place {
            Place::Packed => "packed",
            Place::Spread => "spread",
            Place::Floating | Place::Auto => "auto",
        };
        let mut text = format!(
            "chain = \"{}\"\nversion = \"1.0.0\"\nprotection = \"{}\"\nplacement = \"{placement}\"\nflow = [\"ingress",
            self.name(),
            self.protection.as_str(),
        );
        for number in 1..=self.functions {
            let _ = write!(text, " -> {ROLE}-{number}");
        }
        let _ = write!(
            text,
            " -> egress\"]\n\n[ingress]\nmax_body = \"{MAX_BODY}\"\ndeadline = \"{DEADLINE}\"\n\n[defaults]\ntimeout = \"{DEADLINE}\"\n"
        );
        let touch = if self.touched { "yes" } else { "no" };
        let ports = match self.work {
            Work::Sink => format!("[\"out\", \"{NOWHERE}\"]"),
            Work::Forward | Work::Receipt => "[\"out\"]".to_owned(),
        };
        for number in 1..=self.functions {
            let _ = write!(
                text,
                "\n[function.{ROLE}-{number}]\nexec = {executable:?}\nports = {ports}\nenv = {{ {WORK} = \"{}\", {TOUCH} = \"{touch}\" }}\n",
                self.work.as_str()
            );
        }
        if self.protection == Protection::Mapped {
            // The driver's edges are as those between functions, or there would be little to measure.
            let last = self.functions;
            let _ = write!(
                text,
                "\n[edge.\"ingress -> {ROLE}-1\"]\nprotection = \"mapped\"\n\n[edge.\"{ROLE}-{last} -> egress\"]\nprotection = \"mapped\"\n"
            );
        }
        text
    }
}

/// A running chain, and the line to its driver.
pub struct Fabric {
    shape: Shape,
    line: Line,
}

/// The line to the driver of a service.
pub struct Line {
    /// Stopped with this.
    _tree: Tree,
    driver: BufReader<TcpStream>,
}

/// Has `program`, the command `hacher-fabric`, serve `shape` on `cores`, `options` being further arguments of
/// `serve`. The functions are this executable.
///
/// # Errors
/// When it does not start; what it said is in the message.
pub fn serve(program: &Path, shape: &Shape, cores: Cores, options: &[OsString]) -> Result<Tree, Failed> {
    let folder = TempDir::new()?;
    let file = folder.path().join("chain.toml");
    let executable = std::env::current_exe()?;
    std::fs::write(&file, shape.chain_file(&executable.to_string_lossy()))?;
    serve_file(program, &file, (shape.place, cores), options)
}

/// Has `program` serve a chain file, placed by it as `place` says.
fn serve_file(
    program: &Path,
    file: &Path,
    (place, cores): (Place, Cores),
    options: &[OsString],
) -> Result<Tree, Failed> {
    let mut messages = tempfile::tempfile()?;
    let arguments = [OsString::from(file), "--drain-timeout".into(), "0".into()]
        .into_iter()
        .chain(options.iter().cloned());
    // The service finds only the cores that it may use, as if the machine had no others.
    let pinned = Pinned::to(place, cores)?;
    let tree = Tree::start(program, arguments, Stdio::from(messages.try_clone()?));
    drop(pinned);
    tree.map_err(|failed| failed.with_details(&read_all(&mut messages)))
}

fn read_all(messages: &mut File) -> String {
    let mut text = String::new();
    // What cannot be read cannot be told.
    let _ = messages
        .rewind()
        .and_then(|()| messages.read_to_string(&mut text));
    text
}

impl Fabric {
    /// Starts the chain.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(program: &Path, shape: Shape, cores: Cores) -> Result<Self, Failed> {
        let driver = driver()?;
        let tree = serve(program, &shape, cores, &driver)?;
        let line = Line::to(tree)?;
        Ok(Self { shape, line })
    }

    /// Has the driver time `samples` records.
    ///
    /// # Errors
    /// What the driver says, or that it is gone.
    pub fn order(&mut self, timing: Timing, payload_bytes: usize, samples: u32) -> Result<Vec<u64>, Failed> {
        let order = Order {
            chain: self.shape.name(),
            timing,
            touched: self.shape.touched,
            payload_bytes,
            samples,
        };
        match self.line.ask(&order, &[])? {
            Outcome::Times(times) => Ok(times),
            Outcome::Calls { .. } => Err(Failed::new("the driver has timed something else")),
            Outcome::Failed(reason) => Err(Failed::new(format!(
                "{} functions, {} bytes, {}, {}: {reason}",
                self.shape.functions,
                payload_bytes,
                self.shape.protection.as_str(),
                self.shape.place.as_str()
            ))),
        }
    }
}

/// The options that put the driver in the gateway's place.
fn driver() -> Result<[OsString; 2], Failed> {
    Ok(["--stand-in".into(), std::env::current_exe()?.into()])
}

impl Line {
    /// Has `program` serve the chain of a file, with the driver in the gateway's place.
    ///
    /// # Errors
    /// When it does not start; what it said is in the message.
    pub fn serve(program: &Path, file: &Path, place: Place, cores: Cores) -> Result<Self, Failed> {
        Self::to(serve_file(program, file, (place, cores), &driver()?)?)
    }

    fn to(tree: Tree) -> Result<Self, Failed> {
        let driver = TcpStream::connect(tree.gateway)?;
        driver.set_nodelay(true)?;
        driver.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            _tree: tree,
            driver: BufReader::new(driver),
        })
    }

    /// Has the driver do something; `body` belongs to the order.
    ///
    /// # Errors
    /// When the driver is gone.
    pub fn ask(&mut self, order: &Order, body: &[u8]) -> Result<Outcome, Failed> {
        let mut words = serde_json::to_vec(order)?;
        words.push(b'\n');
        words.extend_from_slice(body);
        self.driver.get_mut().write_all(&words)?;
        let mut reply = String::new();
        if self.driver.read_line(&mut reply)? == 0 {
            return Err(Failed::new("the driver of the benchmark is gone"));
        }
        Ok(serde_json::from_str(&reply)?)
    }
}

impl Subject for Fabric {
    fn identity(&self) -> Identity {
        Identity {
            transport: "fabric",
            protection: self.shape.protection.as_str(),
            placement: self.shape.place,
            touched: self.shape.touched,
        }
    }

    fn hops(&self) -> Option<u32> {
        Some(self.shape.functions)
    }

    fn measure(
        &mut self,
        payload_bytes: usize,
        _: u32,
        samples: u32,
        record: &mut dyn FnMut(u64),
    ) -> Result<(), Failed> {
        let timing = match self.shape.work {
            Work::Forward => Timing::Through,
            Work::Receipt => Timing::OneWay,
            Work::Sink => Timing::Stream,
        };
        let times = self.order(timing, payload_bytes, samples)?;
        match self.shape.work {
            // One time for all of them.
            Work::Sink => times
                .into_iter()
                .map(|ns| ns / u64::from(samples.max(1)))
                .for_each(record),
            Work::Forward | Work::Receipt => times.into_iter().for_each(record),
        }
        Ok(())
    }
}
