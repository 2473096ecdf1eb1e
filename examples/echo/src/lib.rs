//! The smallest function: it answers with what it was sent. Copy this package to write your own.

use hacher::{Failure, Input, Output};

/// Sends its input to the port `out`, and says that it is what the input was: what a body is, each function
/// says of its own.
///
/// # Errors
/// A transient [`Failure`] when the input does not arrive whole; the chain then tries again.
pub fn echo(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut out = output.out()?;
    if let Some(part) = input.parts().first() {
        out.describe_as(part)?; // the same content type and coding
    }
    let body = input.bytes()?; // opened into this trustlet's private memory, checked, whole
    out.append(body) // sealed and handed over once this handler has returned
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher::harness::Call;

    #[test]
    fn the_body_and_its_headers_come_back() {
        let reply = Call::new()
            .body(b"hello")
            .content_type("text/plain")
            .header("ce-id", "7")
            .header("traceparent", "00-4bf9")
            .run(echo);

        let record = reply.port("out").expect("echo writes to `out`");
        assert_eq!(record.body(), b"hello");
        assert_eq!(record.content_type(), Some("text/plain"));
        assert_eq!(record.header("traceparent"), Some("00-4bf9"));
        assert_eq!(
            record.header("ce-id"),
            None,
            "the answer is not the event that was asked"
        );
    }

    #[test]
    fn an_empty_body_is_an_answer_too() {
        let reply = Call::new().body(b"").run(echo);
        assert_eq!(reply.port("out").expect("echo writes to `out`").body(), b"");
    }

    #[test]
    fn a_body_of_many_segments_comes_back_whole() {
        let body: Vec<u8> = (0..=250).cycle().take(1_000_000).collect();
        let reply = Call::new().body(&body).run(echo);
        assert!(reply.port("out").expect("echo writes to `out`").body() == body);
    }
}
