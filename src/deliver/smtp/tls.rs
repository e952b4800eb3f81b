//! Which certificates a relay may show, and what the handshake's errors mean.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};

use super::failure::Cause;
use super::relay::{Relay, RelayError, Security};

/// Settings whose parts are loaded and checked: what [`Session::connect`](super::Session::connect) needs. Made once
/// a relay, since reading the system's certificates takes milliseconds.
#[derive(Debug)]
pub struct Connector {
    relay: Relay,
    tls: Option<Tls>,
}

/// TLS 1.2 and 1.3 with certificates and host name always verified; there is no switch to turn that off.
struct Tls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Connector {
    /// Checks the settings and loads the certificate authorities.
    ///
    /// # Errors
    ///
    /// A setting that cannot work, or no certificate authority to trust.
    pub fn new(relay: Relay) -> Result<Self, RelayError> {
        relay.check()?;
        let tls = match relay.security {
            Security::None => None,
            Security::Implicit | Security::StartTls => {
                Some(Tls::new(&relay).map_err(|problem| RelayError { relay: relay.name.clone(), problem })?)
            }
        };
        Ok(Self { relay, tls })
    }

    /// The settings.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// The TLS handshake over `stream`.
    pub(super) async fn handshake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Cause> {
        let Some(tls) = &self.tls else {
            return Err(Cause::Tls("the relay is configured without TLS".to_owned()));
        };
        tls.connector.connect(tls.server_name.clone(), stream).await.map_err(|error| cause(&error))
    }
}

impl Tls {
    fn new(relay: &Relay) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &relay.ca_file {
            add_from_file(&mut roots, path)?;
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let problem =
                    "this system has no certificate authorities; install ca-certificates or set ca_file";
                return Err(problem.to_owned());
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server_name = ServerName::try_from(relay.host_name().to_owned())
            .map_err(|_| format!("{:?} cannot be the name in a certificate", relay.host))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server_name })
    }
}

fn add_from_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let unusable = |why: String| format!("ca_file {}: {why}", path.display());
    for certificate in CertificateDer::pem_file_iter(path).map_err(|why| unusable(why.to_string()))? {
        let certificate = certificate.map_err(|why| unusable(why.to_string()))?;
        roots.add(certificate).map_err(|why| unusable(why.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("holds no certificate in PEM".to_owned()));
    }
    Ok(())
}

/// What an I/O error of a TLS or TCP stream means.
pub(super) fn cause(error: &io::Error) -> Cause {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(_)) => Cause::Certificate(tls.map_or(String::new(), Error::to_string)),
        Some(other) => Cause::Tls(other.to_string()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Cause::Closed,
        None => Cause::Io(error.to_string()),
    }
}
