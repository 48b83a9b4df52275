//! What happens inside the node, as JSON lines for whoever measures it.
//!
//! Each line is one object: `t` is absolute `CLOCK_MONOTONIC` in nanoseconds, `node` is `n1` …, `what`
//! the kind, and then its fields. A line is written with one system call, so that lines of several
//! writers do not mix and a killed node leaves whole lines.

use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use crate::protocol::io::TraceEvent;
use crate::protocol::zxid::Sid;

/// Where the lines go.
pub struct Trace {
    node: Sid,
    sink: Box<dyn Write>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({})", self.node)
    }
}

impl Trace {
    /// Appends to this file, or writes to standard output.
    ///
    /// # Errors
    /// If the file cannot be opened for appending.
    pub fn open(node: Sid, path: Option<&Path>) -> io::Result<Self> {
        let sink: Box<dyn Write> = match path {
            Some(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
            None => Box::new(io::stdout()),
        };
        Ok(Self { node, sink })
    }

    /// Writes an event of the protocol that happened at `t` nanoseconds.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn event(&mut self, t: u64, event: &TraceEvent) -> io::Result<()> {
        let line = line(t, self.node, event);
        self.sink.write_all(line.as_bytes())
    }

    /// Writes that the node ends in an orderly way.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn stop(&mut self, t: u64) -> io::Result<()> {
        let line = Line::new(t, self.node, "stop").end();
        self.sink.write_all(line.as_bytes())?;
        self.sink.flush()
    }
}

/// One object under construction. Texts are words of ours, which need no escapes.
struct Line(String);

impl Line {
    fn new(t: u64, node: Sid, what: &str) -> Self {
        Self(format!(r#"{{"t":{t},"node":"{node}","what":"{what}""#))
    }

    fn number(mut self, key: &str, value: impl Into<u64>) -> Self {
        let value = value.into();
        write!(self.0, r#","{key}":{value}"#).expect("writing to a string never fails");
        self
    }

    fn text(mut self, key: &str, value: impl fmt::Display) -> Self {
        write!(self.0, r#","{key}":"{value}""#).expect("writing to a string never fails");
        self
    }

    fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }
}

fn line(t: u64, node: Sid, event: &TraceEvent) -> String {
    let begin = |what| Line::new(t, node, what);
    match *event {
        TraceEvent::Boot {
            accepted_epoch,
            current_epoch,
            last_zxid,
        } => begin("boot")
            .number("accepted_epoch", accepted_epoch)
            .number("current_epoch", current_epoch)
            .number("last_zxid", last_zxid.0),
        TraceEvent::Looking { reason } => begin("looking").text("reason", reason),
        TraceEvent::Suspect {
            of,
            channel,
            silence,
            timeout,
        } => begin("suspect")
            .text("of", of)
            .text("channel", channel)
            .number("silence_ns", silence.0)
            .number("timeout_ns", timeout.0),
        TraceEvent::Trust { of } => begin("trust").text("of", of),
        TraceEvent::Candidate { round } => begin("candidate").number("round", round),
        TraceEvent::Elected { round } => begin("elected").number("round", round),
        TraceEvent::EpochAgreed { epoch } => begin("epoch_agreed").number("epoch", epoch),
        TraceEvent::SyncStart {
            peer,
            mode,
            txns,
            bytes,
        } => begin("sync_start")
            .text("peer", peer)
            .text("mode", mode.word())
            .number("txns", txns)
            .number("bytes", bytes),
        TraceEvent::Active { epoch, zxid } => begin("active")
            .number("epoch", epoch)
            .number("zxid", zxid.0),
        TraceEvent::Following { leader } => begin("following").text("leader", leader),
        TraceEvent::Synced {
            leader,
            epoch,
            mode,
            txns,
            bytes,
            zxid,
        } => begin("synced")
            .text("leader", leader)
            .number("epoch", epoch)
            .text("mode", mode.word())
            .number("txns", txns)
            .number("bytes", bytes)
            .number("zxid", zxid.0),
        TraceEvent::Evict { of, reason } => begin("evict").text("of", of).text("reason", reason),
        TraceEvent::Rejoin { of } => begin("rejoin").text("of", of),
        TraceEvent::StepDown { epoch, reason } => begin("step_down")
            .number("epoch", epoch)
            .text("reason", reason),
        TraceEvent::Stalled { late } => begin("stalled").number("late_ns", late.0),
    }
    .end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::SyncMode;
    use crate::protocol::zxid::{Nanos, Zxid};

    #[test]
    fn an_event_is_one_flat_object() {
        let suspect = TraceEvent::Suspect {
            of: Sid(1),
            channel: "eof",
            silence: Nanos(7),
            timeout: Nanos(0),
        };
        assert_eq!(
            line(5, Sid(2), &suspect),
            "{\"t\":5,\"node\":\"n2\",\"what\":\"suspect\",\"of\":\"n1\",\"channel\":\"eof\",\
             \"silence_ns\":7,\"timeout_ns\":0}\n"
        );
        let synced = TraceEvent::Synced {
            leader: Sid(3),
            epoch: 4,
            mode: SyncMode::Diff,
            txns: 5,
            bytes: 6,
            zxid: Zxid(7),
        };
        assert_eq!(
            line(9, Sid(1), &synced),
            "{\"t\":9,\"node\":\"n1\",\"what\":\"synced\",\"leader\":\"n3\",\"epoch\":4,\
             \"mode\":\"DIFF\",\"txns\":5,\"bytes\":6,\"zxid\":7}\n"
        );
    }

    #[test]
    fn lines_are_appended_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        for t in [1, 2] {
            let mut trace = Trace::open(Sid(1), Some(&path)).unwrap();
            trace.event(t, &TraceEvent::Trust { of: Sid(2) }).unwrap();
            trace.stop(t).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(text.ends_with("{\"t\":2,\"node\":\"n1\",\"what\":\"stop\"}\n"));
    }
}
