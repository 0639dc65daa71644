//! A row of the audit as a syslog message (RFC 5424) that holds DICOM's audit message (PS3.15, A.5), in
//! the form that IHE's ATNA profile sends to an audit repository.
//!
//! What a row is in DICOM's terms is chosen by its route ([`event`]). The row's own members that DICOM
//! has no place for, its number and its chain among them, are details of an object that stands for the
//! decision, so that a receiver can find the row again and tell one that came twice.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::store::{AuditRow, NumberedRow};
use recommend::clock::rfc3339;

/// Facility 10 (security and authorization), severity 5 (normal but significant): PS3.15, A.6.
const PRIORITY: u8 = 85;

/// An event of DICOM's context group 400, and what is done: create, read, update, delete, execute.
struct Event {
    code: &'static str,
    meaning: &'static str,
    action: char,
}

/// What a row is in DICOM's terms.
fn event(row: &AuditRow) -> Event {
    let of = |code, meaning, action| Event { code, meaning, action };
    let action = match row.method.as_str() {
        "GET" | "HEAD" => 'R',
        "PUT" => 'U',
        "DELETE" => 'D',
        _ => 'C',
    };
    let route = row.route.as_str();
    match route {
        _ if row.status == 401 => of("110114", "User Authentication", 'E'),
        _ if route.starts_with("/v1/audit") => of("110101", "Audit Log Used", 'R'),
        "dicom" => of("110104", "DICOM Instances Transferred", 'C'),
        _ if route.starts_with("/dicom-web/") && action == 'C' => {
            of("110104", "DICOM Instances Transferred", 'C')
        }
        _ if route.starts_with("/dicom-web/") => of("110103", "DICOM Instances Accessed", action),
        "/v1/users/{user_id}" | "/v1/users/{user_id}/interactions" | "/v1/interactions" | "/fhir/R4" => {
            of("110110", "Patient Record", action)
        }
        _ => of("110112", "Query", 'E'),
    }
}

/// Success, minor failure or serious failure.
fn outcome(status: u16) -> u8 {
    match status {
        0..400 => 0,
        400..500 => 4,
        _ => 8,
    }
}

/// A row as one frame of a stream: its length in octets, a blank, and the message (RFC 6587, 3.4.1).
/// `host` is this machine's name, `tenant` whose audit it is.
pub fn frame(row: &NumberedRow, host: &str, tenant: &str) -> Vec<u8> {
    let time = rfc3339(row.row.time);
    let process = std::process::id();
    // The mark in front of the text says that it is UTF-8 (RFC 5424, 6.4).
    let message = format!(
        "<{PRIORITY}>1 {time} {host} medserve {process} DICOM+RFC3881 - \u{feff}{}",
        xml(row, host, tenant)
    );
    format!("{} {message}", message.len()).into_bytes()
}

/// The audit message.
fn xml(numbered: &NumberedRow, host: &str, tenant: &str) -> String {
    let row = &numbered.row;
    let Event { code, meaning, action } = event(row);
    let mut text = String::with_capacity(2048);
    text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?><AuditMessage>");
    let (time, outcome) = (rfc3339(row.time), outcome(row.status));
    let _ = write!(
        text,
        "<EventIdentification EventActionCode=\"{action}\" EventDateTime=\"{time}\" \
         EventOutcomeIndicator=\"{outcome}\">{}",
        coded("EventID", code, "DCM", meaning)
    );
    if row.status == 401 {
        text.push_str(&coded("EventTypeCode", "110122", "DCM", "Login"));
    }
    let call = format!("{} {}", row.method, row.route);
    text.push_str(&coded("EventTypeCode", &call, "medserve", &call));
    text.push_str("</EventIdentification>");
    let _ = write!(text, "<ActiveParticipant UserID=\"{}\" UserIsRequestor=\"true\"", Escaped(&row.caller));
    if !row.address.is_empty() {
        let _ = write!(
            text,
            " NetworkAccessPointID=\"{}\" NetworkAccessPointTypeCode=\"2\"",
            Escaped(&row.address)
        );
    }
    let _ = write!(text, ">{}</ActiveParticipant>", coded("RoleIDCode", "110153", "DCM", "Source Role ID"));
    let _ = write!(
        text,
        "<ActiveParticipant UserID=\"medserve\" UserIsRequestor=\"false\" NetworkAccessPointID=\"{}\" \
         NetworkAccessPointTypeCode=\"1\">{}</ActiveParticipant>",
        Escaped(host),
        coded("RoleIDCode", "110152", "DCM", "Destination Role ID")
    );
    text.push_str("<AuditSourceIdentification AuditSourceID=\"medserve\"");
    if !tenant.is_empty() {
        let _ = write!(text, " AuditEnterpriseSiteID=\"{}\"", Escaped(tenant));
    }
    let _ = write!(
        text,
        ">{}</AuditSourceIdentification>",
        coded("AuditSourceTypeCode", "4", "DCM", "Application Server")
    );
    for person in &row.people {
        let person = Escaped(person);
        let _ = write!(
            text,
            "<ParticipantObjectIdentification ParticipantObjectID=\"{person}\" \
             ParticipantObjectTypeCode=\"1\" ParticipantObjectTypeCodeRole=\"1\">{}\
             <ParticipantObjectName>{person}</ParticipantObjectName></ParticipantObjectIdentification>",
            coded("ParticipantObjectIDTypeCode", "2", "RFC-3881", "Patient Number")
        );
    }
    decision(&mut text, numbered);
    text.push_str("</AuditMessage>");
    text
}

/// The object that stands for the decision: what was asked and answered.
fn decision(text: &mut String, numbered: &NumberedRow) {
    let NumberedRow { number, row, chain } = numbered;
    let model = row.model.as_deref().unwrap_or("none");
    let version = row.version.as_deref().unwrap_or_default();
    let _ = write!(
        text,
        "<ParticipantObjectIdentification ParticipantObjectID=\"{number}\" ParticipantObjectTypeCode=\"2\" \
         ParticipantObjectTypeCodeRole=\"24\">{}<ParticipantObjectName>{}</ParticipantObjectName>",
        coded("ParticipantObjectIDTypeCode", "audit-row", "medserve", "Number of the row of the audit"),
        Escaped(format!("{model} {version}").trim_end())
    );
    let answers = serde_json::to_string(&row.answers).unwrap_or_default();
    let (status, latency) = (row.status.to_string(), format!("{:.3}", row.latency_ms));
    let details: [(&str, &str); 8] = [
        ("request_id", row.request_id.as_str()),
        ("status", &status),
        ("answers", &answers),
        ("abstained", if row.abstained { "true" } else { "false" }),
        ("latency_ms", &latency),
        ("input_sha256", &row.input_sha256),
        ("request_sha256", &row.request_sha256),
        ("chain", chain.as_deref().unwrap_or_default()),
    ];
    for (name, value) in details.iter().filter(|(_, value)| !value.is_empty()) {
        let value = STANDARD.encode(value);
        let _ = write!(text, "<ParticipantObjectDetail type=\"{name}\" value=\"{value}\"/>");
    }
    text.push_str("</ParticipantObjectIdentification>");
}

/// A coded value.
fn coded(element: &str, code: &str, system: &str, meaning: &str) -> String {
    let (code, meaning) = (Escaped(code), Escaped(meaning));
    format!("<{element} csd-code=\"{code}\" codeSystemName=\"{system}\" originalText=\"{meaning}\"/>")
}

/// Text in an attribute or an element. What no XML document may hold is a question mark.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\0'..' ' | '\u{fffe}' | '\u{ffff}' => formatter.write_char('?')?,
                character => formatter.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(method: &str, route: &str, status: u16) -> NumberedRow {
        let row = serde_json::json!({
            "run": 1, "sequence": 2, "time": 1_772_357_400_000_i64, "request_id": "ward-7", "caller": "key:a<b>&\"c\"\u{1}",
            "address": "10.0.0.7", "method": method, "route": route, "status": status, "model": "triage",
            "version": "1", "people": ["0f"], "input_sha256": "ab", "request_sha256": "cd",
            "answers": ["2", null], "abstained": true, "latency_ms": 1.5, "clock": 3,
        });
        NumberedRow { number: 17, row: serde_json::from_value(row).unwrap(), chain: Some("ef".into()) }
    }

    #[test]
    fn a_frame_is_as_long_as_it_says_and_has_a_header() {
        let frame = String::from_utf8(frame(&row("POST", "/v1/notes/classify", 200), "host-1", "")).unwrap();
        let (length, message) = frame.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
        let header = format!(
            "<85>1 2026-03-01T09:30:00.000Z host-1 medserve {} DICOM+RFC3881 - \u{feff}<?xml ",
            std::process::id()
        );
        assert!(message.starts_with(&header), "{message}");
        assert!(message.contains("UserID=\"key:a&lt;b&gt;&amp;&quot;c&quot;?\""), "{message}");
        assert!(message.contains("ParticipantObjectID=\"17\"") && !message.contains('\n'), "{message}");
    }

    #[test]
    fn rows_are_events_of_dicom() {
        for (method, route, status, code, action) in [
            ("POST", "/v1/notes/classify", 200, "110112", 'E'),
            ("POST", "/v1/notes/classify", 401, "110114", 'E'),
            ("GET", "/v1/audit/{number}", 200, "110101", 'R'),
            ("DELETE", "/v1/users/{user_id}", 204, "110110", 'D'),
            ("PUT", "/v1/users/{user_id}", 403, "110110", 'U'),
            ("C-STORE", "dicom", 200, "110104", 'C'),
            ("POST", "/dicom-web/studies", 200, "110104", 'C'),
            ("GET", "/dicom-web/studies/{study}", 200, "110103", 'R'),
        ] {
            let event = event(&row(method, route, status).row);
            assert_eq!((event.code, event.action), (code, action), "{method} {route} {status}");
        }
        assert_eq!([200, 304, 403, 503].map(outcome), [0, 0, 4, 8]);
    }
}
