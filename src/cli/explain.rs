//! `bespoke explain SEND`: why this customer got this mail, or why not.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use clap::ValueEnum;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::explain::explain;
use crate::explain::text;
use crate::send::SendId;

/// Tells why this customer got this mail: facts, rules, candidates, the draw, limits, versions, attempts.
#[derive(Debug, Args)]
pub struct Explain {
    /// The send's id, or the Message-ID of its mail
    #[arg(value_name = "SEND")]
    send: String,
    /// For whom it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A page for people.
    Text,
    /// One JSON object.
    Json,
}

impl Explain {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        let Some(id) = send_id(&self.send) else {
            anyhow::bail!(
                "{:?} is no send id: it has 32 hex digits; `bespoke sends list` shows them",
                self.send
            );
        };
        block_on(async {
            let store = context.existing_store().await?;
            let Some(explanation) = explain(&store, &id).await? else {
                anyhow::bail!("there is no send {id}; `bespoke sends list` shows those there are");
            };
            let page = match self.format {
                Format::Text => text(&explanation),
                Format::Json => format!("{:#}\n", explanation.to_json()),
            };
            store.close().await;
            std::io::stdout().lock().write_all(page.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// An id, also out of `<id@domain>`.
fn send_id(text: &str) -> Option<SendId> {
    let id = text.trim().trim_start_matches('<').split('@').next().unwrap_or_default();
    SendId::parse(&id.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::send_id;

    #[test]
    fn a_message_id_names_its_send() {
        let id = "0193f0a1b2c3d4e5f60718293a4b5c6d";
        for text in [id.to_owned(), format!("<{id}@shop.example>"), format!(" {}\n", id.to_uppercase())] {
            assert_eq!(send_id(&text).unwrap().as_str(), id);
        }
        assert_eq!(send_id("ana"), None);
    }
}
