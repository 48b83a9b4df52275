//! Clients of registers in virtual time, and the history that they leave.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use chaos::clock::Nanos;
use chaos::history::{
    Action, Header, KeyId, Operation, Outcome, Value, Values, encode_complete, encode_header,
    encode_invoke,
};
use chaos::id::ProcessId;
use chaos::seed::{Seed, Stream};
use clap::Parser;

/// Writes a history of registers to standard output.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Options {
    /// How many operations
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) operations: u64,
    /// How many registers, chosen uniformly
    #[arg(long, default_value_t = 1)]
    pub(crate) keys: u32,
    /// How many clients, each with one operation in flight
    #[arg(long, default_value_t = 100)]
    pub(crate) clients: usize,
    /// Percent of writes
    #[arg(long, default_value_t = 30)]
    pub(crate) writes: u64,
    /// Percent of CAS; the rest are reads
    #[arg(long, default_value_t = 0)]
    pub(crate) cas: u64,
    /// A failed CAS does not tell what it saw
    #[arg(long)]
    pub(crate) hidden: bool,
    /// Only so many different values are written; 0 = each is written once
    #[arg(long, default_value_t = 0)]
    pub(crate) values: u64,
    /// Of so many thousand operations one has an unknown outcome per unit
    #[arg(long, default_value_t = 0)]
    pub(crate) info_per_mille: u64,
    /// After so many percent of the operations one read is stale
    #[arg(long)]
    pub(crate) stale: Option<u64>,
    /// What decides everything
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// What a client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Invoke,
    Effect,
    Complete,
}

/// A register, and what is known of its past.
#[derive(Debug, Clone, Copy)]
struct Register {
    value: Value,
    /// The last value whose update was acknowledged.
    settled: Option<Value>,
    /// A value that was settled before another update began that is settled too.
    gone: Option<Value>,
}

/// The operation of a client.
#[derive(Debug, Clone)]
struct InFlight {
    operation: Operation,
    /// What was settled when it began.
    settled: Option<Value>,
    /// What was gone for certain when it began.
    gone: Option<Value>,
}

struct Simulation<W: Write> {
    options: Options,
    random: Stream,
    out: W,
    line: Vec<u8>,
    names: Vec<String>,
    values: Values,
    registers: Vec<Register>,
    in_flight: Vec<Option<InFlight>>,
    processes: Vec<u64>,
    next_process: u64,
    begun: u64,
    fresh: i64,
    is_stale_due: bool,
}

/// Writes the history that those options ask for.
///
/// # Errors
/// The options contradict each other, no read could be made stale, or writing fails.
pub(crate) fn write_history<W: Write>(options: Options, out: W) -> io::Result<()> {
    if options.stale.is_some() && options.values > 0 {
        return Err(io::Error::other(
            "--stale needs unique values: leave out --values",
        ));
    }
    let register = Register {
        value: Value::NIL,
        settled: None,
        gone: None,
    };
    let simulation = Simulation {
        random: Seed(options.seed).stream("history"),
        out,
        line: Vec::with_capacity(256),
        names: (0..options.keys).map(|key| format!("k{key}")).collect(),
        values: Values::default(),
        registers: vec![register; options.keys as usize],
        in_flight: vec![None; options.clients],
        processes: (0..options.clients as u64).collect(),
        next_process: options.clients as u64,
        begun: 0,
        fresh: 0,
        is_stale_due: options.stale.is_some(),
        options,
    };
    simulation.run()
}

impl<W: Write> Simulation<W> {
    fn run(mut self) -> io::Result<()> {
        encode_header(&mut self.line, &Header::default());
        let mut agenda: BinaryHeap<Reverse<(u64, usize, Stage)>> = (0..self.options.clients)
            .map(|client| Reverse((1 + self.random.below(100_000), client, Stage::Invoke)))
            .collect();
        while let Some(Reverse((time, client, stage))) = agenda.pop() {
            let next = match stage {
                Stage::Invoke if self.begun == self.options.operations => continue,
                Stage::Invoke => {
                    self.invoke(client, time);
                    (10_000 + self.random.below(400_000), Stage::Effect)
                }
                Stage::Effect => {
                    self.take_effect(client);
                    (10_000 + self.random.below(400_000), Stage::Complete)
                }
                Stage::Complete => {
                    self.complete(client, time);
                    (1 + self.random.below(100_000), Stage::Invoke)
                }
            };
            agenda.push(Reverse((time + next.0, client, next.1)));
            self.out.write_all(&self.line)?;
            self.line.clear();
        }
        self.out.flush()?;
        if self.is_stale_due {
            return Err(io::Error::other(
                "no read could be made stale: give more operations",
            ));
        }
        Ok(())
    }

    fn invoke(&mut self, client: usize, time: u64) {
        self.begun += 1;
        let key = self.random.below(u64::from(self.options.keys)) as u32;
        let kind = self.random.below(100);
        let action = if kind < self.options.writes {
            Action::Write(self.fresh())
        } else if kind < self.options.writes + self.options.cas {
            Action::Cas {
                from: self.registers[key as usize].value,
                to: self.fresh(),
            }
        } else {
            Action::Read
        };
        let operation = Operation {
            process: ProcessId(self.processes[client]),
            key: KeyId(key),
            action,
            invoked: Nanos(time),
            completed: Nanos::MAX,
            outcome: Outcome::Ok,
            seen: None,
            intended: None,
            node: None,
            version: None,
            error: None,
        };
        encode_invoke(
            &mut self.line,
            &operation,
            &self.names[key as usize],
            &self.values,
        );
        let register = self.registers[key as usize];
        self.in_flight[client] = Some(InFlight {
            operation,
            settled: register.settled,
            gone: register.gone,
        });
    }

    fn fresh(&mut self) -> Value {
        self.fresh += 1;
        match self.options.values {
            0 => Value(self.fresh),
            distinct => Value(self.random.below(distinct) as i64),
        }
    }

    fn take_effect(&mut self, client: usize) {
        let is_info = self.random.below(1000) < self.options.info_per_mille;
        let happens = !is_info || self.random.below(2) == 0;
        let in_flight = self.in_flight[client].as_mut().expect("it was invoked");
        let operation = &mut in_flight.operation;
        let register = &mut self.registers[operation.key.0 as usize];
        match operation.action {
            Action::Write(to) if happens => register.value = to,
            Action::Cas { from, to } if from == register.value => {
                if happens {
                    register.value = to;
                }
            }
            Action::Cas { .. } => {
                operation.outcome = Outcome::Fail;
                operation.seen = (!self.options.hidden).then_some(register.value);
            }
            _ => operation.seen = Some(register.value),
        }
        if is_info {
            (operation.outcome, operation.seen) = (Outcome::Info, None);
        }
    }

    fn complete(&mut self, client: usize, time: u64) {
        let in_flight = self.in_flight[client].take().expect("it took effect");
        let mut operation = in_flight.operation;
        operation.completed = Nanos(time);
        let due = self.options.stale.unwrap_or(0) * self.options.operations / 100;
        if self.is_stale_due
            && self.begun >= due
            && (operation.action, operation.outcome) == (Action::Read, Outcome::Ok)
            && let Some(gone) = in_flight.gone
        {
            operation.seen = Some(gone);
            self.is_stale_due = false;
        }
        let register = &mut self.registers[operation.key.0 as usize];
        if operation.is_acknowledged_update()
            && let Action::Write(to) | Action::Cas { to, .. } = operation.action
        {
            register.gone = in_flight.settled.or(register.gone);
            register.settled = Some(to);
        }
        if operation.outcome == Outcome::Info {
            self.processes[client] = self.next_process;
            self.next_process += 1;
        }
        let key = &self.names[operation.key.0 as usize];
        encode_complete(&mut self.line, &operation, key, &self.values, None);
    }
}
