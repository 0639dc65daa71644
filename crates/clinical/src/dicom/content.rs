//! Content items of structured reports (PS3.3 section C.17.3).

use super::code::Code;
use super::data_set::DataSet;
use super::tags;

/// How an item relates to the one that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// CONTAINS.
    Contains,
    /// HAS CONCEPT MOD.
    Modifier,
    /// HAS OBS CONTEXT.
    Context,
}

impl Relation {
    fn as_str(self) -> &'static str {
        match self {
            Relation::Contains => "CONTAINS",
            Relation::Modifier => "HAS CONCEPT MOD",
            Relation::Context => "HAS OBS CONTEXT",
        }
    }
}

/// An item and what it holds.
#[derive(Debug, Clone)]
pub struct Item {
    set: DataSet,
    items: Vec<Item>,
}

impl Item {
    fn new(relation: Option<Relation>, kind: &str, concept: &Code) -> Item {
        let mut set = DataSet::new();
        if let Some(relation) = relation {
            set.text(tags::RELATIONSHIP, b"CS", relation.as_str());
        }
        set.text(tags::VALUE_TYPE, b"CS", kind).items(tags::CONCEPT_NAME, vec![concept.item()]);
        Item { set, items: Vec::new() }
    }

    /// A container; the one at the root has no relation.
    pub fn container(relation: Option<Relation>, concept: &Code, template: Option<&str>) -> Item {
        let mut item = Item::new(relation, "CONTAINER", concept);
        item.set.text(tags::CONTINUITY, b"CS", "SEPARATE");
        if let Some(template) = template {
            let mut named = DataSet::new();
            named.text(tags::MAPPING_RESOURCE, b"CS", "DCMR").text(tags::TEMPLATE_ID, b"CS", template);
            item.set.items(tags::TEMPLATE, vec![named]);
        }
        item
    }

    /// A code.
    pub fn code(relation: Relation, concept: &Code, value: &Code) -> Item {
        let mut item = Item::new(Some(relation), "CODE", concept);
        item.set.items(tags::CONCEPT_CODE, vec![value.item()]);
        item
    }

    /// Text.
    pub fn text(relation: Relation, concept: &Code, text: &str) -> Item {
        let mut item = Item::new(Some(relation), "TEXT", concept);
        item.set.text(tags::TEXT_VALUE, b"UT", text);
        item
    }

    /// A UID.
    pub fn uid(relation: Relation, concept: &Code, uid: &str) -> Item {
        let mut item = Item::new(Some(relation), "UIDREF", concept);
        item.set.text(tags::UID_VALUE, b"UI", uid);
        item
    }

    /// A number with its unit.
    pub fn number(relation: Relation, concept: &Code, number: &str, unit: &Code) -> Item {
        let mut measured = DataSet::new();
        measured.text(tags::NUMERIC_VALUE, b"DS", number).items(tags::UNITS, vec![unit.item()]);
        let mut item = Item::new(Some(relation), "NUM", concept);
        item.set.items(tags::MEASURED_VALUES, vec![measured]);
        item
    }

    /// A reference to an image.
    pub fn image(relation: Relation, concept: &Code, reference: DataSet) -> Item {
        let mut item = Item::new(Some(relation), "IMAGE", concept);
        item.set.items(tags::REFERENCED_SOPS, vec![reference]);
        item
    }

    /// With these items in it.
    pub fn with(mut self, items: impl IntoIterator<Item = Item>) -> Item {
        self.items.extend(items);
        self
    }

    /// As an item of the content sequence, or at the root as part of the document.
    pub fn finish(self) -> DataSet {
        let mut set = self.set;
        if !self.items.is_empty() {
            set.items(tags::CONTENT, self.items.into_iter().map(Item::finish).collect());
        }
        set
    }
}
