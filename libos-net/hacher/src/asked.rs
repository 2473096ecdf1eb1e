//! What a request says beside its body, by serde: its query, and what the chain's route captures.

use crate::extract::FromInput;
use crate::judge::{BoxError, permanent};
use core::fmt::Display;
use hacher_libos_net::Input;
use hacher_libos_net::headers::CAPTURE_PREFIX;
use serde::de::value::{Error, MapDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;

/// The query of the request, `?page=2&size=10`, as the fields of a `T`. A field that may be missing is an
/// `Option`, or has `#[serde(default)]`. Fields that `T` does not name are ignored; a field that comes twice
/// is an error. Without a query all fields are missing.
///
/// A query that is no `T` is a permanent failure; as a parameter, `Result<Query<T>, BoxError>` leaves it to
/// the handler, which may answer with 400. The body is not waited for.
///
/// ```
/// use hacher::{BoxError, Either, Query, harness::Call};
/// use http::StatusCode;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Page { page: u32, size: Option<u32> }
///
/// fn list(page: Result<Query<Page>, BoxError>) -> Either<String, (StatusCode, String)> {
///     match page {
///         Ok(Query(Page { page, size })) => Either::Left(format!("{page} {}", size.unwrap_or(20))),
///         Err(error) => Either::Right((StatusCode::BAD_REQUEST, error.to_string())),
///     }
/// }
///
/// let reply = |query: &str| Call::new().body(b"").query(query).run(list);
/// assert_eq!(reply("page=3&lang=en").port("out").unwrap().body(), b"3 20");
/// assert_eq!(reply("page=three").port("out").unwrap().status(), 400);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<T>(
    /// The value.
    pub T,
);

/// What the chain's `route` captures, `/users/{user}/files/{*path}`, as the fields of a `T`. `{user}` is
/// decoded, `{*path}` as it was encoded; a request that came to `/chains/NAME` has none.
///
/// What is no `T` is a permanent failure, or left to the handler by `Result<Captures<T>, BoxError>`. The body
/// is not waited for.
///
/// ```
/// use hacher::{Captures, harness::Call};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Thumb { size: u32 }
///
/// fn thumb(Captures(Thumb { size }): Captures<Thumb>, photo: Vec<u8>) -> String {
///     format!("{} bytes to {size} pixels", photo.len())
/// }
///
/// let reply = Call::new().body(b"jpeg").capture("size", "64").run(thumb);
/// assert_eq!(reply.port("out").unwrap().body(), b"4 bytes to 64 pixels");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captures<T>(
    /// The value.
    pub T,
);

impl<T: DeserializeOwned> FromInput for Query<T> {
    fn from_input(input: &mut Input<'_>) -> Result<Self, BoxError> {
        let query = input.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        read(pairs, "the query is not what this function understands").map(Self)
    }
}

impl<T: DeserializeOwned> FromInput for Captures<T> {
    fn from_input(input: &mut Input<'_>) -> Result<Self, BoxError> {
        let headers = input.parts().iter().take(1).flat_map(|part| part.headers());
        let captures = headers.filter_map(|(name, value)| {
            let name = name.strip_prefix(CAPTURE_PREFIX)?;
            Some((Cow::Borrowed(name), Cow::Borrowed(value)))
        });
        read(
            captures,
            "what the route captures is not what this function understands",
        )
        .map(Self)
    }
}

/// What the query is, or why it is none, for a handler that answers that itself.
impl<T: DeserializeOwned> FromInput for Result<Query<T>, BoxError> {
    fn from_input(input: &mut Input<'_>) -> Result<Self, BoxError> {
        Ok(Query::from_input(input))
    }
}

/// What is captured, or why it is no `T`, for a handler that answers that itself.
impl<T: DeserializeOwned> FromInput for Result<Captures<T>, BoxError> {
    fn from_input(input: &mut Input<'_>) -> Result<Self, BoxError> {
        Ok(Captures::from_input(input))
    }
}

/// Makes a `T` of names and values.
fn read<'t, T: DeserializeOwned>(
    pairs: impl Iterator<Item = (Cow<'t, str>, Cow<'t, str>)>,
    reason: &'static str,
) -> Result<T, BoxError> {
    let words = pairs.map(|(name, value)| (name, Word(value)));
    T::deserialize(MapDeserializer::new(words)).map_err(|error| permanent(error).because(reason).into())
}

/// A value, which is what its field takes it for.
struct Word<'t>(Cow<'t, str>);

impl<'t> IntoDeserializer<'_, Error> for Word<'t> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Numbers and truth values as they are written. What is none is handed on as text, so that the error says
/// what was expected.
macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => visitor.visit_str(&self.0),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Word<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(&self.0)
    }

    parsed! {
        deserialize_bool visit_bool bool,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    /// A field that is there.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

/// A variant by its name.
impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = Error;
    type Variant = Unit;

    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Unit), Error> {
        Ok((seed.deserialize(self)?, Unit))
    }
}

/// A variant without fields: there is no room for others in a value.
struct Unit;

impl Unit {
    fn refused<T>(what: impl Display) -> Result<T, Error> {
        Err(de::Error::custom(format_args!(
            "a value is a variant without fields, not {what}"
        )))
    }
}

impl<'de> VariantAccess<'de> for Unit {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Error> {
        Self::refused("one with a value")
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Self::refused("a tuple")
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Self::refused("a structure")
    }
}
