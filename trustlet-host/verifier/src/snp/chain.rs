//! The chain of certificates: a pinned ARK, an ASK or ASVK that it has certified, and the key that signs
//! reports.

use super::certificate::{Certificate, MAX_CERTIFICATES};
use super::endorsement;
use super::generation::Generation;
use super::report::{Report, SigningKey};
use super::revocation::is_not_revoked;
use super::root::{Root, Roots};
use super::signature::is_of_report;
use crate::check::CheckName::{
    CertificateChip, CertificateDates, CertificateIssuer, CertificateProduct, CertificateRoot,
    CertificateTcb, Certificates, ReportSignature, Revocation,
};
use crate::check::{CheckName, Checks};
use crate::expectations::Expectations;
use crate::policy::SnpPolicy;
use crate::time::UnixTime;

/// The certificates for one report. Whether they fit together is in the checks.
pub(crate) struct Chain {
    pub(crate) generation: Generation,
    /// The certificate of the key that signed the report.
    pub(crate) leaf: Certificate,
}

/// What nobody can look at without a chain.
const OF_CHAIN: [CheckName; 6] = [
    CertificateRoot,
    CertificateDates,
    CertificateProduct,
    CertificateTcb,
    CertificateChip,
    Revocation,
];

/// Reads what was given as certificates.
pub(crate) fn read_certificates(given: &[&[u8]], checks: &mut Checks) -> Vec<Certificate> {
    if given.len() > MAX_CERTIFICATES {
        let reason = format!(
            "{} certificates are given, and at most {MAX_CERTIFICATES} are read",
            given.len()
        );
        checks.fail(Certificates, reason);
        return Vec::new();
    }
    let mut certificates = Vec::new();
    for (at, bytes) in given.iter().enumerate() {
        match Certificate::read(bytes) {
            Ok(certificate) => certificates.push(certificate),
            Err(error) => {
                let reason = format!("certificate {} of {}: {error}", at + 1, given.len());
                checks.fail(Certificates, reason);
            }
        }
    }
    if certificates.len() == given.len() {
        checks.pass(
            Certificates,
            format!("{} given, all of them readable", given.len()),
        );
    }
    certificates
}

/// The common name of the certificates of a kind of key.
const fn subject_of(key: SigningKey) -> &'static str {
    match key {
        SigningKey::Vlek => "SEV-VLEK",
        SigningKey::Vcek | SigningKey::None => "SEV-VCEK",
    }
}

/// The generation whose intermediate key for this kind of key has this common name.
fn generation_of_issuer(name: &str, key: SigningKey) -> Option<Generation> {
    let generation = match key {
        SigningKey::Vlek => name.strip_prefix("SEV-VLEK-"),
        SigningKey::Vcek | SigningKey::None => name.strip_prefix("SEV-"),
    };
    Generation::ALL
        .into_iter()
        .find(|known| generation == Some(known.in_certificates()))
}

impl Chain {
    /// Finds the certificates for a report, and checks them and the report's signature.
    pub(crate) fn find(
        report: &Report,
        certificates: &[Certificate],
        roots: &Roots,
        policy: &SnpPolicy,
        expectations: &Expectations<'_>,
        checks: &mut Checks,
    ) -> Option<Self> {
        let Some(leaf) = leaf_for(report, certificates, checks) else {
            checks.skip_all(
                &OF_CHAIN,
                "there is no certificate of the key that signed the report",
            );
            return None;
        };
        let (key, issuer_name) = (report.signing_key(), leaf.issuer_name());
        let root = generation_of_issuer(&issuer_name, key).and_then(|generation| roots.of(generation));
        let Some(root) = root else {
            let reason = format!(
                "the certificate of the {key} is issued by `{issuer_name}`, which is no key of AMD's for that"
            );
            checks.fail(CertificateIssuer, reason);
            checks.skip_all(&OF_CHAIN, "the certificate is of no known generation");
            return None;
        };
        let pinned = root.intermediate(key);
        let mut candidates = certificates.iter().chain([pinned]);
        let issuer = candidates.find(|candidate| leaf.is_signed_by(candidate));
        checks.put(
            CertificateIssuer,
            match issuer {
                Some(_) => Ok(format!("{issuer_name} has signed that of the {key}")),
                None => Err(format!(
                    "no known key of {issuer_name} has signed the certificate of the {key}: it is forged, or altered"
                )),
            },
        );
        let issuer = issuer.unwrap_or(pinned);
        checks.put(CertificateRoot, is_rooted(issuer, root, certificates));
        checks.put(
            CertificateDates,
            are_in_date([leaf, issuer, &root.ark], expectations.time),
        );
        checks.put(CertificateProduct, has_product_of(leaf, root.generation));
        check_revocation(issuer, root, policy, expectations, checks);
        Some(Self {
            generation: root.generation,
            leaf: leaf.clone(),
        })
    }
}

/// The certificate of the key that signed the report: of several, the one whose key has.
fn leaf_for<'c>(
    report: &Report,
    certificates: &'c [Certificate],
    checks: &mut Checks,
) -> Option<&'c Certificate> {
    let key = report.signing_key();
    if key == SigningKey::None {
        checks.fail(ReportSignature, "the report says itself that it is not signed");
        checks.skip(CertificateIssuer, "the report is not signed");
        return None;
    }
    let mut leaves = certificates
        .iter()
        .filter(|certificate| certificate.subject_name() == subject_of(key));
    let first = leaves.clone().next();
    let signs = |leaf: &&Certificate| leaf.p384_point().is_some_and(|point| is_of_report(point, report));
    if let Some(leaf) = leaves.find(signs) {
        checks.pass(
            ReportSignature,
            format!("the certified {key} has signed the report"),
        );
        return Some(leaf);
    }
    match first {
        Some(_) => checks.fail(
            ReportSignature,
            format!(
                "the certified {key} has not signed this report: it was altered, or the certificate is of another key"
            ),
        ),
        None => {
            let given = certificates.len();
            checks.fail(
                CertificateIssuer,
                format!("no certificate of a {key} is among the {given} given"),
            );
            checks.skip(ReportSignature, "there is no certified key to verify it with");
        }
    }
    first
}

fn is_rooted(issuer: &Certificate, root: &Root, given: &[Certificate]) -> Result<String, String> {
    let (ark, issuer_name) = (root.ark.subject_name(), issuer.subject_name());
    let mut of_its_name = given
        .iter()
        .filter(|certificate| certificate.subject_name() == ark);
    if of_its_name.any(|certificate| !certificate.has_key_of(&root.ark)) {
        return Err(format!(
            "the {ark} that was given has another key than the pinned one: the chain is forged"
        ));
    }
    if !issuer.is_signed_by(&root.ark) {
        return Err(format!(
            "the pinned {ark} has not signed the certificate of {issuer_name}: the chain is forged"
        ));
    }
    if !issuer.is_authority() {
        return Err(format!("{issuer_name} may not sign certificates"));
    }
    Ok(format!("the pinned {ark} has signed that of {issuer_name}"))
}

fn are_in_date(certificates: [&Certificate; 3], time: UnixTime) -> Result<String, String> {
    let faults: Vec<String> = certificates
        .iter()
        .filter_map(|certificate| certificate.out_of_date(time))
        .collect();
    match faults.is_empty() {
        true => Ok(format!("all are valid at {time}")),
        false => Err(faults.join("; ")),
    }
}

fn has_product_of(leaf: &Certificate, generation: Generation) -> Result<String, String> {
    match endorsement::product(leaf) {
        None => Err("the certificate does not name a product".to_owned()),
        Some(product) if Generation::of_product(&product) == Some(generation) => {
            Ok(format!("it is for `{product}`"))
        }
        Some(product) => Err(format!(
            "the certificate is for `{product}`, and {} certifies no such product",
            leaf.issuer_name()
        )),
    }
}

fn check_revocation(
    issuer: &Certificate,
    root: &Root,
    policy: &SnpPolicy,
    expectations: &Expectations<'_>,
    checks: &mut Checks,
) {
    let given = expectations.revocation_lists;
    match (given.is_empty(), policy.demands_revocation_list) {
        (true, true) => checks.fail(
            Revocation,
            "no revocation list is given, and the policy demands one",
        ),
        (true, false) => checks.skip(
            Revocation,
            "no revocation list is given, and the policy demands none",
        ),
        (false, _) => checks.put(Revocation, is_not_revoked(issuer, root, given, expectations.time)),
    }
}
