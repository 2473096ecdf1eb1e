//! The level of a line that a process prints, as far as the line says one.

use hacher_trustlet_host::lines::Level;

/// The level of what a gateway prints, and the rest.
pub(super) fn level_of(text: &str) -> (Level, &str) {
    let levels = [(Level::Error, "error: "), (Level::Warning, "warning: ")];
    let found = levels
        .into_iter()
        .find_map(|(level, word)| Some((level, text.strip_prefix(word)?)));
    found.unwrap_or((Level::Info, text))
}

/// The level of what a function prints, if it is an event of `tracing`, which begins with one. It stays in
/// the text, as the service has no word for all of them.
pub(super) fn level_of_event(text: &str) -> Level {
    // As `tracing-subscriber` aligns them.
    let levels = [(Level::Error, "ERROR "), (Level::Warning, " WARN ")];
    let mut found = levels.into_iter().filter(|(_, word)| text.starts_with(word));
    found.next().map_or(Level::Info, |(level, _)| level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gateway_prints_has_the_level_that_it_says() {
        assert_eq!(level_of("error: x"), (Level::Error, "x"));
        assert_eq!(level_of("warning: error: x"), (Level::Warning, "error: x"));
        assert_eq!(level_of("x error: "), (Level::Info, "x error: "));
    }

    #[test]
    fn an_event_of_a_function_has_the_level_that_it_begins_with() {
        assert_eq!(level_of_event("ERROR run{}: x"), Level::Error);
        assert_eq!(level_of_event(" WARN run{}: x"), Level::Warning);
        for other in [
            " INFO run{}: x",
            "DEBUG x",
            "TRACE x",
            "ERRORS",
            "error: x",
            "an ERROR x",
        ] {
            assert_eq!(level_of_event(other), Level::Info, "{other}");
        }
    }
}
