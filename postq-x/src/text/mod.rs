//! How X reads a text: its weighted length, its links, and when two texts are the same.

mod length;
mod normalise;
mod url;
#[cfg(test)]
mod vectors;

pub use length::weighted_length;
pub(crate) use length::{forbidden, has_content, has_link};
pub(crate) use normalise::{Sameness, Shown, ShownLink, compare};
