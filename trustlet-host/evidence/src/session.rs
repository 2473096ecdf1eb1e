//! The nonce of a session: evidence for it was asked for over this very connection of TLS, by this client,
//! and from whoever presented this very certificate.
//!
//! Both ends compute it, each from its own end of the connection: whoever stands in between has two
//! connections, and so two exporters (RFC 9266).

use crate::NONCE_BYTES;
use crate::cryptography::Sha512;

/// Bytes that the client chooses at random, for one session.
pub const RANDOM_BYTES: usize = 32;
/// The label of the exporter (RFC 9266, section 2); its context has no bytes.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
/// Bytes that are exported.
pub const EXPORTER_BYTES: usize = 32;
/// What is hashed first, so that a nonce of a session is none of anything else.
pub const LABEL: &[u8] = b"hacher-session-1";

/// What tells one connection of TLS 1.3 from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelBinding {
    /// What the exporter gives.
    pub exporter: [u8; EXPORTER_BYTES],
    /// SHA-256 of the certificate, in DER, that the server presented on this connection.
    pub leaf: [u8; 32],
}

impl ChannelBinding {
    /// SHA-512 over label, the client's random bytes, exporter, and hash of the certificate.
    #[must_use]
    pub fn nonce(&self, random: &[u8; RANDOM_BYTES]) -> [u8; NONCE_BYTES] {
        let mut hash = Sha512::new();
        for part in [LABEL, random, &self.exporter, &self.leaf] {
            hash.update(part);
        }
        hash.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation_holds_and_each_part_counts() {
        let binding = ChannelBinding {
            exporter: [0xe1; EXPORTER_BYTES],
            leaf: [0x1f; 32],
        };
        let random = [0x0c; RANDOM_BYTES];
        let nonce = binding.nonce(&random);
        let digits: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let page = include_str!("../../../docs/evidence.md").replace('\n', "");
        assert!(page.contains(&digits), "{digits}");
        let others = [
            binding.nonce(&[0x0d; RANDOM_BYTES]),
            ChannelBinding {
                exporter: [0xe2; 32],
                ..binding
            }
            .nonce(&random),
            ChannelBinding {
                leaf: [0x1e; 32],
                ..binding
            }
            .nonce(&random),
        ];
        assert!(others.iter().all(|other| *other != nonce));
    }
}
