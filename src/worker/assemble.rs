//! From configuration and database to an engine and a transport.

use std::collections::HashMap;
use std::sync::Arc;

use secrecy::ExposeSecret as _;

use crate::catalog::Catalog;
use crate::catalog::CatalogSettings;
use crate::config::Config;
use crate::config::DatabaseLinks;
use crate::config::TransportKind;
use crate::deliver::directory::Directory;
use crate::deliver::smtp::Pool;
use crate::deliver::smtp::PoolSettings;
use crate::deliver::smtp::Relay;
use crate::deliver::transport::Transport;
use crate::fault::Fault;
use crate::fault::Severity;
use crate::fault::render_all;
use crate::learn::value::VALUE_MODEL;
use crate::product::ProductIndex;
use crate::select::learnt::POLICY_MODEL;
use crate::select::learnt::UnusableModel;
use crate::select::recommend::ItemModel;
use crate::store::Store;
use crate::token::Keyring;
use crate::worker::engine::Engine;
use crate::worker::guard;
use crate::worker::sender::Sender;
use crate::worker::sender::SenderError;

/// Name of the stored secret that signs links and return paths.
const LINK_SECRET: &str = "links";
/// Kind of the stored model of what sells now.
pub const POPULARITY_MODEL: &str = "popularity";

/// Why a worker cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The templates: their faults, without warnings, which would hide them.
    #[error("the templates cannot be used\n{}", render_all(.0).trim_end())]
    Catalog(Vec<Fault>),
    /// The database.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// Whom mail is from.
    #[error(transparent)]
    Sender(#[from] SenderError),
    /// The published model of the learning policy.
    #[error(transparent)]
    Model(#[from] UnusableModel),
    /// A relay.
    #[error("{0}")]
    Relay(String),
    /// The folder that mails go into.
    #[error("{0}")]
    Directory(String),
}

/// Reads the templates of the configuration.
pub fn catalog(config: &Config) -> Result<Catalog, AssembleError> {
    let loaded = Catalog::load(&config.templates.folder, &CatalogSettings::of_config(config));
    loaded.map_err(|mut faults| {
        faults.retain(|fault| fault.severity == Severity::Error);
        AssembleError::Catalog(faults)
    })
}

/// The keys that sign links: the configured one, else the one that the database keeps. What the database's own signed
/// before one was configured is believed on, unless the configuration refuses it: links of mails that went out must not
/// die of it.
pub async fn keyring(config: &Config, store: &Store) -> Result<Keyring, AssembleError> {
    let stated = config.public.secret.as_ref().map(|secret| secret.expose_secret().to_owned());
    let (secret, own) = match (stated, config.public.database_links) {
        (Some(secret), DatabaseLinks::Believed) => (secret, store.kept_secret(LINK_SECRET).await?),
        (Some(secret), DatabaseLinks::Refused) => (secret, None),
        (None, _) => {
            let fresh = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
            (store.secret(LINK_SECRET, &fresh).await?, None)
        }
    };
    let previous = config.public.previous_secrets.iter().map(|secret| secret.expose_secret().as_bytes());
    Ok(Keyring::new(secret.as_bytes(), previous.chain(own.as_deref().map(str::as_bytes))))
}

/// Everything that decides and renders, as of now.
pub async fn engine(config: &Config, store: &Store) -> Result<Engine, AssembleError> {
    let catalog = catalog(config)?.without_sources();
    let keyring = Arc::new(keyring(config, store).await?);
    let products: ProductIndex = store.all_products().await?.into_iter().collect();
    let sender = Sender::new(config, keyring)?;
    let mut engine = Engine::new(config.clone(), catalog, products, items(store).await?, sender);
    if let Some(model) = store.newest_model(POLICY_MODEL).await? {
        engine.policy.take(&model)?;
    }
    engine.policy.rings.store(Arc::new(guard::open_rings(store, &engine.catalog).await?));
    if let Some(model) = store.newest_model(VALUE_MODEL).await? {
        let read = serde_json::from_str(&model.body);
        engine.value = Some(read.map_err(|fault| UnusableModel::new(&model.version, fault))?);
    }
    Ok(engine)
}

/// What `bespoke learn` found out about products; nothing is recommended by neighbours before it ran.
async fn items(store: &Store) -> Result<ItemModel, AssembleError> {
    let mut neighbours: HashMap<String, Vec<(String, f32)>> = HashMap::new();
    for neighbour in store.all_neighbours().await? {
        #[expect(clippy::cast_possible_truncation, reason = "a score needs no more digits")]
        let score = neighbour.score as f32;
        neighbours.entry(neighbour.product).or_default().push((neighbour.neighbour, score));
    }
    let popular = match store.newest_model(POPULARITY_MODEL).await? {
        Some(model) => serde_json::from_str(&model.body).unwrap_or_default(),
        None => Vec::new(),
    };
    Ok(ItemModel::new(neighbours, popular))
}

/// How mail leaves, by the configuration.
pub fn transport(config: &Config) -> Result<Transport, AssembleError> {
    match config.transport.kind {
        TransportKind::Directory => {
            let Some(folder) = &config.transport.directory else {
                let problem = "transport.kind is \"directory\" and transport.directory is not stated; write the folder";
                return Err(AssembleError::Directory(problem.to_owned()));
            };
            let directory = Directory::open(folder)
                .map_err(|error| AssembleError::Directory(format!("cannot use {}: {error}", folder.display())))?;
            Ok(Transport::Directory(directory))
        }
        TransportKind::Smtp if config.relay.is_empty() => Err(AssembleError::Relay(
            "no relay is configured; set BESPOKE_SMTP_URL=smtp+starttls://user:password@host, or write a [[relay]] \
             with its url into bespoke.toml"
                .to_owned(),
        )),
        TransportKind::Smtp => {
            let relays = config.relay.iter().map(|section| Relay::of_section(section, &config.rates));
            let relays = relays.collect::<Result<Vec<_>, _>>();
            let relays = relays.map_err(|error| AssembleError::Relay(error.to_string()))?;
            let pool = Pool::new(relays, PoolSettings::default());
            pool.map(Transport::Smtp).map_err(|error| AssembleError::Relay(error.to_string()))
        }
    }
}
