//! How the stored pixels lie: the attributes of the image pixel module (PS3.3 section C.7.6.3),
//! checked against each other before anything relies on them.

use super::dataset::DataSet;
use super::malformed;
use super::tags::{self, Tag};
use crate::decode::DecodeError;

/// What the samples mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Photometric {
    /// Grey; `inverted` for MONOCHROME1, whose least value is white.
    Monochrome { inverted: bool },
    /// An index into three tables.
    Palette,
    /// Red, green, blue.
    Rgb,
    /// Luma and two colour differences over the full range (ITU-R BT.601).
    Ybr,
}

/// What a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// A whole number of at most 16 bits.
    Words,
    /// A whole number of 32 bits.
    Whole,
    /// A floating-point number of 32 bits.
    Float,
    /// A floating-point number of 64 bits.
    Double,
}

impl Numbers {
    /// The attribute that holds the pixel data.
    pub fn tag(self) -> Tag {
        match self {
            Numbers::Words | Numbers::Whole => tags::PIXELS,
            Numbers::Float => tags::FLOAT_PIXELS,
            Numbers::Double => tags::DOUBLE_PIXELS,
        }
    }
}

/// Shape of the pixel data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub rows: u16,
    pub columns: u16,
    pub frames: u32,
    /// 1 or 3.
    pub samples: u16,
    /// 1 to 16, 32 or 64. Where it is not whole bytes, samples follow each other bit by bit.
    pub allocated: u16,
    pub numbers: Numbers,
    /// 1 to `allocated`.
    pub stored: u16,
    /// Bits below the stored ones.
    pub shift: u16,
    /// Stored values are two's complement.
    pub signed: bool,
    /// Colour planes follow each other, instead of the samples of each pixel.
    pub planar: bool,
    pub photometric: Photometric,
    /// Uncompressed colour differences are stored for every second column only.
    pub subsampled: bool,
}

impl Layout {
    /// Reads and checks the attributes. Memory is not taken for any of them.
    pub fn read(set: &DataSet<'_>) -> Result<Layout, DecodeError> {
        let rows = set.required(tags::ROWS, "Rows")?;
        let columns = set.required(tags::COLUMNS, "Columns")?;
        let samples = set.word(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let allocated = set.required(tags::BITS_ALLOCATED, "Bits Allocated")?;
        let stored = set.word(tags::BITS_STORED).unwrap_or(allocated);
        // A High Bit that cannot be says nothing.
        let high = set
            .word(tags::HIGH_BIT)
            .filter(|&high| high < allocated && high + 1 >= stored)
            .unwrap_or(stored.saturating_sub(1));
        // What has pixels has a frame, whatever a zero or a word says.
        let frames = match set.number(tags::FRAMES, "Number of Frames").unwrap_or(None) {
            None => 1,
            Some(frames) if (0.0..=f64::from(u32::MAX)).contains(&frames) => (frames as u32).max(1),
            Some(_) => return Err(malformed("Number of Frames (0028,0008) is negative or too large")),
        };
        let has = |numbers: Numbers| set.value(numbers.tag()).is_some();
        let numbers = match allocated {
            1..=16 => Numbers::Words,
            32 if has(Numbers::Float) && !has(Numbers::Whole) => Numbers::Float,
            32 => Numbers::Whole,
            64 if has(Numbers::Double) && !has(Numbers::Whole) => Numbers::Double,
            _ => {
                return Err(DecodeError::unsupported(format!(
                    "DICOM pixels of {allocated} bits allocated (1 to 16 and 32 are read, and floating point of 32 and 64)"
                )));
            }
        };
        if stored == 0 || stored > allocated {
            return Err(malformed(format!("Bits Stored {stored} do not fit Bits Allocated {allocated}")));
        }
        // Compared as DCMTK does: letters and digits count, neither their case nor what is between.
        let name = set.word_of(tags::PHOTOMETRIC).unwrap_or_else(|| {
            let usual = if samples == 1 { "MONOCHROME2" } else { "RGB" };
            usual.to_owned()
        });
        let photometric = match name.as_str() {
            "MONOCHROME1" => Photometric::Monochrome { inverted: true },
            "MONOCHROME2" => Photometric::Monochrome { inverted: false },
            "PALETTECOLOR" => Photometric::Palette,
            "RGB" | "YBRRCT" | "YBRICT" => Photometric::Rgb,
            "YBRFULL" | "YBRFULL422" => Photometric::Ybr,
            _ => {
                return Err(DecodeError::unsupported(
                    "a DICOM photometric interpretation other than MONOCHROME1, MONOCHROME2, PALETTE COLOR, RGB, YBR_FULL, YBR_FULL_422, YBR_RCT and YBR_ICT",
                ));
            }
        };
        let expected = match photometric {
            Photometric::Monochrome { .. } | Photometric::Palette => 1,
            Photometric::Rgb | Photometric::Ybr => 3,
        };
        if samples != expected {
            return Err(malformed(format!(
                "{samples} samples a pixel do not fit the photometric interpretation {name}"
            )));
        }
        Ok(Layout {
            rows,
            columns,
            frames,
            samples,
            allocated,
            numbers,
            stored,
            shift: high + 1 - stored,
            signed: set.word(tags::SIGNED) == Some(1),
            planar: samples == 3 && set.word(tags::PLANAR) == Some(1),
            photometric,
            subsampled: name == "YBRFULL422",
        })
    }

    /// Pixels of a frame. Both sides are 16-bit numbers, so this cannot overflow.
    pub fn pixels(&self) -> usize {
        usize::from(self.rows) * usize::from(self.columns)
    }

    /// Samples of a frame.
    pub fn frame_samples(&self) -> usize {
        self.pixels() * usize::from(self.samples)
    }

    /// Colour differences of every pixel where the attributes say "of every second column": many archives leave
    /// YBR_FULL_422 after they have decompressed a JPEG. The length tells, as they take half as much again.
    pub fn not_subsampled(&mut self, bytes: usize, frames: u32) {
        let whole = self.whole_bits() as u128 * u128::from(frames);
        self.subsampled &= (bytes as u128) < whole.div_ceil(8);
    }

    /// Bits of a frame whose samples are all there.
    pub fn whole_bits(&self) -> usize {
        self.frame_samples() * usize::from(self.allocated)
    }

    /// Bits that a frame takes in the file as it is.
    pub fn native_bits(&self) -> usize {
        let samples = if self.subsampled { self.frame_samples() / 3 * 2 } else { self.frame_samples() };
        samples * usize::from(self.allocated)
    }

    /// Samples follow each other bit by bit.
    pub fn packed(&self) -> bool {
        !self.allocated.is_multiple_of(8)
    }

    /// Bytes of a frame that begins and ends with one.
    pub fn native_bytes(&self) -> usize {
        self.native_bits().div_ceil(8)
    }

    /// Extracts the stored bits from an allocated word, as a code that grows with the value:
    /// signed values are shifted up by half their range.
    pub fn code(&self, word: u16) -> u16 {
        let mask = (u32::MAX >> (32 - u32::from(self.stored))) as u16;
        ((word >> self.shift) & mask) ^ self.sign()
    }

    /// Whether the stored bits, when they are the lowest, are all of a word: nothing lies above them but the sign once more. A
    /// compressed frame has nothing else there, as overlays are none of it.
    pub fn holds(&self, word: u16) -> bool {
        let above = 16 - u32::from(self.stored.min(16));
        let signed = ((word << above) as i16 >> above) as u16;
        word == (word << above) >> above || self.signed && word == signed
    }

    /// The value that a code stands for.
    pub fn value(&self, code: u16) -> i32 {
        i32::from(code) - i32::from(self.sign())
    }

    /// The least and the greatest number that a sample may be. Of floating point any may come.
    pub fn range(&self) -> (f64, f64) {
        let most = 2f64.powi(self.stored.into());
        match self.numbers {
            Numbers::Float | Numbers::Double => (f64::MIN, f64::MAX),
            _ if self.signed => (-most / 2.0, most / 2.0 - 1.0),
            _ => (0.0, most - 1.0),
        }
    }

    fn sign(&self) -> u16 {
        if self.signed { 1 << (self.stored - 1) } else { 0 }
    }
}
