//! What a function may use: all of what its author wrote, because what the fabric needs comes on top.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use bytes::Bytes;
use hacher_fabric::http::Connection;
use hacher_tests::{Service, function};

const HEAD: &str = "chain = \"t\"\nversion = \"1\"\n";

#[test]
fn a_function_has_as_many_threads_as_it_says_however_little_memory_it_has() {
    for threads in [1, 16, 64] {
        let table = function(
            "a",
            "threads",
            &format!("memory = \"4MiB\"\nthreads = {threads}\ntimeout = \"20s\""),
        );
        let chain =
            format!("{HEAD}flow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"30s\"\n{table}");
        let service = Service::start(&chain).unwrap();
        let reply = service.post("t", "").unwrap();
        assert_eq!(reply.body, threads.to_string(), "{:?}", reply.status);
        // Once more: what the first ones had was given back.
        assert_eq!(service.post("t", "").unwrap().body, threads.to_string());
    }
}

#[test]
fn a_function_has_all_of_its_memory_and_not_without_end() {
    let table = function("a", "fill", "memory = \"32MiB\"\nthreads = 1\n");
    let chain = format!("{HEAD}flow = [\"ingress -> a -> egress\"]\n[ingress]\nmax_body = \"1MiB\"\n{table}");
    let service = Service::start(&chain).unwrap();
    assert_eq!(service.post("t", "32").unwrap().body, "32");
    let status = service.status().unwrap();
    let instance = &status["chains"][0]["instances"]
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["function"] == "a");
    let memory = instance.unwrap();
    let whole = memory["memory_limit_bytes"].as_u64().unwrap();
    assert_eq!(whole - memory["fabric_memory_bytes"].as_u64().unwrap(), 32 << 20);
    let filled: u64 = {
        let reply = service.post("t", "4000").unwrap();
        std::str::from_utf8(&reply.body).unwrap().parse().unwrap()
    };
    assert!(
        (32..=whole >> 20).contains(&filled),
        "{filled} MiB of {whole} bytes"
    );
}

#[test]
fn a_join_of_large_records_does_not_die_of_those_that_wait() {
    const REQUESTS: usize = 72;
    let tables = [
        function("first", "echo", ""),
        function("quick", "echo", ""),
        function("slow", "slow", "timeout = \"20s\""),
        function("join", "concatenate", "memory = \"16MiB\"\ntimeout = \"20s\""),
    ]
    .concat();
    let chain = format!(
        "{HEAD}flow = [\"ingress -> first -> quick & slow -> join -> egress\"]\n\
         [ingress]\nmax_body = \"1MiB\"\nmax_reply = \"4MiB\"\ndeadline = \"120s\"\nin_flight = 128\n[defaults]\noutbox = \"96MiB\"\n{tables}"
    );
    let service = Service::start(&chain).unwrap();
    let gateway = service.gateway;
    let runtime = hacher_tests::runtime();
    let right = runtime.block_on(async {
        let requests: Vec<_> = (0..REQUESTS)
            .map(|request| async move {
                // Different ones, so that parts of different requests cannot pass for each other.
                let body = Bytes::from(vec![u8::try_from(request).unwrap(); 1 << 20]);
                let mut connection = Connection::open(gateway).await.unwrap();
                let reply = connection
                    .send(hyper::Method::POST, "/chains/t", None, body.clone())
                    .await
                    .unwrap();
                (
                    reply.status.as_u16(),
                    reply.body == [body.as_ref(), body.as_ref()].concat(),
                )
            })
            .collect();
        futures_of(requests).await
    });
    assert_eq!(right, vec![(200, true); REQUESTS]);
    let status = service.status().unwrap();
    for instance in status["chains"][0]["instances"].as_array().unwrap() {
        assert_eq!(instance["epoch"], 1, "{} was replaced", instance["function"]);
    }
}

/// Waits for all of them at once.
async fn futures_of<F: Future + 'static>(futures: Vec<F>) -> Vec<F::Output>
where
    F::Output: 'static,
{
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let tasks: Vec<_> = futures.into_iter().map(tokio::task::spawn_local).collect();
            let mut done = Vec::new();
            for task in tasks {
                done.push(task.await.unwrap());
            }
            done
        })
        .await
}

#[test]
fn a_join_that_fails_gets_the_same_records_again() {
    let tables = [
        function("first", "echo", ""),
        function("left", "echo", ""),
        function("right", "echo", ""),
        function("join", "fail-once", "retry = { attempts = 3, backoff = \"1ms\" }"),
    ]
    .concat();
    let chain = format!("{HEAD}flow = [\"ingress -> first -> left & right -> join -> egress\"]\n{tables}");
    let service = Service::start(&chain).unwrap();
    // Of one segment, and of several.
    for len_bytes in [1, 200_000] {
        let body = "x".repeat(len_bytes);
        let reply = service.post("t", body.clone()).unwrap();
        assert_eq!(reply.body, format!("{body} after 2 attempts"), "{len_bytes}");
    }
}
