//! Postmark's webhooks: a secret in the address (Basic auth), one record a call.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::CallError;
use super::judged;
use super::returned;
use super::text;
use super::unproven;
use super::unreadable;
use crate::bounce;
use crate::bounce::Kind;
use crate::bounce::Report;
use crate::bounce::Returned;

/// Verifies a call by its header `Authorization`; `expected` is `user:password`.
pub fn verify(authorization: Option<&str>, expected: &str) -> Result<(), CallError> {
    let given = authorization
        .and_then(|header| header.strip_prefix("Basic "))
        .and_then(|encoded| STANDARD.decode(encoded.trim()).ok())
        .ok_or_else(|| unproven("there is no Basic authorization"))?;
    if !bool::from(given.ct_eq(expected.as_bytes())) {
        return Err(unproven("user and password are not those of feedback.postmark_basic_auth"));
    }
    Ok(())
}

/// Reads a call. Call it only after [`verify`].
pub fn read(body: &[u8]) -> Result<Vec<Returned>, CallError> {
    let call: Value = serde_json::from_slice(body).map_err(unreadable)?;
    let Some(report) = report(&call) else { return Ok(Vec::new()) };
    let record = text(&call, &["RecordType"]);
    // Complaints and bounces have a number of their own, changes of subscription only their time.
    let number = call["ID"].as_i64().map(|number| number.to_string());
    let id = number.unwrap_or_else(|| text(&call, &["ChangedAt"]).to_owned());
    let mut found = returned(format!("postmark:{record}:{id}"), report, text(&call, &["MessageID"]));
    // Our signed return path, which went along as X-PM-Metadata-send.
    found.origin.return_paths.extend([text(&call, &["Metadata", "send"]).to_owned()]);
    // The mail itself, where Postmark is asked to include it: it holds what we signed.
    let content = bounce::read(text(&call, &["Content"]).as_bytes()).origin;
    found.origin.return_paths.extend(content.return_paths);
    found.origin.message_ids.extend(content.message_ids);
    Ok(vec![found])
}

fn report(call: &Value) -> Option<Report> {
    let recipient = ["Email", "Recipient"].map(|key| text(call, &[key])).concat().to_lowercase();
    let words = [text(call, &["Details"]), text(call, &["Description"])].join(" ");
    let plain = |kind| Some(Report::plain(kind, Some(recipient.clone()), &words));
    match (text(call, &["RecordType"]), text(call, &["Type"])) {
        ("SpamComplaint", _) | ("Bounce", "SpamComplaint") => plain(Kind::Complaint),
        ("Bounce", "HardBounce" | "BadEmailAddress") => {
            Some(judged("", text(call, &["Details"]), &recipient, Kind::HardBounce))
        }
        ("Bounce", "SoftBounce" | "Transient" | "DnsError" | "Undeliverable" | "Unknown") => {
            plain(Kind::SoftBounce)
        }
        ("Bounce", "Unsubscribe") => plain(Kind::Unsubscribe),
        ("Bounce", "AutoResponder" | "AddressChange") => plain(Kind::AutoReply),
        ("Bounce", "ChallengeVerification") => plain(Kind::Challenge),
        ("Bounce", _) => plain(Kind::PolicyBounce),
        ("SubscriptionChange", _) if call["SuppressSending"] == true => {
            let manual = text(call, &["SuppressionReason"]) == "ManualSuppression";
            if manual { plain(Kind::Unsubscribe) } else { None }
        }
        _ => None,
    }
}
