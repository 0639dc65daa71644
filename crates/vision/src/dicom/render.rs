//! From stored values to brightness: the modality and VOI transformations (PS3.3 sections C.11.1
//! and C.11.2), palettes (C.7.6.3.1.5) and colour.
//!
//! Both grey transformations and the inversion of MONOCHROME1 are composed into one table over
//! the stored values that occur, so a pixel costs one look-up whatever the file asks for.

use super::codec::{Frame, Stored};
use super::dataset::DataSet;
use super::palette;
use super::pixels::{Layout, Numbers, Photometric};
use super::table::Table;
use super::tags;
use crate::decode::{DecodeError, Format};
use crate::image::{Image, Samples};

/// White in the images made here.
const WHITE: f64 = 65_535.0;

/// Makes an image of a frame.
pub(super) fn render(
    set: &DataSet<'_>,
    layout: &Layout,
    decoded: Frame,
    frame: u32,
) -> Result<Image, DecodeError> {
    let samples = match decoded {
        Frame::Codes(stored) => of_codes(set, layout, stored, frame)?,
        Frame::Wide(numbers) => of_numbers(set, layout, numbers, frame)?,
    };
    Image::new(layout.columns.into(), layout.rows.into(), samples)
        .map_err(|error| DecodeError::shape(Format::Dicom, error))
}

fn of_codes(set: &DataSet<'_>, layout: &Layout, stored: Stored, frame: u32) -> Result<Samples, DecodeError> {
    Ok(match layout.photometric {
        _ if stored.rgb8 => Samples::Rgb8(stored.codes.into_iter().map(|code| code as u8).collect()),
        Photometric::Monochrome { inverted } => {
            let transform = Grey::read(set, layout, frame)?;
            let inverted = white_is_least(set, inverted);
            Samples::Gray16(grey(&transform, layout, padding(set, layout), stored.codes, inverted))
        }
        Photometric::Palette => Samples::Rgb16(palette::colours(set, layout, &stored.codes)?),
        Photometric::Rgb => colour(layout, stored.codes),
        Photometric::Ybr => {
            let mut codes = stored.codes;
            ybr_to_rgb(layout, &mut codes);
            colour(layout, codes)
        }
    })
}

/// The shape of the presentation table says which end is white, before the photometric
/// interpretation does.
fn white_is_least(set: &DataSet<'_>, inverted: bool) -> bool {
    match set.word_of(tags::PRESENTATION_SHAPE).as_deref() {
        Some("INVERSE") => true,
        Some("IDENTITY") => false,
        _ => inverted,
    }
}

/// Samples of more than 16 bits or of floating point. What is no number is as padding is: black, and
/// no part of the extremes.
fn of_numbers(
    set: &DataSet<'_>,
    layout: &Layout,
    numbers: Vec<f64>,
    frame: u32,
) -> Result<Samples, DecodeError> {
    match layout.photometric {
        Photometric::Monochrome { inverted } => {
            let transform = Grey::read(set, layout, frame)?;
            let inverted = white_is_least(set, inverted);
            let words = padding(set, layout).map(|(first, last)| (f64::from(first), f64::from(last)));
            let padding = set.float_padding().map(|value| (value, value)).or(words);
            let shown = |value: &f64| {
                value.is_finite() && padding.is_none_or(|(first, last)| *value < first || *value > last)
            };
            let (black, white) = numbers
                .iter()
                .filter(|value| shown(value))
                .map(|&value| transform.modality.apply(value))
                .fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(value), b.max(value)));
            let brightness = |value: f64| {
                if value.is_nan() || !shown(&value) && transform.voi == Voi::Extremes {
                    return 0;
                }
                let shown = transform.voi.apply(transform.modality.apply(value), black, white);
                ((if inverted { 1.0 - shown } else { shown }) * WHITE).round() as u16
            };
            Ok(Samples::Gray16(numbers.into_iter().map(brightness).collect()))
        }
        Photometric::Rgb if layout.numbers == Numbers::Whole && !layout.signed => {
            let full = f64::from(u32::MAX >> (32 - layout.stored));
            Ok(Samples::Rgb16(
                numbers.into_iter().map(|value| (value / full * WHITE).round() as u16).collect(),
            ))
        }
        _ => Err(DecodeError::unsupported("DICOM pixels of more than 16 bits that are neither grey nor RGB")),
    }
}

/// From stored values to the device's own quantity.
#[derive(Debug, Clone, PartialEq)]
enum Modality {
    Rescale { slope: f64, intercept: f64 },
    Table(Table),
}

impl Modality {
    fn apply(&self, stored: f64) -> f64 {
        match self {
            Modality::Rescale { slope, intercept } => stored * slope + intercept,
            Modality::Table(table) => table.at(stored),
        }
    }
}

/// From the device's quantity to brightness, 0 to 1.
#[derive(Debug, Clone, PartialEq)]
enum Voi {
    Linear {
        centre: f64,
        width: f64,
    },
    LinearExact {
        centre: f64,
        width: f64,
    },
    Sigmoid {
        centre: f64,
        width: f64,
    },
    Table(Table),
    /// The frame's own extremes are black and white.
    Extremes,
}

impl Voi {
    fn apply(&self, value: f64, least: f64, greatest: f64) -> f64 {
        let brightness = match self {
            // PS3.3 C.11.2.1.2.1; a width of 1 is a threshold.
            Voi::Linear { centre, width } => {
                let (centre, width) = (centre - 0.5, width - 1.0);
                if value <= centre - width / 2.0 {
                    0.0
                } else if value > centre + width / 2.0 {
                    1.0
                } else {
                    (value - centre) / width + 0.5
                }
            }
            Voi::LinearExact { centre, width } => (value - centre) / width + 0.5,
            Voi::Sigmoid { centre, width } => 1.0 / (1.0 + (-4.0 * (value - centre) / width).exp()),
            Voi::Table(table) => table.at(value) / table.full,
            Voi::Extremes if greatest > least => (value - least) / (greatest - least),
            Voi::Extremes => 0.0,
        };
        brightness.clamp(0.0, 1.0)
    }
}

/// The transformations of grey that a file asks for.
#[derive(Debug, Clone, PartialEq)]
struct Grey {
    modality: Modality,
    voi: Voi,
}

impl Grey {
    /// Reads the transformations of a frame. Enhanced files keep them in functional groups, of
    /// the frame or shared by all (PS3.3 section C.7.6.16); the first of these, or else of the file itself, that says something
    /// counts. A table goes before a window, the first window that is one before others.
    fn read(set: &DataSet<'_>, layout: &Layout, frame: u32) -> Result<Grey, DecodeError> {
        let groups = [set.item(tags::FRAME_GROUPS, (frame - 1) as usize)?, set.item(tags::SHARED_GROUPS, 0)?];
        let items = |tag| -> Result<Vec<DataSet<'_>>, DecodeError> {
            let items = groups.iter().flatten().filter_map(|group| group.item(tag, 0).transpose());
            items.collect()
        };
        let stored = layout.range();
        let mut modality = Modality::Rescale { slope: 1.0, intercept: 0.0 };
        for set in items(tags::PIXEL_TRANSFORMATION)?.iter().chain([set]) {
            let table = Table::read(set, tags::MODALITY_LUTS, stored)?.map(Modality::Table);
            if let Some(said) = table.map_or_else(|| rescale(set), |table| Ok(Some(table)))? {
                modality = said;
                break;
            }
        }
        // A VOI table is indexed by the modality's output.
        let output = match &modality {
            Modality::Rescale { slope, intercept } => {
                let ends = [stored.0, stored.1].map(|value| value * slope + intercept);
                (ends[0].min(ends[1]), ends[0].max(ends[1]))
            }
            Modality::Table(_) => (0.0, f64::from(u16::MAX)),
        };
        let mut voi = Voi::Extremes;
        for set in items(tags::FRAME_VOI)?.iter().chain([set]) {
            voi = match Table::read(set, tags::VOI_LUTS, output)? {
                Some(table) => Voi::Table(table),
                None => window(set),
            };
            if voi != Voi::Extremes {
                break;
            }
        }
        Ok(Grey { modality, voi })
    }
}

/// Slope and intercept, which are there together (PS3.3 C.11.1); one alone is passed over, as DCMTK and pydicom do. So is a
/// slope of 0, as DCMTK does: it would make every picture blank.
fn rescale(set: &DataSet<'_>) -> Result<Option<Modality>, DecodeError> {
    let slope = set.number(tags::SLOPE, "Rescale Slope")?;
    let intercept = set.number(tags::INTERCEPT, "Rescale Intercept")?;
    let both = slope.zip(intercept).filter(|(slope, _)| *slope != 0.0);
    Ok(both.map(|(slope, intercept)| Modality::Rescale { slope, intercept }))
}

/// The first window that is one: numbers, and a width. What device settings leave in their place ("AUTO") says nothing, as
/// DCMTK has it, and costs nobody the picture.
fn window(set: &DataSet<'_>) -> Voi {
    let (centres, widths) = (set.numbers(tags::WINDOW_CENTRE), set.numbers(tags::WINDOW_WIDTH));
    let mut windows = centres.into_iter().zip(widths).filter_map(|(centre, width)| centre.zip(width));
    let Some((centre, width)) = windows.find(|(_, width)| *width > 0.0) else {
        return Voi::Extremes;
    };
    match set.word_of(tags::VOI_FUNCTION).as_deref() {
        Some("LINEAREXACT") => Voi::LinearExact { centre, width },
        Some("SIGMOID") => Voi::Sigmoid { centre, width },
        // A function that nobody knows is the usual one. It has no window narrower than 1, which
        // values of fractions need all the same.
        _ if width < 1.0 => Voi::LinearExact { centre, width },
        _ => Voi::Linear { centre, width },
    }
}

/// The least and the greatest value that fill the frame around the picture (PS3.3 section
/// C.7.5.1.1.2): they take no part in the extremes, and are black beside them.
fn padding(set: &DataSet<'_>, layout: &Layout) -> Option<(i32, i32)> {
    let value = |tag| {
        let word = set.word(tag)?;
        Some(match layout.numbers {
            // As samples are read: some devices name a word that the stored bits do not hold.
            Numbers::Words => layout.value(layout.code(word << layout.shift)),
            _ if layout.signed => i32::from(word.cast_signed()),
            _ => i32::from(word),
        })
    };
    let first = value(tags::PADDING)?;
    let last = value(tags::PADDING_LIMIT).unwrap_or(first);
    Some((first.min(last), first.max(last)))
}

/// Looks up every code, in place.
fn grey(
    transform: &Grey,
    layout: &Layout,
    padding: Option<(i32, i32)>,
    mut codes: Vec<u16>,
    inverted: bool,
) -> Vec<u16> {
    let least = codes.iter().copied().min().unwrap_or(0);
    let greatest = codes.iter().copied().max().unwrap_or(0);
    let value = |code: u16| transform.modality.apply(layout.value(code).into());
    let is_padding =
        |code: u16| padding.is_some_and(|(first, last)| (first..=last).contains(&layout.value(code)));
    let shown = || codes.iter().copied().filter(|&code| !is_padding(code));
    // A frame that is padding alone has no other extremes.
    let (low, high) = match padding {
        None => (least, greatest),
        Some(_) => (shown().min().unwrap_or(least), shown().max().unwrap_or(greatest)),
    };
    let (black, white) = match &transform.modality {
        // A straight line has its extremes at its ends.
        Modality::Rescale { .. } => (value(low), value(high)),
        Modality::Table(_) => shown().map(value).fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v))),
    };
    let (black, white) = (black.min(white), black.max(white));
    let table: Vec<u16> = (least..=greatest)
        .map(|code| {
            if is_padding(code) && matches!(transform.voi, Voi::Extremes) {
                return 0;
            }
            let brightness = transform.voi.apply(value(code), black, white);
            let brightness = if inverted { 1.0 - brightness } else { brightness };
            (brightness * WHITE).round() as u16
        })
        .collect();
    for code in &mut codes {
        *code = table[usize::from(*code - least)];
    }
    codes
}

/// Red, green, blue codes of any depth: eight bits stay eight, others fill sixteen.
fn colour(layout: &Layout, codes: Vec<u16>) -> Samples {
    if layout.stored == 8 {
        return Samples::Rgb8(codes.into_iter().map(|code| code as u8).collect());
    }
    let full = u32::from(u16::MAX >> (16 - layout.stored));
    Samples::Rgb16(
        codes.into_iter().map(|code| ((u32::from(code) * 65_535 + full / 2) / full) as u16).collect(),
    )
}

/// ITU-R BT.601 over the full range, as PS3.3 section C.7.6.3.1.2 defines YBR_FULL.
fn ybr_to_rgb(layout: &Layout, codes: &mut [u16]) {
    let full = f32::from(u16::MAX >> (16 - layout.stored));
    let zero = (full + 1.0) / 2.0;
    for pixel in codes.as_chunks_mut::<3>().0 {
        let [y, blue, red] = pixel.map(f32::from);
        let (blue, red) = (blue - zero, red - zero);
        let rgb = [y + 1.402 * red, y - 0.344_136 * blue - 0.714_136 * red, y + 1.772 * blue];
        *pixel = rgb.map(|value| value.round().clamp(0.0, full) as u16);
    }
}
