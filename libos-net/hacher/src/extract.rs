//! Typed input: what is made of a record.

use crate::judge::{BoxError, permanent};
use hacher_libos_net::{Input, Part};

/// Made of one whole record: its headers and its body.
///
/// ```
/// use hacher::{BoxError, FromRecord, Part, harness::Call};
///
/// /// A reading such as `21.5 C`.
/// struct Celsius(f64);
///
/// impl FromRecord for Celsius {
///     fn from_record(record: &Part) -> Result<Self, BoxError> {
///         let text = String::from_record(record)?;
///         let number = text.strip_suffix(" C").ok_or("the unit is not C")?;
///         Ok(Self(number.parse()?))
///     }
/// }
///
/// let reply = Call::new().body(b"21.5 C").run(|Celsius(degrees): Celsius| (degrees * 1.8 + 32.0).to_string());
/// assert_eq!(reply.port("out").unwrap().body(), b"70.7");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made of a record",
    note = "`String`, `Vec<u8>`, and with features `Bytes`, `Json<T>`, `HeaderMap` can; or implement `FromRecord`"
)]
pub trait FromRecord: Sized {
    /// Reads `record`, which has arrived whole.
    ///
    /// # Errors
    /// Why it is none; see [the rule](crate::judge) for what is tried again.
    fn from_record(record: &Part) -> Result<Self, BoxError>;
}

/// A parameter of a handler: made of the one record of its input, or of what else the input tells.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a handler",
    note = "`String`, `Vec<u8>`, and with features `Bytes`, `Json<T>`, `Query<T>`, `Captures<T>`, `HeaderMap`, \
            `Method` can, and `Result<_, BoxError>` of most; or implement `FromRecord`, or `FromInput` for what the request tells"
)]
pub trait FromInput: Sized {
    /// Reads `input`.
    ///
    /// # Errors
    /// Why that is not possible, which fails the run.
    fn from_input(input: &mut Input<'_>) -> Result<Self, BoxError>;
}

impl<T: FromRecord> FromInput for T {
    fn from_input(input: &mut Input<'_>) -> Result<Self, BoxError> {
        input.bytes()?; // waits for all of it, and refuses joins
        match input.parts() {
            [part] => T::from_record(part),
            _ => Err("there is no record".into()),
        }
    }
}

/// Reads typed values from a record, or from an input of one.
///
/// ```
/// use hacher::{BoxError, Extract, Input, harness::Call};
///
/// fn merge(input: Input<'_>) -> Result<String, BoxError> {
///     let left = input.part("left").ok_or("nothing from `left`")?.extract::<String>()?;
///     let right = input.part("right").ok_or("nothing from `right`")?.extract::<String>()?;
///     Ok(format!("{left}, {right}"))
/// }
///
/// let reply = Call::new().input("right", b"2").input("left", b"1").run(merge);
/// assert_eq!(reply.port("out").unwrap().body(), b"1, 2");
/// ```
pub trait Extract {
    /// Makes a `T` of the record.
    ///
    /// # Errors
    /// Why that is not possible.
    fn extract<T: FromRecord>(self) -> Result<T, BoxError>;
}

impl Extract for &Part {
    fn extract<T: FromRecord>(self) -> Result<T, BoxError> {
        T::from_record(self)
    }
}

impl Extract for &mut Input<'_> {
    fn extract<T: FromRecord>(self) -> Result<T, BoxError> {
        T::from_input(self)
    }
}

/// What the record is, or why it is none, for a handler that answers that itself.
///
/// ```
/// use hacher::{BoxError, Output, SendRecord, harness::Call};
///
/// fn double(number: Result<String, BoxError>, output: &mut Output<'_>) -> Result<(), BoxError> {
///     let Ok(number) = number else {
///         output.set_status(422)?;
///         return output.send_record("that is no text");
///     };
///     output.send_record(number.repeat(2))
/// }
///
/// let reply = Call::new().body(&[0xff]).run(double);
/// assert_eq!(reply.port("out").unwrap().status(), 422);
/// ```
impl<T: FromRecord> FromRecord for Result<T, BoxError> {
    fn from_record(record: &Part) -> Result<Self, BoxError> {
        Ok(T::from_record(record))
    }
}

impl FromRecord for Vec<u8> {
    fn from_record(record: &Part) -> Result<Self, BoxError> {
        Ok(record.bytes().to_vec())
    }
}

/// The body, which has to be UTF-8.
impl FromRecord for String {
    fn from_record(record: &Part) -> Result<Self, BoxError> {
        let text = core::str::from_utf8(record.bytes());
        let text = text.map_err(|error| permanent(error).because("the body is not UTF-8"))?;
        Ok(text.to_owned())
    }
}

#[cfg(feature = "bytes")]
impl FromRecord for bytes::Bytes {
    fn from_record(record: &Part) -> Result<Self, BoxError> {
        Ok(Self::copy_from_slice(record.bytes()))
    }
}

/// The headers of the record, those of the fabric too.
#[cfg(feature = "http")]
impl FromRecord for http::HeaderMap {
    fn from_record(record: &Part) -> Result<Self, BoxError> {
        let mut headers = Self::new();
        for (name, value) in record.headers() {
            // A record's names are tokens and its values text without control characters.
            headers.append(
                http::HeaderName::from_bytes(name.as_bytes())?,
                http::HeaderValue::from_str(value)
                    .or_else(|_| http::HeaderValue::from_bytes(value.as_bytes()))?,
            );
        }
        Ok(headers)
    }
}

/// The method of the request. The body is not waited for.
#[cfg(feature = "http")]
impl FromInput for http::Method {
    fn from_input(input: &mut Input<'_>) -> Result<Self, BoxError> {
        let method = Self::from_bytes(input.method().as_bytes());
        method.map_err(|error| {
            permanent(error)
                .because("the method of the request is none")
                .into()
        })
    }
}
