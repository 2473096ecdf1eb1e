//! How old the chip's firmware and microcode may be.
//!
//! Of the four TCBs in a report the host chooses the reported one, as it likes, up to the one that runs; it
//! can fall back to the committed one at any time. So a floor holds for all of them.

use super::chain::Chain;
use super::endorsement;
use super::generation::Generation;
use super::report::Report;
use super::tcb::Tcb;
use crate::check::CheckName::{self, CertificateTcb, CommittedTcb, CurrentTcb, LaunchTcb, ReportedTcb};
use crate::check::Checks;
use crate::policy::SnpPolicy;

/// The TCBs that have floors.
const WITH_FLOOR: [CheckName; 4] = [ReportedTcb, CommittedTcb, CurrentTcb, LaunchTcb];

/// Checks that the certificate is for the TCB that the report says.
pub(crate) fn check_certified_tcb(report: &Report, chain: &Chain, checks: &mut Checks) {
    checks.put(CertificateTcb, is_certified(report, chain));
}

fn is_certified(report: &Report, chain: &Chain) -> Result<String, String> {
    let certified = endorsement::tcb(&chain.leaf, chain.generation)?;
    let reported = reported(report, chain.generation)
        .ok_or("the report's TCB has reserved bytes that are set".to_owned())?;
    match reported == certified {
        true => Ok(certified.to_string()),
        false => Err(format!(
            "the certificate is for {certified}, and the report says {reported}"
        )),
    }
}

/// The TCB that the host lets the chip's key be derived from.
pub(crate) const fn reported(report: &Report, generation: Generation) -> Option<Tcb> {
    Tcb::read(report.layout.reported_tcb, generation)
}

/// The TCB that the host can no longer fall behind.
pub(crate) const fn committed(report: &Report, generation: Generation) -> Option<Tcb> {
    Tcb::read(report.layout.committed_tcb, generation)
}

/// Checks all TCBs of a report against the floor of its generation.
pub(crate) fn check_floors(
    report: &Report,
    generation: Option<Generation>,
    policy: &SnpPolicy,
    checks: &mut Checks,
) {
    let Some(generation) = generation else {
        checks.skip_all(
            &WITH_FLOOR,
            "how a TCB is laid out depends on the generation, which is not known",
        );
        return;
    };
    let layout = &report.layout;
    let tcbs = [
        layout.reported_tcb,
        layout.committed_tcb,
        layout.current_tcb,
        layout.launch_tcb,
    ];
    for (name, bytes) in WITH_FLOOR.into_iter().zip(tcbs) {
        let Some(tcb) = Tcb::read(bytes, generation) else {
            let reason = format!("reserved bytes of a TCB of {generation} are set");
            checks.fail(name, reason);
            continue;
        };
        let Some(floor) = policy.floors.get(&generation) else {
            checks.skip(
                name,
                format!("the policy has no floor for {generation}; it is {tcb}"),
            );
            continue;
        };
        let older = tcb.older_than(&floor.beside(&tcb));
        checks.put(
            name,
            match older.is_empty() {
                true => Ok(tcb.to_string()),
                false => Err(older.join(", ")),
            },
        );
    }
}
