//! What a convolution or a pool reads for one output position, and where the next one lies.

use std::ops::Range;

/// A window that moves over rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of values under the window.
    pub kernel: (usize, usize),
    /// Step between output positions.
    pub stride: usize,
    /// Rows of padding above and below the input, columns before and behind it.
    pub padding: (usize, usize),
    /// Step between the values under the window.
    pub dilation: usize,
}

impl Window {
    /// A square window without gaps, moved by one, over an input without padding.
    pub fn new(kernel: usize) -> Window {
        Window { kernel: (kernel, kernel), stride: 1, padding: (0, 0), dilation: 1 }
    }

    /// The same with a step.
    pub fn stride(self, stride: usize) -> Window {
        Window { stride, ..self }
    }

    /// The same with as much padding on all sides.
    pub fn padding(self, padding: usize) -> Window {
        Window { padding: (padding, padding), ..self }
    }

    /// Values under the window.
    pub fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// Rows or columns from the first of `kernel` taps to the last.
    pub fn reach(&self, kernel: usize) -> usize {
        (kernel - 1) * self.dilation + 1
    }

    /// Rows and columns of output over an input of `height` x `width`.
    ///
    /// # Errors
    /// An input smaller than the window; a kernel, stride or dilation of 0.
    pub fn output(&self, height: usize, width: usize) -> Result<(usize, usize), String> {
        let Window { kernel, stride, padding, dilation } = *self;
        if kernel.0 == 0 || kernel.1 == 0 || stride == 0 || dilation == 0 {
            return Err("a window needs a kernel, a stride and a dilation of at least 1".to_string());
        }
        let side = |length: usize, kernel: usize, padding: usize| {
            Some((length + 2 * padding).checked_sub(self.reach(kernel))? / stride + 1)
        };
        match (side(height, kernel.0, padding.0), side(width, kernel.1, padding.1)) {
            (Some(height), Some(width)) => Ok((height, width)),
            _ => {
                let (rows, columns) = kernel;
                Err(format!("a kernel of {rows} x {columns} does not fit an input of {height} x {width}"))
            }
        }
    }

    /// The taps of output position `at` that lie in an input of `length` along one side, of `kernel` of them; the others
    /// lie in the padding.
    pub fn inside(&self, at: usize, kernel: usize, padding: usize, length: usize) -> Range<usize> {
        let start = padding.saturating_sub(at * self.stride).div_ceil(self.dilation);
        let end = (length + padding).saturating_sub(at * self.stride).div_ceil(self.dilation).min(kernel);
        start.min(end)..end
    }

    /// The output positions, of `count` along one side, of which all of `kernel` taps lie in an input of `length`.
    pub fn whole(&self, count: usize, kernel: usize, padding: usize, length: usize) -> Range<usize> {
        let end = (length + padding)
            .checked_sub(self.reach(kernel))
            .map_or(0, |left| left / self.stride + 1)
            .min(count);
        padding.div_ceil(self.stride).min(end)..end
    }

    /// The rows of an input of `height` that the rows `rows` of the output read.
    pub fn rows(&self, rows: Range<usize>, height: usize) -> Range<usize> {
        let place =
            |row: usize, tap: usize| (row * self.stride + tap * self.dilation).saturating_sub(self.padding.0);
        let end = rows.end.checked_sub(1).map_or(0, |last| (place(last, self.kernel.0 - 1) + 1).min(height));
        place(rows.start, 0).min(end)..end
    }

    /// The row or column of the input that tap number `tap` of output position `at` reads along one
    /// side of `length`; `None` in the padding.
    pub fn reads(&self, at: usize, tap: usize, padding: usize, length: usize) -> Option<usize> {
        let place = (at * self.stride + tap * self.dilation).checked_sub(padding)?;
        (place < length).then_some(place)
    }
}
