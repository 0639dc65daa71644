//! Which image it is and whose, as far as the file says so: for answers that are not filed beside their image, and of
//! which a reader must know what they are about all the same.

use super::moment::Moment;
use super::source::{SourceError, identifier, said_uid};
use super::tags::{self, Tag};

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Study Instance UID.
    pub study: Option<String>,
    /// SOP Instance UID.
    pub instance: Option<String>,
    /// Whose it is, or why that cannot be said; nothing where it has no Patient ID.
    pub patient: Option<Result<Patient, SourceError>>,
    /// Frames that it has, where those are several.
    pub frames: Option<u32>,
    /// The frame that was looked at, from 1.
    pub frame: u32,
    /// When it was taken.
    pub taken: Option<Moment>,
}

/// A Patient ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patient {
    /// Patient ID.
    pub id: String,
    /// Issuer of Patient ID; empty where there is none.
    pub issuer: String,
}

impl Named {
    /// Every attribute that is read.
    pub fn wanted() -> Vec<Tag> {
        let names = [tags::STUDY, tags::SOP_INSTANCE, tags::PATIENT_ID, tags::PATIENT_ID_ISSUER];
        names.into_iter().chain([tags::CHARACTER_SET, tags::FRAMES]).chain(Moment::wanted()).collect()
    }

    /// Puts together what an image says; `value` gives the bytes of an attribute.
    pub fn read(value: impl Fn(Tag) -> Option<Vec<u8>>) -> Named {
        let frames = value(tags::FRAMES).and_then(|bytes| String::from_utf8(bytes).ok());
        let frames = frames.and_then(|text| text.trim_matches(['\0', ' ']).parse().ok());
        let charset = value(tags::CHARACTER_SET).unwrap_or_default();
        let charset = String::from_utf8_lossy(&charset).trim_matches(['\0', ' ']).to_string();
        let of = |tag, name| {
            let bytes = value(tag).unwrap_or_default();
            identifier(&bytes, b"LO", &charset).map_err(|wrong| SourceError::new(name, tag, wrong))
        };
        let patient = || {
            let id = of(tags::PATIENT_ID, "Patient ID")?;
            let issuer = of(tags::PATIENT_ID_ISSUER, "Issuer of Patient ID")?;
            Ok(Patient { id, issuer })
        };
        Named {
            study: said_uid(&value, tags::STUDY),
            instance: said_uid(&value, tags::SOP_INSTANCE),
            patient: Some(patient()).filter(|own| own.as_ref().map_or(true, |own| !own.id.is_empty())),
            frames: frames.filter(|frames| *frames > 1),
            frame: 1,
            taken: Moment::read(&value),
        }
    }

    /// As looked at in this frame.
    pub fn of_frame(self, frame: u32) -> Named {
        Named { frame, ..self }
    }

    /// Which frame of how many was looked at, in words; nothing where there is one.
    pub fn frame_in_words(&self) -> Option<String> {
        self.frames.map(|frames| format!("frame {} of {frames}", self.frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_of_the_one_patient_it_names_or_of_nobody_known() {
        let of = |id: &'static [u8], issuer: &'static [u8]| {
            Named::read(|tag| match tag {
                tags::PATIENT_ID => Some(id.to_vec()),
                tags::PATIENT_ID_ISSUER => Some(issuer.to_vec()),
                tags::SOP_INSTANCE => Some(b"1.2.3\0".to_vec()),
                tags::STUDY => Some(b"no UID".to_vec()),
                _ => None,
            })
        };
        let named = of(b" 77 ", b"HOSP-A");
        assert_eq!((named.study, named.instance.as_deref()), (None, Some("1.2.3")));
        assert_eq!(named.patient, Some(Ok(Patient { id: "77".into(), issuer: "HOSP-A".into() })));
        assert_eq!(of(b"", b"HOSP-A").patient, None);
        for (id, issuer) in [(&b"77\\78"[..], &b""[..]), (b"77", b"A\\B")] {
            let error = of(id, issuer).patient.unwrap().unwrap_err().to_string();
            assert!(error.contains("has a backslash") && !error.contains("77"), "{error}");
        }
    }
}
