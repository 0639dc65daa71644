//! The table of the settings for docs/operations.md, which `medserve settings` prints.

use super::setting::{About, Default};
use super::settings::GROUPS;

/// The table in Markdown.
pub fn table() -> String {
    let mut lines =
        vec!["| setting | default | accepted | what it is |".to_string(), "|---|---|---|---|".to_string()];
    for (title, settings) in &GROUPS {
        if !title.is_empty() {
            lines.push(format!("| **{title}** | | | |"));
        }
        lines.extend(settings.iter().map(|setting| row(&setting.about())));
    }
    lines.join("\n")
}

fn row(about: &About) -> String {
    let default = match about.default {
        Default::None => "none".to_string(),
        Default::Is(value) => format!("`{value}`"),
        Default::Depends(words) => words.to_string(),
    };
    format!("| `{}` | {default} | {} | {} |", about.name, about.accepted, about.help)
}
