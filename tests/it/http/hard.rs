//! Clients that are slow, silent, greedy or many.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Client;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::judge;
use crate::support::not_tested;
use crate::support::program::Program;

const SHORT: &str = "[http]\nheader_timeout_seconds = 2\nrequest_timeout_seconds = 2\n";

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn slow_and_silent_clients_are_cut_off_and_others_are_served_meanwhile() {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/slowclient.py");
    let Some(python) = judge::python_with("socket") else { return };
    if !tool.exists() {
        return not_tested("slow clients: ../shared/tools/slowclient.py is not here");
    }
    let program = Program::new(SHORT);
    let server = program.serves(&[]).await;
    let (host, port) = server.address().split_once(':').unwrap();
    let said = judge::run(&python, ".", &[tool.to_str().unwrap(), host, port, "30"]).await;
    assert!(said.ends_with("PASS\n"), "{said}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let program = Program::new(SHORT);
    let server = program.serves(&[]).await;
    let key = program.says(&["keys", "create", "web", "--scope", "ingest"]).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST /v1/track HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n\r\n{{",
        key.trim()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_and_are_served_when_others_end() {
    let program = Program::new(&format!("{SHORT}connections_max = 2\n"));
    let server = program.serves(&[]).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(server.address()).await.unwrap());
    }
    let answer = client().get(format!("{}/healthz", server.url)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test]
async fn without_free_file_handles_it_waits_and_goes_on() {
    let program = Program::new(SHORT);
    let server = program.serves(&["prlimit", "--nofile=40"]).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(server.address()).await.unwrap());
    }
    drop(silent);
    let answer = client().get(format!("{}/readyz", server.url)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test]
async fn ten_megabytes_that_open_to_ten_gigabytes_are_refused_in_little_memory() {
    let program = Program::new("");
    let server = program.serves(&[]).await;
    let key = program.says(&["keys", "create", "web", "--scope", "ingest"]).await;
    // One member of 64 MiB, 160 times over: gzip files may follow one another.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 64 * 1024 * 1024]).unwrap();
    let bomb = encoder.finish().unwrap().repeat(160);
    assert!((9_000_000..12_000_000).contains(&bomb.len()), "{}", bomb.len());
    let request = client().post(format!("{}/v1/batch", server.url)).bearer_auth(key.trim());
    let answer = request.header("content-encoding", "gzip").body(bomb).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 413);
    assert!(server.peak_memory_bytes() < 200_000_000, "{}", server.peak_memory_bytes());
    let answer = client().get(format!("{}/healthz", server.url)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test]
async fn who_is_refused_hears_so_though_they_have_not_finished() {
    let program = Program::new("");
    let server = program.serves(&[]).await;
    let key = program.says(&["keys", "create", "web", "--scope", "ingest"]).await;
    let body = vec![b' '; 20 * 1024 * 1024];
    for (path, key, expected) in [
        ("/v1/batch", "bsp_x_y", 401),
        ("/v1/batch", key.trim(), 413),
        ("/v1/send", key.trim(), 403),
        ("/v1/nothing", key.trim(), 404),
        ("/healthz", key.trim(), 405),
    ] {
        let request = client().post(format!("{}{path}", server.url)).bearer_auth(key);
        let answer =
            request.body(body.clone()).send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status().as_u16(), expected, "{path}");
        assert!(answer.text().await.unwrap().contains("\"detail\""), "{path}");
    }
}
