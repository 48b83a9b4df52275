//! The board: the rules in force, and the proof that everybody has seen them.
//!
//! *Party*: a connection or a listener that acts on the rules. *Epoch*: the number of times that
//! the rules were replaced. A replacement has *landed* when every living party has seen its epoch.
//! Everything here lives on the links thread, so a replacement is atomic: no party can act between
//! two links' change.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::{mpsc, oneshot};

use super::conditions::Conditions;
use super::counters::Counters;
use super::fate::{Draw, FateKey};
use super::frame::{FrameFate, GATHER_MAX};
use super::rule::{LinkId, Rule};
use super::throttle::Turns;
use crate::alarm::{Alarm, Timer};
use crate::seed::Seed;

/// How much is read at once. One buffer serves all connections: what cannot be written on at once
/// is copied out of it.
const SCRATCH: usize = 64 * 1024;

/// State shared by all connections and listeners.
pub(super) struct Board {
    seed: Seed,
    epoch: Cell<u64>,
    table: RefCell<BTreeMap<LinkId, Conditions>>,
    links: RefCell<BTreeMap<LinkId, Rc<LinkState>>>,
    parties: RefCell<BTreeMap<u64, Rc<PartyState>>>,
    next_party: Cell<u64>,
    behind: Cell<usize>,
    awaiting: RefCell<Vec<oneshot::Sender<()>>>,
    /// Of data that is delayed.
    pub(super) alarm: Rc<Alarm>,
    /// The read buffer.
    pub(super) scratch: RefCell<Box<[u8]>>,
}

/// What is counted of one link over the whole run.
pub(super) struct LinkState {
    key: FateKey,
    segments: Cell<u64>,
    jitters: Cell<u64>,
    pieces: Cell<u64>,
    counters: Cell<Counters>,
    /// Whose turn it is where the link is throttled.
    pub(super) turns: Turns,
}

/// What becomes of a segment that is harmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentFate {
    /// Nothing.
    Whole,
    /// It is deleted.
    Deleted,
    /// This bit is flipped.
    Flipped(usize),
}

/// Membership of a party; leaves the board when dropped.
pub(super) struct Party {
    board: Rc<Board>,
    id: u64,
    state: Rc<PartyState>,
}

struct PartyState {
    seen: Cell<u64>,
    waker: RefCell<Option<Waker>>,
    /// Of a connection: the link from its dialer to its target.
    link: Option<LinkId>,
    /// Of a connection: whether its other side is gone already.
    half_open: Cell<bool>,
    strike: RefCell<Option<Strike>>,
}

/// What can happen to a connection as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// Both its ends are reset.
    Reset,
    /// The end at the target is reset; the dialer does not hear of it.
    HalfOpen,
}

/// A blow that a connection must take. It has landed when this is dropped.
#[derive(Debug)]
pub(super) struct Strike {
    /// Which.
    pub(super) blow: Blow,
    /// Held only so that its receiver ends when all strikes of one command have landed.
    _landed: mpsc::UnboundedSender<()>,
}

impl Board {
    pub(super) fn new(seed: Seed, timer: Timer) -> Rc<Self> {
        Rc::new(Self {
            seed,
            epoch: Cell::new(0),
            table: RefCell::default(),
            links: RefCell::default(),
            parties: RefCell::default(),
            next_party: Cell::new(0),
            behind: Cell::new(0),
            awaiting: RefCell::default(),
            alarm: Alarm::new(timer),
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
        })
    }

    /// Replaces all rules at once; `landed` is answered when every party has seen them.
    pub(super) fn publish(&self, rules: &BTreeMap<LinkId, Vec<Rule>>, landed: oneshot::Sender<()>) {
        let table: BTreeMap<LinkId, Conditions> = rules
            .iter()
            .map(|(link, rules)| (*link, Conditions::of(rules)))
            .collect();
        for (link, state) in self.links.borrow().iter() {
            let rate = table.get(link).and_then(|conditions| conditions.rate);
            if self.conditions(*link).rate != rate {
                state.turns.forget();
            }
        }
        *self.table.borrow_mut() = table;
        self.epoch.set(self.epoch.get() + 1);
        self.awaiting.borrow_mut().push(landed);
        self.behind.set(self.parties.borrow().len());
        for party in self.parties.borrow().values() {
            if let Some(waker) = party.waker.borrow_mut().take() {
                waker.wake();
            }
        }
        self.report_if_landed();
    }

    /// How many times the rules were replaced.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// What `link` does at present.
    pub(super) fn conditions(&self, link: LinkId) -> Conditions {
        self.table.borrow().get(&link).copied().unwrap_or_default()
    }

    /// The counts of `link`.
    pub(super) fn link(&self, link: LinkId) -> Rc<LinkState> {
        let mut links = self.links.borrow_mut();
        let state = links.entry(link).or_insert_with(|| {
            Rc::new(LinkState {
                key: FateKey::new(self.seed, link),
                segments: Cell::new(0),
                jitters: Cell::new(0),
                pieces: Cell::new(0),
                counters: Cell::default(),
                turns: Turns::default(),
            })
        });
        Rc::clone(state)
    }

    /// The counts of all links that were ever opened.
    pub(super) fn counters(&self) -> BTreeMap<LinkId, Counters> {
        self.links
            .borrow()
            .iter()
            .map(|(link, state)| (*link, state.counters.get()))
            .collect()
    }

    /// Strikes every connection that carries data of one of `links`, in either direction. Returns
    /// how many, and what ends once all strikes have landed.
    pub(super) fn strike(
        &self,
        blow: Blow,
        links: &BTreeSet<LinkId>,
    ) -> (usize, mpsc::UnboundedReceiver<()>) {
        let (landed, landing) = mpsc::unbounded_channel();
        let mut struck = 0;
        for party in self.parties.borrow().values() {
            let concerns = |link: &LinkId| links.contains(link) || links.contains(&link.reversed());
            let spared = blow == Blow::HalfOpen && party.half_open.get();
            if !party.link.as_ref().is_some_and(concerns) || spared {
                continue;
            }
            struck += 1;
            let _landed = landed.clone();
            party.strike.replace(Some(Strike { blow, _landed }));
            if let Some(waker) = party.waker.borrow_mut().take() {
                waker.wake();
            }
        }
        (struck, landing)
    }

    /// A new party, which has seen the present rules.
    pub(super) fn join(self: &Rc<Self>) -> Party {
        self.join_as(None)
    }

    /// A new connection; `link` is the direction from its dialer to its target.
    pub(super) fn join_connection(self: &Rc<Self>, link: LinkId) -> Party {
        self.join_as(Some(link))
    }

    fn join_as(self: &Rc<Self>, link: Option<LinkId>) -> Party {
        let id = self.next_party.get();
        self.next_party.set(id + 1);
        let state = Rc::new(PartyState {
            seen: self.epoch.clone(),
            waker: RefCell::default(),
            link,
            half_open: Cell::new(false),
            strike: RefCell::default(),
        });
        self.parties.borrow_mut().insert(id, Rc::clone(&state));
        Party {
            board: Rc::clone(self),
            id,
            state,
        }
    }

    fn one_less_behind(&self) {
        self.behind.set(self.behind.get().saturating_sub(1));
        self.report_if_landed();
    }

    fn report_if_landed(&self) {
        if self.behind.get() == 0 {
            for landed in self.awaiting.borrow_mut().drain(..) {
                // Nobody is interested any more if the receiver is gone.
                let _ = landed.send(());
            }
        }
    }
}

impl LinkState {
    /// Judges the next frame, whose body has this length.
    pub(super) fn frame_fate(&self, rules: &Conditions, length: u32) -> FrameFate {
        let mut counters = self.counters.get();
        let index = counters.frames;
        let strikes = |kind, share| share > 0.0 && self.key.draw(kind, index) < share;
        let dropped = strikes(Draw::Frame, rules.frame_loss);
        let bits = u64::from(length) * 8;
        let flips = !dropped && bits > 0 && strikes(Draw::Flip, rules.flip);
        let fate = FrameFate {
            dropped,
            doubled: length <= GATHER_MAX && strikes(Draw::Double, rules.frame_double),
            late: length <= GATHER_MAX && strikes(Draw::Late, rules.frame_late),
            flip: flips.then(|| self.key.draw_below(Draw::FlippedBit, index, bits)),
        };
        counters.frames += 1;
        counters.frames_dropped += u64::from(dropped);
        counters.segments_corrupted += u64::from(flips);
        self.counters.set(counters);
        fate
    }

    /// Judges the next segment, which has `length` bytes, above 0; `flip` is the share of those of
    /// which a bit is flipped.
    pub(super) fn segment_fate(&self, delete: f64, flip: f64, length: usize) -> SegmentFate {
        let index = next(&self.pieces);
        if delete > 0.0 && self.key.draw(Draw::Delete, index) < delete {
            self.count(|counters| counters.segments_deleted += 1);
            return SegmentFate::Deleted;
        }
        if flip > 0.0 && self.key.draw(Draw::SegmentFlip, index) < flip {
            self.count(|counters| counters.segments_corrupted += 1);
            let bits = length as u64 * 8;
            let bit = self.key.draw_below(Draw::SegmentBit, index, bits);
            return SegmentFate::Flipped(usize::try_from(bit).unwrap_or(0));
        }
        SegmentFate::Whole
    }

    /// How many times in a row the next segment is lost (bounded: 64 losses outlast any run).
    pub(super) fn segment_losses(&self, loss: f64) -> u32 {
        if loss <= 0.0 {
            return 0;
        }
        let mut losses = 0;
        while losses < 64 && self.key.draw(Draw::Segment, next(&self.segments)) < loss {
            losses += 1;
        }
        self.count(|counters| {
            counters.segments += 1;
            counters.segments_stalled += u64::from(losses > 0);
        });
        losses
    }

    /// The fate of the next delayed piece.
    pub(super) fn jitter(&self) -> f64 {
        self.key.draw(Draw::Jitter, next(&self.jitters))
    }

    /// Changes the counts.
    pub(super) fn count(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }
}

impl Party {
    /// Declares that the present rules are obeyed from now on.
    pub(super) fn settle(&self) {
        if self.state.seen.replace(self.board.epoch()) != self.board.epoch() {
            self.board.one_less_behind();
        }
    }

    /// The strike that this connection must take now, if any.
    pub(super) fn take_strike(&self) -> Option<Strike> {
        self.state.strike.take()
    }

    /// This connection has one end only from now on.
    pub(super) fn lose_target(&self) {
        self.state.half_open.set(true);
    }

    /// Resolves when this connection is struck. Obeys new rules meanwhile, as one on which nothing
    /// can flow.
    pub(super) async fn struck(&self) -> Strike {
        std::future::poll_fn(|cx| {
            self.watch(cx);
            self.settle();
            self.take_strike().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Asks to be woken when the rules change or this connection is struck.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.state.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Resolves when there are rules that this party has not settled for.
    pub(super) async fn changed(&self) {
        std::future::poll_fn(|cx| {
            self.watch(cx);
            if self.state.seen.get() == self.board.epoch() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.board.parties.borrow_mut().remove(&self.id);
        if self.state.seen.get() != self.board.epoch() {
            self.board.one_less_behind();
        }
    }
}

fn next(counter: &Cell<u64>) -> u64 {
    counter.replace(counter.get() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody is woken by it: the runtime of its timer is gone.
    fn silent_board() -> Rc<Board> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _inside = runtime.enter();
        Board::new(Seed(1), Timer::new().unwrap())
    }

    #[test]
    fn rules_have_landed_only_when_every_living_party_has_seen_them() {
        let board = silent_board();
        let (one, two, three) = (board.join(), board.join(), board.join());
        let (sender, mut landed) = oneshot::channel();
        board.publish(&BTreeMap::new(), sender);
        one.settle();
        one.settle();
        assert!(landed.try_recv().is_err());
        drop(two);
        assert!(landed.try_recv().is_err());
        let _newcomer = board.join();
        three.settle();
        assert!(landed.try_recv().is_ok());
    }

    #[test]
    fn a_strike_concerns_the_connections_of_its_links_and_lands_when_they_have_taken_it() {
        use crate::id::NodeId;
        use crate::link::Endpoint::{Clients, Node};
        let link = |from, to| LinkId::new(Node(NodeId(from)), Node(NodeId(to)));
        let board = silent_board();
        let _gate = board.join();
        let one = board.join_connection(link(1, 2));
        let back = board.join_connection(link(2, 1));
        let clients = board.join_connection(LinkId::new(Clients, Node(NodeId(2))));
        let (struck, mut landing) = board.strike(Blow::Reset, &[link(1, 2)].into());
        assert_eq!(struck, 2);
        assert!(clients.take_strike().is_none());
        drop(one.take_strike());
        assert_eq!(landing.try_recv(), Err(mpsc::error::TryRecvError::Empty));
        // One that is gone needs no blow any more.
        drop(back);
        assert_eq!(
            landing.try_recv(),
            Err(mpsc::error::TryRecvError::Disconnected)
        );
        one.lose_target();
        let (struck, _) = board.strike(Blow::HalfOpen, &[link(2, 1)].into());
        assert_eq!(struck, 0);
    }

    #[test]
    fn rules_land_at_once_where_nobody_listens() {
        let (sender, mut landed) = oneshot::channel();
        silent_board().publish(&BTreeMap::new(), sender);
        assert!(landed.try_recv().is_ok());
    }
}
