//! Pages of the guest's physical memory.

/// Bytes of a page. Pages of 2 MiB are not used: an RMP entry of that size is split before it gets here.
pub const FRAME_BYTES: usize = 4096;
/// Words of a page.
pub const FRAME_WORDS: usize = FRAME_BYTES / 8;
/// Addresses have at most so many bits (APM volume 2, section 5.1).
const ADDRESS_BITS: u32 = 52;

/// A page of 4 KiB of the guest's physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(u64);

impl Frame {
    /// The page at a physical address; `None` if no page begins there.
    #[must_use]
    pub const fn at(address: u64) -> Option<Self> {
        if address.is_multiple_of(FRAME_BYTES as u64) && address >> ADDRESS_BITS == 0 {
            Some(Self(address / FRAME_BYTES as u64))
        } else {
            None
        }
    }

    /// Where it begins.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0 * FRAME_BYTES as u64
    }

    /// Its number, from the first page of memory.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_at_a_multiple_of_its_size_within_what_can_be_addressed() {
        assert_eq!(Frame::at(0x3000).unwrap().number(), 3);
        assert_eq!(Frame::at(0x3000).unwrap().address(), 0x3000);
        assert_eq!(Frame::at(0x3008), None);
        assert_eq!(Frame::at(1 << 52), None);
        assert!(Frame::at((1 << 52) - 4096).is_some());
    }
}
