//! Convolution of a batch as matrix products, forward and backward, for a step of training.
//!
//! The kernels of serving ([`super::filter`]) work in all directions, on maps with their channels
//! last: a 3 x 3 kernel of stride 1 goes Winograd's way, other convolutions are products over the
//! values where they lie. The images of a batch are worked on in parallel. Sums run over fixed parts
//! in a fixed order, so the result does not depend on the number of cores.

mod backward;
mod forward;
mod reverse;
mod sizes;
mod source;
mod weights;

pub(super) use backward::{Wanted, backward};
pub(super) use forward::forward;
pub(super) use sizes::Sizes;
pub(super) use source::{Fill, Source};

#[cfg(test)]
mod tests;
