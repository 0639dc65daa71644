//! What a file says that it is: its modality, the part of the body, the views, of whom it is, and whether it is synthetic.
//!
//! Where Modality is missing the SOP class says it, and where Body Part Examined is, the code of the Anatomic Region
//! Sequence: in modern radiographs (PS3.3 section C.8.11.2) it is the one that is there.

use super::dataset::DataSet;
use super::tags;

/// What a file says that it is, in capitals; `None` where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Modality (0008,0060), or that of the SOP Class UID (0008,0016).
    pub modality: Option<String>,
    /// Body Part Examined (0018,0015), or that of the Anatomic Region Sequence (0008,2218).
    pub body_part: Option<String>,
    /// Every view that it names: View Position (0018,5101), that of the View Code Sequence (0054,0220), and a lateral one by
    /// Patient Orientation (0020,0020). They may differ, and a model has to read all.
    pub views: Vec<String>,
    /// Whole years of Patient's Age (0010,1010), or else from Patient's Birth Date (0010,0030) to Study Date (0008,0020).
    pub age: Option<u16>,
    /// Whether it shows no human being: Patient Species Description (0010,2201) names an animal, or Quality Control Image
    /// (0028,0300) is YES.
    pub inhuman: bool,
    /// Whether Synthetic Data (0008,001C) is YES.
    pub synthetic: bool,
}

impl Identity {
    pub(super) fn read(set: &DataSet<'_>) -> Identity {
        let word = |tag| set.text(tag).map(|text| text.to_uppercase()).filter(|text| !text.is_empty());
        Identity {
            modality: word(tags::MODALITY)
                .or_else(|| of_class(&set.text(tags::SOP_CLASS)?).map(str::to_owned)),
            body_part: word(tags::BODY_PART).or_else(|| region(set).map(str::to_owned)),
            views: [word(tags::VIEW_POSITION), coded_view(set), sagittal(set).map(str::to_owned)]
                .into_iter()
                .flatten()
                .collect(),
            age: set.text(tags::AGE).and_then(|age| years(&age)).or_else(|| years_lived(set)),
            inhuman: word(tags::QUALITY_CONTROL).as_deref() == Some("YES")
                || word(tags::SPECIES).is_some_and(|species| !HUMAN.contains(&species.as_str())),
            synthetic: word(tags::SYNTHETIC).as_deref() == Some("YES"),
        }
    }
}

/// What stands before the numbers of storage classes (PS3.4 annex B.5).
const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";

/// The modality whose images a storage class is for; `None` for those of any, such as Secondary Capture.
fn of_class(uid: &str) -> Option<&'static str> {
    Some(match uid.strip_prefix(STORAGE)? {
        "1" => "CR",
        "1.1" | "1.1.1" => "DX",
        "1.2" | "1.2.1" | "13.1.3" | "13.1.4" => "MG",
        "1.3" | "1.3.1" => "IO",
        "2" | "2.1" | "2.2" => "CT",
        "3" | "3.1" | "6" | "6.1" | "6.2" => "US",
        "4" | "4.1" | "4.3" | "4.4" => "MR",
        "5" | "20" => "NM",
        "12.1" | "12.1.1" | "13.1.1" => "XA",
        "12.2" | "12.2.1" => "RF",
        "77.1.1" | "77.1.1.1" => "ES",
        "77.1.2" | "77.1.2.1" => "GM",
        "77.1.3" | "77.1.6" => "SM",
        "77.1.4" | "77.1.4.1" => "XC",
        "77.1.5.1" | "77.1.5.2" | "77.1.5.5" | "77.1.5.6" => "OP",
        "77.1.5.4" => "OPT",
        "128" | "128.1" | "130" => "PT",
        "481.1" => "RTIMAGE",
        "481.2" => "RTDOSE",
        _ => return None,
    })
}

/// What Patient Species Description says of people.
const HUMAN: [&str; 4] = ["HUMAN", "HOMO SAPIENS", "HOMO", "PERSON"];

/// The view by its code: the terms for those from the front and from the back (PS3.16 CID 4010; of SNOMED CT, and of SNOMED RT
/// as older files have them), and of every other the code.
fn coded_view(set: &DataSet<'_>) -> Option<String> {
    const TERMS: [(&[&str], &str); 3] = [
        (&["399348003", "R-10206"], "AP"),
        (&["272479007", "R-40888", "R-10214"], "PA"),
        (&["399033003", "R-10202"], "FRONTAL"),
    ];
    let code = set.item(tags::VIEW_CODE, 0).ok()??.text(tags::CODE_VALUE)?;
    let term = TERMS.iter().find(|(codes, _)| codes.contains(&code.as_str()));
    (!code.is_empty()).then(|| term.map_or(code, |(_, term)| (*term).to_owned()))
}

/// A word for a picture whose rows or columns run from front to back of the patient or the other way, as in no view from the
/// front (PS3.3 section C.7.6.1.1.1).
fn sagittal(set: &DataSet<'_>) -> Option<&'static str> {
    let orientation = set.text(tags::ORIENTATION)?.to_uppercase();
    orientation.split('\\').any(|axis| axis.trim().starts_with(['A', 'P'])).then_some("LATERAL")
}

/// Whole years of an age string (PS3.5 section 6.2): a number of days, weeks, months or years. Without a unit it is taken for
/// years, as whoever leaves it out means.
fn years(age: &str) -> Option<u16> {
    let age = age.trim().to_uppercase();
    let digits = age.find(|c: char| !c.is_ascii_digit()).unwrap_or(age.len());
    let number: u16 = age[..digits].parse().ok()?;
    match &age[digits..] {
        "Y" | "" => Some(number),
        "M" => Some(number / 12),
        "W" => Some(number / 52),
        "D" => Some(number / 365),
        _ => None,
    }
}

/// Whole years from the birth to the study.
fn years_lived(set: &DataSet<'_>) -> Option<u16> {
    let date = |tag| -> Option<u32> {
        let text = set.text(tag)?;
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        (digits.len() == 8).then(|| digits.parse().ok())?
    };
    // As numbers of the form YYYYMMDD: the years have passed when month and day are there again.
    u16::try_from(date(tags::STUDY_DATE)?.checked_sub(date(tags::BIRTH_DATE)?)? / 10_000).ok()
}

/// The defined term (PS3.16 annex L) for the region that the file's sequence has a code of.
fn region(set: &DataSet<'_>) -> Option<&'static str> {
    let item = set.item(tags::ANATOMIC_REGION, 0).ok()??;
    let code = item.text(tags::CODE_VALUE)?;
    REGIONS.iter().find(|(codes, _)| codes.contains(&code.as_str())).map(|(_, term)| *term)
}

/// Codes of SNOMED CT, and of SNOMED RT as older files have them, with the defined terms. Organs and bones that are looked
/// at in an image of more than them (lung, heart, rib) say nothing of what the image is.
#[rustfmt::skip]
const REGIONS: [(&[&str], &str); 42] = [
    (&["818981001", "113345001", "T-D4000"], "ABDOMEN"),
    (&["818982008"], "ABDOMENPELVIS"),
    (&["70258002", "T-15750"], "ANKLE"),
    (&["40983000", "53120007", "T-D8200", "T-D8000"], "ARM"),
    (&["12738006", "T-A0100"], "BRAIN"),
    (&["76752008", "T-04000"], "BREAST"),
    (&["80144004", "T-12770"], "CALCANEUS"),
    (&["816094009", "51185008", "43799004", "T-D3000", "T-D3200"], "CHEST"),
    (&["64688005", "T-11BF0"], "COCCYX"),
    (&["122494005", "T-11501"], "CSPINE"),
    (&["16953009", "T-15430"], "ELBOW"),
    (&["81745001", "T-AA000"], "EYE"),
    (&["71341001", "T-12710"], "FEMUR"),
    (&["87342007", "T-12750"], "FIBULA"),
    (&["7569003", "T-D8800"], "FINGER"),
    (&["56459004", "T-D9700"], "FOOT"),
    (&["14975008", "T-D8500"], "FOREARM"),
    (&["85562004", "T-D8700"], "HAND"),
    (&["69536005", "T-D1100"], "HEAD"),
    (&["29836001", "24136001", "T-D2500", "T-15710"], "HIP"),
    (&["85050009", "T-12410"], "HUMERUS"),
    (&["661005", "T-D1213"], "JAW"),
    (&["72696002", "T-D9200"], "KNEE"),
    (&["30021000", "61685007", "T-D9400", "T-D9000"], "LEG"),
    (&["122496007", "T-11503"], "LSPINE"),
    (&["91609006", "T-11180"], "MANDIBLE"),
    (&["70925003", "T-11170"], "MAXILLA"),
    (&["45048000", "T-D1600"], "NECK"),
    (&["363654007", "T-D14AE"], "ORBIT"),
    (&["64234005", "T-12730"], "PATELLA"),
    (&["816092008", "12921003", "T-D6000"], "PELVIS"),
    (&["39723000", "T-15680"], "SIJOINT"),
    (&["2095001", "T-22000"], "SINUS"),
    (&["89546000", "T-11100"], "SKULL"),
    (&["421060004", "T-D04FF"], "SPINE"),
    (&["54735007", "T-11AD0"], "SSPINE"),
    (&["68367000", "T-D9100"], "THIGH"),
    (&["76505004", "T-D8810"], "THUMB"),
    (&["53620006", "T-15290"], "TMJ"),
    (&["29707007", "T-D9800"], "TOE"),
    (&["38266002", "T-D0010"], "WHOLEBODY"),
    (&["74670003", "T-15460"], "WRIST"),
];
