//! Handlers that are `async`: run one after the other, on tokio's runtime of one thread, and dropped when
//! nobody waits for them any more.

use crate::extract::FromInput;
use crate::handler::{Handler, IntoOutcome, form, send};
use crate::judge::{BoxError, failure_of};
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use hacher_libos_net::{Cancellation, Failure, Input, Output};
use tokio::runtime::{Builder, Runtime};

/// How often a run that waits looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const CANCELLED: Failure = Failure::retry("the run was cancelled: nobody waited for it, or its time was up");
const NO_RUNTIME: Failure = Failure::retry("the asynchronous runtime could not be started");

/// Makes a handler of an `async` one: a function or closure with the parameters of [`Handler`]'s table, but
/// `&Input<'_>`.
///
/// A run whose client has gone, or whose time is up, is *cancelled*: its future is dropped at the next
/// `.await` at which it waits, and the process stays, with all that it has loaded. Tasks that it has spawned
/// are not its future: a `JoinSet` ends them with it. One that computes without waiting asks
/// [`Input::is_cancelled`].
///
/// ```
/// use hacher::{BoxError, asynchronous, harness::Call};
/// use std::time::Duration;
///
/// async fn later(text: String) -> Result<String, BoxError> {
///     tokio::time::sleep(Duration::from_millis(1)).await;
///     Ok(text.to_uppercase())
/// }
///
/// // fn main() -> std::process::ExitCode { hacher::serve(asynchronous(later)) }
/// let reply = Call::new().body(b"soon").run(asynchronous(later));
/// assert_eq!(reply.port("out").unwrap().body(), b"SOON");
/// ```
pub fn asynchronous<Form, H: AsyncHandler<Form>>(handler: H) -> Async<H> {
    Async {
        handler,
        runtime: None,
    }
}

/// What [`asynchronous`] makes.
#[derive(Debug)]
pub struct Async<H> {
    handler: H,
    /// Made for the first run: in a process that is locked down.
    runtime: Option<Runtime>,
}

/// A handler that [`asynchronous`] takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no asynchronous handler",
    note = "it is an `async fn` whose parameters are `FromInput` and whose result is `IntoRecord` or a `Result` of \
            that; or it takes `Input<'_>`, or `Input<'_>, &mut Output<'_>`"
)]
pub trait AsyncHandler<Form> {
    /// Runs on one record.
    fn handle(
        &mut self,
        input: Input<'_>,
        output: &mut Output<'_>,
    ) -> impl Future<Output = Result<(), Failure>>;
}

impl<Form, H: AsyncHandler<Form>> Handler<form::Asynchronous<Form>> for Async<H> {
    fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        let runtime = match &mut self.runtime {
            Some(runtime) => runtime,
            none => {
                let made = Builder::new_current_thread().enable_all().build();
                none.insert(made.map_err(|_| NO_RUNTIME)?)
            }
        };
        let cancellation = input.cancellation();
        let run = self.handler.handle(input, output);
        runtime.block_on(unless_cancelled(cancellation, run))
    }
}

/// To be run again.
impl<Form, H: AsyncHandler<Form>> Handler<form::Asynchronous<Form>> for &mut Async<H> {
    fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        (**self).handle(input, output)
    }
}

/// Drives `run` for as long as it is wanted.
async fn unless_cancelled(
    cancellation: Cancellation<'_>,
    run: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut run = pin!(run);
    let mut cancelled = pin!(cancelled(cancellation));
    poll_fn(|context| {
        if let Poll::Ready(ran) = run.as_mut().poll(context) {
            return Poll::Ready(ran);
        }
        // A run that never waits has no timer made for it.
        cancelled.as_mut().poll(context).map(|()| Err(CANCELLED))
    })
    .await
}

async fn cancelled(cancellation: Cancellation<'_>) {
    while !cancellation.is_cancelled() {
        tokio::time::sleep(LOOK_EVERY.min(cancellation.remaining())).await;
    }
}

impl<F, E> AsyncHandler<form::Raw<E>> for F
where
    F: AsyncFnMut(Input<'_>, &mut Output<'_>) -> Result<(), E>,
    E: Into<BoxError>,
{
    async fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        self(input, output)
            .await
            .map_err(|error| failure_of(error.into()))
    }
}

impl<F, R> AsyncHandler<form::Reading<R>> for F
where
    F: AsyncFnMut(Input<'_>) -> R,
    R: IntoOutcome,
{
    async fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        send(output, self(input).await)
    }
}

macro_rules! typed {
    ($($part:ident),*) => {
        impl<F, Fut, $($part,)*> AsyncHandler<form::Typed<($($part,)*), Fut>> for F
        where
            F: FnMut($($part),*) -> Fut,
            Fut: Future,
            Fut::Output: IntoOutcome,
            $($part: FromInput,)*
        {
            #[allow(non_snake_case, unused_mut, unused_variables, reason = "also without parameters")]
            async fn handle(&mut self, mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
                $(let $part = $part::from_input(&mut input).map_err(failure_of)?;)*
                send(output, self($($part),*).await)
            }
        }
    };
}

typed!();
typed!(A);
typed!(A, B);
typed!(A, B, C);
typed!(A, B, C, D);

macro_rules! writing {
    ($($part:ident),+) => {
        impl<F, E, $($part,)*> AsyncHandler<form::Writing<($($part,)*), E>> for F
        where
            F: AsyncFnMut($($part,)* &mut Output<'_>) -> Result<(), E>,
            E: Into<BoxError>,
            $($part: FromInput,)*
        {
            #[allow(non_snake_case, reason = "named for their types")]
            async fn handle(&mut self, mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
                $(let $part = $part::from_input(&mut input).map_err(failure_of)?;)*
                self($($part,)* output).await.map_err(|error| failure_of(error.into()))
            }
        }
    };
}

writing!(A);
writing!(A, B);
