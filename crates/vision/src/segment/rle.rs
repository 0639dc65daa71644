//! Masks as COCO writes them: lengths of runs down the columns, as text.
//!
//! Runs alternate between outside and inside and begin outside, column after column. A length is
//! written as its difference from the one two before (from the fourth on), in groups of five bits, lowest first; a group is a
//! printable character, and its sixth bit says that another one follows.

/// The lengths of the runs of places where `inside` holds, over a map of `height` x `width`.
pub fn runs(height: usize, width: usize, inside: impl Fn(usize, usize) -> bool) -> Vec<u32> {
    let (mut runs, mut now, mut length) = (Vec::new(), false, 0);
    for column in 0..width {
        for row in 0..height {
            if inside(row, column) != now {
                runs.push(length);
                (now, length) = (!now, 0);
            }
            length += 1;
        }
    }
    runs.push(length);
    runs
}

/// The text of [`runs`].
pub fn text(runs: &[u32]) -> String {
    let mut text = String::new();
    for (place, run) in runs.iter().enumerate() {
        let before = if place > 2 { i64::from(runs[place - 2]) } else { 0 };
        let mut rest = i64::from(*run) - before;
        loop {
            let group = (rest & 0x1f) as u8;
            rest >>= 5;
            // The highest bit of the last group is the sign of all.
            let more = if group & 0x10 == 0 { rest != 0 } else { rest != -1 };
            text.push(char::from(48 + group + if more { 0x20 } else { 0 }));
            if !more {
                break;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_down_the_columns_and_begin_outside() {
        let mask = [[1, 0, 0], [1, 1, 0]];
        assert_eq!(runs(2, 3, |row, column| mask[row][column] == 1), [0, 2, 1, 1, 2]);
        assert_eq!(runs(2, 3, |_, _| false), [6]);
        assert_eq!(runs(2, 3, |_, _| true), [0, 6]);
    }

    /// Made by `pycocotools.mask.encode` 2.0 of the same discs.
    #[test]
    fn text_is_that_of_the_reference() {
        let discs = |row: usize, column: usize| {
            let (y, x) = (row as i64, column as i64);
            (x - 9).pow(2) + (y - 7).pow(2) < 30 || (x - 24).pow(2) * 2 + (y - 14).pow(2) < 60
        };
        let of = |height, width| text(&runs(height, width, discs));
        assert_eq!(of(20, 33), "e25>2N2N2O00000001N2N2Ng22VM4M1O1000000001O1O2Lc1");
        assert_eq!(of(70, 100), "m85P22N2N2O00000001N2N2No82nF4M2N2O00000001N2N3Lkh4");
        assert_eq!(text(&runs(3, 3, |_, _| false)), "9");
        assert_eq!(text(&runs(40, 50, |_, _| true)), "0`n1");
    }
}
