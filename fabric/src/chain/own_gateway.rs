//! The gateway of a chain's own: where it listens, and what it speaks TLS with.

use super::define::GatewayKind;
use super::file::{ChainFile, ChainFileError};
use crate::tls::source::{self, Source};
use crate::tls::{FileFault, Which};
use hacher_chain_dsl::{Chain, Code, Diagnostic};
use hacher_trustlet_host::calls::tls;
use std::net::SocketAddr;

/// What the gateway of a chain is.
#[must_use]
pub fn kind<'a>(chain: &Chain, role: &'a str, cpu: Option<u32>) -> GatewayKind<'a> {
    let ingress = chain.ingress();
    GatewayKind {
        role,
        own: ingress.listen().is_some(),
        tls: ingress
            .tls()
            .map_or(tls::NONE, |tls| source::mode(tls.client_ca().is_some())),
        cpu,
    }
}

/// In a few words where a chain is served; nothing for one that the shared gateway serves.
#[must_use]
pub fn in_words(chain: &Chain) -> Option<String> {
    let listen = chain.ingress().listen()?;
    let tls = match chain.ingress().tls() {
        None => "plain HTTP",
        Some(tls) if tls.client_ca().is_some() => "TLS, clients need a certificate",
        Some(_) => "TLS",
    };
    Some(format!("a gateway of its own at {listen}, {tls}"))
}

impl ChainFile {
    /// Reads and checks the files of the chain's own TLS; `None` if it has none.
    ///
    /// # Errors
    /// A diagnostic for each that cannot be used.
    pub fn open_tls(&self) -> Result<Option<Source>, Vec<Diagnostic>> {
        let Some(tls) = self.chain().ingress().tls() else {
            return Ok(None);
        };
        let files = [
            (Which::Certificate, Some(tls.cert())),
            (Which::Key, Some(tls.key())),
            (Which::ClientCa, tls.client_ca()),
        ];
        let paths = files
            .into_iter()
            .filter_map(|(which, path)| Some((which, self.folder().join(path?))));
        let refused = |fault: FileFault| {
            let label = "named here, relative to this file";
            self.about_tls(Code::TlsNotUsable, fault.which, fault.to_string(), label)
        };
        match Source::read(paths) {
            Ok(source) => Ok(Some(source)),
            Err(faults) => Err(faults.into_iter().map(refused).collect()),
        }
    }

    /// What clients will not like about the certificates.
    #[must_use]
    pub fn tls_warnings(&self, source: &Source) -> Vec<Diagnostic> {
        let warnings = source.warnings().into_iter();
        warnings
            .map(|(which, text)| {
                let message = format!("`{}`: {text}", source.path(which).display());
                self.about_tls(Code::CertificateDoubtful, which, message, "named here")
            })
            .collect()
    }

    fn about_tls(&self, code: Code, which: Which, message: String, label: &str) -> Diagnostic {
        let spans = self.checked().tls_spans();
        let span = spans.and_then(|spans| match which {
            Which::Certificate => Some(spans.cert),
            Which::Key => Some(spans.key),
            Which::ClientCa => spans.client_ca,
        });
        Diagnostic::new(code, span.unwrap_or_default(), message, label)
    }
}

/// The file among these whose chain wants an address that one before it has, with a diagnostic.
#[must_use]
pub fn address_taken_twice(files: &[&ChainFile]) -> Option<(usize, ChainFileError)> {
    let wanted: Vec<_> = files.iter().map(|file| file.chain().ingress().listen()).collect();
    for (at, address) in wanted.iter().enumerate() {
        let Some(address) = address else { continue };
        let before = wanted.iter().take(at).position(|other| {
            let other = other.as_ref();
            other.is_some_and(|other| is_one_place(*other, *address))
        });
        let (Some(file), Some(first)) = (files.get(at), before.and_then(|before| files.get(before))) else {
            continue;
        };
        let message = format!(
            "chain `{}` wants {address}, and chain `{}` has it",
            file.chain().name(),
            first.chain().name()
        );
        let span = file.checked().listen_span().unwrap_or_default();
        let diagnostic =
            Diagnostic::new(Code::AddressTaken, span, message, "taken already").with_help(format!(
                "choose another port; the other chain is in `{}`",
                first.path().display()
            ));
        let problems = file.checked().with_found([diagnostic]);
        return Some((at, ChainFileError::Problems(Box::new(problems))));
    }
    None
}

/// Whether only one socket can listen on both. Port 0 is a port of its own each time; without a host an
/// address takes the port of every address of its family, and that of IPv6 takes IPv4's too.
fn is_one_place(one: SocketAddr, other: SocketAddr) -> bool {
    let takes_all = |address: &SocketAddr| address.ip().is_unspecified();
    let reaches = |from: &SocketAddr, to: &SocketAddr| takes_all(from) && (from.is_ipv6() || to.is_ipv4());
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || reaches(&one, &other) || reaches(&other, &one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_collide_as_sockets_do() {
        let collide = |one: &str, other: &str| is_one_place(one.parse().unwrap(), other.parse().unwrap());
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::]:1", "[::1]:1", true),
        ] {
            assert_eq!(collide(one, other), expected, "{one} and {other}");
            assert_eq!(collide(other, one), expected, "{other} and {one}");
        }
    }
}
