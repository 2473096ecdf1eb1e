//! What distributions ship in the place of this project's trusted base: figures that
//! `benches/trusted-base/stock` prints. Packages do not change once they are published, so they were counted
//! once.

use crate::linked::Lines;

/// Packages of which distribution, counted when and by what.
pub const COUNTED_WITH: &str = "packages of Debian 12, by benches/trusted-base/stock";

/// What a stock component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The guest's kernel.
    Kernel,
    /// What starts containers.
    ContainerRuntime,
    /// What ends TLS.
    TlsProxy,
}

impl Kind {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Kernel => "kernel, without modules",
            Self::ContainerRuntime => "container runtime",
            Self::TlsProxy => "TLS proxy",
        }
    }
}

/// A program of a distribution.
#[derive(Debug, Clone, Copy)]
pub struct Stock {
    /// Its name.
    pub name: &'static str,
    /// The package and its version.
    pub package: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its source lines that have code.
    pub lines: Lines,
    /// Bytes of it that are loaded.
    pub loaded_bytes: u64,
}

/// A guest that serves containers over HTTPS with what Debian has.
pub const STOCK: [Stock; 5] = [
    Stock {
        name: "vmlinux",
        package: "linux-image-6.1.0-53-cloud-amd64-dbg 6.1.187-1",
        kind: Kind::Kernel,
        lines: KERNEL,
        loaded_bytes: 36_281_554,
    },
    Stock {
        name: "containerd",
        package: "containerd 1.6.20~ds1-1+deb12u3",
        kind: Kind::ContainerRuntime,
        lines: lines(416_299, 13_565),
        loaded_bytes: 48_156_575,
    },
    Stock {
        name: "containerd-shim-runc-v2",
        package: "containerd 1.6.20~ds1-1+deb12u3",
        kind: Kind::ContainerRuntime,
        lines: lines(107_049, 3_683),
        loaded_bytes: 11_606_213,
    },
    Stock {
        name: "runc",
        package: "runc 1.1.5+ds1-1+deb12u1",
        kind: Kind::ContainerRuntime,
        lines: lines(93_156, 5_497),
        loaded_bytes: 8_742_439,
    },
    Stock {
        name: "caddy",
        package: "caddy 2.6.2-5",
        kind: Kind::TlsProxy,
        lines: lines(298_204, 15_278),
        loaded_bytes: 36_744_626,
    },
];

/// All of it: what two programs in Go have counts once.
pub const TOGETHER: Lines = lines(1_109_396, 19_814);

/// The kernel of it.
pub const KERNEL: Lines = lines(520_590, 2_288);

const fn lines(all: u64, assembly: u64) -> Lines {
    Lines { all, assembly }
}
