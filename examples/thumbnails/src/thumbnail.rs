//! One size of a photograph: pixels in, JPEG out.

use crate::raster::{Dimensions, Raster, RasterError, RowReader};
use crate::reduce::Reducer;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use std::io::Read;

/// Widest thumbnail, in pixels.
pub const MAX_WIDTH: u32 = 4096;

/// The quality that is used unless a chain file says otherwise, of 100.
pub const DEFAULT_QUALITY: u8 = 80;

/// A thumbnail is at most this many times as high as the width that was asked for; higher pictures become
/// narrower instead, so that their thumbnails stay small.
const MAX_HEIGHT_PER_WIDTH: u32 = 4;

/// How large a thumbnail is to be, and how good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    width: u32,
    quality: u8,
}

/// A size cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SizeError {
    /// The chain file gives no width.
    #[error("the environment has no WIDTH; give it in the chain file: env = {{ WIDTH = \"480\" }}")]
    NoWidth,
    /// The width is not a number of pixels within the bounds.
    #[error("WIDTH is a whole number of pixels, 1 to {MAX_WIDTH}")]
    Width,
    /// The quality is not a number within the bounds.
    #[error("QUALITY is a whole number, 1 to 100")]
    Quality,
}

impl Size {
    /// A thumbnail that is `width` pixels wide, as a JPEG of this `quality` (1 to 100).
    ///
    /// # Errors
    /// As [`SizeError`] says.
    pub fn new(width: u32, quality: u8) -> Result<Self, SizeError> {
        if !(1..=MAX_WIDTH).contains(&width) {
            Err(SizeError::Width)
        } else if !(1..=100).contains(&quality) {
            Err(SizeError::Quality)
        } else {
            Ok(Self { width, quality })
        }
    }

    /// The size in the environment variables `WIDTH` and, if present, `QUALITY`: what `env` of the chain file
    /// sets. One program is so several functions.
    ///
    /// # Errors
    /// As [`SizeError`] says.
    pub fn from_environment() -> Result<Self, SizeError> {
        Self::from_texts(
            std::env::var("WIDTH").ok().as_deref(),
            std::env::var("QUALITY").ok().as_deref(),
        )
    }

    fn from_texts(width: Option<&str>, quality: Option<&str>) -> Result<Self, SizeError> {
        let width = width.ok_or(SizeError::NoWidth)?;
        let width = width.parse().map_err(|_| SizeError::Width)?;
        let quality = match quality {
            Some(text) => text.parse().map_err(|_| SizeError::Quality)?,
            None => DEFAULT_QUALITY,
        };
        Self::new(width, quality)
    }

    /// How large the thumbnail of a picture becomes: as wide as asked for, in the picture's proportions,
    /// never larger than the picture.
    fn fit(self, picture: Dimensions) -> Result<Dimensions, RasterError> {
        let max_height = self.width * MAX_HEIGHT_PER_WIDTH;
        let width = self.width.min(picture.width());
        let height = scale(picture.height(), width, picture.width());
        if height <= max_height {
            return Dimensions::new(width, height);
        }
        let width = scale(picture.width(), max_height, picture.height());
        Dimensions::new(width, max_height)
    }
}

/// `length · by / of`, rounded to the nearest, at least 1.
fn scale(length: u32, by: u32, of: u32) -> u32 {
    let (by, of) = (u64::from(by), u64::from(of));
    let scaled = (u64::from(length) * by + of / 2) / of;
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}

/// The thumbnail of a picture that is in memory.
///
/// # Errors
/// [`RasterError::Encode`] when the encoder refuses; it does not, within the bounds.
pub fn of(picture: &Raster, size: Size) -> Result<Vec<u8>, RasterError> {
    let from = picture.dimensions();
    let mut reducer = Reducer::new(from, size.fit(from)?)?;
    for row in picture.rows() {
        reducer.push_row(row);
    }
    jpeg(&reducer.finish()?, size.quality)
}

/// The thumbnail of a picture that is still arriving, in the layout of [`crate::raster`].
///
/// # Errors
/// As [`RasterError`] says.
pub fn from_stream(record: impl Read, size: Size) -> Result<Vec<u8>, RasterError> {
    let mut rows = RowReader::new(record)?;
    let from = rows.dimensions();
    let mut reducer = Reducer::new(from, size.fit(from)?)?;
    while let Some(row) = rows.next_row()? {
        reducer.push_row(row);
    }
    jpeg(&reducer.finish()?, size.quality)
}

fn jpeg(picture: &Raster, quality: u8) -> Result<Vec<u8>, RasterError> {
    let (width, height) = (picture.dimensions().width(), picture.dimensions().height());
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode(picture.rgb(), width, height, ExtendedColorType::Rgb8)
        .map_err(|_| RasterError::Encode)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(width: u32, picture: (u32, u32)) -> (u32, u32) {
        let picture = Dimensions::new(picture.0, picture.1).unwrap();
        let fit = Size::new(width, 80).unwrap().fit(picture).unwrap();
        (fit.width(), fit.height())
    }

    #[test]
    fn a_thumbnail_keeps_the_proportions_of_its_picture() {
        assert_eq!(fit(160, (1411, 1411)), (160, 160));
        assert_eq!(fit(480, (4000, 3000)), (480, 360));
        assert_eq!(fit(480, (3000, 4000)), (480, 640));
    }

    #[test]
    fn a_picture_is_never_enlarged() {
        assert_eq!(fit(960, (640, 427)), (640, 427));
    }

    #[test]
    fn extreme_proportions_stay_within_bounds() {
        assert_eq!(fit(160, (381, 65_535)), (4, 640));
        assert_eq!(fit(160, (65_535, 1)), (160, 1));
        assert_eq!(fit(1, (1, 65_535)), (1, 4));
    }

    #[test]
    fn wrong_settings_are_refused_by_name() {
        assert_eq!(Size::from_texts(None, None), Err(SizeError::NoWidth));
        assert_eq!(Size::from_texts(Some("wide"), None), Err(SizeError::Width));
        assert_eq!(Size::from_texts(Some("0"), None), Err(SizeError::Width));
        assert_eq!(Size::from_texts(Some("4097"), None), Err(SizeError::Width));
        assert_eq!(
            Size::from_texts(Some("160"), Some("101")),
            Err(SizeError::Quality)
        );
        assert_eq!(
            Size::from_texts(Some("160"), None),
            Size::new(160, DEFAULT_QUALITY)
        );
        assert_eq!(Size::from_texts(Some("160"), Some("95")), Size::new(160, 95));
    }

    #[test]
    fn streaming_gives_the_same_thumbnail() {
        let rgb = (0..=250).cycle().take(61 * 47 * 3).collect();
        let picture = Raster::new(Dimensions::new(61, 47).unwrap(), rgb).unwrap();
        let size = Size::new(20, 90).unwrap();
        let mut record = Vec::new();
        picture.write_to(&mut record).unwrap();
        assert_eq!(
            from_stream(record.as_slice(), size).unwrap(),
            of(&picture, size).unwrap()
        );
    }
}
