//! Which chip it is: its certificate, its generation, and whether the policy accepts it.

use super::chain::Chain;
use super::endorsement;
use super::generation::Generation;
use super::report::{Report, SigningKey};
use crate::check::CheckName::{self, CertificateChip, Chip, Processor};
use crate::check::Checks;
use crate::hex::short;
use crate::policy::SnpPolicy;

/// Checks that report and certificate are of one chip, of one generation.
pub(crate) fn check_certified_chip(report: &Report, chain: &Chain, policy: &SnpPolicy, checks: &mut Checks) {
    check_processor(report, chain.generation, checks);
    if report.signing_key() == SigningKey::Vlek {
        checks.skip(CertificateChip, "a VLEK is of a provider, not of a chip");
        return;
    }
    let chip = report.chip();
    if chip.is_masked() {
        match policy.allows_masked_chip {
            true => checks.skip(
                CertificateChip,
                "the host hides its chip, which the policy allows",
            ),
            false => checks.fail(
                CertificateChip,
                "the host hides its chip, so nothing but the signature ties the certificate to it",
            ),
        }
        return;
    }
    let certified = endorsement::hardware_id(&chain.leaf, chain.generation);
    checks.put(
        CertificateChip,
        match certified {
            None => Err("the certificate does not name a chip".to_owned()),
            Some(id) if chip.0.starts_with(id) && chip.0.iter().skip(id.len()).all(|byte| *byte == 0) => {
                Ok(format!("it is for chip {}", short(id)))
            }
            Some(id) => Err(format!(
                "the certificate is for chip {}, and the report is of chip {}",
                short(id),
                short(&chip.0)
            )),
        },
    );
}

fn check_processor(report: &Report, certified: Generation, checks: &mut Checks) {
    let Some([family, model, stepping]) = report.cpu() else {
        let reason = format!(
            "reports of version {} do not name the processor",
            report.version()
        );
        checks.skip(Processor, reason);
        return;
    };
    let what = format!("family {family:x}h, model {model:x}h, stepping {stepping}");
    checks.put(
        Processor,
        match Generation::of_cpu(family, model) {
            Some(generation) if generation == certified => Ok(format!("{what}: {generation}")),
            Some(generation) => Err(format!(
                "{what} is {generation}, and the certificates are for {certified}"
            )),
            None => Err(format!(
                "{what} is no known processor, and the certificates are for {certified}"
            )),
        },
    );
}

/// The generation of the certificates, or else the one that the report's processor has.
pub(crate) fn generation(report: &Report, chain: Option<&Chain>) -> Option<Generation> {
    let of_cpu = || {
        let [family, model, _] = report.cpu()?;
        Generation::of_cpu(family, model)
    };
    chain.map(|chain| chain.generation).or_else(of_cpu)
}

/// Checks that the policy accepts the generation and the chip.
pub(crate) fn check_accepted_chip(
    report: &Report,
    generation: Option<Generation>,
    policy: &SnpPolicy,
    checks: &mut Checks,
) {
    let chip = report.chip();
    let is_named = policy.chips.contains(&chip) && !chip.is_masked();
    match generation {
        None => checks.fail(CheckName::Generation, "nothing says which generation it is"),
        Some(generation) => checks.put(CheckName::Generation, is_accepted(generation, is_named, policy)),
    }
    if policy.chips.is_empty() {
        checks.skip(
            Chip,
            format!("the policy names no chips; this is {}", short(&chip.0)),
        );
        return;
    }
    checks.put(
        Chip,
        match is_named {
            true => Ok(format!("the policy names {}", short(&chip.0))),
            false => Err(format!(
                "{} is not among the {} chips that the policy names",
                short(&chip.0),
                policy.chips.len()
            )),
        },
    );
}

fn is_accepted(generation: Generation, is_named: bool, policy: &SnpPolicy) -> Result<String, String> {
    if policy.generations.contains(&generation) {
        return Ok(format!("the policy accepts {generation}"));
    }
    if generation == Generation::Milan {
        return match is_named {
            true => Ok("the policy names this very chip".to_owned()),
            false => Err(
                "milan proves little: the root seed of its keys was extracted by software (arXiv 2605.12990), so \
                 reports of any firmware can be forged; a policy has to name the generation, or the chip"
                    .to_owned(),
            ),
        };
    }
    let accepted: Vec<&str> = policy.generations.iter().map(|one| one.as_str()).collect();
    Err(format!(
        "{generation} is not accepted; the policy accepts {}",
        accepted.join(", ")
    ))
}
