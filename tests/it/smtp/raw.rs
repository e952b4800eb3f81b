//! Servers that do what no rule of the catcher does, byte by byte.

use std::net::Ipv4Addr;

use bespoke::deliver::classify::{Disposition, classify};
use bespoke::deliver::smtp::{Cause, Failure, Phase, Relay, Security, prepare};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::helpers::{catcher, connect, envelope, impatient, relay, send_over};

/// More than the buffers of a loopback connection hold.
const LARGE_BYTES: usize = 48 * 1024 * 1024;

/// Serves one connection with `talk`.
async fn server<F, T>(talk: T) -> (u16, JoinHandle<()>)
where
    F: Future<Output = ()> + Send,
    T: FnOnce(TcpStream) -> F + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        talk(stream).await;
    });
    (port, task)
}

/// Reads until `end` was said, then answers.
async fn hear(stream: &mut TcpStream, end: &str, answer: &str) {
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        heard.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Up to 354, one command at a time.
async fn invite(stream: &mut TcpStream) {
    stream.write_all(b"220 raw\r\n").await.unwrap();
    hear(stream, "\r\n", "250 raw\r\n").await;
    hear(stream, "\r\n", "250 ok\r\n").await;
    hear(stream, "\r\n", "250 ok\r\n").await;
    hear(stream, "\r\n", "354 go\r\n").await;
}

async fn send_large(relay: Relay) -> Failure {
    let line = [&[b'x'; 70][..], b"\r\n"].concat();
    let message = prepare(line.repeat(LARGE_BYTES / line.len())).unwrap();
    let mut session = connect(relay).await.unwrap();
    let envelope = envelope("ada@x.test");
    let failure = session.begin(&envelope, &message).await.unwrap().submit().await.unwrap_err();
    assert!(!session.is_usable());
    failure
}

#[tokio::test]
async fn a_server_that_stops_reading_has_not_got_the_message() {
    let (port, task) = server(|mut stream| async move {
        invite(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let failure = send_large(impatient(relay(port), Phase::Body)).await;
    assert!(matches!(failure, Failure::Broken { phase: Phase::Body, cause: Cause::Timeout(_) }), "{failure}");
    assert!(!failure.is_ambiguous());
    assert_eq!(classify(&failure), Disposition::Deferred);
    task.abort();
}

#[tokio::test]
async fn a_server_that_closes_in_the_middle_of_the_message_has_not_got_it() {
    let (port, _task) = server(|mut stream| async move {
        invite(&mut stream).await;
        stream.read_exact(&mut [0; 10_000]).await.unwrap();
    })
    .await;
    let failure = send_large(relay(port)).await;
    assert!(matches!(failure, Failure::Broken { phase: Phase::Body, .. }), "{failure}");
    assert_eq!(classify(&failure), Disposition::Deferred);
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_the_message_is_heard() {
    let (port, task) = server(|mut stream| async move {
        invite(&mut stream).await;
        stream.read_exact(&mut [0; 10_000]).await.unwrap();
        stream.write_all(b"552 5.3.4 too large\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let failure = send_large(relay(port)).await;
    let Failure::Refused { phase: Phase::Body, reply } = &failure else { panic!("{failure}") };
    assert_eq!((reply.code, classify(&failure)), (552, Disposition::SoftBounce));
    task.abort();
}

#[tokio::test]
async fn an_acceptance_before_the_end_of_the_message_is_none() {
    let (port, task) = server(|mut stream| async move {
        invite(&mut stream).await;
        stream.read_exact(&mut [0; 10_000]).await.unwrap();
        stream.write_all(b"250 2.0.0 done\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let failure = send_large(relay(port)).await;
    assert!(
        matches!(failure, Failure::Broken { phase: Phase::Body, cause: Cause::Unexpected(_) }),
        "{failure}"
    );
    assert!(!failure.is_ambiguous());
    task.abort();
}

#[tokio::test]
async fn only_250_is_an_acceptance() {
    for (answer, ambiguous) in [
        ("354 go\r\n", true),
        ("251 forwarded\r\n", true),
        ("221 bye\r\n", true),
        ("what\r\n", true),
        ("2\r\n", true),
        ("", true),
        ("421 4.3.2 closing\r\n", false),
        ("554 5.7.1 no\r\n", false),
    ] {
        let (port, task) = server(move |mut stream| async move {
            invite(&mut stream).await;
            hear(&mut stream, "\r\n.\r\n", answer).await;
        })
        .await;
        let mut session = connect(relay(port)).await.unwrap();
        let failure = send_over(&mut session, "ada@x.test").await.unwrap_err();
        assert_eq!(failure.is_ambiguous(), ambiguous, "{answer:?}: {failure}");
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_250_that_is_not_utf8_is_an_acceptance() {
    let catcher = catcher(&["reply=nonutf8"]).await;
    let mut session = connect(relay(catcher.port())).await.unwrap();
    for to in ["ada@x.test", "bob@x.test"] {
        let reply = send_over(&mut session, to).await.unwrap();
        assert_eq!((reply.code, reply.text.contains('\u{fffd}')), (250, true));
    }
    assert_eq!((catcher.accepted_count(), catcher.connections_count()), (2, 1));
}

#[tokio::test]
async fn a_half_open_connection_and_a_silent_handshake_meet_their_deadlines() {
    for (security, phase) in [(Security::None, Phase::Greeting), (Security::Implicit, Phase::Tls)] {
        let (port, task) = server(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let failure = connect(impatient(Relay { security, ..relay(port) }, phase)).await.unwrap_err();
        assert!(
            matches!(&failure, Failure::Broken { phase: seen, cause: Cause::Timeout(_) } if *seen == phase),
            "{failure}"
        );
        task.abort();
    }
}

#[tokio::test]
async fn a_refused_connection_is_deferred_and_says_where() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    let failure = connect(relay(port)).await.unwrap_err();
    assert_eq!(classify(&failure), Disposition::Deferred);
    assert!(failure.to_string().contains(&format!("127.0.0.1:{port}")), "{failure}");
    let failure = connect(Relay { host: "no-such-host.invalid".into(), ..relay(25) }).await.unwrap_err();
    assert_eq!((failure.phase(), classify(&failure)), (Phase::Connect, Disposition::Deferred));
}
