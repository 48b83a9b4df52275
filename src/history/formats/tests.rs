//! Every format: what is read, what is refused, what comes back after writing.

use super::super::op::{Action, KeyId, Operation, Outcome, Value};
use super::*;
use crate::clock::Nanos;
use crate::id::ProcessId;
use proptest::prelude::*;

const EDN: &str = r#"; a comment
{:process :nemesis, :type :info, :f :start-partition, :value nil, :time 5}
{:process 0, :type :invoke, :f :write, :value 1, :time 10, :index 0}
{:process 1, :type :invoke, :f :read, :value nil, :time 11}
{:process 0, :type :ok, :f :write, :value 1, :time 12}
{:process 1, :type :ok, :f :read, :value 1, :time 13}
{:process 2, :type :invoke, :f :cas, :value [1 2], :time 14}
{:process 2, :type :info, :f :cas, :value [1 2], :time 20, :error :timeout}
"#;

const LOG: &str = "INFO  jepsen.core - Running test\n\
    INFO  jepsen.util - 0\t:invoke\t:write\t3\n\
    INFO  jepsen.util - 1  :invoke  :cas  [3 4]\n\
    INFO  jepsen.util - :nemesis :info :start nil\n\
    INFO  jepsen.util - 0\t:ok\t:write\t3\n\
    INFO  jepsen.util - 1\t:fail\t:cas\t[3 4]\n\
    INFO  jepsen.util - 1\t:invoke\t:read\tnil\n\
    INFO  jepsen.util - 1\t:fail\t:read\t:timed-out\n\
    INFO  jepsen.util - 0\t:invoke\t:write\t5\n\
    INFO  jepsen.util - 0\t:info\t:write\t:timed-out\n";

const KV: &str = r#"{:process 0, :type :invoke, :f :put, :key "6", :value "x 0 0 y"}
{:process 0, :type :ok, :f :put, :key "6", :value "x 0 0 y"}
{:process 1, :type :invoke, :f :append, :key "6", :value "x 1 0 y"}
{:process 1, :type :ok, :f :append, :key "6", :value "x 1 0 y"}
{:process 2, :type :invoke, :f :get, :key "6", :value nil}
{:process 2, :type :ok, :f :get, :key "6", :value "x 0 0 yx 1 0 y"}
"#;

fn decoded(text: &str) -> Decoded {
    read(&mut text.as_bytes(), None, "file", None, false).expect(text)
}

fn refused(text: &str, format: Option<Format>) -> String {
    let found = read(&mut text.as_bytes(), None, "file", format, false);
    found.expect_err(text).to_string()
}

/// One operation a line: process, key, what, how it ended, when.
fn lines(history: &History) -> String {
    let show = |value: Value| history.values.show(value).to_string();
    let line = |operation: &Operation| {
        let asked = match operation.action {
            Action::Read => String::new(),
            Action::Write(value) | Action::Do(_, value) => show(value),
            Action::Cas { from, to } => format!("{} {}", show(from), show(to)),
        };
        format!(
            "{} {} {} {asked} {} {} {}..{}\n",
            operation.process,
            history.key_name(operation.key),
            operation.action.word(),
            operation.outcome.word(),
            operation.seen.map_or_else(|| "-".to_owned(), show),
            operation.invoked.0,
            operation.completed.0,
        )
    };
    history.operations.iter().map(line).collect()
}

#[test]
fn the_format_is_seen_from_the_beginning() {
    for (text, format) in [
        ("{\"process\":1}", Some(Format::Jsonl)),
        (
            "  \n{ \"schema\": \"chaos.history/1\" }",
            Some(Format::Jsonl),
        ),
        (EDN, Some(Format::Edn)),
        ("[{:process 0\n:type :invoke}]", Some(Format::Edn)),
        ("[\n{:process 0}]", Some(Format::Edn)),
        ("#jepsen.history.Op{:process 0}", Some(Format::Edn)),
        (LOG, Some(Format::JepsenLog)),
        (KV, Some(Format::PorcupineKv)),
        (
            "{:process 0, :type :invoke, :f :append, :value [1 2]}",
            Some(Format::Edn),
        ),
        ("hello", None),
        ("", None),
    ] {
        assert_eq!(Format::detect(text.as_bytes()), format, "{text}");
    }
    assert_eq!(
        refused("hello", None),
        "cannot see how file is written: write --format and one of jsonl, edn, jepsen-log, porcupine-kv"
    );
}

#[test]
fn a_history_of_jepsen_is_read_without_its_nemesis() {
    let found = decoded(EDN);
    assert_eq!(found.format, Format::Edn);
    insta::assert_snapshot!(lines(&found.history));
    let vector = format!("[\n{EDN}]");
    assert_eq!(lines(&decoded(&vector).history), lines(&found.history));
}

#[test]
fn keys_in_values_are_keys_if_all_invocations_have_them() {
    let text = "{:process 0, :type :invoke, :f :write, :value [7 1]}\n\
        {:process 1, :type :invoke, :f :cas, :value [8 [1 2]]}\n\
        {:process 0, :type :ok, :f :write, :value [7 1]}\n\
        {:process 2, :type :invoke, :f :read, :value [7 nil]}\n\
        {:process 2, :type :ok, :f :read, :value [7 1]}\n\
        {:process 1, :type :fail, :f :cas, :value [8 [1 2]], :error :did-not-succeed}\n";
    insta::assert_snapshot!(lines(&decoded(text).history));
    let tagged = text.replace(":value [", ":value #jepsen.independent.Tuple [");
    assert_eq!(
        lines(&decoded(&tagged).history),
        lines(&decoded(text).history)
    );
    let plain = "{:process 1, :type :invoke, :f :cas, :value [1 2]}\n";
    assert_eq!(decoded(plain).history.keys, ["register"]);
}

#[test]
fn a_failed_cas_of_a_log_is_an_observation_and_a_read_that_timed_out_is_none() {
    let found = decoded(LOG);
    insta::assert_snapshot!(lines(&found.history));
    assert_eq!(found.history.errors, ["timed-out"]);
}

#[test]
fn texts_of_a_store_are_read_as_its_model_asks() {
    let found = decoded(KV);
    assert_eq!(found.header.model.as_deref(), Some("kv"));
    insta::assert_snapshot!(lines(&found.history));
}

#[test]
fn sets_lists_queues_and_locks_are_read_from_edn() {
    let text = "{:process 0, :type :invoke, :f :add, :value 1}\n{:process 0, :type :ok, :f :add, :value 1}\n\
        {:process 0, :type :invoke, :f :read}\n{:process 0, :type :ok, :f :read, :value #{1 2 3}}\n\
        {:process 0, :type :invoke, :f :enqueue, :value :a}\n{:process 0, :type :info, :f :enqueue}\n\
        {:process 1, :type :invoke, :f :dequeue}\n{:process 1, :type :ok, :f :dequeue, :value \"a\"}\n\
        {:process 1, :type :invoke, :f :acquire}\n{:process 1, :type :ok, :f :acquire, :value true}\n";
    insta::assert_snapshot!(lines(&decoded(text).history));
}

#[test]
fn what_is_malformed_is_told_with_line_and_what_was_expected() {
    let cases = [
        (
            "{:process 0, :type :invoke, :f :txn, :value [[:r 1 nil]]}",
            None,
        ),
        ("{:process 0, :type :maybe, :f :read}", None),
        ("\n{:process -1, :type :invoke, :f :read}", None),
        ("{:process 0, :type :ok, :f :read, :value 1}", None),
        (
            "{:process 0, :type :invoke, :f :read}\n{:process 0, :type :invoke, :f :read}",
            None,
        ),
        ("{:process 0, :type :invoke, :f :write, :value 1.5}", None),
        (
            "{:process 0, :type :invoke, :f :read, :time 1}\n{:process 0, :type :ok, :f :read, :value 1}",
            None,
        ),
        ("{:process 0, :type :invoke", None),
        ("{:type :invoke, :f :read}", None),
        ("12", Some(Format::Edn)),
        ("INFO jepsen.util - 3 :invoke :cas 5", None),
        ("INFO jepsen.util - 3 :invoke :drain nil", None),
        ("INFO jepsen.util - 3 :ok :read :timed-out", None),
        (
            "{:process 0, :type :invoke, :f :cas, :key \"1\", :value \"x\"}",
            Some(Format::PorcupineKv),
        ),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|(text, format)| refused(text, *format))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_malformed_line_is_left_out_and_counted_if_that_is_asked_for() {
    let lenient = |text: &str| read(&mut text.as_bytes(), None, "file", None, true).expect(text);
    let broken = EDN.replacen(
        "{:process 1, :type :ok, :f :read, :value 1, :time 13}",
        "{:process 1, :type",
        1,
    );
    let found = lenient(&broken);
    assert_eq!(found.skipped.count, 1);
    assert!(
        found
            .skipped
            .first
            .is_some_and(|error| error.to_string().starts_with("file:6: "))
    );
    // The operation whose end is lost may have happened.
    assert_eq!(found.history.operations[1].outcome, Outcome::Info);
    let log = LOG.replace(":ok\t:write\t3", ":ok\t:write\tthree");
    let found = lenient(&log);
    assert_eq!(found.skipped.count, 1);
    let jsonl = "{\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":1}\n{\"process\":1,\"ty\n\
        {\"process\":1,\"type\":\"invoke\",\"f\":\"read\"}\n{\"process\":1,\"type\":\"ok\",\"f\":\"read\",\"value\":1}\n";
    let found = lenient(jsonl);
    assert_eq!(
        (found.skipped.count, found.history.operations.len()),
        (1, 2)
    );
    assert_eq!(found.history.operations[0].outcome, Outcome::Info);
}

#[test]
fn what_a_format_cannot_say_is_refused() {
    let history = decoded(KV).history;
    let header = Header::default();
    let refused = export(&history, &header, Format::JepsenLog).expect_err("texts");
    assert_eq!(
        refused.to_string(),
        "jepsen-log cannot say a text: write --export jsonl:PATH or edn:PATH"
    );
    let history = decoded(EDN).history;
    assert!(export(&history, &header, Format::PorcupineKv).is_err());
}

/// Operations of one register, each process with one in flight at a time.
fn registers() -> impl Strategy<Value = History> {
    let operation = (
        0..4_u64,
        0..4_u8,
        0..4_i64,
        0..4_i64,
        0..5_u64,
        1..5_u64,
        0..6_u8,
    );
    prop::collection::vec(operation, 0..20).prop_map(|drawn| {
        let mut history = History {
            keys: vec!["register".to_owned()],
            ..History::default()
        };
        let mut free = [1_u64; 4];
        let mut names = [0, 1, 2, 3];
        let mut next = 4;
        for (process, kind, one, two, wait, length, end) in drawn {
            let at = process as usize;
            let invoked = free[at] + wait;
            free[at] = invoked + length + 1;
            let action = match kind {
                0 => Action::Read,
                1 => Action::Write(Value(one)),
                _ => Action::Cas {
                    from: Value(one),
                    to: Value(two),
                },
            };
            let outcome = match (end, action) {
                (0, _) => Outcome::Info,
                (1 | 2, Action::Cas { .. }) => Outcome::Fail,
                _ => Outcome::Ok,
            };
            let sees = action == Action::Read && outcome == Outcome::Ok
                || end == 1 && outcome == Outcome::Fail;
            history.operations.push(Operation {
                process: ProcessId(names[at]),
                key: KeyId(0),
                action,
                invoked: Nanos(invoked),
                completed: Nanos(invoked + length),
                outcome,
                seen: sees.then_some(Value(two)),
                intended: None,
                node: None,
                version: None,
                error: None,
            });
            if outcome == Outcome::Info {
                names[at] = next;
                next += 1;
            }
        }
        history
            .operations
            .sort_by_key(|operation| operation.invoked);
        history
    })
}

/// What an operation says, without times and names.
fn said(history: &History) -> Vec<String> {
    let told = |operation: &Operation| match (operation.action, operation.outcome, operation.seen) {
        (Action::Cas { .. }, Outcome::Fail, seen @ Some(_)) => format!("Read Ok {seen:?}"),
        (action, outcome, seen) => format!("{action:?} {outcome:?} {seen:?}"),
    };
    let mut said: Vec<String> = history.operations.iter().map(told).collect();
    said.sort();
    said
}

/// Which operations had ended before which others began.
fn order(history: &History) -> usize {
    let all = &history.operations;
    let before = |one: &Operation| {
        all.iter()
            .filter(|other| one.outcome != Outcome::Info && one.completed < other.invoked)
            .count()
    };
    all.iter().map(before).sum()
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(history in registers()) {
        for format in [Format::Jsonl, Format::Edn, Format::JepsenLog] {
            let bytes = export(&history, &Header::default(), format).unwrap();
            let again = read(&mut &bytes[..], None, "file", Some(format), false);
            let again = again.map_err(|error| format!("{error}\n{}", String::from_utf8_lossy(&bytes)));
            let again = again.unwrap().history;
            if format != Format::Jsonl {
                prop_assert_eq!(said(&again), said(&history));
            }
            prop_assert_eq!(order(&again), order(&history), "{}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn strangers_bytes_are_read_or_refused(
        which in 0..3_usize,
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
        is_lenient in any::<bool>(),
    ) {
        let mut bytes = [EDN, LOG, KV][which].as_bytes().to_vec();
        for (at, byte, how) in cuts {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, byte),
                _ => {
                    let again = bytes[at..].to_vec();
                    bytes.extend(again);
                }
            }
        }
        for format in [None, Some(Format::Edn), Some(Format::JepsenLog), Some(Format::PorcupineKv)] {
            let found = read(&mut &bytes[..], None, "file", format, is_lenient);
            if let (true, Some(_)) = (is_lenient, format) {
                prop_assert!(found.is_ok(), "{:?}", found.err());
            }
        }
    }
}
