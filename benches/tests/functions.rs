//! The functions in Python, each in a chain, by the real executables.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod environment;

use bytes::Bytes;
use hacher_benches::python::call::split_times;
use hacher_benches::python::function::ALL;
use hacher_benches::python::in_chain::{chain_file, name};
use hacher_benches::python::once::Once;
use hacher_benches::python::over_https::OverHttps;
use hacher_benches::python::sources::Sources;
use hacher_benches::python::venv::{SERVER, Venv};
use hacher_benches::python::way::Way;
use hacher_benches::subject::{Cores, Place, checksum};
use hacher_fabric::http::Connection;
use hacher_fabric::tree::Tree;
use hacher_skipped::skipped;
use hyper::Method;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Stdio;

#[test]
fn each_answers_in_a_chain_what_it_answers_behind_https_and_in_a_process_of_its_own() {
    let Some(venv) = environment::folder("functions", "benches/functions/run") else {
        return;
    };
    let bench = Path::new(env!("CARGO_BIN_EXE_hacher-bench"));
    let fabric = bench.with_file_name("hacher-fabric");
    if !fabric.exists() {
        skipped!("`cargo test --workspace` builds {}", fabric.display());
        return;
    }
    let sources = Sources::write().unwrap();
    let venv = Venv::ready(Some(&venv), &sources).unwrap();
    let of = (&venv, &sources);
    let mut functions = Vec::new();
    let mut files: Vec<OsString> = Vec::new();
    for function in ALL {
        if let Some(why) = venv.lacks(function.name, function.packages) {
            skipped!("{why}");
            continue;
        }
        let file = sources.path(&format!("{}.toml", function.name));
        fs::write(&file, chain_file(function, 1, of, Place::Auto)).unwrap();
        files.push(file.into());
        functions.push(function);
    }
    // One service for all of them: the packages are read once.
    let tree = Tree::start(&fabric, files, Stdio::inherit()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for function in functions {
        let reply = runtime.block_on(async {
            let mut gateway = Connection::open(tree.gateway).await.unwrap();
            let path = format!("/chains/{}", name(function, 1));
            let body = Bytes::from(function.input());
            gateway.send(Method::POST, &path, None, body).await.unwrap()
        });
        let told = String::from_utf8_lossy(&reply.body);
        assert_eq!(reply.status, 200, "{}: {told}", function.name);
        let (answer, handler_ns) = split_times(&reply.body, 1).unwrap();
        assert!(!answer.is_empty() && handler_ns > 0, "{}", function.name);
        let at = (Place::Floating, Cores::choose());
        let mut ways: Vec<Box<dyn Way>> = vec![Box::new(Once::new(function, of, at).unwrap())];
        let servers = if function.does_nothing() { 3 } else { 1 };
        match venv.lacks("the server", SERVER) {
            Some(why) => skipped!("{why}"),
            None => ways.push(Box::new(
                OverHttps::start(bench, function, servers, of, at).unwrap(),
            )),
        }
        let mut calls = Vec::new();
        for way in &mut ways {
            let answered = way.call(2, &mut |call| calls.push(call)).unwrap();
            assert_eq!(checksum(answer), answered, "{}", function.name);
        }
        assert!(
            calls.len() == 2 * ways.len()
                && calls
                    .iter()
                    .all(|call| (1..call.total_ns).contains(&call.handler_ns)),
            "{}: {calls:?}",
            function.name
        );
    }
    tree.stop().unwrap();
}
