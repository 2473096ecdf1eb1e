//! Chains that one service is to serve: what `check` and `serve` say of them together, and folders of them.

use hacher_tests::function;
use hacher_tests::tenants::{Tenants, command, post, write};
use serde_json::Value;
use std::path::Path;

fn chain(name: &str, more: &str) -> String {
    let head = format!("chain = \"{name}\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n");
    format!("{head}{more}\n{}", function("a", "echo", ""))
}

/// What `check` and `serve` say of these files, which they both refuse.
fn refused(paths: &[&Path]) -> [String; 2] {
    let paths: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    [vec!["check"], [&["serve"], &ports[..]].concat()].map(|words| {
        let (code, out, err) = command(&[words.clone(), paths.clone()].concat()).unwrap();
        assert_eq!(code, Some(1), "{words:?}: {out}{err}");
        err
    })
}

#[test]
fn check_refuses_together_what_serve_refuses_in_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| write(folder.path(), name, content).unwrap();
    let a = file("a.toml", &chain("t", ""));
    let b = file("b.toml", &chain("t", ""));
    let big = |name: &str| chain(name, "[ingress]\nmax_body = \"1GiB\"");
    let bigs = ["x", "y", "z"].map(|name| file(&format!("{name}.toml"), &big(name)));
    let many = |name: &str| {
        let instances = (0..4).map(|at| function(&format!("f{at}"), "echo", "instances = 64"));
        let flow = "flow = [\"ingress -> f0 -> f1 -> f2 -> f3 -> egress\"]";
        format!(
            "chain = \"{name}\"\nversion = \"1\"\n{flow}\n{}",
            instances.collect::<String>()
        )
    };
    let crowds: Vec<_> = (0..9)
        .map(|at| file(&format!("m{at}.toml"), &many(&format!("m{at}"))))
        .collect();
    for (paths, words) in [
        (vec![a.as_path(), &b], &["`t`", "a.toml", "b.toml"][..]),
        (vec![a.as_path(), &a], &["`t`", "a.toml"]),
        (
            bigs.iter().map(|path| path.as_path()).collect(),
            &["max_body", "MiB"],
        ),
        (
            crowds.iter().map(|path| path.as_path()).collect(),
            &["2048 instances", "2313"],
        ),
    ] {
        let [checked, served] = refused(&paths);
        for word in words {
            assert!(
                checked.contains(word) && served.contains(word),
                "{word}\n{checked}\n{served}"
            );
        }
        let told = |said: &str| {
            let line = said
                .lines()
                .find(|line| line.contains("error: ") && words.iter().all(|word| line.contains(word)));
            line.map(|line| line.split("error: ").last().unwrap_or_default().to_owned())
        };
        assert_eq!(told(&checked), told(&served), "\n{checked}\n{served}");
        for path in paths {
            assert_eq!(
                command(&["check", "--text-only", path.to_str().unwrap()])
                    .unwrap()
                    .0,
                Some(0),
                "alone it is good"
            );
        }
    }
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let (code, out, _) = command(&["check", "--format", "json", a, b]).unwrap();
    let data: Value = serde_json::from_str(&out).unwrap();
    let good: Vec<_> = data
        .as_array()
        .unwrap()
        .iter()
        .map(|report| report["good"] == true)
        .collect();
    assert_eq!((code, good), (Some(1), vec![true, false]));
}

#[test]
fn an_address_that_the_service_needs_itself_is_found_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let listening = |name: &str, address: &str| {
        let text = chain(name, &format!("[ingress]\nlisten = \"{address}\""));
        write(folder.path(), &format!("{name}.toml"), &text).unwrap()
    };
    let shared = write(folder.path(), "shared.toml", &chain("shared", "")).unwrap();
    let shared = shared.to_str().unwrap();
    let said = |words: &[&str]| {
        let (code, _, err) = command(words).unwrap();
        (code, err)
    };
    // Nothing listens at these, and nothing will.
    let options = ["--listen", "127.0.0.1:18080", "--admin", "127.0.0.1:19464"];
    for (address, words) in [
        ("127.0.0.1:18080", &["`own`", "127.0.0.1:18080", "--listen"][..]),
        ("127.0.0.1:19464", &["`own`", "127.0.0.1:19464", "--admin"]),
    ] {
        let own = listening("own", address);
        let own = own.to_str().unwrap();
        for order in [[own, shared], [shared, own]] {
            let [checked, served] =
                ["check", "serve"].map(|name| said(&[&[name], &order[..], &options[..]].concat()));
            for (code, err) in [&checked, &served] {
                assert_eq!(*code, Some(1), "{err}");
                assert!(words.iter().all(|word| err.contains(word)), "{err}");
                assert!(err.contains("own.toml:5"), "where it is written: {err}");
            }
        }
    }
    // Without a chain that it shares, the service does not listen there.
    let own = listening("own", "127.0.0.1:18080");
    let alone = said(&[&["check", own.to_str().unwrap()], &options[..]].concat());
    assert_eq!(alone.0, Some(0), "{}", alone.1);
    // The defaults count as well.
    for address in ["127.0.0.1:8080", "127.0.0.1:9464"] {
        let own = listening("own", address);
        let (code, err) = said(&["check", shared, own.to_str().unwrap()]);
        assert_eq!(code, Some(1), "{address}: {err}");
    }
}

#[test]
fn what_is_no_text_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("packed.toml");
    std::fs::write(&packed, b"\x1f\x8b\x08\x03\xff\xff\x05chain = 1").unwrap();
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for path in ["/bin/true", packed.to_str().unwrap()] {
        for words in [
            vec!["check", path],
            vec!["check", "--text-only", path],
            vec!["measure", path],
            vec!["doctor", path],
            vec!["graph", path],
            [&["serve", path], &ports[..]].concat(),
        ] {
            let (code, out, err) = command(&words).unwrap();
            assert_eq!(code, Some(1), "{words:?}: {out}{err}");
            assert_eq!(err.trim_end().lines().count(), 1, "{words:?}: {err}");
            assert!(
                err.contains(path) && err.contains("is not a chain file"),
                "{words:?}: {err}"
            );
            assert!(err.is_ascii(), "{words:?}: {err}");
        }
        let (code, out, _) = command(&["check", "--format", "json", path]).unwrap();
        let data: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &data[0]["good"]), (Some(1), &Value::from(false)));
    }
}

#[test]
fn a_folder_stands_for_its_chain_files() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "b.toml", &chain("b", "")).unwrap();
    write(folder.path(), "a.toml", &chain("a", "")).unwrap();
    write(folder.path(), "notes.txt", "no chain").unwrap();
    let path = folder.path().to_str().unwrap();
    let (code, out, err) = command(&["check", path]).unwrap();
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.find("chain `a`").unwrap() < out.find("chain `b`").unwrap(),
        "by name: {out}"
    );
    let (code, out, err) = command(&["measure", path, "--format", "json"]).unwrap();
    assert_eq!(code, Some(0), "{err}");
    let measured: Value = serde_json::from_str(&out).unwrap();
    let (code, out, _) = command(&["measure", &format!("{path}/a.toml"), "--format", "json"]).unwrap();
    let alone: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &measured[0], &measured[1]["chain"]),
        (Some(0), &alone, &"b".into())
    );
    let (_, out, err) = command(&["doctor", path]).unwrap();
    assert!(out.contains("open files"), "{out}{err}");
    let service = Tenants::start(folder.path(), &[], &[path]).unwrap();
    for name in ["a", "b"] {
        let reply = post(service.address(name), name, "x").unwrap();
        assert_eq!(
            (reply.status.as_u16(), &reply.body[..]),
            (200, &b"x"[..]),
            "{name}"
        );
    }
    let digests = service.status().unwrap();
    assert_eq!(
        digests["chains"][0]["digest"], measured[0]["digest"],
        "what was measured is served"
    );
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    for words in [
        &["check"][..],
        &["measure"],
        &["doctor"],
        &["serve", "--admin", "127.0.0.1:0"],
    ] {
        let (code, _, err) = command(&[words, &[empty]].concat()).unwrap();
        assert_eq!(code, Some(1), "{words:?}");
        assert!(err.contains(empty) && err.contains("*.toml"), "{words:?}: {err}");
    }
}
