//! Seeing: from the bytes of an image to the logits of a network.

pub mod cnn;
pub mod network;
pub mod resnet;
