//! From coefficients to samples, for the JPEG files that the usual decoder does not read, or reads wrongly:
//! 12 bits, components in scans apart, and those that are sampled unevenly. In floating point and rounded once, as ITU-T T.81 section A.3.3
//! defines the transform; sound decoders differ from it by one level.

use super::scans::{Component, Frame};
use super::{Colour, Header};
use crate::decode::DecodeError;

/// Decodes a file into grey if it has one component, else red, green, blue.
pub(super) fn decode(bytes: &[u8], header: &Header, colour: Colour) -> Result<Vec<u16>, DecodeError> {
    let mut frame = Frame::read(bytes, header, true)?;
    if !matches!(frame.components.len(), 1 | 3) {
        return Err(DecodeError::unsupported(format!(
            "a JPEG of {} components with 12 bits a sample or in scans apart",
            frame.components.len()
        )));
    }
    let most = f32::from(u16::MAX >> (16 - u16::from(header.precision)));
    let cosines = cosines();
    let (across, down) = (frame.across, frame.down);
    let size = [usize::from(header.width), usize::from(header.height)];
    let mut planes = Vec::with_capacity(frame.components.len());
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    for component in &mut frame.components {
        // The coefficients are let go as soon as their samples are there.
        let plane = samples(component, &cosines, most);
        component.coefficients = Vec::new();
        planes.push(stretch(plane, component, [across, down], size));
    }
    let plain = !header.jfif && (header.adobe == Some(0) || header.adobe.is_none() && ids == *b"RGB");
    let (Some(first), rest) = (planes.first(), &planes[1..]) else { return Ok(Vec::new()) };
    let [second, third] = rest else {
        return Ok(first.iter().map(|&value| value.round() as u16).collect());
    };
    let zero = (most + 1.0) / 2.0;
    let level = |value: f32| value.round().clamp(0.0, most) as u16;
    let pixels = first.iter().zip(second).zip(third);
    Ok(pixels
        .flat_map(|((&y, &blue), &red)| {
            if plain || colour == Colour::AsStored {
                return [y, blue, red].map(level);
            }
            let (blue, red) = (blue - zero, red - zero);
            [y + 1.402 * red, y - 0.344_136 * blue - 0.714_136 * red, y + 1.772 * blue].map(level)
        })
        .collect())
}

/// `cosines[u][x]` is how much of coefficient `u` there is at sample `x`.
fn cosines() -> [[f32; 8]; 8] {
    std::array::from_fn(|u| {
        let scale = if u == 0 { 0.125f64.sqrt() } else { 0.5 };
        std::array::from_fn(|x| {
            let angle = (2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0;
            (scale * angle.cos()) as f32
        })
    })
}

/// The samples of a component, in rows of eight times its stride in blocks.
fn samples(component: &Component, cosines: &[[f32; 8]; 8], most: f32) -> Vec<f32> {
    let width = component.stride * 8;
    let mut plane = vec![0.0; component.coefficients.len()];
    for (block, coefficients) in component.coefficients.as_chunks::<64>().0.iter().enumerate() {
        // Down the columns, then along the rows.
        let mut half = [[0f32; 8]; 8];
        for (v, row) in coefficients.as_chunks::<8>().0.iter().enumerate() {
            for (u, &value) in row.iter().enumerate().filter(|&(_, &value)| value != 0) {
                for (half, cosine) in half.iter_mut().zip(&cosines[v]) {
                    half[u] += value as f32 * cosine;
                }
            }
        }
        let start = block / component.stride * 8 * width + block % component.stride * 8;
        for (y, row) in half.iter().enumerate() {
            let out = &mut plane[start + y * width..][..8];
            for (x, out) in out.iter_mut().enumerate() {
                let sum: f32 = row.iter().enumerate().map(|(u, value)| value * cosines[u][x]).sum();
                *out = (sum + (most + 1.0) / 2.0).round().clamp(0.0, most);
            }
        }
    }
    plane
}

/// A component's samples at every pixel of the picture: those of a subsampled component are joined
/// by straight lines between their centres.
fn stretch(plane: Vec<f32>, component: &Component, factors: [usize; 2], size: [usize; 2]) -> Vec<f32> {
    let own =
        [(size[0] * component.across).div_ceil(factors[0]), (size[1] * component.down).div_ceil(factors[1])];
    let stride = component.stride * 8;
    let place = |at: usize, axis: usize, part: usize| -> (usize, usize, f32) {
        // Components of less than half the size are repeated, as the usual decoders do.
        if factors[axis] > 2 * part {
            let same = at * part / factors[axis];
            return (same, same, 0.0);
        }
        let centre = (at as f32 + 0.5) * part as f32 / factors[axis] as f32 - 0.5;
        let centre = centre.clamp(0.0, (own[axis] - 1) as f32);
        let before = centre as usize;
        (before, (before + 1).min(own[axis] - 1), centre.fract())
    };
    let columns: Vec<_> = (0..size[0]).map(|x| place(x, 0, component.across)).collect();
    let mut out = Vec::with_capacity(size[0] * size[1]);
    for y in 0..size[1] {
        let (above, below, down) = place(y, 1, component.down);
        let (above, below) = (&plane[above * stride..], &plane[below * stride..]);
        out.extend(columns.iter().map(|&(left, right, along)| {
            let mix = |row: &[f32]| row[left] + (row[right] - row[left]) * along;
            let (top, bottom) = (mix(above), mix(below));
            top + (bottom - top) * down
        }));
    }
    out
}
