//! Lists of revoked certificates: what they revoke, and when they are refused themselves.

use super::{assert_fails, assert_passes};
use crate::check::CheckName as N;
use crate::policy::Policy;
use crate::snp::Generation;
use crate::snp::forged::{Forged, Forgery, List, expectations};
use crate::verdict::Verdict;
use crate::verify::verify_report_against;

fn judge(forged: &Forged, lists: &[&[u8]], policy: &Policy) -> Verdict {
    let chain = forged.chain();
    verify_report_against(
        &forged.roots(),
        &forged.report,
        policy,
        &expectations(&chain, lists),
    )
}

fn with(change: impl FnOnce(&mut List)) -> Verdict {
    let forged = Forgery::default().make();
    let mut list = List::of(Generation::Genoa);
    change(&mut list);
    judge(&forged, &[&forged.list(&list)], &Policy::default())
}

#[test]
fn a_fresh_list_without_the_certificates_passes() {
    assert_passes(&with(|_| {}));
    assert_passes(&with(|list| list.revoked.clear()));
}

#[test]
fn a_revoked_certificate_is_refused() {
    assert_fails(
        &with(|list| list.revoked.push(2)),
        &[N::Revocation],
        "has revoked the certificate of SEV-Genoa",
    );
    assert_fails(
        &with(|list| list.revoked.push(1)),
        &[N::Revocation],
        "has revoked the certificate of ARK-Genoa",
    );
}

#[test]
fn a_stale_list_is_refused() {
    assert_fails(
        &with(|list| list.next_update = Some("260531000000Z")),
        &[N::Revocation],
        "is stale",
    );
    // The very second that the next one is due.
    assert_fails(
        &with(|list| list.next_update = Some("260601000000Z")),
        &[N::Revocation],
        "is stale",
    );
    assert_fails(
        &with(|list| list.this_update = "260602000000Z"),
        &[N::Revocation],
        "is of 2026-06-02",
    );
}

#[test]
fn a_list_that_is_never_due_is_refused() {
    assert_fails(
        &with(|list| list.next_update = None),
        &[N::Revocation],
        "does not say when the next one is due",
    );
}

#[test]
fn a_list_has_to_be_of_the_pinned_root() {
    assert_fails(
        &with(|list| list.signed_by_ask = true),
        &[N::Revocation],
        "is not signed by the pinned ARK-Genoa",
    );
    assert_fails(
        &with(|list| list.issuer = "ARK-Turin".to_owned()),
        &[N::Revocation],
        "no list that was given is of ARK-Genoa: ARK-Turin",
    );
    assert_fails(
        &with(|list| list.extensions = vec![List::unknown_extension()]),
        &[N::Revocation],
        "critical extension 1.2.3.4",
    );
}

#[test]
fn a_list_of_another_generation_does_no_harm_beside_the_right_one() {
    let forged = Forgery::default().make();
    let right = forged.list(&List::of(Generation::Genoa));
    let other = forged.list(&List::of(Generation::Turin));
    assert_passes(&judge(&forged, &[&other, &right], &Policy::default()));
    assert_fails(
        &judge(&forged, &[&right, b"nonsense"], &Policy::default()),
        &[N::Revocation],
        "list 2 of 2: it is no revocation list",
    );
}

#[test]
fn a_policy_can_demand_a_list() {
    let forged = Forgery::default().make();
    let mut policy = Policy::default();
    policy.snp.demands_revocation_list = true;
    assert_fails(
        &judge(&forged, &[], &policy),
        &[N::Revocation],
        "the policy demands one",
    );
    assert_passes(&judge(
        &forged,
        &[&forged.list(&List::of(Generation::Genoa))],
        &policy,
    ));
}

#[test]
fn a_flip_of_any_byte_of_a_list_is_refused() {
    let forged = Forgery::default().make();
    let list = forged.list(&List::of(Generation::Genoa));
    for at in 0..list.len() {
        let mut altered = list.clone();
        altered[at] ^= 0x01;
        assert!(
            !judge(&forged, &[&altered], &Policy::default()).passed(),
            "byte {at}"
        );
    }
}
