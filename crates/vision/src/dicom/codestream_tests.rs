//! Code streams that are meant to hurt a decoder: each is made here, and refused before a decoder sees it.

use super::codestream::{Size, check_structure};

/// A marker with its segment.
fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xff, marker], &(body.len() as u16 + 2).to_be_bytes()[..], body].concat()
}

/// A code stream that is made of what is here.
#[derive(Clone)]
struct Stream {
    side: u32,
    tile: u32,
    offset: u32,
    tile_offset: u32,
    /// Subsampling of each component.
    steps: Vec<u8>,
    layers: u16,
    levels: u8,
    /// Logarithm of a block's side, less two.
    block: u8,
    /// The size of all precincts, as it is written.
    precincts: Option<u8>,
    /// What stands behind COD and behind QCD in the main header, and in the header of each tile.
    behind_cod: Vec<u8>,
    behind_qcd: Vec<u8>,
    of_tile: Vec<u8>,
    data: usize,
}

/// A sound stream of one tile.
fn sound(side: u32, components: usize) -> Stream {
    Stream {
        side,
        tile: side,
        offset: 0,
        tile_offset: 0,
        steps: vec![1; components],
        layers: 1,
        levels: 0,
        block: 4,
        precincts: None,
        behind_cod: Vec::new(),
        behind_qcd: Vec::new(),
        of_tile: Vec::new(),
        data: 300,
    }
}

fn coding(levels: u8, block: u8, precincts: Option<u8>) -> Vec<u8> {
    let sizes = precincts.map(|size| vec![size; usize::from(levels) + 1]).unwrap_or_default();
    [&[levels, block, block, 0, 1], &sizes[..]].concat()
}

impl Stream {
    fn main_header(&self) -> Vec<u8> {
        let mut size = vec![0, 0];
        let edge = self.offset.wrapping_add(self.side);
        for number in [edge, self.offset, self.tile, self.tile_offset] {
            size.extend([number.to_be_bytes(), number.to_be_bytes()].concat());
        }
        size.extend((self.steps.len() as u16).to_be_bytes());
        self.steps.iter().for_each(|&step| size.extend([7, step, step]));
        let [high, low] = self.layers.to_be_bytes();
        let style = [u8::from(self.precincts.is_some()), 0, high, low, 0];
        [
            vec![0xff, 0x4f],
            segment(0x51, &size),
            segment(0x52, &[&style, &coding(self.levels, self.block, self.precincts)[..]].concat()),
            self.behind_cod.clone(),
            segment(0x5c, &[vec![0x40], vec![0x48; 3 * usize::from(self.levels) + 1]].concat()),
            self.behind_qcd.clone(),
        ]
        .concat()
    }

    fn tile_part(&self, index: u16) -> Vec<u8> {
        let length = (14 + self.of_tile.len() + self.data) as u32;
        let [part, parts] = [0, 1];
        let place = [&index.to_be_bytes()[..], &length.to_be_bytes(), &[part, parts]].concat();
        [segment(0x90, &place), self.of_tile.clone(), vec![0xff, 0x93], vec![0x55; self.data]].concat()
    }

    fn bytes(&self) -> Vec<u8> {
        let tiles = (self.side + self.offset - self.tile_offset).div_ceil(self.tile).pow(2);
        let parts = (0..tiles).flat_map(|tile| self.tile_part(tile as u16));
        self.main_header().into_iter().chain(parts).chain([0xff, 0xd9]).collect()
    }

    fn said(&self) -> String {
        said(&self.bytes())
    }
}

/// What the check says of a stream; nothing of one that it lets through.
fn said(bytes: &[u8]) -> String {
    let checked = Size::read(bytes).and_then(|size| check_structure(bytes, &size));
    checked.map_or_else(|error| error.to_string(), |()| String::new())
}

/// So many progression changes of that order, each of all there is.
fn changes(count: usize, order: u8) -> Vec<u8> {
    segment(0x5f, &[0, 0, 0, 32, 33, 0, order].repeat(count))
}

#[test]
fn what_encoders_write_is_let_through() {
    let whole = Stream { layers: 32, levels: 5, data: 9000, ..sound(2048, 3) };
    assert_eq!(whole.said(), "");
    let changing = Stream { behind_qcd: changes(36, 2), precincts: Some(0x88), ..whole.clone() };
    assert_eq!(changing.said(), "");
    // Tiles that have a coding style and changes of their own.
    let style = [&[0, 0, 0, 12, 0], &coding(5, 3, None)[..]].concat();
    let of_tile = [segment(0x52, &style), changes(24, 0)].concat();
    let tiled = Stream { tile: 256, of_tile, ..whole.clone() };
    assert_eq!(tiled.said(), "");
    // An image that lies off the edge of its tiles, and a component that is coded otherwise.
    let component = segment(0x53, &[&[1, 0], &coding(3, 4, None)[..]].concat());
    assert_eq!(Stream { offset: 77, tile_offset: 33, tile: 4096, behind_cod: component, ..whole }.said(), "");
    let least = Stream { tile: u32::MAX, ..sound(64, 1) };
    assert_eq!(said(&[least.main_header(), least.tile_part(0), vec![0xff, 0xd9]].concat()), "");
}

/// Guards against parts that are counted by the steps of another component.
#[test]
fn components_that_are_subsampled_are_refused() {
    for steps in [[255, 1, 1], [1, 2, 2], [2, 2, 2], [0, 0, 0]] {
        let stream =
            Stream { steps: steps.to_vec(), layers: 32, block: 0, precincts: Some(0x11), ..sound(200, 3) };
        assert!(stream.said().contains("subsampled"), "{steps:?}: {}", stream.said());
    }
}

/// Guards against a decoder that lists all precincts again for each change of the order.
#[test]
fn progression_changes_without_end_are_refused() {
    let many = Stream { behind_qcd: changes(65, 2), ..sound(200, 1) };
    assert!(many.said().contains("65 progression changes, at most 64"), "{}", many.said());
    // However they are spread over segments, or over the parts of a tile.
    let spread = Stream { behind_qcd: changes(1, 0).repeat(65), ..sound(200, 1) };
    assert!(spread.said().contains("at most 64"), "{}", spread.said());
    let tile = Stream { of_tile: changes(40, 4), ..sound(200, 1) };
    let parts = [tile.main_header(), tile.tile_part(0), tile.tile_part(0), vec![0xff, 0xd9]].concat();
    assert!(said(&parts).contains("80 progression changes"), "{}", said(&parts));
    // And those that are few go through few packets.
    let packets =
        Stream { behind_qcd: changes(64, 0), layers: 32, block: 3, precincts: Some(0x55), ..sound(1400, 1) };
    assert!(packets.said().contains("64 progression changes of"), "{}", packets.said());
}

/// Guards against a walk that looks for the end of the stream once for each of them.
#[test]
fn a_tile_part_within_the_header_of_a_tile_part_is_refused() {
    let part = segment(0x90, &[0, 0, 0, 0, 0, 0, 0, 1]);
    let bytes = [sound(64, 1).main_header(), part.repeat(3), vec![0xff, 0xd9, 0, 0]].concat();
    assert!(said(&bytes).contains("a header and no data"), "{}", said(&bytes));
}

/// Guards against a decoder that goes on behind the place where the walk has ended.
#[test]
fn an_end_of_the_stream_within_the_header_of_a_tile_part_is_refused() {
    let stream = Stream { of_tile: vec![0xff, 0xd9], ..sound(64, 1) };
    assert!(stream.said().contains("a header and no data"), "{}", stream.said());
}

#[test]
fn a_component_with_a_style_of_its_own_has_the_layers_of_the_image() {
    let component = segment(0x53, &[&[0, 0], &coding(0, 0, None)[..]].concat());
    let behind = Stream { layers: 30, behind_cod: component.clone(), ..sound(1200, 1) };
    assert!(behind.said().contains("code-blocks in 30 layers"), "{}", behind.said());
    // Whichever of the two comes first.
    let mut bytes = behind.bytes();
    let at = bytes.windows(component.len()).position(|window| window == component).unwrap();
    bytes.drain(at..at + component.len());
    let cod = bytes.windows(2).position(|pair| pair == [0xff, 0x52]).unwrap();
    bytes.splice(cod..cod, component.clone());
    assert!(said(&bytes).contains("code-blocks in 30 layers"), "{}", said(&bytes));
    // And of a tile that has more layers than the image.
    let style = segment(0x52, &[&[0, 0, 0, 30, 0], &coding(0, 4, None)[..]].concat());
    let tile = Stream { layers: 1, of_tile: style, ..behind };
    assert!(tile.said().contains("code-blocks in 30 layers"), "{}", tile.said());
}

/// Guards against three components of which each by itself is within what an image may have.
#[test]
fn the_styles_of_all_components_are_counted_together() {
    let of = |component: u8| segment(0x53, &[&[component, 0], &coding(0, 0, None)[..]].concat());
    let one = Stream { behind_cod: of(0), layers: 2, ..sound(400, 3) };
    assert_eq!(one.said(), "");
    let all = Stream { behind_cod: [of(0), of(1), of(2)].concat(), ..one };
    assert!(all.said().contains("code-blocks in 2 layers"), "{}", all.said());
}

#[test]
fn more_layers_than_are_read_are_refused() {
    let stream = Stream { layers: 33, ..sound(64, 1) };
    assert!(stream.said().contains("33 layers, at most 32"), "{}", stream.said());
}

/// Guards against the smallest blocks, of which each takes as much as all of its samples.
#[test]
fn a_large_image_of_the_smallest_blocks_is_refused() {
    let stream = Stream { block: 0, ..sound(2000, 1) };
    assert!(stream.said().contains("beside its samples"), "{}", stream.said());
    // Passes that end each for themselves are segments, and a decoder has a list of them.
    let mut bytes = Stream { block: 1, ..sound(1000, 1) }.bytes();
    assert_eq!(said(&bytes), "");
    let cod = bytes.windows(2).position(|pair| pair == [0xff, 0x52]).unwrap();
    bytes[cod + 12] = 4;
    assert!(said(&bytes).contains("beside its samples"), "{}", said(&bytes));
}

/// Guards against a copy of such a list for each of many tiles.
#[test]
fn a_quantization_of_more_bands_than_there_can_be_is_refused() {
    let long = [vec![0x40], vec![0x48; 60_000]].concat();
    for (marker, body) in [(0x5c, long.clone()), (0x5d, [vec![0], long].concat())] {
        let main = Stream { behind_qcd: segment(marker, &body), ..sound(64, 1) };
        assert!(main.said().contains("quantization has 60001 bytes"), "{}", main.said());
        let tile = Stream { of_tile: segment(marker, &body), ..sound(64, 1) };
        assert!(tile.said().contains("quantization has 60001 bytes"), "{}", tile.said());
    }
}

/// Guards against segments that a decoder finds within others, as it does not go by their length.
#[test]
fn a_segment_that_is_longer_than_what_it_says_is_refused() {
    let hidden = changes(1000, 2);
    let of = |marker: u8, body: &[u8]| segment(marker, &[body, &hidden].concat());
    let style = [&[0, 0, 0, 1, 0], &coding(0, 4, None)[..]].concat();
    let component = [&[0, 0], &coding(0, 4, None)[..]].concat();
    let cases = [
        of(0x52, &style),
        of(0x53, &component),
        of(0x5c, &[0x41, 0x48, 0]),
        of(0x5d, &[0, 0x41, 0x48, 0]),
        segment(0x5c, &[0x42, 0x48, 0, 0xff]),
        of(0x5e, &[0, 0, 3]),
        of(0x90, &[0, 0, 0, 0, 0, 99, 0, 1]),
    ];
    for case in cases {
        let stream = Stream { behind_qcd: case.clone(), ..sound(64, 1) };
        assert_ne!(stream.said(), "", "{:x?}", &case[..12.min(case.len())]);
    }
    // The size segment, whose components come first.
    let mut bytes = sound(64, 1).bytes();
    bytes[5] += 2;
    bytes.splice(45..45, [0xff, 0x5f]);
    assert!(said(&bytes).contains("does not describe"), "{}", said(&bytes));
}

/// Guards against a decoder whose numbers run over, so that a tile ends before it begins.
#[test]
fn an_image_far_out_on_its_grid_is_refused() {
    let far = Stream { offset: u32::MAX - 100, tile: u32::MAX, ..sound(64, 1) };
    let over = Stream { offset: 1, tile_offset: 1, tile: u32::MAX, ..sound(64, 1) };
    for stream in [far, over] {
        let bytes = [stream.main_header(), stream.tile_part(0), vec![0xff, 0xd9]].concat();
        assert!(said(&bytes).contains("too far out on its grid"), "{}", said(&bytes));
    }
}

/// Guards against lists of empty packet headers and of empty tile parts, which take more than their bytes.
#[test]
fn packet_headers_and_tile_parts_without_end_are_refused() {
    let packed = segment(0x60, &[0; 60_000]).repeat(20);
    let main = Stream { behind_qcd: packed, ..sound(64, 1) };
    assert!(main.said().contains("beside its samples"), "{}", main.said());
    let tile = Stream { of_tile: segment(0x61, &[0]).repeat(200_000), ..sound(64, 1) };
    assert!(tile.said().contains("beside its samples"), "{}", tile.said());
    let empty = Stream { data: 1, ..sound(64, 1) };
    let parts = [empty.main_header(), empty.tile_part(0).repeat(200_000), vec![0xff, 0xd9]].concat();
    assert!(said(&parts).contains("beside its samples"), "{}", said(&parts));
}
