//! The generations of processors with SEV-SNP.

use std::fmt;

/// A generation of AMD EPYC processors; each has an ARK, an ASK and an ASVK of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// Third generation, family 19h. Its root seed has been extracted by software (arXiv 2605.12990), so a
    /// report of any firmware can be forged for a chip that it was done to.
    Milan,
    /// Fourth generation, family 19h; Bergamo and Siena are certified by the same keys.
    Genoa,
    /// Fifth generation, family 1Ah; its TCB has a fifth component, FMC.
    Turin,
}

impl Generation {
    /// All that this crate has the roots of.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The name in policies and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Milan => "milan",
            Self::Genoa => "genoa",
            Self::Turin => "turin",
        }
    }

    /// The generation of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|generation| generation.as_str() == name)
    }

    /// The name in AMD's certificates, such as `ARK-Milan`.
    pub(crate) const fn in_certificates(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The generation of a product name as certificates have it: `Genoa`, or `Milan-B0` with the stepping.
    pub(crate) fn of_product(product: &str) -> Option<Self> {
        let generation = product
            .split_once('-')
            .map_or(product, |(generation, _)| generation);
        Self::ALL
            .into_iter()
            .find(|known| known.in_certificates() == generation)
    }

    /// The generation of a processor by its family and model, both with their extensions, as reports of
    /// version 3 and later have them.
    pub(crate) const fn of_cpu(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0F) => Some(Self::Milan),
            (0x19, 0x10..=0x1F | 0xA0..=0xAF) => Some(Self::Genoa),
            (0x1A, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
