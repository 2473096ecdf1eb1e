//! The attestation report (AMD 56860, `ATTESTATION_REPORT`): 1184 bytes, versions 2 to 5.
//!
//! The bytes come from whoever sends evidence. Reserved bytes that are set are refused: they would mean
//! something that this code does not know, signed or not.

use crate::hex::Hex;
use std::fmt;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The length of a report.
pub const REPORT_BYTES: usize = 1184;

/// The part of a report that its signature covers, from the first byte.
pub(crate) const SIGNED_BYTES: usize = 0x2A0;

/// ECDSA on curve P-384 with SHA-384, the only algorithm that reports are signed with.
const ECDSA_P384_SHA384: u32 = 1;

/// A report as the firmware lays it out.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Layout {
    pub(crate) version: U32,
    pub(crate) guest_svn: U32,
    pub(crate) policy: U64,
    pub(crate) family_id: [u8; 16],
    pub(crate) image_id: [u8; 16],
    pub(crate) vmpl: U32,
    pub(crate) signature_algorithm: U32,
    pub(crate) current_tcb: [u8; 8],
    pub(crate) platform_info: U64,
    pub(crate) key_info: U32,
    pub(crate) reserved_04c: [u8; 4],
    pub(crate) report_data: [u8; 64],
    pub(crate) measurement: [u8; 48],
    pub(crate) host_data: [u8; 32],
    pub(crate) id_key_digest: [u8; 48],
    pub(crate) author_key_digest: [u8; 48],
    pub(crate) report_id: [u8; 32],
    pub(crate) report_id_migration_agent: [u8; 32],
    pub(crate) reported_tcb: [u8; 8],
    /// Family, model, stepping; reserved before version 3.
    pub(crate) cpuid: [u8; 3],
    pub(crate) reserved_18b: [u8; 21],
    pub(crate) chip_id: [u8; 64],
    pub(crate) committed_tcb: [u8; 8],
    /// Build, minor, major.
    pub(crate) current_version: [u8; 3],
    pub(crate) reserved_1eb: u8,
    pub(crate) committed_version: [u8; 3],
    pub(crate) reserved_1ef: u8,
    pub(crate) launch_tcb: [u8; 8],
    /// Reserved before version 5.
    pub(crate) mitigation_vectors: [u8; 16],
    pub(crate) reserved_208: [u8; 152],
    /// Little-endian, as is `signature_s`.
    pub(crate) signature_r: [u8; 72],
    pub(crate) signature_s: [u8; 72],
    pub(crate) reserved_330: [u8; 368],
}

const _: () = {
    assert!(size_of::<Layout>() == REPORT_BYTES);
    assert!(std::mem::offset_of!(Layout, vmpl) == 0x30);
    assert!(std::mem::offset_of!(Layout, report_data) == 0x50);
    assert!(std::mem::offset_of!(Layout, measurement) == 0x90);
    assert!(std::mem::offset_of!(Layout, reported_tcb) == 0x180);
    assert!(std::mem::offset_of!(Layout, chip_id) == 0x1A0);
    assert!(std::mem::offset_of!(Layout, committed_tcb) == 0x1E0);
    assert!(std::mem::offset_of!(Layout, launch_tcb) == 0x1F0);
    assert!(std::mem::offset_of!(Layout, signature_r) == SIGNED_BYTES);
};

/// Why bytes are no report that can be examined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Not the length of a report.
    #[error("a report has {REPORT_BYTES} bytes, not {0}")]
    Length(usize),
    /// A version that this crate does not know.
    #[error("version {0} is not known: reports of versions 2 to 5 are")]
    Version(u32),
    /// Reserved bytes are set.
    #[error("reserved bytes are set: {0}")]
    Reserved(&'static str),
    /// Signed with an algorithm that no report is signed with.
    #[error("signature algorithm {0} is not known: 1, ECDSA P-384 with SHA-384, is")]
    Algorithm(u32),
}

/// Which key has signed a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SigningKey {
    /// The chip's own, derived from its secrets and its TCB.
    Vcek,
    /// One that AMD gave to a cloud provider for its chips.
    Vlek,
    /// None: the report is not signed.
    None,
}

impl SigningKey {
    /// The name in policies and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
            Self::None => "none",
        }
    }
}

impl fmt::Display for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
            Self::None => "no key",
        })
    }
}

/// What tells a chip from all others; zeros if the host masks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChipId(pub [u8; 64]);

impl ChipId {
    /// Whether the host hides which chip it is.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.0 == [0; 64]
    }
}

impl fmt::Display for ChipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

/// A report whose form is right. Nothing that it says is proven by that.
#[derive(Clone)]
pub struct Report {
    pub(crate) layout: Layout,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// When the bytes are no report of versions 2 to 5.
    pub fn read(bytes: &[u8]) -> Result<Self, ReportError> {
        let layout = Layout::read_from_bytes(bytes).map_err(|_| ReportError::Length(bytes.len()))?;
        let report = Self { layout };
        report.check_form()?;
        Ok(report)
    }

    fn check_form(&self) -> Result<(), ReportError> {
        let layout = &self.layout;
        let version = self.version();
        if !(2..=5).contains(&version) {
            return Err(ReportError::Version(version));
        }
        let algorithm = layout.signature_algorithm.get();
        if algorithm != ECDSA_P384_SHA384 {
            return Err(ReportError::Algorithm(algorithm));
        }
        let is_unset = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        let policy = layout.policy.get();
        let reserved = [
            (
                policy & (1 << 17) != 0 && policy >> 26 == 0,
                "POLICY (bit 17 has to be 1, bits 26 to 63 have to be 0)",
            ),
            (layout.key_info.get() >> 5 == 0, "KEY_INFO, at 48h (bits 5 to 31)"),
            (
                matches!(self.signing_key_number(), 0 | 1 | 7),
                "SIGNING_KEY, in KEY_INFO (2 to 6)",
            ),
            (is_unset(&layout.reserved_04c), "4Ch to 4Fh"),
            (
                version >= 3 || is_unset(&layout.cpuid),
                "188h to 18Ah, before version 3",
            ),
            (is_unset(&layout.reserved_18b), "18Bh to 19Fh"),
            (layout.reserved_1eb == 0, "1EBh"),
            (layout.reserved_1ef == 0, "1EFh"),
            (
                version >= 5 || is_unset(&layout.mitigation_vectors),
                "1F8h to 207h, before version 5",
            ),
            (is_unset(&layout.reserved_208), "208h to 29Fh"),
            (is_unset(&layout.reserved_330), "330h to 49Fh"),
        ];
        match reserved.into_iter().find(|(is_right, _)| !is_right) {
            Some((_, place)) => Err(ReportError::Reserved(place)),
            None => Ok(()),
        }
    }

    /// The version of the report's layout.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.layout.version.get()
    }

    /// The bytes that the signature covers.
    pub(crate) fn signed(&self) -> &[u8] {
        let bytes = self.layout.as_bytes();
        bytes.get(..SIGNED_BYTES).unwrap_or(bytes)
    }

    /// What the guest has put into its report.
    #[must_use]
    pub fn report_data(&self) -> &[u8; 64] {
        &self.layout.report_data
    }

    /// SHA-384 over what the guest's memory held when it was launched.
    #[must_use]
    pub fn launch_measurement(&self) -> &[u8; 48] {
        &self.layout.measurement
    }

    /// The privilege level that asked for the report. Guests have 0 to 3; the host can ask too, and has
    /// another value then.
    #[must_use]
    pub fn vmpl(&self) -> u32 {
        self.layout.vmpl.get()
    }

    /// The chip that the guest runs on.
    #[must_use]
    pub fn chip(&self) -> ChipId {
        ChipId(self.layout.chip_id)
    }

    const fn signing_key_number(&self) -> u32 {
        (self.layout.key_info.get() >> 2) & 7
    }

    /// Which key has signed the report, as the report says.
    #[must_use]
    pub const fn signing_key(&self) -> SigningKey {
        match self.signing_key_number() {
            0 => SigningKey::Vcek,
            1 => SigningKey::Vlek,
            _ => SigningKey::None,
        }
    }

    /// Whether an author's key has certified the key that signed the guest's identity.
    #[must_use]
    pub const fn has_author_key(&self) -> bool {
        self.layout.key_info.get() & 1 != 0
    }

    /// Whether the host may read the guest's memory in order to debug it.
    #[must_use]
    pub const fn allows_debug(&self) -> bool {
        self.layout.policy.get() & (1 << 19) != 0
    }

    /// Whether a migration agent may move the guest to another machine.
    #[must_use]
    pub const fn allows_migration(&self) -> bool {
        self.layout.policy.get() & (1 << 18) != 0
    }

    /// Family, model and stepping of the processor; from version 3 on.
    #[must_use]
    pub fn cpu(&self) -> Option<[u8; 3]> {
        (self.version() >= 3).then_some(self.layout.cpuid)
    }
}
