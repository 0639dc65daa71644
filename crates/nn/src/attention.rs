//! Layer normalisation and attention as candle operations (Ba, Kiros and Hinton 2016; Vaswani et al.
//! 2017).
//!
//! Everything but attention itself works on the rows of all sequences at once. Attention is done
//! sequence by sequence over its own rows: there is no padding, so none has to be masked, and a
//! short note beside a long one costs nothing.

use candle_core::{D, DType, Result, Tensor};

use crate::graph::RelativePlaces;

/// Added to the variance before the root.
const EPSILON: f64 = 1e-5;

/// Brings every row to mean 0 and variance 1, then scales and shifts the columns: (rows, width) to
/// the same; `weight` and `bias` are (width).
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
    normal.broadcast_mul(weight)?.broadcast_add(bias)
}

/// Queries, keys and values of the sequence that begins at row `start`, each (heads, length, width of a head).
fn parts_of(x: &Tensor, (start, length): (usize, usize), heads: usize) -> Result<[Tensor; 3]> {
    let head = x.dim(1)? / 3 / heads;
    let own = x.narrow(0, start, length)?.reshape((length, 3, heads, head))?;
    let part = |which: usize| own.narrow(1, which, 1)?.squeeze(1)?.transpose(0, 1)?.contiguous();
    Ok([part(0)?, part(1)?, part(2)?])
}

/// What `heads` heads make of queries, keys and values, a row seeing at most `reach` rows on either side: (rows of all
/// sequences, 3 width) to (rows, width).
pub fn attention(x: &Tensor, heads: usize, reach: usize, lengths: &[usize]) -> Result<Tensor> {
    let width = x.dim(1)? / 3;
    let head = width / heads;
    let mut start = 0;
    let mut parts = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let [queries, keys, values] = parts_of(x, (start, length), heads)?;
        let mut scores = (queries.matmul(&keys.t()?)? / (head as f64).sqrt())?;
        if reach < length {
            let seen =
                |at: usize| if (at / length).abs_diff(at % length) > reach { f32::NEG_INFINITY } else { 0.0 };
            let mask: Vec<f32> = (0..length * length).map(seen).collect();
            scores = scores.broadcast_add(&Tensor::from_vec(mask, (length, length), x.device())?)?;
        }
        let mixed = softmax(&scores)?.matmul(&values)?;
        parts.push(mixed.transpose(0, 1)?.contiguous()?.reshape((length, width))?);
        start += length;
    }
    Tensor::cat(&parts, 0)
}

/// The same where scores also say how far apart two rows are ([`crate::graph::SequenceOp::RelativeAttention`]); of the
/// tables, (distances, width), the keys' comes first.
pub fn relative_attention(
    x: &Tensor,
    heads: usize,
    places: RelativePlaces,
    tables: &[Tensor],
    lengths: &[usize],
) -> Result<Tensor> {
    let width = x.dim(1)? / 3;
    let head = width / heads;
    // (distances, width) to (heads, head, distances).
    let turned = |table: &Tensor| {
        table.reshape((2 * places.span, heads, head))?.transpose(0, 1)?.transpose(1, 2)?.contiguous()
    };
    let tables = tables.iter().map(turned).collect::<Result<Vec<Tensor>>>()?;
    let mut start = 0;
    let mut parts = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let [queries, keys, values] = parts_of(x, (start, length), heads)?;
        let mut scores = queries.matmul(&keys.t()?)?;
        // Of every head the row of a table for each pair: of a query and a key, or the other way round.
        let rows = |distance: &dyn Fn(usize, usize) -> isize| {
            let one = (0..length * length).map(|at| places.row(distance(at / length, at % length)) as u32);
            let all: Vec<u32> = std::iter::repeat_n(one, heads).flatten().collect();
            Tensor::from_vec(all, (heads, length, length), x.device())
        };
        if let Some(table) = tables.first().filter(|_| places.keys) {
            let said = queries.matmul(table)?.gather(&rows(&|i, j| i as isize - j as isize)?, 2)?;
            scores = (scores + said)?;
        }
        if let Some(table) = tables.last().filter(|_| places.queries) {
            let said = keys.matmul(table)?.gather(&rows(&|j, i| i as isize - j as isize)?, 2)?;
            scores = (scores + said.transpose(1, 2)?)?;
        }
        let scores = (scores / ((head * places.terms()) as f64).sqrt())?;
        let mixed = softmax(&scores)?.matmul(&values)?;
        parts.push(mixed.transpose(0, 1)?.contiguous()?.reshape((length, width))?);
        start += length;
    }
    Tensor::cat(&parts, 0)
}

/// Queries and keys turned by their places ([`crate::graph::SequenceOp::Rotary`]): (rows of all sequences, 3 width) to the
/// same.
pub fn rotary(x: &Tensor, heads: usize, base: f32, lengths: &[usize]) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let half = width / 6 / heads;
    let angle = |place: usize, pair: usize| place as f64 / f64::from(base).powf(pair as f64 / half as f64);
    let angles: Vec<f64> = lengths
        .iter()
        .flat_map(|length| 0..*length)
        .flat_map(|place| (0..half).map(move |i| angle(place, i)))
        .collect();
    let table = |of: fn(f64) -> f64| {
        let values: Vec<f32> = angles.iter().map(|angle| of(*angle) as f32).collect();
        Tensor::from_vec(values, (rows, 1, 1, 1, half), x.device())
    };
    let (cos, sin) = (table(f64::cos)?, table(f64::sin)?);
    let parts = x.reshape((rows, 3, heads, 2, half))?;
    let turned = parts.narrow(1, 0, 2)?;
    let (a, b) = (turned.narrow(3, 0, 1)?, turned.narrow(3, 1, 1)?);
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    let turned = Tensor::cat(&[first, second], 3)?;
    Tensor::cat(&[turned, parts.narrow(1, 2, 1)?], 1)?.reshape((rows, width))
}

/// The mean of each sequence's rows weighted by the softmax of their scores: (rows of all
/// sequences, width) to (sequences, width); `weight` is (1, width), `bias` (1).
pub fn attention_pool(x: &Tensor, weight: &Tensor, bias: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let scores = x.matmul(&weight.t()?)?.broadcast_add(bias)?;
    let mut start = 0;
    let mut pooled = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let weights = softmax(&scores.narrow(0, start, length)?.t()?.contiguous()?)?;
        pooled.push(weights.matmul(&x.narrow(0, start, length)?.contiguous()?)?);
        start += length;
    }
    Tensor::cat(&pooled, 0)
}

/// Softmax over the last dimension.
fn softmax(x: &Tensor) -> Result<Tensor> {
    // The highest is a constant here: it cancels, and so does its gradient.
    let highest = x.max_keepdim(D::Minus1)?.detach();
    let terms = x.broadcast_sub(&highest)?.exp()?;
    debug_assert_eq!(terms.dtype(), DType::F32);
    terms.broadcast_div(&terms.sum_keepdim(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differences::{assert_gradient, draw};

    const LENGTHS: [usize; 3] = [3, 1, 2];

    /// A layer of a pre-norm encoder over rows of four values, and pooling by attention.
    fn layer(x: &Tensor, lengths: &[usize]) -> Tensor {
        let dense =
            |x: &Tensor, outputs: usize, seed| x.matmul(&draw((x.dim(1).unwrap(), outputs), seed)).unwrap();
        let norm = |x: &Tensor, seed| layer_norm(x, &draw(4, seed), &draw(4, seed + 1)).unwrap();
        let y = attention(&dense(&norm(x, 10), 12, 12), 2, usize::MAX, lengths).unwrap();
        let x = (x + dense(&y, 4, 13)).unwrap();
        let inner = dense(&norm(&x, 14), 6, 16).gelu_erf().unwrap();
        (&x + dense(&inner, 4, 17)).unwrap()
    }

    fn pool(x: &Tensor, lengths: &[usize]) -> Tensor {
        attention_pool(x, &draw((1, 4), 18), &draw(1, 19), lengths).unwrap()
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let x = draw((6, 4), 2);
        assert_gradient(&x, |x| layer_norm(x, &draw(4, 3), &draw(4, 4)).unwrap());
        assert_gradient(&x, |x| layer(x, &LENGTHS));
        assert_gradient(&x, |x| pool(x, &LENGTHS));
    }

    #[test]
    fn a_sequence_has_the_same_values_alone_and_among_others() {
        let x = draw((6, 4), 3);
        let pooled = |x: &Tensor, lengths: &[usize]| -> Vec<Vec<f32>> {
            pool(&layer(x, lengths), lengths).to_vec2().unwrap()
        };
        let together = pooled(&x, &LENGTHS);
        for (place, (start, length)) in [(0, 3), (3, 1), (4, 2)].into_iter().enumerate() {
            let alone = pooled(&x.narrow(0, start, length).unwrap(), &[length]);
            for (a, b) in alone[0].iter().zip(&together[place]) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }
}
