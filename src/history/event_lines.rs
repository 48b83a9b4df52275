//! Reading and writing `events.jsonl`: an optional header line, then one event per line.

use super::codec::{CodecError, EVENTS_SCHEMA, Problem, header};
use super::decode::first_line;
use super::event::Event;

/// Appends the first line of an events file.
pub fn encode_events_header(out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"schema\":\"{EVENTS_SCHEMA}\"}}\n").as_bytes());
}

/// Appends one event as a line.
pub fn encode_event(out: &mut Vec<u8>, event: &Event) {
    serde_json::to_writer(&mut *out, event)
        .expect("events are maps with text keys, and writing to a Vec cannot fail");
    out.push(b'\n');
}

/// Reads a whole events file; `name` is what errors call it. Blank lines are skipped.
///
/// # Errors
/// The first line that is no event.
pub fn decode_events(bytes: &[u8], name: &str) -> Result<Vec<Event>, CodecError> {
    let mut events = Vec::new();
    let first = first_line(bytes);
    let has_header = header(first, EVENTS_SCHEMA)
        .map_err(|problem| problem.at(name, 1))?
        .is_some();
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    for (index, line) in lines.skip(usize::from(has_header)) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let event = serde_json::from_slice(line)
            .map_err(|error| Problem::NotAnEvent(error.to_string()).at(name, index + 1))?;
        events.push(event);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::super::event::EventKind;
    use super::*;
    use crate::clock::Nanos;
    use crate::id::NodeId;

    #[test]
    fn events_round_trip_with_and_without_header() {
        let events = vec![
            Event {
                time: Nanos(1),
                kind: EventKind::Phase {
                    phase: "load".to_owned(),
                },
            },
            Event {
                time: Nanos(2),
                kind: EventKind::ProcessReady { node: NodeId(3) },
            },
        ];
        let mut bytes = Vec::new();
        for event in &events {
            encode_event(&mut bytes, event);
        }
        assert_eq!(decode_events(&bytes, "e").unwrap(), events);
        let mut headed = Vec::new();
        encode_events_header(&mut headed);
        headed.extend(bytes);
        assert_eq!(decode_events(&headed, "e").unwrap(), events);
    }

    #[test]
    fn a_line_that_is_no_event_is_named_by_file_and_line() {
        let text = "{\"schema\":\"chaos.events/1\"}\n\n{\"time\":1}\n";
        let error = decode_events(text.as_bytes(), "run/events.jsonl").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("run/events.jsonl:3: not an event:"),
            "{error}"
        );
        let other = decode_events(b"{\"schema\":\"chaos.history/1\"}", "e").unwrap_err();
        assert_eq!(
            other.to_string(),
            "e:1: the schema is `chaos.history/1`: expected `chaos.events/1`"
        );
    }
}
