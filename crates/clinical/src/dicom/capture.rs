//! The picture with the evidence drawn over it, as Secondary Capture: for every viewer, also one that shows no
//! structured report. A band below the picture says that a model drew it; nothing of the picture is covered.

use super::code::Code;
use super::data_set::DataSet;
use super::letters::{CELL, dot, is_drawn, lines};
use super::maker::{Kind, MANUFACTURER, Maker, cut};
use super::report::NOTICE;
use super::source::Source;
use super::tags;

/// Longest side of the picture in pixels; a larger one is made smaller by a whole factor.
const LONGEST: usize = 1024;
/// Shortest width in pixels, so that words have room; a smaller picture is made larger by a whole factor.
const SHORTEST: usize = 320;

/// A picture of 8-bit red, green, blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawing {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `3 * width * height` values, row by row.
    pub pixels: Vec<u8>,
}

/// The Secondary Capture of a drawing, with the model's answer and how probable it is below it.
pub fn capture(
    maker: &Maker<'_>,
    source: &Source,
    drawing: &Drawing,
    label: &str,
    probability: f32,
) -> DataSet {
    let source = &source.written([label]);
    let Maker { model, version, .. } = maker;
    let frame = source.frame_in_words().map_or(String::new(), |frame| format!(" Of {frame}."));
    let told = |label: &str| {
        let percent = 100.0 * f64::from(probability);
        format!("AI RESULT. {model} {version}: {label} {percent:.0} %.{frame} {NOTICE}")
    };
    // What is drawn has the letters that are drawn here alone.
    let drawn = if label.chars().all(is_drawn) { label.to_string() } else { maker.numbered(label) };
    let picture = drawing.fitted().with_words(&told(&drawn));
    let (date, time) = maker.date_and_time(source);
    let mut origin = source.reference();
    let purpose = Code::dcm("121322", "Source image for image processing operation");
    origin.items(tags::PURPOSE, vec![purpose.item()]);
    let mut own = DataSet::new();
    own.text(tags::REFERENCED_CLASS, b"UI", &source.sop_class);
    own.text(tags::REFERENCED_INSTANCE, b"UI", &source.sop_instance);
    let mut series = DataSet::new();
    series.text(tags::SERIES, b"UI", &source.series).items(tags::REFERENCED_INSTANCES, vec![own]);
    let derivation = format!("Evidence of the answer of model {} {}", maker.model, maker.version);
    let mut set = maker.begin(Kind::Capture, source);
    set.text(tags::IMAGE_TYPE, b"CS", "DERIVED\\SECONDARY")
        .text(tags::CONVERSION_TYPE, b"CS", "WSD")
        .items(tags::REFERENCED_SERIES, vec![series])
        .text(tags::DERIVATION, b"ST", derivation)
        .items(tags::SOURCE_IMAGES, vec![origin])
        .text(tags::CAPTURE_DATE, b"DA", date)
        .text(tags::CAPTURE_TIME, b"TM", time)
        .text(tags::CAPTURE_MANUFACTURER, b"LO", MANUFACTURER)
        .text(tags::CAPTURE_MODEL, b"LO", cut(maker.model, 64))
        .text(tags::CAPTURE_SOFTWARE, b"LO", cut(maker.program, 64))
        .text(tags::PATIENT_ORIENTATION, b"CS", &source.orientation)
        .text(tags::IMAGE_COMMENTS, b"LT", told(&maker.said(source, label)))
        .words(tags::SAMPLES, &[3])
        .text(tags::PHOTOMETRIC, b"CS", "RGB")
        .words(tags::PLANAR, &[0])
        .words(tags::ROWS, &[picture.height as u16])
        .words(tags::COLUMNS, &[picture.width as u16])
        .words(tags::BITS_ALLOCATED, &[8])
        .words(tags::BITS_STORED, &[8])
        .words(tags::HIGH_BIT, &[7])
        .words(tags::PIXEL_REPRESENTATION, &[0])
        .bytes(tags::PIXELS, picture.pixels);
    if !source.body_part.is_empty() {
        set.text(tags::BODY_PART, b"CS", &source.body_part);
    }
    match &source.sides {
        [_, Some(image)] => set.text(tags::IMAGE_LATERALITY, b"CS", image),
        [Some(series), None] => set.text(tags::LATERALITY, b"CS", series),
        // There is one chest; of what may be there twice the side is asked for, and empty where nobody knows it.
        [None, None] if source.body_part == "CHEST" => &mut set,
        [None, None] => set.text(tags::LATERALITY, b"CS", ""),
    };
    // The picture has whatever name is burnt into the image: nobody knows that but the image.
    if ["YES", "NO"].contains(&source.burned_in.as_str()) {
        set.text(tags::BURNED_IN, b"CS", &source.burned_in);
    }
    source.tell_lossiness(&mut set);
    set
}

impl Drawing {
    fn at(&self, row: usize, column: usize) -> &[u8] {
        &self.pixels[3 * (row * self.width + column)..][..3]
    }

    /// Smaller or larger by a whole factor, so that it fits a screen.
    fn fitted(&self) -> Drawing {
        let (longest, shortest) = (self.width.max(self.height), self.width.max(1));
        if longest > LONGEST {
            return self.smaller(longest.div_ceil(LONGEST));
        }
        match shortest < SHORTEST && longest < SHORTEST {
            true => self.larger(SHORTEST.div_ceil(longest.max(1))),
            false => self.clone(),
        }
    }

    /// Each pixel the mean of `factor` x `factor`.
    fn smaller(&self, factor: usize) -> Drawing {
        let (width, height) = ((self.width / factor).max(1), (self.height / factor).max(1));
        let mut pixels = Vec::with_capacity(3 * width * height);
        for row in 0..height {
            for column in 0..width {
                let rows = row * factor..((row + 1) * factor).min(self.height);
                let columns = column * factor..((column + 1) * factor).min(self.width);
                let count = (rows.len() * columns.len()).max(1);
                for channel in 0..3 {
                    let line = |row: usize| -> usize {
                        columns.clone().map(|column| usize::from(self.at(row, column)[channel])).sum()
                    };
                    pixels.push((rows.clone().map(line).sum::<usize>() / count) as u8);
                }
            }
        }
        Drawing { width, height, pixels }
    }

    /// Each pixel `factor` x `factor` times.
    fn larger(&self, factor: usize) -> Drawing {
        let (width, height) = (self.width * factor, self.height * factor);
        let places = (0..width * height).map(|at| (at / width / factor, at % width / factor));
        let pixels = places.flat_map(|(row, column)| self.at(row, column).to_vec()).collect();
        Drawing { width, height, pixels }
    }

    /// With a black band below it that holds words.
    fn with_words(self, words: &str) -> Drawing {
        let scale = (self.width / 480).max(1);
        let margin = 3 * scale;
        let most = self.width.saturating_sub(2 * margin) / (CELL.0 * scale);
        let lines = lines(words, most);
        let band = lines.len() * CELL.1 * scale + 2 * margin;
        let Drawing { width, height, mut pixels } = self;
        pixels.resize(3 * width * (height + band), 0);
        for (number, line) in lines.iter().enumerate() {
            for (place, letter) in line.chars().enumerate() {
                for row in 0..CELL.1 * scale {
                    for column in 0..CELL.0 * scale {
                        let x = margin + place * CELL.0 * scale + column;
                        let y = height + margin + number * CELL.1 * scale + row;
                        if x < width && dot(letter, row / scale, column / scale) {
                            pixels[3 * (y * width + x)..][..3].fill(255);
                        }
                    }
                }
            }
        }
        Drawing { width, height: height + band, pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(width: usize, height: usize, value: u8) -> Drawing {
        Drawing { width, height, pixels: vec![value; 3 * width * height] }
    }

    #[test]
    fn a_picture_is_fitted_by_whole_factors_and_keeps_its_light() {
        for (size, fitted) in [
            ((28, 28), (336, 336)),
            ((2050, 1000), (683, 333)),
            ((1024, 40), (1024, 40)),
            ((1, 2), (160, 320)),
        ] {
            let drawing = drawing(size.0, size.1, 77).fitted();
            assert_eq!((drawing.width, drawing.height), fitted);
            assert_eq!(drawing.pixels.len(), 3 * fitted.0 * fitted.1);
            assert!(drawing.pixels.iter().all(|value| *value == 77));
        }
    }

    #[test]
    fn words_are_below_the_picture_and_cover_nothing() {
        let with = drawing(336, 40, 77).with_words("AI result of a model");
        assert!(with.height > 40 && with.pixels[..3 * 336 * 40].iter().all(|value| *value == 77));
        let band = &with.pixels[3 * 336 * 40..];
        assert!(band.contains(&255) && band.iter().all(|value| matches!(value, 0 | 255)));
        assert!(drawing(1, 1, 0).with_words("AI").height > 1);
    }
}
