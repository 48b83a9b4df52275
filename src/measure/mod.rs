//! What is measured: pure functions of the recorded streams, see docs/measuring.md.
//!
//! *Trial*: one fault with its aftermath. *Metric*: a name of docs/measuring.md with its samples.
//! *Assertion*: a line of `expect:`, a metric with a limit or a bare predicate.

mod judge;
mod metric;
mod objective;
mod record;

pub use judge::{Judgement, Predicate, Predicates, evaluate};
pub use metric::{Aggregate, Class, METRICS, MetricInfo, Sampling, metric};
pub use objective::{Assertion, AssertionError, Comparator, Comparison, PREDICATES, Subject};
pub use record::{
    Channel, LatencySummary, Measurements, Metric, NodeSync, Outage, TrialMeasure, Unit,
};
