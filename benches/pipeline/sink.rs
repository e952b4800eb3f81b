//! As little of an SMTP server as a worker needs, so that a bench measures the worker.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;

/// Accepts everything, keeps nothing, until standard input ends. It answers after `delay`, as if it were that far away.
pub(crate) async fn serve(delay: Duration) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("a port").port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(swallow(stream, delay));
        }
    });
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
}

/// As little as a server can do.
async fn swallow(mut stream: tokio::net::TcpStream, delay: Duration) -> std::io::Result<()> {
    let end_of_mail = memchr::memmem::Finder::new(b"\r\n.\r\n");
    let (mut input, mut replies) = (Vec::with_capacity(256 * 1024), Vec::from(b"220 sink\r\n"));
    let mut in_mail = false;
    stream.set_nodelay(true)?;
    loop {
        if !delay.is_zero() && !replies.is_empty() {
            tokio::time::sleep(delay).await;
        }
        stream.write_all(&replies).await?;
        replies.clear();
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let mut used = 0;
        loop {
            let rest = &input[used..];
            if in_mail {
                // What was searched already is few kilobytes of a mail.
                let Some(end) = end_of_mail.find(rest) else { break };
                used += end + 5;
                in_mail = false;
                replies.extend_from_slice(b"250 2.0.0 ok\r\n");
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else { break };
            used += end + 1;
            replies.extend_from_slice(match &rest[..rest.len().min(4)] {
                b"EHLO" => b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n".as_slice(),
                b"DATA" => {
                    in_mail = true;
                    b"354 go\r\n"
                }
                b"QUIT" => b"221 bye\r\n",
                _ => b"250 ok\r\n",
            });
        }
        input.drain(..used);
    }
}
