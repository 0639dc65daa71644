//! How many parts a JPEG 2000 code stream declares (ITU-T T.800 sections A.6.1, A.6.2 and A.6.6), and what a decoder
//! takes for them.
//!
//! A coding style in the main header holds for every tile, one in a tile's header for that tile alone; one of a
//! component replaces that of all components, but the layers are always those of COD. Which replaces which is not
//! followed here: of the main header the largest of each component counts, and what tiles declare is added. So a
//! decoder never has more than was counted, in whatever order the segments come.

use super::codestream::{Size, broken, truncated};
use crate::decode::DecodeError;

/// Fewest samples that a precinct and a code-block in a layer hold on average, and how many precincts any image may have.
const SAMPLES_A_PRECINCT: u64 = 512;
const SAMPLES_A_BLOCK: u64 = 16;
pub(super) const FREE_PARTS: u64 = 1024;
/// The same of the packets that a decoder goes through, those of each progression change for themselves.
const SAMPLES_A_PACKET: u64 = 4;

/// Most quality layers. The decoders have no more, and encoders write up to a few dozen.
const MAX_LAYERS: u16 = 32;
/// Most progression changes of the main header, and of one tile. Encoders write up to a few dozen.
const MAX_CHANGES: u64 = 64;

/// Bytes that the decoders take for each tile, component of a tile, part of a tile, precinct, code-block, layer of a block and coded
/// segment of a block, the growth of their lists in it.
const A_TILE: u64 = 512;
const A_COMPONENT: u64 = 768;
pub(super) const A_TILE_PART: u64 = 160;
const A_PRECINCT: u64 = 400;
const A_BLOCK: u64 = 352;
const A_LAYER: u64 = 48;
const A_SEGMENT: u64 = 48;
/// Bytes for each packet that is remembered as read, and for each precinct in the list of a progression change.
const A_READ_PACKET: u64 = 40;
const A_LISTED_PRECINCT: u64 = 48;
/// Most coding passes of a block, of which each may be a segment.
const PASSES: u64 = 94;
/// Bytes for all of these, of any image and for each of its samples. It is less than the samples themselves take.
const FREE_BYTES: u64 = 16 << 20;
const BYTES_A_SAMPLE: u64 = 6;

/// What a COD or COC segment says of the parts of a component.
pub(super) struct Coding {
    pub levels: u8,
    /// Some bits may be there as they are: bypass of the arithmetic coder, or the high-throughput coder.
    pub raw: bool,
    /// Passes of a block may be segments of their own: bypass, or an end of each pass.
    ended: bool,
    /// Logarithms of a code-block's sides.
    block: [u32; 2],
    /// Logarithms of a precinct's sides, each resolution from the lowest.
    precincts: Vec<[u32; 2]>,
}

impl Coding {
    /// `parameters` are those behind the style byte, the layers apart. There are neither fewer nor more bytes: a decoder that
    /// does not look at a segment's length reads the rest as segments that nobody has counted.
    pub fn read(style: u8, parameters: &[u8]) -> Result<Coding, DecodeError> {
        let &[levels, width, height, blocks, _, ref sizes @ ..] = parameters else {
            return Err(truncated());
        };
        let resolutions = usize::from(levels) + 1;
        if levels > 32 || width > 8 || height > 8 || width + height > 8 {
            return Err(broken("its coding style is out of range"));
        }
        let own = style & 1 != 0;
        let expected = if own { resolutions } else { 0 };
        if sizes.len() != expected {
            return Err(broken("a coding style segment has another length than what it describes"));
        }
        let precincts = if own {
            sizes.iter().map(|size| [u32::from(size & 15), u32::from(size >> 4)]).collect()
        } else {
            vec![[15, 15]; resolutions]
        };
        Ok(Coding {
            levels,
            raw: blocks & 0x41 != 0,
            ended: blocks & 0x05 != 0,
            block: [u32::from(width) + 2, u32::from(height) + 2],
            precincts,
        })
    }

    /// Precincts and code-blocks of a tile-component whose samples lie from `from` to `to` (sections B.5 to B.7).
    fn count(&self, (from, to): ([u64; 2], [u64; 2])) -> Count {
        let mut count = Count::default();
        for (resolution, &size) in self.precincts.iter().enumerate() {
            let down = u32::from(self.levels) - resolution as u32;
            let half = u32::from(resolution > 0);
            let mut precincts = 1u64;
            // Blocks across and down, of the low and of the high band.
            let mut blocks = [[0u64; 2]; 2];
            for axis in 0..2 {
                let start = from[axis].div_ceil(1 << down) >> size[axis];
                let end = to[axis].div_ceil(1 << down).div_ceil(1 << size[axis]);
                precincts = precincts.saturating_mul(end.saturating_sub(start));
                // Bands of the higher resolutions have half their sides, and precincts hold whole blocks.
                let block = self.block[axis].min(size[axis].saturating_sub(half));
                for high in 0..2 {
                    let shift = (high << (down + half)) >> 1;
                    let edge = |at: u64| at.saturating_sub(shift).div_ceil(1 << (down + half));
                    let (start, end) = (edge(from[axis]), edge(to[axis]));
                    if start < end {
                        blocks[axis][high as usize] = end.div_ceil(1 << block) - (start >> block);
                    }
                }
            }
            let [[low, high], [above, below]] = blocks;
            let blocks = match half {
                0 => low.saturating_mul(above),
                _ => high.saturating_mul(above + below).saturating_add(low.saturating_mul(below)),
            };
            count.add(Count { precincts, blocks }, 1);
        }
        count
    }

    /// Packets of a layer of a tile all of whose components are coded so, at most.
    pub fn packets_a_layer(&self, size: &Size) -> u64 {
        let last = [size.tiles(0) - 1, size.tiles(1) - 1];
        let middle = last.map(|last| last / 2);
        let of = |tile| self.count(size.tile_extent(tile)).precincts;
        let precincts = [[0, 0], middle, last].map(of).into_iter().max().unwrap_or(1);
        // The place of a tile beside its precincts' edges may add one row and one column of these.
        let spare = u64::from(self.levels) + 1;
        precincts.saturating_mul(2).saturating_add(spare).saturating_mul(size.components.into())
    }
}

#[derive(Clone, Copy, Default)]
struct Count {
    precincts: u64,
    blocks: u64,
}

impl Count {
    fn add(&mut self, other: Count, times: u64) {
        self.precincts = self.precincts.saturating_add(other.precincts.saturating_mul(times));
        self.blocks = self.blocks.saturating_add(other.blocks.saturating_mul(times));
    }

    fn grow(&mut self, other: Count) {
        self.precincts = self.precincts.max(other.precincts);
        self.blocks = self.blocks.max(other.blocks);
    }
}

/// What the main header declares of a component: parts of all tiles, most of one tile, and resolutions.
#[derive(Clone, Default)]
struct Component {
    all: Count,
    tile: Count,
    resolutions: u64,
}

/// What the header of a tile declares beside that.
#[derive(Clone, Default)]
struct Own {
    parts: Count,
    changes: u64,
}

/// The parts that the segments of a stream declare, one after the other.
pub(super) struct Parts<'a> {
    size: &'a Size,
    tiles: u64,
    components: Vec<Component>,
    own: Vec<Own>,
    changes: u64,
    layers: u64,
    ended: bool,
    /// Work that the styles of the main header were counted with, and the resolutions that those of tiles declare.
    counted: u64,
    resolutions: u64,
}

impl<'a> Parts<'a> {
    pub fn of(size: &'a Size, tiles: u64) -> Parts<'a> {
        Parts {
            size,
            tiles,
            components: vec![Component::default(); size.components.into()],
            own: vec![Own::default(); tiles as usize],
            changes: 0,
            layers: 1,
            ended: false,
            counted: 0,
            resolutions: 0,
        }
    }

    /// A COD segment says so many layers.
    pub fn add_layers(&mut self, layers: u16) -> Result<(), DecodeError> {
        if layers == 0 || layers > MAX_LAYERS {
            return Err(broken(format!("it declares {layers} layers, at most {MAX_LAYERS} are read")));
        }
        self.layers = self.layers.max(layers.into());
        Ok(())
    }

    /// Components are coded so, in a tile or in all of them.
    pub fn add_coding(
        &mut self,
        coding: &Coding,
        which: std::ops::Range<usize>,
        tile: Option<usize>,
    ) -> Result<(), DecodeError> {
        self.ended |= coding.ended;
        let resolutions = u64::from(coding.levels) + 1;
        let columns = self.size.tiles(0);
        if let Some(tile) = tile {
            let times = which.len() as u64;
            let place = [tile as u64 % columns, tile as u64 / columns];
            self.own[tile].parts.add(coding.count(self.size.tile_extent(place)), times);
            self.resolutions = self.resolutions.saturating_add(resolutions * times);
            return Ok(());
        }
        // Each is counted over all tiles, so there cannot be many of both.
        self.counted = self.counted.saturating_add(self.tiles);
        if self.counted > 1 << 20 {
            return Err(broken("it declares too many coding styles"));
        }
        let (mut all, mut most) = (Count::default(), Count::default());
        for tile in 0..self.tiles {
            let count = coding.count(self.size.tile_extent([tile % columns, tile / columns]));
            all.add(count, 1);
            most.grow(count);
        }
        for component in &mut self.components[which] {
            component.all.grow(all);
            component.tile.grow(most);
            component.resolutions = component.resolutions.max(resolutions);
        }
        Ok(())
    }

    /// The order of progression changes so often, in a tile or in all of them.
    pub fn add_changes(&mut self, changes: u64, tile: Option<usize>) -> Result<(), DecodeError> {
        let of = match tile {
            Some(tile) => &mut self.own[tile].changes,
            None => &mut self.changes,
        };
        *of = of.saturating_add(changes);
        if *of > MAX_CHANGES {
            return Err(broken(format!(
                "it declares {of} progression changes, at most {MAX_CHANGES} are read"
            )));
        }
        Ok(())
    }

    /// Refuses a stream of too many parts for `samples`. `kept` are bytes that decoders take for what is not counted here.
    pub fn check(&self, samples: u64, kept: u64) -> Result<(), DecodeError> {
        let (mut all, mut tile, mut resolutions) = (Count::default(), Count::default(), self.resolutions);
        for component in &self.components {
            all.add(component.all, 1);
            tile.add(component.tile, 1);
            resolutions = resolutions.saturating_add(component.resolutions * self.tiles);
        }
        let (mut own, mut changes) = (Count::default(), self.changes);
        for of in &self.own {
            all.add(of.parts, 1);
            own.grow(of.parts);
            changes = changes.max(of.changes);
        }
        tile.add(own, 1);
        let layers = self.layers;
        // However small, each resolution of a tile has a precinct, and each of its bands up to four blocks.
        let free = FREE_PARTS + resolutions;
        if all.precincts > free + samples / SAMPLES_A_PRECINCT {
            return Err(broken(format!("it declares {} precincts", all.precincts)));
        }
        if all.blocks.saturating_mul(layers) > 16 * free + samples / SAMPLES_A_BLOCK {
            return Err(broken(format!("it declares {} code-blocks in {layers} layers", all.blocks)));
        }
        let packets = all.precincts.saturating_mul(layers).saturating_mul(changes);
        if packets > 64 * FREE_PARTS + 16 * resolutions + samples / SAMPLES_A_PACKET {
            return Err(broken(format!(
                "it declares {changes} progression changes of {} precincts",
                all.precincts
            )));
        }
        let segments = if self.ended { PASSES } else { layers };
        let a_block = A_BLOCK + A_LAYER * layers + A_SEGMENT * segments;
        let read = if changes > 0 { A_READ_PACKET * layers } else { 0 };
        let a_precinct = A_PRECINCT + read + A_LISTED_PRECINCT * changes.max(1);
        let a_tile = A_TILE + A_COMPONENT * u64::from(self.size.components);
        let bytes = [(tile.blocks, a_block), (tile.precincts, a_precinct), (self.tiles, a_tile), (kept, 1)];
        let bytes =
            bytes.iter().fold(0u64, |sum, (count, each)| sum.saturating_add(count.saturating_mul(*each)));
        if bytes > FREE_BYTES.saturating_add(samples.saturating_mul(BYTES_A_SAMPLE)) {
            return Err(broken(format!("its parts would take {bytes} bytes beside its samples")));
        }
        Ok(())
    }
}
