//! Calls to hosts that others name: only to public addresses, never along a redirect, within limits.
//!
//! The host is resolved, every address is looked at, and the connection goes to an address that was looked at: a name
//! that resolves differently the second time gains nothing. No proxy of the environment is used.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Host;
use url::Url;

/// Bytes of an answer that are read; a longer one is a failure.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How far calls may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses over https.
    Public,
    /// Any address, over http too.
    Anywhere,
}

/// What a host answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status. A redirect is an answer like others.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutwardError {
    /// We do not call such an address.
    #[error("{0}")]
    Refused(String),
    /// The call was made and failed; later it may not.
    #[error("{0}")]
    Failed(String),
}

fn failed(what: &str, why: impl std::fmt::Display) -> OutwardError {
    OutwardError::Failed(format!("{what}: {why}"))
}

/// Makes calls. Clones share the certificates.
#[derive(Clone)]
pub struct Outward {
    tls: TlsConnector,
    reach: Reach,
    timeout: Duration,
}

impl std::fmt::Debug for Outward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outward")
            .field("reach", &self.reach)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Outward {
    /// Trusts the system's certificate authorities. A call takes at most `timeout`, its answer included.
    pub fn new(reach: Reach, timeout: Duration) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)), reach, timeout }
    }

    /// Fetches a document.
    pub async fn get(&self, url: &Url) -> Result<Answer, OutwardError> {
        self.call("GET", url, &[], Bytes::new()).await
    }

    /// Makes one call on a connection of its own.
    pub async fn call(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Result<Answer, OutwardError> {
        match tokio::time::timeout(self.timeout, self.converse(method, url, headers, body)).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(OutwardError::Failed(format!("no answer within {} seconds", self.timeout.as_secs())))
            }
        }
    }

    async fn converse(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Result<Answer, OutwardError> {
        let request = request(method, url, headers, body)?;
        let stream = self.connect(url).await?;
        if url.scheme() == "https" {
            let name =
                ServerName::try_from(url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned())
                    .map_err(|fault| {
                        OutwardError::Refused(format!("the host has no name for TLS: {fault}"))
                    })?;
            let stream = self.tls.connect(name, stream).await.map_err(|fault| failed("TLS", fault))?;
            exchange(stream, request).await
        } else {
            exchange(stream, request).await
        }
    }

    /// Connects to the first address that takes the connection, all of them looked at before.
    async fn connect(&self, url: &Url) -> Result<TcpStream, OutwardError> {
        let public_only = self.reach == Reach::Public;
        if url.scheme() != "https" && (public_only || url.scheme() != "http") {
            return Err(OutwardError::Refused(format!("{}: only https is called", url.scheme())));
        }
        let port = url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<SocketAddr> = match url.host() {
            None => return Err(OutwardError::Refused("the address names no host".to_owned())),
            Some(Host::Ipv4(ip)) => vec![SocketAddr::from((ip, port))],
            Some(Host::Ipv6(ip)) => vec![SocketAddr::from((ip, port))],
            Some(Host::Domain(name)) => {
                let found = tokio::net::lookup_host((name, port)).await;
                found.map_err(|fault| failed("the host cannot be resolved", fault))?.collect()
            }
        };
        // One private address among public ones is a trick or a mistake: both are refused.
        if let Some(private) = addresses.iter().find(|address| public_only && !is_public(address.ip())) {
            return Err(OutwardError::Refused(format!("{} is no public address", private.ip())));
        }
        let mut last = failed("the host cannot be resolved", "it has no address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(fault) => last = failed("no connection", fault),
            }
        }
        Err(last)
    }
}

fn request(
    method: &str,
    url: &Url,
    headers: &[(&str, String)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, OutwardError> {
    let refused = |fault: &dyn std::fmt::Display| {
        OutwardError::Refused(format!("no such request can be made: {fault}"))
    };
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{query}", url.path()))
        .header(HOST, host)
        .header("user-agent", concat!("bespoke/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(Full::new(body)).map_err(|fault| refused(&fault))
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, OutwardError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|fault| failed("HTTP", fault))?;
    let conversation = async {
        let response = sender.send_request(request).await.map_err(|fault| failed("HTTP", fault))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|fault| failed("the answer", fault))?.to_bytes();
        Ok(Answer { status, body })
    };
    // The connection does its work only while it is polled; its own end says nothing that the answer does not.
    tokio::pin!(conversation);
    let mut connection = std::pin::pin!(connection);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut conversation => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

/// Whether an address is one of the public network: not ours, not the neighbours', not the provider's metadata.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The special-purpose registry of IANA (RFC 6890), as far as it is not globally reachable.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && (c == 0 || c == 2);
    let relay = a == 192 && b == 88 && c == 99;
    let benchmark = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || a >= 224
        || shared
        || protocol
        || relay
        || benchmark
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation())
}

/// Only global unicast (`2000::/3`) less its special parts; addresses that carry one of IPv4 are judged by that.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x3fff, second, ..] => second >= 0x1000,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_network_are_public() {
        for (address, expected) in [
            ("93.184.216.34", true),
            ("1.1.1.1", true),
            ("172.32.0.1", true),
            ("2606:2800:220:1::1", true),
            ("2001:4860:4860::8888", true),
            ("::ffff:1.1.1.1", true),
            ("127.0.0.1", false),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.0.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("198.18.0.1", false),
            ("192.0.2.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("2001::1", false),
            ("::ffff:127.0.0.1", false),
            ("::127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("2002:7f00:1::", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[tokio::test]
    async fn nothing_but_public_hosts_over_https_is_called() {
        let outward = Outward::new(Reach::Public, Duration::from_secs(5));
        for (url, why) in [
            ("https://127.0.0.1/", "127.0.0.1 is no public address"),
            ("https://0x7f000001/", "127.0.0.1 is no public address"),
            ("https://2130706433/", "127.0.0.1 is no public address"),
            ("https://[::1]:8080/", "::1 is no public address"),
            ("https://169.254.169.254/latest", "169.254.169.254 is no public address"),
            ("https://[::ffff:10.0.0.1]/", "::ffff:10.0.0.1 is no public address"),
            ("http://93.184.216.34/", "http: only https is called"),
            ("ftp://93.184.216.34/", "ftp: only https is called"),
        ] {
            let refused = outward.get(&url.parse().unwrap()).await;
            assert_eq!(refused, Err(OutwardError::Refused(why.to_owned())), "{url}");
        }
        let localhost = outward.get(&"https://localhost/".parse().unwrap()).await;
        assert!(matches!(localhost, Err(OutwardError::Refused(_))), "{localhost:?}");
    }
}
