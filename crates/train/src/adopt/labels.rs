//! The labels of a head: read from `config.json`, and matched with those of a hospital's data.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The names of a head's outputs, in order: `given`, or those that `config.json` has.
///
/// # Errors
/// Names that are not one an output; an output that is a number and no label; two of one name.
pub fn outputs(shown: &str, config: &Value, given: &[String]) -> Result<Vec<String>> {
    if let Some(kind) = config.get("problem_type").and_then(Value::as_str) {
        ensure!(
            kind == "single_label_classification",
            "{shown}: \"problem_type\" is \"{kind}\"; a head that gives one of several labels can be adopted"
        );
    }
    let named = match config.get("id2label").and_then(Value::as_object) {
        Some(names) => {
            let name = |number: usize| {
                let name = names.get(&number.to_string()).and_then(Value::as_str).map(str::to_string);
                name.with_context(|| {
                    format!("{shown}: \"id2label\" has {} names, but none for {number}", names.len())
                })
            };
            (0..names.len()).map(name).collect::<Result<Vec<_>>>()?
        }
        None => {
            let count = config.get("num_labels").and_then(Value::as_u64).unwrap_or(2);
            (0..count).map(|number| format!("LABEL_{number}")).collect()
        }
    };
    ensure!(
        given.is_empty() || given.len() == named.len(),
        "--labels: {} names for the {} outputs of the head, which are {}",
        given.len(),
        named.len(),
        named.join(", ")
    );
    let names = if given.is_empty() { named } else { given.to_vec() };
    ensure!(names.len() > 1, "{shown}: the head has one output, which is a number and no label");
    for (place, name) in names.iter().enumerate() {
        ensure!(!names[..place].contains(name), "{shown}: two outputs of the head are called \"{name}\"");
    }
    Ok(names)
}

/// The labels of a head as the data writes them, and for each label of the data its place. Names are the same where they
/// differ in nothing but case; then the data's way of writing is kept.
///
/// # Errors
/// A label of the data that the head does not know, or that it knows twice.
pub fn matched(head: &[String], data: &[String]) -> Result<(Vec<String>, Vec<usize>)> {
    let mut labels = head.to_vec();
    let mut places = Vec::with_capacity(data.len());
    for label in data {
        let same = |known: &String| known.to_lowercase() == label.to_lowercase();
        let exact = head.iter().position(|known| known == label);
        let like: Vec<usize> = (0..head.len()).filter(|place| same(&head[*place])).collect();
        let place = match (exact, like.as_slice()) {
            (Some(place), _) => place,
            (None, [place]) => *place,
            (None, []) => bail!(
                "the label \"{label}\" of the data is none that the head knows, which are {}; --labels names its outputs \
                 anew, in their order",
                head.join(", ")
            ),
            (None, _) => bail!("the label \"{label}\" of the data could be any of several of the head's"),
        };
        ensure!(
            !places.contains(&place),
            "two labels of the data are \"{}\" to the head; write both alike",
            head[place]
        );
        labels[place].clone_from(label);
        places.push(place);
    }
    Ok((labels, places))
}

/// Labels of names, and of each tag in our order (none; then the first token of a name and a later one of each label) the
/// output of the head that is it, where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagOutputs {
    /// Labels, in the order of the head's outputs.
    pub labels: Vec<String>,
    /// Outputs, by tag.
    pub outputs: Vec<Option<usize>>,
}

/// Reads the outputs of a head of tags.
///
/// # Errors
/// Names that are not `O`, `B-` or `I-` and a label; no `O`; a label without its `B-`.
pub fn tags(shown: &str, names: &[String]) -> Result<TagOutputs> {
    let mut labels: Vec<String> = Vec::new();
    let mut parts = Vec::with_capacity(names.len());
    for name in names {
        let part = match name.split_once('-') {
            None if name == "O" => None,
            Some((kind @ ("B" | "I"), label)) if !label.is_empty() => Some((kind, label)),
            _ => bail!(
                "{shown}: the output \"{name}\" of the head is not O, B- or I- and a label; a head of such tags can be adopted, \
                 and --labels names its outputs anew, in their order"
            ),
        };
        if let Some((_, label)) = part
            && !labels.iter().any(|known| known == label)
        {
            labels.push(label.to_string());
        }
        parts.push(part);
    }
    let of = |wanted: Option<(&str, &str)>| parts.iter().position(|part| *part == wanted);
    let mut outputs = vec![of(None)];
    ensure!(outputs[0].is_some(), "{shown}: no output of the head is O, the tag of what is no name");
    ensure!(!labels.is_empty(), "{shown}: no output of the head is the tag of a name");
    for label in &labels {
        let begin = of(Some(("B", label.as_str())));
        ensure!(
            begin.is_some(),
            "{shown}: the head has \"I-{label}\" and no \"B-{label}\", so where one name ends and the next begins is not said"
        );
        outputs.extend([begin, of(Some(("I", label.as_str())))]);
    }
    Ok(TagOutputs { labels, outputs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn outputs_have_the_names_of_the_configuration_or_those_given() {
        let config = json!({"id2label": {"1": "home", "0": "ward", "2": "ICU"}});
        assert_eq!(outputs("c", &config, &[]).unwrap(), ["ward", "home", "ICU"]);
        assert_eq!(outputs("c", &config, &names(&["a", "b", "c"])).unwrap(), ["a", "b", "c"]);
        assert_eq!(outputs("c", &json!({}), &[]).unwrap(), ["LABEL_0", "LABEL_1"]);
        for (config, given, want) in [
            (config.clone(), names(&["a"]), "1 names for the 3 outputs"),
            (json!({"id2label": {"0": "a", "2": "b"}}), vec![], "none for 1"),
            (json!({"id2label": {"0": "a"}}), vec![], "one output"),
            (json!({"id2label": {"0": "a", "1": "a"}}), vec![], "two outputs of the head are called \"a\""),
            (json!({"problem_type": "multi_label_classification"}), vec![], "multi_label_classification"),
        ] {
            let error = outputs("c", &config, &given).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn labels_match_but_for_their_case_and_are_written_as_in_the_data() {
        let head = names(&["Ward", "HOME", "icu"]);
        let (labels, places) = matched(&head, &names(&["home", "Ward"])).unwrap();
        assert_eq!((labels, places), (names(&["Ward", "home", "icu"]), vec![1, 0]));
        for (head, data, want) in [
            (
                head.clone(),
                names(&["morgue"]),
                "\"morgue\" of the data is none that the head knows, which are Ward",
            ),
            (names(&["a", "A"]), names(&["á", "a"]), "\"á\""),
            (names(&["Ab", "aB"]), names(&["AB"]), "any of several"),
            (names(&["home"]), names(&["Home", "HOME"]), "write both alike"),
        ] {
            let error = matched(&head, &data).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn tags_are_put_in_our_order() {
        let head = names(&["I-Drug", "O", "B-Drug", "B-Adverse-Effect"]);
        let found = tags("c", &head).unwrap();
        assert_eq!(found.labels, ["Drug", "Adverse-Effect"]);
        assert_eq!(found.outputs, [Some(1), Some(2), Some(0), Some(3), None]);
        for (head, want) in [
            (names(&["O", "Drug"]), "\"Drug\" of the head is not O, B- or I-"),
            (names(&["O", "S-Drug"]), "\"S-Drug\""),
            (names(&["LABEL_0", "LABEL_1"]), "--labels names its outputs anew"),
            (names(&["O", "I-Drug"]), "no \"B-Drug\""),
            (names(&["B-Drug", "I-Drug"]), "no output of the head is O"),
        ] {
            let error = tags("c", &head).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
