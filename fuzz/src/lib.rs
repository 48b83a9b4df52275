//! Readers of foreign bytes, fed with bytes that are nearly right: requests of clients, frames of
//! peers, and files of a data directory.
//!
//! A *target* reads one input and asserts what must hold: it never panics, what it allocates is bounded
//! by the length of the input, and what it accepts comes out the same when written and read again. An
//! *execution* is one such reading. [`driver`] makes inputs by mutation, without a look at the code that
//! runs; [`targets::run`] is the function to call from libFuzzer or AFL, which look.

pub mod driver;
mod memory;
mod mutate;
mod rng;
pub mod targets;

pub use memory::{Counting, peak_of};
