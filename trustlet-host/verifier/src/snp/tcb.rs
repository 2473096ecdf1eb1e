//! Versions of what a chip trusts: its firmware and microcode (AMD 56860, `TCB_VERSION`).

use super::generation::Generation;
use std::fmt;

/// The security versions of the parts of a chip's trusted computing base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcb {
    /// Of the FMC, the first firmware that starts; from Turin on.
    pub fmc: Option<u8>,
    /// Of the boot loader of the secure processor.
    pub boot_loader: u8,
    /// Of the operating system of the secure processor.
    pub tee: u8,
    /// Of the SNP firmware.
    pub snp: u8,
    /// Of the microcode of all cores.
    pub microcode: u8,
}

impl Tcb {
    /// Reads `TCB_VERSION`, whose layout depends on the generation; nothing if a reserved byte is set.
    pub(crate) const fn read(bytes: [u8; 8], generation: Generation) -> Option<Self> {
        match (generation, bytes) {
            (Generation::Milan | Generation::Genoa, [boot_loader, tee, 0, 0, 0, 0, snp, microcode]) => {
                Some(Self {
                    fmc: None,
                    boot_loader,
                    tee,
                    snp,
                    microcode,
                })
            }
            (Generation::Turin, [fmc, boot_loader, tee, snp, 0, 0, 0, microcode]) => Some(Self {
                fmc: Some(fmc),
                boot_loader,
                tee,
                snp,
                microcode,
            }),
            _ => None,
        }
    }

    /// Each part with its name.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, u8)> {
        let fmc = self.fmc.map(|fmc| ("fmc", fmc));
        fmc.into_iter().chain([
            ("boot_loader", self.boot_loader),
            ("tee", self.tee),
            ("snp", self.snp),
            ("microcode", self.microcode),
        ])
    }

    /// The parts that are older than `other` has them.
    pub(crate) fn older_than(&self, other: &Self) -> Vec<String> {
        self.parts()
            .zip(other.parts())
            .filter(|((_, have), (_, want))| have < want)
            .map(|((name, have), (_, want))| format!("{name} is {have}, not {want} or later"))
            .collect()
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self
            .parts()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// The oldest versions that a policy accepts of one generation; 0 accepts any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcbFloor {
    /// Of the FMC; meaningless before Turin.
    pub fmc: u8,
    /// Of the boot loader.
    pub boot_loader: u8,
    /// Of the operating system of the secure processor.
    pub tee: u8,
    /// Of the SNP firmware.
    pub snp: u8,
    /// Of the microcode.
    pub microcode: u8,
}

impl TcbFloor {
    /// The floor as versions of a chip that has the same parts as `tcb`.
    pub(crate) fn beside(&self, tcb: &Tcb) -> Tcb {
        Tcb {
            fmc: tcb.fmc.map(|_| self.fmc),
            boot_loader: self.boot_loader,
            tee: self.tee,
            snp: self.snp,
            microcode: self.microcode,
        }
    }
}
