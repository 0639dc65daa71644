//! The structure of a JPEG 2000 code stream (ITU-T T.800 annex A), walked before a decoder sees it.
//!
//! A decoder takes memory for every tile, precinct and code-block that a header declares, and a
//! header of a hundred bytes can declare millions. So the markers are walked here, what they
//! declare is counted, and a stream with more parts than such an image can need is refused. The
//! walk also finds what is missing: a tile part longer than the file, a tile without data,
//! fewer bytes than there are packets, or more zeros in a row than there can be empty packets:
//! programs that download in parts leave zeros where the rest was to come.

use super::malformed;
use super::parts::{A_TILE_PART, Coding, FREE_PARTS, Parts};
use crate::decode::DecodeError;

/// Fewest samples that a tile holds on average.
const SAMPLES_A_TILE: u64 = 1024;

/// Furthest edge of an image on the grid that its tiles are laid out on. Behind it the decoders' numbers run over.
const MAX_EDGE: u64 = 1 << 24;

/// Bytes that the decoders take for each segment of packed packet headers in a tile part, and for each byte of those in the main
/// header.
const A_PACKED_SEGMENT: u64 = 112;
const A_PACKED_BYTE: u64 = 17;

/// Most bytes that say how coefficients are quantized: a style, and two for each band.
const MAX_QUANTIZATION: usize = 1 + 2 * (3 * 32 + 1);

/// Zeros in a row that code-blocks may have, beside empty packets: an arithmetic coder writes next to none. What is coded
/// as raw bits may have more, but neither coder ends with such bits.
const ZEROS: u64 = 64;

pub(super) fn broken(detail: impl std::fmt::Display) -> DecodeError {
    malformed(format!("its JPEG 2000 frame: {detail}"))
}

pub(super) fn truncated() -> DecodeError {
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
        let (each, rest) = body.get(36..).unwrap_or_default().as_chunks::<3>();
        if each.len() != usize::from(components) || components == 0 || !rest.is_empty() {
            return Err(broken(format!("its size segment does not describe {components} samples a pixel")));
        }
        let depth = (each[0][0] & 0x7f) + 1;
        let alike = each.iter().all(|one| one[0] == each[0][0]);
        if depth > 16 || !alike {
            return Err(DecodeError::unsupported(
                "a JPEG 2000 frame of more than 16 bits a sample, or of components that differ in depth",
            ));
        }
        // DICOM has no word for such colour in JPEG 2000 (PS3.5 section 8.2.4): a decoder makes colours of it that the
        // attributes would have made again.
        if each.iter().any(|one| one[1..] != [1, 1]) {
            return Err(DecodeError::unsupported("a JPEG 2000 frame of subsampled components"));
        }
        let size = Size {
            extent: pair(0)?,
            offset: pair(2)?,
            tile: pair(4)?,
            tile_offset: pair(6)?,
            components,
            depth,
            signed: each[0][0] & 0x80 != 0,
        };
        let sound = (0..2).all(|axis| {
            size.tile[axis] > 0
                && size.tile_offset[axis] <= size.offset[axis]
                && size.tile_offset[axis] + size.tile[axis] > size.offset[axis]
                && size.offset[axis] < size.extent[axis]
        });
        if !sound {
            return Err(broken("its size segment contradicts itself"));
        }
        let near = |axis: usize| {
            let tiles = size.tile_offset[axis] + size.tiles(axis) * size.tile[axis];
            size.extent[axis] <= MAX_EDGE && tiles <= u32::MAX.into()
        };
        if near(0) && near(1) { Ok(size) } else { Err(broken("it lies too far out on its grid")) }
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

    pub fn tiles(&self, axis: usize) -> u64 {
        (self.extent[axis] - self.tile_offset[axis]).div_ceil(self.tile[axis])
    }

    /// Where the samples of the tile of such a column and row begin and end, across and down.
    pub fn tile_extent(&self, tile: [u64; 2]) -> ([u64; 2], [u64; 2]) {
        let edge = |axis: usize, tile: u64| self.tile_offset[axis] + tile * self.tile[axis];
        let from = [0, 1].map(|axis| edge(axis, tile[axis]).max(self.offset[axis]));
        let to = [0, 1].map(|axis| edge(axis, tile[axis] + 1).min(self.extent[axis]));
        (from, to)
    }
}

/// Walks the markers, counts what they declare, and looks whether the data of each tile are there. What a decoder would read
/// otherwise than it is walked here is refused: segments of another length than what they hold, and markers out of place.
pub(super) fn check_structure(stream: &[u8], size: &Size) -> Result<(), DecodeError> {
    let samples = u64::from(size.width()?) * u64::from(size.height()?) * u64::from(size.components);
    let (columns, rows) = (size.tiles(0), size.tiles(1));
    let tiles = columns.saturating_mul(rows);
    if tiles > FREE_PARTS + samples / SAMPLES_A_TILE {
        return Err(broken(format!("it declares {tiles} tiles")));
    }
    let components = usize::from(size.components);
    let mut parts = Parts::of(size, tiles);
    let mut data = vec![0u64; tiles as usize];
    let mut packed_headers = false;
    // Layers and resolutions that every tile has at least, if its own header does not say otherwise.
    let (mut layers, mut resolutions) = (1u64, 33u64);
    let (mut packets, mut most_layers, mut raw) = (0u64, 1u64, false);
    let (mut last_zeros, mut most_zeros) = (0u64, 0u64);
    let mut kept = 0u64;
    let mut at = 2;
    let mut tile_part: Option<(usize, usize)> = None;
    loop {
        let (marker, body, next) = segment(stream, at)?;
        let tile = tile_part.map(|(index, _)| index);
        match marker {
            // COD and COC, of the image or of a tile.
            0xff52 | 0xff53 => {
                let (coding, which) = match (marker, body) {
                    (0xff52, &[style, _, high, low, _, ref parameters @ ..]) => {
                        let declared = u16::from_be_bytes([high, low]);
                        parts.add_layers(declared)?;
                        most_layers = most_layers.max(declared.into());
                        if tile.is_none() {
                            layers = declared.into();
                        }
                        (Coding::read(style, parameters)?, 0..components)
                    }
                    (0xff53, &[component, style, ref parameters @ ..])
                        if usize::from(component) < components =>
                    {
                        let component = usize::from(component);
                        (Coding::read(style, parameters)?, component..component + 1)
                    }
                    _ => return Err(broken("a coding style segment is broken")),
                };
                parts.add_coding(&coding, which, tile)?;
                packets = packets.max(coding.packets_a_layer(size));
                raw |= coding.raw;
                if tile.is_none() {
                    resolutions = resolutions.min(u64::from(coding.levels) + 1);
                }
            }
            // QCD and QCC: each tile of a decoder has its own copy.
            0xff5c => check_quantization(body)?,
            0xff5d => check_quantization(body.get(1..).unwrap_or_default())?,
            0xff5e if body.len() != 3 => return Err(broken("a region of interest is of another length")),
            // POC: changes of seven bytes.
            0xff5f => parts.add_changes(body.len() as u64 / 7, tile)?,
            // Packed packet headers lie apart from the packets.
            0xff60 | 0xff61 => {
                packed_headers = true;
                kept += A_PACKED_SEGMENT;
                if marker == 0xff60 {
                    kept += A_PACKED_BYTE * body.len() as u64;
                }
            }
            0xff90 | 0xffd9 if tile_part.is_some() => {
                return Err(broken("a tile part has a header and no data"));
            }
            0xff90 => {
                let &[high, low, a, b, c, d, _, _] = body else { return Err(truncated()) };
                kept += A_TILE_PART;
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
    parts.check(samples, kept)?;
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

/// Refuses a quantization that is not as long as its style says. The decoders read so much, and keep it for every tile.
fn check_quantization(body: &[u8]) -> Result<(), DecodeError> {
    let sound = match body.first().map(|style| style & 31) {
        Some(0) => true,
        Some(1) => body.len() == 3,
        Some(2) => body.len() % 2 == 1,
        _ => false,
    };
    if sound && body.len() <= MAX_QUANTIZATION {
        Ok(())
    } else {
        Err(broken(format!("its quantization has {} bytes", body.len())))
    }
}
