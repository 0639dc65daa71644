//! Text of a data set in Unicode: its values, the groups of a person's name, and both as XML has them.

use super::charset;

/// The values of text, decoded; none where that cannot be done.
pub(super) fn texts(vr: &[u8; 2], text: &[u8], charset: &str) -> Vec<String> {
    let Some(decoded) = charset::decoded(text, charset, vr == b"PN") else { return Vec::new() };
    let trimmed = |text: &str| text.trim_matches(['\0', ' ']).to_string();
    match vr {
        b"LT" | b"ST" | b"UT" | b"UR" => vec![trimmed(&decoded)],
        _ => decoded.split('\\').map(trimmed).collect(),
    }
}

/// The groups of a person's name that are there, by their names in JSON and XML (PS3.18 section F.2.2).
pub(super) fn groups(name: &str) -> impl Iterator<Item = (&'static str, &str)> {
    let names = ["Alphabetic", "Ideographic", "Phonetic"];
    names.into_iter().zip(name.split('=')).filter(|(_, group)| !group.is_empty())
}

/// A person's name as DICOM's XML has it.
pub(super) fn person(out: &mut String, number: usize, name: &str) {
    const COMPONENTS: [&str; 5] = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];
    out.push_str(&format!("<PersonName number=\"{number}\">"));
    for (group, own) in groups(name) {
        out.push_str(&format!("<{group}>"));
        for (component, part) in COMPONENTS.iter().zip(own.split('^')).filter(|(_, part)| !part.is_empty()) {
            out.push_str(&format!("<{component}>{}</{component}>", escaped(part)));
        }
        out.push_str(&format!("</{group}>"));
    }
    out.push_str("</PersonName>");
}

pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
