//! One proxied connection: a pipe in each direction, and how its ends are passed on.
//!
//! A connection can be *struck* at any time, whatever its rules: reset, or left half open, with
//! its target gone and a dialer who does not hear of it.
//!
//! An end that answers data with RST is known first to the pipe that writes to it, but that RST
//! travels on the opposite link: so the opposite pipe passes it on, when its rules allow.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::board::{Blow, Board, Party, Strike};
use super::pipe::{Flow, Pipe};
use super::rule::LinkId;

/// The two ends of a connection that is to be relayed.
pub(super) struct Ends {
    /// The socket of who dialled.
    pub(super) dialer: TcpStream,
    /// The socket to the node that was dialled.
    pub(super) target: TcpStream,
}

/// Which end must be reset when a relay is over, if any.
#[derive(Debug)]
enum Over {
    Closed,
    ResetTarget,
    ResetDialer,
    Struck(Strike),
}

struct Relay<'a> {
    board: &'a Rc<Board>,
    link: LinkId,
    party: &'a Party,
    epoch: Option<u64>,
    forward: Pipe<'a>,
    backward: Pipe<'a>,
}

/// Relays until both sides have finished or one was reset. `link` is the direction from dialer to
/// target, `party` the connection's own.
pub(super) async fn relay(
    board: &Rc<Board>,
    party: &Party,
    link: LinkId,
    framed: bool,
    mut ends: Ends,
) {
    // Without nodelay the proxy would add Nagle's delays; a socket that refuses it still works.
    let _ = ends.dialer.set_nodelay(true);
    let _ = ends.target.set_nodelay(true);
    let over = {
        let (dialer_read, dialer_write) = ends.dialer.split();
        let (target_read, target_write) = ends.target.split();
        let mut relay = Relay {
            board,
            link,
            party,
            epoch: None,
            forward: Pipe::new(dialer_read, target_write, board, link, framed),
            backward: Pipe::new(target_read, dialer_write, board, link.reversed(), framed),
        };
        poll_fn(|cx| relay.poll(cx)).await
    };
    match over {
        Over::Closed => {}
        Over::ResetTarget => reset(ends.target),
        Over::ResetDialer => reset(ends.dialer),
        Over::Struck(strike) => {
            reset(ends.target);
            suffer(strike, party, ends.dialer).await;
        }
    }
}

/// What a strike means for the dialer of a connection that has lost its target.
pub(super) async fn suffer(strike: Strike, party: &Party, dialer: TcpStream) {
    if strike.blow == Blow::Reset {
        reset(dialer);
        return;
    }
    party.lose_target();
    drop(strike);
    // What the dialer sends vanishes, so that it learns nothing; that it leaves must be seen.
    let (mut source, mut nowhere) = (dialer, tokio::io::sink());
    let is_reset = {
        let mut vanish = std::pin::pin!(tokio::io::copy(&mut source, &mut nowhere));
        loop {
            tokio::select! {
                _ = &mut vanish => break false,
                strike = party.struck() => {
                    if strike.blow == Blow::Reset {
                        break true;
                    }
                }
            }
        }
    };
    if is_reset {
        reset(source);
    }
}

/// Closes a socket so that its peer sees RST.
pub(super) fn reset(socket: TcpStream) {
    // If the option is refused the peer sees FIN instead; there is nothing better to do.
    let _ = socket.set_zero_linger();
    drop(socket);
}

impl Relay<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        self.party.watch(cx);
        if let Some(strike) = self.party.take_strike() {
            return Poll::Ready(Over::Struck(strike));
        }
        if self.epoch != Some(self.board.epoch()) {
            let forward = self.board.conditions(self.link);
            let backward = self.board.conditions(self.link.reversed());
            self.forward.obey(forward, backward);
            self.backward.obey(backward, forward);
            self.epoch = Some(self.board.epoch());
            self.party.settle();
        }
        let mut scratch = self.board.scratch.borrow_mut();
        loop {
            let forward = self.forward.poll(cx, &mut scratch);
            if forward == Flow::SinkBroken {
                self.backward.break_source();
            }
            let backward = self.backward.poll(cx, &mut scratch);
            if backward == Flow::SinkBroken && self.forward.break_source() {
                continue;
            }
            return match (forward, backward) {
                (Flow::Reset, _) => Poll::Ready(Over::ResetTarget),
                (_, Flow::Reset) => Poll::Ready(Over::ResetDialer),
                (Flow::Finished, Flow::Finished) => Poll::Ready(Over::Closed),
                (
                    Flow::Waiting | Flow::SinkBroken | Flow::Finished,
                    Flow::Waiting | Flow::SinkBroken | Flow::Finished,
                ) => Poll::Pending,
            };
        }
    }
}
