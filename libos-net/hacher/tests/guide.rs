//! The guide is read in two places, in the repository and in the documentation of this crate, where the files
//! that it links to are not.

const GUIDE: &str = include_str!("../../../docs/functions.md");
const CRATE: &str = include_str!("../src/lib.rs");

/// Names and targets of the links that are defined apart, one a line.
fn definitions<'t>(text: &'t str, before: &str) -> Vec<(&'t str, &'t str)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(before));
    lines
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: "))
        .collect()
}

#[test]
fn no_link_of_the_guide_leads_to_a_file_in_the_documentation_of_the_crate() {
    let inline = GUIDE.split("](").skip(1);
    let relative: Vec<&str> = inline
        .filter_map(|link| link.split(')').next())
        .filter(|link| !link.starts_with('#') && !link.contains("://"))
        .collect();
    assert!(
        relative.is_empty(),
        "defined at the end of the page instead: {relative:?}"
    );
    let names = |definitions: Vec<(&'static str, &'static str)>| -> Vec<&str> {
        definitions.into_iter().map(|(name, _)| name).collect()
    };
    let of_the_crate = definitions(CRATE, "/// ");
    assert!(of_the_crate.iter().all(|(_, target)| target.starts_with('#')));
    assert_eq!(names(definitions(GUIDE, "")), names(of_the_crate));
}
