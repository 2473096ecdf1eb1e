//! Evidence as one message: a report, what is needed to check it, and the manifest that it is over.
//!
//! ```text
//! 16 bytes  "hacher-evidence\n"
//! u32       kind: 1 emulated, 2 snp, 3 snp-svsm
//! u32, ...  bytes of the report, and the report
//! u32, ...  certificates: the certificate table of the extended report (AMD 56421), as the platform gave it
//! u32, ...  manifest of the SVSM's services, of `snp-svsm`
//! u32, ...  manifest
//! ```
//!
//! Numbers are little-endian. Nothing follows, and no other form is taken.

use crate::manifest::MANIFEST_MAX_BYTES;
use crate::report_data::{NONCE_BYTES, REPORT_DATA_BYTES, report_data};
use alloc::vec::Vec;

/// Starts every evidence.
pub const MAGIC: &[u8; 16] = b"hacher-evidence\n";
/// What it is called over HTTP.
pub const MEDIA_TYPE: &str = "application/vnd.hacher.evidence";
/// The longest report: one of SNP has 1,184 bytes, and the next version may have more.
pub const REPORT_MAX_BYTES: usize = 4096;
/// Bytes of a report of SEV-SNP (AMD 56860, ATTESTATION_REPORT).
pub const SNP_REPORT_BYTES: usize = 1184;
/// The longest certificate table: what Linux hands out at once (configfs-tsm). Three certificates have about
/// 5 KiB.
pub const CERTIFICATES_MAX_BYTES: usize = 32 * 1024;
/// The longest manifest of the SVSM's services: what Linux hands out at once (configfs-tsm).
pub const SERVICE_MAX_BYTES: usize = 32 * 1024;
/// The longest evidence.
pub const EVIDENCE_MAX_BYTES: usize = MAGIC.len()
    + 5 * size_of::<u32>()
    + REPORT_MAX_BYTES
    + CERTIFICATES_MAX_BYTES
    + SERVICE_MAX_BYTES
    + MANIFEST_MAX_BYTES;

/// What vouches for a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No hardware: [`crate::emulated`].
    Emulated,
    /// SEV-SNP: the report is over the manifest.
    Snp,
    /// SEV-SNP through an SVSM. Its report, of the highest privilege level, is over the manifest of the
    /// SVSM's services, with what would be reported over otherwise as its nonce.
    SnpSvsm,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Emulated, Self::Snp, Self::SnpSvsm];

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Emulated => "emulated",
            Self::Snp => "snp",
            Self::SnpSvsm => "snp-svsm",
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::Emulated => 1,
            Self::Snp => 2,
            Self::SnpSvsm => 3,
        }
    }
}

/// A report, what is needed to check it, and the manifest that it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What vouches for it.
    pub kind: Kind,
    /// The platform's report, at most [`REPORT_MAX_BYTES`].
    pub report: Vec<u8>,
    /// A certificate table, at most [`CERTIFICATES_MAX_BYTES`]; empty if the platform has none, and for
    /// [`Kind::Emulated`].
    pub certificates: Vec<u8>,
    /// The manifest of the SVSM's services, at most [`SERVICE_MAX_BYTES`]; empty but for [`Kind::SnpSvsm`].
    pub service: Vec<u8>,
    /// The manifest, encoded, at most [`MANIFEST_MAX_BYTES`].
    pub manifest: Vec<u8>,
}

/// Why bytes are no evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// They do not begin as evidence does.
    #[error("this is not evidence: it does not begin with `hacher-evidence`")]
    Foreign,
    /// Of a kind that this version does not know.
    #[error("evidence of kind {0} is not known")]
    Kind(u32),
    /// They end too early.
    #[error("the evidence was cut short in its {0}")]
    CutShort(&'static str),
    /// A part is longer than any that is made.
    #[error("the evidence has {len_bytes} bytes of {part}; {max_bytes} are the most")]
    TooLong {
        /// Which.
        part: &'static str,
        /// Bytes that it claims to have.
        len_bytes: u64,
        /// The bound.
        max_bytes: usize,
    },
    /// A part that evidence of this kind does not have.
    #[error("{kind} evidence has no {part}", kind = .kind.word())]
    Unexpected {
        /// The kind.
        kind: Kind,
        /// The part.
        part: &'static str,
    },
    /// Something follows.
    #[error("{0} bytes follow the evidence")]
    Surplus(usize),
}

const REPORT: &str = "report";
const CERTIFICATES: &str = "certificates";
const SERVICE: &str = "service manifest";
const MANIFEST: &str = "manifest";

impl Evidence {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            kind,
            report,
            certificates,
            service,
            manifest,
        } = self;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&kind.number().to_le_bytes());
        for part in [report, certificates, service, manifest] {
            // Every part is bounded far below that.
            let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// Takes bytes apart, which may be anybody's. Neither report nor manifest is looked into.
    ///
    /// # Errors
    /// When they are not exactly what [`Evidence::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let left = bytes.strip_prefix(MAGIC).ok_or(EvidenceError::Foreign)?;
        let mut parts = Parts(left);
        let number = parts.number("kind")?;
        let mut kinds = Kind::ALL.into_iter();
        let kind = kinds
            .find(|kind| kind.number() == number)
            .ok_or(EvidenceError::Kind(number))?;
        let evidence = Self {
            kind,
            report: parts.next(REPORT, REPORT_MAX_BYTES)?,
            certificates: parts.next(CERTIFICATES, CERTIFICATES_MAX_BYTES)?,
            service: parts.next(SERVICE, SERVICE_MAX_BYTES)?,
            manifest: parts.next(MANIFEST, MANIFEST_MAX_BYTES)?,
        };
        if !parts.0.is_empty() {
            return Err(EvidenceError::Surplus(parts.0.len()));
        }
        let unexpected = |part| EvidenceError::Unexpected { kind, part };
        if kind == Kind::Emulated && !evidence.certificates.is_empty() {
            return Err(unexpected(CERTIFICATES));
        }
        if kind != Kind::SnpSvsm && !evidence.service.is_empty() {
            return Err(unexpected(SERVICE));
        }
        Ok(evidence)
    }

    /// What the report has to be over, if it was made for this nonce.
    #[must_use]
    pub fn expected_report_data(&self, nonce: &[u8; NONCE_BYTES]) -> [u8; REPORT_DATA_BYTES] {
        let data = report_data(nonce, &self.manifest);
        match self.kind {
            Kind::Emulated | Kind::Snp => data,
            Kind::SnpSvsm => report_data(&data, &self.service),
        }
    }
}

/// What has not been read yet.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn number(&mut self, part: &'static str) -> Result<u32, EvidenceError> {
        let (number, left) = self.0.split_first_chunk().ok_or(EvidenceError::CutShort(part))?;
        self.0 = left;
        Ok(u32::from_le_bytes(*number))
    }

    fn next(&mut self, part: &'static str, max_bytes: usize) -> Result<Vec<u8>, EvidenceError> {
        let number = self.number(part)?;
        let len_bytes = usize::try_from(number).unwrap_or(usize::MAX);
        if len_bytes > max_bytes {
            return Err(EvidenceError::TooLong {
                part,
                len_bytes: u64::from(number),
                max_bytes,
            });
        }
        let split = self.0.split_at_checked(len_bytes);
        let (bytes, left) = split.ok_or(EvidenceError::CutShort(part))?;
        self.0 = left;
        Ok(bytes.to_vec())
    }
}
