//! Is a picture like those that a model was trained on?
//!
//! Looked at coarsely, chest X-rays are much like each other, and a photograph, a screenshot or
//! another part of the body is not. So what the network reads is brought to a thumbnail of mean 0 and
//! variance 1, and measured against the training pictures: the distance within the space of their
//! principal components (Mahalanobis), the distance from that space (what the components cannot
//! draw), the roughness, which parts smooth gradients and noise from what a device records, and the
//! colour, which is looked at before a grey network's input loses it. A small network says besides how
//! much it looks like an altered picture (turned, torn, drawn over, drawn by chance) rather than one of
//! training. What a thumbnail does not show is measured at the network's own size: tone and grain
//! ([`super::tones`]), as a Mahalanobis distance, which tells films of another kind of patient or machine. Each measure is scaled by its median and its limit over the training pictures; the
//! largest is the picture's strangeness, and above 1 it is unlike. So it is where it lacks what is fine on them ([`super::sharpness`]). Nothing of the classifier takes
//! part, so the same measure fits any of them, and a finished package can be given one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor, safetensors};

use super::lanes::{dot, part, sum};
use super::sharpness::Sharpness;
use super::{network, tones};
use model::manifest::{
    Architecture, CnnConfig, CnnLayer, Crop, ImageInput, Input, Likeness as Described, Normalisation,
    ResizeFilter,
};
use model::{Manifest, PackageError, package};
use nn::{Params, Plan, Runner};

/// Largest side of a thumbnail of one channel.
const SIDE: usize = 28;
/// Largest side of a thumbnail in colour.
const COLOUR_SIDE: usize = 16;
/// The standard deviation that a thumbnail of next to no contrast is divided by.
const FLOOR: f32 = 0.02;
/// Number of measures.
pub const MEASURES: usize = 8;
/// Their names, in their order.
pub const NAMES: [&str; MEASURES] =
    ["within", "from", "rough", "smooth", "colourful", "grey", "altered", "tone"];
/// Place of the last, which a package of before does not have.
const TONE: usize = MEASURES - 1;
/// Where the names of the small network's values begin in the file.
const NETWORK: &str = "network.";

/// Brings what a network reads to what is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Thumbnail {
    channels: usize,
    height: usize,
    width: usize,
}

impl Thumbnail {
    /// For networks with this input.
    pub fn new(input: &ImageInput) -> Thumbnail {
        let [channels, height, width] = [input.channels, input.height, input.width].map(|n| n as usize);
        Thumbnail { channels, height, width }
    }

    /// Channels, height and width of what is compared.
    pub fn size(&self) -> [usize; 3] {
        let side = if self.channels == 1 { SIDE } else { COLOUR_SIDE };
        [self.channels, self.height.min(side), self.width.min(side)]
    }

    /// Number of values of a thumbnail.
    pub fn values(&self) -> usize {
        self.size().iter().product()
    }

    /// The thumbnail of fractions of full scale (channels x height x width): means of areas, with mean 0
    /// and variance 1 over all.
    pub fn of(&self, fractions: &[f32]) -> Vec<f32> {
        let [_, height, width] = self.size();
        let mut values = Vec::with_capacity(self.values());
        let mut band = vec![0.0f32; self.width];
        for channel in fractions.chunks_exact(self.height * self.width).take(self.channels) {
            for line in 0..height {
                let rows = part(line, height, self.height);
                band.fill(0.0);
                for row in channel[rows.start * self.width..rows.end * self.width].chunks_exact(self.width) {
                    band.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
                values.extend((0..width).map(|at| {
                    let columns = part(at, width, self.width);
                    let count = rows.len() * columns.len();
                    band[columns].iter().sum::<f32>() / count as f32
                }));
            }
        }
        standardise(&mut values);
        values
    }

    /// Logarithm of the mean square of a thumbnail's Laplacian.
    fn roughness(&self, values: &[f32]) -> f32 {
        let [_, height, width] = self.size();
        let (mut sum, mut count) = (0.0f32, 0.0f32);
        for values in values.chunks_exact(height * width) {
            for y in 1..height.saturating_sub(1) {
                for x in 1..width.saturating_sub(1) {
                    let at = y * width + x;
                    let around = values[at - 1] + values[at + 1] + values[at - width] + values[at + width];
                    sum += (4.0 * values[at] - around).powi(2);
                    count += 1.0;
                }
            }
        }
        (sum / count.max(1.0) + 1e-6).ln()
    }

    /// The small network that tells altered pictures, as an architecture over thumbnails.
    pub fn discriminator(&self) -> (Architecture, ImageInput) {
        let [channels, height, width] = self.size().map(|n| n as u32);
        let conv = |filters| CnnLayer::Conv { filters, kernel: 3, padding: 1 };
        let mut layers = Vec::new();
        let (mut least, mut filters) = (height.min(width), 16);
        while least >= 8 && filters <= 32 {
            layers.extend([conv(filters), CnnLayer::Pool { size: 2 }]);
            (least, filters) = (least / 2, filters * 2);
        }
        layers.extend([CnnLayer::Flatten, CnnLayer::Dense { units: 64 }]);
        let input = ImageInput {
            height,
            width,
            channels,
            crop: Crop::None,
            resize: ResizeFilter::Bilinear,
            normalisation: Normalisation::PerImage { floor: FLOOR },
            accepts: None,
        };
        (Architecture::Cnn(CnnConfig { layers }), input)
    }
}

impl Thumbnail {
    /// Tone and grain of fractions of full scale.
    pub fn tones(&self, fractions: &[f32]) -> Vec<f32> {
        tones::of(fractions, self.channels, self.height, self.width)
    }
}

/// Mean 0 and variance 1; a picture without contrast stays without.
pub fn standardise(values: &mut [f32]) {
    let count = values.len().max(1) as f32;
    let mean = sum(values, |value| value) / count;
    values.iter_mut().for_each(|value| *value -= mean);
    let deviation = (sum(values, |value| value * value) / count).sqrt();
    values.iter_mut().for_each(|value| *value /= deviation.max(FLOOR));
}

/// What is kept of the training pictures.
#[derive(Debug, Clone)]
pub struct Values {
    /// Their mean thumbnail.
    pub mean: Vec<f32>,
    /// Principal components, one row each, of norm 1.
    pub components: Vec<f32>,
    /// Standard deviation along each.
    pub deviations: Vec<f32>,
    /// Median of each measure.
    pub medians: [f32; MEASURES],
    /// Limit of each measure.
    pub limits: [f32; MEASURES],
    /// Values of the network that tells altered pictures.
    pub network: BTreeMap<String, Tensor>,
    /// Their tone and grain.
    pub tones: Option<Tones>,
}

/// Tone and grain of the training pictures.
#[derive(Debug, Clone)]
pub struct Tones {
    /// Means of the values of [`tones::of`].
    pub mean: Vec<f32>,
    /// Rows that bring values less their means to variance 1, one independent of the other.
    pub whitening: Vec<f32>,
}

impl Tones {
    /// Logarithm of the squared Mahalanobis distance.
    fn distance(&self, values: &[f32]) -> f32 {
        let apart: Vec<f32> = values.iter().zip(&self.mean).map(|(value, mean)| value - mean).collect();
        let rows = self.whitening.chunks_exact(self.mean.len().max(1));
        let square = |row: &[f32]| dot(row, &apart).powi(2);
        (rows.map(square).sum::<f32>() + 1e-6).ln()
    }
}

/// The training pictures of a model, as far as likeness goes, and the memory to compare with them.
#[derive(Debug, Clone)]
pub struct Likeness {
    thumbnail: Thumbnail,
    values: Arc<Values>,
    sharpness: Option<Sharpness>,
    runner: Runner,
}

impl Likeness {
    /// For networks with this input.
    ///
    /// # Errors
    /// Values of the small network that do not fit it.
    pub fn new(input: &ImageInput, values: Values) -> candle_core::Result<Likeness> {
        let thumbnail = Thumbnail::new(input);
        let runner = Runner::new(Arc::new(plan(&thumbnail, &values.network)?));
        let sharpness = |tones| Sharpness::new(tones, thumbnail.height, thumbnail.width);
        let sharpness = values.tones.as_ref().and_then(sharpness);
        Ok(Likeness { thumbnail, values: Arc::new(values), sharpness, runner })
    }

    /// That of the package in `folder`; none where its manifest describes none.
    ///
    /// # Errors
    /// The file, and what does not fit.
    pub fn read(folder: &Path, manifest: &Manifest) -> Result<Option<Likeness>, PackageError> {
        let (Some(Described::TrainingPictures { components, .. }), Input::Image(input)) =
            (&manifest.likeness, &manifest.input)
        else {
            return Ok(None);
        };
        let file = folder.join(package::LIKENESS);
        let values = read_values(&package::read(&file)?, *components, &Thumbnail::new(input));
        let values = values.map_err(|e| PackageError::new(&file, e))?;
        Likeness::new(input, values).map(Some).map_err(|e| PackageError::new(&file, e))
    }

    /// The same measures, but for tone and grain, of networks with another input, whose thumbnails are of the same
    /// size.
    pub fn over(&self, input: &ImageInput) -> Likeness {
        let values = Arc::new(Values { tones: None, ..(*self.values).clone() });
        Likeness { thumbnail: Thumbnail::new(input), values, sharpness: None, runner: self.runner.clone() }
    }

    /// The content of the file that a package keeps.
    ///
    /// # Errors
    /// What the library reports.
    pub fn to_bytes(&self) -> Result<Vec<u8>, candle_core::Error> {
        let Values { mean, components, deviations, medians, limits, network, tones } = &*self.values;
        let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu);
        let mut tensors = BTreeMap::from([
            ("mean".to_string(), tensor(mean, &[mean.len()])?),
            ("components".to_string(), tensor(components, &[deviations.len(), mean.len()])?),
            ("deviations".to_string(), tensor(deviations, &[deviations.len()])?),
        ]);
        let kept = if tones.is_some() { MEASURES } else { TONE };
        tensors.insert("medians".to_string(), tensor(&medians[..kept], &[kept])?);
        tensors.insert("limits".to_string(), tensor(&limits[..kept], &[kept])?);
        if let Some(Tones { mean, whitening }) = tones {
            tensors.insert("tones.mean".to_string(), tensor(mean, &[mean.len()])?);
            tensors.insert("tones.whitening".to_string(), tensor(whitening, &[mean.len(), mean.len()])?);
        }
        tensors.extend(network.iter().map(|(name, tensor)| (format!("{NETWORK}{name}"), tensor.clone())));
        package::serialize(&tensors)
    }

    /// The measures of a picture: what a network reads as fractions of full scale, and the colour that
    /// the picture had ([`super::Preprocessor::colour`]).
    ///
    /// # Errors
    /// Fractions of another size.
    pub fn measures(&mut self, fractions: &[f32], colour: f32) -> candle_core::Result<[f32; MEASURES]> {
        Ok(self.measured(fractions, colour)?.0)
    }

    /// The measures, and how unsharp the picture is.
    fn measured(
        &mut self,
        fractions: &[f32],
        colour: f32,
    ) -> candle_core::Result<([f32; MEASURES], Option<f32>)> {
        let Values { mean, components, deviations, tones, medians, .. } = &*self.values;
        let mut values = self.thumbnail.of(fractions);
        let own = tones.as_ref().map(|_| self.thumbnail.tones(fractions));
        let tone = tones.as_ref().zip(own.as_ref()).map(|(tones, own)| tones.distance(own));
        let unsharp = self.sharpness.zip(own.as_ref()).map(|(sharpness, own)| sharpness.lack(own));
        let mut altered = 0.0;
        self.runner.run(&[&values], |logits| altered = logits[1] - logits[0])?;
        let rough = self.thumbnail.roughness(&values);
        values.iter_mut().zip(mean).for_each(|(value, mean)| *value -= mean);
        let (mut within, mut from) = (0.0, sum(&values, |value| value * value));
        for (component, deviation) in components.chunks_exact(mean.len()).zip(deviations) {
            let along = dot(component, &values);
            within += (along / deviation).powi(2);
            from -= along * along;
        }
        let from = (from.max(0.0) + 1e-6).ln();
        let tone = tone.unwrap_or(medians[TONE]);
        Ok(([(within + 1e-6).ln(), from, rough, -rough, colour, -colour, altered, tone], unsharp))
    }

    /// How unlike the training pictures a picture is: above 1 it is none of their kind.
    ///
    /// # Errors
    /// Fractions of another size.
    pub fn strangeness(&mut self, fractions: &[f32], colour: f32) -> candle_core::Result<f32> {
        let (measures, unsharp) = self.measured(fractions, colour)?;
        let Values { medians, limits, .. } = &*self.values;
        let scaled = (0..MEASURES).map(|i| (measures[i] - medians[i]) / (limits[i] - medians[i]));
        let scaled = scaled.chain(unsharp);
        // What is no number is like nothing.
        Ok(scaled
            .fold(f32::NEG_INFINITY, |most, value| if value.is_nan() { f32::MAX } else { most.max(value) }))
    }
}

fn plan(thumbnail: &Thumbnail, weights: &BTreeMap<String, Tensor>) -> candle_core::Result<Plan> {
    let (architecture, input) = thumbnail.discriminator();
    let mut params = Params::frozen(weights.clone());
    let plan = network::plan(&architecture, &input, 2, &mut params, false)?;
    params.finish()?;
    Ok(plan)
}

/// The values of a file, of so many components over such thumbnails.
fn read_values(bytes: &[u8], count: usize, thumbnail: &Thumbnail) -> Result<Values, String> {
    let size = thumbnail.values();
    let tensors = safetensors::load_buffer(bytes, &Device::Cpu).map_err(|e| e.to_string())?;
    let flat = |name: &str, tensor: &Tensor| -> Result<Vec<f32>, String> {
        let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(|e| e.to_string())?;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(format!("the tensor \"{name}\" holds a value that is not finite")),
        }
    };
    let get = |name: &str, shape: &[usize]| -> Result<Vec<f32>, String> {
        let tensor = tensors.get(name).ok_or_else(|| format!("the tensor \"{name}\" is absent"))?;
        if tensor.dims() != shape {
            return Err(format!("the tensor \"{name}\" is {:?}, not {shape:?}", tensor.dims()));
        }
        flat(name, tensor)
    };
    let tones = match tensors.contains_key("tones.mean") {
        true => {
            let count = tones::values(thumbnail.channels, thumbnail.height, thumbnail.width);
            let whitening = get("tones.whitening", &[count, count])?;
            Some(Tones { mean: get("tones.mean", &[count])?, whitening })
        }
        false => None,
    };
    // Without tones nothing is too far from them.
    let measures = |name: &str, without: f32| -> Result<[f32; MEASURES], String> {
        let mut values = get(name, &[if tones.is_some() { MEASURES } else { TONE }])?;
        values.resize(MEASURES, without);
        values.try_into().map_err(|_| format!("the tensor \"{name}\" is too short"))
    };
    let mut network = BTreeMap::new();
    for (name, tensor) in &tensors {
        if let Some(name) = name.strip_prefix(NETWORK) {
            flat(name, tensor)?;
            network.insert(name.to_string(), tensor.clone());
        }
    }
    let values = Values {
        mean: get("mean", &[size])?,
        components: get("components", &[count, size])?,
        deviations: get("deviations", &[count])?,
        medians: measures("medians", 0.0)?,
        limits: measures("limits", 1.0)?,
        network,
        tones,
    };
    if values.deviations.iter().any(|deviation| *deviation <= 0.0) {
        return Err("a deviation is not positive".to_string());
    }
    match values.limits.iter().zip(&values.medians).all(|(limit, median)| limit > median) {
        true => Ok(values),
        false => Err("a limit is not above its median".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likeness() -> Likeness {
        let input = ImageInput {
            height: 4,
            width: 4,
            channels: 1,
            crop: Crop::None,
            resize: ResizeFilter::Bilinear,
            normalisation: Normalisation::PerImage { floor: 0.02 },
            accepts: None,
        };
        // Training pictures are dark above and light below, more or less.
        let half: Vec<f32> = (0..16).map(|at| if at < 8 { -1.0 } else { 1.0 }).collect();
        let thumbnail = Thumbnail::new(&input);
        let rough = thumbnail.roughness(&half);
        let (architecture, small) = thumbnail.discriminator();
        let mut params = Params::fresh(1);
        network::build(&architecture, &small, 2, &mut params).unwrap();
        let values = Values {
            components: half.iter().map(|value| value / 4.0).collect(),
            mean: half,
            deviations: vec![0.5],
            medians: [-3.0, -3.0, rough, -rough, 0.0, 0.0, 0.0, 0.0],
            limits: [2.0, 2.0, rough + 0.5, 0.5 - rough, 0.04, 0.04, 1e6, 1.0],
            network: params.snapshot().unwrap(),
            tones: None,
        };
        Likeness::new(&input, values).unwrap()
    }

    #[test]
    fn a_thumbnail_has_the_mean_of_each_area() {
        let (channels, height, width) = (3, 31, 45);
        let thumbnail = Thumbnail { channels, height, width };
        let picture: Vec<f32> =
            (0..channels * height * width).map(|at| (at * 7 % 101) as f32 / 100.0).collect();
        let [_, rows, columns] = thumbnail.size();
        let (mut sums, mut counts) = (vec![0.0f32; thumbnail.values()], vec![0.0f32; thumbnail.values()]);
        for (at, value) in picture.iter().enumerate() {
            let (channel, y, x) = (at / (height * width), at / width % height, at % width);
            let place = (channel * rows + y * rows / height) * columns + x * columns / width;
            (sums[place], counts[place]) = (sums[place] + value, counts[place] + 1.0);
        }
        let mut means: Vec<f32> = sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect();
        standardise(&mut means);
        let got = thumbnail.of(&picture);
        assert!(got.iter().zip(&means).all(|(got, want)| (got - want).abs() < 1e-4), "{got:?}");
    }

    #[test]
    fn like_is_below_one_and_unlike_above() {
        let mut likeness = likeness();
        let like: Vec<f32> =
            (0..16).map(|at| if at < 8 { 0.2 } else { 0.7 + 0.02 * (at % 2) as f32 }).collect();
        let mut strange = |values: &[f32], colour| likeness.strangeness(values, colour).unwrap();
        assert!(strange(&like, 0.0) < 1.0, "{}", strange(&like, 0.0));
        assert!(strange(&like, 0.1) > 1.0, "coloured");
        let turned: Vec<f32> = like.iter().rev().copied().collect();
        let striped: Vec<f32> = (0..16).map(|at| if at % 2 == 0 { 0.1 } else { 0.9 }).collect();
        assert!(strange(&turned, 0.0) > 1.0 && strange(&striped, 0.0) > 1.0);
        assert!(strange(&[f32::NAN; 16], 0.0) > 1.0);
    }

    #[test]
    fn what_is_written_is_read_and_another_shape_is_refused() {
        let plain = likeness();
        let input = ImageInput { height: 4, width: 4, ..plain.thumbnail.discriminator().1 };
        let picture: Vec<f32> = (0..16).map(|at| at as f32 / 16.0).collect();
        let count = tones::values(1, 4, 4);
        let whitening = (0..count * count).map(|at| f32::from(u8::from(at % (count + 1) == 0))).collect();
        let tones = Tones { mean: tones::of(&picture, 1, 4, 4), whitening };
        let toned = Values { tones: Some(tones), ..(*plain.values).clone() };
        for mut likeness in [plain, Likeness::new(&input, toned).unwrap()] {
            let bytes = likeness.to_bytes().unwrap();
            let read = |count: usize, side: u32| {
                let input = ImageInput { height: side, width: side, ..input.clone() };
                read_values(&bytes, count, &Thumbnail::new(&input))
            };
            let mut again = Likeness::new(&input, read(1, 4).unwrap()).unwrap();
            let measures = likeness.measures(&picture, 0.0).unwrap();
            assert_eq!(again.measures(&picture, 0.0).unwrap(), measures);
            assert!(read(2, 4).unwrap_err().contains("components"));
            assert!(read(1, 5).is_err());
        }
        assert!(read_values(b"nothing", 1, &Thumbnail::new(&input)).is_err());
    }

    #[test]
    fn the_same_drawing_in_another_tone_is_unlike() {
        let plain = likeness();
        let input = ImageInput { height: 4, width: 4, ..plain.thumbnail.discriminator().1 };
        let picture: Vec<f32> = (0..16).map(|at| if at < 8 { 0.2 } else { 0.7 }).collect();
        let brighter: Vec<f32> = picture.iter().map(|value| value + 0.3).collect();
        let count = tones::values(1, 4, 4);
        let whitening =
            (0..count * count).map(|at| f32::from(u8::from(at % (count + 1) == 0)) / 0.1).collect();
        let tones = Tones { mean: tones::of(&picture, 1, 4, 4), whitening };
        let mut toned =
            Likeness::new(&input, Values { tones: Some(tones), ..(*plain.values).clone() }).unwrap();
        let mut plain = plain;
        assert!(plain.strangeness(&brighter, 0.0).unwrap() < 1.0);
        assert!(toned.strangeness(&picture, 0.0).unwrap() < 1.0);
        assert!(toned.strangeness(&brighter, 0.0).unwrap() > 1.0);
        assert!(toned.over(&input).strangeness(&brighter, 0.0).unwrap() < 1.0);
    }

    #[test]
    fn a_thumbnail_is_of_means_and_does_not_depend_on_brightness() {
        let likeness = likeness();
        let input = ImageInput { height: 56, width: 84, ..likeness.thumbnail.discriminator().1 };
        let thumbnail = Thumbnail::new(&input);
        assert_eq!(thumbnail.size(), [1, 28, 28]);
        let picture: Vec<f32> = (0..56 * 84).map(|at| ((at * 37) % 101) as f32 / 101.0).collect();
        let darker: Vec<f32> = picture.iter().map(|value| 0.1 + 0.5 * value).collect();
        let (one, other) = (thumbnail.of(&picture), thumbnail.of(&darker));
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}
