//! Plain pixels, and their layout in the record from `decode` to the resizers:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | the letters `RGB8` |
//! | 4 | 4 | width in pixels, little-endian, 1 to 65,535 |
//! | 8 | 4 | height in pixels, little-endian, 1 to 65,535 |
//! | 12 | 3 × width × height | red, green, blue of each pixel; row by row from the top, each from the left |
//!
//! At most [`MAX_PIXELS`], and nothing after the last pixel. A reader checks all of it: an edge says who sent
//! a record, not that its sender was right.

use std::io::{self, Read, Write};

/// What the record is, for the header `content-type`.
pub const CONTENT_TYPE: &str = "application/vnd.hacher.rgb8";

/// Most pixels of a picture: 25 million, the photograph of a current telephone. As a record that is 75 MB,
/// which is what the outbox of `decode` in `chain.toml` is sized for.
pub const MAX_PIXELS: u32 = 25_000_000;

/// Longest side of a picture, in pixels: what a JPEG can say.
pub const MAX_SIDE: u32 = 65_535;

/// Bytes of one pixel.
pub const PIXEL_BYTES: usize = 3;

const MAGIC: [u8; 4] = *b"RGB8";
const HEADER_BYTES: usize = 12;

/// Pixels could not be read, or not be made into a thumbnail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RasterError {
    /// The record does not begin with `RGB8`.
    #[error("the record does not hold pixels in the layout RGB8")]
    NotARaster,
    /// The picture has no pixels, more than [`MAX_PIXELS`], or a side longer than [`MAX_SIDE`].
    #[error("the picture is empty, over {MAX_PIXELS} pixels, or over {MAX_SIDE} pixels on a side")]
    OutOfBounds,
    /// The record ends before its last pixel.
    #[error("the record ends before its last pixel")]
    TooShort,
    /// The record goes on after its last pixel.
    #[error("the record goes on after its last pixel")]
    TooLong,
    /// The JPEG encoder refused the picture.
    #[error("the thumbnail cannot be encoded")]
    Encode,
    /// The record did not arrive.
    #[error("the record did not arrive")]
    Read(#[source] io::Error),
}

/// Width and height of a picture, within the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dimensions {
    width: u32,
    height: u32,
}

impl Dimensions {
    /// A picture of `width` × `height` pixels.
    ///
    /// # Errors
    /// [`RasterError::OutOfBounds`].
    pub fn new(width: u32, height: u32) -> Result<Self, RasterError> {
        let sides = 1..=MAX_SIDE;
        let pixels = u64::from(width) * u64::from(height);
        if sides.contains(&width) && sides.contains(&height) && pixels <= u64::from(MAX_PIXELS) {
            Ok(Self { width, height })
        } else {
            Err(RasterError::OutOfBounds)
        }
    }

    /// Width in pixels.
    #[must_use]
    pub const fn width(self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub const fn height(self) -> u32 {
        self.height
    }

    /// Bytes of one row of pixels.
    #[must_use]
    pub const fn row_bytes(self) -> usize {
        self.width as usize * PIXEL_BYTES
    }

    /// Bytes of all pixels.
    #[must_use]
    pub const fn pixel_bytes(self) -> usize {
        self.row_bytes() * self.height as usize
    }
}

/// A picture: 8 bits each of red, green and blue.
#[derive(Clone, PartialEq, Eq)]
pub struct Raster {
    dimensions: Dimensions,
    rgb: Vec<u8>,
}

impl core::fmt::Debug for Raster {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never the pixels: they must not reach a log by accident.
        formatter
            .debug_struct("Raster")
            .field("dimensions", &self.dimensions)
            .finish_non_exhaustive()
    }
}

impl Raster {
    /// A picture of these pixels, row by row.
    ///
    /// # Errors
    /// [`RasterError::TooShort`] or [`RasterError::TooLong`] when `rgb` is not what `dimensions` say.
    pub fn new(dimensions: Dimensions, rgb: Vec<u8>) -> Result<Self, RasterError> {
        match rgb.len().cmp(&dimensions.pixel_bytes()) {
            core::cmp::Ordering::Less => Err(RasterError::TooShort),
            core::cmp::Ordering::Equal => Ok(Self { dimensions, rgb }),
            core::cmp::Ordering::Greater => Err(RasterError::TooLong),
        }
    }

    /// Width and height.
    #[must_use]
    pub const fn dimensions(&self) -> Dimensions {
        self.dimensions
    }

    /// All pixels, three bytes each.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The rows, from the top.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.rgb.chunks_exact(self.dimensions.row_bytes())
    }

    /// Writes the picture in the layout of this module.
    ///
    /// # Errors
    /// Those of `output`.
    pub fn write_to(&self, output: &mut impl Write) -> io::Result<()> {
        output.write_all(&MAGIC)?;
        output.write_all(&self.dimensions.width.to_le_bytes())?;
        output.write_all(&self.dimensions.height.to_le_bytes())?;
        output.write_all(&self.rgb)
    }
}

/// Reads the layout of this module row by row, so that a large picture never is in memory as a whole.
#[derive(Debug)]
pub struct RowReader<R> {
    input: R,
    dimensions: Dimensions,
    row: Vec<u8>,
    rows_left: u32,
}

impl<R: Read> RowReader<R> {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// As [`RasterError`] says.
    pub fn new(mut input: R) -> Result<Self, RasterError> {
        let mut header = [0; HEADER_BYTES];
        read_all(&mut input, &mut header)?;
        let [m0, m1, m2, m3, w0, w1, w2, w3, h0, h1, h2, h3] = header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(RasterError::NotARaster);
        }
        let width = u32::from_le_bytes([w0, w1, w2, w3]);
        let height = u32::from_le_bytes([h0, h1, h2, h3]);
        let dimensions = Dimensions::new(width, height)?;
        Ok(Self {
            input,
            dimensions,
            row: vec![0; dimensions.row_bytes()],
            rows_left: height,
        })
    }

    /// Width and height of the whole picture.
    #[must_use]
    pub const fn dimensions(&self) -> Dimensions {
        self.dimensions
    }

    /// The next row; `None` after the last one, once it is certain that the record ends there.
    ///
    /// # Errors
    /// As [`RasterError`] says.
    pub fn next_row(&mut self) -> Result<Option<&[u8]>, RasterError> {
        if let Some(rows_left) = self.rows_left.checked_sub(1) {
            self.rows_left = rows_left;
            read_all(&mut self.input, &mut self.row)?;
            return Ok(Some(&self.row));
        }
        match read_all(&mut self.input, &mut [0]) {
            Err(RasterError::TooShort) => Ok(None),
            Ok(()) => Err(RasterError::TooLong),
            Err(error) => Err(error),
        }
    }
}

fn read_all(input: &mut impl Read, buffer: &mut [u8]) -> Result<(), RasterError> {
    input.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => RasterError::TooShort,
        _ => RasterError::Read(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(width: u32, height: u32, pixel_bytes: usize) -> Vec<u8> {
        let mut record = MAGIC.to_vec();
        record.extend(width.to_le_bytes());
        record.extend(height.to_le_bytes());
        record.extend((0..=255).cycle().take(pixel_bytes));
        record
    }

    fn read(record: &[u8]) -> Result<Raster, RasterError> {
        let mut rows = RowReader::new(record)?;
        let mut rgb = Vec::new();
        while let Some(row) = rows.next_row()? {
            rgb.extend_from_slice(row);
        }
        Raster::new(rows.dimensions(), rgb)
    }

    #[test]
    fn a_picture_survives_its_layout() {
        let raster = read(&record(5, 7, 105)).unwrap();
        let mut written = Vec::new();
        raster.write_to(&mut written).unwrap();
        assert_eq!(written, record(5, 7, 105));
        assert_eq!(raster.rows().count(), 7);
    }

    #[test]
    fn a_record_that_is_cut_or_goes_on_is_refused() {
        assert!(matches!(read(&record(5, 7, 104)), Err(RasterError::TooShort)));
        assert!(matches!(read(&record(5, 7, 106)), Err(RasterError::TooLong)));
        assert!(matches!(
            read(&record(5, 7, 105)[..11]),
            Err(RasterError::TooShort)
        ));
    }

    #[test]
    fn a_record_of_something_else_is_refused() {
        assert!(matches!(read(b"{\"width\": 5}"), Err(RasterError::NotARaster)));
    }

    #[test]
    fn sizes_out_of_bounds_are_refused_before_any_memory_is_taken() {
        for (width, height) in [(0, 5), (5, 0), (65_536, 1), (5_001, 5_000), (u32::MAX, u32::MAX)] {
            assert!(matches!(
                RowReader::new(record(width, height, 0).as_slice()),
                Err(RasterError::OutOfBounds)
            ));
        }
        assert!(Dimensions::new(5_000, 5_000).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_record_makes_the_reader_panic(
            width in 0_u32..6,
            height in 0_u32..6,
            len in 0_usize..120,
            junk in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
        ) {
            let _ = read(&junk);
            let read = read(&record(width, height, len));
            proptest::prop_assert_eq!(
                read.is_ok(),
                len > 0 && len as u64 == 3 * u64::from(width) * u64::from(height)
            );
        }
    }
}
