//! What takes more than one run or more than one system: so far, the bench of write throughput.

mod bench;

pub use bench::{
    Bench, BenchError, Comparison, Ensemble, Growth, Row, Sample, Target, Usage, comparisons, grow,
    rows, run,
};
