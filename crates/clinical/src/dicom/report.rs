//! A classifier's answer as Comprehensive 3D SR by the template of measurement reports (PS3.16, TID 1500), as IHE's
//! profile AI Results asks: who observed (TID 1002), by which algorithm (TID 4019), of which image, and the answer
//! as a measurement and qualitative evaluation group (TID 1501) that says how certain it is.

use super::code::Code;
use super::content::{Item, Relation};
use super::data_set::DataSet;
use super::maker::{Kind, Maker, cut};
use super::source::Source;
use super::tags;
use super::uid::derived;

/// A classifier's answer.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// The label answered; `None` for an abstention.
    pub label: Option<&'a str>,
    /// What it means, where the model says so.
    pub meaning: Option<&'a str>,
    /// Of an abstention: why, in words.
    pub reason: Option<&'a str>,
    /// Labels with their calibrated probabilities, 0 to 1, highest first; of an abstention they are not told.
    pub predictions: Vec<(&'a str, f32)>,
}

/// What every reader of a result must know.
pub(super) const NOTICE: &str = "Made by an AI model and read by nobody yet. It is no diagnosis.";

/// The report of an answer.
pub fn report(maker: &Maker<'_>, source: &Source, answer: &Answer<'_>) -> DataSet {
    let labels = answer.predictions.iter().map(|(label, _)| *label);
    let source = &source.written(labels.chain(answer.label).chain(answer.meaning));
    let mut set = maker.begin(Kind::Report, source);
    let mut series = DataSet::new();
    series
        .text(tags::SERIES, b"UI", &source.series)
        .items(tags::REFERENCED_SOPS, vec![without_frame(source)]);
    let mut study = DataSet::new();
    study.text(tags::STUDY, b"UI", &source.study).items(tags::REFERENCED_SERIES, vec![series]);
    set.items(tags::REFERENCED_STEP, Vec::new())
        .items(tags::PERFORMED_PROCEDURES, Vec::new())
        .items(tags::EVIDENCE, vec![study])
        .text(tags::COMPLETION, b"CS", "COMPLETE")
        .text(tags::VERIFICATION, b"CS", "UNVERIFIED");
    set.extend(&root(maker, source, answer).finish());
    set
}

/// Evidence is of instances, not of frames.
fn without_frame(source: &Source) -> DataSet {
    Source { frames: 1, ..source.clone() }.reference()
}

fn root(maker: &Maker<'_>, source: &Source, answer: &Answer<'_>) -> Item {
    use Relation::{Contains, Context, Modifier};
    let dcm = Code::dcm;
    let english = Code::of("en-US", "RFC5646", "English (United States)");
    let procedure = Code::of("363679005", "SCT", "Imaging procedure");
    let measurements = Item::container(Some(Contains), &dcm("126010", "Imaging Measurements"), None);
    Item::container(None, &dcm("126000", "Imaging Measurement Report"), Some("1500")).with([
        Item::code(Modifier, &dcm("121049", "Language of Content Item and Descendants"), &english),
        Item::code(Context, &dcm("121005", "Observer Type"), &dcm("121007", "Device")),
        Item::uid(Context, &dcm("121012", "Device Observer UID"), &maker.device()),
        Item::text(Context, &dcm("121013", "Device Observer Name"), maker.model),
        Item::text(Context, &dcm("121014", "Device Observer Manufacturer"), "medserve"),
        Item::text(Context, &dcm("121015", "Device Observer Model Name"), maker.model),
        Item::text(Context, &dcm("121016", "Device Observer Serial Number"), cut(maker.weights, 16)),
        Item::code(Modifier, &dcm("121058", "Procedure reported"), &procedure),
        measurements.with([group(maker, source, answer)]),
        Item::container(Some(Contains), &Code::of("C0034375", "UMLS", "Qualitative Evaluations"), None)
            .with([Item::text(Contains, &dcm("121106", "Comment"), &comment(answer))]),
    ])
}

fn group(maker: &Maker<'_>, source: &Source, answer: &Answer<'_>) -> Item {
    use Relation::{Contains, Context, Modifier};
    let dcm = Code::dcm;
    let percent = Code::of("%", "UCUM", "Percent");
    let finding = match answer.label {
        Some(label) => maker.label(source, label, answer.meaning),
        None => Code::of("82334004", "SCT", "Indeterminate"),
    };
    let frame = source.frame.to_string();
    let tracking = derived(&["tracking", &source.sop_instance, &frame, maker.model, maker.version]);
    let certainty = answer.label.and_then(|label| answer.predictions.iter().find(|(own, _)| *own == label));
    let certainty = certainty.map(|(_, probability)| {
        Item::number(Contains, &dcm("111012", "Certainty of Finding"), &hundredths(*probability), &percent)
    });
    // A model that abstains has found nothing, and a number beside "Indeterminate" would be read as if it had.
    let told = if answer.label.is_some() { answer.predictions.as_slice() } else { &[] };
    let probabilities = told.iter().map(|(label, probability)| {
        let mut concept = maker.label(source, label, None);
        concept.value.push_str("/probability");
        concept.meaning = cut(&format!("Probability of {}", maker.said(source, label)), 64).to_string();
        Item::number(Contains, &concept, &hundredths(*probability), &percent)
    });
    Item::container(Some(Contains), &dcm("125007", "Measurement Group"), Some("1501"))
        .with([
            Item::text(Context, &dcm("112039", "Tracking Identifier"), &format!("{} 1", maker.model)),
            Item::uid(Context, &dcm("112040", "Tracking Unique Identifier"), &tracking),
            Item::code(Contains, &dcm("121071", "Finding"), &finding),
            Item::text(Modifier, &dcm("111001", "Algorithm Name"), maker.model),
            Item::text(Modifier, &dcm("111003", "Algorithm Version"), maker.version),
        ])
        .with(certainty)
        .with(probabilities)
        .with([Item::image(Contains, &dcm("121112", "Source of Measurement"), source.reference())])
}

/// What a reader must know, and why there is no finding where there is none.
fn comment(answer: &Answer<'_>) -> String {
    match answer.reason {
        Some(reason) => format!("No finding is given: {reason}. {NOTICE}"),
        None => NOTICE.to_string(),
    }
}

/// A probability in percent, of two decimals.
pub(super) fn hundredths(probability: f32) -> String {
    format!("{:.2}", 100.0 * f64::from(probability))
}
