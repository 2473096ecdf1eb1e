use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn screened() -> (DuplexStream, Screen<DuplexStream>) {
    let (client, server) = duplex(1 << 16);
    (client, Screen::new(server))
}

/// Whether the screen has nothing to read, not even an end.
async fn is_silent(screen: &mut Screen<DuplexStream>) -> bool {
    timeout(Duration::from_millis(20), screen.read_u8())
        .await
        .is_err()
}

#[test]
fn a_head_is_held_back_until_it_is_whole_and_read_in_pieces_of_any_size() {
    runtime().block_on(async {
        let (mut client, mut screen) = screened();
        client.write_all(&HEAD[..20]).await.unwrap();
        assert!(is_silent(&mut screen).await);
        client.write_all(&HEAD[20..]).await.unwrap();
        client.write_all(&HEAD[..3]).await.unwrap();
        let mut read = vec![0; HEAD.len()];
        for byte in &mut read {
            *byte = screen.read_u8().await.unwrap();
        }
        assert_eq!(read, HEAD);
        assert!(is_silent(&mut screen).await);
        assert_eq!(screen.exchange.passed.get(), 1);
    });
}

#[test]
fn a_stand_in_takes_the_place_of_what_is_refused_behind_what_was_not() {
    runtime().block_on(async {
        let (mut client, mut screen) = screened();
        client.write_all(HEAD).await.unwrap();
        client
            .write_all(b"HEAD / HTTP/1.1\r\n\r\nGET /never HTTP/1.1\r\n")
            .await
            .unwrap();
        let mut read = vec![0; HEAD.len() + STAND_IN_HEAD.len()];
        screen.read_exact(&mut read).await.unwrap();
        assert_eq!(read, [HEAD, STAND_IN_HEAD].concat());
        assert!(is_silent(&mut screen).await);
        assert!(screen.exchange.begin().is_none(), "the first is a request");
        assert!(
            screen.exchange.begin().is_some(),
            "the second stands for the refused one"
        );
    });
}

#[test]
fn an_end_right_after_a_request_waits_for_its_reply() {
    runtime().block_on(async {
        let (mut client, mut screen) = screened();
        client.write_all(HEAD).await.unwrap();
        client.shutdown().await.unwrap();
        let mut read = vec![0; HEAD.len()];
        screen.read_exact(&mut read).await.unwrap();
        let exchange = screen.exchange();
        assert!(exchange.begin().is_none());
        assert!(is_silent(&mut screen).await);
        assert!(exchange.end(), "no request will follow");
        assert!(is_silent(&mut screen).await, "the reply is not written");
        screen.write_all(b"reply").await.unwrap();
        screen.flush().await.unwrap();
        assert_eq!(screen.read(&mut read).await.unwrap(), 0);
    });
}

#[test]
fn an_end_while_the_reply_is_awaited_is_a_client_that_went_away() {
    runtime().block_on(async {
        let (mut client, mut screen) = screened();
        client.write_all(HEAD).await.unwrap();
        let mut read = vec![0; HEAD.len()];
        screen.read_exact(&mut read).await.unwrap();
        assert!(screen.exchange.begin().is_none());
        tokio::time::sleep(HALF_CLOSE * 2).await;
        drop(client);
        assert_eq!(screen.read(&mut read).await.unwrap(), 0);
        assert!(!screen.exchange.end());
    });
}

#[test]
fn an_end_within_a_body_is_told_at_once_and_a_body_that_breaks_its_framing_is_an_error() {
    runtime().block_on(async {
        let (mut client, mut screen) = screened();
        client
            .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf")
            .await
            .unwrap();
        client.shutdown().await.unwrap();
        let mut read = Vec::new();
        screen.read_to_end(&mut read).await.unwrap();
        assert!(read.ends_with(b"half"));
        let (mut client, mut screen) = screened();
        client
            .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n4\nbody")
            .await
            .unwrap();
        let error = screen.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    });
}
