//! HdrHistogram files: `latency.hlog` (intervals) and `latency*.hgrm` (percentiles).
//!
//! Values are recorded in nanoseconds with 3 significant digits and shown in milliseconds, as the
//! other tools of this family do. An operation of any outcome counts, from its intended start.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::clock::Nanos;
use crate::id::NodeId;
use crate::measure::{Context, LatencyHistograms, latency_histograms, latency_intervals};
use crate::results::{RunRecord, Utc};

use super::Reporter;

/// Latency per second.
///
/// Each interval has one line without a tag, over all operations, and one tagged line per kind of
/// operation: readers in Java fail on a log in which every line is tagged.
#[derive(Debug)]
pub(super) struct IntervalLog;

/// Latency by percentile, of one kind of operation or of all.
#[derive(Debug)]
pub(super) struct Percentiles {
    word: &'static str,
    file: &'static str,
}

/// All operations.
pub(super) const ALL: Percentiles = Percentiles {
    word: "all",
    file: "latency.hgrm",
};
/// Reads.
pub(super) const READ: Percentiles = Percentiles {
    word: "read",
    file: "latency-read.hgrm",
};
/// Writes.
pub(super) const WRITE: Percentiles = Percentiles {
    word: "write",
    file: "latency-write.hgrm",
};
/// Compare-and-sets.
pub(super) const CAS: Percentiles = Percentiles {
    word: "cas",
    file: "latency-cas.hgrm",
};

impl Reporter for IntervalLog {
    fn name(&self) -> &'static str {
        "hlog"
    }

    fn file_name(&self) -> &'static str {
        "latency.hlog"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        intervals(record, &mut bytes).map_err(io::Error::other)?;
        out.write_all(&bytes)
    }
}

impl Reporter for Percentiles {
    fn name(&self) -> &'static str {
        "hgrm"
    }

    fn file_name(&self) -> &'static str {
        self.file
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        let histograms = histograms(record);
        let known = histograms
            .get(self.word)
            .and_then(|phases| phases.get("all"));
        match known {
            Some(histogram) => percentiles(histogram, out),
            None => percentiles(&empty(), out),
        }
    }
}

/// Latency under load by kind of operation, then by phase.
pub(super) fn histograms(record: &RunRecord) -> LatencyHistograms {
    latency_histograms(&record.history, &record.events, &context(record))
}

fn context(record: &RunRecord) -> Context {
    let plan = &record.plan;
    Context::new(
        NodeId::all(plan.nodes).collect(),
        plan.probe_every,
        plan.probe_deadline,
    )
}

fn empty() -> Histogram<u64> {
    Histogram::new(SIGNIFICANT_DIGITS).expect("three significant digits are allowed")
}

fn intervals(record: &RunRecord, out: &mut Vec<u8>) -> Result<(), String> {
    let start = Utc::parse(&record.environment.started_utc).unwrap_or(Utc(0));
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("latency from the intended start, recorded in ns")
        .with_start_time(SystemTime::UNIX_EPOCH + Duration::from_secs(start.0))
        .with_max_value_divisor(NANOS_PER_MILLI)
        .begin_log_with(out, &mut serializer)
        .map_err(|error| error.to_string())?;
    let nothing = empty();
    let mut result = Ok(());
    latency_intervals(
        &record.history,
        &record.events,
        &context(record),
        INTERVAL,
        &mut |interval| {
            // An interval in which nothing ended is written too: it is the outage.
            let all = interval.histograms.get("all").unwrap_or(&nothing);
            let tagged = interval
                .histograms
                .iter()
                .filter(|(kind, _)| **kind != "all");
            let lines = tagged.map(|(kind, histogram)| (Tag::new(kind), histogram));
            for (tag, histogram) in [(None, all)].into_iter().chain(lines) {
                if result.is_ok() {
                    let length = Duration::from(interval.to - interval.from);
                    result = log.write_histogram(histogram, interval.from.into(), length, tag);
                }
            }
        },
    );
    result.map_err(|error| format!("{error:?}"))
}

/// The text format of the HdrHistogram plotters: steps halve the remaining distance to 100 %
/// every [`TICKS`] rows.
fn percentiles(histogram: &Histogram<u64>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    for step in histogram.iter_quantiles(TICKS) {
        let (value, share) = (
            millis(step.value_iterated_to()),
            step.quantile_iterated_to(),
        );
        let count = histogram.count_between(0, step.value_iterated_to());
        write!(out, "{value:>12.3} {share:>2.12} {count:>10}")?;
        if share < 1.0 {
            writeln!(out, " {:>14.2}", 1.0 / (1.0 - share))?;
        } else {
            writeln!(out)?;
        }
    }
    let (mean, deviation) = (
        histogram.mean() / NANOS_PER_MILLI,
        histogram.stdev() / NANOS_PER_MILLI,
    );
    writeln!(
        out,
        "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]"
    )?;
    let (max, total) = (millis(histogram.max()), histogram.len());
    writeln!(
        out,
        "#[Max     = {max:>12.3}, Total count    = {total:>12}]"
    )?;
    let (buckets, sub) = (histogram.buckets(), 2_u32 << 10);
    writeln!(
        out,
        "#[Buckets = {buckets:>12}, SubBuckets     = {sub:>12}]"
    )
}

fn millis(ns: u64) -> f64 {
    ns as f64 / NANOS_PER_MILLI
}

/// Relative error of 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;
const NANOS_PER_MILLI: f64 = 1e6;
const INTERVAL: Nanos = Nanos::from_secs(1);
const TICKS: u32 = 5;

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::report::distribution::latency;
    use crate::report::sample;

    #[test]
    fn every_operation_is_in_one_untagged_and_one_tagged_line() {
        let record = sample::small();
        let mut log = Vec::new();
        IntervalLog.write(&record, &mut log).unwrap();
        let (mut untagged, mut tagged, mut intervals) = (0, 0, 0);
        for entry in IntervalLogIterator::new(&log) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                let encoded = interval.encoded_histogram();
                let bytes = decode_base64(encoded);
                let histogram: Histogram<u64> = Deserializer::new()
                    .deserialize(&mut bytes.as_slice())
                    .unwrap();
                match interval.tag() {
                    None => {
                        untagged += histogram.len();
                        intervals += 1;
                    }
                    Some(_) => tagged += histogram.len(),
                }
            }
        }
        assert_eq!(untagged, record.history.operations.len() as u64);
        assert_eq!(tagged, untagged);
        assert_eq!(
            intervals,
            (record.duration - Nanos::from_millis(500))
                .0
                .div_ceil(1_000_000_000)
        );
    }

    #[test]
    fn the_percentile_table_ends_with_all_operations_at_the_slowest() {
        let record = sample::small();
        let mut text = Vec::new();
        ALL.write(&record, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let rows: Vec<&str> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .collect();
        let last: Vec<&str> = rows.last().unwrap().split_whitespace().collect();
        assert_eq!(last[1], "1.000000000000");
        let slowest = record
            .history
            .operations
            .iter()
            .map(|op| latency(op, record.plan.timeout));
        let slowest = slowest.max().unwrap().as_millis_f64();
        let shown: f64 = last[0].parse().unwrap();
        assert!(
            (shown - slowest).abs() <= slowest / 1000.0,
            "{shown} {slowest}"
        );
        assert_eq!(last[2], record.history.operations.len().to_string());
        assert!(text.lines().any(|line| line.starts_with("#[Buckets")));
        let values: Vec<f64> = rows
            .iter()
            .map(|row| row.split_whitespace().next().unwrap().parse().unwrap())
            .collect();
        assert!(values.is_sorted(), "{values:?}");
    }

    fn decode_base64(text: &str) -> Vec<u8> {
        let digit = |byte: u8| match byte {
            b'A'..=b'Z' => u32::from(byte - b'A'),
            b'a'..=b'z' => u32::from(byte - b'a') + 26,
            b'0'..=b'9' => u32::from(byte - b'0') + 52,
            b'+' => 62,
            b'/' => 63,
            _ => 0,
        };
        let mut bytes = Vec::new();
        for group in text.as_bytes().chunks(4) {
            let word = group.iter().fold(0, |word, byte| word << 6 | digit(*byte));
            let padding = group.iter().filter(|byte| **byte == b'=').count();
            bytes.extend_from_slice(&word.to_be_bytes()[1..4 - padding]);
        }
        bytes
    }
}
