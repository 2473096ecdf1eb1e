//! TLS for connections: what new handshakes use, from files that the monitor passed on, and may pass on again
//! while connections are open. Those keep what they began with.
//!
//! ```text
//! material   the contents of the files, and what is wrong with them, in words
//! dates      what clients will not like about a certificate, although it can be served
//! ```
//!
//! The loader asks these two before a service is ready, so what it has checked is what the gateway takes.

pub mod dates;
pub mod material;

use hacher_libos_net::attach::TlsFiles;
use hacher_trustlet_host::evidence::session::{ChannelBinding, EXPORTER_BYTES, EXPORTER_LABEL};
use material::{Fault, Material, Which};
use rustls::pki_types::UnixTime;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("the files of TLS cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Material(#[from] Fault),
}

/// What new handshakes use.
pub(super) struct Tls(RefCell<Files>);

/// What one handshake uses, whatever is renewed meanwhile.
pub(super) struct Handshake {
    /// Shakes hands.
    pub(super) acceptor: TlsAcceptor,
    /// SHA-256 of the certificate that it presents.
    leaf: [u8; 32],
}

impl Handshake {
    /// What tells the connection that came of it from all others; nothing before TLS 1.3, whose exporter is
    /// unique by itself (RFC 9266, section 4.2).
    pub(super) fn binding(&self, connection: &ServerConnection) -> Option<ChannelBinding> {
        if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        let exported = connection.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, Some(&[]));
        Some(ChannelBinding {
            exporter: exported.ok()?,
            leaf: self.leaf,
        })
    }
}

/// What was made of files.
struct Files {
    configuration: Arc<ServerConfig>,
    /// SHA-256 of the gateway's own certificate, in DER.
    leaf: [u8; 32],
    /// SHA-256 of the SubjectPublicKeyInfo of the gateway's own certificate.
    key_hash: [u8; 32],
    /// What clients will not like about them.
    warnings: Vec<String>,
    /// When the first certificate expires, and the first authority for those of clients, in seconds since
    /// 1970; 0 for none.
    expiries: [u64; 2],
}

impl Tls {
    /// Uses these files.
    pub(super) fn new(files: TlsFiles) -> Result<Self, TlsError> {
        Ok(Self(RefCell::new(read(files)?)))
    }

    /// For the next handshake.
    pub(super) fn acceptor(&self) -> Handshake {
        let files = self.0.borrow();
        Handshake {
            acceptor: TlsAcceptor::from(Arc::clone(&files.configuration)),
            leaf: files.leaf,
        }
    }

    /// When the first certificate expires, and the first authority for those of clients, in seconds since
    /// 1970; 0 for none.
    pub(super) fn expiries(&self) -> [u64; 2] {
        self.0.borrow().expiries
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the gateway's own certificate: what evidence names.
    pub(super) fn key_hash(&self) -> [u8; 32] {
        self.0.borrow().key_hash
    }

    /// Uses these files from the next handshake on, if they can be used; what clients will not like about
    /// them. Sessions that began with others cannot be resumed, so what a changed authority would refuse
    /// does not come in that way.
    pub(super) fn renew(&self, files: TlsFiles) -> Result<Vec<String>, TlsError> {
        let files = read(files)?;
        let warnings = files.warnings.clone();
        *self.0.borrow_mut() = files;
        Ok(warnings)
    }
}

fn read(files: TlsFiles) -> Result<Files, TlsError> {
    let certificates = whole(files.certificates)?;
    let key = whole(files.key)?;
    let client_ca = files.client_ca.map(whole).transpose()?;
    let material = Material {
        certificates: &certificates,
        key: &key,
        client_ca: client_ca.as_ref().map(|bytes| bytes.as_slice()),
    };
    let configuration = material.configuration()?;
    let [key_hash, leaf] = material.hashes()?;
    let warnings = dates::warnings(&material, UnixTime::now()).into_iter();
    let warnings = warnings.map(|(which, text)| format!("{} file: {text}", which.noun()));
    Ok(Files {
        configuration,
        leaf,
        key_hash,
        warnings: warnings.collect(),
        expiries: [Which::Certificate, Which::ClientCa]
            .map(|which| dates::expiry(&material, which).map_or(0, |at| at.as_secs())),
    })
}

/// All bytes of a file, whatever its offset, which a gateway that is replaced shares with its predecessor.
fn whole(file: OwnedFd) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::from(file);
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    // The monitor's copies are sealed and have at most a MiB.
    let mut bytes = Zeroizing::new(vec![
        0;
        len.min(
            hacher_trustlet_host::core::limits::TLS_FILE_MAX_BYTES
        )
    ]);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
