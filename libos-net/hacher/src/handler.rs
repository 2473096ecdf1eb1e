//! What runs a record: a function or closure by its parameters, or a struct.

use crate::extract::FromInput;
use crate::judge::{BoxError, failure_of};
use crate::record::{IntoRecord, SendRecord};
use hacher_libos_net::{Failure, Input, Output};

/// What runs on each record: what [`serve`](crate::serve) and
/// [`harness::Call::run`](crate::harness::Call::run) take.
///
/// Functions and closures (`FnMut`: they may change what they have captured) with these parameters are
/// handlers, where `A`, `B`, ... are [`FromInput`], `R` is [`IntoRecord`] or a `Result` of one, `E` is
/// anything that `?` makes a boxed error of:
///
/// | parameters | result | |
/// |---|---|---|
/// | none, `A`, `A, B`, up to four | `R` | typed input, one record |
/// | `&Input<'_>`, `&Input<'_>, A`, `&Input<'_>, A, B` | `R` | attempt, secrets, time left; body only as `A` |
/// | `Input<'_>` | `R` | joins, streamed input |
/// | `A, &mut Output<'_>`, `A, B, &mut Output<'_>` | `Result<(), E>` | several ports, headers, streamed output |
/// | `Input<'_>, &mut Output<'_>` | `Result<(), E>` | everything |
///
/// Closures need their parameters' types written out. A struct with state implements this trait itself:
///
/// ```
/// use hacher::{Failure, Handler, Input, Output, harness::Call};
///
/// struct Counter(u64);
///
/// impl Handler for Counter {
///     fn handle(&mut self, _: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
///         self.0 += 1;
///         output.send(self.0.to_string().as_bytes())
///     }
/// }
///
/// let mut counter = Counter(40);
/// let _ = Call::new().body(b"").run(&mut counter);
/// let reply = Call::new().body(b"").run(&mut counter);
/// assert_eq!(reply.port("out").unwrap().body(), b"42");
/// ```
///
/// `Form` only tells the rows of the table apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    note = "its parameters are `FromInput`, its result is `IntoRecord` or a `Result` of that; or it takes \
            `Input<'_>, &mut Output<'_>`. `&Input<'_>` comes first, and not with `&mut Output<'_>`, with which \
            `Input<'_>` goes. An `async` function is handed over as \
            `asynchronous(handler)`. Closures need the types of their parameters."
)]
pub trait Handler<Form = ()> {
    /// Runs on one record.
    ///
    /// # Errors
    /// The run's failure.
    fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure>;
}

/// A struct, to be run again. Of functions and closures, `&mut` is a handler as it is.
impl<H: Handler> Handler for &mut H {
    fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        (**self).handle(input, output)
    }
}

/// What a typed handler returns: a record, or a `Result` of one.
pub trait IntoOutcome {
    /// The record.
    type Record: IntoRecord;

    /// As a result.
    ///
    /// # Errors
    /// The handler's.
    fn into_outcome(self) -> Result<Self::Record, BoxError>;
}

impl<R: IntoRecord> IntoOutcome for R {
    type Record = R;

    fn into_outcome(self) -> Result<R, BoxError> {
        Ok(self)
    }
}

impl<R: IntoRecord, E: Into<BoxError>> IntoOutcome for Result<R, E> {
    type Record = R;

    fn into_outcome(self) -> Result<R, BoxError> {
        self.map_err(Into::into)
    }
}

/// Which row of [`Handler`]'s table a function is of.
pub mod form {
    use core::marker::PhantomData;

    /// Typed input to a record.
    #[derive(Debug)]
    pub struct Typed<A, R>(PhantomData<(A, R)>);
    /// The same, with the input besides.
    #[derive(Debug)]
    pub struct Beside<A, R>(PhantomData<(A, R)>);
    /// Typed input, written to the output.
    #[derive(Debug)]
    pub struct Writing<A, E>(PhantomData<(A, E)>);
    /// The input as it is, to a record.
    #[derive(Debug)]
    pub struct Reading<R>(PhantomData<R>);
    /// A handler that is run by a runtime.
    #[derive(Debug)]
    pub struct Asynchronous<Form>(PhantomData<Form>);
    /// Input and output as they are.
    #[derive(Debug)]
    pub struct Raw<E>(PhantomData<E>);
}

impl<F, E> Handler<form::Raw<E>> for F
where
    F: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), E>,
    E: Into<BoxError>,
{
    fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        self(input, output).map_err(|error| failure_of(error.into()))
    }
}

impl<F, R> Handler<form::Reading<R>> for F
where
    F: FnMut(Input<'_>) -> R,
    R: IntoOutcome,
{
    fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        send(output, self(input))
    }
}

/// What the input tells beside its body, which is not waited for.
impl<F, R> Handler<form::Beside<(), R>> for F
where
    F: FnMut(&Input<'_>) -> R,
    R: IntoOutcome,
{
    fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        send(output, self(&input))
    }
}

/// Sends what a handler returned.
pub(crate) fn send(output: &mut Output<'_>, outcome: impl IntoOutcome) -> Result<(), Failure> {
    let sent = outcome
        .into_outcome()
        .and_then(|record| output.send_record(record));
    sent.map_err(failure_of)
}

/// The handlers of as many typed parameters as are named.
macro_rules! typed {
    ($($part:ident),*) => {
        impl<F, R, $($part,)*> Handler<form::Typed<($($part,)*), R>> for F
        where
            F: FnMut($($part),*) -> R,
            R: IntoOutcome,
            $($part: FromInput,)*
        {
            #[allow(non_snake_case, unused_mut, unused_variables, reason = "also without parameters")]
            fn handle(&mut self, mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
                $(let $part = $part::from_input(&mut input).map_err(failure_of)?;)*
                send(output, self($($part),*))
            }
        }
    };
}

typed!();
typed!(A);
typed!(A, B);
typed!(A, B, C);
typed!(A, B, C, D);

macro_rules! beside_or_writing {
    ($($part:ident),+) => {
        impl<F, R, $($part,)*> Handler<form::Beside<($($part,)*), R>> for F
        where
            F: FnMut(&Input<'_>, $($part),*) -> R,
            R: IntoOutcome,
            $($part: FromInput,)*
        {
            #[allow(non_snake_case, reason = "named for their types")]
            fn handle(&mut self, mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
                $(let $part = $part::from_input(&mut input).map_err(failure_of)?;)*
                send(output, self(&input, $($part),*))
            }
        }

        impl<F, E, $($part,)*> Handler<form::Writing<($($part,)*), E>> for F
        where
            F: FnMut($($part,)* &mut Output<'_>) -> Result<(), E>,
            E: Into<BoxError>,
            $($part: FromInput,)*
        {
            #[allow(non_snake_case, reason = "named for their types")]
            fn handle(&mut self, mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
                $(let $part = $part::from_input(&mut input).map_err(failure_of)?;)*
                self($($part,)* output).map_err(|error| failure_of(error.into()))
            }
        }
    };
}

beside_or_writing!(A);
beside_or_writing!(A, B);
