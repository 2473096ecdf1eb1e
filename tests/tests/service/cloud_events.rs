//! CloudEvents over HTTP, as the scenarios of the specification's HTTP binding have it: events in binary,
//! structured and batched mode pass unharmed, to a function and back.

use hacher_fabric::http::{Connection, Question, Reply};
use hacher_tests::{Service, function};

/// A chain whose last function answers with the event that came.
fn serve() -> Service {
    let text = format!(
        "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n{}",
        function("a", "answer-event", "")
    );
    Service::start(&text).unwrap()
}

fn ask(service: &Service, fields: &[(&str, &str)], body: &'static str) -> Reply {
    let mut question = Question::new("", body.as_bytes());
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    question.fields = fields.iter().map(owned).collect();
    let runtime = hacher_tests::runtime();
    runtime.block_on(async {
        let mut connection = Connection::open(service.gateway).await.unwrap();
        connection.ask("/chains/t", &question).await.unwrap()
    })
}

fn attributes(reply: &Reply) -> Vec<(String, String)> {
    let headers = reply
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("ce-"));
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let mut found: Vec<_> = headers
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .collect();
    found.sort();
    found
}

/// Section 3.1.3.2: values are percent-encoded where they hold spaces, quotes, percent signs or other than
/// ASCII; extensions are attributes as any other.
const ATTRIBUTES: [(&str, &str); 9] = [
    ("ce-comexampleextension1", "value"),
    ("ce-dataschema", "https://example.com/schema#a"),
    ("ce-distributedtracing", "00-1"),
    ("ce-id", "A234-1234-1234"),
    ("ce-source", "/mycontext/4"),
    ("ce-specversion", "1.0"),
    ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80%22%25"),
    ("ce-time", "2018-04-05T17:31:00Z"),
    ("ce-type", "com.example.someevent"),
];

#[test]
fn an_event_in_binary_mode_passes_with_all_attributes_and_its_data_as_it_is() {
    let service = serve();
    for (content_type, data) in [
        (
            "application/json; charset=utf-8",
            "{ \"message\": \"Hello World!\" }",
        ),
        ("application/xml", "<message>Hello World!</message>"),
        ("text/plain", "gr\u{fc}n\r\n\u{0}"),
        ("application/octet-stream", ""),
    ] {
        let fields = [&ATTRIBUTES[..], &[("content-type", content_type)]].concat();
        let reply = ask(&service, &fields, data);
        assert_eq!(reply.status, 200);
        let expected: Vec<_> = ATTRIBUTES
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        assert_eq!(attributes(&reply), expected);
        assert_eq!(reply.header("content-type"), Some(content_type));
        assert_eq!(reply.body, data.as_bytes());
    }
    // Section 3.1.2: an event need have no data, and then no type of it.
    let reply = ask(&service, &ATTRIBUTES, "");
    assert_eq!(
        (attributes(&reply).len(), &reply.body[..]),
        (ATTRIBUTES.len(), &b""[..])
    );
    // Names of headers are of any case (section 3.1.3.1); each attribute stands once.
    let reply = ask(&service, &[("Ce-Id", "1"), ("CE-SOURCE", "/a")], "");
    let pairs =
        [("ce-id", "1"), ("ce-source", "/a")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(attributes(&reply), pairs);
    assert_eq!(ask(&service, &[("ce-id", "1"), ("ce-id", "1")], "").status, 400);
}

#[test]
fn an_event_in_structured_or_batched_mode_is_a_body_and_passes_byte_by_byte() {
    let service = serve();
    let event = "{\n  \"specversion\" : \"1.0\",\n  \"type\" : \"com.example.someevent\",\n  \"time\" : \"2018-04-05T03:56:24Z\",\n  \
                 \"id\" : \"1234-1234-1234\",\n  \"source\" : \"/mycontext/subcontext\",\n  \"subject\" : \"\u{20ac} \\u20ac\",\n  \
                 \"datacontenttype\" : \"application/json; charset=utf-8\",\n  \"data\" : { \"message\": \"Hello World!\" }\n}\n";
    for (content_type, body) in [
        ("application/cloudevents+json", event),
        ("application/cloudevents+json; charset=UTF-8", event),
        ("application/cloudevents-batch+json", "[]"),
        (
            "application/cloudevents-batch+json",
            "[ {\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/a\",\"type\":\"b\"} ]",
        ),
        ("application/cloudevents+avro", "\u{1}\u{2}\u{0}"),
    ] {
        let reply = ask(&service, &[("content-type", content_type)], body);
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), Some(content_type));
        assert_eq!(reply.body, body.as_bytes());
        assert_eq!(attributes(&reply), []);
        // Section 3.2.3.1: attributes may stand in headers, too; what they say is not the gateway's to
        // compare.
        let fields = [("content-type", content_type), ("ce-id", "1234-1234-1234")];
        let reply = ask(&service, &fields, body);
        assert_eq!((attributes(&reply).len(), &reply.body[..]), (1, body.as_bytes()));
    }
}

#[test]
fn an_answer_is_an_event_only_if_the_function_says_so() {
    let text = format!(
        "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n{}",
        function("a", "pass", "")
    );
    let service = Service::start(&text).unwrap();
    let fields = [&ATTRIBUTES[..], &[("content-type", "application/json")]].concat();
    let reply = ask(&service, &fields, "{}");
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"{}"[..]));
    assert_eq!(attributes(&reply), []);
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
}
