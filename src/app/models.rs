//! `medserve models`: packages checked as the server would load them, and signed.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::config::{Config, Settings, read_model_keys, read_signing_key};
use crate::inference::registry::try_out;
use crate::inference::signature;
use model::package::packages;

/// What is done with model packages.
#[derive(Debug, clap::Subcommand)]
pub enum Models {
    /// Load every package as the server would, and say of each whether it fits; the exit status is the answer
    Verify {
        /// PEM file of the public keys (Ed25519) that packages must be signed by; without it signatures are not looked at
        #[arg(long, env = "MEDSERVE_MODEL_KEYS")]
        model_keys: Option<PathBuf>,
    },
    /// Sign packages: a signature over the manifest, which holds the digests of the other files
    Sign {
        /// PEM file of the private key (Ed25519), as `openssl genpkey -algorithm ed25519` makes one
        #[arg(long)]
        key: PathBuf,
        /// Only this model, in all of its versions
        #[arg(long)]
        model: Option<String>,
    },
}

/// Carries out a command on the packages of a folder.
///
/// # Errors
/// A package that does not fit; a file that cannot be read or written.
pub fn run(models_dir: &Path, what: Models) -> Result<()> {
    let packages = packages(models_dir)?;
    ensure!(!packages.is_empty(), "{}: there is no package in it", models_dir.display());
    let versions = |of: Option<&str>| {
        let these = packages.iter().filter(|(name, _)| of.is_none_or(|of| *name == of));
        these
            .flat_map(|(name, versions)| versions.iter().map(move |(number, folder)| (name, number, folder)))
            .collect::<Vec<_>>()
    };
    match what {
        Models::Verify { model_keys } => {
            let mut config = Config::read(&Settings::default()).0;
            (config.engines, config.max_batch) = (1, 1);
            config.model_keys =
                model_keys.as_deref().map(read_model_keys).transpose().map_err(anyhow::Error::msg)?;
            let fits = if config.model_keys.is_some() { "fits and is signed" } else { "fits" };
            let (mut all, mut refused) = (0, 0);
            for (name, version, folder) in versions(None) {
                all += 1;
                match try_out(folder, &config) {
                    Ok(()) => println!("{name}/{version}: {fits}"),
                    Err(error) => {
                        refused += 1;
                        println!("{name}/{version}: refused: {error}");
                    }
                }
            }
            ensure!(refused == 0, "{refused} of {all} packages would be refused");
        }
        Models::Sign { key, model } => {
            let pair = read_signing_key(&key).map_err(anyhow::Error::msg)?;
            let these = versions(model.as_deref());
            if these.is_empty() {
                bail!("{}: there is no such model", models_dir.display());
            }
            for (name, version, folder) in these {
                signature::sign(folder, &pair)?;
                println!("{name}/{version}: signed");
            }
        }
    }
    Ok(())
}
