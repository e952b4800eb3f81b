//! The section that says how `bespoke serve` is reached, and how much anybody may ask of it.

use serde::Deserialize;

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port to listen on; a proxy that ends TLS stands before it.
    pub listen: String,
    /// Connections at once, at most; more wait in the system's queue.
    pub connections_max: usize,
    /// A client that has not finished its header by then is cut off; so is one that says nothing for as long.
    pub header_timeout_seconds: u64,
    /// A request that is not answered by then, its body included, is given up.
    pub request_timeout_seconds: u64,
    /// A connection takes no further request after this long; the one in work is answered.
    pub connection_seconds_max: u64,
    /// Bytes of a request's body, after decompression, where an endpoint states no limit of its own.
    pub body_bytes_max: usize,
    /// Requests a minute with one key, at most; the next is answered with 429. 0 is no limit.
    pub requests_per_minute_per_key: u32,
    /// The header that a proxy of yours sets to the client's address, such as `x-forwarded-for`; its last entry counts.
    pub client_address_header: Option<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8025".to_owned(),
            connections_max: 1_024,
            header_timeout_seconds: 10,
            request_timeout_seconds: 30,
            connection_seconds_max: 600,
            body_bytes_max: 1024 * 1024,
            requests_per_minute_per_key: 60_000,
            client_address_header: None,
        }
    }
}
