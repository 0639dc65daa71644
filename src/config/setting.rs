//! What one setting is: its names, its default, what it accepts and what it is for, in one value.
//!
//! The flag, the variable, the member of the file, the help, the table for operators and the reading
//! of a value all come from it, so that none of them can say something else.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A setting whose values are those that `A` accepts.
pub struct Setting<A> {
    /// The flag without its dashes; [`member`] and [`variable`] follow from it.
    pub name: &'static str,
    /// What stands for the value in the help.
    pub value: &'static str,
    /// What holds where nothing is said.
    pub default: Default,
    /// The values accepted.
    pub accepts: A,
    /// What it is for, as a phrase in Markdown.
    pub help: &'static str,
}

/// What holds where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// Nothing: there is no value.
    None,
    /// This value, as a person would write it.
    Is(&'static str),
    /// A value that follows from something else, in words.
    Depends(&'static str),
}

/// Which texts are values of a setting.
pub trait Accepts {
    /// What a text becomes.
    type Value;

    /// The texts accepted, in words that fit behind "must be".
    fn accepted(&self) -> String;

    /// The value, if the text is one.
    fn parse(&self, text: &str) -> Option<Self::Value>;

    /// The value that a list in the file stands for, if lists are accepted.
    fn parse_list(&self, _: &[&str]) -> Option<Self::Value> {
        None
    }

    /// Whether the flag may stand alone, which is then "true".
    fn is_switch(&self) -> bool {
        false
    }

    /// Whether a value may hold a secret and is never shown.
    fn is_secret(&self) -> bool {
        false
    }
}

/// A setting of any kind, for what looks at its words alone.
pub trait Described: Sync {
    /// Its names and words.
    fn about(&self) -> About;
}

/// The names and words of a setting; see [`Setting`] and [`Accepts`].
pub struct About {
    /// The flag without its dashes.
    pub name: &'static str,
    /// What stands for the value in the help.
    pub value: &'static str,
    /// What holds where nothing is said.
    pub default: Default,
    /// What it is for.
    pub help: &'static str,
    /// The texts accepted.
    pub accepted: String,
    /// Whether the flag may stand alone.
    pub switch: bool,
    /// Whether a value is never shown.
    pub secret: bool,
}

impl<A: Accepts + Sync> Described for Setting<A> {
    fn about(&self) -> About {
        About {
            name: self.name,
            value: self.value,
            default: self.default,
            help: self.help,
            accepted: self.accepts.accepted(),
            switch: self.accepts.is_switch(),
            secret: self.accepts.is_secret(),
        }
    }
}

/// The member of the file for a setting.
pub fn member(name: &str) -> String {
    name.replace('-', "_")
}

/// The environment variable for a setting. The database's has the name that other programs use too.
pub fn variable(name: &str) -> String {
    match name {
        "database-url" => "DATABASE_URL".to_string(),
        _ => format!("MEDSERVE_{}", member(name).to_uppercase()),
    }
}

/// A setting by the names a person may have given it.
pub fn called(name: &str) -> String {
    format!("--{name} ({})", variable(name))
}

/// Any text; the word says what it is.
pub struct Text(pub &'static str);

/// Several texts with commas between them; in the file a list.
pub struct List(pub &'static str);

/// Values that may hold a secret.
pub struct Hidden<A>(pub A);

/// Yes or no.
pub struct Switch;

/// A whole number within these bounds.
pub struct Number(pub RangeInclusive<u64>);

/// Milliseconds within these bounds.
pub struct Millis(pub RangeInclusive<u64>);

/// A number from 0 to 1.
pub struct Share;

/// An address and a port.
pub struct Address;

/// One of these words.
pub struct OneOf<T: 'static>(pub &'static [(&'static str, T)]);

impl Accepts for Text {
    type Value = String;

    fn accepted(&self) -> String {
        self.0.to_string()
    }

    fn parse(&self, text: &str) -> Option<String> {
        // Who leaves a value empty has forgotten it: a claim or an audience of no name is none.
        (!text.trim().is_empty()).then(|| text.to_string())
    }
}

impl Accepts for List {
    type Value = Vec<String>;

    fn accepted(&self) -> String {
        self.0.to_string()
    }

    fn parse(&self, text: &str) -> Option<Vec<String>> {
        self.parse_list(&text.split(',').collect::<Vec<_>>())
    }

    fn parse_list(&self, texts: &[&str]) -> Option<Vec<String>> {
        let texts = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        Some(texts.map(str::to_string).collect())
    }
}

impl<A: Accepts> Accepts for Hidden<A> {
    type Value = A::Value;

    fn accepted(&self) -> String {
        self.0.accepted()
    }

    fn parse(&self, text: &str) -> Option<A::Value> {
        self.0.parse(text)
    }

    fn parse_list(&self, texts: &[&str]) -> Option<A::Value> {
        self.0.parse_list(texts)
    }

    fn is_secret(&self) -> bool {
        true
    }
}

impl Accepts for Switch {
    type Value = bool;

    fn accepted(&self) -> String {
        "true or false".to_string()
    }

    fn parse(&self, text: &str) -> Option<bool> {
        text.parse().ok()
    }

    fn is_switch(&self) -> bool {
        true
    }
}

impl Accepts for Number {
    type Value = u64;

    fn accepted(&self) -> String {
        format!("a number from {} to {}", self.0.start(), self.0.end())
    }

    fn parse(&self, text: &str) -> Option<u64> {
        text.parse().ok().filter(|number| self.0.contains(number))
    }
}

impl Accepts for Millis {
    type Value = Duration;

    fn accepted(&self) -> String {
        format!("a number of milliseconds from {} to {}", self.0.start(), self.0.end())
    }

    fn parse(&self, text: &str) -> Option<Duration> {
        Some(Duration::from_millis(text.parse().ok().filter(|number| self.0.contains(number))?))
    }
}

impl Accepts for Share {
    type Value = f64;

    fn accepted(&self) -> String {
        "a number from 0 to 1".to_string()
    }

    fn parse(&self, text: &str) -> Option<f64> {
        text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
    }
}

impl Accepts for Address {
    type Value = SocketAddr;

    fn accepted(&self) -> String {
        "an address and a port, such as 127.0.0.1:8080".to_string()
    }

    fn parse(&self, text: &str) -> Option<SocketAddr> {
        text.parse().ok()
    }
}

impl<T: Copy> Accepts for OneOf<T> {
    type Value = T;

    fn accepted(&self) -> String {
        self.0.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ")
    }

    fn parse(&self, text: &str) -> Option<T> {
        self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }
}
