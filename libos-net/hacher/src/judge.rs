//! Which errors are tried again.
//!
//! A handler may use `?` on any error. What becomes of the run is decided by the first of these that the
//! error is, or was [caused](std::error::Error::source) by:
//!
//! | error | the run |
//! |---|---|
//! | [`Failure`] | as it says |
//! | [`permanent`], [`retry`], [`OrFail`] | as the author said there |
//! | [`std::io::Error`] of kind `InvalidData` or `InvalidInput` | fails for good |
//! | errors of parsing in `std` (`Utf8Error`, `ParseIntError`, ...), `serde_json::Error` | fails for good |
//! | any other | is tried again, as `retry` of the chain file says |
//!
//! Every failed run is told on the function's standard error, which is dropped unless the chain file says
//! `logs = "forward"`. An error's text may quote the payload, so it goes there alone. Client and `error` port
//! get the [reason](Failure::reason): text that is fixed when the function is compiled.

use core::fmt;
use hacher_libos_net::{Failure, with_causes};
use std::error::Error;

/// What `?` makes of any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

const UNDERSTOOD: &str = "the data is not what the function understands";
const RETURNED: &str = "the handler returned an error";

/// Says of `error` that no attempt on this record can succeed.
///
/// ```
/// # fn check() -> Result<(), hacher::BoxError> {
/// # let certificate = || Err::<(), _>(std::io::Error::other("expired"));
/// certificate().map_err(hacher::permanent)?;
/// # Ok(())
/// # }
/// # assert!(check().unwrap_err().downcast_ref::<hacher::Judged>().is_some());
/// ```
pub fn permanent(error: impl Into<BoxError>) -> Judged {
    let failure = Failure::permanent(RETURNED);
    Judged {
        failure,
        source: Some(error.into()),
    }
}

/// Says of `error` that another attempt may succeed.
pub fn retry(error: impl Into<BoxError>) -> Judged {
    let failure = Failure::retry(RETURNED);
    Judged {
        failure,
        source: Some(error.into()),
    }
}

/// An error with its author's word on whether the run is tried again.
#[derive(Debug)]
pub struct Judged {
    failure: Failure,
    source: Option<BoxError>,
}

impl Judged {
    /// Gives a reason, which client and `error` port get; the error itself goes to the log.
    #[must_use]
    pub fn because(self, reason: &'static str) -> Self {
        let failure = if self.failure.is_transient() {
            Failure::retry(reason)
        } else {
            Failure::permanent(reason)
        };
        Self { failure, ..self }
    }

    /// What becomes of the run.
    #[must_use]
    pub const fn failure(&self) -> Failure {
        self.failure
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(formatter)
    }
}

impl Error for Judged {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

/// Says of what is missing or failed whether the run is tried again, and why.
///
/// ```
/// use hacher::{BoxError, OrFail, harness::Call};
///
/// fn halve(number: String) -> Result<String, BoxError> {
///     let number: u32 = number.parse().or_permanent("the body is no number")?;
///     let half = number.checked_div(2).or_retry("never seen")?;
///     Ok(half.to_string())
/// }
///
/// let failure = Call::new().body(b"x").run(halve).failure().unwrap();
/// assert_eq!((failure.reason(), failure.is_transient()), ("the body is no number", false));
/// ```
pub trait OrFail<T> {
    /// No attempt on this record can succeed, for this reason.
    ///
    /// # Errors
    /// If there is no value.
    fn or_permanent(self, reason: &'static str) -> Result<T, Judged>;

    /// Another attempt may succeed, for this reason.
    ///
    /// # Errors
    /// If there is no value.
    fn or_retry(self, reason: &'static str) -> Result<T, Judged>;
}

impl<T, E: Into<BoxError>> OrFail<T> for Result<T, E> {
    fn or_permanent(self, reason: &'static str) -> Result<T, Judged> {
        self.map_err(|error| permanent(error).because(reason))
    }

    fn or_retry(self, reason: &'static str) -> Result<T, Judged> {
        self.map_err(|error| retry(error).because(reason))
    }
}

impl<T> OrFail<T> for Option<T> {
    fn or_permanent(self, reason: &'static str) -> Result<T, Judged> {
        let failure = Failure::permanent(reason);
        self.ok_or(Judged {
            failure,
            source: None,
        })
    }

    fn or_retry(self, reason: &'static str) -> Result<T, Judged> {
        let failure = Failure::retry(reason);
        self.ok_or(Judged {
            failure,
            source: None,
        })
    }
}

/// What becomes of a run that returned `error`, which is printed.
#[expect(clippy::needless_pass_by_value, reason = "the end of the error")]
pub(crate) fn failure_of(error: BoxError) -> Failure {
    let told = with_causes(&*error);
    #[cfg(feature = "tracing")]
    tracing::error!(target: "hacher", "the run failed: {told}");
    #[cfg(not(feature = "tracing"))]
    eprintln!("the run failed: {told}");
    judge(&*error)
}

fn judge(error: &(dyn Error + 'static)) -> Failure {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(failure) = judged_by_itself(error) {
            return failure;
        }
        next = error.source();
    }
    Failure::retry(RETURNED)
}

/// What one error of the chain of causes says.
fn judged_by_itself(error: &(dyn Error + 'static)) -> Option<Failure> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some(*failure);
    }
    if let Some(judged) = error.downcast_ref::<Judged>() {
        return Some(judged.failure);
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return of_io(error);
    }
    #[cfg(feature = "json")]
    if let Some(error) = error.downcast_ref::<serde_json::Error>() {
        // Of a reader that failed, its own error is the cause.
        return (!error.is_io()).then_some(Failure::permanent(UNDERSTOOD));
    }
    is_of_parsing(error).then_some(Failure::permanent(UNDERSTOOD))
}

/// `None` for one that says nothing of itself: what it wraps may.
fn of_io(error: &std::io::Error) -> Option<Failure> {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    if let Some(inner) = error.get_ref()
        && let Some(failure) = judged_by_itself(inner)
    {
        return Some(failure);
    }
    let is_telling = matches!(error.kind(), InvalidData | InvalidInput) || error.raw_os_error().is_some();
    is_telling.then(|| match error.raw_os_error() {
        Some(number) => Failure::from(std::io::Error::from_raw_os_error(number)),
        None => Failure::from(std::io::Error::from(error.kind())),
    })
}

fn is_of_parsing(error: &(dyn Error + 'static)) -> bool {
    error.is::<core::str::Utf8Error>()
        || error.is::<std::string::FromUtf8Error>()
        || error.is::<core::num::ParseIntError>()
        || error.is::<core::num::ParseFloatError>()
        || error.is::<core::num::TryFromIntError>()
        || error.is::<core::str::ParseBoolError>()
        || error.is::<core::char::ParseCharError>()
}
