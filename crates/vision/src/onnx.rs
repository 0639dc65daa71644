//! A classifier of images as an ONNX file, which others have trained: run by `rten`, and only where this program was built with
//! the feature `onnx`.
//!
//! A network of ours is described layer by layer and has a plan of its own. Of a file of others nothing is known but what goes in
//! and what comes out, so it is run as it is, on one thread a copy as every model here.

use candle_core::{Device, Result, Tensor, bail};
use model::manifest::{ImageInput, OnnxConfig};
use nn::{Network, Pass};

pub use inner::OnnxNetwork;

/// Most that probabilities of a picture differ from 1 in sum.
const SLACK: f32 = 1e-3;

/// Whether rows are probabilities of labels that exclude each other, and no logits.
pub fn are_probabilities(rows: &[Vec<f32>]) -> bool {
    let one = |row: &Vec<f32>| {
        row.iter().all(|value| (0.0..=1.0).contains(value)) && (row.iter().sum::<f32>() - 1.0).abs() < SLACK
    };
    !rows.is_empty() && rows.iter().all(one)
}

impl OnnxNetwork {
    /// One row of logits an image, in order; of a file that gives probabilities their logarithms.
    ///
    /// # Errors
    /// What the runtime says; a row of another length.
    pub fn run<I: AsRef<[f32]>>(&self, images: &[I]) -> Result<Vec<Vec<f32>>> {
        let mut rows = self.rows(images)?;
        if self.config().probabilities {
            rows.iter_mut().flatten().for_each(|value| *value = value.max(f32::MIN_POSITIVE).ln());
        }
        Ok(rows)
    }
}

impl Network<Tensor> for OnnxNetwork {
    fn logits(&self, batch: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        if let Pass::Training(_) = pass {
            bail!("a network that is an ONNX file is not trained here")
        }
        let images: Vec<Vec<f32>> = batch.flatten_from(1)?.to_vec2()?;
        let rows = self.run(&images)?;
        let shape = (rows.len(), rows.first().map_or(0, Vec::len));
        Tensor::from_vec(rows.concat(), shape, &Device::Cpu)
    }
}

#[cfg(feature = "onnx")]
mod inner {
    use std::sync::Arc;

    use rten::{Dimension, Model, NodeId, RunOptions, ThreadPool, Value};

    use super::{ImageInput, OnnxConfig, Result, bail};

    /// Such a network. Copies share the weights and have a thread each.
    pub struct OnnxNetwork {
        model: Arc<Model>,
        threads: Arc<ThreadPool>,
        input: NodeId,
        output: NodeId,
        size: [usize; 3],
        labels: usize,
        /// Whether it takes one image at a time and no other number.
        alone: bool,
        config: OnnxConfig,
    }

    impl Clone for OnnxNetwork {
        fn clone(&self) -> OnnxNetwork {
            let threads = Arc::new(ThreadPool::with_num_threads(1));
            OnnxNetwork { model: self.model.clone(), threads, config: self.config.clone(), ..*self }
        }
    }

    impl OnnxNetwork {
        /// The network of a file over images of `input`, with one output a label.
        ///
        /// # Errors
        /// A file that is no ONNX, has an operation that is not known, or reads or gives something else.
        pub fn load(
            file: &[u8],
            config: &OnnxConfig,
            input: &ImageInput,
            labels: usize,
        ) -> Result<OnnxNetwork> {
            let model = match Model::load(file.to_vec()) {
                Ok(model) => Arc::new(model),
                Err(error) => bail!("it cannot be read as ONNX: {error}"),
            };
            let (&[reads], Some(&gives)) = (model.input_ids(), model.output_ids().first()) else {
                bail!("it reads {} tensors; a classifier of images reads one", model.input_ids().len())
            };
            let size = [input.channels, input.height, input.width].map(|side| side as usize);
            let mut alone = false;
            if let Some(shape) = model.node_info(reads).and_then(|node| node.shape()) {
                let fits = |(own, wanted): (&Dimension, &usize)| match own {
                    Dimension::Fixed(own) => own == wanted,
                    Dimension::Symbolic(_) => true,
                };
                let [first, rest @ ..] = &shape[..] else { bail!("it reads a single number") };
                if rest.len() != 3 || !rest.iter().zip(&size).all(fits) {
                    bail!(
                        "it reads {}, and pictures are brought to [batch, {}, {}, {}]",
                        shown(&shape),
                        size[0],
                        size[1],
                        size[2]
                    )
                }
                alone = match first {
                    Dimension::Symbolic(_) => false,
                    Dimension::Fixed(1) => true,
                    Dimension::Fixed(other) => {
                        bail!("it reads {other} pictures at a time, not one or any number")
                    }
                };
            }
            let threads = Arc::new(ThreadPool::with_num_threads(1));
            let config = config.clone();
            let network =
                OnnxNetwork { model, threads, input: reads, output: gives, size, labels, alone, config };
            network.rows(&[vec![0.0; size.iter().product()]])?;
            Ok(network)
        }

        /// What is said of the file.
        pub fn config(&self) -> &OnnxConfig {
            &self.config
        }

        /// The rows as the file gives them.
        pub(super) fn rows<I: AsRef<[f32]>>(&self, images: &[I]) -> Result<Vec<Vec<f32>>> {
            let mut rows = Vec::with_capacity(images.len());
            for images in images.chunks(if self.alone { 1 } else { images.len().max(1) }) {
                let values: Vec<f32> =
                    images.iter().flat_map(|image| image.as_ref().iter().copied()).collect();
                let [channels, height, width] = self.size;
                let value = match Value::from_shape([images.len(), channels, height, width], values) {
                    Ok(value) => value,
                    Err(error) => bail!("pictures of another size than the network's: {error}"),
                };
                let options = RunOptions::default().with_thread_pool(Some(self.threads.clone()));
                let found = self.model.run(vec![(self.input, value.into())], &[self.output], Some(options));
                let found = match found {
                    Ok(found) => found.into_iter().next(),
                    Err(error) => bail!("the network failed: {error}"),
                };
                let Some(Ok((shape, values))) = found.map(Value::into_shape_vec::<f32, 2>) else {
                    bail!("it gives no table of numbers, one row a picture")
                };
                if shape != [images.len(), self.labels] {
                    bail!(
                        "it gives {} numbers for each picture, and there are {} labels",
                        shape[1],
                        self.labels
                    )
                }
                rows.extend(values.chunks_exact(self.labels).map(<[f32]>::to_vec));
            }
            Ok(rows)
        }
    }

    fn shown(shape: &[Dimension]) -> String {
        let one = |side: &Dimension| match side {
            Dimension::Fixed(side) => side.to_string(),
            Dimension::Symbolic(name) => name.clone(),
        };
        format!("[{}]", shape.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(not(feature = "onnx"))]
mod inner {
    use std::convert::Infallible;

    use super::{ImageInput, OnnxConfig, Result, bail};

    /// Such a network, of which there is none without the feature.
    #[derive(Clone)]
    pub struct OnnxNetwork(Infallible);

    impl OnnxNetwork {
        /// Refuses every file.
        ///
        /// # Errors
        /// Always.
        pub fn load(_: &[u8], _: &OnnxConfig, _: &ImageInput, _: usize) -> Result<OnnxNetwork> {
            bail!("this program was built without ONNX; one built with --features onnx runs such a network")
        }

        /// What is said of the file.
        pub fn config(&self) -> &OnnxConfig {
            match self.0 {}
        }

        pub(super) fn rows<I: AsRef<[f32]>>(&self, _: &[I]) -> Result<Vec<Vec<f32>>> {
            match self.0 {}
        }
    }
}
