//! Makes a picture smaller by averaging: each pixel of the result is the mean of the area that it covers,
//! with pixels on the border counted by the share that is covered. Whole numbers throughout, so every machine
//! gets the same result.
//!
//! Rows go in from the top one at a time, and what is held is one row of sums: a picture of any size needs
//! memory for the small one only, and the work starts before the last pixel has arrived.

use crate::raster::{Dimensions, PIXEL_BYTES, Raster, RasterError};

/// Sums of red, green and blue. The largest sum is `255 × MAX_PIXELS`.
type Sums = [u64; PIXEL_BYTES];

/// Takes the rows of a picture, gives the smaller one.
///
/// Lengths are counted so that no fraction is left: across the picture a pixel of the input is `to.width`
/// long and one of the result `from.width`; both rows then have the same length, `from.width · to.width`.
/// Likewise downwards with the heights.
#[derive(Debug)]
pub struct Reducer {
    from: Dimensions,
    to: Dimensions,
    /// The input row of this moment, averaged across: sums over `from.width` lengths each.
    across: Vec<Sums>,
    /// The result row of this moment: sums over areas of `from.width · from.height` when it is full.
    down: Vec<Sums>,
    /// Length downwards that `down` has room for.
    room: u32,
    rgb: Vec<u8>,
}

impl Reducer {
    /// From pictures of size `from` to one of size `to`, which is not larger in either direction.
    ///
    /// # Errors
    /// [`RasterError::OutOfBounds`] when `to` is larger.
    pub fn new(from: Dimensions, to: Dimensions) -> Result<Self, RasterError> {
        if to.width() > from.width() || to.height() > from.height() {
            return Err(RasterError::OutOfBounds);
        }
        let columns = vec![Sums::default(); to.row_bytes() / PIXEL_BYTES];
        Ok(Self {
            from,
            to,
            across: columns.clone(),
            down: columns,
            room: from.height(),
            rgb: Vec::with_capacity(to.pixel_bytes()),
        })
    }

    /// Takes the next row, which has `from.row_bytes()` bytes. Bytes beyond that are ignored, missing ones
    /// are black.
    pub fn push_row(&mut self, row: &[u8]) {
        self.average_across(row);
        let mut left = self.to.height();
        while left > 0 {
            let covered = left.min(self.room);
            for (sums, across) in self.down.iter_mut().zip(&self.across) {
                add(sums, across, covered);
            }
            left -= covered;
            self.room -= covered;
            if self.room == 0 {
                self.finish_row();
            }
        }
    }

    /// The smaller picture, after the last row.
    ///
    /// # Errors
    /// [`RasterError::TooShort`] or [`RasterError::TooLong`] when there were not as many rows as announced.
    pub fn finish(self) -> Result<Raster, RasterError> {
        Raster::new(self.to, self.rgb)
    }

    fn average_across(&mut self, row: &[u8]) {
        self.across.fill(Sums::default());
        let mut columns = self.across.iter_mut();
        let mut column = columns.next();
        let mut room = self.from.width();
        let (pixels, _) = row.as_chunks::<PIXEL_BYTES>();
        for pixel in pixels {
            let pixel = pixel.map(u64::from);
            let mut left = self.to.width();
            while left > 0 {
                let Some(sums) = column.as_deref_mut() else {
                    return;
                };
                let covered = left.min(room);
                add(sums, &pixel, covered);
                left -= covered;
                room -= covered;
                if room == 0 {
                    column = columns.next();
                    room = self.from.width();
                }
            }
        }
    }

    fn finish_row(&mut self) {
        let area = u64::from(self.from.width()) * u64::from(self.from.height());
        for sums in &mut self.down {
            let mean = sums.map(|sum| u8::try_from((sum + area / 2) / area).unwrap_or(u8::MAX));
            self.rgb.extend_from_slice(&mean);
            *sums = Sums::default();
        }
        self.room = self.from.height();
    }
}

fn add(sums: &mut Sums, values: &Sums, times: u32) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value * u64::from(times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduce(rgb: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
        let from = Dimensions::new(from.0, from.1).unwrap();
        let to = Dimensions::new(to.0, to.1).unwrap();
        let mut reducer = Reducer::new(from, to).unwrap();
        for row in rgb.chunks(from.row_bytes()) {
            reducer.push_row(row);
        }
        reducer.finish().unwrap().rgb().to_vec()
    }

    fn gray(values: &[u8]) -> Vec<u8> {
        values.iter().flat_map(|value| [*value; 3]).collect()
    }

    #[test]
    fn a_pixel_is_the_mean_of_the_area_it_covers() {
        assert_eq!(reduce(&gray(&[10, 20, 30, 41]), (2, 2), (1, 1)), gray(&[25]));
        assert_eq!(reduce(&gray(&[0, 90, 240]), (3, 1), (2, 1)), gray(&[30, 190]));
        assert_eq!(reduce(&gray(&[0, 90, 240]), (1, 3), (1, 2)), gray(&[30, 190]));
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let pixels: Vec<u8> = (0..5 * 4 * 3).collect();
        assert_eq!(reduce(&pixels, (5, 4), (5, 4)), pixels);
    }

    #[test]
    fn a_larger_picture_is_refused() {
        let from = Dimensions::new(10, 10).unwrap();
        for (width, height) in [(11, 10), (10, 11)] {
            let to = Dimensions::new(width, height).unwrap();
            assert!(matches!(Reducer::new(from, to), Err(RasterError::OutOfBounds)));
        }
    }

    #[test]
    fn missing_and_surplus_rows_are_noticed() {
        let size = Dimensions::new(2, 2).unwrap();
        let mut reducer = Reducer::new(size, size).unwrap();
        reducer.push_row(&[1; 6]);
        assert!(matches!(reducer.finish(), Err(RasterError::TooShort)));
        let mut reducer = Reducer::new(size, size).unwrap();
        (0..3).for_each(|_| reducer.push_row(&[1; 6]));
        assert!(matches!(reducer.finish(), Err(RasterError::TooLong)));
    }

    #[test]
    fn the_largest_sums_fit() {
        // One white pixel of the result over the longest row and over the longest column.
        assert_eq!(
            reduce(&gray(&vec![255; 65_535]), (65_535, 1), (1, 1)),
            gray(&[255])
        );
        assert_eq!(
            reduce(&gray(&vec![255; 65_535]), (1, 65_535), (1, 1)),
            gray(&[255])
        );
    }

    proptest::proptest! {
        #[test]
        fn every_mean_lies_between_the_darkest_and_the_brightest_pixel(
            width in 1_u32..40,
            height in 1_u32..40,
            shrink in (1_u32..40, 1_u32..40),
            seed in proptest::num::u32::ANY,
        ) {
            let to = (width.div_ceil(shrink.0), height.div_ceil(shrink.1));
            let values: Vec<u8> = (0..width * height)
                .map(|at| at.wrapping_add(seed).wrapping_mul(2_654_435_761).to_be_bytes()[0])
                .collect();
            let reduced = reduce(&gray(&values), (width, height), to);
            proptest::prop_assert_eq!(reduced.len(), (3 * to.0 * to.1) as usize);
            let (darkest, brightest) = (values.iter().min().unwrap(), values.iter().max().unwrap());
            proptest::prop_assert!(reduced.iter().all(|mean| (darkest..=brightest).contains(&mean)));
        }
    }
}
