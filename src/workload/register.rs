//! Reads, writes and CAS over a set of registers, every written value unique over the run.
//!
//! A CAS expects the value that was last seen or written by any worker, so that many succeed and
//! the others fail for an honest reason: somebody was faster.

use super::{Generator, Next};
use crate::history::{Action, KeyId, Value};
use crate::seed::Stream;

/// The register workload.
#[derive(Debug)]
pub struct Register {
    parameters: RegisterParameters,
    /// Cumulative share of each key, the last one 1.
    shares: Vec<f64>,
    last_seen: Vec<Value>,
    next_value: i64,
    stream: Stream,
}

/// What a register workload is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegisterParameters {
    /// How many registers.
    pub keys: u32,
    /// How they are chosen.
    pub pick: KeyPick,
    /// Share of reads, 0 to 1.
    pub read: f64,
    /// Share of writes, 0 to 1; the rest is CAS.
    pub write: f64,
}

/// How keys are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPick {
    /// All alike.
    Uniform,
    /// The i-th with a share proportional to 1/i.
    Zipf,
}

impl Register {
    /// A generator whose written values begin at `first_value` and rise. `initial` is what each
    /// register holds now.
    #[must_use]
    pub fn new(
        parameters: RegisterParameters,
        initial: Vec<Value>,
        first_value: i64,
        stream: Stream,
    ) -> Self {
        debug_assert_eq!(
            initial.len(),
            parameters.keys as usize,
            "one initial value per key"
        );
        let weight = |rank: u32| match parameters.pick {
            KeyPick::Uniform => 1.0,
            KeyPick::Zipf => 1.0 / f64::from(rank),
        };
        let total: f64 = (1..=parameters.keys).map(weight).sum();
        let shares = (1..=parameters.keys)
            .scan(0.0, |sum, rank| {
                *sum += weight(rank) / total;
                Some(*sum)
            })
            .collect();
        Self {
            parameters,
            shares,
            last_seen: initial,
            next_value: first_value,
            stream,
        }
    }

    fn fresh(&mut self) -> Value {
        let value = Value(self.next_value);
        self.next_value += 1;
        value
    }
}

impl Generator for Register {
    fn next(&mut self) -> Next {
        let point = self.stream.unit();
        let at = self
            .shares
            .partition_point(|share| *share <= point)
            .min(self.shares.len() - 1);
        let kind = self.stream.unit();
        let action = if kind < self.parameters.read {
            Action::Read
        } else if kind < self.parameters.read + self.parameters.write {
            Action::Write(self.fresh())
        } else {
            Action::Cas {
                from: self.last_seen[at],
                to: self.fresh(),
            }
        };
        Next {
            key: KeyId(u32::try_from(at).unwrap_or(0)),
            action,
        }
    }

    fn learn(&mut self, key: KeyId, value: Value) {
        if let Some(seen) = self.last_seen.get_mut(key.0 as usize) {
            *seen = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn register(pick: KeyPick) -> Register {
        let parameters = RegisterParameters {
            keys: 4,
            pick,
            read: 0.5,
            write: 0.3,
        };
        Register::new(
            parameters,
            vec![Value(1); 4],
            100,
            Seed(7).stream("workload"),
        )
    }

    #[test]
    fn the_same_seed_gives_the_same_operations_and_written_values_never_repeat() {
        let mut one = register(KeyPick::Uniform);
        let mut two = register(KeyPick::Uniform);
        let mut written = Vec::new();
        for _ in 0..1000 {
            let next = one.next();
            assert_eq!(next, two.next());
            match next.action {
                Action::Write(value) | Action::Cas { to: value, .. } => written.push(value),
                Action::Read | Action::Do(..) => {}
            }
        }
        assert!(written.is_sorted_by(|a, b| a < b));
        assert!(
            (400..600).contains(&written.len()),
            "half are reads: {}",
            written.len()
        );
    }

    #[test]
    fn a_cas_expects_what_was_last_learned() {
        let mut register = register(KeyPick::Uniform);
        for key in 0..4 {
            register.learn(KeyId(key), Value(77));
        }
        let cas = std::iter::repeat_with(|| register.next().action)
            .find(|action| matches!(action, Action::Cas { .. }));
        assert!(matches!(
            cas,
            Some(Action::Cas {
                from: Value(77),
                ..
            })
        ));
    }

    #[test]
    fn zipf_prefers_the_first_key() {
        let mut register = register(KeyPick::Zipf);
        let mut counts = [0; 4];
        for _ in 0..4000 {
            counts[register.next().key.0 as usize] += 1;
        }
        assert!(counts[0] > counts[1] && counts[1] > counts[3], "{counts:?}");
    }
}
