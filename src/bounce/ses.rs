//! Notifications of Amazon SES: JSON, whether SNS mails them or calls us.

use serde_json::Value;

use super::Kind;
use super::REPORTS_MAX;
use super::Refusal;
use super::Report;
use super::Stage;
use super::classify;
use super::scan;
use super::shortened;

/// What a notification reports; empty for deliveries, openings and all else that is no report.
pub fn reports(notification: &Value) -> Vec<Report> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    // Notifications say notificationType, configuration sets say eventType.
    let kind = notification["notificationType"].as_str().or(notification["eventType"].as_str());
    let list = |part: &str, key: &str| {
        let list = notification[part][key].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().take(REPORTS_MAX).cloned().collect::<Vec<Value>>()
    };
    match kind {
        Some("Bounce") => {
            let bounce = &notification["bounce"];
            let (kind, sub) = (text(bounce, "bounceType"), text(bounce, "bounceSubType"));
            let recipients = list("bounce", "bouncedRecipients");
            recipients.iter().map(|recipient| of_bounce(&kind, &sub, recipient)).collect()
        }
        Some("Complaint") => {
            let complaint = &notification["complaint"];
            let feedback = text(complaint, "complaintFeedbackType");
            let kind = if feedback == "not-spam" { Kind::Notice } else { Kind::Complaint };
            let recipients = list("complaint", "complainedRecipients");
            let address =
                |recipient: &Value| scan::first_address(&text(recipient, "emailAddress")).map(str::to_owned);
            recipients.iter().map(|recipient| Report::plain(kind, address(recipient), &feedback)).collect()
        }
        _ => Vec::new(),
    }
}

fn of_bounce(kind: &str, sub: &str, recipient: &Value) -> Report {
    let address = recipient["emailAddress"].as_str().and_then(scan::first_address).map(str::to_owned);
    let diagnostic = recipient["diagnosticCode"].as_str().unwrap_or_default();
    let status = recipient["status"].as_str().and_then(|text| scan::enhanced_codes(text).first().copied());
    let (by_code, code, reply_code) =
        classify(&Refusal { status, diagnostic, stage: Stage::Unknown, recipient: address.as_deref() });
    let silent = status.is_none() && diagnostic.is_empty();
    let kind = match (kind, sub) {
        ("Permanent", "NoEmail") => Kind::HardBounce,
        // Amazon calls every 5yz permanent; its own words are only believed where the host said nothing.
        ("Permanent", "General") if silent => Kind::HardBounce,
        ("Permanent", "General") => by_code,
        ("Transient", "ContentRejected" | "AttachmentRejected" | "MessageTooLarge") => Kind::PolicyBounce,
        _ => Kind::SoftBounce,
    };
    let words = if diagnostic.is_empty() { format!("{sub} bounce") } else { diagnostic.to_owned() };
    Report {
        kind,
        recipient: address,
        status: code.map(|code| code.to_string()),
        reply_code,
        diagnostic: shortened(&words),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(bounce_type: &str, sub: &str, recipient: &Value, expected: Kind) {
        let found = reports(&json!({
            "notificationType": "Bounce",
            "bounce": {"bounceType": bounce_type, "bounceSubType": sub, "bouncedRecipients": [recipient]},
        }));
        assert_eq!(
            found.iter().map(|report| report.kind).collect::<Vec<_>>(),
            [expected],
            "{bounce_type} {sub}"
        );
    }

    #[test]
    fn a_permanent_bounce_is_hard_only_where_the_host_says_so_too() {
        let to = |status: &str, words: &str| json!({"emailAddress": "a@b.test", "status": status, "diagnosticCode": words});
        check("Permanent", "General", &to("5.1.1", "smtp; 550 5.1.1 user unknown"), Kind::HardBounce);
        check("Permanent", "General", &json!({"emailAddress": "a@b.test"}), Kind::HardBounce);
        check("Permanent", "NoEmail", &json!({"emailAddress": "a@b.test"}), Kind::HardBounce);
        check("Permanent", "General", &to("5.7.1", "smtp; 550 5.7.1 blocked"), Kind::PolicyBounce);
        check("Permanent", "Suppressed", &to("5.1.1", ""), Kind::SoftBounce);
        check("Transient", "MailboxFull", &to("5.2.2", ""), Kind::SoftBounce);
        check("Transient", "ContentRejected", &to("5.6.0", ""), Kind::PolicyBounce);
    }
}
