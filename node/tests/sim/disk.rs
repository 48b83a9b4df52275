//! A simulated disk: what is durable, what is being written, and what a crash leaves of that.
//!
//! A crash keeps a random prefix of the unfinished operations, in their order; of an append a
//! random prefix of its entries. Epochs and snapshots are replaced whole or not at all.

use std::collections::{BTreeMap, VecDeque};

use chaos_node::protocol::io::{Boot, DiskOp};
use chaos_node::protocol::message::{Entry, Payload};
use chaos_node::protocol::zxid::{Sid, Ticket, Zxid};

use super::rng::Rng;

/// What identifies a transaction. Its payload is derived from this, so that mixing up entries
/// shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) zxid: Zxid,
    pub(crate) origin: Sid,
    pub(crate) request: u64,
}

/// All of a disk.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Whose disk it is.
    pub(crate) owner: usize,
    pub(crate) accepted: u32,
    pub(crate) current: u32,
    /// The whole history; the first `in_snapshot` of it are in a snapshot only.
    pub(crate) history: Vec<Record>,
    pub(crate) in_snapshot: usize,
    /// The state machine's bytes in that snapshot.
    pub(crate) machine: Payload,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) durable: State,
    /// As it will be when all is written.
    pub(crate) written: State,
    pub(crate) pending: VecDeque<(Ticket, Vec<DiskOp>)>,
}

/// The payloads of all requests, by who asked.
pub(crate) type Payloads = BTreeMap<(Sid, u64), Payload>;

impl Record {
    pub(crate) const fn of(entry: &Entry) -> Self {
        let Entry {
            zxid,
            origin,
            request,
            ..
        } = *entry;
        Self {
            zxid,
            origin,
            request,
        }
    }

    fn entry(self, payloads: &Payloads) -> Result<Entry, String> {
        let Self {
            zxid,
            origin,
            request,
        } = self;
        let payload = payloads.get(&(origin, request));
        let payload = payload.ok_or_else(|| format!("I3: nobody asked for {zxid}"))?;
        Ok(Entry {
            zxid,
            origin,
            request,
            payload: Payload::clone(payload),
        })
    }
}

/// The bytes of a snapshot: the list of the transactions in it, then the state machine's own.
pub(crate) fn snapshot_bytes(records: &[Record], state: &[u8]) -> Payload {
    let mut bytes = Vec::with_capacity(8 + records.len() * 17 + state.len());
    bytes.extend_from_slice(&(records.len() as u64).to_be_bytes());
    for record in records {
        bytes.extend_from_slice(&record.zxid.0.to_be_bytes());
        bytes.push(record.origin.0);
        bytes.extend_from_slice(&record.request.to_be_bytes());
    }
    bytes.extend_from_slice(state);
    bytes.into()
}

/// The transactions of a snapshot, and the state machine's bytes.
pub(crate) fn snapshot_parts(bytes: &[u8]) -> (Vec<Record>, &[u8]) {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
    let (count, rest) = bytes.split_at(8);
    let (records, state) = rest.split_at(number(count) as usize * 17);
    let record = |chunk: &[u8]| Record {
        zxid: Zxid(number(&chunk[..8])),
        origin: Sid(chunk[8]),
        request: number(&chunk[9..]),
    };
    (records.chunks(17).map(record).collect(), state)
}

impl State {
    pub(crate) fn last(&self) -> Zxid {
        self.history.last().map_or(Zxid::ZERO, |record| record.zxid)
    }

    pub(crate) fn boot(&self, payloads: &Payloads) -> Result<Boot, String> {
        let (snapshot, log) = self.history.split_at(self.in_snapshot);
        let snapshot = snapshot.last().map_or(Zxid::ZERO, |record| record.zxid);
        Ok(Boot {
            accepted_epoch: self.accepted,
            current_epoch: self.current,
            snapshot,
            base: snapshot,
            entries: log
                .iter()
                .map(|record| record.entry(payloads))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Does one operation, of an append only the first `entries`.
    fn apply(&mut self, op: &DiskOp, entries: usize) -> Result<(), String> {
        match op {
            DiskOp::Append(appended) => {
                for entry in appended.iter().take(entries) {
                    self.append(entry)?;
                }
            }
            DiskOp::Truncate { after } => {
                let keep = self.history.partition_point(|record| record.zxid <= *after);
                if keep < self.in_snapshot {
                    return Err(format!(
                        "I6: truncation to {after} reaches into the snapshot"
                    ));
                }
                self.history.truncate(keep);
                if self.last() != *after {
                    return Err(format!(
                        "I6: truncation to {after}, which is not in the log"
                    ));
                }
            }
            DiskOp::SetMeta {
                accepted_epoch,
                current_epoch,
            } => {
                if *accepted_epoch < self.accepted || *current_epoch < self.current {
                    return Err("I7: an epoch goes back".to_owned());
                }
                (self.accepted, self.current) = (*accepted_epoch, *current_epoch);
            }
            DiskOp::InstallSnapshot { bytes, entries, .. } => {
                let (history, machine) = snapshot_parts(bytes);
                self.machine = machine.into();
                self.history = history;
                self.in_snapshot = self.history.len();
                for entry in entries {
                    self.append(entry)?;
                }
            }
        }
        if self.accepted < self.current || self.accepted < self.last().epoch() {
            let (accepted, current, last) = (self.accepted, self.current, self.last());
            return Err(format!(
                "I7: accepted {accepted}, current {current}, log ends with {last}"
            ));
        }
        Ok(())
    }

    fn append(&mut self, entry: &Entry) -> Result<(), String> {
        let (last, next) = (self.last(), entry.zxid);
        if !next.follows(last) {
            return Err(format!("I6: the log goes from {last} to {next}"));
        }
        self.history.push(Record::of(entry));
        Ok(())
    }
}

impl Disk {
    pub(crate) fn new(owner: usize) -> Self {
        let empty = State {
            owner,
            accepted: 0,
            current: 0,
            history: Vec::new(),
            in_snapshot: 0,
            machine: Payload::from([]),
        };
        Self {
            durable: empty.clone(),
            written: empty,
            pending: VecDeque::new(),
        }
    }

    /// Takes a batch.
    pub(crate) fn issue(&mut self, ticket: Ticket, ops: Vec<DiskOp>) -> Result<(), String> {
        for op in &ops {
            self.written.apply(op, usize::MAX)?;
        }
        self.pending.push_back((ticket, ops));
        Ok(())
    }

    /// Whether what is written up to `ticket` removes anything.
    pub(crate) fn rewrites(&self, ticket: Ticket) -> bool {
        let removes =
            |op: &DiskOp| matches!(op, DiskOp::Truncate { .. } | DiskOp::InstallSnapshot { .. });
        let until = self
            .pending
            .iter()
            .take_while(|(batch, _)| *batch <= ticket);
        until.flat_map(|(_, ops)| ops).any(removes)
    }

    /// Finishes everything up to `ticket`.
    pub(crate) fn finish(&mut self, ticket: Ticket) -> Result<(), String> {
        while self
            .pending
            .front()
            .is_some_and(|(first, _)| *first <= ticket)
        {
            let Some((_, ops)) = self.pending.pop_front() else {
                break;
            };
            for op in &ops {
                self.durable.apply(op, usize::MAX)?;
            }
        }
        Ok(())
    }

    /// Loses what was not durable: all of it, none of it, or all behind a random point, which may
    /// lie in the midst of an append.
    pub(crate) fn crash(&mut self, rng: &mut Rng) -> Result<(), String> {
        let ops: Vec<DiskOp> = self.pending.drain(..).flat_map(|(_, ops)| ops).collect();
        let kept = match rng.below(3) {
            0 => 0,
            1 => ops.len(),
            _ => rng.index(ops.len() + 1),
        };
        for op in &ops[..kept] {
            self.durable.apply(op, usize::MAX)?;
        }
        if let Some(DiskOp::Append(entries)) = ops.get(kept) {
            let some = rng.index(entries.len() + 1);
            self.durable.apply(&ops[kept], some)?;
        }
        self.written = self.durable.clone();
        Ok(())
    }

    /// Puts the first `count` transactions into a snapshot, with the state machine's bytes.
    pub(crate) fn snapshot(&mut self, count: usize, machine: Vec<u8>) {
        let machine = Payload::from(machine);
        for state in [&mut self.durable, &mut self.written] {
            if count > state.in_snapshot {
                state.in_snapshot = count;
                state.machine = Payload::clone(&machine);
            }
        }
    }
}
