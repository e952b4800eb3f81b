//! What a request for a send says, and whether it can be done.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;
use utoipa::ToSchema;

use crate::deliver::attachment::ATTACHMENT_BYTES_MAX;
use crate::deliver::attachment::ATTACHMENTS_MAX;
use crate::deliver::message::Attachment;
use crate::http::problem::Problem;
use crate::ingest::JSON_DEPTH_MAX;
use crate::ingest::json::too_deep;
use crate::product::money;
use crate::store::StoredAttachment;

/// Longest `data`, as compact JSON, in bytes.
pub(in crate::http) const DATA_BYTES_MAX: usize = 64 * 1024;
/// Longest time that a send may wait for its delivery, in seconds.
const TTL_SECONDS_MAX: i64 = 30 * 24 * 3_600;

/// Base64 as clients write it, with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One mail to one person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Ask {
    /// Which campaign.
    #[schema(max_length = 255)]
    pub(super) campaign: String,
    /// To whom, by the id under which they were identified. With an address too, the mail goes there instead.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    pub(super) profile: Option<String>,
    /// To whom, by where they read mail: the one profile that has the address, else a new one.
    #[serde(default)]
    #[schema(format = "email", max_length = 254)]
    pub(super) address: Option<String>,
    /// What templates see as `data`; at most 65,536 bytes, nested at most 32 levels deep. `price`, `total`, `subtotal`,
    /// `revenue`, `shipping`, `tax`, `discount` and `value`, here and in each of `products`, are money as in events:
    /// decimal major units of the shop's currency, 24.5 for £24.50. Templates see minor units, 2450.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(super) data: Map<String, Value>,
    /// Files; at most 10 MB of them, decoded.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub(super) attachments: Vec<File>,
    /// Not before this time; at once where none is stated, or where it is past.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub(super) send_at: Option<String>,
    /// Not later than this after it was due: a code or a link that is late is worse than none.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2_592_000)]
    pub(super) ttl_seconds: Option<i64>,
}

/// A file that comes along.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct File {
    /// Its name, as people see it.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Its media type, such as `application/pdf`.
    #[schema(min_length = 3, max_length = 200)]
    content_type: String,
    /// Its bytes in base64.
    #[schema(min_length = 1)]
    content: String,
}

impl Ask {
    pub(super) fn due_at(&self) -> Result<Option<Timestamp>, Problem> {
        let read = |text: &String| {
            text.parse().map_err(|_| {
                Problem::unprocessable("send_at: write a time of RFC 3339, such as 2026-03-01T09:00:00Z")
            })
        };
        self.send_at.as_ref().map(read).transpose()
    }

    pub(super) fn ttl(&self) -> Result<Option<SignedDuration>, Problem> {
        match self.ttl_seconds {
            None => Ok(None),
            Some(seconds @ 1..=TTL_SECONDS_MAX) => Ok(Some(SignedDuration::from_secs(seconds))),
            Some(_) => Err(Problem::unprocessable(format!("ttl_seconds: write 1 to {TTL_SECONDS_MAX}"))),
        }
    }
}

/// The `data` of a request as rules and templates see it: no more than they can do with, money in minor units as
/// that of events.
pub(in crate::http) fn read_data(
    mut data: Map<String, Value>,
    minor_digits: u32,
) -> Result<Map<String, Value>, Problem> {
    let text = serde_json::to_string(&data).expect("a JSON object has a JSON form");
    if text.len() > DATA_BYTES_MAX {
        let bytes = text.len();
        return Err(Problem::unprocessable(format!(
            "data: it has {bytes} bytes; at most {DATA_BYTES_MAX} are taken"
        )));
    }
    // It is kept inside of decisions, and must be readable there.
    if too_deep(&text).is_some() {
        return Err(Problem::unprocessable(format!(
            "data: it is nested deeper than {JSON_DEPTH_MAX} levels"
        )));
    }
    if let Some(fault) = money::unclear(&data, minor_digits) {
        return Err(Problem::unprocessable(format!("data.{fault}")));
    }
    money::in_minor_units(&mut data, minor_digits);
    Ok(data)
}

/// Decodes and checks files. Too many bytes are 413, whatever is wrong with one of them is 422 with its number.
pub(super) fn files(files: &[File]) -> Result<Vec<StoredAttachment>, Problem> {
    if files.len() > ATTACHMENTS_MAX {
        return Err(Problem::unprocessable(format!(
            "attachments: at most {ATTACHMENTS_MAX} files come along"
        )));
    }
    let mut total = 0;
    let mut checked = Vec::with_capacity(files.len());
    for (position, file) in files.iter().enumerate() {
        let refused = |fault: &str| Problem::unprocessable(format!("attachments[{position}].{fault}"));
        let bytes =
            BASE64.decode(&file.content).map_err(|error| refused(&format!("content: no base64: {error}")))?;
        if bytes.is_empty() {
            return Err(refused("content: the file is empty"));
        }
        total += bytes.len();
        if total > ATTACHMENT_BYTES_MAX {
            return Err(Problem::too_large(format!(
                "attachments: more than {ATTACHMENT_BYTES_MAX} bytes come along; send a link instead"
            )));
        }
        let file =
            Attachment::checked(&file.name, &file.content_type, bytes).map_err(|fault| refused(&fault))?;
        checked.push(StoredAttachment {
            content: STANDARD.encode(&file.bytes),
            name: file.name,
            content_type: file.content_type,
        });
    }
    Ok(checked)
}
