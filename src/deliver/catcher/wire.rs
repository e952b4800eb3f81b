//! The bytes of the catcher's connections: lines in, replies out, and the faults among them.

use std::io;
use std::time::Duration;

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;

use super::dialog::Dialog;
use super::script::{Action, Stage};

/// Bytes of one command line with its CRLF (RFC 5321 §4.5.3.1.4); longer ones are a breach.
const COMMAND_BYTES_MAX: usize = 512;
/// Bytes of one line that are read before the client is given up; AUTH lines may be long.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Why a dialog ends early.
#[derive(Debug)]
pub(super) enum End {
    /// It was asked to close.
    Closed,
    /// The socket failed.
    Broken,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// The stream of a connection.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// While TLS is being negotiated.
    None,
}

impl Wire {
    pub(super) fn secured(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    fn stream(&mut self) -> io::Result<&mut (dyn Stream + Send)> {
        match self {
            Self::Plain(stream) => Ok(stream),
            Self::Tls(stream) => Ok(stream),
            Self::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn reset(&self) {
        let tcp = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::None => return,
        };
        let _ = tcp.set_zero_linger();
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Dialog {
    /// The next line without its end; replies are flushed when it must be waited for. `None` at the end.
    pub(super) async fn line(&mut self) -> Result<Option<Vec<u8>>, End> {
        let pipelined = !self.input.is_empty();
        let length = loop {
            if let Some(length) = memchr(b'\n', &self.input) {
                break length + 1;
            }
            self.flush().await?;
            if self.input.len() > LINE_BYTES_MAX || !self.fill().await? {
                return Ok(None);
            }
        };
        if pipelined && !self.shared.offers("PIPELINING") {
            self.breach("pipelining that was not offered");
        }
        let line = self.input.split_to(length);
        let Some(text) = line.strip_suffix(b"\r\n") else {
            self.breach("a command with a bare LF");
            return Ok(Some(line[..length - 1].to_vec()));
        };
        if length > COMMAND_BYTES_MAX && !text.starts_with(b"AUTH ") {
            self.breach("a command of more than 512 bytes");
        }
        Ok(Some(text.to_vec()))
    }

    /// Reads what is there; `false` at the end of the stream.
    pub(super) async fn fill(&mut self) -> Result<bool, End> {
        self.input.reserve(64 * 1024);
        Ok(self.wire.stream()?.read_buf(&mut self.input).await? > 0)
    }

    pub(super) fn say(&mut self, reply: &str) {
        self.output.extend_from_slice(reply.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if !self.output.is_empty() {
            let stream = self.wire.stream()?;
            stream.write_all(&self.output).await?;
            stream.flush().await?;
            self.output.clear();
        }
        Ok(())
    }

    pub(super) async fn answer(&mut self, stage: Stage, data: &[u8], reply: &str) -> Result<(), End> {
        self.answered(stage, data, reply).await.map(drop)
    }

    /// Answers with `reply`, or with what the script wants; gives what was said.
    pub(super) async fn answered(&mut self, stage: Stage, data: &[u8], reply: &str) -> Result<String, End> {
        match self.shared.action(stage, data) {
            None | Some(Action::Ok) => self.say(reply),
            Some(Action::Say(instead)) => {
                self.perform(Action::Say(instead.clone()), reply).await?;
                return Ok(instead);
            }
            Some(action) => self.perform(action, reply).await?,
        }
        Ok(reply.to_owned())
    }

    pub(super) async fn perform(&mut self, action: Action, reply: &str) -> Result<(), End> {
        match action {
            Action::Ok | Action::Inject => self.say(reply),
            Action::Say(instead) => {
                self.say(&instead);
                if instead.starts_with("421") {
                    self.flush().await?;
                    return Err(End::Closed);
                }
            }
            Action::Drop => {
                self.flush().await?;
                return Err(End::Closed);
            }
            Action::Reset => {
                self.flush().await?;
                self.wire.reset();
                return Err(End::Closed);
            }
            Action::Stall => {
                self.flush().await?;
                while self.fill().await? {
                    self.input.clear();
                }
                return Err(End::Closed);
            }
            Action::Delay(time) => {
                self.flush().await?;
                sleep(time).await;
                self.say(reply);
            }
            Action::Slow(time) => self.say_slowly(reply, time).await?,
            Action::Garbage => self.output.extend_from_slice(b"\xff\x00\x1b[2J 250 \x80\xfe no reply\r\n"),
            Action::NonUtf8 => self.output.extend_from_slice(b"250 \xb3\xc9\xb9\xa6\r\n"),
            Action::Endless => loop {
                self.output.extend_from_slice(b"250-");
                self.output.extend_from_slice(&[b'x'; 500]);
                self.output.extend_from_slice(b"\r\n");
                self.flush().await?;
            },
        }
        Ok(())
    }

    async fn say_slowly(&mut self, reply: &str, time: Duration) -> Result<(), End> {
        for byte in reply.bytes().chain(*b"\r\n") {
            self.output.push(byte);
            self.flush().await?;
            sleep(time).await;
        }
        Ok(())
    }
}
