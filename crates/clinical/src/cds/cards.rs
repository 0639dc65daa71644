//! Cards: what was found, in as few of them as can be. All that is contraindicated stands in one critical
//! card, all that is serious in one warning, the rest in one for information; an order that nothing speaks
//! against has none. Whoever is interrupted often stops to read. What could not be checked is said in one card
//! of its own: silence has to mean that all was looked at.

use recommend::{Alternative, Checked, Concern, Finding, Severity};
use serde_json::{Value, json};

use super::request::DraftOrder;

/// The longest summary, in characters; CDS Hooks wants fewer than 140.
const SUMMARY: usize = 139;

/// Most lines that a card has of one order, or of what was not checked.
const LINES: usize = 20;

/// Reasons that a person may give for ordering all the same, offered with a card.
pub(super) const OVERRIDES: [(&str, &str); 4] = [
    ("benefit-outweighs-risk", "The benefit outweighs the risk"),
    ("tolerated-before", "The person has tolerated it before"),
    ("record-wrong", "The record is wrong or out of date"),
    ("will-monitor", "The person will be monitored"),
];

/// The code system of those reasons.
pub const OVERRIDE_SYSTEM: &str = "urn:medserve:override-reason";

/// Something that suits a person.
#[derive(Debug, Clone)]
pub struct Suits {
    /// What kind of thing.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Why, in a few words.
    pub why: String,
}

/// A card, and what of it is kept.
#[derive(Debug, Clone)]
pub struct Card {
    /// Its id.
    pub uuid: String,
    /// critical, warning or info.
    pub indicator: &'static str,
    /// The card as it is sent.
    pub json: Value,
    /// Orders that it is about.
    pub orders: usize,
    /// The rules that speak against them, each once.
    pub rules: Vec<&'static str>,
    /// The drugs that it suggests, and those that it is about.
    pub offers: Vec<Offer>,
}

/// A drug that a card suggests, or that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The suggestion's id; empty for an order that the card is about.
    pub suggestion: String,
    /// The drug.
    pub item_id: String,
}

/// The rule that a finding is of, in a word.
fn rule(concern: Concern) -> &'static str {
    match concern {
        Concern::Allergy => "allergy",
        Concern::Condition => "condition",
        Concern::Interaction => "interaction",
        Concern::Duplicate => "duplicate therapy",
        Concern::Pregnancy => "pregnancy",
        Concern::Sex => "sex",
        Concern::Age => "age",
    }
}

/// How much a finding matters, as an indicator.
fn indicator(severity: Severity) -> &'static str {
    match severity {
        Severity::Contraindicated => "critical",
        Severity::Serious => "warning",
        Severity::Caution => "info",
    }
}

/// The cards for checked orders: at most one of each severity, and one of what could not be checked, with
/// `unread`, what was sent and could not be looked at: where that is anything, no drug is suggested, as it may be what
/// speaks against it. `uuid` makes an id that is new each time.
pub fn orders(
    orders: &[DraftOrder],
    checked: &[Checked],
    unread: &[String],
    uuid: &mut dyn FnMut() -> String,
) -> Vec<Card> {
    let mut cards = Vec::new();
    for severity in [Severity::Contraindicated, Severity::Serious, Severity::Caution] {
        // An order stands in one card, by the worst that was found.
        let worst =
            |checked: &&Checked| checked.findings.first().is_some_and(|first| first.severity == severity);
        let concerned: Vec<&Checked> = checked.iter().filter(worst).collect();
        if !concerned.is_empty() {
            cards.push(card(orders, &concerned, severity, unread.is_empty(), uuid));
        }
    }
    cards.extend(unchecked(checked, unread, uuid));
    cards
}

/// The card of what was not checked: what was not understood, of orders and of the record, and orders about which no rule is
/// known. It warns where an order is among what was not understood, and is for information where none is.
fn unchecked(checked: &[Checked], unread: &[String], uuid: &mut dyn FnMut() -> String) -> Option<Card> {
    let orders: Vec<&str> = checked
        .iter()
        .filter_map(|checked| checked.unclear.as_deref())
        .chain(unread.iter().map(String::as_str))
        .collect();
    // The record is the same for every order.
    let record = checked.first().map_or(&[][..], |checked| checked.flags.as_slice());
    let unruled: Vec<&str> = checked.iter().filter_map(|checked| checked.unruled.as_deref()).collect();
    let not_understood = orders.iter().copied().chain(record.iter().map(String::as_str));
    let all: Vec<&str> = not_understood.chain(unruled.iter().copied()).collect();
    let first = all.first()?;
    let others = if all.len() > 1 { format!(", and {} more", all.len() - 1) } else { String::new() };
    let line = |text: &&str| format!("- not checked: {}\n", plain(text));
    let detail: String = all.iter().take(LINES).map(line).chain([more(all.len())]).collect();
    let mut meant = Vec::new();
    if all.len() > unruled.len() {
        meant.push("What is not understood was compared with nothing.");
    }
    if !unruled.is_empty() {
        meant.push("Without rules a drug was compared with allergies and for duplicates alone.");
    }
    let indicator = if orders.is_empty() { "info" } else { "warning" };
    let id = uuid();
    let json = json!({
        "uuid": id,
        "summary": cut(&format!("Not checked: {first}{others}")),
        "detail": format!("{detail}\n{}", meant.join(" ")),
        "indicator": indicator,
        "source": {"label": "medserve"},
    });
    Some(Card {
        uuid: id,
        indicator,
        json,
        orders: orders.len() + unruled.len(),
        rules: vec![if all.len() > unruled.len() { "not understood" } else { "no rules known" }],
        offers: Vec::new(),
    })
}

fn card(
    orders: &[DraftOrder],
    concerned: &[&Checked],
    severity: Severity,
    suggests: bool,
    uuid: &mut dyn FnMut() -> String,
) -> Card {
    let name = |checked: &Checked| orders[checked.index].item.name.as_str();
    let first = concerned.first().and_then(|checked| Some((name(checked), checked.findings.first()?)));
    let summary = match (first, concerned.len()) {
        (Some((name, finding)), 1) => format!("{name}: {}", finding.reason),
        _ => {
            let names: Vec<&str> = concerned.iter().map(|checked| name(checked)).collect();
            format!("{} orders to be looked at again: {}", concerned.len(), names.join(", "))
        }
    };
    let mut detail = String::new();
    let (mut suggestions, mut offers) = (Vec::new(), Vec::new());
    // Two drugs for one order are no pair to be taken together, and a card can only say so of all that it suggests.
    let of_each = match (suggests, concerned.len()) {
        (false, _) => 0,
        (true, 1) => usize::MAX,
        (true, _) => 1,
    };
    for checked in concerned {
        let order = &orders[checked.index];
        detail.push_str(&format!("**{}**\n\n", plain(&order.item.name)));
        for finding in checked.findings.iter().take(LINES) {
            detail.push_str(&told(finding));
        }
        detail.push_str(&more(checked.findings.len()));
        detail.push('\n');
        if let Some(item_id) = checked.catalogued.clone() {
            offers.push(Offer { suggestion: String::new(), item_id });
        }
        for alternative in checked.alternatives.iter().take(of_each) {
            let id = uuid();
            offers.push(Offer { suggestion: id.clone(), item_id: alternative.item.item_id.clone() });
            suggestions.push(replace(order, alternative, id));
        }
        if severity != Severity::Caution && order.reference.is_some() {
            suggestions.push(remove(order, uuid()));
        }
    }
    let source =
        concerned.iter().flat_map(|checked| &checked.findings).find_map(|finding| finding.source.as_deref());
    let id = uuid();
    let indicator = indicator(severity);
    let mut json = json!({
        "uuid": id,
        "summary": cut(&summary),
        "detail": detail.trim_end(),
        "indicator": indicator,
        "source": {
            "label": source.map_or_else(|| "medserve".to_owned(), |source| format!("medserve, after: {source}")),
        },
    });
    if !suggestions.is_empty() {
        json["suggestions"] = Value::Array(suggestions);
        json["selectionBehavior"] = json!(if concerned.len() == 1 { "at-most-one" } else { "any" });
    }
    if severity != Severity::Caution {
        let reason = |(code, display): (&str, &str)| json!({"code": code, "system": OVERRIDE_SYSTEM, "display": display});
        json["overrideReasons"] = Value::Array(OVERRIDES.map(reason).to_vec());
    }
    let mut rules: Vec<&'static str> = Vec::new();
    for finding in concerned.iter().flat_map(|checked| &checked.findings) {
        if !rules.contains(&rule(finding.concern)) {
            rules.push(rule(finding.concern));
        }
    }
    Card { uuid: id, indicator, json, orders: concerned.len(), rules, offers }
}

/// The line behind those that are told, where there are more.
fn more(lines: usize) -> String {
    match lines.saturating_sub(LINES) {
        0 => String::new(),
        rest => format!("- and {rest} more\n"),
    }
}

fn told(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Contraindicated => "contraindicated",
        Severity::Serious => "serious",
        Severity::Caution => "caution",
    };
    let note = finding.note.as_deref().map_or(String::new(), |note| format!(" ({})", plain(note)));
    let source =
        finding.source.as_deref().map_or(String::new(), |source| format!(", source: {}", plain(source)));
    format!("- {severity}: {}{note}{source}\n", plain(&finding.reason))
}

/// The order with another drug in the place of its own.
fn replace(order: &DraftOrder, alternative: &Alternative, uuid: String) -> Value {
    let Alternative { item: alternative, purposes, cautions } = alternative;
    let purpose = if purposes.is_empty() { String::new() } else { format!(", for {}", purposes.join(", ")) };
    let heeded = match cautions.as_slice() {
        [] => String::new(),
        cautions => format!(" (caution: {})", cautions.join("; ")),
    };
    let codings: Vec<Value> = alternative
        .codes()
        .iter()
        .filter_map(|code| code.split_once('|'))
        .map(|(system, code)| json!({"system": system, "code": code, "display": alternative.name}))
        .collect();
    let mut concept = json!({"text": alternative.name});
    if !codings.is_empty() {
        concept["coding"] = Value::Array(codings);
    }
    let mut resource = json!({
        "resourceType": "MedicationRequest",
        "status": "draft",
        "intent": "order",
        "medicationCodeableConcept": concept,
    });
    // Dose and form belonged to the other drug, and are chosen anew.
    for member in ["subject", "encounter", "requester", "reasonCode", "reasonReference"] {
        if let Some(value) = order.resource.get(member) {
            resource[member] = value.clone();
        }
    }
    let mut actions = vec![json!({
        "type": "create",
        "description": format!("Order {}; dose and form are to be chosen", alternative.name),
        "resource": resource,
    })];
    if let Some(reference) = &order.reference {
        actions.push(json!({
            "type": "delete",
            "description": format!("Remove the order of {}", order.item.name),
            "resourceId": reference,
        }));
    }
    json!({
        "uuid": uuid,
        "label": cut(&format!("{} instead of {}{purpose}{heeded}", alternative.name, order.item.name)),
        "isRecommended": false,
        "actions": actions,
    })
}

fn remove(order: &DraftOrder, uuid: String) -> Value {
    json!({
        "uuid": uuid,
        "label": cut(&format!("Remove the order of {}", order.item.name)),
        "actions": [{
            "type": "delete",
            "description": format!("Remove the order of {}", order.item.name),
            "resourceId": order.reference,
        }],
    })
}

/// The card of what suits a person, or none where nothing does.
pub fn suits(found: &[Suits], uuid: &mut dyn FnMut() -> String) -> Option<Card> {
    if found.is_empty() {
        return None;
    }
    let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
    let line = |one: &Suits| format!("- {}: {} ({})\n", one.kind, plain(&one.name), plain(&one.why));
    let detail: String = found.iter().map(line).collect();
    let id = uuid();
    let json = json!({
        "uuid": id,
        "summary": cut(&format!("May suit this person: {}", names.join(", "))),
        "detail": format!("{detail}\nWhat people like this one have, without what is unsafe for this person."),
        "indicator": "info",
        "source": {"label": "medserve"},
    });
    Some(Card { uuid: id, indicator: "info", json, orders: 0, rules: Vec::new(), offers: Vec::new() })
}

/// A summary, or a label, of the length that CDS Hooks allows.
fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.chars().count() <= SUMMARY {
        true => line,
        false => format!("{}…", line.chars().take(SUMMARY - 1).collect::<String>().trim_end()),
    }
}

/// A text within Markdown that is taken for nothing but text: a record may hold anything.
fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '!' => {
                safe.push('\\');
                safe.push(c);
            }
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
