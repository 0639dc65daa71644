//! `medserve`: the server. Argument parsing only.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use medserve::api::router;
use medserve::app;
use medserve::app::audit::{self, Audit};
use medserve::app::import::{self, Import};
use medserve::app::models::{self, Models};
use medserve::app::{backup, health};
use medserve::config::{self, ConfigError, DatabaseSettings, Settings};
use medserve::store::{self, tenant};
use vision::phantom;

/// Every request takes and gives back a few hundred pieces of memory, on one thread and on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Classifies medical images and clinical notes and recommends care, over HTTP.
///
/// No answer is a diagnosis. Without a command it serves.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    settings: Settings,
}

/// The database that a command works on.
#[derive(Args)]
struct Database {
    #[command(flatten)]
    settings: DatabaseSettings,
    /// Tenant whose data it is; without it the default tenant
    #[arg(long, env = "MEDSERVE_TENANT", default_value = "", hide_default_value = true, global = true)]
    tenant: String,
}

impl Database {
    /// Its address, which is told: who works on another database than was meant finds out here.
    fn address(&self) -> anyhow::Result<String> {
        let url = config::database_address(&self.settings).map_err(anyhow::Error::msg)?;
        let url = tenant::address(&url, &self.tenant)?;
        eprintln!("database: {}", store::shown(&url));
        Ok(url)
    }

    /// The same of one that is there.
    fn existing(&self) -> anyhow::Result<String> {
        let url = self.address()?;
        if let Some(file) = store::file_of(&url).filter(|file| !file.exists()) {
            bail!(
                "there is no database at {}; say which one is meant, by --database-url or the server's own --config",
                file.display()
            );
        }
        Ok(url)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Serve over HTTP
    Serve(Box<Serve>),
    /// Put a file of users, items, interactions, cases or terms into the database, whole or not at all
    Import {
        #[command(flatten)]
        database: Database,
        #[command(subcommand)]
        what: Import,
    },
    /// Make a key: prints it, once, and the entry for --api-keys
    Key {
        /// Whose it is, for the audit
        name: String,
        /// What it may do: classify, recommend, write, admin, joined by +
        scopes: String,
        /// Tenant that it is for; without it the default tenant
        #[arg(long)]
        tenant: Option<String>,
        /// Last day on which it opens anything, such as 2030-12-31
        #[arg(long)]
        expires: Option<String>,
    },
    /// Copy the database into a file, while it is served
    Backup {
        #[command(flatten)]
        database: Database,
        /// File of the audit's secret, which signs the back-up; without it the file has a digest alone
        #[arg(long, env = "MEDSERVE_AUDIT_KEY_FILE")]
        audit_key_file: Option<String>,
        /// File to write; it must not be there
        file: PathBuf,
    },
    /// Put what a back-up holds into an empty database
    Restore {
        #[command(flatten)]
        database: Database,
        /// File of the audit's secret, which must have signed the back-up
        #[arg(long, env = "MEDSERVE_AUDIT_KEY_FILE")]
        audit_key_file: Option<String>,
        /// Restore a back-up that has no seal, or one that does not fit it
        #[arg(long)]
        unsealed: bool,
        /// The back-up
        file: PathBuf,
    },
    /// Verify, export or sign the audit
    Audit {
        #[command(flatten)]
        database: Database,
        /// File of the audit's secret; without it the database's own
        #[arg(long, env = "MEDSERVE_AUDIT_KEY_FILE", global = true)]
        audit_key_file: Option<String>,
        #[command(subcommand)]
        what: Audit,
    },
    /// Verify or sign model packages
    Models {
        /// Folder of the model packages
        #[arg(long, env = "MEDSERVE_MODELS_DIR", default_value = "models", global = true)]
        models_dir: PathBuf,
        #[command(subcommand)]
        what: Models,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Print the table of all settings in Markdown
    Settings,
    /// Ask a running server whether it is ready; the exit status is the answer
    Health {
        /// Address of the server: an IP address and a port, as of --listen
        #[arg(long, env = "MEDSERVE_ADDRESS", default_value = "127.0.0.1:8080", value_parser = socket_address)]
        address: SocketAddr,
        /// The server's certificate, where it speaks TLS
        #[arg(long, env = "MEDSERVE_TLS_CERTIFICATE")]
        tls_certificate: Option<PathBuf>,
    },
    /// Write a drawn chest X-ray as PNG, to have something to classify; it is a drawing, not an X-ray
    SampleImage {
        /// File to write
        #[arg(long, env = "MEDSERVE_SAMPLE_OUT")]
        out: PathBuf,
        /// Seed of the drawing
        #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
        seed: u64,
    },
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let why = "it must be an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080, without http:// before and a path behind";
    text.parse().map_err(|_| why.to_string())
}

/// Prints what a command found out. A reader that has gone, such as `head`, has read enough.
fn say(what: &impl Display) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{what}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The variables that a command and those below it read.
fn variables(command: &clap::Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(clap::Arg::get_env);
    let own = own.map(|name| name.to_string_lossy().into_owned());
    own.chain(command.get_subcommands().flat_map(variables)).collect()
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        // Without a command it serves, with the same options: clap says that the two cannot be had together.
        if error.get(ContextKind::InvalidSubcommand).is_some() && error.kind() == ErrorKind::ArgumentConflict
        {
            let own = "options stand behind the command, such as: medserve restore FILE --database-url URL";
            Cli::command().error(ErrorKind::ArgumentConflict, own).exit();
        }
        error.exit()
    });
    let strange = config::strange(&variables(&Cli::command()), std::env::vars_os());
    let command = cli.command.unwrap_or_else(|| Command::Serve(Box::new(cli.serve)));
    // Who serves is told of it beside everything else that is wrong.
    if !matches!(command, Command::Serve(_)) && !strange.slips.is_empty() {
        return Err(ConfigError(strange.slips).into());
    }
    match command {
        Command::Serve(serve) => app::run(app::prepare(&serve.settings, strange)?),
        Command::Import { database, what } => {
            let unnamed = !config::names_tenant(&database.settings, &database.tenant);
            let imported = import::run(&database.address()?, unnamed.then_some(&database.tenant), what)?;
            say(&imported)
        }
        Command::Backup { database, audit_key_file, file } => {
            say(&backup::backup(&database.existing()?, &file, audit_key_file.as_deref())?.trim_end())
        }
        Command::Restore { database, audit_key_file, unsealed, file } => {
            let trust = backup::Trust { key_file: audit_key_file, unsealed };
            say(&backup::restore(&database.address()?, &file, &trust)?.trim_end())
        }
        Command::Audit { database, audit_key_file, what } => {
            // A key is made, and an export verified, without a database.
            let url = if what.needs_database() { database.existing()? } else { String::new() };
            audit::run(&url, &database.tenant, audit_key_file.as_deref(), what)
        }
        Command::Models { models_dir, what } => models::run(&models_dir, what),
        Command::Key { name, scopes, tenant, expires } => {
            let (key, entry) = app::make_key(&name, &scopes, tenant.as_deref(), expires.as_deref())?;
            say(&format!("key (keep it secret, it is shown only now): {key}\nentry for --api-keys: {entry}"))
        }
        Command::Openapi => say(&router::document().to_pretty_json()?),
        Command::Settings => say(&config::table()),
        Command::Health { address, tls_certificate } => health::check(address, tls_certificate.as_deref()),
        Command::SampleImage { out, seed } => {
            let png = phantom::chest_phantom(seed, 512)?;
            std::fs::write(&out, png).with_context(|| out.display().to_string())
        }
    }
}
