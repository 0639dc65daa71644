//! Who may call: the written forms of keys and of where tokens come from.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use super::client_certificates::ClientRoots;
use crate::store::tenant::is_name;
use recommend::Millis;
use recommend::clock::{parse_time, rfc3339};

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Have images and notes classified.
    Classify,
    /// Have care recommended, and read what can be recommended.
    Recommend,
    /// Write and read people, things and interactions.
    Write,
    /// Call the services of CDS Hooks: the client of a record system, by its own token.
    Cds,
    /// Everything, and what only administrators may: neighbors, the audit, the models served.
    Admin,
}

impl Scope {
    /// All of those that keys and tokens can name.
    pub const ALL: [Scope; 4] = [Scope::Classify, Scope::Recommend, Scope::Write, Scope::Admin];

    /// As written in keys and tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Classify => "classify",
            Scope::Recommend => "recommend",
            Scope::Write => "write",
            Scope::Cds => "cds",
            Scope::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Scope, ()> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Which models a caller may ask: all of them, or those named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Models(Option<Vec<String>>);

impl Models {
    /// What stands before a model's name among the scopes.
    const PREFIX: &str = "model=";

    /// Those named, where any is.
    pub fn named(&self) -> Option<&[String]> {
        self.0.as_deref()
    }

    /// Whether this one is among them.
    pub fn include(&self, model: &str) -> bool {
        self.named().is_none_or(|names| names.iter().any(|name| name == model))
    }

    /// Takes a word that names a model, and gives back any other.
    fn take<'a>(&mut self, word: &'a str) -> Option<&'a str> {
        let Some(model) = word.strip_prefix(Models::PREFIX) else {
            // A narrowing that is written another way ("Model=pneumonia", "model:pneumonia") narrows to nothing: read as a word for somebody
            // else it would open every model.
            let narrows = word.split_at_checked(5).is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case("model") && !rest.starts_with(char::is_alphanumeric)
            });
            if narrows {
                self.0.get_or_insert_default();
            }
            return Some(word);
        };
        self.0.get_or_insert_default().push(model.to_string());
        None
    }
}

/// What words allow: each is a scope or `model=NAME`. What is neither is for somebody else.
pub fn allowed<'a>(words: impl Iterator<Item = &'a str>) -> (Vec<Scope>, Models) {
    let mut models = Models::default();
    let scopes = words.filter_map(|word| models.take(word)?.parse().ok()).collect();
    (scopes, models)
}

/// Reads `SCOPE+SCOPE`, and models among them.
///
/// # Errors
/// What is wrong with it.
pub(super) fn scopes(text: &str) -> Result<(Vec<Scope>, Models), &'static str> {
    let mut models = Models::default();
    let mut scopes = Vec::new();
    for word in text.split('+') {
        if let Some(word) = models.take(word) {
            let unknown =
                "has a scope that is not classify, recommend, write, admin or model=NAME, joined by +";
            scopes.push(word.parse().map_err(|()| unknown)?);
        }
    }
    if scopes.is_empty() || models.named().is_some_and(|names| names.iter().any(String::is_empty)) {
        return Err("needs a scope beside model=NAME, and a name behind it");
    }
    Ok((scopes, models))
}

/// Whether the audit can call somebody by this name: it is there, it is short, and it is read as it is written.
pub(super) fn is_name_of_caller(name: &str) -> bool {
    !name.is_empty() && name.len() <= 100 && !name.chars().any(is_unseen)
}

/// Whether a sign is not seen, or turns around or parts what stands beside it: a control, format or separator character
/// (Cc, Cf, Zl, Zp of Unicode). With one of them a name would be shown as another.
pub fn is_unseen(sign: char) -> bool {
    sign.is_control()
        || matches!(sign, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}'
            | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// A key that opens the server: its digest, never the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Whose it is, for the audit.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whose data it opens; empty for the default tenant.
    pub tenant: String,
    /// Which models it may ask.
    pub models: Models,
    /// SHA-256 of the key. A key has 256 random bits, which no guessing reaches, so a digest
    /// made to be slow would only make answers slow.
    pub sha256: [u8; 32],
    /// From when on it opens nothing any more.
    pub expires: Option<Millis>,
}

/// Milliseconds of a day.
const DAY: Millis = 86_400_000;

impl FromStr for ApiKey {
    type Err = &'static str;

    /// Reads `NAME:SCOPE+SCOPE:SHA256`, with `model=NAME` among the scopes where it may ask that one, behind the scopes
    /// `@TENANT` for a key of that tenant, and behind it all `:DATE` for a key that ends with that day.
    fn from_str(text: &str) -> Result<ApiKey, &'static str> {
        let text = text.trim();
        let date = text.rsplit_once(':').filter(|(_, date)| date.len() == 10 && date.contains('-'));
        let (text, expires) = match date {
            None => (text, None),
            Some((text, date)) => {
                let day = parse_time(date).ok_or("ends in a date that is none; one is such as 2030-12-31")?;
                (text, Some(day + DAY))
            }
        };
        let mut parts = text.rsplitn(3, ':');
        let (Some(sha256), Some(scopes), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("must be NAME:SCOPES:SHA256");
        };
        // In a list of keys a comma begins the next entry, and in a file a number sign at the beginning a comment.
        if !is_name_of_caller(name) || name.contains(',') || name.starts_with('#') {
            return Err(
                "needs a name of at most 100 bytes, without a comma, # at the beginning or signs that are not seen",
            );
        }
        let (scopes, tenant) = match scopes.split_once('@') {
            Some((scopes, tenant)) if is_name(tenant) => (scopes, tenant),
            Some(_) => return Err("has a tenant that cannot be one"),
            None => (scopes, ""),
        };
        let (scopes, models) = self::scopes(scopes)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(sha256, &mut digest)
            .map_err(|_| "must end in the 64 hexadecimal digits of the key's SHA-256")?;
        let (name, tenant) = (name.to_string(), tenant.to_string());
        Ok(ApiKey { name, scopes, tenant, models, sha256: digest, expires })
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes = self.scopes.iter().map(|scope| scope.as_str().to_string());
        let models = self.models.named().unwrap_or_default().iter();
        let scopes: Vec<String> =
            scopes.chain(models.map(|model| format!("{}{model}", Models::PREFIX))).collect();
        let at = if self.tenant.is_empty() { "" } else { "@" };
        let (scopes, digest) = (scopes.join("+"), hex::encode(self.sha256));
        write!(formatter, "{}:{scopes}{at}{}:{digest}", self.name, self.tenant)?;
        match self.expires {
            // The date is the first ten characters.
            Some(end) => write!(formatter, ":{:.10}", rfc3339(end - DAY)),
            None => Ok(()),
        }
    }
}

/// By what a file is known to have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Stamp {
    /// Of the file as it is now; nothing where it cannot be looked at.
    pub fn of(file: &Path) -> Option<Stamp> {
        let metadata = std::fs::metadata(file).ok()?;
        Some(Stamp { modified: metadata.modified().ok()?, length: metadata.len(), inode: metadata.ino() })
    }
}

/// A file of keys, one entry a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its keys when it was read.
    pub keys: Vec<ApiKey>,
    /// As it was then.
    pub stamp: Option<Stamp>,
}

impl KeyFile {
    /// Reads the file: its keys, and what is wrong with other lines.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> Result<(KeyFile, Vec<String>), String> {
        let stamp = Stamp::of(path);
        let mut keys = Vec::new();
        let problems = entries(path, |line| add_key(&mut keys, line))?;
        Ok((KeyFile { path: path.to_path_buf(), keys, stamp }, problems))
    }
}

/// Takes each entry of a file, one a line; blank lines, and those that begin with `#`, count for nothing. Elsewhere a `#` is part of
/// the entry, as it may be of a name in a certificate: cut off there, it would be another's. Returns what is wrong with some,
/// or that there is none.
///
/// # Errors
/// The file cannot be read.
pub(super) fn entries(
    path: &Path,
    mut take: impl FnMut(&str) -> Result<(), &'static str>,
) -> Result<Vec<String>, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    // Some editors begin a file with the mark of its byte order.
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().map(str::trim).enumerate();
    let mut entries = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).peekable();
    if entries.peek().is_none() {
        return Ok(vec![format!("{name}: it has no entry, and lets nobody in")]);
    }
    let mut problems = Vec::new();
    for (index, line) in entries {
        if let Err(problem) = take(line) {
            problems.push(format!("{name}: line {}: it {problem}", index + 1));
        }
    }
    Ok(problems)
}

/// Adds the key of this entry. An entry that is no key is not repeated in the words: somebody may have
/// written the key itself.
///
/// # Errors
/// What is wrong with it.
pub fn add_key(keys: &mut Vec<ApiKey>, entry: &str) -> Result<(), &'static str> {
    let key: ApiKey = entry.parse()?;
    if keys.iter().any(|other| other.name == key.name || other.sha256 == key.sha256) {
        return Err("repeats a name or a key");
    }
    keys.push(key);
    Ok(())
}

/// Where bearer tokens (JWT) come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSource {
    /// The JWKS file of the keys that sign them.
    pub keys: PathBuf,
    /// Who issues them: their `iss`.
    pub issuer: String,
    /// For whom: their `aud`.
    pub audience: String,
    /// How long one may be good for at most, from now on.
    pub max_life: Duration,
    /// The claim that names the tenant, where there are several.
    pub tenant_claim: Option<String>,
}

/// The files of a TLS server, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Which certificates of clients are asked for; none where none are.
    pub clients: Option<ClientRoots>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_as_it_was_written() {
        let text = format!("ward 7: triage:classify+write:{}", "0f".repeat(32));
        let key: ApiKey = text.parse().unwrap();
        assert_eq!(
            (key.name.as_str(), key.scopes.as_slice()),
            ("ward 7: triage", &[Scope::Classify, Scope::Write][..])
        );
        assert_eq!((key.to_string(), key.expires), (text.clone(), None));
        assert_eq!(key.tenant, "");
        let of_tenant = text.replace("write:", "write@north:");
        let key: ApiKey = of_tenant.parse().unwrap();
        assert_eq!((key.tenant.as_str(), key.scopes.len()), ("north", 2));
        assert_eq!(key.to_string(), of_tenant);
        assert!(key.models.include("pneumonia"));
        let narrow = format!("cath-lab:classify+model=pneumonia:{}", "0f".repeat(32));
        let key: ApiKey = narrow.parse().unwrap();
        assert_eq!(key.to_string(), narrow);
        assert!(key.models.include("pneumonia") && !key.models.include("triage"));
        let text = format!("{text}:2030-12-31");
        let key: ApiKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(key.expires, parse_time("2031-01-01"), "the day itself is still good");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let digest = "0f".repeat(32);
        for bad in [
            String::new(),
            digest.clone(),
            format!("name::{digest}"),
            format!(":classify:{digest}"),
            format!("name:everything:{digest}"),
            format!("name:model=pneumonia:{digest}"),
            format!("name:classify+model=:{digest}"),
            "name:classify:0f".to_string(),
            format!("name:classify:{}", "é".repeat(32)),
            format!("name:classify:+{}", &digest[1..]),
            format!("name:classify:{digest}:2030-13-01"),
            format!("name:classify:{digest}:tomorrow"),
            format!("name:classify@:{digest}"),
            format!("name:classify@No rth:{digest}"),
            format!("name:@north:{digest}"),
            format!("#ward 7:classify:{digest}"),
            format!("ward\u{202e}7:classify:{digest}"),
            format!("ward\u{200b}7:classify:{digest}"),
            format!("name:classify:{digest} # the ward"),
            format!("name:classify:{digest}:2030-12-31 # the ward"),
            format!("a,b:classify:{digest}"),
        ] {
            assert!(bad.parse::<ApiKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_comment_is_a_line_of_its_own_and_a_file_without_an_entry_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let (file, problems) = KeyFile::read(&path).unwrap();
            (file.keys.into_iter().map(|key| key.name).collect::<Vec<_>>(), problems.concat())
        };
        let digest = "0f".repeat(32);
        let (names, problems) = read(&format!("# a\n\n  #b:admin:{digest}\nward #7:classify:{digest}\n"));
        assert_eq!((names, problems.as_str()), (vec!["ward #7".to_string()], ""));
        let (names, problems) = read(&format!("ward:classify:{digest}  # the wards\n"));
        assert!(names.is_empty() && problems.contains("line 1"), "{problems}");
        for nobody in ["", "\n \n", "# nobody yet\n"] {
            let (names, problems) = read(nobody);
            assert!(names.is_empty() && problems.contains("no entry"), "{nobody:?}: {problems}");
        }
    }

    #[test]
    fn a_file_may_begin_with_the_mark_of_its_byte_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, format!("\u{feff}admin:admin:{}\n", "0f".repeat(32))).unwrap();
        let (file, problems) = KeyFile::read(&path).unwrap();
        assert_eq!((file.keys[0].name.as_str(), problems.len()), ("admin", 0));
    }
}
