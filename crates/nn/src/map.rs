//! How a batch of feature maps lies in memory while it is served.
//!
//! Channels last, rounded up to whole vectors, so that every kernel works on sixteen of them at
//! once and none has a remainder; and zeros around each map, written once, so that no kernel
//! asks whether a neighbor exists.

/// The layout of one map; the maps of a batch follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Rows of values.
    pub height: usize,
    /// Columns of values.
    pub width: usize,
    /// Values that mean something at each place.
    pub channels: usize,
    /// Values at each place.
    pub depth: usize,
    /// Rows of zeros above and columns of zeros before the values.
    pub before: usize,
    /// Rows of zeros below the values.
    pub below: usize,
    /// Columns of zeros behind the values.
    pub behind: usize,
}

impl Map {
    /// A map without zeros around it.
    pub fn new(height: usize, width: usize, channels: usize, depth: usize) -> Map {
        Map { height, width, channels, depth, before: 0, below: 0, behind: 0 }
    }

    /// Floats from a place to the one below it.
    pub fn row(&self) -> usize {
        (self.before + self.width + self.behind) * self.depth
    }

    /// Floats of a map.
    pub fn image(&self) -> usize {
        (self.before + self.height + self.below) * self.row()
    }

    /// Where the place (`y`, `x`) lies.
    pub fn place(&self, y: usize, x: usize) -> usize {
        (self.before + y) * self.row() + (self.before + x) * self.depth
    }

    /// Where the place (`y`, `x`) lies, counted from the first row and column of `padding`.
    pub fn padded(&self, y: usize, x: usize, padding: (usize, usize)) -> usize {
        (self.before + y - padding.0) * self.row() + (self.before + x - padding.1) * self.depth
    }

    /// All places, row after row.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let width = self.width;
        (0..self.height).flat_map(move |y| (0..width).map(move |x| (y, x)))
    }

    /// Widens the zeros so that `before` rows and columns before the first and the places up to
    /// (`bottom`, `right`), exclusive and counted from the first, may be read.
    pub fn make_room(&mut self, before: usize, bottom: usize, right: usize) {
        self.before = self.before.max(before);
        self.below = self.below.max(bottom.saturating_sub(self.height));
        self.behind = self.behind.max(right.saturating_sub(self.width));
    }

    /// Puts an image of (channels, height, width) into the memory of one map.
    pub fn read(&self, image: &[f32], into: &mut [f32]) {
        for (channel, plane) in image.chunks_exact(self.height * self.width).take(self.channels).enumerate() {
            for (y, row) in plane.chunks_exact(self.width).enumerate() {
                let start = self.place(y, 0) + channel;
                let places = into[start..].iter_mut().step_by(self.depth);
                places.zip(row).for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// Takes one out again.
    pub fn write(&self, from: &[f32], image: &mut [f32]) {
        let area = self.height * self.width;
        for y in 0..self.height {
            let start = self.place(y, 0);
            let places = from[start..start + self.width * self.depth].chunks_exact(self.depth);
            for (x, place) in places.enumerate() {
                let values = image[y * self.width + x..].iter_mut().step_by(area);
                place[..self.channels].iter().zip(values).for_each(|(from, to)| *to = *from);
            }
        }
    }
}

/// One image and how it lies.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// The layout.
    pub map: &'a Map,
    /// As many as the layout says.
    pub values: &'a [f32],
}

impl<'a> Image<'a> {
    /// The values of a place.
    #[inline(always)]
    pub fn at(&self, y: usize, x: usize) -> &'a [f32] {
        &self.values[self.map.place(y, x)..][..self.map.depth]
    }
}

/// One image that is written to.
#[derive(Debug)]
pub struct ImageMut<'a> {
    /// The layout.
    pub map: &'a Map,
    /// As many as the layout says.
    pub values: &'a mut [f32],
}

impl ImageMut<'_> {
    /// The values of a place.
    #[inline(always)]
    pub fn at(&mut self, y: usize, x: usize) -> &mut [f32] {
        &mut self.values[self.map.place(y, x)..][..self.map.depth]
    }
}
