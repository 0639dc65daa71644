//! What references within a Bundle stand for. A reference names an entry by its `fullUrl`, by type and id,
//! by a contained id, or by an identifier as a search would (`Practitioner?identifier=system|value`). One
//! that names nothing here names something that may be stored already; one that names two says of neither. References are followed from a
//! resource to the next a fixed number of times, so that circles end.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::bundle::{Bundle, BundleKind, Entry, Method, Resource};
use super::deletions::STATEMENTS;
use super::request::one_identifier;
use super::resources::{Identifier, Reference};

/// What a reference stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The entry of this number.
    Entry(usize),
    /// Something outside of the Bundle, by type and id: `Practitioner/17`.
    Outside(String),
    /// Something outside of the Bundle, by type and identifier: `Practitioner?identifier=system|value`.
    Identified(String),
    /// One of several entries, and nobody can tell which.
    Several,
    /// Nothing that could be found: a `urn:uuid` of no entry, or no reference at all.
    Nothing,
}

/// Of "https://host/fhir/Patient/7/_history/2" what names the resource whatever its version.
fn without_history(reference: &str) -> &str {
    reference.split("/_history/").next().unwrap_or(reference).trim_end_matches('/')
}

/// Of the same what names it within a server: "Patient/7".
pub(crate) fn local(reference: &str) -> &str {
    let path = without_history(reference);
    path.rmatch_indices('/').nth(1).map_or(path, |(at, _)| &path[at + 1..])
}

/// The names of a Bundle's entries.
pub struct Index {
    /// By `fullUrl`, and by type and identifier.
    names: HashMap<String, usize>,
    /// By type and id, which name a resource on its own server alone.
    ids: HashMap<String, usize>,
    /// Names that two entries have.
    several: HashSet<String>,
    older: Vec<bool>,
    /// Older versions that stand all the same, as the newer one has a modifier that is not understood.
    standing: HashSet<usize>,
    /// Entries that cannot be told from another, and why.
    clashes: HashMap<usize, &'static str>,
    strangers: HashSet<usize>,
    /// The servers of entries that have one.
    servers: HashMap<usize, String>,
    /// Whether these are of more than one.
    mixed: bool,
}

impl Index {
    /// Of this Bundle. A `fullUrl` of two entries, and an identifier of two people, names neither; of two other entries of
    /// one name the first has it; of versions of one resource the newest.
    pub fn new(bundle: &Bundle) -> Index {
        let mut names: HashMap<String, usize> = HashMap::new();
        let mut ids: HashMap<String, usize> = HashMap::new();
        let mut several = HashSet::new();
        let Versions { older, standing, strangers } = older_versions(bundle);
        // What was deleted is nothing that a reference could be to.
        let there = |(index, entry): &(usize, &Entry)| !older[*index] && !entry.deleted;
        let newest = || bundle.entries.iter().enumerate().filter(there);
        for (index, entry) in newest() {
            if let Some(url) = &entry.full_url {
                // One without a scheme says of no server that the resource is there.
                let known = if url.contains(':') { &mut names } else { &mut ids };
                if *known.entry(url.clone()).or_insert(index) != index {
                    several.insert(url.clone());
                }
            }
            if let Some(id) = &entry.id {
                let name = format!("{}/{id}", entry.kind);
                // A server is to give what is added an id of its own, so that two may come with one.
                let first = *ids.entry(name.clone()).or_insert(index);
                if first != index && [first, index].iter().any(|of| is_renamed(&bundle.entries[*of])) {
                    several.insert(name);
                }
            }
            let named = identifiers(&entry.resource).iter().filter_map(qualified);
            for identifier in named.chain(entry.if_none.clone()) {
                let name = format!("{}?identifier={identifier}", entry.kind);
                let first = *names.entry(name.clone()).or_insert(index);
                if entry.kind == "Patient" && id_of(&bundle.entries[first]) != id_of(entry) {
                    several.insert(name);
                }
            }
        }
        let clashes = clashes(bundle, &several, newest());
        let server = |(index, entry): (usize, &Entry)| Some((index, entry.server.clone()?));
        let servers: HashMap<usize, String> = bundle.entries.iter().enumerate().filter_map(server).collect();
        let mixed = servers.values().collect::<HashSet<_>>().len() > 1;
        Index { names, ids, several, older, standing, clashes, strangers, servers, mixed }
    }

    /// Whether the Bundle has a newer version of this entry's resource.
    pub fn older(&self, entry: usize) -> bool {
        self.older.get(entry) == Some(&true)
    }

    /// Whether what an older version says stands.
    pub fn stands(&self, entry: usize) -> bool {
        self.standing.contains(&entry)
    }

    /// Whether an entry that is older has the type and id of another resource: one of another server.
    pub fn stranger(&self, entry: usize) -> bool {
        self.strangers.contains(&entry)
    }

    /// Why an entry cannot be told from another, where that is so: it is not taken, and nothing that refers to it is.
    pub fn clash(&self, entry: usize) -> Option<&'static str> {
        self.clashes.get(&entry).copied()
    }

    /// What a reference of a resource on the server `from` stands for: a relative one is to a resource there (R4, Resolving
    /// references in Bundles). `kinds` are the types that it may be of where it does not say so.
    pub fn resolve_from(&self, from: Option<&str>, reference: Option<&Reference>, kinds: &[&str]) -> Target {
        let Some(reference) = reference else { return Target::Nothing };
        let Some(written) =
            reference.reference.as_deref().map(str::trim).filter(|written| !written.is_empty())
        else {
            // A logical reference: by identifier alone.
            let kind = reference.kind.as_deref().or(kinds.first().copied()).unwrap_or_default();
            let Some(identifier) = reference.identifier.as_ref().and_then(qualified) else {
                return Target::Nothing;
            };
            return self.named(format!("{kind}?identifier={identifier}"));
        };
        if let Some(&index) = self.names.get(written) {
            return if self.several.contains(written) { Target::Several } else { Target::Entry(index) };
        }
        if written.starts_with("urn:") || written.starts_with('#') {
            return Target::Nothing;
        }
        if let Some((kind, query)) = written.split_once("?identifier=") {
            let Some(identifier) = one_identifier(query) else { return Target::Nothing };
            return self.named(format!("{}?identifier={identifier}", last(kind)));
        }
        let path = without_history(written);
        let mut parts = path.rsplit('/');
        match (parts.next(), parts.next()) {
            (Some(id), Some(kind)) if !id.is_empty() && !kind.is_empty() => {
                let name = format!("{kind}/{id}");
                let own = server(path).or(from.map(str::to_owned));
                match self.ids.get(&name) {
                    Some(&index) if self.is_of(index, own.as_deref()) => match self.several.contains(&name) {
                        true => Target::Several,
                        false => Target::Entry(index),
                    },
                    // Of which server it is nobody says, and one of this type and id is on one of several.
                    Some(_) if own.is_none() => Target::Nothing,
                    // Another server's resource of this type and id is another one.
                    _ => Target::Outside(name),
                }
            }
            _ => Target::Nothing,
        }
    }

    /// Whether an entry may be of this server: where neither says so it is, and where one does not, it is while the Bundle
    /// is of no other.
    fn is_of(&self, entry: usize, server: Option<&str>) -> bool {
        match (server, self.servers.get(&entry)) {
            (Some(own), Some(other)) => own == other,
            (None, Some(_)) => !self.mixed,
            (_, None) => true,
        }
    }

    fn named(&self, name: String) -> Target {
        match self.names.get(&name) {
            _ if self.several.contains(&name) => Target::Several,
            Some(&index) => Target::Entry(index),
            None => Target::Identified(name),
        }
    }
}

/// The name under which a person's identifier is kept: a digest, as the identifier may be one that nobody should read.
pub fn patient_name(identifier: &str) -> String {
    let digest = Sha256::digest(identifier);
    digest.iter().fold("Patient#".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// By what a person's identifiers are compared with those that came before: short digests of the system and of the whole.
pub fn origin_name(identifier: &str) -> Option<String> {
    let (system, _) = identifier.rsplit_once('|')?;
    Some(format!("{}:{}", short_digest(system), short_digest(identifier)))
}

/// The server of an absolute address of a resource, whatever the scheme and the version.
pub(super) fn server(address: &str) -> Option<String> {
    server_at(without_history(address).rsplitn(3, '/').nth(2)?)
}

/// The server at a base address; a machine's name for itself names none.
fn server_at(base: &str) -> Option<String> {
    let own =
        |server: &String| ["localhost", "127.", "[::1]", "0.0.0.0"].iter().any(|own| server.starts_with(own));
    base_of(base).filter(|server| !own(server))
}

/// A base address as it is compared: without the scheme, its host in small letters and without the port that the scheme has
/// anyway.
pub(crate) fn base_of(base: &str) -> Option<String> {
    let (scheme, rest) = base.trim_end_matches('/').split_once("://")?;
    let port = match scheme.to_ascii_lowercase().as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(port).unwrap_or(&host);
    (!host.is_empty()).then(|| [host, path].join("/").trim_end_matches('/').to_owned())
}

/// The server of what a resource on `from` refers to: where the reference has no address, the same.
pub(super) fn server_of(reference: &Reference, from: Option<&str>) -> Option<String> {
    let written = reference.reference.as_deref().map(str::trim).unwrap_or_default();
    server(written).or_else(|| from.map(str::to_owned))
}

/// The name under which it is kept that this person has an identifier of that name: one for each person who has it, so that
/// nothing of the one stays once the person is erased, and the other is found by it again.
pub fn holder_name(name: &str, user_id: &str) -> String {
    format!("{name}#{}", short_digest(user_id))
}

/// The name of the identifier (`patient_name`) that is kept under a name of a person who has it.
pub fn held(name: &str) -> &str {
    name.match_indices('#').nth(1).map_or(name, |(at, _)| &name[..at])
}

/// The name of a resource among all that are known: two servers count theirs from 1, so that of one whose server is known
/// the name has a digest of that: `AllergyIntolerance/1@0123456789abcdef`.
pub fn known_name(kind: &str, id: &str, server: Option<&str>) -> String {
    match server {
        Some(server) => format!("{kind}/{id}@{}", short_digest(server)),
        None => format!("{kind}/{id}"),
    }
}

/// The name that a resource has where its server is not known.
pub fn without_server(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// Whether a name is of a resource with an id that lasts, which names the same thing in the next Bundle.
pub fn lasts(name: &str) -> bool {
    !name.contains('#')
}

/// Whether two names may be of one resource, and nobody can say so: they are one but for the server, which only one has.
pub fn may_be_one(one: &str, other: &str) -> bool {
    let plain = |name: &str, of: &str| of.strip_prefix(name).is_some_and(|rest| rest.starts_with('@'));
    plain(one, other) || plain(other, one)
}

fn short_digest(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// An identifier with its system before it. A value without a system identifies nobody: any hospital may have a number 71.
pub fn qualified(identifier: &Identifier) -> Option<String> {
    let sound =
        |text: &Option<String>| Some(text.as_deref()?.trim().to_owned()).filter(|text| !text.is_empty());
    Some(format!("{}|{}", sound(&identifier.system)?, sound(&identifier.value)?))
}

fn identifiers<E>(resource: &Result<Resource, E>) -> &[Identifier] {
    match resource {
        Ok(Resource::Patient(patient)) => &patient.identifier,
        Ok(Resource::Location(location)) => &location.identifier,
        Ok(Resource::Organization(organization)) => &organization.identifier,
        Ok(Resource::Practitioner(practitioner)) => &practitioner.identifier,
        Ok(Resource::PractitionerRole(role)) => &role.identifier,
        _ => &[],
    }
}

/// Entries of which a Bundle has a newer version as well.
struct Versions {
    older: Vec<bool>,
    /// Those of them that stand, since the newest has a modifier that is not understood.
    standing: HashSet<usize>,
    /// Those that are of another server, by their addresses.
    strangers: HashSet<usize>,
}

/// Finds older versions: by when they were made, by their numbers, or else by their order.
fn older_versions(bundle: &Bundle) -> Versions {
    let mut older = vec![false; bundle.entries.len()];
    let mut strangers = HashSet::new();
    let mut newest: HashMap<(&str, &str), usize> = HashMap::new();
    for (index, entry) in bundle.entries.iter().enumerate() {
        let Some(id) = entry.id.as_deref().filter(|_| !entry.kind.is_empty() && !is_renamed(entry)) else {
            continue;
        };
        let Some(known) = newest.insert((&entry.kind, id), index) else { continue };
        let (first, second) = (bundle.entries[known].version, entry.version);
        let times = first.updated.zip(second.updated).map(|(first, second)| second.cmp(&first));
        let numbers = first.number.zip(second.number).map(|(first, second)| second.cmp(&first));
        let order = times.filter(|order| order.is_ne()).or(numbers).filter(|order| order.is_ne());
        let gone = if order.map_or(!second.newest_first, std::cmp::Ordering::is_gt) { known } else { index };
        older[gone] = true;
        if gone == index {
            newest.insert((&entry.kind, id), known);
        }
        let address =
            |entry: usize| bundle.entries[entry].full_url.as_deref().filter(|url| url.starts_with("http"));
        // One without a server is not taken for another server's.
        if address(known).zip(address(index)).is_some_and(|(first, second)| first != second)
            || (bundle.entries[known].server != entry.server
                && !bundle.entries[known].deleted
                && !entry.deleted)
        {
            strangers.insert(gone);
        }
    }
    let says_of_a_list = |index: usize| STATEMENTS.contains(&bundle.entries[index].kind.as_str());
    let modified = |newest: &usize| !bundle.entries[*newest].modifiers.is_empty() && says_of_a_list(*newest);
    let stands = |index: &usize| {
        let entry = &bundle.entries[*index];
        let newest = entry.id.as_deref().and_then(|id| newest.get(&(entry.kind.as_str(), id)));
        older[*index] && !entry.deleted && newest.is_some_and(modified)
    };
    let standing = (0..older.len()).filter(stands).collect();
    Versions { older, standing, strangers }
}

/// Entries that cannot be told from others: of a request those of one `fullUrl` (FHIR's rule bdl-7) and those whose `fullUrl`
/// is another resource's; people who would be kept under one id and are not said to be one.
fn clashes<'a>(
    bundle: &Bundle,
    several: &HashSet<String>,
    newest: impl Iterator<Item = (usize, &'a Entry)>,
) -> HashMap<usize, &'static str> {
    let mut clashes = HashMap::new();
    let mut people: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, entry) in newest {
        let url = entry.full_url.as_deref().filter(|_| bundle.kind != BundleKind::Collection);
        let of_another = |url: &str| {
            let absolute = url.starts_with("http://") || url.starts_with("https://");
            let named = local(url).split_once('/').filter(|_| absolute);
            named.is_some_and(|(kind, id)| {
                kind == entry.kind && entry.id.as_ref().is_some_and(|own| own != id)
            })
        };
        if url.is_some_and(|url| several.contains(url)) {
            clashes.insert(index, "has the fullUrl of another entry; each resource of a Bundle has its own");
        } else if url.is_some_and(of_another) {
            clashes.insert(index, "has a fullUrl that ends in another id than its own");
        } else if let Some(identifier) = &entry.if_none
            && several.contains(&format!("Patient?identifier={identifier}"))
        {
            let detail = "is created by an identifier (ifNoneExist) that another Patient of the Bundle has; refer to that one";
            clashes.insert(index, detail);
        }
        if let Some(id) = id_of(entry).filter(|_| entry.kind == "Patient") {
            people.entry(id).or_default().push(index);
        }
    }
    for of in people.into_values().filter(|of| of.len() > 1) {
        let said = |index: &usize| bundle.entries[*index].if_none.as_ref();
        // The same conditional create twice is one person.
        if said(&of[0]).is_none() || of.iter().any(|index| said(index) != said(&of[0])) {
            let detail = "would be one person with another Patient of the Bundle, by its identifier or its fullUrl; give each its id";
            clashes.extend(of.into_iter().map(|index| (index, detail)));
        }
    }
    clashes
}

/// The id by which an entry is kept: its own, or else the identifier by which it is not to be made twice, or else that of
/// its `fullUrl`, or else its first identifier that has a system. It is the same each time that the same resource comes; of
/// a person who is to be added, a `urn:uuid` is new each time.
pub fn id_of(entry: &Entry) -> Option<String> {
    kept_by(entry).map(|(id, _)| id)
}

/// Whether the id by which an entry is kept is an identifier of which nobody said that it tells who this is.
pub fn is_guessed(entry: &Entry) -> bool {
    kept_by(entry).is_some_and(|(_, guessed)| guessed)
}

/// Whether an entry is added with an id that names it nowhere else: of what is added the server is to ignore the id (R4,
/// create), unless its `fullUrl` says that it is the resource's own. Of people and items that come without a `fullUrl` it
/// counts, since the id is all by which what is said of them could find them.
pub(super) fn is_renamed(entry: &Entry) -> bool {
    let url = entry.full_url.as_deref().map(|url| last(url.strip_prefix("urn:uuid:").unwrap_or(url)));
    let own = match (url, entry.id.as_deref()) {
        (Some(url), Some(id)) => url == id,
        (None, Some(_)) => entry.kind == "Patient" || is_item(&entry.kind),
        (_, None) => true,
    };
    entry.method == Some(Method::Post) && !own
}

fn is_item(kind: &str) -> bool {
    ["Organization", "Location", "Practitioner", "PractitionerRole"].contains(&kind)
}

fn kept_by(entry: &Entry) -> Option<(String, bool)> {
    let added = entry.method == Some(Method::Post) && !is_item(&entry.kind);
    let by_id = entry.id.as_ref().filter(|_| !added || !is_renamed(entry));
    let asked = entry.if_none.as_ref();
    // Whoever adds a person only where nobody has an identifier says that it tells who this is.
    let first = if added && entry.kind == "Patient" { asked.or(by_id) } else { by_id.or(asked) };
    if let Some(id) = first {
        return Some((id.clone(), false));
    }
    // A `urn:uuid` of what is added is a name within the Bundle.
    if added && entry.kind != "Patient" {
        return None;
    }
    // Old and temporary numbers are given to others later.
    let lasts = |own: &&Identifier| !matches!(own.usage.as_deref(), Some("old" | "temp"));
    let own = || identifiers(&entry.resource).iter().filter(lasts);
    // The number of the medical record before one that a family may share.
    let record = || own().filter(|own| own.is_of("MR")).find_map(qualified);
    let identifier = || record().or_else(|| own().find_map(qualified));
    let new_each_time = entry.full_url.as_deref().is_some_and(|url| url.starts_with("urn:uuid:"));
    if let Some(identifier) = identifier().filter(|_| added && new_each_time) {
        return Some((identifier, true));
    }
    let url = entry.full_url.as_deref().map(|url| url.strip_prefix("urn:uuid:").unwrap_or(url));
    let url = url.map(|url| last(url.strip_prefix("urn:oid:").unwrap_or(url))).filter(|id| !id.is_empty());
    url.map(|id| (id.to_owned(), false)).or_else(|| Some((identifier()?, true)))
}
