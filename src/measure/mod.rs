//! What is measured: pure functions of the recorded streams, see docs/measuring.md.
//!
//! *Trial*: one fault with its aftermath. *Metric*: a name of docs/measuring.md with its samples.
//! *Assertion*: a line of `expect:`, a metric with a limit or a bare predicate.

mod availability;
mod bounds;
mod collect;
mod contrast;
mod coverage;
mod detection;
mod goodput;
mod judge;
mod lag;
mod latency;
mod limit;
mod metric;
mod objective;
mod record;
mod recovery;
mod roles;
mod spans;
#[cfg(test)]
mod stream;
mod suspicion;
mod sync;
mod timeline;
mod trial;

pub use collect::{Context, measure, suspicions};
pub use contrast::{
    Change, Contrast, Measured, Question, Row, Side, Strictness, contrast, percent, table, worst,
};
pub use coverage::{Covered, HitPhase, HitRole};
pub use judge::{Judgement, Predicate, Predicates, evaluate, evaluate_beside};
pub use latency::{LatencyHistograms, LatencyInterval, latency_histograms, latency_intervals};
pub use metric::{Aggregate, Class, METRICS, MetricInfo, Sampling, metric};
pub use objective::{
    Assertion, AssertionError, Comparator, Comparison, PREDICATES, Subject, Within,
};
pub use record::{
    Channel, LatencySummary, Measurements, Metric, NodeSync, Outage, TrialMeasure, Unit,
};
pub use suspicion::Suspicion;
