//! The settings of tenants: which there are, and what belongs to them besides their data.

use super::given::Reader;
use super::setting::called;
use super::{ApiKey, TokenSource, settings};
use crate::store::tenant::{NAMES, address, is_name};

/// Claims that a token is read for anyway.
const READ_OTHERWISE: [&str; 7] = ["aud", "exp", "iss", "jti", "scope", "scp", "sub"];

/// Tenants' part of the configuration. The default tenant, whose name is empty, is always there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantsConfig {
    /// The names of the others.
    pub names: Vec<String>,
    /// Learned recommenders and whose they are: tenant and model.
    pub recommenders: Vec<(String, String)>,
    /// The tenant that the networks of DICOM and HL7 belong to.
    pub network: String,
}

impl TenantsConfig {
    /// Reads them, and looks through what names tenants elsewhere.
    pub(super) fn read(
        reader: &mut Reader,
        database_url: &str,
        keys: &[&ApiKey],
        tokens: &mut Option<TokenSource>,
        known: bool,
    ) -> TenantsConfig {
        let setting = called(settings::TENANTS.name);
        let names: Vec<String> = reader.list(&settings::TENANTS);
        for (place, name) in names.iter().enumerate() {
            if !is_name(name) {
                reader.note(format!("{setting} has \"{name}\"; a name must be {NAMES}"));
            } else if names[..place].contains(name) {
                reader.note(format!("{setting} has \"{name}\" twice"));
            } else if let Err(error) = address(database_url, name) {
                reader.note(format!("{setting}: {error}"));
            }
        }
        if !names.is_empty() && !known {
            reader.note(format!(
                "{setting} is given and nobody can be told to be of one: configure {}, {} or {}",
                called(settings::API_KEYS.name),
                called(settings::API_KEYS_FILE.name),
                called(settings::JWT_KEYS.name),
            ));
        }
        let is_there = |name: &String| name.is_empty() || names.contains(name);
        for key in keys.iter().filter(|key| !is_there(&key.tenant)) {
            reader.note(format!(
                "the key \"{}\" is of \"{}\", which {setting} does not name",
                key.name, key.tenant
            ));
        }
        let claim = reader.value(&settings::JWT_TENANT_CLAIM);
        if READ_OTHERWISE.contains(&claim.as_str()) {
            let called = called(settings::JWT_TENANT_CLAIM.name);
            reader.note(format!("{called} is \"{claim}\", which says something else of a token"));
        }
        if let Some(tokens) = tokens.as_mut().filter(|_| !names.is_empty()) {
            tokens.tenant_claim = Some(claim);
        }
        let network = reader.given(&settings::NETWORK_TENANT).unwrap_or_default();
        if !is_there(&network) {
            let called = called(settings::NETWORK_TENANT.name);
            reader.note(format!("{called} is \"{network}\", which {setting} does not name"));
        }
        let entries = reader.list(&settings::TENANT_RECOMMENDERS);
        let mut recommenders = Vec::new();
        for entry in &entries {
            match entry.split_once('=').map(|(tenant, model)| (tenant.to_string(), model.to_string())) {
                Some((tenant, model)) if is_there(&tenant) && !model.is_empty() => {
                    recommenders.push((tenant, model));
                }
                _ => reader.note(format!(
                    "{} has \"{entry}\"; an entry is TENANT=MODEL, of a tenant that {setting} names",
                    called(settings::TENANT_RECOMMENDERS.name)
                )),
            }
        }
        TenantsConfig { names, recommenders, network }
    }

    /// Every name, the default tenant's first.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once("").chain(self.names.iter().map(String::as_str))
    }

    /// Whose a learned recommender is: weights that were fitted to the people of one tenant say
    /// something of them, so nobody else is answered by them.
    pub fn owner(&self, model: &str) -> &str {
        self.recommenders.iter().find(|(_, named)| named == model).map_or("", |(tenant, _)| tenant)
    }
}
