//! `bespoke dkim`: keys that sign mail, and the DNS records that belong to them.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;
use secrecy::ExposeSecret as _;

use crate::cli::context::Globals;
use crate::cli::say::say;
use crate::deliver::dkim::DkimKey;
use crate::deliver::dkim::keys;
use crate::profile::EmailAddress;

/// Bytes of one piece of a TXT record (RFC 1035 §3.3).
const TXT_BYTES_MAX: usize = 255;
/// Only its owner may read a private key.
const KEY_FILE_MODE: u32 = 0o600;

/// `bespoke dkim …`
#[derive(Debug, Subcommand)]
pub enum Dkim {
    /// Makes a key, and says what belongs into the DNS and into bespoke.toml.
    Create(Create),
    /// Says which DNS records belong to the configured keys.
    Records,
}

/// Whose key, and where to.
#[derive(Debug, Args)]
pub struct Create {
    /// The signing domain: the sender's own, or one above it, so that DMARC aligns
    #[arg(long)]
    domain: String,
    /// The selector, a name of yours for this key: another one for each key that follows
    #[arg(long, default_value = "s1")]
    selector: String,
    /// Every mailbox host knows RSA; Ed25519 signs ten times as fast, and goes beside an RSA key
    #[arg(long, value_enum, default_value_t = Algorithm::Rsa)]
    algorithm: Algorithm,
    /// Where to write the private key; a file that is there is left alone
    #[arg(long, default_value = "dkim.pem")]
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Algorithm {
    /// RSA with 2048 bits (RFC 6376)
    Rsa,
    /// Ed25519 (RFC 8463)
    Ed25519,
}

impl Dkim {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create(create) => create.run()?,
            Self::Records => {
                let context = globals.context()?;
                let keys = keys(&context.config.dkim).map_err(|faults| {
                    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                    anyhow::anyhow!(faults.join("\n"))
                })?;
                anyhow::ensure!(
                    !keys.is_empty(),
                    "no [[dkim]] is configured; `bespoke dkim create --domain …` makes a key"
                );
                for key in &keys {
                    tell_record(key)?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    fn run(&self) -> anyhow::Result<()> {
        let domain = &self.domain;
        let is_label = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        EmailAddress::parse(&format!("postmaster@{domain}"))
            .with_context(|| format!("{domain:?} is no domain"))?;
        anyhow::ensure!(
            self.selector.split('.').all(is_label),
            "the selector {:?} is no part of a domain name: write letters, digits and hyphens, such as s1",
            self.selector
        );
        let key = match self.algorithm {
            Algorithm::Rsa => DkimKey::generate_rsa(&self.domain, &self.selector),
            Algorithm::Ed25519 => DkimKey::generate_ed25519(&self.domain, &self.selector),
        }?;
        write_secret(&self.file, key.to_pem()?.expose_secret())?;
        say!("The private key is in {}. Into the DNS:\n", self.file.display());
        tell_record(&key)?;
        say!("\nInto bespoke.toml:\n\n[[dkim]]");
        // The configuration reads it from its own folder, wherever that is.
        let file = std::path::absolute(&self.file)?.display().to_string();
        for (name, text) in [("domain", &self.domain), ("selector", &self.selector), ("key_file", &file)] {
            say!("{name} = {}", toml::Value::from(text.as_str()));
        }
        Ok(())
    }
}

/// A line as zone files have it: a long text in pieces, which readers join. Who types it into a form leaves the quotes
/// between them out.
fn tell_record(key: &DkimKey) -> anyhow::Result<()> {
    let (name, text) = key.dns_record()?;
    let pieces = text.as_bytes().chunks(TXT_BYTES_MAX).map(String::from_utf8_lossy);
    let pieces: Vec<String> = pieces.map(|piece| format!("\"{piece}\"")).collect();
    say!("{name}. TXT {}", pieces.join(" "));
    Ok(())
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.create_new(true).write(true).mode(KEY_FILE_MODE).open(path);
    let mut file = file.with_context(|| format!("cannot write a new file {}", path.display()))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key would pass for one, and stand in the way of the next try.
        let _ = std::fs::remove_file(path);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}
