//! A function in a new process of the interpreter for each call: the body on standard input, the answer on
//! standard output.

use super::call::{Call, split_times};
use super::function::Function;
use super::sources::{FUNCTION, ONCE, ONE_THREAD, Sources};
use super::venv::Venv;
use super::way::{Answers, Way, no_times};
use crate::place::Pinned;
use crate::subject::{Cores, Identity, Place, checksum};
use hacher_fabric::failed::Failed;
use hacher_libos_net::clock;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What reports call it.
pub const TRANSPORT: &str = "new-process";

/// A function, and how it is started.
pub struct Once {
    interpreter: PathBuf,
    script: PathBuf,
    module: &'static str,
    body: Vec<u8>,
    place: Place,
    seat: Option<u32>,
}

impl Once {
    /// Prepares it; nothing is started before it is called.
    ///
    /// # Errors
    /// When it cannot be placed like this.
    pub fn new(
        function: &Function,
        (venv, sources): (&Venv, &Sources),
        (place, cores): (Place, Cores),
    ) -> Result<Self, Failed> {
        Ok(Self {
            interpreter: venv.interpreter(),
            script: sources.path(ONCE),
            module: function.module,
            body: function.input(),
            place,
            seat: cores.seat(place, 0)?,
        })
    }

    fn answer(&self) -> Result<Vec<u8>, Failed> {
        let mut child = Command::new(&self.interpreter)
            .arg(&self.script)
            .env(FUNCTION, self.module)
            .env(ONE_THREAD.0, ONE_THREAD.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // It reads all before it writes, so neither waits for the other. Dropping the pipe ends the body.
        let sent = child.stdin.take().map(|mut input| input.write_all(&self.body));
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Failed::new(format!(
                "a process of {} ended with {}",
                self.module, output.status
            ))
            .with_details(&said));
        }
        sent.transpose()?;
        Ok(output.stdout)
    }
}

impl Way for Once {
    fn identity(&self) -> Identity {
        Identity {
            transport: TRANSPORT,
            protection: "none",
            placement: self.place,
            touched: true,
        }
    }

    fn call(&mut self, samples: u32, record: &mut dyn FnMut(Call)) -> Result<u64, Failed> {
        // What is started meanwhile stays on these cores.
        let _pinned = Pinned::to_core(self.seat)?;
        let mut answers = Answers::default();
        for _ in 0..samples {
            let start = clock::now();
            let reply = self.answer()?;
            let (answer, handler_ns) = split_times(&reply, 1).ok_or_else(no_times)?;
            let checksum = checksum(answer);
            let total_ns = clock::now().ns_since(start);
            record(Call { total_ns, handler_ns });
            answers.note(checksum)?;
        }
        Ok(answers.checksum())
    }
}
