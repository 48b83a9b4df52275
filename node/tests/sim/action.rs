//! What is done to a simulated cluster: a schedule is a list of these, each with its time.
//!
//! An action names its node by a number or by what the node is when the action comes, so that a
//! schedule depends on nothing but its seed, and what is left of it means the same when other
//! actions are taken away.

use std::fmt;

use super::net::Rule;
use super::world::MILLI;

/// A node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// This one.
    Node(usize),
    /// The one that leads; if none does, this one.
    Leader(usize),
    /// This one, but never the leader: the next one then.
    Follower(usize),
}

/// Which ways of a node are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Both,
    Sends,
    Hears,
}

/// The kinds of messages at which a crash is aimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    NewEpoch,
    AckEpoch,
    Truncate,
    SyncEntries,
    NewLeader,
    AckNewLeader,
    UpToDate,
    Proposal,
    Ack,
    Commit,
}

/// A boundary between two steps of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// An output, whichever.
    Output,
    /// The sending of such a message.
    Say(Word),
    /// A batch is handed to the disk.
    Issue,
    /// A batch is on the disk, but the node does not know yet.
    Written,
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    /// The node ends; an error of its disk has the same effect.
    Crash,
    /// All nodes end.
    PowerCut,
    /// The leader ends, or this node if there is none.
    CrashLeader,
    /// The node is cut off.
    Isolate,
}

/// An appointment: at the `nth` point of this kind from now, this happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trap {
    pub(crate) point: Point,
    pub(crate) nth: u64,
    /// Behind the point instead of before it.
    pub(crate) after: bool,
    pub(crate) strike: Strike,
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Write(Who, u64),
    Read(Who),
    /// A model client does something.
    Client(usize),
    Compact(Who),
    Crash(Who),
    /// So many nodes at once, from this one on.
    CrashSome(Who, usize),
    Start(Who),
    StartAll,
    Trap(Who, Trap),
    Pause(Who),
    Resume(Who),
    ResumeAll,
    /// The clock of a node leaps forward by so many nanoseconds.
    Leap(Who, u64),
    /// One way between two nodes, or both.
    Link(Who, Who, Rule, bool),
    Isolate(Who, Way),
    /// All links.
    Weather(Rule),
    Heal,
    /// The connection between two nodes breaks.
    Break(Who, Who),
    /// A second connection appears at the second node, which the first does not know of.
    Ghost(Who, Who),
    /// Every frame takes up to so much longer.
    Slow(u64),
    /// A disk sometimes takes that long.
    SlowDisk(Who, u64),
    /// A disk finishes nothing for so long.
    StickDisk(Who, u64),
}

/// An action and when it comes, in nanoseconds from the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) at: u64,
    pub(crate) action: Action,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "n{}", node + 1),
            Self::Leader(node) => write!(f, "the leader (or n{})", node + 1),
            Self::Follower(node) => write!(f, "n{} (or the next, if it leads)", node + 1),
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.after { "after" } else { "before" };
        let Self {
            point, nth, strike, ..
        } = self;
        write!(f, "{strike:?} {side} {point:?} number {nth} from now")
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |nanos: &u64| *nanos as f64 / MILLI as f64;
        match self {
            Self::Write(who, count) => write!(f, "{count} writes at {who}"),
            Self::Read(who) => write!(f, "a read at {who}"),
            Self::Client(index) => write!(f, "client {index} asks"),
            Self::Compact(who) => write!(f, "{who} takes a snapshot"),
            Self::Crash(who) => write!(f, "{who} crashes"),
            Self::CrashSome(who, count) => write!(f, "{count} nodes crash from {who} on"),
            Self::Start(who) => write!(f, "{who} starts"),
            Self::StartAll => write!(f, "all start"),
            Self::Trap(who, trap) => write!(f, "{who}: {trap}"),
            Self::Pause(who) => write!(f, "{who} is stopped"),
            Self::Resume(who) => write!(f, "{who} runs on"),
            Self::ResumeAll => write!(f, "all run on"),
            Self::Leap(who, by) => write!(f, "the clock of {who} leaps by {} ms", millis(by)),
            Self::Link(from, to, rule, both) => {
                let arrow = if *both { "<->" } else { "->" };
                write!(f, "link {from} {arrow} {to}: {rule:?}")
            }
            Self::Isolate(who, way) => write!(f, "{who} is cut off ({way:?})"),
            Self::Weather(rule) => write!(f, "all links: {rule:?}"),
            Self::Heal => write!(f, "all links heal"),
            Self::Break(one, two) => write!(f, "the connection of {one} and {two} breaks"),
            Self::Ghost(one, two) => write!(f, "a ghost of {one} connects to {two}"),
            Self::Slow(by) => write!(f, "all frames up to {} ms late", millis(by)),
            Self::SlowDisk(who, worst) => {
                write!(f, "the disk of {who} takes up to {} ms", millis(worst))
            }
            Self::StickDisk(who, length) => {
                write!(f, "the disk of {who} is stuck for {} ms", millis(length))
            }
        }
    }
}
