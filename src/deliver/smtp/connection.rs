//! The bytes of one connection: writes and replies, each under the deadline of its phase.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;

use super::deadlines::Deadlines;
use super::failure::{Cause, Failure, Phase};
use super::reply::{Reply, take_reply};
use super::tls::{Connector, cause};

/// Bytes taken from the socket at a time: replies are short.
const READ_BYTES: usize = 2048;

/// A stream and what was read from it beyond the last reply.
///
/// Any error leaves it in an unknown state: the owner drops it, which closes the socket. Futures of its methods
/// that are dropped half-way leave it so too, which is why a session moves its connection out before it awaits.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    buffer: BytesMut,
    deadlines: Deadlines,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Resolves the relay's host and connects to the first address that answers.
    pub(super) async fn open(connector: &Connector) -> Result<Self, Failure> {
        let relay = connector.relay();
        let deadlines = relay.deadlines;
        let limit = deadlines.of(Phase::Connect);
        let broken = |cause| Failure::Broken { phase: Phase::Connect, cause };
        let end = Instant::now() + limit;
        let addresses: Vec<SocketAddr> = timeout_at(end, lookup_host((relay.host_name(), relay.port)))
            .await
            .map_err(|_| broken(Cause::Timeout(limit)))?
            .map_err(|error| broken(Cause::Io(format!("{}: {error}", relay.host))))?
            .collect();
        let mut last = Cause::Io(format!("{} has no address", relay.host));
        for (index, address) in addresses.iter().enumerate() {
            // An address that is silent may not use up the time of those after it.
            let left = end.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            last = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(|error| broken(cause(&error)))?;
                    return Ok(Self { stream: Stream::Plain(stream), buffer: BytesMut::new(), deadlines });
                }
                Ok(Err(error)) => Cause::Io(format!("{address}: {error}")),
                Err(_) => Cause::Timeout(limit),
            };
        }
        Err(broken(last))
    }

    /// Puts TLS over a plain connection. What was read so far must have been used up.
    pub(super) async fn secure(self, connector: &Connector) -> Result<Self, Failure> {
        let broken = |cause| Failure::Broken { phase: Phase::Tls, cause };
        if !self.buffer.is_empty() {
            return Err(broken(Cause::PlaintextInjected));
        }
        let Stream::Plain(stream) = self.stream else {
            return Err(broken(Cause::Tls("TLS is already on".to_owned())));
        };
        let limit = self.deadlines.of(Phase::Tls);
        let stream = timeout(limit, connector.handshake(stream))
            .await
            .map_err(|_| broken(Cause::Timeout(limit)))?
            .map_err(broken)?;
        Ok(Self { stream: Stream::Tls(Box::new(stream)), ..self })
    }

    /// Whether a password may be said here: inside TLS, or without leaving this machine.
    pub(super) fn is_private(&self) -> bool {
        match &self.stream {
            Stream::Tls(_) => true,
            Stream::Plain(stream) => stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()),
        }
    }

    /// Our end of the connection.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        match &self.stream {
            Stream::Tls(stream) => stream.get_ref().0.local_addr(),
            Stream::Plain(stream) => stream.local_addr(),
        }
    }

    /// Writes commands and flushes them.
    pub(super) async fn write(&mut self, bytes: &[u8], phase: Phase) -> Result<(), Failure> {
        let limit = self.deadlines.of(phase);
        let writing = async {
            let mut written = 0;
            while written < bytes.len() {
                written += poll_fn(|context| self.stream.poll_write(context, &bytes[written..])).await?;
            }
            self.stream.flush().await
        };
        match timeout(limit, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::Broken { phase, cause: cause(&error) }),
            Err(_) => Err(Failure::Broken { phase, cause: Cause::Timeout(limit) }),
        }
    }

    /// Reads one whole reply.
    pub(super) async fn read_reply(&mut self, phase: Phase) -> Result<Reply, Failure> {
        let limit = self.deadlines.of(phase);
        match timeout(limit, self.next_reply()).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(cause)) => Err(Failure::Broken { phase, cause }),
            Err(_) => Err(Failure::Broken { phase, cause: Cause::Timeout(limit) }),
        }
    }

    /// Says one command and reads its reply. Words that came before it was said cannot be its reply.
    pub(super) async fn exchange(&mut self, command: &[u8], phase: Phase) -> Result<Reply, Failure> {
        if !self.buffer.is_empty() {
            let cause = Cause::Garbage("more than it was asked for".to_owned());
            return Err(Failure::Broken { phase, cause });
        }
        self.write(command, phase).await?;
        self.read_reply(phase).await
    }

    /// Writes a prepared message, final dot included, in as few writes as the socket takes.
    ///
    /// A failure is of [`Phase::Body`] while a byte of the ending is unwritten, else of [`Phase::Dot`]. A server
    /// that answers before it has the whole message is listened to: a refusal is taken for what it is.
    pub(super) async fn write_message(&mut self, wire: &[u8]) -> Result<(), Failure> {
        let mut written = 0;
        let limit = self.deadlines.of(Phase::Body);
        let ended = timeout(limit, self.write_listening(wire, &mut written)).await;
        let phase = if written < wire.len() { Phase::Body } else { Phase::Dot };
        let cause = match ended {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(cause)) => cause,
            Err(_) => Cause::Timeout(limit),
        };
        match cause {
            Cause::Unexpected(reply) if !reply.is_positive() => Err(Failure::Refused { phase, reply }),
            cause => Err(Failure::Broken { phase, cause }),
        }
    }

    async fn write_listening(&mut self, wire: &[u8], written: &mut usize) -> Result<(), Cause> {
        let mut scanned = 0;
        while *written < wire.len() {
            let wrote = poll_fn(|context| {
                if let Poll::Ready(wrote) = self.stream.poll_write(context, &wire[*written..]) {
                    return Poll::Ready(wrote.map(Some));
                }
                self.poll_fill(context).map_ok(|()| None)
            })
            .await;
            match wrote {
                Ok(Some(count)) => *written += count,
                // The server spoke too early, or the socket broke and may hold its parting words.
                Ok(None) => {}
                Err(error) => {
                    let _ = poll_fn(|context| self.poll_fill(context)).now_or_never();
                    let parting = take_reply(&mut self.buffer, &mut scanned);
                    return Err(parting.ok().flatten().map_or(cause(&error), Cause::Unexpected));
                }
            }
            if let Some(reply) = take_reply(&mut self.buffer, &mut scanned).map_err(Cause::Garbage)? {
                return Err(Cause::Unexpected(reply));
            }
        }
        self.stream.flush().await.map_err(|error| cause(&error))
    }

    /// Whether nothing was received that nobody asked for, as far as this end can know without waiting.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.buffer.is_empty() && poll_fn(|context| self.poll_fill(context)).now_or_never().is_none()
    }

    /// Says goodbye and closes, within the deadline of [`Phase::Quit`]; how the server takes it does not matter.
    pub(super) async fn quit(mut self) {
        let limit = self.deadlines.of(Phase::Quit);
        let _ = timeout(limit, async {
            if self.exchange(b"QUIT\r\n", Phase::Quit).await.is_ok() {
                let _ = self.stream.shutdown().await;
            }
        })
        .await;
    }

    async fn next_reply(&mut self) -> Result<Reply, Cause> {
        let mut scanned = 0;
        loop {
            if let Some(reply) = take_reply(&mut self.buffer, &mut scanned).map_err(Cause::Garbage)? {
                return Ok(reply);
            }
            poll_fn(|context| self.poll_fill(context)).await.map_err(|error| cause(&error))?;
        }
    }

    /// Reads what is there into the buffer; the end of the stream is an error.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0_u8; READ_BYTES];
        let mut read = ReadBuf::new(&mut bytes);
        match self.stream.poll_read(context, &mut read) {
            Poll::Ready(Ok(())) if read.filled().is_empty() => {
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            Poll::Ready(Ok(())) => {
                self.buffer.extend_from_slice(read.filled());
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl Stream {
    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        match wrote {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            other => other,
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush().await,
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
        }
    }
}
