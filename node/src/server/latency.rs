//! How long requests took.

/// Least, mean, most and last of some durations.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Latency {
    least_ns: u64,
    most_ns: u64,
    last_ns: u64,
    sum_ns: u64,
    count: u64,
}

impl Latency {
    pub(super) fn record(&mut self, took_ns: u64) {
        self.least_ns = if self.count == 0 {
            took_ns
        } else {
            self.least_ns.min(took_ns)
        };
        self.most_ns = self.most_ns.max(took_ns);
        self.last_ns = took_ns;
        self.sum_ns += took_ns;
        self.count += 1;
    }

    /// Least, mean and most, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "for display only")]
    pub(super) fn in_ms(self) -> (u64, f64, u64) {
        let mean = self.sum_ns as f64 / self.count.max(1) as f64;
        (self.least_ns / MS, mean / 1e6, self.most_ns / MS)
    }

    /// Last, least, mean and most, in whole milliseconds.
    pub(super) fn in_whole_ms(self) -> (u64, u64, u64, u64) {
        let mean = self.sum_ns / self.count.max(1);
        (
            self.last_ns / MS,
            self.least_ns / MS,
            mean / MS,
            self.most_ns / MS,
        )
    }
}

const MS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_duration_is_the_least_and_the_most() {
        let mut latency = Latency::default();
        assert_eq!(latency.in_ms(), (0, 0.0, 0));
        latency.record(4 * MS);
        assert_eq!(latency.in_ms(), (4, 4.0, 4));
        latency.record(2 * MS);
        assert_eq!(latency.in_ms(), (2, 3.0, 4));
        assert_eq!(latency.in_whole_ms(), (2, 2, 3, 4));
    }
}
