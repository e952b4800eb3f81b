//! SendGrid's signed event webhook: ECDSA over P-256 and SHA-256 of timestamp and body, many events a call.

use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1;
use aws_lc_rs::signature::UnparsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::CallError;
use super::REPORTS_PER_CALL_MAX;
use super::check_stamp;
use super::judged;
use super::returned;
use super::text;
use super::unproven;
use super::unreadable;
use crate::bounce::Kind;
use crate::bounce::Report;
use crate::bounce::Returned;

/// The header with the signature, base64.
pub const SIGNATURE_HEADER: &str = "x-twilio-email-event-webhook-signature";
/// The header with the seconds since the Unix epoch.
pub const TIMESTAMP_HEADER: &str = "x-twilio-email-event-webhook-timestamp";

/// Whether the time in the header is near enough to now; ask before the body is read.
pub fn check_time(timestamp: &str, now: Timestamp) -> Result<(), CallError> {
    check_stamp(timestamp, now)
}

/// Verifies the signature of a call, over its time too, and reads it. `public_key` is base64 of a
/// `SubjectPublicKeyInfo`.
pub fn read(
    body: &[u8],
    signature: &str,
    timestamp: &str,
    public_key: &str,
) -> Result<Vec<Returned>, CallError> {
    let key = STANDARD
        .decode(public_key.trim())
        .map_err(|_| unproven("feedback.sendgrid_public_key is no base64"))?;
    let signature = STANDARD.decode(signature.trim()).map_err(|_| unproven("the signature is no base64"))?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
        .verify(&[timestamp.as_bytes(), body].concat(), &signature)
        .map_err(|_| unproven("the signature is not SendGrid's"))?;
    let events: Vec<Value> = serde_json::from_slice(body).map_err(unreadable)?;
    Ok(events.iter().take(REPORTS_PER_CALL_MAX).filter_map(of_event).collect())
}

fn of_event(event: &Value) -> Option<Returned> {
    let recipient = text(event, &["email"]).to_lowercase();
    let reason = [text(event, &["reason"]), text(event, &["response"])].concat();
    let plain = |kind| Report::plain(kind, Some(recipient.clone()), &reason);
    let report = match (text(event, &["event"]), text(event, &["type"])) {
        ("bounce", "blocked") => plain(Kind::PolicyBounce),
        ("bounce", _) => judged(text(event, &["status"]), &reason, &recipient, Kind::SoftBounce),
        // SendGrid did not even try: the address is on its own list.
        ("dropped", _) if reason.to_lowercase().contains("bounced") => plain(Kind::SoftBounce),
        ("dropped", _) => plain(Kind::PolicyBounce),
        ("deferred", _) => plain(Kind::Delayed),
        ("spamreport", _) => plain(Kind::Complaint),
        ("unsubscribe" | "group_unsubscribe", _) => plain(Kind::Unsubscribe),
        _ => return None,
    };
    let id = format!("sendgrid:{}", text(event, &["sg_event_id"]));
    Some(returned(id, report, text(event, &["smtp-id"])))
}
