//! JSON bodies, by serde.

use crate::extract::FromRecord;
use crate::judge::{BoxError, permanent};
use crate::record::IntoRecord;
use hacher_libos_net::{Part, PortWriter};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A body of JSON, in and out. A body that is not the JSON of a `T` is a permanent failure, which says where
/// it goes wrong in the function's log; its content type is not looked at, as functions need not say any.
///
/// ```
/// use hacher::{Json, harness::Call};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Order { pieces: u32, price: u32 }
/// #[derive(Serialize)]
/// struct Bill { total: u32 }
///
/// fn bill(Json(order): Json<Order>) -> Json<Bill> {
///     Json(Bill { total: order.pieces * order.price })
/// }
///
/// let reply = Call::new().body(br#"{"pieces": 3, "price": 14}"#).run(bill);
/// assert_eq!(reply.port("out").unwrap().body(), br#"{"total":42}"#);
/// assert!(!Call::new().body(b"3").run(bill).failure().unwrap().is_transient());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(
    /// The value.
    pub T,
);

impl<T: DeserializeOwned> FromRecord for Json<T> {
    fn from_record(record: &Part) -> Result<Self, BoxError> {
        match serde_json::from_slice(record.bytes()) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(permanent(error)
                .because("the body is not the JSON that this function understands")
                .into()),
        }
    }
}

impl<T: Serialize> IntoRecord for Json<T> {
    fn write_to(self, record: &mut PortWriter<'_>) -> Result<(), BoxError> {
        record.set_content_type("application/json")?;
        // Not straight into the record: a value that fails half-way would have left its beginning there.
        let text = serde_json::to_vec(&self.0).map_err(permanent)?;
        Ok(record.append(&text)?)
    }
}
