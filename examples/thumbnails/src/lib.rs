//! Three sizes of one photograph: the functions of the chain `thumbnails`.
//!
//! [`decode`] turns the bytes of a JPEG or PNG into plain pixels and hands them over as one record of several
//! megabytes. That record is sealed once, and three instances of [`resize`] read the same ciphertext.
//! [`pack`] waits for all three and answers with a zip. What each step computes is plain code that knows
//! nothing of chains ([`photo`], [`raster`], [`thumbnail`], [`archive`]); [`without_fabric`] runs it in one
//! go.

pub mod archive;
pub mod photo;
pub mod raster;
pub mod reduce;
pub mod thumbnail;

use hacher::{Failure, Input, Output};
use raster::RasterError;
use thumbnail::Size;

/// The handler of `decode`: pixels to `out`, or to `reject` a problem report (RFC 9457) when the body is not
/// a photograph that this chain takes.
///
/// # Errors
/// A transient [`Failure`] when the input does not arrive whole or the output cannot leave.
pub fn decode(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    match photo::decode(input.bytes()?) {
        Ok(raster) => {
            let mut out = output.out()?;
            out.set_content_type(raster::CONTENT_TYPE)?;
            // The pixels leave segment by segment: the resizers start while the end is still being sealed,
            // and this trustlet holds no second copy of them.
            out.stream();
            raster.write_to(&mut out)?;
        }
        Err(refusal) => {
            let mut reject = output.port("reject")?;
            reject.set_content_type("application/problem+json")?;
            reject.append(refusal.problem_json().as_bytes())?;
        }
    }
    Ok(())
}

/// Makes the handler of `small`, `medium` and `large`: a JPEG of the given size to `out`.
pub fn resize(size: Size) -> impl Fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure> {
    move |mut input, output| {
        let jpeg = thumbnail::from_stream(input.reader(), size)?;
        let mut out = output.out()?;
        out.set_content_type("image/jpeg")?;
        out.append(&jpeg)
    }
}

/// The handler of `pack`: a zip to `out` with one file for each upstream function, named after it.
///
/// # Errors
/// A permanent [`Failure`] when the thumbnails are too large for a zip.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a handler")]
pub fn pack(input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let files = input.parts().iter().map(|part| (part.upstream(), part.bytes()));
    let zip = archive::zip_of_jpegs(files).map_err(|_| Failure::permanent("the zip cannot be written"))?;
    let mut out = output.out()?;
    out.set_content_type("application/zip")?;
    out.append(&zip)
}

/// Why [`without_fabric`] has no zip to give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The photograph would have left by the port `reject`.
    #[error(transparent)]
    Refused(#[from] photo::Refusal),
    /// A thumbnail could not be made.
    #[error(transparent)]
    Raster(#[from] RasterError),
    /// The zip could not be written.
    #[error(transparent)]
    Archive(#[from] archive::ArchiveError),
}

/// The zip that the chain answers with, computed by the same code in this process: for tests, and to see what
/// the work costs by itself.
///
/// # Errors
/// As the chain would refuse or fail.
pub fn without_fabric(photo: &[u8], sizes: &[(&str, Size)]) -> Result<Vec<u8>, Error> {
    let raster = photo::decode(photo)?;
    let mut files = Vec::new();
    for (name, size) in sizes {
        files.push((*name, thumbnail::of(&raster, *size)?));
    }
    let files = files.iter().map(|(name, jpeg)| (*name, jpeg.as_slice()));
    Ok(archive::zip_of_jpegs(files)?)
}

impl From<RasterError> for Failure {
    fn from(error: RasterError) -> Self {
        match error {
            RasterError::NotARaster => Self::permanent("the record does not hold pixels in the layout RGB8"),
            RasterError::OutOfBounds => Self::permanent("the record declares a picture out of bounds"),
            RasterError::TooShort => Self::permanent("the record ends before its last pixel"),
            RasterError::TooLong => Self::permanent("the record goes on after its last pixel"),
            RasterError::Encode => Self::permanent("the thumbnail cannot be encoded"),
            RasterError::Read(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
