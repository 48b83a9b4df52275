//! Samples summed up: a row per target and number of clients, and ratios within rounds.

use super::Sample;
use crate::clock::Nanos;

/// All rounds of one target at one number of clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which target.
    pub target: String,
    /// How many clients.
    pub clients: u32,
    /// How many rounds.
    pub rounds: usize,
    /// Writes per second: least, median and greatest round.
    pub rate: [f64; 3],
    /// Median over the rounds of each round's median latency.
    pub p50: Nanos,
    /// Median over the rounds of each round's 99th percentile.
    pub p99: Nanos,
    /// Greatest latency of all rounds.
    pub max: Nanos,
}

/// One target against another at one number of clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// How many clients.
    pub clients: u32,
    /// The rate of this target …
    pub target: String,
    /// … over that of this one, …
    pub against: String,
    /// … within each round: least, median and greatest.
    pub ratio: [f64; 3],
}

/// A row per number of clients and target, in the order in which they were measured.
#[must_use]
pub fn rows(samples: &[Sample]) -> Vec<Row> {
    groups(samples)
        .into_iter()
        .map(|(clients, target)| {
            let own: Vec<&Sample> = samples
                .iter()
                .filter(|sample| sample.clients == clients && sample.target == target)
                .collect();
            let of = |figure: fn(&Sample) -> Nanos| {
                let mut figures: Vec<Nanos> = own.iter().map(|sample| figure(sample)).collect();
                figures.sort_unstable();
                figures[figures.len() / 2]
            };
            Row {
                target: target.to_owned(),
                clients,
                rounds: own.len(),
                rate: spread(own.iter().map(|sample| rate(sample)).collect()),
                p50: of(|sample| sample.p50),
                p99: of(|sample| sample.p99),
                max: own.iter().map(|s| s.max).max().unwrap_or(Nanos::ZERO),
            }
        })
        .collect()
}

/// The first target against each other one.
#[must_use]
pub fn comparisons(samples: &[Sample]) -> Vec<Comparison> {
    let Some(first) = samples.first() else {
        return Vec::new();
    };
    groups(samples)
        .into_iter()
        .filter(|(_, target)| *target != first.target)
        .map(|(clients, against)| {
            let in_round = |round: u32, target: &str| {
                samples
                    .iter()
                    .find(|s| s.round == round && s.clients == clients && s.target == target)
                    .map(rate)
            };
            let rounds = samples.iter().map(|sample| sample.round).max().unwrap_or(0);
            let ratios = (1..=rounds)
                .filter_map(|round| {
                    Some(in_round(round, &first.target)? / in_round(round, against)?)
                })
                .collect();
            Comparison {
                clients,
                target: first.target.clone(),
                against: against.to_owned(),
                ratio: spread(ratios),
            }
        })
        .collect()
}

fn groups(samples: &[Sample]) -> Vec<(u32, &str)> {
    let mut groups = Vec::new();
    for sample in samples {
        let group = (sample.clients, sample.target.as_str());
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

#[expect(clippy::cast_precision_loss, reason = "for display only")]
fn rate(sample: &Sample) -> f64 {
    sample.writes as f64 / sample.elapsed.as_secs_f64()
}

/// Least, median, greatest; not numbers if there are none.
fn spread(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    [
        at(0),
        at(figures.len() / 2),
        at(figures.len().saturating_sub(1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(target: &str, round: u32, writes: u64) -> Sample {
        Sample {
            target: target.to_owned(),
            clients: 16,
            round,
            writes,
            elapsed: Nanos::from_secs(2),
            p50: Nanos::from_millis(u64::from(round)),
            p99: Nanos::from_millis(9),
            max: Nanos::from_millis(10 * u64::from(round)),
        }
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        // The second round was slow for both: the ratio does not show that.
        let samples = [
            sample("ours", 1, 400),
            sample("theirs", 1, 200),
            sample("ours", 2, 40),
            sample("theirs", 2, 10),
            sample("ours", 3, 900),
            sample("theirs", 3, 300),
        ];
        let compared = comparisons(&samples);
        assert_eq!(compared.len(), 1);
        assert_eq!(compared[0].ratio, [2.0, 3.0, 4.0]);
        let rows = rows(&samples);
        assert_eq!(rows[0].rate, [20.0, 200.0, 450.0]);
        assert_eq!(rows[0].p50, Nanos::from_millis(2));
        assert_eq!(rows[1].max, Nanos::from_millis(30));
    }
}
