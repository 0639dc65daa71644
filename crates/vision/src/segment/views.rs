//! Views of a tile: its mirror images and quarter turns, over which an answer is averaged.
//!
//! A network that was trained on pictures in every orientation says nearly the same of each, and where it does not the mean is
//! nearer to the truth than any one (Krizhevsky et al. 2012 average over crops and mirror images).

/// One of the eight ways in which a square comes to lie on itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    transposed: bool,
    upside_down: bool,
    mirrored: bool,
}

const fn view(transposed: bool, upside_down: bool, mirrored: bool) -> View {
    View { transposed, upside_down, mirrored }
}

/// In such an order that the first two are a picture and its mirror image, and the first four need no square.
const ALL: [View; 8] = [
    view(false, false, false),
    view(false, false, true),
    view(false, true, false),
    view(false, true, true),
    view(true, false, false),
    view(true, false, true),
    view(true, true, false),
    view(true, true, true),
];

/// The first `count` views, of which there are eight.
pub fn views(count: u8) -> &'static [View] {
    &ALL[..usize::from(count).clamp(1, ALL.len())]
}

impl View {
    /// Where the place `at` of the view lies in the tile of `rows` x `columns`, which are equal where a view is transposed.
    fn source(self, at: usize, (rows, columns): (usize, usize)) -> usize {
        let (row, column) = (at / columns, at % columns);
        let (row, column) = if self.transposed { (column, row) } else { (row, column) };
        let row = if self.upside_down { rows - 1 - row } else { row };
        let column = if self.mirrored { columns - 1 - column } else { column };
        row * columns + column
    }

    /// Planes of `size` as they look in this view.
    pub fn of(self, values: &[f32], size: (usize, usize)) -> Vec<f32> {
        let area = size.0 * size.1;
        let planes = values.chunks_exact(area);
        planes.flat_map(|plane| (0..area).map(|at| plane[self.source(at, size)])).collect()
    }

    /// For each place of the view, where it lies in the tile.
    pub fn places(self, size: (usize, usize)) -> impl Iterator<Item = usize> {
        (0..size.0 * size.1).map(move |at| self.source(at, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_views_of_a_square_differ_and_each_leads_back() {
        let tile: Vec<f32> = (0..18).map(|at| at as f32).collect();
        let mut seen: Vec<Vec<f32>> = Vec::new();
        for view in views(8) {
            let own = view.of(&tile, (3, 3));
            let mut back = vec![0.0; 18];
            for (plane, own) in back.chunks_exact_mut(9).zip(own.chunks_exact(9)) {
                view.places((3, 3)).zip(own).for_each(|(place, value)| plane[place] = *value);
            }
            assert_eq!(back, tile);
            assert!(!seen.contains(&own));
            seen.push(own);
        }
        assert_eq!(seen[1][..3], [2.0, 1.0, 0.0]);
        assert_eq!(seen[2][..3], [6.0, 7.0, 8.0]);
        assert_eq!(seen[4][..3], [0.0, 3.0, 6.0]);
    }

    #[test]
    fn four_views_need_no_square() {
        let tile = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(views(4)[3].of(&tile, (2, 3)), [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
        assert_eq!((views(1).len(), views(2).len(), views(4).len()), (1, 2, 4));
    }
}
