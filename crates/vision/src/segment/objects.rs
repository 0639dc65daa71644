//! Objects that touch, told apart: a watershed (Beucher and Lantuéjoul 1979) from what is surely inside of
//! one.
//!
//! A network says of each pixel whether it is background, the inside of an object, or its edge. Insides of two
//! objects do not touch, so each is a seed; from the seeds the objects grow over what is not background, the surest
//! pixels first, until they meet.

/// Places from which an object may grow, and how far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// Least probability, in 1 / 255, of the inside at a seed.
    pub seed: u8,
    /// Least probability, in 1 / 255, of an object anywhere in it.
    pub object: u8,
    /// Objects of fewer pixels are none.
    pub least: usize,
}

/// The number of the object at each pixel of a map `width` wide, from 1; 0 for background. `inside` and
/// `object` are probabilities in 1 / 255. Numbers go row after row by an object's first pixel.
pub fn objects(inside: &[u8], object: &[u8], width: usize, growth: &Growth) -> Vec<u32> {
    let seed = |at: usize| inside[at] >= growth.seed && object[at] >= growth.object;
    let (mut numbers, seeds) = components(inside.len(), width, seed);
    grow(&mut numbers, inside, object, width, growth.object);
    // What has no seed is small, and one object.
    let (rest, _) = components(inside.len(), width, |at| numbers[at] == 0 && object[at] >= growth.object);
    for (number, rest) in numbers.iter_mut().zip(&rest) {
        if *rest > 0 {
            *number = seeds + rest;
        }
    }
    renumber(&mut numbers, growth.least);
    numbers
}

/// The number of the connected part at each place where `holds`, from 1, and how many there are. Places are neighbors
/// along rows and columns.
pub fn components(places: usize, width: usize, holds: impl Fn(usize) -> bool) -> (Vec<u32>, u32) {
    let mut numbers = vec![0; places];
    let (mut count, mut open) = (0, Vec::new());
    for start in 0..places {
        if numbers[start] != 0 || !holds(start) {
            continue;
        }
        count += 1;
        numbers[start] = count;
        open.push(start);
        while let Some(at) = open.pop() {
            for next in neighbors(at, width, places) {
                if numbers[next] == 0 && holds(next) {
                    numbers[next] = count;
                    open.push(next);
                }
            }
        }
    }
    (numbers, count)
}

fn neighbors(at: usize, width: usize, places: usize) -> impl Iterator<Item = usize> {
    let column = at % width;
    let all = [
        (at >= width).then(|| at - width),
        (column > 0).then(|| at - 1),
        (column + 1 < width).then_some(at + 1),
        (at + width < places).then_some(at + width),
    ];
    all.into_iter().flatten()
}

/// Extends every number to the places around it that are not background, the surest first, those of one sureness
/// in the order in which they were reached.
fn grow(numbers: &mut [u32], inside: &[u8], object: &[u8], width: usize, least: u8) {
    let mut levels: Vec<std::collections::VecDeque<usize>> = vec![Default::default(); 256];
    let mut queued: Vec<bool> = numbers.iter().map(|number| *number > 0).collect();
    for at in (0..numbers.len()).filter(|at| numbers[*at] > 0) {
        levels[255].push_back(at);
    }
    let mut level = 255;
    loop {
        let Some(at) = levels[level].pop_front() else {
            if level == 0 {
                return;
            }
            level -= 1;
            continue;
        };
        for next in neighbors(at, width, numbers.len()) {
            if queued[next] || object[next] < least {
                continue;
            }
            queued[next] = true;
            numbers[next] = numbers[at];
            // A place that is surer than where the water stands is reached at once.
            let own = usize::from(inside[next]);
            levels[own.min(level)].push_back(next);
        }
    }
}

/// Takes away numbers of fewer than `least` places and counts the others anew.
fn renumber(numbers: &mut [u32], least: usize) {
    let most = numbers.iter().copied().max().unwrap_or(0) as usize;
    let mut sizes = vec![0usize; most + 1];
    numbers.iter().for_each(|number| sizes[*number as usize] += 1);
    let mut names = vec![0u32; most + 1];
    let mut next = 0;
    for number in numbers {
        let old = *number as usize;
        if old > 0 && sizes[old] >= least.max(1) && names[old] == 0 {
            next += 1;
            names[old] = next;
        }
        *number = names[old];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROWTH: Growth = Growth { seed: 128, object: 128, least: 2 };

    /// Letters of a drawing as (inside, object): I inside, e edge, . background.
    fn drawing(rows: &[&str]) -> (Vec<u8>, Vec<u8>, usize) {
        let all: Vec<char> = rows.iter().flat_map(|row| row.chars()).collect();
        let inside = all.iter().map(|c| if *c == 'I' { 250 } else { 20 }).collect();
        let object = all.iter().map(|c| if *c == '.' { 5 } else { 240 }).collect();
        (inside, object, rows[0].len())
    }

    #[test]
    fn two_that_touch_are_two_and_each_has_its_edge() {
        let (inside, object, width) = drawing(&[
            ".........", //
            ".eeeeeee.",
            ".eIeeeIe.",
            ".eeeeeee.",
            ".........",
        ]);
        let numbers = objects(&inside, &object, width, &GROWTH);
        let of = |row: usize, column: usize| numbers[row * width + column];
        assert_eq!((of(2, 2), of(2, 6), of(1, 1), of(3, 7), of(0, 0)), (1, 2, 1, 2, 0));
        assert_eq!(numbers.iter().filter(|n| **n > 0).count(), 21);
        assert_eq!(numbers.iter().copied().max(), Some(2));
    }

    #[test]
    fn what_has_no_inside_is_one_object_and_specks_are_none() {
        let (inside, object, width) = drawing(&["ee...e", "ee....", "......"]);
        let numbers = objects(&inside, &object, width, &GROWTH);
        assert_eq!(numbers[..6], [1, 1, 0, 0, 0, 0]);
        assert!(objects(&[0; 6], &[0; 6], 3, &GROWTH).iter().all(|n| *n == 0));
    }
}
