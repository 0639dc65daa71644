//! What is agreed on when an association begins: which images may come, and how they are written.

use clinical::dicom::Kind;

use super::pdu::{APPLICATION, Associate, Context, MOST_DATA};

/// The SOP class of C-ECHO.
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
/// Implicit VR Little Endian, in which commands are written too.
pub const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";

/// The storage classes of images that a model could read, behind `1.2.840.10008.5.1.4.1.1.`: computed and digital
/// radiography, mammography and tomosynthesis, CT, MR, ultrasound, secondary capture, angiography and fluoroscopy,
/// visible light.
const STORAGE: [&str; 36] = [
    "1", "1.1", "1.1.1", "1.2", "1.2.1", "13.1.3", "2", "2.1", "2.2", "4", "4.1", "4.3", "4.4", "6.1", "6.2",
    "3.1", "7", "7.1", "7.2", "7.3", "7.4", "12.1", "12.1.1", "12.2", "12.2.1", "13.1.1", "13.1.2", "77.1.1",
    "77.1.1.1", "77.1.2", "77.1.2.1", "77.1.3", "77.1.4", "77.1.4.1", "77.1.5.1", "77.1.5.2",
];

/// Why an association is refused: result, source and reason (PS3.8 section 9.3.4).
pub type Refusal = [u8; 3];

/// Permanent, by the user: the application context is not known.
const NO_APPLICATION: Refusal = [1, 1, 2];
/// Permanent, by the user: the calling title is not recognized.
const NO_CALLER: Refusal = [1, 1, 3];
/// Permanent, by the user: the called title is not recognized.
const NOT_CALLED: Refusal = [1, 1, 7];
/// Permanent, by the protocol: its version is not known.
const NO_VERSION: Refusal = [1, 2, 2];
/// For now, by the presentation layer: too many associations.
pub const TOO_MANY: Refusal = [2, 3, 2];

/// Why an association was refused, in words for the audit, and the status of HTTP that says the like.
pub fn words(refusal: Refusal) -> (u16, &'static str) {
    match refusal {
        NO_CALLER => (403, "the calling title is not among the callers"),
        NOT_CALLED => (403, "another title was called"),
        TOO_MANY => (503, "too many associations"),
        _ => (400, "another protocol or application context"),
    }
}

/// Whether a SOP class is of images that may come.
pub fn is_storage(sop_class: &str) -> bool {
    let number = sop_class.strip_prefix("1.2.840.10008.5.1.4.1.1.");
    number.is_some_and(|number| STORAGE.contains(&number))
}

/// Whether results of ours are of this class: they come back where everything is forwarded.
pub fn is_ours(sop_class: &str) -> bool {
    [Kind::Report, Kind::Capture, Kind::Segmentation].iter().any(|kind| kind.sop_class() == sop_class)
}

/// Who may call whom.
pub struct Titles<'a> {
    /// Our title.
    pub own: &'a str,
    /// Those that may call; any where there are none.
    pub callers: &'a [String],
}

/// What is answered to a request.
///
/// # Errors
/// Why it is refused.
pub fn agree(request: &Associate, titles: &Titles<'_>) -> Result<Associate, Refusal> {
    if request.versions & 1 == 0 {
        return Err(NO_VERSION);
    }
    if request.application != APPLICATION {
        return Err(NO_APPLICATION);
    }
    if request.called != titles.own {
        return Err(NOT_CALLED);
    }
    if !titles.callers.is_empty() && !titles.callers.contains(&request.calling) {
        return Err(NO_CALLER);
    }
    let contexts = request.contexts.iter().map(answer).collect();
    Ok(Associate { versions: 1, contexts, most: MOST_DATA, ..request.clone() })
}

/// What is answered to a proposed context: the first transfer syntax that we read.
fn answer(context: &Context) -> Context {
    let reads: fn(&str) -> bool = match context.abstract_syntax.as_str() {
        VERIFICATION => |syntax| matches!(syntax, IMPLICIT_LITTLE | "1.2.840.10008.1.2.1"),
        class if is_storage(class) || is_ours(class) => vision::is_read,
        _ => return refused(context, 3),
    };
    match context.transfer_syntaxes.iter().find(|syntax| reads(syntax)) {
        Some(syntax) => {
            let transfer_syntaxes = vec![syntax.clone()];
            Context {
                id: context.id,
                result: 0,
                abstract_syntax: context.abstract_syntax.clone(),
                transfer_syntaxes,
            }
        }
        None => refused(context, 4),
    }
}

/// An answer always has one transfer syntax, which says nothing where it is refused.
fn refused(context: &Context, result: u8) -> Context {
    let transfer_syntaxes = vec![IMPLICIT_LITTLE.to_string()];
    Context { id: context.id, result, abstract_syntax: String::new(), transfer_syntaxes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(called: &str, calling: &str, class: &str, syntaxes: &[&str]) -> Associate {
        let transfer_syntaxes = syntaxes.iter().map(ToString::to_string).collect();
        let context = Context { id: 1, result: 0, abstract_syntax: class.to_string(), transfer_syntaxes };
        Associate {
            versions: 1,
            called: called.into(),
            calling: calling.into(),
            application: APPLICATION.into(),
            contexts: vec![context],
            most: 0,
        }
    }

    const CR: &str = "1.2.840.10008.5.1.4.1.1.1";

    #[test]
    fn who_calls_another_or_may_not_call_is_refused() {
        let callers = ["PACS".to_string()];
        let titles = Titles { own: "MEDSERVE", callers: &callers };
        let of = |called, calling| agree(&request(called, calling, CR, &[IMPLICIT_LITTLE]), &titles);
        assert!(of("MEDSERVE", "PACS").is_ok());
        assert_eq!(of("OTHER", "PACS"), Err(NOT_CALLED));
        assert_eq!(of("MEDSERVE", "STRANGER"), Err(NO_CALLER));
        let other = Associate { application: "1.2".into(), ..request("MEDSERVE", "PACS", CR, &[]) };
        assert_eq!(agree(&other, &titles), Err(NO_APPLICATION));
    }

    #[test]
    fn the_first_transfer_syntax_that_is_read_is_taken() {
        let titles = Titles { own: "A", callers: &[] };
        let of = |class, syntaxes: &[&str]| {
            let agreed = agree(&request("A", "B", class, syntaxes), &titles).unwrap().contexts.remove(0);
            (agreed.result, agreed.transfer_syntaxes[0].clone())
        };
        let lossless = "1.2.840.10008.1.2.4.70";
        assert_eq!(of(CR, &["1.2.840.10008.1.2.4.100", lossless]), (0, lossless.to_string()));
        assert_eq!(of(CR, &["1.2.840.10008.1.2.4.100"]).0, 4);
        assert_eq!(of("1.2.840.10008.5.1.4.1.1.88.11", &[IMPLICIT_LITTLE]).0, 3);
        assert_eq!(of(Kind::Report.sop_class(), &[IMPLICIT_LITTLE]).0, 0, "of ours, which may come back");
        assert_eq!(of(VERIFICATION, &[IMPLICIT_LITTLE]).0, 0);
        assert_eq!(of(VERIFICATION, &[lossless]).0, 4);
    }
}
