//! Typed output: what becomes a record.

use crate::judge::BoxError;
use hacher_libos_net::{DEFAULT_PORT, Output, PortWriter};

/// Becomes one record.
///
/// | type | body | content type |
/// |---|---|---|
/// | `String`, `&'static str` | the text | `text/plain; charset=utf-8` |
/// | `Vec<u8>`, `&'static [u8]`, `Bytes` | the bytes | none |
/// | `Json<T>` | `T` as JSON | `application/json` |
/// | [`ContentType(name, T)`](ContentType) | as `T` | `name` |
/// | [`To(port, T)`](To) | as `T` | as `T`; leaves by `port` |
/// | [`Either<A, B>`](Either) | as the one that it is | as that one |
/// | `(StatusCode, T)`, `(HeaderMap, T)`, `(StatusCode, HeaderMap, T)` | as `T` | as `T`, unless a header says otherwise |
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become a record",
    note = "`String`, `Vec<u8>`, and with features `Bytes`, `Json<T>`, `(StatusCode, T)` can; or implement \
            `IntoRecord`. A handler that returns nothing takes `&mut Output<'_>`."
)]
pub trait IntoRecord {
    /// The port that the record leaves by.
    fn port(&self) -> &str {
        DEFAULT_PORT
    }

    /// Writes headers and body.
    ///
    /// # Errors
    /// What keeps them from being written.
    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError>;
}

/// Sends typed records.
///
/// ```
/// use hacher::{BoxError, Output, SendRecord, To, harness::Call};
///
/// fn sort(number: String, output: &mut Output<'_>) -> Result<(), BoxError> {
///     match number.parse::<i64>() {
///         Ok(number) => output.send_record(number.to_string()),
///         Err(_) => output.send_record(To("reject", "not a number")),
///     }
/// }
///
/// let reply = Call::new().body(b"seven").ports(&["out", "reject"]).run(sort);
/// assert_eq!(reply.port("reject").unwrap().body(), b"not a number");
/// ```
pub trait SendRecord {
    /// Writes `record` to its port: at most one to each port in a run.
    ///
    /// # Errors
    /// What keeps it from being written; a permanent failure for a second record to one port.
    fn send_record<R: IntoRecord>(&mut self, record: R) -> Result<(), BoxError>;
}

impl SendRecord for Output<'_> {
    fn send_record<R: IntoRecord>(&mut self, record: R) -> Result<(), BoxError> {
        let mut writer = self.whole(record.port())?;
        record.write_to(&mut writer)
    }
}

/// A record that leaves by the port of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct To<T>(
    /// The port.
    pub &'static str,
    /// The record.
    pub T,
);

impl<T: IntoRecord> IntoRecord for To<T> {
    fn port(&self) -> &str {
        self.0
    }

    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        self.1.write_to(record)
    }
}

/// One of two records, for a handler that answers in two ways.
///
/// ```
/// use hacher::{ContentType, Either, harness::Call};
///
/// fn half(number: String) -> Either<String, ContentType<&'static str>> {
///     match number.parse::<u32>() {
///         Ok(number) => Either::Left((number / 2).to_string()),
///         Err(_) => Either::Right(ContentType("application/problem+json", r#"{"title":"not a number"}"#)),
///     }
/// }
///
/// assert_eq!(Call::new().body(b"14").run(half).port("out").unwrap().body(), b"7");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The one.
    Left(A),
    /// The other.
    Right(B),
}

impl<A: IntoRecord, B: IntoRecord> IntoRecord for Either<A, B> {
    fn port(&self) -> &str {
        match self {
            Self::Left(record) => record.port(),
            Self::Right(record) => record.port(),
        }
    }

    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        match self {
            Self::Left(left) => left.write_to(record),
            Self::Right(right) => right.write_to(record),
        }
    }
}

/// A record whose body is of this media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentType<T>(
    /// The media type.
    pub &'static str,
    /// The record.
    pub T,
);

impl<T: IntoRecord> IntoRecord for ContentType<T> {
    fn port(&self) -> &str {
        self.1.port()
    }

    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        self.1.write_to(record)?;
        Ok(record.set_content_type(self.0)?)
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

impl IntoRecord for &'static str {
    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        record.set_content_type(TEXT)?;
        Ok(record.append(self.as_bytes())?)
    }
}

impl IntoRecord for String {
    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        record.set_content_type(TEXT)?;
        Ok(record.append(self.as_bytes())?)
    }
}

impl IntoRecord for &'static [u8] {
    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        Ok(record.append(self)?)
    }
}

impl IntoRecord for Vec<u8> {
    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        Ok(record.append(&self)?)
    }
}

#[cfg(feature = "bytes")]
impl IntoRecord for bytes::Bytes {
    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        Ok(record.append(&self)?)
    }
}

#[cfg(feature = "http")]
impl<T: IntoRecord> IntoRecord for (http::StatusCode, T) {
    fn port(&self) -> &str {
        self.1.port()
    }

    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        self.1.write_to(record)?;
        Ok(record.set_status(self.0.as_u16())?)
    }
}

#[cfg(feature = "http")]
impl<T: IntoRecord> IntoRecord for (http::HeaderMap, T) {
    fn port(&self) -> &str {
        self.1.port()
    }

    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        self.1.write_to(record)?;
        // All values of a name take the place of what the record had of it.
        for name in self.0.keys() {
            record.remove_header(name.as_str())?;
        }
        for (name, value) in &self.0 {
            let value = core::str::from_utf8(value.as_bytes())?;
            record.append_header(name.as_str(), value)?;
        }
        Ok(())
    }
}

#[cfg(feature = "http")]
impl<T: IntoRecord> IntoRecord for (http::StatusCode, http::HeaderMap, T) {
    fn port(&self) -> &str {
        self.2.port()
    }

    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        let (status, headers, body) = self;
        (status, (headers, body)).write_to(record)
    }
}
