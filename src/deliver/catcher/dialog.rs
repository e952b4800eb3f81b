//! One connection of the catcher: commands in, replies and faults out.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf, BytesMut};
use memchr::{memchr, memmem};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::script::{Action, Stage};
use super::wire::{End, Wire};
use super::{Caught, Shared, TlsStart};

/// Bytes of one message, announced as SIZE.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a line of a message without its CRLF.
const TEXT_LINE_BYTES_MAX: usize = 998;

/// A connection and where its conversation stands.
pub(super) struct Dialog {
    pub(super) wire: Wire,
    pub(super) input: BytesMut,
    pub(super) output: Vec<u8>,
    pub(super) shared: Arc<Shared>,
    connection: u64,
    logged_in: bool,
    transaction: Option<Transaction>,
}

struct Transaction {
    sender: String,
    recipients: Vec<String>,
    eight_bit: bool,
    utf8: bool,
}

impl Dialog {
    pub(super) async fn run(stream: TcpStream, shared: Arc<Shared>, connection: u64) {
        let _ = stream.set_nodelay(true);
        let mut dialog = Self {
            wire: Wire::Plain(stream),
            input: BytesMut::with_capacity(64 * 1024),
            output: Vec::with_capacity(512),
            shared,
            connection,
            logged_in: false,
            transaction: None,
        };
        if dialog.converse().await.is_ok() {
            let _ = dialog.flush().await;
        }
    }

    async fn converse(&mut self) -> Result<(), End> {
        let tls = self.shared.options.tls.as_ref();
        if tls.is_some_and(|tls| tls.start == TlsStart::Implicit) {
            self.start_tls().await?;
        }
        self.answer(Stage::Connect, b"", "220 catcher.test ESMTP").await?;
        loop {
            let Some(line) = self.line().await? else { return Ok(()) };
            let command = String::from_utf8_lossy(&line).into_owned();
            let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            if verb == "AUTH" {
                self.shared.note_command(command.split(' ').take(2).collect::<Vec<_>>().join(" "));
            } else {
                self.shared.note_command(command.clone());
            }
            match verb.as_str() {
                "EHLO" | "HELO" => self.ehlo(&line).await?,
                "STARTTLS" => self.starttls(&line).await?,
                "AUTH" => self.auth(&command).await?,
                "MAIL" => self.mail(&command).await?,
                "RCPT" => self.rcpt(&command).await?,
                "DATA" => self.data(&line).await?,
                "RSET" => {
                    self.transaction = None;
                    self.answer(Stage::Rset, &line, "250 2.0.0 ok").await?;
                }
                "NOOP" => self.say("250 2.0.0 ok"),
                "QUIT" => {
                    self.answer(Stage::Quit, &line, "221 2.0.0 bye").await?;
                    return Ok(());
                }
                _ => {
                    self.breach(&format!("unknown command {command:?}"));
                    self.say("500 5.5.2 what");
                }
            }
        }
    }

    async fn ehlo(&mut self, line: &[u8]) -> Result<(), End> {
        self.transaction = None;
        let options = &self.shared.options;
        let size = format!("SIZE {MESSAGE_BYTES_MAX}");
        let mut lines = vec!["catcher.test"];
        let offers = ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", &size];
        let offered = |keyword: &&str| self.shared.offers(keyword.split(' ').next().unwrap_or_default());
        lines.extend(offers.into_iter().filter(offered));
        let starttls = options.tls.as_ref().is_some_and(|tls| tls.start == TlsStart::StartTls);
        if starttls && !self.wire.secured() && self.shared.offers("STARTTLS") {
            lines.push("STARTTLS");
        }
        let mechanisms: Vec<_> =
            ["PLAIN", "LOGIN", "XOAUTH2"].into_iter().filter(|name| self.shared.offers(name)).collect();
        let auth = format!("AUTH {}", mechanisms.join(" "));
        if options.login.is_some() && !mechanisms.is_empty() {
            lines.push(&auth);
        }
        let last = lines.len() - 1;
        let reply: Vec<_> = lines
            .iter()
            .enumerate()
            .map(|(index, line)| format!("250{}{line}", if index == last { ' ' } else { '-' }))
            .collect();
        self.answer(Stage::Ehlo, line, &reply.join("\r\n")).await
    }

    async fn starttls(&mut self, line: &[u8]) -> Result<(), End> {
        match self.shared.action(Stage::StartTls, line) {
            None | Some(Action::Ok) => self.say("220 2.0.0 go"),
            Some(Action::Inject) => self.say("220 2.0.0 go\r\n250-injected.test\r\n250 AUTH PLAIN"),
            Some(action) => return self.perform(action, "220 2.0.0 go").await,
        }
        self.flush().await?;
        if !self.input.is_empty() {
            self.breach("plaintext behind STARTTLS");
        }
        self.start_tls().await
    }

    async fn start_tls(&mut self) -> Result<(), End> {
        let Some(tls) = self.shared.options.tls.clone() else { return Err(End::Broken) };
        let Wire::Plain(stream) = std::mem::replace(&mut self.wire, Wire::None) else {
            return Err(End::Broken);
        };
        self.wire = Wire::Tls(Box::new(tls.acceptor.accept(stream).await?));
        Ok(())
    }

    async fn auth(&mut self, command: &str) -> Result<(), End> {
        let starttls = self.shared.options.tls.is_some();
        if starttls && !self.wire.secured() {
            self.breach("AUTH before TLS");
        }
        let mut words = command.split(' ').skip(1);
        let (mechanism, initial) = (words.next().unwrap_or_default(), words.next());
        let mut said = Vec::new();
        match (mechanism, initial) {
            ("PLAIN" | "XOAUTH2", Some(initial)) => said.push(decoded(initial.as_bytes())),
            ("LOGIN", None) => {
                for prompt in ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"] {
                    self.say(prompt);
                    said.push(decoded(&self.line().await?.ok_or(End::Broken)?));
                }
            }
            _ => {
                self.say("504 5.5.4 mechanism or form not supported");
                return Ok(());
            }
        }
        let good = self.shared.options.login.as_ref().is_some_and(|(user, password)| match mechanism {
            "PLAIN" => said == [format!("\0{user}\0{password}").into_bytes()],
            "LOGIN" => said == [user.as_bytes(), password.as_bytes()],
            _ => said == [format!("user={user}\x01auth=Bearer {password}\x01\x01").into_bytes()],
        });
        if !good && mechanism == "XOAUTH2" {
            self.say("334 eyJzdGF0dXMiOiI0MDEifQ==");
            self.line().await?;
        }
        self.logged_in = good;
        let reply = if good { "235 2.7.0 ok" } else { "535 5.7.8 bad credentials" };
        self.answer(Stage::Auth, mechanism.as_bytes(), reply).await
    }

    async fn mail(&mut self, command: &str) -> Result<(), End> {
        let mut reply = "250 2.1.0 ok";
        if self.shared.options.login.is_some() && !self.logged_in {
            reply = "530 5.7.0 log in first";
        } else if self.transaction.is_some() {
            reply = "503 5.5.1 a transaction is open";
        }
        let upper = command.to_ascii_uppercase();
        let sent = self.answered(Stage::Mail, command.as_bytes(), reply).await?;
        if sent.starts_with("250") {
            self.transaction = Some(Transaction {
                sender: path(command),
                recipients: Vec::new(),
                eight_bit: upper.contains(" BODY=8BITMIME"),
                utf8: upper.contains(" SMTPUTF8"),
            });
        }
        Ok(())
    }

    async fn rcpt(&mut self, command: &str) -> Result<(), End> {
        let Some(transaction) = &self.transaction else {
            self.say("503 5.5.1 MAIL first");
            return Ok(());
        };
        if !command.is_ascii() && !transaction.utf8 {
            self.breach("an address that is not ASCII without SMTPUTF8");
        }
        let sent = self.answered(Stage::Rcpt, command.as_bytes(), "250 2.1.5 ok").await?;
        if let Some(transaction) = self.transaction.as_mut().filter(|_| sent.starts_with("250")) {
            transaction.recipients.push(path(command));
        }
        Ok(())
    }

    async fn data(&mut self, line: &[u8]) -> Result<(), End> {
        let Some(transaction) = self.transaction.take_if(|transaction| !transaction.recipients.is_empty())
        else {
            // A rule may answer 354 all the same, as some servers do.
            let sent = self.answered(Stage::Data, line, "554 5.5.1 no valid recipients").await?;
            if sent.starts_with("354") {
                let empty = self.message(b"").await?.is_empty();
                self.say(if empty { "554 5.5.1 no valid recipients" } else { "554 5.5.1 for nobody" });
            }
            return Ok(());
        };
        let to = transaction.recipients.join(" ").into_bytes();
        let sent = self.answered(Stage::Data, &to, "354 go").await?;
        if !sent.starts_with("354") {
            self.transaction = Some(transaction);
            return Ok(());
        }
        let stuffed = self.message(&to).await?;
        let message = self.unstuffed(&stuffed, &transaction);
        let key = [&to[..], b" ", &message].concat();
        match self.shared.action(Stage::Dot, &key) {
            None | Some(Action::Ok) => {}
            Some(action) => return self.perform(action, "250 2.0.0 ok").await,
        }
        self.shared.accept(Caught {
            connection: self.connection,
            sender: transaction.sender,
            recipients: transaction.recipients,
            message,
            secured: self.wire.secured(),
        });
        self.answer(Stage::Reply, &key, "250 2.0.0 ok, kept").await
    }

    /// The bytes of a message up to its final dot.
    async fn message(&mut self, to: &[u8]) -> Result<Vec<u8>, End> {
        self.flush().await?;
        let mut searched = 0;
        let mut first = true;
        loop {
            let length = if self.input.starts_with(b".\r\n") {
                Some(0)
            } else {
                memmem::find(&self.input[searched..], b"\r\n.\r\n").map(|at| searched + at + 2)
            };
            if first && !self.input.is_empty() {
                first = false;
                match self.shared.action(Stage::Body, to) {
                    None | Some(Action::Ok) => {}
                    Some(Action::Delay(time)) => sleep(time).await,
                    Some(action) => {
                        self.perform(action, "").await?;
                        self.flush().await?;
                    }
                }
            }
            if let Some(length) = length {
                let message = self.input[..length].to_vec();
                self.input.advance(length + 3);
                if !self.input.is_empty() {
                    self.breach("bytes behind the end of the message");
                    self.input.clear();
                }
                return Ok(message);
            }
            searched = self.input.len().saturating_sub(4);
            if self.input.len() > MESSAGE_BYTES_MAX || !self.fill().await? {
                return Err(End::Broken);
            }
        }
    }

    /// Notes a breach of the protocol.
    pub(super) fn breach(&self, what: &str) {
        self.shared.note_violation(format!("connection {}: {what}", self.connection));
    }

    /// The message with its dots as meant; notes what the protocol forbids.
    fn unstuffed(&self, stuffed: &[u8], transaction: &Transaction) -> Vec<u8> {
        let mut message = Vec::with_capacity(stuffed.len());
        let mut rest = stuffed;
        while !rest.is_empty() {
            let end = memmem::find(rest, b"\r\n").unwrap_or(rest.len());
            let (line, tail) = rest.split_at(end);
            let line = line.strip_prefix(b".").unwrap_or(line);
            if memchr::memchr2(b'\r', b'\n', line).is_some() {
                self.breach("a bare CR or LF in the message");
            }
            if line.len() > TEXT_LINE_BYTES_MAX {
                self.breach("a line of more than 998 bytes");
            }
            message.extend_from_slice(line);
            let line_end = &tail[..tail.len().min(2)];
            message.extend_from_slice(line_end);
            rest = &tail[line_end.len()..];
        }
        if memchr(0, &message).is_some() {
            self.breach("NUL in the message");
        }
        if !message.is_ascii() && !transaction.eight_bit {
            self.breach("8-bit bytes without BODY=8BITMIME");
        }
        message
    }
}

/// The address between the angle brackets of MAIL or RCPT.
fn path(command: &str) -> String {
    let inside = command.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or(String::new(), |(address, _)| address.to_owned())
}

fn decoded(base64: &[u8]) -> Vec<u8> {
    BASE64.decode(base64).unwrap_or_default()
}
