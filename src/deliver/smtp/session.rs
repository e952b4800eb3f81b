//! One logged-in conversation with a relay, from the greeting to QUIT.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lettre::transport::smtp::authentication::{self, Mechanism};
use lettre::transport::smtp::commands::{Ehlo, Starttls};
use lettre::transport::smtp::extension::ClientId;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::connection::Connection;
use super::envelope::Reset;
use super::extension::Extensions;
use super::failure::{Cause, Failure, Phase};
use super::relay::{Credentials, Security};
use super::reply::Reply;
use super::tls::Connector;

/// Mechanisms in the order in which we choose among those that a server offers.
const MECHANISMS: [Mechanism; 3] = [Mechanism::Plain, Mechanism::Login, Mechanism::Xoauth2];

/// A conversation that is ready for the next message.
///
/// Invariant: `connection` is `Some` exactly while no command is unanswered and no byte unexplained. Every method
/// moves the connection out before it awaits and puts it back only at a clean end; so an error, a deadline, or a
/// caller that drops the future closes the socket, and no half-used connection can be used again.
#[derive(Debug)]
pub struct Session {
    pub(super) connector: Arc<Connector>,
    pub(super) connection: Option<Connection>,
    pub(super) extensions: Extensions,
    /// Whether the server still holds a refused transaction; RSET then goes out with the next one.
    pub(super) reset: Reset,
    /// Messages whose final dot was answered.
    pub(super) messages_count: u32,
    opened_at: Instant,
    /// What went wrong last, for the pool to see whether the relay is at fault.
    pub(super) last_failure: Option<Failure>,
}

impl Session {
    /// Connects, secures and logs in.
    ///
    /// # Errors
    ///
    /// The phase that failed, and how. No mail and, without TLS on a connection that leaves this machine, no
    /// password has been said then.
    pub async fn connect(connector: &Arc<Connector>) -> Result<Self, Failure> {
        let relay = connector.relay();
        let mut connection = Connection::open(connector).await?;
        if relay.security == Security::Implicit {
            connection = connection.secure(connector).await?;
        }
        expect(connection.read_reply(Phase::Greeting).await?, Phase::Greeting, 220)?;
        let ehlo = Ehlo::new(client_id(connector, &connection)).to_string();
        let mut extensions = say_ehlo(&mut connection, &ehlo).await?;
        if relay.security == Security::StartTls {
            if !extensions.starttls {
                return Err(broken(Phase::Tls, Cause::StartTlsMissing));
            }
            let reply = connection.exchange(Starttls.to_string().as_bytes(), Phase::Tls).await?;
            expect(reply, Phase::Tls, 220)?;
            connection = connection.secure(connector).await?;
            extensions = say_ehlo(&mut connection, &ehlo).await?;
        }
        if let Some(credentials) = &relay.credentials {
            log_in(&mut connection, credentials, &extensions).await?;
        }
        Ok(Self {
            connector: Arc::clone(connector),
            connection: Some(connection),
            extensions,
            reset: Reset::NotNeeded,
            messages_count: 0,
            opened_at: Instant::now(),
            last_failure: None,
        })
    }

    /// The relay's name.
    pub fn relay_name(&self) -> &str {
        &self.connector.relay().name
    }

    /// What the server offers.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Whether another message can be sent over this session. After any failure other than a clean refusal it
    /// cannot: the connection is closed.
    pub fn is_usable(&self) -> bool {
        self.connection.is_some()
    }

    /// Messages that were answered on this session, accepted or refused.
    pub fn messages_count(&self) -> u32 {
        self.messages_count
    }

    /// Time since the login.
    pub fn age(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Ends the session with QUIT, within its deadline.
    pub async fn quit(mut self) {
        if let Some(connection) = self.connection.take() {
            connection.quit().await;
        }
    }
}

/// The name we give ourselves: as configured, or the address the server sees at least on our side of a NAT
/// (RFC 5321 §4.1.4).
fn client_id(connector: &Connector, connection: &Connection) -> ClientId {
    if let Some(name) = &connector.relay().ehlo_name {
        return ClientId::Domain(name.clone());
    }
    match connection.local_address().map(|address| address.ip().to_canonical()) {
        Ok(IpAddr::V4(ip)) => ClientId::Ipv4(ip),
        Ok(IpAddr::V6(ip)) => ClientId::Ipv6(ip),
        Err(_) => ClientId::default(),
    }
}

async fn say_ehlo(connection: &mut Connection, ehlo: &str) -> Result<Extensions, Failure> {
    let reply = connection.exchange(ehlo.as_bytes(), Phase::Ehlo).await?;
    Ok(Extensions::parse(&expect(reply, Phase::Ehlo, 250)?.text))
}

/// AUTH (RFC 4954) with the stated mechanism, or the first of ours that the server offers.
async fn log_in(
    connection: &mut Connection,
    credentials: &Credentials,
    extensions: &Extensions,
) -> Result<(), Failure> {
    let unavailable = |why: &str| broken(Phase::Auth, Cause::AuthUnavailable(why.to_owned()));
    if !connection.is_private() {
        return Err(unavailable("the password would go out in clear"));
    }
    let offered = |mechanism: &Mechanism| extensions.auth.contains(mechanism);
    let mechanism = match credentials.mechanism {
        Some(stated) if offered(&stated) => stated,
        Some(stated) => return Err(unavailable(&format!("the server does not offer {stated}"))),
        None => MECHANISMS
            .into_iter()
            .find(offered)
            .ok_or_else(|| unavailable("the server offers none of PLAIN, LOGIN, XOAUTH2"))?,
    };
    let reply = match mechanism {
        Mechanism::Login => log_in_by_prompts(connection, credentials).await?,
        Mechanism::Plain | Mechanism::Xoauth2 => {
            let secret = credentials.secret.expose_secret().to_owned();
            let login = authentication::Credentials::new(credentials.user.clone(), secret);
            let response = mechanism.response(&login, None).map_err(|why| unavailable(&why.to_string()))?;
            let command = format!("AUTH {mechanism} {}\r\n", BASE64.encode(response));
            let reply = connection.exchange(command.as_bytes(), Phase::Auth).await?;
            // XOAUTH2 explains a refusal in a challenge, and refuses once that is answered by an empty line.
            if reply.code == 334 { connection.exchange(b"\r\n", Phase::Auth).await? } else { reply }
        }
    };
    expect(reply, Phase::Auth, 235).map(drop)
}

/// LOGIN asks for the user, then for the password. The order is fixed and the wording of the prompts is not, so
/// they are not read.
async fn log_in_by_prompts(connection: &mut Connection, credentials: &Credentials) -> Result<Reply, Failure> {
    let mut reply = connection.exchange(b"AUTH LOGIN\r\n", Phase::Auth).await?;
    for answer in [credentials.user.as_str(), credentials.secret.expose_secret()] {
        if reply.code != 334 {
            break;
        }
        let line = format!("{}\r\n", BASE64.encode(answer));
        reply = connection.exchange(line.as_bytes(), Phase::Auth).await?;
    }
    Ok(reply)
}

/// The reply, if it has the one code that is right here.
pub(super) fn expect(reply: Reply, phase: Phase, code: u16) -> Result<Reply, Failure> {
    if reply.code == code {
        Ok(reply)
    } else if reply.is_positive() {
        Err(broken(phase, Cause::Unexpected(reply)))
    } else {
        Err(Failure::Refused { phase, reply })
    }
}

pub(super) fn broken(phase: Phase, cause: Cause) -> Failure {
    Failure::Broken { phase, cause }
}
