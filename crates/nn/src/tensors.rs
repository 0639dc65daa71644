//! A tensor's values as a plain slice, for kernels.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The values of a tensor, which nobody changes while they are looked at.
pub struct Values<'a> {
    /// The lock, of whatever type the tensor library takes.
    storage: Box<dyn Deref<Target = Storage> + 'a>,
    range: Range<usize>,
}

/// The values of `tensor`, in the order of its dimensions.
///
/// # Errors
/// A tensor that is not contiguous, not on the CPU or not of 32-bit numbers.
pub fn values(tensor: &Tensor) -> Result<Values<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(_)) = &*storage else {
        bail!("a kernel works on 32-bit numbers on the CPU only")
    };
    let range = contiguous(layout)?;
    Ok(Values { storage: Box::new(storage), range })
}

/// Where the values of a contiguous tensor lie.
fn contiguous(layout: &Layout) -> Result<Range<usize>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(start..end),
        None => bail!("a tensor that is not contiguous reached a kernel"),
    }
}

/// The values of a contiguous tensor's storage.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    Ok(&storage.as_slice::<f32>()?[contiguous(layout)?])
}

impl Deref for Values<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match &**self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            _ => unreachable!("other storage was refused"),
        }
    }
}
