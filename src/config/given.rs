//! What was given: on the command line and in the environment, both by clap, and in the file.
//!
//! Values are text until all of them are there, so that a number that is none is reported beside
//! everything else that is wrong, by flag, variable and value, and not alone by whoever meets it first.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command};
use toml::{Table, Value};

use super::setting::{About, Accepts, Default, Setting, called, member, variable};
use super::settings;

/// The settings given by flags and variables, as text.
#[derive(Clone, std::default::Default)]
pub struct Settings(BTreeMap<&'static str, String>);

impl clap::FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Settings, clap::Error> {
        let mut settings = Settings::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.take(matches, settings::all().map(|setting| setting.about()));
        Ok(())
    }
}

impl Settings {
    /// Takes those of these settings that were given.
    fn take(&mut self, matches: &ArgMatches, abouts: impl Iterator<Item = About>) {
        for About { name, .. } in abouts {
            if let Some(value) = matches.get_one::<String>(name) {
                self.0.insert(name, value.clone());
            }
        }
    }
}

impl clap::Args for Settings {
    fn augment_args(command: Command) -> Command {
        settings::all().fold(command, |command, setting| command.arg(argument(setting.about())))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(about: About) -> Arg {
    let help = about.help.replace('`', "");
    let help = match about.default {
        Default::None => help,
        Default::Is(value) | Default::Depends(value) => {
            format!("{help} [default: {}]", value.replace('`', ""))
        }
    };
    let flag = Arg::new(about.name)
        .long(about.name)
        .env(variable(about.name))
        .hide_env_values(about.secret)
        .value_name(about.value)
        .help(help);
    match about.switch {
        true => flag.num_args(0..=1).default_missing_value("true"),
        false => flag,
    }
}

/// Those of the settings that say which database is meant, for the commands that work on one: what a server
/// is given in its file, its variables or its flags leads them to the same.
#[derive(Clone, std::default::Default)]
pub struct DatabaseSettings(pub(super) Settings);

impl DatabaseSettings {
    fn all() -> impl Iterator<Item = About> {
        let own = [
            settings::CONFIG.name,
            settings::DATABASE_URL.name,
            settings::DATABASE_URL_FILE.name,
            settings::DEMO.name,
            settings::TENANTS.name,
        ];
        settings::all().map(|setting| setting.about()).filter(move |about| own.contains(&about.name))
    }
}

impl clap::FromArgMatches for DatabaseSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<DatabaseSettings, clap::Error> {
        let mut settings = DatabaseSettings::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.take(matches, Self::all());
        Ok(())
    }
}

impl clap::Args for DatabaseSettings {
    fn augment_args(command: Command) -> Command {
        Self::all().fold(command, |command, about| {
            // Beside --tenant it would be taken for it; the variable and the file say which tenants there are.
            let hidden = about.name == settings::TENANTS.name;
            command.arg(argument(about).global(true).hide(hidden))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The settings given, laid over those of the file, and what is wrong with them.
pub struct Reader {
    values: Table,
    problems: Vec<String>,
}

impl Reader {
    /// Reads the file, if one is named.
    pub fn new(given: &Settings) -> Reader {
        let mut problems = Vec::new();
        let mut values = match given.0.get(settings::CONFIG.name).map(|path| read_file(path)) {
            None => Table::new(),
            Some(Ok(table)) => table,
            Some(Err(problem)) => {
                problems.push(problem);
                Table::new()
            }
        };
        let given = given.0.iter().filter(|(name, _)| **name != settings::CONFIG.name);
        values.extend(given.map(|(name, value)| (member(name), Value::String(value.clone()))));
        Reader { values, problems }
    }

    /// The value given; none where nothing is said, or nothing that is accepted.
    pub fn given<A: Accepts>(&mut self, setting: &Setting<A>) -> Option<A::Value> {
        let Setting { name, accepts, .. } = setting;
        debug_assert!(settings::all().any(|other| other.about().name == *name), "{name} is in no group");
        let (value, shown) = match self.values.remove(&member(name))? {
            Value::String(text) => (accepts.parse(&text), Some(text)),
            Value::Array(values) => {
                let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
                (texts.and_then(|texts| accepts.parse_list(&texts)), None)
            }
            Value::Table(_) | Value::Datetime(_) => (None, None),
            value => (accepts.parse(&value.to_string()), Some(value.to_string())),
        };
        if value.is_none() {
            let (called, accepted) = (called(name), accepts.accepted());
            self.note(match shown.filter(|_| !accepts.is_secret()) {
                Some(text) => format!("{called} is \"{text}\"; it must be {accepted}"),
                None => format!("{called} must be {accepted}"),
            });
        }
        value
    }

    /// The value given, or the default.
    pub fn value<A: Accepts>(&mut self, setting: &Setting<A>) -> A::Value {
        let default = || match setting.default {
            Default::Is(text) => setting.accepts.parse(text),
            Default::None | Default::Depends(_) => None,
        };
        self.given(setting).or_else(default).expect("a setting that is read so has a default that it accepts")
    }

    /// A list, such as of those who are let in; none where nothing is said. Who gives one, and by mistake an empty one, does not mean
    /// that everybody may come in.
    pub fn list<A: Accepts<Value = Vec<String>>>(&mut self, setting: &Setting<A>) -> Vec<String> {
        let given = self.given(setting);
        if given.as_ref().is_some_and(Vec::is_empty) {
            self.note(format!(
                "{} is given and has no entry; leave it out where there are none",
                called(setting.name)
            ));
        }
        given.unwrap_or_default()
    }

    /// A table, which only the file can hold.
    pub fn table(&mut self, name: &str) -> Table {
        match self.values.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.note(format!("[{name}] in the file must be a table"));
                Table::new()
            }
        }
    }

    /// Notes a problem in words of its own.
    pub fn note(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// What is wrong with that which was asked for.
    pub fn problems(self) -> Vec<String> {
        self.problems
    }

    /// Everything that is wrong. What nobody asked for is unknown.
    pub fn finish(mut self) -> Vec<String> {
        let unknown = self.values.keys().map(|name| format!("the file has an unknown setting \"{name}\""));
        self.problems.extend(unknown);
        self.problems
    }
}

fn read_file(path: &str) -> Result<Table, String> {
    let called = called(settings::CONFIG.name);
    let text = std::fs::read_to_string(path).map_err(|error| format!("{called}: {path}: {error}"))?;
    text.parse().map_err(|error: toml::de::Error| {
        // The error's own rendering quotes the line, which may hold a password.
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        format!("{called}: {path}: line {line}: {}", error.message())
    })
}
