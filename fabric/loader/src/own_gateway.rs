//! The gateway of a chain's own: where it listens, and what it speaks TLS with.

use super::define::GatewayKind;
use super::file::{ChainFile, ChainFileError};
use super::tls_source::{self, FileFault, Source};
use hacher_chain_dsl::{Chain, Code, Diagnostic};
use hacher_gateway::tls::material::Which;
use hacher_http::admin_address::AdminAddress;
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
            .map_or(tls::NONE, |tls| tls_source::mode(tls.client_ca().is_some())),
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

/// Where a service listens besides what chain files say.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// For all chains without `listen` of their own, if there is one.
    pub shared: SocketAddr,
    /// For operators.
    pub admin: Vec<AdminAddress>,
}

/// The file among these whose chain wants an address that one before it has, or the service itself, with a
/// diagnostic.
#[must_use]
pub fn address_taken_twice(files: &[&ChainFile], elsewhere: &Elsewhere) -> Option<(usize, ChainFileError)> {
    let listen = |file: &&ChainFile| file.chain().ingress().listen();
    let mut others = Vec::new();
    if files.iter().any(|file| listen(file).is_none()) {
        let whose = "the gateway that chains without `listen` share";
        let help = "choose another port, or give `serve` another --listen";
        others.push((
            elsewhere.shared,
            format!("{whose} has it (--listen)"),
            help.to_owned(),
        ));
    }
    let ports = elsewhere.admin.iter().filter_map(|address| match address {
        AdminAddress::Port(port) => Some(*port),
        AdminAddress::Path(_) => None,
    });
    others.extend(ports.map(|port| {
        let help = "choose another port, or give `serve` another --admin";
        (
            port,
            "operators are answered there (--admin)".to_owned(),
            help.to_owned(),
        )
    }));
    for (at, file) in files.iter().enumerate() {
        let Some(wanted) = listen(file) else { continue };
        let name = file.chain().name();
        if let Some((_, has_it, help)) = others.iter().find(|(other, ..)| is_one_place(*other, wanted)) {
            let span = file.checked().listen_span().unwrap_or_default();
            let message = format!("chain `{name}` wants {wanted}, and {has_it}");
            let diagnostic =
                Diagnostic::new(Code::AddressTaken, span, message, "taken already").with_help(help.clone());
            let problems = file.checked().with_found([diagnostic]);
            return Some((at, ChainFileError::Problems(Box::new(problems))));
        }
        others.push((
            wanted,
            format!("chain `{name}` has it"),
            format!(
                "choose another port; the other chain is in `{}`",
                file.path().display()
            ),
        ));
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
