//! What there is to know of each fault: the text from which the chapter of
//! `docs/plan-reference.md` is made. A test holds it against the registry, parses every example,
//! and holds the chapter against this.

use super::FaultSpec;

/// What there is to know of one fault.
#[derive(Debug, Clone, Copy)]
pub struct Manual {
    /// The verb.
    pub verb: &'static str,
    /// Its own parameters: name, form with unit, default (`required` if there is none), meaning.
    pub parameters: &'static [[&'static str; 4]],
    /// What it does in the kernel's terms, and what it is like in life.
    pub does: &'static str,
    /// What it needs beside the harness itself.
    pub needs: &'static str,
    /// How it is verified to be in force.
    pub landed: &'static str,
    /// How it ends.
    pub ends: &'static str,
    /// One step that parses.
    pub example: &'static str,
}

const NODE: [&str; 4] = ["node", "node words", "required", "whom it strikes"];
const ENDS: [&str; 4] = [
    "between, or from with to",
    "node words or `clients`",
    "required",
    "`between: [A, B]` is both directions, `from: A, to: B` is one",
];
const FRAMED_ENDS: [&str; 4] = [
    "between, or from with to",
    "node words",
    "required",
    "as for `drop`; only links between nodes, whose messages the harness can tell apart",
];
const PROXY: &str = "Every connection of the link and every listener has seen the new rules.";
const NOTHING: &str = "nothing";
const PASSES_AGAIN: &str = "The link passes again; what was held is delivered in order.";

/// All faults, in the order of the registry.
pub const MANUALS: &[Manual] = &[
    Manual {
        verb: "kill",
        parameters: &[NODE],
        does: "SIGKILL through a pidfd. The kernel closes the connections of the process, so peers \
               see an end of file at once. What the process had written stays in the page cache: \
               only `power_off` can lose it.",
        needs: NOTHING,
        landed: "The pidfd becomes readable and the process was reaped.",
        ends: "`start`, `for:` or `heal`: the node is started again.",
        example: "kill: {node: leader, for: 2s}",
    },
    Manual {
        verb: "terminate",
        parameters: &[
            NODE,
            [
                "grace",
                "duration",
                "10s",
                "SIGKILL follows if it has not ended by then",
            ],
        ],
        does: "SIGTERM, and SIGCONT in case it is stopped: an orderly shutdown, as of an upgrade.",
        needs: NOTHING,
        landed: "As for `kill`.",
        ends: "As for `kill`.",
        example: "terminate: {node: any follower, grace: 5s, for: 3s}",
    },
    Manual {
        verb: "power_off",
        parameters: &[
            NODE,
            [
                "lose_unsynced",
                "true or false",
                "false",
                "what was written and not synced is lost too, as by `disk`",
            ],
        ],
        does: "Every link of the node is cut in both directions, then it gets SIGKILL: no FIN and \
               no RST leaves it, as when a machine loses its power. Silence is all by which peers \
               can tell; their dials hang. With `lose_unsynced` its files are put back to what \
               the last completed fsync of each made durable, once the process is gone.",
        needs: "nothing; with `lose_unsynced` what `disk` needs",
        landed: "The rules were seen by every connection before the signal was sent; then as for \
                 `kill`. The record tells how many files, bytes and names were lost.",
        ends: "Its links pass again, then the node is started.",
        example: "power_off: {node: leader, for: 5s}",
    },
    Manual {
        verb: "pause",
        parameters: &[NODE],
        does: "SIGSTOP: all threads stand still, connections stay open and the kernel goes on to \
               acknowledge data for it. As a long garbage collection or a stalled host.",
        needs: NOTHING,
        landed: "Every thread in /proc/PID/task is in state T.",
        ends: "SIGCONT, seen in the same place.",
        example: "pause: {node: leader, for: 6s}",
    },
    Manual {
        verb: "stutter",
        parameters: &[
            NODE,
            [
                "share",
                "percentage, or a range",
                "required",
                "how much of the time it runs",
            ],
            [
                "period",
                "duration, at least 20ms",
                "100ms",
                "from one stop to the next",
            ],
        ],
        does: "SIGSTOP and SIGCONT in turn, from a thread of the harness: as a host that is short \
               of processors. All its threads stand still together, unlike on a slow processor.",
        needs: NOTHING,
        landed: "Every thread was seen in state T once. A new process of the node stutters too.",
        ends: "SIGCONT.",
        example: "stutter: {node: any, share: 20%, period: 100ms, for: 5s}",
    },
    Manual {
        verb: "fd_limit",
        parameters: &[
            NODE,
            [
                "soft",
                "number",
                "required",
                "the soft RLIMIT_NOFILE; the hard one stays",
            ],
        ],
        does: "prlimit(2) on the running process. Open descriptors stay open; the next open, \
               accept or socket fails with EMFILE.",
        needs: NOTHING,
        landed: "/proc/PID/limits shows it. A new process of the node is limited too.",
        ends: "The limit from before is set again.",
        example: "fd_limit: {node: any follower, soft: 24, for: 5s}",
    },
    Manual {
        verb: "disk",
        parameters: &[
            NODE,
            [
                "stall",
                "duration",
                "none",
                "the calls that are meant take so much longer",
            ],
            [
                "errno",
                "EIO, ENOSPC, EDQUOT or EROFS",
                "none",
                "the calls that are meant fail and change nothing",
            ],
            [
                "full",
                "true",
                "none",
                "what needs space fails with ENOSPC, and statfs shows none; files can be \
                 overwritten and removed",
            ],
            [
                "lose_unsynced",
                "true",
                "none",
                "the machine loses its power and what was not synced: now, or with `at` at a call",
            ],
            [
                "torn",
                "{file, nth, parts, keep}",
                "none",
                "the power fails in the nth write of the file: of so many parts of it, only those \
                 that are named (from 1) reach the disk",
            ],
            [
                "at",
                "{op, file, nth, when}",
                "{op: fsync, nth: 1}",
                "which calls: `op` is open, create, read, write, truncate, fsync, rename or \
                 remove; `file` a name, or a path below the data folder, with `*`; from the nth \
                 on, counted from the beginning of the fault; `when: after` lets the call at which \
                 the power fails be done",
            ],
            [
                "within",
                "duration",
                "10s",
                "how long a power failure waits for its call; if it does not come the fault missed",
            ],
        ],
        does: "The node's data folder lies on a file system in user space (FUSE) from the start of \
               the run, mounted where only the node sees it. Calls go through to the folder below; \
               a rule makes them wait, or answers with an error. Before each write, what it \
               destroys is put aside until an fsync has completed, so that a power failure can \
               put it back. One exchange with the file system costs tens of microseconds \
               (docs/disk.md).",
        needs: "/dev/fuse and a mount namespace: root, or user namespaces for everybody",
        landed: "The file system has confirmed the rule; the record tells how many calls met it. A \
                 power failure: the process was reaped and the files were put back.",
        ends: "The rule is lifted. After a power failure as for `power_off`.",
        example: "disk: {node: leader, stall: 200ms, at: {op: fsync, file: \"log*\"}, for: 5s}",
    },
    Manual {
        verb: "clock",
        parameters: &[
            NODE,
            [
                "bump",
                "signed duration, or a range: -5m..5m",
                "one or more",
                "the wall clock jumps",
            ],
            [
                "strobe",
                "{by, period}: durations",
                "one or more",
                "the wall clock is ahead in every second period",
            ],
            [
                "rate",
                "0.1 to 10",
                "one or more",
                "both clocks run this fast",
            ],
        ],
        does: "The node itself goes by other clocks than the kernel's: the wall clock (what clients \
               see as times) and, with `rate`, the monotonic one (timeouts, heartbeats), which \
               never goes back. The host's clock and the traces stay true.",
        needs: "the bundled node",
        landed: "The node has answered that it goes by the new clock.",
        ends: "The wall clock is right again; the monotonic one goes on at the right rate.",
        example: "clock: {node: leader, bump: -30s, rate: 1.05, for: 10s}",
    },
    Manual {
        verb: "file",
        parameters: &[
            NODE,
            [
                "path",
                "path",
                "required",
                "below the node's folder; `*` is any part of one name",
            ],
            [
                "bitflip",
                "probability: 1e-4, 0.1%",
                "one of six",
                "of each bit to flip",
            ],
            [
                "truncate",
                "bytes: -64, 64",
                "one of six",
                "cut off the end, or all that are kept",
            ],
            [
                "wipe",
                "true",
                "one of six",
                "the file is removed; a folder is emptied",
            ],
            [
                "copy_chunks",
                "{chunk, every, offset}",
                "one of six",
                "chunks of this length are overwritten with others of the same file: one in \
                 `every` (1), from the number `offset` on; by default another one on each node, \
                 so that with `every` not less than the nodes each chunk is left whole elsewhere",
            ],
            [
                "snapshot",
                "{chunk, every, offset}",
                "one of six",
                "chunks are saved; nothing changes yet",
            ],
            [
                "restore",
                "{chunk, every, offset}",
                "one of six",
                "chunks that were saved are put back over what was written since",
            ],
        ],
        does: "The files are changed behind the node's back, as by a bad disk or a careless hand. \
               Which bits flip, and which chunks come instead, follows from the seed. Links are \
               not followed.",
        needs: NOTHING,
        landed: "At least one file has changed (or chunk was saved); otherwise the fault has missed.",
        ends: "It is done once. Nothing heals it but the node itself.",
        example: "file: {node: any follower, path: data/log*, truncate: -64}",
    },
    Manual {
        verb: "isolate",
        parameters: &[
            NODE,
            [
                "clients",
                "true, false",
                "false",
                "from the clients as well",
            ],
        ],
        does: "`cut` in both directions between the node and every other one.",
        needs: NOTHING,
        landed: PROXY,
        ends: PASSES_AGAIN,
        example: "isolate: {node: leader, clients: true, for: 5s}",
    },
    Manual {
        verb: "split",
        parameters: &[
            [
                "groups",
                "lists of node words",
                "one of two",
                "who can reach each other",
            ],
            [
                "into",
                "halves, minority_third, majorities_ring, bridge, islands",
                "one of two",
                "a shape, over nodes in random order",
            ],
        ],
        does: "`cut` in both directions between nodes that share no group.",
        needs: NOTHING,
        landed: PROXY,
        ends: PASSES_AGAIN,
        example: "split: {into: majorities_ring, for: 10s}",
    },
    Manual {
        verb: "cut",
        parameters: &[ENDS],
        does: "Nothing is read from the sender any more, so nothing is lost either: as in TCP over \
               a broken wire, all of it arrives after the heal. New dials hang as their SYNs \
               would, whatever the other end does.",
        needs: NOTHING,
        landed: PROXY,
        ends: PASSES_AGAIN,
        example: "cut: {from: followers, to: leader, for: 10s}",
    },
    Manual {
        verb: "drop",
        parameters: &[
            ENDS,
            [
                "loss",
                "percentage, or a range",
                "required",
                "how much is lost",
            ],
            [
                "layer",
                "frame, stall, corrupt; packet",
                "frame; packet",
                "of what a loss consists; packet with `network: packet`, which has no other",
            ],
        ],
        does: "`frame`: whole messages between nodes vanish; which ones follows from seed, link \
               and index alone. `stall`: a segment (of at most 1448 bytes) and all behind it wait \
               for TCP's retransmission timeout (200 ms, doubling) or a fast retransmit. \
               `corrupt`: the bytes of segments are deleted from the stream, which no network \
               does: it tries how robust a protocol is. `packet`: IP packets vanish, SYNs and \
               acknowledgements too, and TCP sends again.",
        needs: NOTHING,
        landed: PROXY,
        ends: PASSES_AGAIN,
        example: "drop: {between: [leader, any follower], loss: 30%, layer: frame, for: 20s}",
    },
    Manual {
        verb: "delay",
        parameters: &[
            ENDS,
            [
                "by",
                "duration, fixed or drawn",
                "required",
                "how late everything is",
            ],
            [
                "jitter",
                "duration",
                "0s",
                "how much that varies, see `dist`",
            ],
            [
                "dist",
                "uniform, normal, pareto",
                "uniform",
                "`jitter` is the half width, the standard deviation, or the mean of what comes on top",
            ],
        ],
        does: "Bytes are held for that long and leave in the order in which they came, as a queue \
               would let them. At most 8 MiB are held.",
        needs: NOTHING,
        landed: PROXY,
        ends: "Data that is held keeps its time; new data passes.",
        example: "delay: {between: [clients, all], by: 20ms, jitter: 5ms, dist: normal, for: 10s}",
    },
    Manual {
        verb: "throttle",
        parameters: &[
            ENDS,
            [
                "rate",
                "bytes per second: 100kB/s, 2MB/s",
                "required",
                "of each directed link",
            ],
        ],
        does: "A bucket of tokens for each directed link, shared by its connections: no more than \
               that passes. Nothing is lost; the sender's buffers fill.",
        needs: NOTHING,
        landed: PROXY,
        ends: "All passes at full speed.",
        example: "throttle: {from: leader, to: any follower, rate: 100kB/s, for: 10s}",
    },
    Manual {
        verb: "corrupt",
        parameters: &[
            ENDS,
            [
                "share",
                "percentage, or a range",
                "required",
                "how many messages are hit",
            ],
        ],
        does: "One bit is flipped in a share of the messages between nodes (never in their length), \
               or of the segments of clients: what gets past a checksum of TCP.",
        needs: NOTHING,
        landed: PROXY,
        ends: PASSES_AGAIN,
        example: "corrupt: {between: [any, any other], share: 1%, for: 10s}",
    },
    Manual {
        verb: "duplicate",
        parameters: &[
            FRAMED_ENDS,
            [
                "share",
                "percentage, or a range",
                "required",
                "how many messages come twice",
            ],
        ],
        does: "Whole messages are sent twice, as by a sender that repeats itself after a reconnect.",
        needs: NOTHING,
        landed: PROXY,
        ends: PASSES_AGAIN,
        example: "duplicate: {between: [leader, followers], share: 5%, for: 10s}",
    },
    Manual {
        verb: "reorder",
        parameters: &[
            FRAMED_ENDS,
            [
                "share",
                "percentage, or a range",
                "required",
                "how many messages are overtaken",
            ],
        ],
        does: "A message is overtaken by the next one, or comes 50 ms late where none follows.",
        needs: NOTHING,
        landed: PROXY,
        ends: PASSES_AGAIN,
        example: "reorder: {between: [leader, followers], share: 5%, for: 10s}",
    },
    Manual {
        verb: "reset",
        parameters: &[ENDS],
        does: "Every connection between the two, whoever dialled, is reset at both ends (RST), \
               whatever else is wrong with the link.",
        needs: NOTHING,
        landed: "At least one connection was reset; otherwise the fault has missed.",
        ends: "It is done once; new connections are as good as before.",
        example: "reset: {between: [clients, leader]}",
    },
    Manual {
        verb: "half_open",
        parameters: &[ENDS],
        does: "Every connection between the two is reset at the end that was dialled. Who dialled \
               hears nothing, and what it sends vanishes: as when a peer rebooted behind a \
               firewall.",
        needs: NOTHING,
        landed: "At least one connection was struck; otherwise the fault has missed.",
        ends: "It is done once; whoever notices dials again.",
        example: "half_open: {between: [leader, any follower]}",
    },
];

/// The chapter on faults of the plan reference, in Markdown. Ends with a newline.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from("| fault | what it is |\n|---|---|\n");
    for (verb, summary) in FaultSpec::ENTRIES {
        text.push_str(&format!("| `{verb}` | {summary} |\n"));
    }
    for manual in MANUALS {
        text.push_str(&format!("\n### `{}`\n\n{}\n\n", manual.verb, manual.does));
        text.push_str("| parameter | form | default | meaning |\n|---|---|---|---|\n");
        for [name, form, default, meaning] in manual.parameters {
            text.push_str(&format!("| `{name}` | {form} | {default} | {meaning} |\n"));
        }
        text.push_str(&format!(
            "\n*Needs* {}. *Landed*: {} *Ends*: {}\n\n```\n- {}\n```\n",
            manual.needs, manual.landed, manual.ends, manual.example
        ));
    }
    text
}
