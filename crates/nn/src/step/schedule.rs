//! The way back through a step: which gradients are written, where, and what is done to them on the
//! way, and the memory that values and gradients share.
//!
//! All of it follows from the description, so it is laid out once. The gradient of a view is
//! complete when everything that reads the view has added its part; the last to add also takes it
//! back through the view's activation and sums it for the normalisations before, while a piece of it
//! is in cache. The gradient of a sum is that of its parts: they share it where nothing else is
//! added. A value or gradient keeps its memory until its last use and not longer.

use super::compile::{Unit, Value, View, Work};
use crate::graph::Activation;

/// What is done to a complete gradient.
#[derive(Debug, Default)]
pub struct Epilogue {
    /// The activation that it goes back through, and what that was applied to or, if it is clipped,
    /// gave.
    pub activation: Option<(Activation, View)>,
    /// The normalisations whose results it is then the gradient of.
    pub norms: Vec<usize>,
    /// The units whose bias it is then the gradient of, summed.
    pub biases: Vec<usize>,
}

/// A part of the gradient of a view.
#[derive(Debug)]
pub struct Part {
    /// Where the sum of this part and the earlier ones goes.
    pub buffer: usize,
    /// The sum of the earlier ones.
    pub earlier: Option<usize>,
    /// For the last part.
    pub epilogue: Epilogue,
}

/// One piece of work on the way back.
#[derive(Debug)]
pub enum Backward {
    /// The gradient of the output, as it is given.
    Output(Part),
    /// The gradient of a value from those of its views, each with its normalisation.
    Combine { value: usize, views: Vec<(usize, Option<usize>)>, buffer: usize, epilogue: Epilogue },
    /// The gradients of a unit's parameters and inputs from that of its value, or of what the
    /// normalisation `norm` made of it.
    Unit { unit: usize, gradient: usize, norm: Option<usize>, parts: Vec<Option<Part>> },
    /// The gradient of the images from that of their copy.
    Images { gradient: usize },
}

/// The way back, and the memory of the whole step.
#[derive(Debug)]
pub struct Schedule {
    pub backward: Vec<Backward>,
    /// Memory of each value and then of each gradient; none for the images.
    pub places: Vec<Option<Place>>,
    /// Memory of the masks of dropout, by unit.
    pub masks: Vec<Option<Place>>,
    /// Floats of an image in each piece of memory.
    pub sizes: Vec<usize>,
}

/// Where the values of a batch lie: at the beginning of a piece of memory.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub slot: usize,
    /// Floats of an image.
    pub size: usize,
}

/// A view on its way back.
struct ViewState {
    view: View,
    /// How often it is read.
    readers: usize,
    /// How many of these have not added their part.
    left: usize,
    /// The sum so far.
    sum: Option<usize>,
}

/// Memory that is needed from one time to another.
struct Lifetime {
    size: usize,
    first: usize,
    last: usize,
}

struct Planner<'a> {
    values: &'a [Value],
    units: &'a [Unit],
    states: Vec<Vec<ViewState>>,
    /// Of the values, then of the gradients, then of the masks.
    lifetimes: Vec<Lifetime>,
    time: usize,
    backward: Vec<Backward>,
}

/// Lays out the way back.
pub fn schedule(values: &[Value], units: &[Unit], output: View, input_gradient: bool) -> Schedule {
    let mut states: Vec<Vec<ViewState>> = values.iter().map(|_| Vec::new()).collect();
    for view in units.iter().flat_map(|unit| &unit.inputs).chain([&output]) {
        let states = &mut states[view.value];
        match states.iter_mut().find(|state| state.view == *view) {
            Some(state) => (state.readers, state.left) = (state.readers + 1, state.left + 1),
            None => states.push(ViewState { view: *view, readers: 1, left: 1, sum: None }),
        }
    }
    let lifetime = |(time, value): (usize, &Value)| {
        let size = value.map.image();
        Lifetime { size, first: time, last: time }
    };
    let lifetimes = values.iter().enumerate().map(lifetime).collect();
    let mut planner = Planner { values, units, states, lifetimes, time: 0, backward: Vec::new() };
    for (time, unit) in units.iter().enumerate() {
        planner.time = time;
        unit.inputs.iter().for_each(|view| planner.uses(view.value));
    }
    planner.time = units.len();
    planner.uses(output.value);
    planner.output(output);
    for unit in (1..units.len()).rev() {
        planner.time += 1;
        planner.unit(unit, input_gradient);
    }
    planner.finish()
}

impl Planner<'_> {
    /// A value or gradient is needed now.
    fn uses(&mut self, place: usize) {
        let lifetime = &mut self.lifetimes[place];
        lifetime.last = lifetime.last.max(self.time);
    }

    /// Memory like that of a value, from now on.
    fn buffer(&mut self, value: usize) -> usize {
        let size = self.values[value].map.image();
        self.lifetimes.push(Lifetime { size, first: self.time, last: self.time });
        self.lifetimes.len() - 1
    }

    fn state(&mut self, view: View) -> &mut ViewState {
        let states = self.states[view.value].iter_mut();
        states.into_iter().find(|state| state.view == view).expect("views were counted")
    }

    /// The only view of a value whose complete gradient is that of the value itself, or of its only
    /// normalisation.
    fn direct(&self, value: usize) -> Option<View> {
        let [ViewState { view, .. }] = &self.states[value][..] else { return None };
        let activated_twice = self.values[value].activation.is_some() && !view.is_plain();
        // The gradients of sums are shared, those of images are handed out: both as they lie.
        let unit = &self.units[value];
        let of_images = unit.inputs.first().is_some_and(|input| input.value == 0);
        let lies = matches!(unit.work, Work::Add) || (matches!(unit.work, Work::Copy) && of_images);
        (!(activated_twice || lies && view.norm.is_some())).then_some(*view)
    }

    /// The activation that the gradient of a view goes back through when it is complete.
    fn activation(&self, view: View) -> Option<(Activation, View)> {
        match view.activation {
            Some(activation) => Some((activation, View { activation: None, ..view })),
            None if view.norm.is_none() && self.direct(view.value) == Some(view) => {
                self.values[view.value].activation.map(|activation| (activation, view))
            }
            None => None,
        }
    }

    /// What the complete gradient of a view is summed for.
    fn sums(&self, view: View, epilogue: &mut Epilogue) {
        match view.norm {
            Some(norm) => epilogue.norms.push(norm),
            None if self.direct(view.value) == Some(view) => self.value_sums(view.value, epilogue),
            None => {}
        }
    }

    /// What the gradient of a value is summed for.
    fn value_sums(&self, value: usize, epilogue: &mut Epilogue) {
        let unit = &self.units[value];
        if !unit.bias.is_empty() {
            epilogue.biases.push(value);
        }
        if let Work::Add = unit.work {
            unit.inputs.iter().filter(|view| self.shares(**view)).for_each(|view| self.sums(*view, epilogue));
        }
    }

    /// Whether the gradient of a view is that of the sum that it is a part of.
    fn shares(&self, view: View) -> bool {
        let state = self.states[view.value].iter().find(|state| state.view == view);
        state.is_some_and(|state| state.readers == 1) && self.activation(view).is_none() && view.value > 0
    }

    fn epilogue(&self, view: View) -> Epilogue {
        let mut epilogue = Epilogue { activation: self.activation(view), ..Epilogue::default() };
        self.sums(view, &mut epilogue);
        epilogue
    }

    fn uses_of(&mut self, epilogue: &Epilogue) {
        let norms = |values: &[Value], norm: &usize| {
            values.iter().position(|value| value.norms.contains(norm)).expect("a normalisation has a value")
        };
        let values = epilogue.norms.iter().map(|norm| norms(self.values, norm));
        let values: Vec<_> = values.chain(epilogue.activation.map(|(_, view)| view.value)).collect();
        values.into_iter().for_each(|value| self.uses(value));
    }

    /// A part of the gradient of a view, now.
    fn part(&mut self, view: View) -> Part {
        let buffer = self.buffer(view.value);
        let state = self.state(view);
        state.left -= 1;
        let (earlier, last) = (state.sum.replace(buffer), state.left == 0);
        let epilogue = if last { self.epilogue(view) } else { Epilogue::default() };
        earlier.into_iter().for_each(|earlier| self.uses(earlier));
        self.uses_of(&epilogue);
        Part { buffer, earlier, epilogue }
    }

    fn output(&mut self, view: View) {
        let part = self.part(view);
        self.backward.push(Backward::Output(part));
    }

    /// The gradient of a value, and the normalisation whose results it still is that of.
    fn gradient(&mut self, value: usize) -> (usize, Option<usize>) {
        let sum = |state: &ViewState| (state.sum.expect("every view was read"), state.view.norm);
        if self.direct(value).is_some() {
            return sum(&self.states[value][0]);
        }
        let views: Vec<_> = self.states[value].iter().map(sum).collect();
        let activation = self.values[value].activation.map(|activation| (activation, View::plain(value)));
        let mut epilogue = Epilogue { activation, ..Epilogue::default() };
        self.value_sums(value, &mut epilogue);
        let buffer = self.buffer(value);
        for (view, norm) in &views {
            self.uses(*view);
            norm.iter().for_each(|_| self.uses(value));
        }
        self.uses_of(&epilogue);
        self.backward.push(Backward::Combine { value, views, buffer, epilogue });
        self.time += 1;
        (buffer, None)
    }

    fn unit(&mut self, index: usize, input_gradient: bool) {
        let (gradient, norm) = self.gradient(index);
        self.uses(gradient);
        norm.iter().for_each(|_| self.uses(index));
        let unit = &self.units[index];
        if unit.work.rereads_inputs() {
            unit.inputs.iter().filter(|view| view.value > 0).for_each(|view| self.uses(view.value));
        }
        let mut parts = Vec::new();
        for view in &unit.inputs {
            if view.value == 0 {
                if input_gradient {
                    self.backward.push(Backward::Images { gradient });
                    return;
                }
                parts.push(None);
                continue;
            }
            if let Work::Add = unit.work {
                let first = self.state(*view).sum.is_none();
                let (last, shared) = (self.state(*view).left == 1, self.shares(*view));
                if first && (shared || !last) {
                    let state = self.state(*view);
                    (state.left, state.sum) = (state.left - 1, Some(gradient));
                    parts.push(None);
                    continue;
                }
            }
            parts.push(Some(self.part(*view)));
        }
        if !unit.weights.is_empty() || parts.iter().any(Option::is_some) {
            self.backward.push(Backward::Unit { unit: index, gradient, norm, parts });
        }
    }

    /// Gives every lifetime a piece of memory: the smallest free one that is large enough, or else the
    /// largest free one, made larger, or else a new one.
    fn finish(mut self) -> Schedule {
        let count = self.lifetimes.len();
        let mut masks = vec![None; self.units.len()];
        for (place, unit) in self.units.iter().enumerate() {
            if let Work::Dropout(_) = unit.work {
                masks[place] = Some(self.lifetimes.len());
                let Lifetime { size, first, .. } = self.lifetimes[place];
                self.lifetimes.push(Lifetime { size, first, last: self.time });
            }
        }
        let mut order: Vec<usize> = (1..self.lifetimes.len()).collect();
        order.sort_by_key(|place| self.lifetimes[*place].first);
        let mut places = vec![None; self.lifetimes.len()];
        let (mut sizes, mut until): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        for place in order {
            let Lifetime { size, first, last } = self.lifetimes[place];
            let free = || (0..sizes.len()).filter(|slot| until[*slot] < first);
            let fitting = free().filter(|slot| sizes[*slot] >= size).min_by_key(|slot| sizes[*slot]);
            let slot = fitting.or_else(|| free().max_by_key(|slot| sizes[*slot])).unwrap_or(sizes.len());
            if slot == sizes.len() {
                sizes.push(0);
                until.push(0);
            }
            (sizes[slot], until[slot]) = (sizes[slot].max(size), last);
            places[place] = Some(Place { slot, size });
        }
        let masks = masks.into_iter().map(|place: Option<usize>| places[place?]).collect();
        places.truncate(count);
        Schedule { backward: self.backward, places, masks, sizes }
    }
}
