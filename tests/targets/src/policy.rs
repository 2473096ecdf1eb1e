//! Policy files: any bytes are checked, and all that is wrong with them is printed.

use hacher_chain_dsl::check_policy_bytes;

/// Checks `bytes` as a policy file.
pub fn policy(bytes: &[u8]) {
    if let Err(problems) = check_policy_bytes(bytes, "fuzzed.toml") {
        assert!(problems.error_count() > 0, "a file is refused for a reason");
        assert!(!problems.render(true).is_empty());
    }
}
