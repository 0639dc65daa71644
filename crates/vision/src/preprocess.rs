//! Preprocessing: what a manifest's `input` says is done to an image before the network sees it.
//!
//! Crop, resize, channels, normalisation, in this order. Resizing is antialiased (the filter
//! widens with the factor of reduction, as in Pillow) and runs on SIMD instructions in the width
//! the samples came in, from pixels that are not square as from others ([`super::crop`]). Colour becomes grey, or grey colour, after resizing, when few pixels are
//! left. Pixels of an image that already has the target size are not resampled.

use fast_image_resize::images::{Image as Buffer, TypedCroppedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3, U16, U16x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use thiserror::Error;

use super::crop::{Middle, Rectangle, part_read};
use super::image::{Image, Samples};
use super::lanes::sum_f64;
use model::manifest::{Crop, ImageInput, Normalisation, ResizeFilter};

/// The largest side a network's input may have.
pub const MAX_SIDE: u32 = 4096;

/// What one level of an 8-bit sample is of full scale.
pub const EIGHT_BIT: f32 = 1.0 / 255.0;

/// Why an image was not preprocessed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PreprocessError {
    /// The manifest asks for something that cannot be done: a fault of the model package.
    #[error("the model's image input is invalid: {0}")]
    InvalidInput(String),
    /// The resampler refused the image.
    #[error("the image could not be resized: {0}")]
    Resize(String),
}

/// Preprocesses for one model, keeping its scratch memory between images.
#[derive(Debug)]
pub struct Preprocessor {
    input: ImageInput,
    resizer: Resizer,
    colour: f32,
}

/// Preprocesses one image: a `channels` x `height` x `width` array in rows. Callers with many
/// images keep a [`Preprocessor`].
pub fn preprocess(image: &Image, input: &ImageInput) -> Result<Vec<f32>, PreprocessError> {
    Preprocessor::new(input.clone())?.run(image)
}

/// An image in square pixels, as it is shown: longer along the longer side of its pixels or, where that would be more than
/// `most` pixels, shorter along the other.
pub fn in_square_pixels(image: Image, most: u64) -> Result<Image, PreprocessError> {
    if image.pixel_shape().is_square() {
        return Ok(image);
    }
    let (mut width, mut height) = image.square_size();
    if u64::from(width) * u64::from(height) > most {
        let less = |side: u32, of: u32, longer: u32| {
            ((u64::from(side) * u64::from(of) / u64::from(longer)) as u32).max(1)
        };
        (width, height) = match width > image.width() {
            true => (image.width(), less(image.height(), image.width(), width)),
            false => (less(image.width(), image.height(), height), image.height()),
        };
    }
    let input = ImageInput {
        height,
        width,
        channels: image.channels(),
        crop: Crop::None,
        resize: ResizeFilter::Bilinear,
        normalisation: Normalisation::PerImage { floor: 1.0 },
        accepts: None,
    };
    // Not checked as a network's input is: a picture may be larger than any.
    Preprocessor { input, resizer: Resizer::new(), colour: 0.0 }.resized(&image)
}

/// The resized image, in the width it came in, channels side by side.
enum Resized<'a> {
    Eight(std::borrow::Cow<'a, [u8]>),
    Sixteen(std::borrow::Cow<'a, [u16]>),
}

impl Preprocessor {
    /// Checks that the manifest's `input` can be done.
    pub fn new(input: ImageInput) -> Result<Preprocessor, PreprocessError> {
        validate(&input).map_err(PreprocessError::InvalidInput)?;
        Ok(Preprocessor { input, resizer: Resizer::new(), colour: 0.0 })
    }

    /// What is done.
    pub fn input(&self) -> &ImageInput {
        &self.input
    }

    /// Number of values of one output: channels x height x width.
    pub fn output_len(&self) -> usize {
        self.input.channels as usize * self.input.height as usize * self.input.width as usize
    }

    /// The rows and columns of an image that are left of it after the crop.
    pub fn seen(&self, image: &Image) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let crop = part_read(image, &self.input);
        let range = |start: u32, length: u32| start as usize..(start + length) as usize;
        (range(crop.top, crop.height), range(crop.left, crop.width))
    }

    /// Preprocesses an image: a `channels` x `height` x `width` array in rows.
    pub fn run(&mut self, image: &Image) -> Result<Vec<f32>, PreprocessError> {
        let mut output = Vec::with_capacity(self.output_len());
        self.append(image, &mut output)?;
        Ok(output)
    }

    /// As [`Preprocessor::run`], at the end of `output`, where a batch is built.
    pub fn append(&mut self, image: &Image, output: &mut Vec<f32>) -> Result<(), PreprocessError> {
        let start = output.len();
        self.append_fractions(image, output)?;
        self.normalise(&mut output[start..]);
        Ok(())
    }

    /// The image cropped and resized, its samples and channels as they were. Preprocessing the
    /// result without a crop gives the same values as preprocessing the image itself.
    pub fn resized(&mut self, image: &Image) -> Result<Image, PreprocessError> {
        let (width, height) = (self.input.width, self.input.height);
        let samples = match (self.resize(image)?, image.channels()) {
            (Resized::Eight(values), 1) => Samples::Gray8(values.into_owned()),
            (Resized::Eight(values), _) => Samples::Rgb8(values.into_owned()),
            (Resized::Sixteen(values), 1) => Samples::Gray16(values.into_owned()),
            (Resized::Sixteen(values), _) => Samples::Rgb16(values.into_owned()),
        };
        Image::new(width, height, samples).map_err(|error| PreprocessError::Resize(error.to_string()))
    }

    /// The values before normalisation: fractions of full scale, `channels` x `height` x `width`.
    pub fn fractions(&mut self, image: &Image) -> Result<Vec<f32>, PreprocessError> {
        let mut output = Vec::with_capacity(self.output_len());
        self.append_fractions(image, &mut output)?;
        Ok(output)
    }

    /// Whether every channel of what [`Preprocessor::fractions`] gave is of one tone, but for what
    /// lossy coding adds: there is nothing on such a picture that a label could be about.
    pub fn is_blank(&self, fractions: &[f32]) -> bool {
        const ONE_TONE: f32 = 4.0 * EIGHT_BIT;
        let plane = (self.input.width * self.input.height) as usize;
        fractions.chunks_exact(plane.max(1)).all(|plane| {
            let darkest = plane.iter().copied().fold(f32::INFINITY, f32::min);
            let brightest = plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            brightest - darkest <= ONE_TONE
        })
    }

    /// How coloured the image was that [`Preprocessor::fractions`] read last: the mean over its pixels, at the
    /// network's size, of what is between their greatest and least channel, as a fraction of full scale.
    /// 0 of grey.
    pub fn colour(&self) -> f32 {
        self.colour
    }

    /// [`Preprocessor::colour`] of fractions that are there already.
    pub fn colour_of(&self, fractions: &[f32]) -> f32 {
        let plane = (self.input.width * self.input.height) as usize;
        let spread = |at: usize| {
            let channels = fractions.iter().skip(at).step_by(plane);
            let (low, high) = channels.fold((1.0f32, 0.0f32), |(low, high), v| (low.min(*v), high.max(*v)));
            high - low
        };
        match fractions.len() > plane {
            true => (0..plane).map(spread).sum::<f32>() / plane as f32,
            false => 0.0,
        }
    }

    /// Normalises what [`Preprocessor::fractions`] gave, in place.
    pub fn normalise(&self, values: &mut [f32]) {
        normalise(&self.input, values);
    }

    fn append_fractions(&mut self, image: &Image, output: &mut Vec<f32>) -> Result<(), PreprocessError> {
        const SIXTEEN_BIT: f32 = 1.0 / 65_535.0;
        let (from, to) = (image.channels(), self.input.channels);
        let colour = match self.resize(image)? {
            Resized::Eight(values) => {
                planes(&values, from, to, EIGHT_BIT, output);
                colour(&values, from, EIGHT_BIT)
            }
            Resized::Sixteen(values) => {
                planes(&values, from, to, SIXTEEN_BIT, output);
                colour(&values, from, SIXTEEN_BIT)
            }
        };
        self.colour = colour;
        Ok(())
    }

    fn resize<'a>(&mut self, image: &'a Image) -> Result<Resized<'a>, PreprocessError> {
        let (width, height) = (self.input.width, self.input.height);
        let crop = part_read(image, &self.input);
        // A crop to the target size leaves nothing to resample, but only a whole image can be
        // borrowed as it lies; the resizer copies a cropped one, its values unchanged.
        let untouched = (image.width(), image.height()) == (width, height)
            && (crop.width, crop.height) == (width, height)
            && match self.input.crop {
                Crop::Resized { shorter } => image.pixel_shape().is_square() && width.min(height) == shorter,
                Crop::None | Crop::Centre => true,
            };
        match image.samples() {
            Samples::Gray8(values) | Samples::Rgb8(values) if untouched => Ok(Resized::Eight(values.into())),
            Samples::Gray16(values) | Samples::Rgb16(values) if untouched => {
                Ok(Resized::Sixteen(values.into()))
            }
            Samples::Gray8(values) => self
                .convolve::<U8>(image, values, crop)
                .map(|buffer| Resized::Eight(buffer.into_vec().into())),
            Samples::Rgb8(values) => self
                .convolve::<U8x3>(image, values, crop)
                .map(|buffer| Resized::Eight(buffer.into_vec().into())),
            Samples::Gray16(values) => self
                .convolve::<U16>(image, bytemuck::cast_slice(values), crop)
                .map(|buffer| Resized::Sixteen(native_u16(buffer.buffer()).into())),
            Samples::Rgb16(values) => self
                .convolve::<U16x3>(image, bytemuck::cast_slice(values), crop)
                .map(|buffer| Resized::Sixteen(native_u16(buffer.buffer()).into())),
        }
    }

    /// The resampled part `crop` of an image of pixels `P`. The kind of pixel is known here and not found
    /// out by the resizer, which would be compiled for every kind there is.
    fn convolve<P: PixelTrait>(
        &mut self,
        image: &Image,
        bytes: &[u8],
        crop: Rectangle,
    ) -> Result<Buffer<'static>, PreprocessError> {
        let filter = match self.input.resize {
            ResizeFilter::Bilinear => FilterType::Bilinear,
            // The cubic with a = -0.5 goes by the name of Catmull and Rom.
            ResizeFilter::Bicubic => FilterType::CatmullRom,
            ResizeFilter::Lanczos3 => FilterType::Lanczos3,
        };
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false);
        let failed = |error: &dyn std::error::Error| PreprocessError::Resize(error.to_string());
        let source = TypedImageRef::<P>::from_buffer(image.width(), image.height(), bytes)
            .map_err(|error| failed(&error))?;
        if let Crop::Resized { shorter } = self.input.crop {
            // What is cut off after resizing has shone through by then: the filter reaches beyond the edges.
            let Middle { left, top, width, height } = Middle::new(image, &self.input, shorter);
            let options = options.crop(left, top, width, height);
            let mut target = Buffer::new(self.input.width, self.input.height, P::pixel_type());
            let Some(mut pixels) = target.typed_image_mut::<P>() else {
                return Err(PreprocessError::Resize("pixels of another kind".to_string()));
            };
            let done = self.resizer.resize_typed(&source, &mut pixels, Some(&options));
            done.map_err(|error| failed(&error))?;
            return Ok(target);
        }
        // A view, rather than the resizer's own crop, whose filter would reach beyond the edges
        // and let pixels that were cut off shine through.
        let view = TypedCroppedImage::from_ref(&source, crop.left, crop.top, crop.width, crop.height)
            .map_err(|error| failed(&error))?;
        let mut target = Buffer::new(self.input.width, self.input.height, P::pixel_type());
        let Some(mut pixels) = target.typed_image_mut::<P>() else {
            return Err(PreprocessError::Resize("pixels of another kind".to_string()));
        };
        self.resizer.resize_typed(&view, &mut pixels, Some(&options)).map_err(|error| failed(&error))?;
        Ok(target)
    }
}

fn native_u16(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect()
}

/// The mean over pixels of what is between their greatest and least channel.
fn colour<T: Copy + Into<u32>>(values: &[T], channels: u32, scale: f32) -> f32 {
    if channels != 3 {
        return 0.0;
    }
    let spread = |&[r, g, b]: &[T; 3]| {
        let channels = [r.into(), g.into(), b.into()];
        u64::from(channels.into_iter().fold(0, u32::max) - channels.into_iter().fold(u32::MAX, u32::min))
    };
    let pixels = values.as_chunks::<3>().0;
    pixels.iter().map(spread).sum::<u64>() as f32 / pixels.len().max(1) as f32 * scale
}

/// Interleaved samples become planes of fractions of full scale.
///
/// Colour becomes grey with the luma of ITU-R BT.601, `0.299 R + 0.587 G + 0.114 B`, rounded to
/// whole levels as Pillow does, so that a grey image stored as colour gives the very same
/// values; grey becomes colour by repetition.
fn planes<T>(values: &[T], from: u32, to: u32, scale: f32, output: &mut Vec<f32>)
where
    T: Copy + Into<u32>,
{
    let fraction = |value: u32| value as f32 * scale;
    match (from, to) {
        (3, 1) => output.extend(values.as_chunks::<3>().0.iter().map(|&[r, g, b]| {
            // The weights in 16-bit fixed point add up to 65,536.
            let sum =
                19_595 * u64::from(r.into()) + 38_470 * u64::from(g.into()) + 7_471 * u64::from(b.into());
            fraction(((sum + 32_768) >> 16) as u32)
        })),
        (3, _) => {
            for channel in 0..3 {
                output.extend(values.as_chunks::<3>().0.iter().map(|pixel| fraction(pixel[channel].into())));
            }
        }
        (_, channels) => {
            for _ in 0..channels {
                output.extend(values.iter().map(|&value| fraction(value.into())));
            }
        }
    }
}

/// Normalises planes in place. The mean and (population) standard deviation of `PerImage` are
/// summed in double precision.
fn normalise(input: &ImageInput, values: &mut [f32]) {
    match &input.normalisation {
        Normalisation::Fixed { mean, std } => {
            let plane = values.len() / input.channels as usize;
            for ((plane, &mean), &std) in values.chunks_exact_mut(plane).zip(mean).zip(std) {
                for value in plane {
                    *value = (*value - mean) / std;
                }
            }
        }
        Normalisation::PerImage { floor } => {
            let count = values.len() as f64;
            let mean = sum_f64(values, |v| v) / count;
            let variance = sum_f64(values, |v| (v - mean).powi(2)) / count;
            let divisor = variance.sqrt().max(f64::from(*floor)) as f32;
            let mean = mean as f32;
            for value in values {
                *value = (*value - mean) / divisor;
            }
        }
    }
}

/// What is wrong with a manifest's image input, if anything is.
fn validate(input: &ImageInput) -> Result<(), String> {
    for (name, side) in [("height", input.height), ("width", input.width)] {
        if !(1..=MAX_SIDE).contains(&side) {
            return Err(format!("{name} is {side}; it must be 1 to {MAX_SIDE}"));
        }
    }
    if let Crop::Resized { shorter } = input.crop
        && !(input.height.max(input.width)..=MAX_SIDE).contains(&shorter)
    {
        return Err(format!(
            "crop: a shorter side of {shorter} is less than the input's, or above {MAX_SIDE}"
        ));
    }
    if ![1, 3].contains(&input.channels) {
        return Err(format!("channels is {}; it must be 1 or 3", input.channels));
    }
    match &input.normalisation {
        Normalisation::Fixed { mean, std } => {
            for (name, values) in [("mean", mean), ("std", std)] {
                if values.len() != input.channels as usize {
                    return Err(format!(
                        "normalisation.{name} has {} value(s) for {} channel(s)",
                        values.len(),
                        input.channels
                    ));
                }
            }
            if !mean.iter().all(|value| value.is_finite()) {
                return Err("normalisation.mean must be finite".into());
            }
            if !std.iter().all(|value| value.is_finite() && *value > 0.0) {
                return Err("normalisation.std must be positive".into());
            }
        }
        Normalisation::PerImage { floor } => {
            if !(floor.is_finite() && *floor > 0.0) {
                return Err("normalisation.floor must be positive".into());
            }
        }
    }
    Ok(())
}
