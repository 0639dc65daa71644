//! What electronic records send: FHIR and CDS Hooks.

#![allow(dead_code)] // Each target uses one of them.

use std::collections::BTreeSet;

use clinical::cds::request::HookRequest;
use clinical::cds::services::Service;
use clinical::fhir::people::take_back;
use clinical::fhir::{Bundle, Deletions, Found, Report, map, medications_elsewhere};
use recommend::{Profile, User};

/// A present time, always the same: 2026-03-01.
pub const NOW: i64 = 1_772_323_200_000;

/// FHIR: a byte for how it comes (a file, a request, lines, deletions), then the text.
pub fn fhir(data: &[u8]) {
    let Some((&way, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let read = match way % 4 {
        0 => Bundle::read(text),
        1 => Bundle::read_sent(text),
        2 => Bundle::read_lines(text),
        _ => {
            let mut deletions = Deletions::default();
            let types = ["Patient", "Condition", "AllergyIntolerance", "Practitioner"].map(str::to_string);
            let _ = deletions.read_lines(text, &types);
            deletions.set_server("https://ehr.example.org/fhir");
            let names = deletions.known_names(deletions.statements.iter());
            take_back(&mut Profile::default(), &|resource, _| names.contains(resource));
            return;
        }
    };
    if let Ok(bundle) = read {
        settle(&bundle);
    }
}

/// Takes a Bundle in three times: where nothing that it asks for is stored, where everything is, and where several people have
/// each identifier.
pub fn settle(bundle: &Bundle) {
    let _ = medications_elsewhere(bundle);
    for (stored, shared) in [(false, false), (true, false), (true, true)] {
        let mapped = map(bundle, NOW);
        let wanted = mapped.wanted();
        let named = |names: BTreeSet<String>| names.into_iter().map(|name| (name.clone(), name)).collect();
        let found = match stored {
            false => Found::default(),
            true => Found {
                people: wanted.people,
                items: wanted.items,
                identifiers: named(wanted.identifiers),
                shared: if shared { wanted.people_by_identifier.clone() } else { BTreeSet::new() },
                people_by_identifier: named(wanted.people_by_identifier),
                former: BTreeSet::new(),
            },
        };
        let Ok(settled) = mapped.settle(&found) else { continue };
        Report::default().add(&settled);
        for person in &settled.people {
            let mut profile = Profile::default();
            person.apply(&mut profile);
            let _ = User { user_id: person.user_id.clone(), profile }.validate("", NOW);
        }
        for item in &settled.items {
            let _ = item.validate("");
        }
        for interaction in &settled.interactions {
            let _ = interaction.validate("", NOW);
        }
    }
}

/// A request of CDS Hooks, to each service.
pub fn cds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for service in Service::ALL {
        if let Ok(request) = HookRequest::read(service, text)
            && let Ok(said) = request.said(NOW, &Default::default())
        {
            let _ = request.profile(None, said);
        }
    }
}
