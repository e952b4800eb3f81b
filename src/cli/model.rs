//! `bespoke model`: which models were published, what the policy has learnt, and the way back.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use clap::ValueEnum;
use serde_json::Value;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::context::block_on;
use crate::cli::say::say;
use crate::cli::say::say_part;
use crate::learn::teach::roll_back;
use crate::select::learnt::POLICY_MODEL;
use crate::select::learnt::PolicyBody;
use crate::select::model::Head;
use crate::select::model::caps::Account;
use crate::select::model::caps::ColdStart;
use crate::store::Store;
use crate::store::StoredModel;

/// Features of a head that are shown, at most.
const FEATURES_MAX: usize = 15;

/// Lists the models that were published, shows what one learnt, goes back to an older one.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Lists all published models, newest first; of each kind the newest is in use.
    List,
    /// Shows what a policy model has learnt; the one in use where none is named.
    Show {
        /// The version, as `bespoke model list` prints it
        #[arg(value_name = "VERSION")]
        version: Option<String>,
        /// For whom it is printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Makes an older policy model the one in use again. Workers take it within seconds.
    Rollback {
        /// The version; the one before the newest where none is named
        #[arg(value_name = "VERSION")]
        version: Option<String>,
    },
}

/// For whom a model is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A page for people.
    Text,
    /// One JSON object, with every weight.
    Json,
}

impl ModelCommand {
    pub(super) fn run(&self, context: &Context) -> anyhow::Result<ExitCode> {
        block_on(async {
            let store = context.existing_store().await?;
            match self {
                Self::List => list(&store).await?,
                Self::Show { version, format } => show(&store, version.as_deref(), *format).await?,
                Self::Rollback { version } => {
                    let version = match version {
                        Some(version) => version.clone(),
                        None => one_before(&store).await?,
                    };
                    let Some(new) = roll_back(&store, &version, context.clock.now()).await? else {
                        anyhow::bail!(
                            "there is no policy model {version}; `bespoke model list` shows those there are"
                        );
                    };
                    say!("policy model {new} is in use from now on");
                }
            }
            store.close().await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

async fn list(store: &Store) -> anyhow::Result<()> {
    let models = store.list_models().await?;
    if models.is_empty() {
        say!("no model was published yet; `bespoke learn` fits and publishes");
    }
    let mut seen: Vec<&str> = Vec::new();
    for model in &models {
        let newest = !seen.contains(&model.kind.as_str());
        seen.push(&model.kind);
        let mark = if newest { "  in use" } else { "" };
        say!("{:<12} {}{mark}", model.kind, model.version);
    }
    Ok(())
}

async fn one_before(store: &Store) -> anyhow::Result<String> {
    let policy = store.list_models().await?.into_iter().filter(|model| model.kind == POLICY_MODEL);
    policy.map(|model| model.version).nth(1).context("there is no policy model before the newest")
}

async fn show(store: &Store, version: Option<&str>, format: Format) -> anyhow::Result<()> {
    let stored = match version {
        Some(version) => store.model(POLICY_MODEL, version).await?,
        None => store.newest_model(POLICY_MODEL).await?,
    };
    let Some(stored) = stored else {
        anyhow::bail!("there is no such policy model; `bespoke model list` shows those there are");
    };
    let body = PolicyBody::parse(&stored.version, &stored.body)?;
    match format {
        Format::Text => say_part!("{}", text(&stored, &body)),
        Format::Json => say!("{:#}", to_json(&stored, &body)),
    }
    Ok(())
}

fn heads(body: &PolicyBody) -> [(&'static str, &Head); 3] {
    let heads = &body.heads;
    [
        ("click", &heads.click),
        ("purchase after a click", &heads.purchase),
        ("unsubscribe", &heads.unsubscribe),
    ]
}

fn text(stored: &StoredModel, body: &PolicyBody) -> String {
    let cold = ColdStart::default();
    let phase = match cold.account(body.account_sends) {
        Account::Uniform => {
            format!("every variant is equally likely until {} mails were sent", cold.uniform_account_sends)
        }
        Account::Learnt => "the model chooses".to_owned(),
    };
    let new = body.variant_sends.values().filter(|sends| cold.share_max(**sends).is_some()).count();
    let mut lines = vec![
        format!("version      {}", stored.version),
        format!("fitted       {}", stored.created_at),
        format!("mails        {}; {phase}", body.account_sends),
        format!(
            "variants     {} sent so far, {new} of them under {} times: at most {:.0} % of the traffic each",
            body.variant_sends.len(),
            cold.new_variant_sends,
            100.0 * cold.new_variant_share_max
        ),
    ];
    lines.extend(body.restored_from.as_ref().map(|from| format!("restored     from {from}")));
    lines.push(match body.order_value_minor {
        Some(value) => format!("an order     {value:.0} minor units on average"),
        None => "an order     none seen yet: clicks are counted instead of money".to_owned(),
    });
    lines.push(match body.calibration.map(|found| (found, found.ratio())) {
        Some((found, Some(ratio))) => format!(
            "calibration  {} clicks of {:.1} predicted in 7 days: {ratio:.2}{}",
            found.clicks,
            found.expected,
            if found.alarm().is_some() { "  ALARM" } else { "" }
        ),
        Some((found, None)) => {
            format!("calibration  too few to say: {} clicks, {:.1} predicted", found.clicks, found.expected)
        }
        None => "calibration  no decision of a model in the last 7 days".to_owned(),
    });
    for (name, head) in heads(body) {
        lines.push(format!("\n{name}: what moves its odds most"));
        let weights = weights(body, head);
        if weights.is_empty() {
            lines.push("  nothing is known yet".to_owned());
        }
        for (feature, mean, sd) in weights.into_iter().take(FEATURES_MAX) {
            let (low, high) = ((mean - 1.96 * sd).exp(), (mean + 1.96 * sd).exp());
            lines.push(format!("  ×{:.2} ({low:.2} … {high:.2})  {feature}", mean.exp()));
        }
    }
    lines.join("\n") + "\n"
}

/// Features that were seen, by how surely they matter: name, mean, standard deviation, in log-odds.
fn weights<'a>(body: &'a PolicyBody, head: &Head) -> Vec<(&'a str, f64, f64)> {
    let space = body.heads.space();
    let posterior = head.posterior();
    let mut found: Vec<(&str, f64, f64)> = (1..posterior.len())
        .filter_map(|index| {
            let prior = head.priors()[space.group_of(index)?.index()];
            let variance = posterior.variance(index)?;
            let seen = variance < 0.999 / prior.precision;
            seen.then_some((space.name_at(index)?, posterior.mean(index)?, variance.sqrt()))
        })
        .collect();
    let surely = |weight: &(&str, f64, f64)| weight.1.abs() / weight.2;
    found.sort_by(|one, two| surely(two).total_cmp(&surely(one)).then(one.0.cmp(two.0)));
    found
}

fn to_json(stored: &StoredModel, body: &PolicyBody) -> Value {
    let weights = |head: &Head| -> Vec<Value> {
        let found = weights(body, head).into_iter();
        found.map(|(feature, mean, sd)| json!({ "feature": feature, "mean": mean, "sd": sd })).collect()
    };
    let heads: serde_json::Map<String, Value> =
        heads(body).into_iter().map(|(name, head)| (name.to_owned(), json!(weights(head)))).collect();
    json!({
        "version": stored.version,
        "fitted_at": stored.created_at,
        "account_sends": body.account_sends,
        "variant_sends": body.variant_sends,
        "order_value_minor": body.order_value_minor,
        "calibration": body.calibration,
        "calibration_ratio": body.calibration.and_then(|found| found.ratio()),
        "restored_from": body.restored_from,
        "heads": heads,
    })
}
