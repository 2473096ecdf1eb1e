//! What a call brings with it, taken apart.

use super::names::canonical_name;
use super::refusal::Refusal;
use crate::calls::ResultCode;
use crate::ids::FunctionIndex;
use hacher_data_path::name::Name;
use zerocopy::FromBytes;

/// An operand of fixed layout.
pub(super) fn fixed<T: FromBytes>(operand: &[u8]) -> Result<T, Refusal> {
    T::read_from_bytes(operand).map_err(|_| ResultCode::InvalidFormat.into())
}

pub(super) fn text(operand: &[u8]) -> Result<&str, Refusal> {
    core::str::from_utf8(operand).map_err(|_| ResultCode::InvalidFormat.into())
}

pub(super) fn name(operand: &[u8]) -> Result<Name, Refusal> {
    canonical_name(&fixed(operand)?)
}

pub(super) fn present<F>(file: Option<F>) -> Result<F, Refusal> {
    file.ok_or_else(|| Refusal::new(ResultCode::InvalidAddress, "the call needs a descriptor"))
}

/// A 64-bit argument that counts or numbers something.
pub(super) fn narrow(argument: u64) -> Result<u32, Refusal> {
    u32::try_from(argument).map_err(|_| ResultCode::InvalidParameter.into())
}

pub(super) fn function_index(argument: u64) -> Result<FunctionIndex, Refusal> {
    narrow(argument).map(FunctionIndex)
}
