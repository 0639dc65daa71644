//! A step of training, made from the description of a network over images.
//!
//! A step is one operation of candle's graph: as operations of their own the layers would each write
//! down what the next one reads, with channels first, and candle would add every gradient between
//! them to a tensor of zeros. Here channels come last throughout, memory is laid out once
//! ([`schedule`]) and kept from step to step, and normalisations and activations happen where values
//! are read and written ([`compile`]).

mod backward;
mod compile;
mod forward;
mod layers;
mod schedule;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::graph::{self, Graph, NodeId};
use crate::norm::Moments;
use crate::params::{Buffer, Init, Params};
use crate::plan::{Numerics, Plan, Runner};
use crate::simd::AlignedVec;
use crate::tensors::values;
use crate::{Network, Pass};
use backward::Gradients;
use compile::Program;
use forward::Step;

pub(crate) use forward::ungroup;

/// Share of the running statistics that one batch replaces.
const MOMENTUM: f64 = 0.1;

/// A network over images: its description and its values. Its batch is a tensor of (images, channels,
/// height, width).
pub struct ImageNetwork {
    graph: Graph,
    /// Nothing where the network is served only.
    program: Option<Arc<Program>>,
    /// The same with the gradient of the images, made when somebody asks for that.
    program_to_images: OnceLock<Arc<Program>>,
    /// Every value by name, for the plan.
    weights: Vec<(String, Tensor)>,
    /// Values that a gradient reaches, in the order of the program.
    learnt: Vec<Tensor>,
    /// Running mean and variance of every normalisation.
    running: Vec<(String, Buffer)>,
    memory: Arc<Mutex<Vec<AlignedVec>>>,
}

impl ImageNetwork {
    /// The network of `graph` with the values of `params`.
    ///
    /// # Errors
    /// Values that do not fit the description; a network of another input than images.
    pub fn new(graph: Graph, params: &mut Params) -> Result<ImageNetwork> {
        let (mut weights, mut learnt, mut running) = (Vec::new(), Vec::new(), Vec::new());
        for parameter in (0..graph.nodes().len()).flat_map(|place| graph.parameters(NodeId(place))) {
            let graph::Parameter { name, shape, init, learnt: is_learnt } = parameter;
            match (is_learnt, init) {
                (false, Init::Constant(start)) => {
                    let buffer = params.buffer(&name, shape, start)?;
                    running.push((name, buffer));
                }
                _ => {
                    let tensor = params.get(&name, shape, init)?;
                    learnt.push(tensor.clone());
                    weights.push((name, tensor));
                }
            }
        }
        let program = match graph.is_trainable() {
            true => Some(Arc::new(Program::new(&graph, false)?)),
            false => None,
        };
        let memory = Arc::new(Mutex::new(Vec::new()));
        let program_to_images = OnceLock::new();
        Ok(ImageNetwork { graph, program, program_to_images, weights, learnt, running, memory })
    }

    /// Bytes that a step over a batch of so many images holds: all values that its way back needs,
    /// and the gradients on that way. 0 for a network that is served only.
    pub fn step_bytes(&self, batch: usize) -> usize {
        self.program.as_ref().map_or(0, |program| 4 * batch * program.schedule.sizes.iter().sum::<usize>())
    }

    /// The network for serving, with its values as they are now. `exact` keeps convolutions to the
    /// sums of their definition.
    ///
    /// # Errors
    /// Memory that runs out.
    pub fn plan(&self, exact: bool) -> Result<Plan> {
        self.plan_with(&Numerics { exact, ..Numerics::default() })
    }

    /// The same with its way of computing.
    ///
    /// # Errors
    /// Memory that runs out.
    pub fn plan_with(&self, numerics: &Numerics) -> Result<Plan> {
        let mut all = std::collections::BTreeMap::new();
        for (name, tensor) in &self.weights {
            all.insert(name.clone(), tensor.flatten_all()?.to_vec1::<f32>()?);
        }
        for (name, buffer) in &self.running {
            all.insert(name.clone(), buffer.tensor().to_vec1::<f32>()?);
        }
        Plan::with(&self.graph, &all, numerics)
    }

    /// Answers through the plan, on every core.
    fn answer(&self, images: &Tensor) -> Result<Tensor> {
        let (batch, ..) = images.dims4()?;
        let plan = Arc::new(self.plan(false)?);
        let images = images.contiguous()?;
        let values = values(&images)?;
        let images: Vec<&[f32]> = values.chunks_exact(plan.image().max(1)).collect();
        let each = batch.div_ceil(rayon::current_num_threads()).max(1);
        let answer = |images: &[&[f32]]| -> Result<Vec<f32>> {
            let mut logits = Vec::new();
            Runner::new(plan.clone()).run(images, |row| logits.extend_from_slice(row))?;
            Ok(logits)
        };
        let parts: Vec<Vec<f32>> = images.par_chunks(each).map(answer).collect::<Result<_>>()?;
        let shape = (batch, plan.labels());
        Tensor::from_vec(parts.concat(), shape, &candle_core::Device::Cpu)
    }

    fn train(&self, images: &Tensor, rng: &mut rand_chacha::ChaCha8Rng) -> Result<Tensor> {
        let (batch, channels, height, width) = images.dims4()?;
        let Some(own) = &self.program else { bail!("a network of this kind is served and not trained") };
        let program = match images.track_op() {
            false => own.clone(),
            true => match self.program_to_images.get() {
                Some(program) => program.clone(),
                None => {
                    let made = Arc::new(Program::new(&self.graph, true)?);
                    self.program_to_images.get_or_init(|| made).clone()
                }
            },
        };
        let input = &program.values[0].map;
        if (channels, height, width) != (input.channels, input.height, input.width) {
            let (rows, columns) = (input.height, input.width);
            bail!(
                "images of {channels} x {height} x {width} do not fit a network of {} x {rows} x {columns}",
                input.channels
            )
        }
        if batch == 0 {
            bail!("an empty batch cannot be trained on")
        }
        let parameters: Vec<_> = self.learnt.iter().map(Tensor::flatten_all).collect::<Result<_>>()?;
        let parameters = match parameters.is_empty() {
            true => bail!("a network without weights cannot be trained"),
            false => Tensor::cat(&parameters, 0)?,
        };
        let images = images.contiguous()?;
        let memory = std::mem::take(&mut *self.memory.lock().unwrap_or_else(PoisonError::into_inner));
        let step = {
            let (images, parameters) = (values(&images)?, values(&parameters)?);
            // Inside the pool from the start: coming and going costs a wake-up each time.
            let (images, parameters) = (&images[..], &parameters[..]);
            rayon::scope(|_| Step::forward(program.clone(), memory, images, parameters, rng))
        };
        for (layer, moments) in program.norms.iter().zip(&step.moments) {
            self.observe(&self.graph.node(layer.node).name, moments)?;
        }
        let map = &program.values[program.output.value].map;
        let shape = match (map.height, map.width) {
            (1, 1) => (batch, map.channels).into(),
            (height, width) => (batch, map.channels, height, width).into(),
        };
        let step = Mutex::new(Some(step));
        images.apply_op2(&parameters, StepOp { step, shape, memory: self.memory.clone() })
    }

    /// Moves the running statistics of the layer `name` by those of a batch.
    fn observe(&self, name: &str, moments: &Moments) -> Result<()> {
        let n = moments.count() as f32;
        let unbiased = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
        for (buffer_name, buffer) in &self.running {
            let part = match buffer_name.strip_prefix(name).and_then(|rest| rest.strip_prefix(".running_")) {
                Some("mean") => |moments: &Moments, channel, _: f32| moments.channel(channel).0,
                Some("variance") => {
                    |moments: &Moments, channel, unbiased: f32| moments.channel(channel).1 * unbiased
                }
                _ => continue,
            };
            let Buffer::Running(running) = buffer else { bail!("frozen weights cannot be trained") };
            let channels = running.elem_count();
            let batch: Vec<f32> = (0..channels).map(|channel| part(moments, channel, unbiased)).collect();
            let batch = Tensor::from_vec(batch, channels, running.device())?;
            running.set(&((running.as_detached_tensor() * (1.0 - MOMENTUM))? + (batch * MOMENTUM)?)?)?;
        }
        Ok(())
    }
}

impl Network<Tensor> for ImageNetwork {
    fn logits(&self, images: &Tensor, pass: &mut Pass) -> Result<Tensor> {
        match pass {
            Pass::Inference => self.answer(images),
            Pass::Training(rng) => self.train(images, rng),
        }
    }
}

/// A step that has gone forward; its results are there. Going back uses it up.
struct StepOp {
    step: Mutex<Option<Step>>,
    shape: Shape,
    /// Where its memory goes when it is not needed any more.
    memory: Arc<Mutex<Vec<AlignedVec>>>,
}

impl StepOp {
    fn keep(&self, step: Step) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = step.slots;
    }
}

impl Drop for StepOp {
    fn drop(&mut self) {
        if let Some(step) = self.step.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.keep(step);
        }
    }
}

impl CustomOp2 for StepOp {
    fn name(&self) -> &'static str {
        "training-step"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match &*self.step.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(step) => Ok((CpuStorage::F32(step.output.clone()), self.shape.clone())),
            None => bail!("a step goes forward once"),
        }
    }

    fn bwd(
        &self,
        images: &Tensor,
        parameters: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(mut step) = self.step.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            bail!("a step goes back once")
        };
        let gradient = gradient.contiguous()?;
        let mut for_parameters = vec![0.0; step.program.parameters];
        let mut for_images = images.track_op().then(|| vec![0.0; images.elem_count()]);
        {
            let (images, parameters, output) = (values(images)?, values(parameters)?, values(&gradient)?);
            let mut gradients = Gradients {
                images: &images,
                parameters: &parameters,
                output: &output,
                for_parameters: &mut for_parameters,
                for_images: for_images.as_deref_mut(),
            };
            rayon::scope(|_| step.backward(&mut gradients));
        }
        self.keep(step);
        let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        let for_images = for_images.map(|values| tensor(values, images)).transpose()?;
        Ok((for_images, Some(tensor(for_parameters, parameters)?)))
    }
}
