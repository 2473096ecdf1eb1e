//! Chain files: any bytes are checked, and all that is wrong with them is printed; a chain that is accepted
//! can be printed, drawn, and read again.

use hacher_chain_dsl::{MAX_TEXT_BYTES, check_bytes};

/// Checks `bytes` as a chain file.
pub fn chain_file(bytes: &[u8]) {
    let checked = match check_bytes(bytes, "fuzzed.toml") {
        Ok(checked) => checked,
        Err(problems) => {
            assert!(problems.error_count() > 0, "a file is refused for a reason");
            assert!(!problems.render(true).is_empty());
            return;
        }
    };
    let _ = checked.warnings().render(false);
    let chain = checked.chain();
    let (_, _) = (chain.mermaid(), chain.dot());
    let printed = chain.to_toml();
    // What stood in `[defaults]` once is printed for every function.
    if printed.len() <= MAX_TEXT_BYTES {
        let again = check_bytes(printed.as_bytes(), "printed.toml");
        let again = again.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        assert_eq!(again.chain(), chain, "a printed chain is the same chain");
    }
}
