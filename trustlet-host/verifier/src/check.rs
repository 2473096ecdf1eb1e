//! Checks, each with its outcome and the reason, and the verdict that they make together.

use std::fmt;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What the check demands holds.
    Passed,
    /// It does not hold, or cannot be shown to.
    Failed,
    /// Nobody demands anything of it, or another check that failed leaves nothing to look at.
    Skipped,
}

impl Outcome {
    /// The outcome in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What; stable, for programs.
    pub name: CheckName,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in one line: what was found and what is demanded.
    pub reason: String,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// What is checked. The order is that of a verdict.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum CheckName {
            $($(#[$doc])* $name,)*
        }

        impl CheckName {
            /// All checks, in the order of a verdict.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

names! {
    /// The evidence has the form of evidence.
    EvidenceForm => "evidence-form",
    /// The platform that vouches is one that is accepted.
    Platform => "platform",
    /// The report is a report of versions 2 to 5.
    ReportForm => "report-form",
    /// The report was signed with a kind of key that is accepted.
    SigningKey => "signing-key",
    /// What was given as certificates is certificates.
    Certificates => "certificates",
    /// There is a certificate for the key that signed the report, and AMD's intermediate key has signed it.
    CertificateIssuer => "certificate-issuer",
    /// AMD's pinned root key has signed the certificate of the intermediate key.
    CertificateRoot => "certificate-root",
    /// All certificates are valid at the given time.
    CertificateDates => "certificate-dates",
    /// The certificate is for a product of the generation that its chain is for.
    CertificateProduct => "certificate-product",
    /// The certificate is for the TCB that the report says.
    CertificateTcb => "certificate-tcb",
    /// The certificate is for the chip that the report says.
    CertificateChip => "certificate-chip",
    /// AMD has revoked none of the certificates.
    Revocation => "revocation",
    /// The certified key has signed the report.
    ReportSignature => "report-signature",
    /// The processor that the report names is of the generation of the certificates.
    Processor => "processor",
    /// The generation is accepted.
    Generation => "generation",
    /// The chip is accepted.
    Chip => "chip",
    /// The TCB that the host reports is recent enough.
    ReportedTcb => "reported-tcb",
    /// The TCB that the host can no longer fall behind is recent enough.
    CommittedTcb => "committed-tcb",
    /// The TCB that runs is recent enough.
    CurrentTcb => "current-tcb",
    /// The TCB that the guest was launched on was recent enough.
    LaunchTcb => "launch-tcb",
    /// The report was asked for by a guest, at a privilege level that is accepted.
    Vmpl => "vmpl",
    /// Nobody can debug the guest.
    DebugPolicy => "debug-policy",
    /// Nobody can move the guest.
    MigrationPolicy => "migration-policy",
    /// The author's key is accepted.
    AuthorKey => "author-key",
    /// What the guest was launched with is accepted.
    LaunchMeasurement => "launch-measurement",
    /// The emulated root has signed the report, which proves nothing about hardware.
    EmulatedSignature => "emulated-signature",
    /// The report was made for this nonce and this manifest.
    ReportData => "report-data",
    /// The manifest has the form of a manifest.
    ManifestForm => "manifest-form",
    /// The nonce comes from whom the caller expects: from itself, or from a connection.
    Purpose => "purpose",
    /// The manifest names the platform that the evidence comes from.
    ManifestPlatform => "manifest-platform",
    /// The monitor is accepted.
    Monitor => "monitor",
    /// The isolation layers that are demanded are in force.
    Layers => "layers",
    /// The manifest is about the chain that is meant, and no other.
    Chain => "chain",
    /// The chains are accepted.
    ChainDigest => "chain-digest",
    /// The functions are accepted.
    Functions => "functions",
    /// The gateways are accepted.
    Gateway => "gateway",
    /// The gateway's key is the one of the certificate that was met.
    TlsKey => "tls-key",
    /// What functions log goes where it may.
    Logs => "logs",
    /// Edges are protected as demanded.
    Protections => "protections",
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where the modules put what they have checked.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Check>);

impl Checks {
    fn push(&mut self, name: CheckName, outcome: Outcome, reason: impl Into<String>) {
        let reason = reason.into();
        self.0.push(Check {
            name,
            outcome,
            reason,
        });
    }

    pub(crate) fn pass(&mut self, name: CheckName, reason: impl Into<String>) {
        self.push(name, Outcome::Passed, reason);
    }

    pub(crate) fn fail(&mut self, name: CheckName, reason: impl Into<String>) {
        self.push(name, Outcome::Failed, reason);
    }

    pub(crate) fn skip(&mut self, name: CheckName, reason: impl Into<String>) {
        self.push(name, Outcome::Skipped, reason);
    }

    /// Passed for the one reason, or failed for the other.
    pub(crate) fn put(&mut self, name: CheckName, result: Result<String, String>) {
        match result {
            Ok(reason) => self.pass(name, reason),
            Err(reason) => self.fail(name, reason),
        }
    }

    /// Notes that these could not be looked at.
    pub(crate) fn skip_all(&mut self, names: &[CheckName], reason: &str) {
        for name in names {
            self.skip(*name, reason);
        }
    }

    /// The checks in the order of their names, and whether none has failed.
    pub(crate) fn finish(mut self) -> (Vec<Check>, bool) {
        self.0.sort_by_key(|check| check.name);
        let passed = self.0.iter().all(|check| check.outcome != Outcome::Failed);
        (self.0, passed)
    }
}
