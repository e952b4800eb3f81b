//! Mailgun's webhooks: HMAC-SHA256 over timestamp and token, one event a call.

use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;

use super::CallError;
use super::check_stamp;
use super::judged;
use super::returned;
use super::text;
use super::unproven;
use super::unreadable;
use crate::bounce::Kind;
use crate::bounce::Report;
use crate::bounce::Returned;

/// Verifies a call and reads it. Events that are no feedback give no reports.
pub fn read(body: &[u8], signing_key: &str, now: Timestamp) -> Result<Vec<Returned>, CallError> {
    let call: Value = serde_json::from_slice(body).map_err(unreadable)?;
    verify(&call["signature"], signing_key)?;
    check_stamp(text(&call, &["signature", "timestamp"]), now)?;
    let event = &call["event-data"];
    let recipient = text(event, &["recipient"]).to_lowercase();
    let status = &event["delivery-status"];
    let plain = |kind, words: &str| Report::plain(kind, Some(recipient.clone()), words);
    let report = match (text(event, &["event"]), text(event, &["severity"])) {
        ("complained", _) => plain(Kind::Complaint, "complained"),
        ("unsubscribed", _) => plain(Kind::Unsubscribe, "unsubscribed"),
        ("failed", "temporary") => plain(Kind::Delayed, text(status, &["message"])),
        // Mailgun did not even try: the address is on its own list.
        ("failed", _) if text(event, &["reason"]).starts_with("suppress-") => {
            plain(Kind::SoftBounce, text(event, &["reason"]))
        }
        ("failed", _) => {
            let code = status["code"].as_i64().map(|code| format!("{code} ")).unwrap_or_default();
            let words = [text(status, &["message"]), text(status, &["description"])].join(" ");
            judged(text(status, &["enhanced-code"]), &format!("{code}{words}"), &recipient, Kind::SoftBounce)
        }
        _ => return Ok(Vec::new()),
    };
    let id = format!("mailgun:{}", text(event, &["id"]));
    Ok(vec![returned(id, report, text(event, &["message", "headers", "message-id"]))])
}

fn verify(signature: &Value, signing_key: &str) -> Result<(), CallError> {
    let claimed =
        decode_hex(text(signature, &["signature"])).ok_or_else(|| unproven("the signature is no hex"))?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(signing_key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(text(signature, &["timestamp"]).as_bytes());
    mac.update(text(signature, &["token"]).as_bytes());
    mac.verify_slice(&claimed).map_err(|_| unproven("the signature is not Mailgun's"))
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2);
    text.len()
        .is_multiple_of(2)
        .then(|| pairs.map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect())?
}
