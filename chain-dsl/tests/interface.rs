//! The public interface: what a chain says of itself, what diagnostics look like as data, and the hook for
//! what only the caller can find.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::time::Duration;

use hacher_chain_dsl::{
    ByteSize, Code, Diagnostic, Logs, Placement, PortId, Severity, Source, Target, check, explain_code,
};

const THUMBNAILS: &str = include_str!("valid/thumbnails.toml");

#[test]
fn the_chain_of_the_design_reads_as_it_is_written() {
    let checked = check(THUMBNAILS, "chain.toml").unwrap();
    let chain = checked.chain();
    assert_eq!((chain.name(), chain.version()), ("thumbnails", "1.2.0"));
    assert_eq!(chain.description(), Some("Three sizes of one photo"));
    assert_eq!(chain.placement(), Placement::Auto);
    assert_eq!(chain.ingress().max_body(), ByteSize::new(32 << 20));
    let (id, decode) = chain.function_named("decode").unwrap();
    assert_eq!(decode.ports(), ["out", "reject"]);
    assert_eq!(decode.exec().unwrap(), "../../target/release/thumb-decode");
    assert_eq!(decode.build(), Some("cargo build --release -p thumbnails"));
    assert_eq!(decode.secrets()["API_KEY"].path(), "/run/secrets/api");
    assert_eq!(decode.secrets()["API_KEY"].to_string(), "file:/run/secrets/api");
    assert_eq!(decode.secrets()["API_KEY"].resource(), None);
    // A fan-out of one port, and a join.
    let out = Source::Function(id, decode.port("out").unwrap());
    let targets: Vec<&str> = chain
        .edges_from(out)
        .map(|(_, edge)| chain.target_name(edge.to()))
        .collect();
    assert_eq!(targets, ["small", "medium", "large"]);
    let (pack, _) = chain.function_named("pack").unwrap();
    let groups: Vec<_> = chain.groups_into(Target::Function(pack)).collect();
    assert_eq!(groups.len(), 1);
    assert!(groups[0].1.is_join());
    assert_eq!(chain.flow_line(groups[0].1), "small & medium & large -> pack");
    // Two ways to the answer.
    let ends: Vec<String> = chain
        .edges_into(Target::Egress)
        .map(|(_, edge)| chain.source_name(edge.from()))
        .collect();
    assert_eq!(ends, ["pack", "decode.reject"]);
}

#[test]
fn what_is_not_written_has_the_documented_defaults() {
    let checked = check(include_str!("valid/echo.toml"), "echo").unwrap();
    let (_, echo) = checked.chain().function_named("echo").unwrap();
    let ingress = checked.chain().ingress();
    assert_eq!(checked.chain().version(), "0.0.0");
    assert_eq!(
        (ingress.deadline(), ingress.in_flight()),
        (Duration::from_secs(5), 128)
    );
    assert_eq!(ingress.max_reply(), ingress.max_body());
    assert_eq!(echo.ports(), ["out"]);
    assert_eq!(echo.memory().to_string(), "256MiB");
    assert_eq!(echo.outbox().to_string(), "64MiB");
    assert!(!echo.huge_pages() && !echo.prefault() && !echo.stream());
    assert_eq!(echo.scratch().to_string(), "16MiB");
    assert_eq!(
        (echo.timeout(), echo.instances(), echo.threads()),
        (Duration::from_secs(1), 1, 16)
    );
    assert_eq!(echo.logs(), Logs::Drop);
    let retry = echo.retry();
    assert_eq!((retry.attempts, retry.backoff), (3, Duration::from_millis(10)));
    assert_eq!((retry.max, retry.jitter), (Duration::from_secs(1), true));
    assert!((retry.factor - 2.0).abs() < f64::EPSILON);
}

#[test]
fn a_function_takes_from_defaults_what_it_does_not_set_key_by_key() {
    let checked = check(include_str!("valid/every-key.toml"), "f").unwrap();
    let (_, decode) = checked.chain().function_named("decode").unwrap();
    let (_, small) = checked.chain().function_named("small").unwrap();
    assert_eq!(
        (decode.memory().to_string(), small.memory().to_string()),
        ("256MiB".into(), "128MiB".into())
    );
    assert_eq!((decode.retry().attempts, small.retry().attempts), (3, 5));
    assert_eq!(small.retry().max, Duration::from_secs(2));
    assert_eq!(
        small.retry().backoff,
        Duration::from_millis(10),
        "not in [defaults]: the language's own"
    );
    assert_eq!(small.logs(), Logs::Forward);
    assert_eq!(small.scratch().bytes(), 0);
}

#[test]
fn the_error_port_is_there_without_being_declared() {
    let text = include_str!("valid/alternatives.toml");
    let chain = check(text, "f").unwrap().into_chain();
    let (shrink, function) = chain.function_named("shrink").unwrap();
    assert_eq!(function.port("error"), Some(PortId::ERROR));
    assert_eq!(function.port_name(PortId::ERROR), Some("error"));
    assert_eq!(PortId::ERROR.index(), None);
    let failures = chain.edges_from(Source::Function(shrink, PortId::ERROR));
    assert_eq!(failures.count(), 1);
}

#[test]
fn the_caller_adds_what_only_it_can_find_at_the_right_place() {
    let checked = check(THUMBNAILS, "chain.toml").unwrap();
    let (id, decode) = checked.chain().function_named("decode").unwrap();
    let message = format!("`{}` does not exist", decode.exec().unwrap());
    let missing = Diagnostic::new(
        Code::ExecMissing,
        checked.exec_span(id).unwrap(),
        message,
        "no such file",
    )
    .with_help("build it: run with --build");
    let secret = checked.secret_span(id, "API_KEY").unwrap();
    let unresolved = Diagnostic::new(
        Code::SecretUnresolvable,
        secret,
        "secret `API_KEY` cannot be read",
        "",
    );
    let found = checked.with_found([unresolved, missing]);
    assert_eq!(found.error_count(), 2);
    let text = found.render(false);
    assert!(
        text.contains("error[E0501]: `../../target/release/thumb-decode` does not exist"),
        "{text}"
    );
    assert!(text.contains("--> chain.toml:21:13"), "{text}");
    assert!(
        text.find("E0501") < text.find("E0503"),
        "in the order of the file:\n{text}"
    );
}

#[test]
fn diagnostics_are_data_with_lines_and_columns() {
    let text = "chain = \"demo\"\nflow = [\"ingress -> résumé -> egress\"]\n[function.resume]\nexec = \"x\"\nmemroy = 1\n";
    let problems = check(text, "chain.toml").unwrap_err();
    let data = serde_json::to_value(&problems).unwrap();
    assert_eq!(data["file"], "chain.toml");
    assert_eq!((&data["errors"], &data["warnings"]), (&2.into(), &0.into()));
    let unknown = &data["diagnostics"][0];
    assert_eq!(unknown["code"], "E0401");
    assert_eq!(unknown["severity"], "error");
    assert_eq!((&unknown["line"], &unknown["column"]), (&2.into(), &21.into()));
    assert_eq!(
        (&unknown["end_line"], &unknown["end_column"]),
        (&2.into(), &27.into())
    );
    assert_eq!(unknown["snippet"], "résumé");
    assert_eq!(unknown["nearest"], "resume");
    let key = &data["diagnostics"][1];
    assert_eq!(
        (&key["code"], &key["nearest"], &key["line"]),
        (&"E0201".into(), &"memory".into(), &5.into())
    );
    assert!(key["expected"].as_str().unwrap().contains("timeout"));
}

#[test]
fn colours_change_nothing_but_colours() {
    let problems = check("chain = 1\n", "f").unwrap_err();
    let coloured = problems.render(true);
    assert!(coloured.contains("\u{1b}["));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        // CSI sequences end with `m`; links are OSC 8 and end with ESC \.
        rest = match after.strip_prefix(']') {
            Some(link) => link.split_once("\u{1b}\\").map_or("", |(_, rest)| rest),
            None => after.split_once('m').map_or("", |(_, rest)| rest),
        };
    }
    plain.push_str(rest);
    assert_eq!(plain, problems.render(false));
}

#[test]
fn a_secret_written_into_the_file_is_never_repeated() {
    let text = "chain = \"demo\"\nflow = [\"ingress -> a -> egress\"]\n[function.a]\nexec = \"a\"\nbuild = 1\n\
                secrets = { KEY = \"hünter2\", B = 'x-hunter3' }\n";
    let problems = check(text, "f").unwrap_err();
    for said in [
        problems.render(true),
        serde_json::to_string(&problems).unwrap(),
        problems.to_string(),
    ] {
        assert!(!said.contains("nter"), "{said}");
    }
    assert_eq!(problems.len(), 3);
}

#[test]
fn every_code_is_explained_by_its_name() {
    assert!(
        explain_code("E0408")
            .unwrap()
            .starts_with("E0408: a join that can never complete")
    );
    assert_eq!(explain_code("nonsense"), None);
    assert_eq!(Code::parse("w0601").map(Code::severity), Some(Severity::Warning));
}

#[test]
fn an_edge_is_protected_as_its_table_says_or_else_as_the_chain_says_between_functions() {
    let text = include_str!("valid/mapped.toml");
    let chain = check(text, "mapped.toml").unwrap().into_chain();
    let of = |name: &str| {
        let found = chain.edges().iter().find(|edge| chain.edge_name(edge) == name);
        found.unwrap().protection()
    };
    use hacher_chain_dsl::Protection::{Mapped, Sealed};
    assert_eq!(of("ingress -> decode"), Sealed);
    assert_eq!(of("decode -> small"), Mapped);
    assert_eq!(of("decode -> large"), Sealed);
    assert_eq!(of("small -> pack"), Mapped);
    assert_eq!(of("large -> pack"), Mapped);
    assert_eq!(of("decode.reject -> audit"), Sealed);
    assert_eq!(of("audit -> egress"), Sealed);
    assert_eq!(of("pack -> egress"), Mapped);
    let all_sealed = text.replace("protection = \"mapped\"", "protection = \"sealed\"");
    let chain = check(&all_sealed, "sealed.toml").unwrap().into_chain();
    assert!(chain.edges().iter().all(|edge| edge.protection() == Sealed));
}

#[test]
fn an_own_gateway_has_an_address_and_files_and_the_places_where_they_are_written() {
    let text = include_str!("valid/every-key.toml");
    let checked = check(text, "every-key").unwrap();
    let ingress = checked.chain().ingress();
    assert_eq!(ingress.listen().unwrap().to_string(), "0.0.0.0:9001");
    let tls = ingress.tls().unwrap();
    assert_eq!(
        (tls.cert(), tls.key(), tls.client_ca()),
        ("tls/server.pem", "tls/server.key", Some("/etc/ssl/clients.pem"))
    );
    let written = |span: hacher_chain_dsl::Span| &text[span.start()..span.end()];
    assert_eq!(written(checked.listen_span().unwrap()), "\"0.0.0.0:9001\"");
    let spans = checked.tls_spans().unwrap();
    assert_eq!(written(spans.cert), "\"tls/server.pem\"");
    assert_eq!(written(spans.key), "\"tls/server.key\"");
    assert_eq!(written(spans.client_ca.unwrap()), "\"/etc/ssl/clients.pem\"");
    let shared = check(include_str!("valid/echo.toml"), "echo").unwrap();
    assert!(shared.chain().ingress().listen().is_none() && shared.tls_spans().is_none());
}

#[test]
fn files_have_places_of_their_own_and_arguments_an_order() {
    let text = include_str!("valid/every-key.toml");
    let checked = check(text, "every-key").unwrap();
    let (id, decode) = checked.chain().function_named("decode").unwrap();
    assert_eq!(decode.args(), ["--quality", "80", "", "ünïcode \"and\" quotes"]);
    let files: Vec<(&str, &str)> = decode
        .files()
        .iter()
        .map(|file| (file.from(), file.to()))
        .collect();
    let expected = [
        ("labels.txt", "/labels.txt"),
        ("./models//small.bin", "/models/small.bin"),
        ("/etc/ssl/certs", "/etc/ssl/certs"),
        ("../shared/models", "/opt/models"),
    ];
    assert_eq!(files, expected);
    let span = checked.file_span(id, 3).unwrap();
    assert!(text[span.start()..].starts_with("{ from = \"../shared/models\""));
    assert_eq!(checked.file_span(id, 4), None);
    let (other, small) = checked.chain().function_named("small").unwrap();
    assert!(small.args().is_empty() && small.files().is_empty());
    assert_eq!(checked.file_span(other, 0), None);
}

#[test]
fn a_secret_of_a_key_broker_is_a_resource() {
    let text = "chain = \"c\"\nflow = [\"ingress -> f -> egress\"]\n[function.f]\nexec = \"f\"\n\
                secrets = { K = \"kbs:///default/db/pass.word\", L = { from = \"kbs:///a/b/c\", trim = true } }\n";
    let checked = check(text, "c.toml").unwrap();
    let (_, function) = checked.chain().function_named("f").unwrap();
    let secret = &function.secrets()["K"];
    assert_eq!(secret.to_string(), "kbs:///default/db/pass.word");
    let resource = secret.resource().unwrap();
    let parts = [&resource.repository, &resource.kind, &resource.tag];
    assert_eq!(parts, ["default", "db", "pass.word"]);
    assert!(!secret.trim() && function.secrets()["L"].trim());
}
