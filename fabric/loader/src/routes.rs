//! The routes of chains that one gateway serves: which of them are the same, and which take paths of each
//! other.

use super::file::{ChainFile, ChainFileError};
use hacher_chain_dsl::{Code, Diagnostic, Route};

/// The route of a chain that shares its gateway. A gateway of a chain's own serves no other.
fn shared_route(file: &ChainFile) -> Option<&Route> {
    let ingress = file.chain().ingress();
    ingress.route().filter(|_| ingress.listen().is_none())
}

/// The first of these files whose chain wants the very route of one before it.
pub(super) fn taken_twice(files: &[&ChainFile]) -> Option<(usize, ChainFileError)> {
    files.iter().enumerate().find_map(|(at, file)| {
        let wanted = shared_route(file)?;
        let mut before = files.iter().take(at);
        let first = before.find(|other| shared_route(other).is_some_and(|taken| taken.conflicts_with(wanted)))?;
        let span = file.checked().route_span().unwrap_or_default();
        let message = format!(
            "chain `{}` wants the route {}, and chain `{}` has it",
            file.chain().name(),
            wanted.as_str(),
            first.chain().name()
        );
        let help = format!(
            "choose another route, or give one of the chains a gateway of its own (`listen`); the other chain is in `{}`",
            first.path().display()
        );
        let problem = Diagnostic::new(Code::RouteTaken, span, message, "taken already").with_help(help);
        let problems = file.checked().with_found([problem]);
        Some((at, ChainFileError::Problems(Box::new(problems))))
    })
}

/// Warnings of routes that take paths of a route before them, and the places of their chains.
#[must_use]
pub fn overlaps(files: &[&ChainFile]) -> Vec<(usize, Diagnostic)> {
    let found = files.iter().enumerate().filter_map(|(at, file)| {
        let route = shared_route(file)?;
        let mut before = files.iter().take(at);
        let (first, other) = before.find_map(|other| {
            let overlapping = shared_route(other).filter(|taken| taken.overlaps(route))?;
            Some((other, overlapping))
        })?;
        let span = file.checked().route_span().unwrap_or_default();
        let message = format!(
            "the route {} of chain `{}` and the route {} of chain `{}` take the same paths",
            route.as_str(),
            file.chain().name(),
            other.as_str(),
            first.chain().name()
        );
        let help = format!(
            "a path of both goes to the route that is literal where the other captures, and to `{{x}}` before `{{*rest}}`; \
             the other chain is in `{}`",
            first.path().display()
        );
        let warning = Diagnostic::new(Code::RouteOverlap, span, message, "takes paths of another route");
        Some((at, warning.with_help(help)))
    });
    found.collect()
}
