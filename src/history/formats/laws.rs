//! Laws of all formats: what is exported is read again, whatever it is, and strangers' bytes are
//! read or refused.

use proptest::prelude::*;

use super::*;
use crate::clock::Nanos;
use crate::history::{Action, Content, KeyId, Operation, Outcome, Value, Values, Verb};
use crate::id::ProcessId;

const JSONL: &str = r#"{"process":0,"type":"invoke","f":"write","key":"x","value":1,"time":1}
{"process":0,"type":"ok","f":"write","key":"x","value":1,"time":2}
{"process":1,"type":"invoke","f":"cas","key":"x","value":[1,2],"time":3}
{"process":1,"type":"fail","f":"cas","key":"x","value":[1,2],"time":4,"seen":null}
"#;

const EDN: &str = r#"{:type :invoke, :f :write, :value 3, :process 0, :time 10, :index 0}
{:type :info, :f :start, :process :nemesis, :time 11, :value nil, :index 1}
{:type :invoke, :f :cas, :value [3 4], :process 1, :time 12, :index 2}
{:type :ok, :f :write, :value 3, :process 0, :time 13, :index 3}
{:type :fail, :f :cas, :value [3 4], :process 1, :time 14, :error :did-not-succeed, :index 4}
{:type :invoke, :f :read, :value nil, :process 0, :time 15, :index 5}
{:type :info, :f :read, :value nil, :process 0, :time 16, :error [:timeout "5s"], :index 6}
"#;

const VECTOR: &str = r#"; a comment
[#jepsen.history.Op{:process 0, :type :invoke, :f :read, :value #jepsen.independent.Tuple [7 nil]}
 #jepsen.history.Op{:process 0, :type :ok, :f :read, :value #jepsen.independent.Tuple [7 #{2 1}]}
 {:process 1 :type :invoke :f :add :value #clojure.lang.MapEntry [:b 5]} {:process 1 :type :ok :f :add}]
"#;

const LOG: &str = "INFO  jepsen.core - Worker 0 starting\n\
    INFO  jepsen.util - 0\t:invoke\t:write\t2\n\
    INFO  jepsen.util - :nemesis :info :start nil\n\
    INFO  jepsen.util - 1 :invoke :cas [0 1]\n\
    INFO  jepsen.util - 1 :fail :cas [0 1]\n\
    2015-04-01 INFO  jepsen.util - 2\t:invoke\t:read\tnil\n\
    INFO  jepsen.util - 2\t:fail\t:read\t:timed-out\n\
    INFO  jepsen.util - 0\t:info\t:write\t:timed-out\n";

const KV: &str = r#"{:process 2, :type :invoke, :f :append, :key "6", :value "x 2 0 y"}
{:process 1, :type :invoke, :f :get, :key "6", :value nil}
{:process 2, :type :ok, :f :append, :key "6", :value "x 2 0 y"}
{:process 1, :type :ok, :f :get, :key "6", :value ""}
{:process 1, :type :invoke, :f :put, :key "6", :value "z"}
"#;

const SAMPLES: [(&str, Format); 5] = [
    (JSONL, Format::Jsonl),
    (EDN, Format::Edn),
    (VECTOR, Format::Edn),
    (LOG, Format::JepsenLog),
    (KV, Format::PorcupineKv),
];

fn decoded(text: &[u8], format: Option<Format>, is_lenient: bool) -> Result<Decoded, ReadError> {
    let length = Some(text.len() as u64);
    read(&mut &*text, length, "h", format, is_lenient)
}

/// What was asked, how it ended and what was seen.
fn describe(operation: &Operation, values: &Values) -> String {
    let show = |value| values.show(value).to_string();
    let argument = match operation.action {
        Action::Read => String::new(),
        Action::Write(value) | Action::Do(_, value) => show(value),
        Action::Cas { from, to } => format!("{} {}", show(from), show(to)),
    };
    let seen = operation
        .seen
        .map_or_else(String::new, |seen| format!(" saw {}", show(seen)));
    let (word, outcome) = (operation.action.word(), operation.outcome.word());
    format!("{word} {argument} {outcome}{seen}")
}

#[test]
fn what_is_never_checked_is_refused_with_the_reason() {
    let refused = |text: &[u8]| {
        decoded(text, Some(Format::Edn), false)
            .unwrap_err()
            .to_string()
    };
    let lines = [
        refused(b"{:process 0 :type :invoke :f :txn :value [[:r 1 nil]]}"),
        refused(b"{:process 0 :type :invoke :f :drain}"),
        refused(b"{:process :nemesis}\n\xff"),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r"
    h:1: `f` is `:txn`: expected operations on one key each: transactions over several keys are not checked
    h:1: `f` is `:drain`: expected one dequeue for each value: a drain takes many values at unknown times
    h:2: found bytes that are no text: expected UTF-8
    ");
    assert_eq!(
        Format::detect(b"\xef\xbb\xbf; bytes\n{\n:process 1}"),
        Some(Format::Edn)
    );
}

#[test]
fn lenient_reading_leaves_malformed_lines_out_and_counts_them() {
    let broken = [
        JSONL.replacen("\n", "\nnonsense\n{\"process\":7}\n", 1),
        EDN.replacen("\n", "\nnonsense\n{:process 7}\n", 1),
        LOG.replacen(
            "\n",
            "\njepsen.util - 7 nonsense\njepsen.util - 7 :ok :read 1\n",
            1,
        ),
        KV.replacen("\n", "\nnonsense\n{:process 7}\n", 1),
    ];
    for (text, format) in broken.iter().zip(Format::ALL) {
        assert!(decoded(text.as_bytes(), Some(format), false).is_err());
        let found = decoded(text.as_bytes(), Some(format), true).unwrap();
        let (whole, _) = SAMPLES
            .into_iter()
            .find(|(_, other)| *other == format)
            .unwrap();
        let whole = decoded(whole.as_bytes(), None, false).unwrap();
        assert_eq!(found.skipped.count, 2, "{text}");
        assert_eq!(found.skipped.first.unwrap().line, 2, "{text}");
        let count = |history: &History| history.operations.len();
        assert_eq!(count(&found.history), count(&whole.history), "{text}");
    }
}

#[test]
fn what_a_format_cannot_say_is_refused_with_the_reason() {
    let refused = |text: &str, format| {
        let decoded = decoded(text.as_bytes(), None, false).unwrap();
        let found = export(&decoded.history, &decoded.header, format);
        found.unwrap_err().to_string()
    };
    let lines = [
        refused(VECTOR, Format::JepsenLog),
        refused(KV, Format::JepsenLog),
        refused(&KV.replace(":append", ":put"), Format::JepsenLog),
        refused(LOG, Format::PorcupineKv),
        refused(VECTOR, Format::PorcupineKv),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r"
    jepsen-log cannot say more than one key: write --export jsonl:PATH or edn:PATH
    jepsen-log cannot say a text: write --export jsonl:PATH or edn:PATH
    jepsen-log cannot say a text: write --export jsonl:PATH or edn:PATH
    porcupine-kv cannot say `cas`: write --export jsonl:PATH or edn:PATH
    porcupine-kv cannot say a list: write --export jsonl:PATH or edn:PATH
    ");
}

/// What an operation is made of: bytes, its begin and length, and two properties.
type Row = ([u8; 6], u64, u64, [bool; 2]);

/// The values that a format can say: alone, and where lists may stand.
struct Pool {
    format: Format,
    plain: Vec<Value>,
    any: Vec<Value>,
}

impl Pool {
    fn new(format: Format, values: &mut Values) -> Self {
        let texts = ["a", "", "x 1 0 y", "q\"\\\n\té", "nil"].map(|text| values.text(text));
        let numbers = [Value::NIL, Value(-3), Value(0), Value(5), Value(1 << 60)];
        let plain = match format {
            Format::JepsenLog => numbers.to_vec(),
            Format::PorcupineKv => texts.to_vec(),
            Format::Jsonl | Format::Edn => [numbers, texts].concat(),
        };
        let mut any = plain.clone();
        if matches!(format, Format::Jsonl | Format::Edn) {
            let lists: [&[Value]; 3] = [&[], &[Value(1)], &[texts[0], Value::NIL]];
            any.extend(lists.map(|list| values.list(list)));
        }
        Self { format, plain, any }
    }

    fn plain(&self, at: u8) -> Value {
        self.plain[usize::from(at) % self.plain.len()]
    }

    fn any(&self, at: u8) -> Value {
        self.any[usize::from(at) % self.any.len()]
    }

    fn action(&self, what: u8, a: u8, b: u8) -> Action {
        let kinds = match self.format {
            Format::JepsenLog => 3,
            Format::PorcupineKv => 2,
            Format::Jsonl | Format::Edn => 4,
        };
        let verb = Verb::ALL[usize::from(b) % Verb::ALL.len()];
        match (what % kinds, self.format) {
            (0, _) => Action::Read,
            (1, Format::PorcupineKv) if b.is_multiple_of(2) => {
                Action::Do(Verb::Append, self.plain(a))
            }
            (1, _) => Action::Write(self.any(a)),
            (2, _) => Action::Cas {
                from: self.plain(a),
                to: self.plain(b),
            },
            _ if verb.takes_value() => Action::Do(verb, self.plain(a)),
            _ => Action::Do(verb, Value::NIL),
        }
    }

    fn operation(&self, row: Row) -> Operation {
        let ([what, a, b, ended, seen, key], from, length, [has_error, is_told]) = row;
        let action = self.action(what, a, b);
        let outcome = [Outcome::Ok, Outcome::Fail, Outcome::Info][usize::from(ended) % 3];
        let is_open = !is_told && outcome == Outcome::Info;
        let key = if self.format == Format::JepsenLog {
            0
        } else {
            key % 3
        };
        let end = if is_open { u64::MAX } else { from + length };
        Operation {
            process: ProcessId(0),
            key: KeyId(key.into()),
            action,
            invoked: Nanos(from),
            completed: Nanos(end),
            outcome,
            seen: match (action, outcome) {
                (Action::Read | Action::Do(Verb::Dequeue, _), Outcome::Ok) => Some(self.any(seen)),
                (Action::Cas { .. }, Outcome::Fail) if is_told => Some(self.plain(seen)),
                _ => None,
            },
            intended: None,
            node: None,
            version: None,
            error: (has_error && outcome != Outcome::Ok && !is_open).then_some(0),
        }
    }
}

/// A history of operations that `format` can say.
fn history(format: Format) -> impl Strategy<Value = History> {
    let row = (any::<[u8; 6]>(), 0..40_u64, 0..20_u64, any::<[bool; 2]>());
    proptest::collection::vec(row, 0..20).prop_map(move |rows| {
        let mut history = History {
            keys: ["register", "key \"2\"", "3"].map(str::to_owned).to_vec(),
            errors: vec!["connection \"lost\"".to_owned()],
            ..History::default()
        };
        let pool = Pool::new(format, &mut history.values);
        history.operations = rows.into_iter().map(|row| pool.operation(row)).collect();
        history
            .operations
            .sort_by_key(|operation| operation.invoked);
        for (process, operation) in (0..).zip(&mut history.operations) {
            operation.process = ProcessId(process);
        }
        let all: Vec<usize> = (0..history.operations.len()).collect();
        history.part(&all)
    })
}

/// What is left of an operation in a format that has no word for what a failed CAS saw.
fn as_written(history: &History, format: Format) -> Vec<Operation> {
    let is_kept = |o: &&Operation| {
        let is_blind_cas = matches!(o.action, Action::Cas { .. })
            && o.outcome == Outcome::Fail
            && o.seen.is_none();
        format == Format::Jsonl || !is_blind_cas || o.error.is_none()
    };
    let mut operations: Vec<Operation> =
        history.operations.iter().filter(is_kept).cloned().collect();
    for operation in &mut operations {
        let is_cas = matches!(operation.action, Action::Cas { .. });
        if format != Format::Jsonl && is_cas && operation.seen.is_some() {
            (operation.action, operation.outcome) = (Action::Read, Outcome::Ok);
        }
    }
    operations
}

fn precedes(a: &Operation, b: &Operation) -> bool {
    a.completed < b.invoked
}

proptest! {
    #[test]
    fn export_and_read_give_the_same_operations(
        history in prop_oneof![
            history(Format::Jsonl).prop_map(|h| (h, Format::Jsonl)),
            history(Format::Edn).prop_map(|h| (h, Format::Edn)),
            history(Format::JepsenLog).prop_map(|h| (h, Format::JepsenLog)),
            history(Format::PorcupineKv).prop_map(|h| (h, Format::PorcupineKv)),
        ],
    ) {
        let (history, format) = history;
        let bytes = export(&history, &Header::default(), format).unwrap();
        let found = decoded(&bytes, Some(format), false).unwrap().history;
        let expected = as_written(&history, format);
        prop_assert_eq!(found.operations.len(), expected.len());
        for (found_one, one) in found.operations.iter().zip(&expected) {
            prop_assert_eq!(describe(found_one, &found.values), describe(one, &history.values));
            prop_assert_eq!(found.key_name(found_one.key), history.key_name(one.key));
            if matches!(format, Format::Jsonl | Format::Edn) {
                prop_assert_eq!(found_one.process, one.process);
                prop_assert_eq!(found_one.invoked, one.invoked);
                prop_assert_eq!(found_one.completed, one.completed);
            }
        }
        for (a, first) in found.operations.iter().zip(&expected) {
            for (b, second) in found.operations.iter().zip(&expected) {
                prop_assert_eq!(precedes(a, b), precedes(first, second));
            }
        }
    }

    #[test]
    fn an_export_is_seen_to_be_of_its_format(
        history in history(Format::PorcupineKv), own in history(Format::Edn),
    ) {
        for (history, formats) in [(history, Format::ALL), (own, [Format::Edn; 4])] {
            for format in formats {
                let Ok(bytes) = export(&history, &Header::default(), format) else {
                    continue;
                };
                if !bytes.is_empty() {
                    prop_assert_eq!(Format::detect(&bytes), Some(format));
                }
            }
        }
    }

    #[test]
    fn strangers_bytes_are_read_or_refused_but_never_a_panic(
        sample in 0..SAMPLES.len(),
        changes in proptest::collection::vec((0..5_u8, any::<(u16, u16)>(), any::<u8>()), 1..6),
        format in 0..5_usize,
    ) {
        let mut bytes = SAMPLES[sample].0.as_bytes().to_vec();
        for (change, (at, length), byte) in changes {
            mutate(&mut bytes, change, usize::from(at), usize::from(length), byte);
        }
        let format = Format::ALL.get(format).copied();
        for is_lenient in [false, true] {
            let found = decoded(&bytes, format, is_lenient);
            if is_lenient && format.is_some_and(|format| format != Format::Jsonl) {
                prop_assert!(found.is_ok(), "{:?}", found);
            }
            for format in Format::ALL {
                if let Ok(found) = &found {
                    drop(export(&found.history, &found.header, format));
                }
            }
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, change: u8, at: usize, length: usize, byte: u8) {
    const TOKENS: [&str; 18] = [
        "[",
        "]",
        "{",
        "}",
        "(",
        "\x0b",
        "\u{a0}",
        "#",
        "#_",
        "\"",
        "\\",
        "\n",
        ":",
        ";",
        "nil",
        "é",
        "-",
        "99999999999999999999",
    ];
    if bytes.is_empty() {
        return;
    }
    let at = at % bytes.len();
    let end = (at + length % 64).min(bytes.len());
    match change {
        0 => bytes[at] = byte,
        1 => drop(bytes.drain(at..end)),
        2 => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        3 => bytes.truncate(at),
        _ => {
            let token = TOKENS[usize::from(byte) % TOKENS.len()];
            bytes.splice(at..at, token.bytes());
        }
    }
}

#[test]
fn a_long_file_of_unclosed_forms_is_refused_in_time_and_without_deep_recursion() {
    for opened in [
        "[", "{:a ", "(", "#{", "#a ", "#_", "\"", "{:a 1\n", "[\n", "\\", "#_ {\n",
    ] {
        let text = opened.repeat(20_000);
        for format in [Format::Edn, Format::PorcupineKv] {
            assert!(decoded(text.as_bytes(), Some(format), true).is_ok());
        }
    }
}

#[test]
fn the_operations_of_a_part_keep_their_keys_and_values() {
    let history = decoded(KV.as_bytes(), None, false).unwrap().history;
    let part = history.part(&[2, 0]);
    assert_eq!(part.operations.len(), 2);
    assert_eq!(part.keys, ["6"]);
    let Action::Do(Verb::Append, value) = part.operations[0].action else {
        panic!("an append");
    };
    assert_eq!(part.values.content(value), Content::Text("x 2 0 y"));
}
