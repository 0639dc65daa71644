//! The gradient of a convolution's inputs from that of its outputs.
//!
//! With a stride of 1 it is a convolution itself, with the kernel turned around, and a 3 x 3 one goes
//! Winograd's way. With a stride s the inputs fall into s x s classes by their position modulo s,
//! and within a class the same taps of the kernel reach every input: each class is a product of the
//! gradient's values, where they lie, with the weights of its taps. Nothing is unfolded or folded.

use pulp::{Simd, WithSimd};

use super::Sizes;
use crate::filter::{ConvArgs, Filter, Kernel};
use crate::map::Map;
use crate::packed::{Epilogue, PackedWeights, Residual, Rows, Scattered, product};
use crate::simd::{dispatch, round_up};
use crate::window::Window;

/// The gradient of the inputs of one convolution, packed for its maps.
pub enum Reverse {
    /// A convolution with other weights.
    Winograd(Kernel),
    /// The classes of a convolution.
    Classes(Vec<Class>),
}

/// Inputs that the same taps reach.
pub struct Class {
    /// Of (taps, outputs) values to inputs; `None` where no tap reaches them.
    weights: Option<PackedWeights>,
    taps: Vec<usize>,
    length: usize,
    /// From where to where, for every input of the images of a chunk.
    places: Vec<(u32, u32)>,
    /// Inputs of an image.
    each: usize,
}

/// The taps along one side that reach the inputs of a class: by how many outputs beyond its own
/// count, and which tap. In order of the outputs.
fn reaching(window: &Window, kernel: usize, padding: usize, class: usize) -> Vec<(isize, usize)> {
    let Window { stride, dilation, .. } = *window;
    let apart = |tap: usize| (class + padding) as isize - (tap * dilation) as isize;
    let taps = (0..kernel).filter(|tap| apart(*tap).rem_euclid(stride as isize) == 0);
    let mut taps: Vec<_> = taps.map(|tap| (apart(tap).div_euclid(stride as isize), tap)).collect();
    taps.sort_unstable();
    taps
}

/// [`reaching`] along the rows and along the columns.
fn reaching_both(window: &Window, (y, x): (usize, usize)) -> [Vec<(isize, usize)>; 2] {
    let Window { kernel, padding, .. } = *window;
    [reaching(window, kernel.0, padding.0, y), reaching(window, kernel.1, padding.1, x)]
}

/// Inputs of a class along a side of `length`.
fn members(length: usize, class: usize, stride: usize) -> usize {
    length.saturating_sub(class).div_ceil(stride)
}

/// The convolution from the gradient of the outputs to that of the inputs where it goes Winograd's way.
fn turned(sizes: &Sizes, weight: &[f32]) -> Option<Filter> {
    let Window { kernel, stride, padding, dilation } = sizes.window;
    if (kernel, stride, dilation) != ((3, 3), 1, 1) {
        return None;
    }
    let padding = (2usize.checked_sub(padding.0)?, 2usize.checked_sub(padding.1)?);
    let taps = sizes.window.taps();
    let mut turned = vec![0.0; weight.len()];
    for (at, weights) in weight.chunks_exact(taps).enumerate() {
        let (output, input) = (at / sizes.inputs, at % sizes.inputs);
        let into = &mut turned[(input * sizes.outputs + output) * taps..][..taps];
        into.iter_mut().zip(weights.iter().rev()).for_each(|(to, from)| *to = *from);
    }
    let (outputs, inputs) = (sizes.inputs, sizes.outputs);
    let (bias, window) = (vec![0.0; outputs], Window { padding, ..sizes.window });
    Some(Filter { weights: turned, bias, outputs, inputs, window })
}

impl Reverse {
    /// Packs `weight` for gradients like `from`, whose zeros it widens as it needs, and inputs like
    /// `to`.
    pub fn new(sizes: &Sizes, weight: &[f32], from: &mut Map, to: &Map) -> Reverse {
        if let Some(filter) = turned(sizes, weight) {
            Kernel::make_room(&filter, from, to);
            return Reverse::Winograd(Kernel::new(&filter, from, to, false));
        }
        let stride = sizes.window.stride;
        let classes: Vec<_> = (0..stride * stride)
            .map(|class| (class / stride, class % stride))
            .filter(|(y, x)| *y < to.height && *x < to.width)
            .collect();
        for class @ (y, x) in &classes {
            let reaching = reaching_both(&sizes.window, *class);
            let counts = [members(to.height, *y, stride), members(to.width, *x, stride)];
            let end = |side: usize| {
                let last = reaching[side].last().map_or(0, |(beyond, _)| *beyond);
                (counts[side] as isize + last).max(0) as usize
            };
            let first = reaching.iter().filter_map(|side| Some(side.first()?.0));
            let before = first.map(|beyond| (-beyond).max(0) as usize).max().unwrap_or(0);
            from.make_room(before, end(0), end(1));
        }
        let class = |(y, x)| Class::new(sizes, weight, (y, x), from, to);
        Reverse::Classes(classes.into_iter().map(class).collect())
    }

    /// Floats it works in.
    pub fn scratch(&self) -> usize {
        match self {
            Reverse::Winograd(kernel) => kernel.scratch(),
            Reverse::Classes(_) => 0,
        }
    }

    /// Writes the gradient of the inputs, all of them, for a batch of maps.
    pub fn run(&self, args: ConvArgs) {
        match self {
            Reverse::Winograd(kernel) => kernel.run(args),
            Reverse::Classes(classes) => dispatch(Run { classes, args }),
        }
    }
}

impl Class {
    fn new(sizes: &Sizes, weight: &[f32], (y, x): (usize, usize), from: &Map, to: &Map) -> Class {
        let stride = sizes.window.stride;
        let [rows, columns] = reaching_both(&sizes.window, (y, x));
        let reach = |taps: &[(isize, usize)]| taps.first().map_or(0, |(beyond, _)| *beyond);
        let (above, left) = (reach(&rows), reach(&columns));
        let lead = (-above.min(left)).max(0) as usize;
        let after = |count: usize, beyond: isize| (count as isize + beyond + lead as isize) as usize;
        let count = (members(to.height, y, stride), members(to.width, x, stride));
        let mut places = Vec::with_capacity(sizes.chunk() * count.0 * count.1);
        for image in 0..sizes.chunk() {
            for (i, j) in (0..count.0).flat_map(|i| (0..count.1).map(move |j| (i, j))) {
                let start = image * from.image() + from.padded(after(i, above), after(j, left), (lead, lead));
                let end = image * to.image() + to.place(y + i * stride, x + j * stride);
                places.push((start as u32, end as u32));
            }
        }
        // A row of taps lies in one piece where they reach neighbours.
        let joined = columns.windows(2).all(|pair| pair[1].0 - pair[0].0 == 1);
        let all = || rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
        let place = |row: isize, column: isize| {
            (row - above) as usize * from.row() + (column - left) as usize * from.depth
        };
        let (taps, length): (Vec<usize>, usize) = match joined {
            true => (rows.iter().map(|row| place(row.0, left)).collect(), columns.len() * from.depth),
            false => (all().map(|(row, column)| place(row.0, column.0)).collect(), from.depth),
        };
        if rows.is_empty() || columns.is_empty() {
            return Class { weights: None, taps, length, places, each: count.0 * count.1 };
        }
        let mut weights = PackedWeights::zeros(taps.len() * length, round_up(sizes.inputs));
        let mut row = vec![0.0; sizes.inputs];
        for (at, (above, left)) in all().enumerate() {
            let tap = above.1 * sizes.window.kernel.1 + left.1;
            for output in 0..sizes.outputs {
                let of = |input: usize| weight[(output * sizes.inputs + input) * sizes.window.taps() + tap];
                row.iter_mut().enumerate().for_each(|(input, weight)| *weight = of(input));
                weights.set_row(at * from.depth + output, &row);
            }
        }
        Class { weights: Some(weights), taps, length, places, each: count.0 * count.1 }
    }
}

struct Run<'a> {
    classes: &'a [Class],
    args: ConvArgs<'a>,
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Run { classes, args: ConvArgs { to, images, x, residual, out, .. } } = self;
        for Class { weights, taps, length, places, each } in classes {
            let places = &places[..images * each];
            let Some(weights) = weights else {
                for (_, at) in places {
                    let at = *at as usize..*at as usize + to.depth;
                    match residual {
                        Some(residual) => out[at.clone()].copy_from_slice(&residual[at]),
                        None => out[at].fill(0.0),
                    }
                }
                continue;
            };
            let rows = Rows { values: x, taps, length: *length };
            let residual = residual.map_or(Residual::None, Residual::Values);
            let epilogue = Epilogue { residual, ..Epilogue::default() };
            product(simd, rows, Scattered { places, from: 0, to: 0 }, weights, epilogue, out);
        }
    }
}
