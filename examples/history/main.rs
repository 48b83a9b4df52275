//! Writes the history of a register that never fails, of any size, to measure checkers with.
//!
//! `cargo run --release --example history -- --operations 1000000 --clients 100 > history.jsonl`
//!
//! A simulation of clients in virtual time: an operation takes effect at one instant between its
//! invocation and its completion. The same options give the same history to the byte. With
//! `--stale` one read returns a value whose overwriting had been acknowledged before it began.

mod simulation;

use std::io::{self, BufWriter};

use clap::Parser as _;
use simulation::{Options, write_history};

fn main() -> io::Result<()> {
    let out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    write_history(Options::parse(), out)
}
