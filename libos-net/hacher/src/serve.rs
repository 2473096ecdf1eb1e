//! The `main` of a function's executable.

use crate::handler::Handler;
use crate::judge::BoxError;
#[cfg(feature = "tracing")]
use crate::log;
use hacher_libos_net::{Failure, Input, Output, Start};
use std::process::ExitCode;

/// Serves `handler` as the function of a chain: the `main` of a function's executable. Returns when the
/// service stops.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     hacher::serve(|text: String| text.to_uppercase())
/// }
/// ```
///
/// One run follows another, on one thread, so a handler may change what it has captured. What it has
/// half-changed when it panics, its next run finds so.
pub fn serve<Form, H: Handler<Form>>(mut handler: H) -> ExitCode {
    hacher_libos_net::serve_with(|_: &Start<'_>| {
        #[cfg(feature = "tracing")]
        log::begin()?;
        Ok::<_, BoxError>(move |input: Input<'_>, output: &mut Output<'_>| run(&mut handler, input, output))
    })
}

/// Serves the handler that `initialise` makes: once in the life of each process, before the first record. The
/// process has its secrets and is locked down by then, so it can load files (`files` of the chain file) and
/// start threads, but no code; nobody is told that it serves until `initialise` has returned.
///
/// If `initialise` fails or panics, the error is printed with its causes, and the process exits with code
/// [`INITIALISATION_FAILED`](crate::INITIALISATION_FAILED). The service tries again, ever later; a function
/// that has never served ends the start of its chain, with a message that says so.
///
/// ```no_run
/// use hacher::{BoxError, OrFail, serve_with};
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     serve_with(|start| {
///         let words = std::fs::read_to_string("/words.txt")?;
///         let key = start.secret("KEY").ok_or("there is no secret KEY")?.to_vec();
///         let mut served = 0_u64;
///         Ok(move |word: String| -> Result<String, BoxError> {
///             served += 1;
///             let at = words.lines().position(|known| known == word);
///             let at = at.or_permanent("the word is not known")?;
///             Ok(format!("{at} of {served}, {} bytes of key", key.len()))
///         })
///     })
/// }
/// ```
pub fn serve_with<Form, H: Handler<Form>>(
    initialise: impl FnOnce(&Start<'_>) -> Result<H, BoxError>,
) -> ExitCode {
    hacher_libos_net::serve_with(|start: &Start<'_>| {
        #[cfg(feature = "tracing")]
        log::begin()?;
        let mut handler = initialise(start)?;
        Ok::<_, BoxError>(move |input: Input<'_>, output: &mut Output<'_>| run(&mut handler, input, output))
    })
}

/// One run.
pub(crate) fn run<Form>(
    handler: &mut impl Handler<Form>,
    input: Input<'_>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    #[cfg(feature = "tracing")]
    let _span = log::enter(&input);
    handler.handle(input, output)
}
