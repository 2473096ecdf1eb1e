//! From the bytes of a photograph, which anybody may have sent, to pixels.
//!
//! The size that the file declares is checked before memory is taken for it, so a small file cannot ask for a
//! large amount. Transparent pixels are laid on white, and the orientation that a camera wrote down is
//! applied. Colour profiles are not: pixels keep the values they have in the file.

use crate::raster::{Dimensions, Raster, RasterError};
use image::{DynamicImage, GenericImageView, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Most memory that a decoder may take: the largest picture with four channels of 16 bits is 200 MB.
const DECODER_MAX_BYTES: u64 = 208_000_000;

/// Why a body is not a photograph that this chain takes. The texts are fixed, so they quote nothing of the
/// body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Neither JPEG nor PNG.
    #[error("the body is neither a JPEG nor a PNG image")]
    NotAnImage,
    /// Over [`MAX_PIXELS`](crate::raster::MAX_PIXELS) or [`MAX_SIDE`](crate::raster::MAX_SIDE).
    #[error("the image has more than 25 million pixels, or more than 65,535 on a side")]
    TooLarge,
    /// It begins as an image does, but cannot be decoded.
    #[error("the image is damaged, or of a kind that is not supported")]
    Damaged,
}

impl Refusal {
    /// A problem report as in RFC 9457.
    #[must_use]
    pub fn problem_json(self) -> String {
        let kind = match self {
            Self::NotAnImage => "not-an-image",
            Self::TooLarge => "too-large",
            Self::Damaged => "damaged",
        };
        format!("{{\"type\":\"urn:problem-type:thumbnails:{kind}\",\"title\":\"{self}\"}}\n")
    }
}

impl From<ImageError> for Refusal {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            _ => Self::Damaged,
        }
    }
}

impl From<RasterError> for Refusal {
    fn from(_: RasterError) -> Self {
        Self::TooLarge
    }
}

/// Decodes a JPEG or a PNG.
///
/// # Errors
/// As [`Refusal`] says.
pub fn decode(photo: &[u8]) -> Result<Raster, Refusal> {
    let format = match image::guess_format(photo) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => format,
        _ => return Err(Refusal::NotAnImage),
    };
    let mut reader = ImageReader::with_format(Cursor::new(photo), format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    Dimensions::new(width, height)?;
    let orientation = decoder.orientation()?;

    let mut upright = DynamicImage::ImageRgb8(on_white(DynamicImage::from_decoder(decoder)?));
    upright.apply_orientation(orientation);
    let dimensions = Dimensions::new(upright.width(), upright.height())?;
    Ok(Raster::new(dimensions, upright.into_rgb8().into_raw())?)
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODER_MAX_BYTES);
    limits
}

fn on_white(image: DynamicImage) -> image::RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let mut opaque = image::RgbImage::new(image.width(), image.height());
    for ((_, _, from), to) in image.pixels().zip(opaque.pixels_mut()) {
        let [red, green, blue, alpha] = from.0;
        to.0 = [red, green, blue].map(|channel| channel_on_white(channel, alpha));
    }
    opaque
}

/// `channel · alpha + 255 · (255 − alpha)`, in 255ths, rounded to the nearest.
fn channel_on_white(channel: u8, alpha: u8) -> u8 {
    let (channel, alpha) = (u32::from(channel), u32::from(alpha));
    let mixed = (channel * alpha + 255 * (255 - alpha) + 127) / 255;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};

    const RETINA: &[u8] = include_bytes!("../retina.jpg");

    fn png(pixels: &[u8], width: u32, height: u32, color: ColorType) -> Vec<u8> {
        let mut file = Vec::new();
        PngEncoder::new(&mut file)
            .write_image(pixels, width, height, color.into())
            .unwrap();
        file
    }

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let pixels = vec![200; width as usize * height as usize * 3];
        let mut file = Vec::new();
        JpegEncoder::new(&mut file)
            .write_image(&pixels, width, height, ColorType::Rgb8.into())
            .unwrap();
        file
    }

    /// Where the height and then the width stand in a baseline JPEG.
    fn jpeg_size_at(file: &[u8]) -> usize {
        let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        frame + 5
    }

    #[test]
    fn a_real_photograph_is_decoded() {
        let raster = decode(RETINA).unwrap();
        assert_eq!(raster.dimensions(), Dimensions::new(1411, 1411).unwrap());
    }

    #[test]
    fn a_png_gives_back_its_pixels() {
        let pixels = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        assert_eq!(
            decode(&png(&pixels, 2, 2, ColorType::Rgb8)).unwrap().rgb(),
            pixels
        );
    }

    #[test]
    fn gray_and_deep_pixels_become_rgb() {
        assert_eq!(
            decode(&png(&[9, 200], 2, 1, ColorType::L8)).unwrap().rgb(),
            [9, 9, 9, 200, 200, 200]
        );
        let deep = [0xff, 0xff, 0x80, 0x80, 0, 0];
        assert_eq!(
            decode(&png(&deep, 1, 1, ColorType::Rgb16)).unwrap().rgb(),
            [255, 128, 0]
        );
    }

    #[test]
    fn transparent_pixels_are_laid_on_white() {
        let pixels = [10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 51];
        assert_eq!(
            decode(&png(&pixels, 3, 1, ColorType::Rgba8)).unwrap().rgb(),
            [10, 20, 30, 255, 255, 255, 204, 224, 255]
        );
    }

    #[test]
    fn a_photograph_taken_sideways_is_set_upright() {
        let exif: &[u8] = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut file = jpeg(24, 8);
        let mut segment = vec![0xff, 0xe1];
        segment.extend(u16::try_from(exif.len() + 2).unwrap().to_be_bytes());
        segment.extend(exif);
        file.splice(2..2, segment);
        assert_eq!(
            decode(&file).unwrap().dimensions(),
            Dimensions::new(8, 24).unwrap()
        );
    }

    #[test]
    fn a_small_file_that_declares_a_huge_image_is_refused() {
        let mut file = jpeg(8, 8);
        let at = jpeg_size_at(&file);
        file[at..at + 4].copy_from_slice(&[0xff; 4]);
        assert_eq!(decode(&file), Err(Refusal::TooLarge));
    }

    #[test]
    fn what_is_no_photograph_is_refused() {
        assert_eq!(decode(b""), Err(Refusal::NotAnImage));
        assert_eq!(decode(b"GIF89a and so on"), Err(Refusal::NotAnImage));
        assert_eq!(decode(b"{\"hello\": \"world\"}"), Err(Refusal::NotAnImage));
        assert_eq!(
            decode(b"\xff\xd8\xff\xe0 and nothing that follows"),
            Err(Refusal::Damaged)
        );
        assert_eq!(
            decode(&png(&[1, 2, 3], 1, 1, ColorType::Rgb8)[..40]),
            Err(Refusal::Damaged)
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

        #[test]
        fn no_damage_makes_the_decoder_panic(
            damage in proptest::collection::vec((0_usize..4000, proptest::num::u8::ANY), 1..8),
            cut in 0_usize..4000,
            is_png in proptest::bool::ANY,
        ) {
            let noise: Vec<u8> = (0..16 * 16 * 3_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
            let mut file = if is_png { png(&noise, 16, 16, ColorType::Rgb8) } else { jpeg(16, 16) };
            let len = file.len();
            for (at, value) in damage {
                file[at % len] = value;
            }
            let _ = decode(&file);
            let _ = decode(&file[..cut % len]);
        }
    }
}
