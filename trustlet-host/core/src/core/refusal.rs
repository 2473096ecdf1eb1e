//! Why a call is refused: a code for programs, a line for people.

use crate::calls::ResultCode;
use crate::platform::PlatformError;
use alloc::borrow::Cow;
use alloc::string::ToString;

/// An error result of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ResultCode,
    pub(crate) text: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(code: ResultCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

impl From<ResultCode> for Refusal {
    fn from(code: ResultCode) -> Self {
        Self::new(code, code.text())
    }
}

impl From<PlatformError> for Refusal {
    fn from(error: PlatformError) -> Self {
        let code = if error.is_transient() {
            ResultCode::Busy
        } else {
            ResultCode::Platform
        };
        Self::new(code, error.to_string())
    }
}

/// An error result, for the end of a branch.
pub(crate) fn refuse<T>(code: ResultCode, text: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(code, text))
}
