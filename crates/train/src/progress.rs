//! The bar that a long run draws on standard error, where a person watches.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `length` of `unit`, with what is done before it and its figures after it.
pub fn bar(length: usize, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    let template = format!("{{prefix}} {{bar:30}} {{pos}}/{{len}} {unit}  {{msg}}  {{eta}} left");
    match ProgressStyle::with_template(&template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
