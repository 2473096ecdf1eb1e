//! Property: a printed chain checks to itself. The chains are made at random, with fan-out, joins,
//! alternatives, ports and every key.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hacher_chain_dsl::{Code, PortId, Source, Target, check};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

/// What a random function is made of; names are given by its place.
#[derive(Debug, Clone)]
struct RandomFunction {
    extra_ports: Vec<&'static str>,
    /// The ways in: each some of the ports before it.
    groups: Vec<Vec<Index>>,
    error_to_egress: bool,
    settings: Vec<String>,
    env: Vec<(String, String)>,
    args: Vec<String>,
    files: Vec<(String, String)>,
}

fn settings() -> impl Strategy<Value = Vec<String>> {
    let size =
        (4u64..5000, select(vec!["MiB", "GiB"])).prop_map(|(n, unit)| format!("{}{unit}", n.min(1000)));
    let duration = (1u64..3600, select(vec!["ms", "s"])).prop_map(|(n, unit)| format!("{n}{unit}"));
    (
        proptest::option::of(size.prop_map(|size| format!("memory = \"{size}\""))),
        proptest::option::of(duration.prop_map(|duration| format!("timeout = \"{duration}\""))),
        proptest::option::of((1u32..=64).prop_map(|n| format!("instances = {n}"))),
        proptest::option::of((2u32..=256).prop_map(|n| format!("threads = {n}"))),
        proptest::option::of((1u64..16384).prop_map(|n| format!("outbox = \"{n}MiB\""))),
        proptest::option::of((any::<bool>(), any::<bool>()).prop_map(|(huge, early)| format!("huge_pages = {huge}\nprefault = {early}"))),
        proptest::option::of((0u64..1_000_000).prop_map(|n| format!("scratch = \"{n}B\""))),
        proptest::option::of(select(vec!["drop", "forward"]).prop_map(|word| format!("logs = \"{word}\""))),
        proptest::option::of(
            (1u32..=100, 0u64..500, 1.0f64..=100.0, any::<bool>()).prop_map(|(attempts, backoff, factor, jitter)| {
                format!("retry = {{ attempts = {attempts}, backoff = \"{backoff}ms\", factor = {factor:?}, jitter = {jitter} }}")
            }),
        ),
        proptest::option::of(
            select(vec!["\"native\"", "\"program\"", "\"program\"\njit = true"])
                .prop_map(|calls| format!("syscalls = {calls}")),
        ),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j)| [a, b, c, d, e, f, g, h, i, j].into_iter().flatten().collect())
}

fn function() -> impl Strategy<Value = RandomFunction> {
    (
        subsequence(vec!["reject", "left", "right", "x-1", "y_2"], 0..=3),
        proptest::collection::vec(proptest::collection::vec(any::<Index>(), 1..4), 1..3),
        any::<bool>(),
        settings(),
        proptest::collection::vec(("[A-Z_][A-Z0-9_]{0,8}", any::<String>()), 0..3),
        proptest::collection::vec(any::<String>(), 0..3),
        proptest::collection::btree_map("[a-e]{1,2}", "[a-z./]{0,8}[a-z]", 0..3),
    )
        .prop_map(
            |(extra_ports, groups, error_to_egress, settings, env, args, files)| RandomFunction {
                extra_ports,
                groups,
                error_to_egress,
                settings,
                env,
                args,
                files: files.into_iter().collect(),
            },
        )
}

fn quoted(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    serde_json::to_string(&clean).unwrap()
}

/// A valid chain file: edges only go forward, and every port that nothing takes goes to egress.
fn text(functions: &[RandomFunction], description: &str) -> String {
    let mut sources = vec!["ingress".to_owned()];
    let mut taken = BTreeSet::new();
    let mut flow = Vec::new();
    let mut tables = String::new();
    for (place, function) in functions.iter().enumerate() {
        let name = format!("f{place}");
        let mut used: BTreeSet<&String> = BTreeSet::new();
        let mut joins = false;
        for group in &function.groups {
            let members: BTreeSet<&String> = group
                .iter()
                .map(|index| index.get(&sources))
                .filter(|source| !used.contains(source))
                .collect();
            if !members.is_empty() {
                joins |= members.len() > 1;
                let list: Vec<&str> = members.iter().map(|member| member.as_str()).collect();
                flow.push(format!("{} -> {name}", list.join(" & ")));
                used.extend(members);
            }
        }
        taken.extend(used.into_iter().cloned());
        let ports: Vec<&str> = ["out"]
            .into_iter()
            .chain(function.extra_ports.iter().copied())
            .collect();
        if function.error_to_egress && !joins {
            flow.push(format!("{name}.error -> egress"));
        }
        let list: Vec<String> = ports.iter().map(|port| format!("\"{port}\"")).collect();
        let env: BTreeSet<&String> = function
            .env
            .iter()
            .map(|(name, _)| name)
            .filter(|n| !n.starts_with("HACHER_"))
            .collect();
        let env: Vec<String> = env
            .iter()
            .map(|name| {
                format!(
                    "{name} = {}",
                    quoted(&function.env.iter().find(|(n, _)| n == *name).unwrap().1)
                )
            })
            .collect();
        _ = writeln!(
            tables,
            "[function.{name}]\nexec = \"bin/{name}\"\nports = [{}]",
            list.join(", ")
        );
        let args: Vec<String> = function.args.iter().map(|text| quoted(text)).collect();
        let files: Vec<String> = function
            .files
            .iter()
            .map(|(to, from)| format!("{{ from = \"{from}\", to = \"/{to}\" }}"))
            .collect();
        _ = writeln!(
            tables,
            "{}\nenv = {{ {} }}\nargs = [{}]\nfiles = [{}]",
            function.settings.join("\n"),
            env.join(", "),
            args.join(", "),
            files.join(", ")
        );
        sources.extend(ports.iter().map(|port| format!("{name}.{port}")));
    }
    flow.extend(
        sources
            .iter()
            .skip(1)
            .filter(|source| !taken.contains(*source))
            .map(|source| format!("{source} -> egress")),
    );
    let lines: String = flow
        .iter()
        .fold(String::new(), |text, line| format!("{text}  \"{line}\",\n"));
    format!(
        "chain = \"random\"\ndescription = {}\nflow = [\n{lines}]\n{tables}",
        quoted(&format!("d{description}"))
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_chain_checks_to_itself(
        functions in proptest::collection::vec(function(), 1..10),
        description in any::<String>(),
    ) {
        let text = text(&functions, &description);
        let checked = check(&text, "random").unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let chain = checked.chain();
        let printed = chain.to_toml();
        let again = check(&printed, "printed").unwrap_or_else(|problems| panic!("{problems}\n{printed}"));
        prop_assert_eq!(again.chain(), chain);
        prop_assert_eq!(again.chain().to_toml(), printed);

        // What every chain promises.
        prop_assert_eq!(chain.functions().len(), functions.len());
        prop_assert_eq!(chain.order().len(), functions.len());
        for (id, group) in (0..).zip(chain.groups()) {
            prop_assert!(!group.edges().is_empty());
            for edge in group.edges() {
                let edge = chain.edge(*edge).unwrap();
                prop_assert_eq!(edge.group().index(), id);
                prop_assert_eq!(edge.to(), group.to());
            }
        }
        for edge in chain.edges() {
            if let (Source::Function(from, _), Target::Function(to)) = (edge.from(), edge.to()) {
                let place = |id| chain.order().iter().position(|other| *other == id);
                prop_assert!(place(from) < place(to));
            }
            if let Source::Function(from, PortId::ERROR) = edge.from() {
                prop_assert!(chain.groups_into(Target::Function(from)).all(|(_, group)| !group.is_join()));
            }
        }
        // The pictures name every edge.
        let arrows = chain.edges().len() + chain.groups().iter().filter(|group| group.is_join()).count();
        prop_assert_eq!(chain.mermaid().matches("->").count(), arrows);
        prop_assert_eq!(chain.dot().matches(" -> ").count(), arrows);
    }

    #[test]
    fn a_chain_with_an_edge_turned_round_is_a_cycle(
        functions in proptest::collection::vec(function(), 2..8),
    ) {
        let text = text(&functions, "");
        let chain = check(&text, "random").unwrap().into_chain();
        let back = chain.edges().iter().find_map(|edge| match (edge.from(), edge.to()) {
            (Source::Function(from, _), Target::Function(to)) => {
                Some(format!("flow = [\n  \"{}.error -> {}\",", chain.target_name(Target::Function(to)), chain.target_name(Target::Function(from))))
            }
            _ => None,
        });
        if let Some(back) = back {
            let problems = check(&text.replacen("flow = [", &back, 1), "random").unwrap_err();
            prop_assert!(problems.iter().any(|found| found.code() == Code::Cycle), "{}", problems);
        }
    }

    #[test]
    fn any_text_gives_a_chain_or_diagnostics(text in any::<String>()) {
        _ = check(&text, "any").map_err(|problems| problems.render(true));
    }

    #[test]
    fn any_flow_line_gives_a_chain_or_diagnostics(line in "([a-c]|ingress|egress|->|=>|&|\\||\\.|error| |-|x){0,20}") {
        let text = format!("chain = \"demo\"\nflow = [\"ingress -> a -> egress\", {}]\n[function.a]\nexec = \"a\"\n[function.b]\nexec = \"b\"\n", quoted(&line));
        _ = check(&text, "any").map_err(|problems| problems.render(true));
    }
}
