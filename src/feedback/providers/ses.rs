//! Amazon SES through SNS: RSA signatures over a canonical text, certificates that Amazon serves.
//!
//! Amazon signs every customer's topics with the same keys, so a good signature alone proves nothing: the topic must
//! be one of ours too.

use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use aws_lc_rs::signature::UnparsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::CallError;
use super::check_time;
use super::unproven;
use super::unreadable;
use crate::bounce::Origin;
use crate::bounce::Returned;
use crate::bounce::ses::reports;
use crate::outward::Reach;

/// The header in which SNS names the topic before its body does.
pub const TOPIC_HEADER: &str = "x-amz-sns-topic-arn";

/// Why a call of somebody else's topic is not looked at.
pub fn not_ours() -> CallError {
    unproven("the topic is none of feedback.ses_topics")
}

/// One call of SNS.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SnsCall {
    /// `Notification`, `SubscriptionConfirmation`, `UnsubscribeConfirmation`.
    pub r#type: String,
    message_id: String,
    topic_arn: String,
    #[serde(default)]
    subject: Option<String>,
    message: String,
    timestamp: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(default, rename = "SubscribeURL")]
    subscribe_url: Option<String>,
    signature: String,
    signature_version: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
}

impl SnsCall {
    /// Reads a call; nothing is verified yet. Only calls of our own topics are looked at further.
    pub fn read(body: &[u8], topics: &[String]) -> Result<Self, CallError> {
        let call: Self = serde_json::from_slice(body).map_err(unreadable)?;
        if !topics.contains(&call.topic_arn) {
            return Err(not_ours());
        }
        Ok(call)
    }

    /// Where the certificate is: only Amazon's own hosts are asked for it.
    pub fn certificate_url(&self, reach: Reach) -> Result<Url, CallError> {
        let url = amazon_url(&self.signing_cert_url, reach)?;
        let is_pem = std::path::Path::new(url.path()).extension().is_some_and(|ending| ending == "pem");
        if is_pem { Ok(url) } else { Err(unproven("SigningCertURL names no certificate")) }
    }

    /// Where a subscription is confirmed, when that is what the call asks for.
    pub fn confirmation_url(&self, reach: Reach) -> Result<Option<Url>, CallError> {
        match (&self.subscribe_url, self.r#type.as_str()) {
            (Some(url), "SubscriptionConfirmation") => amazon_url(url, reach).map(Some),
            _ => Ok(None),
        }
    }

    /// Verifies the signature by this certificate (PEM), and the time.
    pub fn verify(&self, certificate: &[u8], now: Timestamp) -> Result<(), CallError> {
        let der = der_of_pem(certificate).ok_or_else(|| unproven("the certificate is no PEM"))?;
        let key = public_key(&der).ok_or_else(|| unproven("the certificate cannot be read"))?;
        let signature =
            STANDARD.decode(&self.signature).map_err(|_| unproven("the signature is no base64"))?;
        let algorithm = match self.signature_version.as_str() {
            "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "2" => &RSA_PKCS1_2048_8192_SHA256,
            other => return Err(unproven(format!("there is no SignatureVersion {other:?}"))),
        };
        UnparsedPublicKey::new(algorithm, key)
            .verify(self.canonical().as_bytes(), &signature)
            .map_err(|_| unproven("the signature is not Amazon's"))?;
        check_time(self.timestamp.parse().ok(), now)
    }

    /// The text that is signed: names and values of certain fields, in the order of their names.
    fn canonical(&self) -> String {
        let is_notification = self.r#type == "Notification";
        let fields: [(&str, Option<&str>); 8] = [
            ("Message", Some(&self.message)),
            ("MessageId", Some(&self.message_id)),
            ("Subject", self.subject.as_deref().filter(|_| is_notification)),
            ("SubscribeURL", self.subscribe_url.as_deref().filter(|_| !is_notification)),
            ("Timestamp", Some(&self.timestamp)),
            ("Token", self.token.as_deref().filter(|_| !is_notification)),
            ("TopicArn", Some(&self.topic_arn)),
            ("Type", Some(&self.r#type)),
        ];
        fields.into_iter().filter_map(|(name, value)| Some(format!("{name}\n{}\n", value?))).collect()
    }

    /// What the notification says of which mail. Call it only after [`SnsCall::verify`].
    pub fn returned(&self) -> Result<Returned, CallError> {
        let notification: Value = serde_json::from_str(&self.message).map_err(unreadable)?;
        let mail = &notification["mail"];
        let mut origin = Origin::default();
        let text = |value: &Value| value.as_str().map(|text| text.trim_matches(['<', '>', ' ']).to_owned());
        // The envelope's sender as we gave it: our signed return path.
        let path = text(&mail["source"]).and_then(|source| Some(source.split_once('@')?.0.to_owned()));
        origin.return_paths.extend(path);
        let headers = mail["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let named = |header: &&Value| {
            header["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("message-id"))
        };
        origin.message_ids.extend(headers.iter().filter(named).filter_map(|header| text(&header["value"])));
        origin.message_ids.extend(text(&mail["commonHeaders"]["messageId"]));
        let feedback =
            ["bounce", "complaint"].into_iter().find_map(|part| text(&notification[part]["feedbackId"]));
        let id = format!("ses:{}", feedback.unwrap_or_else(|| self.message_id.clone()));
        Ok(Returned { id, reports: reports(&notification), origin })
    }
}

/// An https address at `sns.<region>.amazonaws.com`, of China too, and nowhere else. A double of Amazon on this
/// machine is believed only where private hosts may be called at all, which is for tests.
fn amazon_url(text: &str, reach: Reach) -> Result<Url, CallError> {
    let refused = || unproven("an address in the call is not Amazon's");
    let url = Url::parse(text).map_err(|_| refused())?;
    let host = url.host_str().unwrap_or_default();
    if reach == Reach::Anywhere && host == "127.0.0.1" {
        return Ok(url);
    }
    let rest = host.strip_prefix("sns.").unwrap_or_default();
    let region = rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"));
    let is_region = |region: &str| {
        !region.is_empty()
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let plain = url.scheme() == "https"
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain && region.is_some_and(is_region) { Ok(url) } else { Err(refused()) }
}

fn der_of_pem(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let body = text.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END CERTIFICATE-----")?.0;
    let compact: String = body.split_whitespace().collect();
    STANDARD.decode(compact).ok()
}

/// The `SubjectPublicKeyInfo` of an X.509 certificate (RFC 5280 §4.1): the seventh field of its first part.
fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let (certificate, _) = enter(certificate, 0x30)?;
    let (mut fields, _) = enter(certificate, 0x30)?;
    // The version is there in every certificate that has extensions, and may be left out of others.
    if fields.first() == Some(&0xa0) {
        fields = skip(fields)?;
    }
    // Serial number, algorithm, issuer, validity, subject.
    for _ in 0..5 {
        fields = skip(fields)?;
    }
    let rest = skip(fields)?;
    fields.get(..fields.len() - rest.len()).map(<[u8]>::to_vec)
}

/// The content of the element at the start, which has this tag, and what follows it.
fn enter(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*length) {
        short @ 0..=0x7f => (short, rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(length))?
}

/// What follows the element at the start.
fn skip(der: &[u8]) -> Option<&[u8]> {
    enter(der, *der.first()?).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amazons_hosts_are_asked() {
        for (url, good) in [
            ("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-x.pem", true),
            ("https://sns.cn-north-1.amazonaws.com.cn/x.pem", true),
            ("http://sns.us-east-1.amazonaws.com/x.pem", false),
            ("https://sns.us-east-1.amazonaws.com:8443/x.pem", false),
            ("https://sns.us-east-1.amazonaws.com.evil.test/x.pem", false),
            ("https://evil.test/sns.us-east-1.amazonaws.com/x.pem", false),
            ("https://sns.us-east-1.amazonaws.com@evil.test/x.pem", false),
            ("https://s3.us-east-1.amazonaws.com/x.pem", false),
            ("https://sns..amazonaws.com/x.pem", false),
            ("https://sns.a.b.amazonaws.com/x.pem", false),
            ("https://127.0.0.1/x.pem", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(amazon_url(url, Reach::Public).is_ok(), good, "{url}");
        }
    }
}
