//! The structure of a JPEG 2000 code stream (ITU-T T.800 annex A), walked before a decoder sees it.
//!
//! A decoder takes memory for every tile, precinct and code-block that a header declares, and a
//! header of a hundred bytes can declare millions. So the markers are walked here, what they
//! declare is counted, and a stream with more parts than such an image can need is refused. The
//! walk also finds what is missing: a tile part longer than the file, a tile without data,
//! fewer bytes than there are packets, or more zeros in a row than there can be empty packets:
//! programs that download in parts leave zeros where the rest was to come.

use super::malformed;
use crate::decode::DecodeError;

/// Fewest samples that a tile, a precinct and a code-block hold on average, and how many of each
/// any image may have.
const SAMPLES_A_TILE: u64 = 1024;
const SAMPLES_A_PRECINCT: u64 = 512;
const SAMPLES_A_BLOCK: u64 = 64;
const FREE_PARTS: u64 = 1024;

/// Most quality layers; real encoders write up to a few dozen.
const MAX_LAYERS: u16 = 256;

/// Zeros in a row that code-blocks may have, beside empty packets: an arithmetic coder writes next to none. What is coded
/// as raw bits may have more, but neither coder ends with such bits.
const ZEROS: u64 = 64;

pub(super) fn broken(detail: impl std::fmt::Display) -> DecodeError {
    malformed(format!("its JPEG 2000 frame: {detail}"))
}

fn truncated() -> DecodeError {
    broken("the code stream is truncated")
}

/// Whether a coding style asks for the block coder of Part 15 (bit 6 of the code-block style).
pub(super) fn is_high_throughput(stream: &[u8]) -> bool {
    let mut at = 2;
    while let Ok((marker, body, next)) = segment(stream, at) {
        match marker {
            0xff52 if body.get(8).is_some_and(|style| style & 0x40 != 0) => return true,
            0xff90 | 0xffd9 => return false,
            _ => at = next,
        }
    }
    false
}

/// Finds the codestream: the bytes themselves, or the first `jp2c` box of a JP2 file.
pub(super) fn codestream(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut rest = bytes;
    while !rest.starts_with(&[0xff, 0x4f, 0xff, 0x51]) {
        let Some((&[a, b, c, d, kind @ ..], body)) = rest.split_first_chunk::<8>() else {
            return Err(broken("it holds no code stream"));
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if &kind == b"jp2c" {
            rest = if length == 1 { body.get(8..).ok_or_else(truncated)? } else { body };
            if !rest.starts_with(&[0xff, 0x4f, 0xff, 0x51]) {
                return Err(broken("it holds no code stream"));
            }
        } else if length >= 8 {
            rest = rest.get(length..).ok_or_else(truncated)?;
        } else {
            return Err(broken("it holds no code stream"));
        }
    }
    Ok(rest)
}

/// The segment at `at`: its marker, its body and where the next begins.
fn segment(bytes: &[u8], at: usize) -> Result<(u16, &[u8], usize), DecodeError> {
    let word = |at: usize| -> Result<u16, DecodeError> {
        match bytes.get(at..at + 2) {
            Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
            _ => Err(truncated()),
        }
    };
    let marker = word(at)?;
    if matches!(marker, 0xff30..=0xff3f | 0xff4f | 0xff93 | 0xffd9) {
        return Ok((marker, &[], at + 2));
    }
    let length = usize::from(word(at + 2)?);
    let next = at + 2 + length;
    match bytes.get(at + 4..next) {
        Some(body) => Ok((marker, body, next)),
        None => Err(truncated()),
    }
}

/// What the SIZ segment says (section A.5.1).
pub(super) struct Size {
    /// Extent, image offset, tile size and tile offset, across and down.
    extent: [u64; 2],
    offset: [u64; 2],
    tile: [u64; 2],
    tile_offset: [u64; 2],
    pub components: u16,
    /// Bits and sign of the first component's samples.
    pub depth: u8,
    pub signed: bool,
    /// Subsampling of each component, across and down.
    steps: Vec<[u64; 2]>,
}

impl Size {
    pub fn read(stream: &[u8]) -> Result<Size, DecodeError> {
        let (_, body, _) = segment(stream, 2)?;
        let number = |at: usize| -> Result<u64, DecodeError> {
            let four = body.get(2 + 4 * at..6 + 4 * at).and_then(|four| four.first_chunk::<4>());
            Ok(u64::from(u32::from_be_bytes(*four.ok_or_else(truncated)?)))
        };
        let pair = |at| -> Result<[u64; 2], DecodeError> { Ok([number(at)?, number(at + 1)?]) };
        let components = match body.get(34..36) {
            Some(&[high, low]) => u16::from_be_bytes([high, low]),
            _ => return Err(truncated()),
        };
        let each = body.get(36..).unwrap_or_default().as_chunks::<3>().0;
        if each.len() != usize::from(components) || components == 0 {
            return Err(broken(format!("its size segment does not describe {components} samples a pixel")));
        }
        let depth = (each[0][0] & 0x7f) + 1;
        let alike = each.iter().all(|one| one[0] == each[0][0] && one[1] > 0 && one[2] > 0);
        if depth > 16 || !alike {
            return Err(DecodeError::unsupported(
                "a JPEG 2000 frame of more than 16 bits a sample, or of components that differ in depth",
            ));
        }
        let size = Size {
            extent: pair(0)?,
            offset: pair(2)?,
            tile: pair(4)?,
            tile_offset: pair(6)?,
            components,
            depth,
            signed: each[0][0] & 0x80 != 0,
            steps: each.iter().map(|one| [u64::from(one[1]), u64::from(one[2])]).collect(),
        };
        let sound = (0..2).all(|axis| {
            size.tile[axis] > 0
                && size.tile_offset[axis] <= size.offset[axis]
                && size.tile_offset[axis] + size.tile[axis] > size.offset[axis]
                && size.offset[axis] < size.extent[axis]
        });
        if sound { Ok(size) } else { Err(broken("its size segment contradicts itself")) }
    }

    fn side(&self, axis: usize) -> Result<u32, DecodeError> {
        u32::try_from(self.extent[axis] - self.offset[axis]).map_err(broken)
    }

    pub fn width(&self) -> Result<u32, DecodeError> {
        self.side(0)
    }

    pub fn height(&self) -> Result<u32, DecodeError> {
        self.side(1)
    }

    fn tiles(&self, axis: usize) -> u64 {
        (self.extent[axis] - self.tile_offset[axis]).div_ceil(self.tile[axis])
    }
}

impl Size {
    /// The extent of a component in the tile of such a column and row, in its samples.
    fn tile_extent(&self, tile: [u64; 2], step: [u64; 2]) -> ([u64; 2], [u64; 2]) {
        let edge = |axis: usize, tile: u64| self.tile_offset[axis] + tile * self.tile[axis];
        let from = [0, 1].map(|axis| edge(axis, tile[axis]).max(self.offset[axis]).div_ceil(step[axis]));
        let to = [0, 1].map(|axis| edge(axis, tile[axis] + 1).min(self.extent[axis]).div_ceil(step[axis]));
        (from, to)
    }

    /// Packets of a layer of a tile whose components are coded so, at most.
    fn packets_a_layer(&self, coding: &Coding) -> u64 {
        let last = [self.tiles(0) - 1, self.tiles(1) - 1];
        let middle = last.map(|last| last / 2);
        let of = |tile| {
            let (from, to) = self.tile_extent(tile, [1, 1]);
            coding.parts(from, to).0
        };
        let precincts = [[0, 0], middle, last].map(of).into_iter().max().unwrap_or(1);
        // The place of a tile beside its precincts' edges may add one row and one column of these.
        let spare = u64::from(coding.levels) + 1;
        precincts.saturating_mul(2).saturating_add(spare).saturating_mul(self.components.into())
    }
}

/// What a COD or COC segment says of the parts of a component (section A.6.1).
#[derive(Clone)]
struct Coding {
    layers: u16,
    levels: u8,
    /// Some bits may be there as they are: bypass of the arithmetic coder, or the high-throughput coder.
    raw: bool,
    /// Logarithms of a code-block's sides.
    block: [u32; 2],
    /// Logarithms of a precinct's sides, each resolution from the lowest.
    precincts: Vec<[u32; 2]>,
}

impl Coding {
    /// `parameters` are those behind the style byte, the layers apart.
    fn read(precincts: bool, layers: u16, parameters: &[u8]) -> Result<Coding, DecodeError> {
        let &[levels, width, height, style, _, ref sizes @ ..] = parameters else {
            return Err(truncated());
        };
        let resolutions = usize::from(levels) + 1;
        if levels > 32 || width > 8 || height > 8 || width + height > 8 {
            return Err(broken("its coding style is out of range"));
        }
        let precincts = if precincts {
            let sizes = sizes.get(..resolutions).ok_or_else(truncated)?;
            sizes.iter().map(|size| [u32::from(size & 15), u32::from(size >> 4)]).collect()
        } else {
            vec![[15, 15]; resolutions]
        };
        if layers == 0 || layers > MAX_LAYERS {
            return Err(broken(format!("it declares {layers} layers, at most {MAX_LAYERS} are read")));
        }
        let raw = style & 0x41 != 0;
        Ok(Coding { layers, levels, raw, block: [u32::from(width) + 2, u32::from(height) + 2], precincts })
    }

    /// Precincts and code-blocks of a tile-component whose samples lie from `from` to `to`.
    fn parts(&self, from: [u64; 2], to: [u64; 2]) -> (u64, u64) {
        let (mut precincts, mut blocks) = (0u64, 0u64);
        for (resolution, &size) in self.precincts.iter().enumerate() {
            let down = u32::from(self.levels) - resolution as u32;
            let (mut across, mut within) = (1u64, 1u64);
            for axis in 0..2 {
                let start = from[axis].div_ceil(1 << down) >> size[axis];
                let end = to[axis].div_ceil(1 << down).div_ceil(1 << size[axis]);
                across = across.saturating_mul(end.saturating_sub(start));
                // Bands of the higher resolutions have half their sides.
                let half = u32::from(resolution > 0);
                let block = self.block[axis].min(size[axis].saturating_sub(half));
                let side = to[axis].div_ceil(1 << down).saturating_sub(from[axis] >> down);
                within = within.saturating_mul((side >> half >> block) + 2);
            }
            precincts = precincts.saturating_add(across);
            let bands = if resolution > 0 { 3 } else { 1 };
            blocks = blocks.saturating_add(within.saturating_mul(bands));
        }
        (precincts, blocks)
    }
}

/// Walks the markers, counts what they declare, and looks whether the data of each tile are there.
pub(super) fn check_structure(stream: &[u8], size: &Size) -> Result<(), DecodeError> {
    let samples = u64::from(size.width()?) * u64::from(size.height()?) * u64::from(size.components);
    let (columns, rows) = (size.tiles(0), size.tiles(1));
    let tiles = columns.saturating_mul(rows);
    if tiles > FREE_PARTS + samples / SAMPLES_A_TILE {
        return Err(broken(format!("it declares {tiles} tiles")));
    }
    let mut codings: Vec<Coding> = Vec::new();
    let mut data = vec![0u64; tiles as usize];
    let mut packed_headers = false;
    let mut counted = 0u64;
    let (mut packets, mut most_layers, mut raw) = (0u64, 1u64, false);
    let (mut last_zeros, mut most_zeros) = (0u64, 0u64);
    let mut at = 2;
    let mut tile_part: Option<(usize, usize)> = None;
    loop {
        let (marker, body, next) = segment(stream, at)?;
        match marker {
            // COD and COC, of the image or of a tile.
            0xff52 | 0xff53 => {
                // Each is counted over all tiles, so there cannot be many of both.
                counted = counted.saturating_add(tiles);
                if counted > 1 << 20 {
                    return Err(broken("it declares too many coding styles"));
                }
                let components = usize::from(size.components);
                let mut read = |precincts: u8, layers, parameters, which: std::ops::Range<usize>| {
                    let coding = Coding::read(precincts & 1 != 0, layers, parameters)?;
                    count_parts(size, &coding, samples, which.len() as u64)?;
                    packets = packets.max(size.packets_a_layer(&coding));
                    most_layers = most_layers.max(layers.into());
                    raw |= coding.raw;
                    codings.resize(components.max(codings.len()), coding.clone());
                    if tile_part.is_none() {
                        codings[which].fill(coding);
                    }
                    Ok::<(), DecodeError>(())
                };
                match (marker, body) {
                    (0xff52, &[style, _, high, low, _, ref parameters @ ..]) => {
                        read(style, u16::from_be_bytes([high, low]), parameters, 0..components)?;
                    }
                    (0xff53, &[component, style, ref parameters @ ..])
                        if usize::from(component) < components =>
                    {
                        let component = usize::from(component);
                        read(style, 1, parameters, component..component + 1)?;
                    }
                    _ => return Err(broken("a coding style segment is broken")),
                }
            }
            // Packed packet headers lie apart from the packets.
            0xff60 | 0xff61 => packed_headers = true,
            0xff90 => {
                let &[high, low, a, b, c, d, ..] = body else { return Err(truncated()) };
                let index = usize::from(u16::from_be_bytes([high, low]));
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if index >= data.len() {
                    return Err(broken(format!("it has a tile part of tile {index} of {tiles}")));
                }
                let end = if length == 0 { without_end(stream) } else { at.saturating_add(length) };
                if end > stream.len() || end < next {
                    return Err(truncated());
                }
                tile_part = Some((index, end));
            }
            0xff93 => {
                let Some((index, end)) = tile_part.take() else {
                    return Err(broken("data stand outside a tile part"));
                };
                let own = stream.get(next..end).ok_or_else(truncated)?;
                data[index] += own.len() as u64;
                let mut zeros = 0u64;
                for byte in own {
                    zeros = if *byte == 0 { zeros + 1 } else { 0 };
                    most_zeros = most_zeros.max(zeros);
                }
                last_zeros = last_zeros.max(zeros);
                at = end;
                continue;
            }
            0xffd9 => break,
            _ => {}
        }
        at = next;
    }
    let layers = codings.iter().map(|coding| u64::from(coding.layers)).max().unwrap_or(1);
    let resolutions = codings.iter().map(|coding| u64::from(coding.levels) + 1).min().unwrap_or(1);
    let least = if packed_headers { 1 } else { layers * resolutions };
    // Every packet takes a byte, and every resolution of a tile has one in each layer.
    if data.iter().any(|&bytes| bytes < least) {
        return Err(truncated());
    }
    // An empty packet is a zero, and nothing else has a reason for many.
    let zeros = if raw { last_zeros } else { most_zeros };
    if zeros > packets.saturating_mul(most_layers).saturating_add(ZEROS) {
        return Err(broken(format!("{zeros} bytes in a row are zeros: its data are not all there")));
    }
    Ok(())
}

/// Where the last tile part ends that does not say it: before the end-of-codestream marker.
fn without_end(stream: &[u8]) -> usize {
    stream.windows(2).rposition(|pair| pair == [0xff, 0xd9]).unwrap_or(usize::MAX)
}

/// Refuses a coding style by which `components` of the image would be made of too many parts.
fn count_parts(size: &Size, coding: &Coding, samples: u64, components: u64) -> Result<(), DecodeError> {
    let (mut precincts, mut blocks) = (0u64, 0u64);
    let step = size.steps[0];
    for row in 0..size.tiles(1) {
        for column in 0..size.tiles(0) {
            let (from, to) = size.tile_extent([column, row], step);
            let (more_precincts, more_blocks) = coding.parts(from, to);
            precincts = precincts.saturating_add(more_precincts.saturating_mul(components));
            blocks = blocks.saturating_add(more_blocks.saturating_mul(components));
        }
    }
    let tiles = size.tiles(0) * size.tiles(1) * components;
    let resolutions = u64::from(coding.levels) + 1;
    // However small, each resolution of a tile has a precinct, and each band up to four blocks.
    let free = FREE_PARTS + tiles * resolutions;
    if precincts > free + samples / SAMPLES_A_PRECINCT {
        return Err(broken(format!("it declares {precincts} precincts")));
    }
    if blocks.saturating_mul(u64::from(coding.layers)) > 16 * free + samples / SAMPLES_A_BLOCK * 4 {
        return Err(broken(format!("it declares {blocks} code-blocks in {} layers", coding.layers)));
    }
    Ok(())
}
