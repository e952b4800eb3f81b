//! `bespoke check`: proves every variant, and says what is wrong with file, line and what to write instead.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use clap::ValueEnum;
use serde_json::Value;
use serde_json::json;

use crate::catalog::Catalog;
use crate::catalog::CatalogSettings;
use crate::catalog::check::CheckReport;
use crate::catalog::check::check;
use crate::catalog::languages;
use crate::catalog::variant::CampaignEntry;
use crate::cli::context::Globals;
use crate::cli::evaluate::output::Grid;
use crate::config::Config;
use crate::deliver::dkim;
use crate::fault::Fault;
use crate::fault::Severity;
use crate::fault::render_all;
use crate::stage::Stage;
use crate::words::counted;

/// Checks all templates: reads, compiles and renders every variant for every sample recipient.
///
/// Exits with 1 when anything is wrong.
#[derive(Debug, Args)]
pub struct Check {
    /// For whom the result is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Exits with 1 for warnings, too
    #[arg(long)]
    deny_warnings: bool,
}

/// For whom the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Faults with their lines, and a summary.
    Human,
    /// One JSON object.
    Json,
}

impl Check {
    pub(super) fn run(&self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let config = globals.context()?.config;
        let settings = CatalogSettings::of_config(&config);
        let (catalog, mut report) = match Catalog::load(&config.templates.folder, &settings) {
            Ok(catalog) => {
                let report = check(&catalog);
                (Some(catalog), report)
            }
            Err(faults) => (None, CheckReport { faults, renders: 0 }),
        };
        if let Some(catalog) = &catalog {
            report.faults.extend(forgotten(&config, catalog));
        }
        // Who only plans or reports needs no keys; who checks wants to know, on a machine without them too.
        let keys = dkim::keys(&config.dkim).err().unwrap_or_default();
        report.faults.extend(keys.iter().map(|key| {
            let fault = Fault::general(key.to_string());
            if key.is_elsewhere() {
                fault.as_warning().with_help("it must be there where mail is sent")
            } else {
                fault
            }
        }));
        let default_locale = &config.templates.default_locale;
        let of_languages = catalog.iter().flat_map(|catalog| languages::notes(catalog, default_locale));
        let mut notes: Vec<String> = of_languages.map(|note| format!("note: {note}")).collect();
        notes.extend(config.without_pages().map(str::to_owned));
        let text = match self.format {
            Format::Human => human(catalog.as_ref(), &report, &notes),
            Format::Json => format!("{:#}\n", as_json(catalog.as_ref(), &report, &notes)),
        };
        match std::io::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
            _ => {}
        }
        let denied = if self.deny_warnings { report.faults.len() } else { report.count(Severity::Error) };
        Ok(if denied == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What would be pruned although a campaign looks back at it.
pub(super) fn forgotten(config: &Config, catalog: &Catalog) -> Option<Fault> {
    let campaigns = catalog.campaigns().map(|entry| entry.campaign.as_ref());
    let (days, message) = config.retention.forgets(&config.cap, campaigns)?;
    Some(
        Fault::general(message).with_help(format!("write {days} or more into bespoke.toml, or leave it out")),
    )
}

/// Variants of a campaign by folder: each stage, then those for everybody; every locale counts.
fn counts(entry: &CampaignEntry) -> Vec<(&'static str, usize)> {
    let stages = Stage::ALL.into_iter().map(Some).chain([None]);
    stages
        .map(|stage| {
            let count = entry.variants().filter(|variant| variant.stage == stage).count();
            (stage.map_or("any", Stage::as_str), count)
        })
        .collect()
}

fn human(catalog: Option<&Catalog>, report: &CheckReport, notes: &[String]) -> String {
    let mut out = render_all(&report.faults);
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let Some(catalog) = catalog else {
        let _ = writeln!(
            out,
            "{}, {}; nothing was rendered",
            counted(errors, "fault"),
            counted(warnings, "warning")
        );
        return out;
    };
    let mut grid =
        Grid::new(&["campaign", "kind", "policy", "discover", "educate", "compare", "purchase", "any"]);
    for entry in catalog.campaigns() {
        let campaign = &entry.campaign;
        let mut row = vec![
            campaign.id.to_string(),
            campaign.kind.as_str().to_owned(),
            campaign.policy.as_str().to_owned(),
        ];
        row.extend(counts(entry).iter().map(|(_, count)| count.to_string()));
        grid.row(&row);
    }
    let _ = writeln!(out, "{grid}");
    let _ = writeln!(
        out,
        "{}, {} of {}, {}, {} rendered: {}, {}",
        counted(catalog.file_count, "file"),
        counted(catalog.variants().count(), "variant"),
        counted(catalog.templates().count(), "template"),
        counted(catalog.samples().len(), "sample"),
        counted(report.renders, "mail"),
        counted(errors, "fault"),
        counted(warnings, "warning"),
    );
    for note in notes {
        let _ = writeln!(out, "{note}");
    }
    out
}

fn as_json(catalog: Option<&Catalog>, report: &CheckReport, notes: &[String]) -> Value {
    let campaigns = catalog.into_iter().flat_map(Catalog::campaigns).map(|entry| {
        let campaign = &entry.campaign;
        let variants: serde_json::Map<String, Value> =
            counts(entry).into_iter().map(|(stage, count)| (stage.to_owned(), Value::from(count))).collect();
        json!({
            "name": campaign.id.as_str(),
            "kind": campaign.kind.as_str(),
            "policy": campaign.policy.as_str(),
            "variants": variants,
        })
    });
    json!({
        "version": catalog.map(|catalog| catalog.version.as_str()),
        "files": catalog.map(|catalog| catalog.file_count),
        "campaigns": campaigns.collect::<Vec<_>>(),
        "samples": catalog.map(|catalog| catalog.samples().len()),
        "renders": report.renders,
        "notes": notes,
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "faults": report.faults.iter().map(fault_json).collect::<Vec<_>>(),
    })
}

fn fault_json(fault: &Fault) -> Value {
    let column = fault.file.as_ref().map(|file| {
        let start = file.text.floor_char_boundary(fault.span.start.min(file.text.len()));
        let line_start = file.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        file.text[line_start..start].chars().count() + 1
    });
    json!({
        "severity": match fault.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "file": fault.file.as_ref().map(|file| file.path.display().to_string()),
        "line": fault.file.as_ref().map(|_| fault.line()),
        "column": column,
        "message": fault.message,
        "help": fault.help,
    })
}
