//! The gate of one path: the address that a dialer dials, and what it meets there.
//!
//! A gate mirrors its upstream, so that nobody is accepted who would really have been refused:
//! *closed* (dials are refused) while the upstream does not listen, *open* while it does (or where
//! that cannot be seen, on another host), and
//! *silent* while the link is cut in either direction: dials hang, as their SYNs would be lost,
//! whatever the upstream does.
//!
//! A silent gate listens with an accept queue for one connection and fills it with a dial of its
//! own (the *plug*): the kernel then ignores further SYNs. A closed gate keeps its port by a socket
//! that is bound and does not listen.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::board::{Board, Party};
use super::connection::{Ends, relay, reset, suffer};
use super::links::{Framing, Path};
use super::probe::ListenProbe;
use super::rule::{Endpoint, LinkId};

/// The accept queue of an open gate.
const BACKLOG: i32 = 1024;
/// A dial over loopback into an empty accept queue ends at once; one that takes longer met a full
/// queue, which serves the purpose as well.
const PLUG_WAIT: Duration = Duration::from_millis(20);
/// How often an upstream is probed that was started this recently …
const PROBES: [(Duration, Duration); 2] = [
    (Duration::from_secs(2), Duration::from_millis(1)),
    (Duration::from_secs(20), Duration::from_millis(5)),
];
/// … and after that.
const PROBE_LATE: Duration = Duration::from_millis(25);
/// How long to wait when no connection can be accepted (no file descriptors left).
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// What the owner of all paths and the gate of one share.
pub(super) struct PathState {
    /// Who dials whom.
    pub(super) path: Path,
    running: Cell<bool>,
    running_since: Cell<Instant>,
    listening: Cell<bool>,
    nudge: Notify,
}

/// The gate of one path.
pub(super) struct Gate {
    board: Rc<Board>,
    probe: Rc<RefCell<ListenProbe>>,
    state: Rc<PathState>,
    address: SocketAddr,
    /// Bound, never listening: keeps the port while the gate is closed.
    _reservation: TcpSocket,
    party: Party,
    mode: Mode,
    plugs: Vec<SocketAddr>,
    connections: JoinSet<()>,
}

enum Mode {
    Closed,
    Open(TcpListener),
    Silent {
        listener: TcpListener,
        _plug: Option<TcpStream>,
    },
}

impl PathState {
    pub(super) fn new(path: Path) -> Self {
        Self {
            path,
            running: Cell::new(false),
            running_since: Cell::new(Instant::now()),
            listening: Cell::new(false),
            nudge: Notify::new(),
        }
    }

    /// The upstream's process was started, or is gone.
    pub(super) fn set_running(&self, running: bool) {
        self.running.set(running);
        self.running_since.set(Instant::now());
        self.listening.set(false);
        self.nudge.notify_one();
    }

    /// The link on which the dialer's data flows.
    pub(super) fn link(&self) -> LinkId {
        LinkId::new(self.path.dialer, Endpoint::Node(self.path.target))
    }

    fn framed(&self) -> bool {
        self.path.framing == Framing::LengthPrefixed
    }

    fn probe_every(&self) -> Duration {
        let age = self.running_since.get().elapsed();
        PROBES
            .iter()
            .find(|(until, _)| age < *until)
            .map_or(PROBE_LATE, |(_, every)| *every)
    }
}

impl Gate {
    /// A closed gate at `address`; for port 0 the kernel chooses one.
    pub(super) fn new(
        board: &Rc<Board>,
        probe: &Rc<RefCell<ListenProbe>>,
        state: &Rc<PathState>,
        address: SocketAddr,
    ) -> io::Result<(Self, SocketAddr)> {
        let reservation = socket_for(address)?;
        reservation.bind(address)?;
        let address = reservation.local_addr()?;
        let gate = Self {
            board: Rc::clone(board),
            probe: Rc::clone(probe),
            state: Rc::clone(state),
            address,
            _reservation: reservation,
            party: board.join(),
            mode: Mode::Closed,
            plugs: Vec::new(),
            connections: JoinSet::new(),
        };
        Ok((gate, address))
    }

    /// Serves until the task is aborted; its connections end with it.
    pub(super) async fn serve(mut self) {
        loop {
            let probing = self.state.running.get() && !self.state.listening.get();
            if probing {
                let upstream = self.state.path.upstream;
                // Nobody can see whether somebody listens elsewhere: there a refusal is only
                // known when it comes.
                let listening = !upstream.ip().is_loopback()
                    || self.probe.borrow_mut().is_listened_on(upstream.port());
                self.state.listening.set(listening);
            }
            self.follow().await;
            self.party.settle();
            let probing = self.state.running.get() && !self.state.listening.get();
            tokio::select! {
                () = self.party.changed() => {}
                () = self.state.nudge.notified() => {}
                dial = accept(&self.mode) => self.receive(dial).await,
                () = sleep(self.state.probe_every()), if probing => {}
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    /// Brings the gate into the mode that rules and upstream ask for.
    async fn follow(&mut self) {
        let link = self.state.link();
        let cut = self.board.conditions(link).cut || self.board.conditions(link.reversed()).cut;
        let open = self.state.running.get() && self.state.listening.get();
        let mode = std::mem::replace(&mut self.mode, Mode::Closed);
        self.mode = match (mode, cut, open) {
            (Mode::Silent { listener, .. }, false, true) => self.unplug(listener),
            (Mode::Open(listener), true, _) => self.silence(listener).await,
            (Mode::Closed, true, _) => match self.listen(0) {
                Ok(listener) => self.silence(listener).await,
                Err(_) => Mode::Closed,
            },
            (Mode::Closed, false, true) => self.open(),
            (mode @ Mode::Silent { .. }, true, _) | (mode @ Mode::Open(_), false, true) => mode,
            (Mode::Silent { .. } | Mode::Open(_) | Mode::Closed, false, false) => {
                self.plugs.clear();
                Mode::Closed
            }
        };
    }

    /// A gate that cannot be opened (no descriptors left) stays closed and is probed again.
    fn open(&self) -> Mode {
        match self.listen(BACKLOG) {
            Ok(listener) => Mode::Open(listener),
            Err(_) => {
                self.state.listening.set(false);
                Mode::Closed
            }
        }
    }

    fn listen(&self, backlog: i32) -> io::Result<TcpListener> {
        let socket = socket_for(self.address)?;
        socket.bind(self.address)?;
        socket.listen(u32::try_from(backlog).unwrap_or(0))
    }

    /// Makes dials hang. Who had been let in by the kernel before is taken over first.
    async fn silence(&mut self, listener: TcpListener) -> Mode {
        // Fails only for a socket that does not listen, which this one does.
        let _ = rustix::net::listen(&listener, 0);
        while let Poll::Ready(Ok((dialer, from))) =
            poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await
        {
            self.admit(dialer, from);
        }
        let plug = timeout(PLUG_WAIT, TcpStream::connect(self.address)).await;
        let plug = plug.ok().and_then(Result::ok);
        self.plugs
            .extend(plug.as_ref().and_then(|plug| plug.local_addr().ok()));
        Mode::Silent {
            listener,
            _plug: plug,
        }
    }

    fn unplug(&mut self, listener: TcpListener) -> Mode {
        match rustix::net::listen(&listener, BACKLOG) {
            Ok(()) => Mode::Open(listener),
            Err(_) => self.open(),
        }
    }

    async fn receive(&mut self, dial: io::Result<(TcpStream, SocketAddr)>) {
        match dial {
            Ok((dialer, from)) => self.admit(dialer, from),
            Err(_) => sleep(ACCEPT_RETRY).await,
        }
    }

    /// Takes an accepted connection, unless it is the gate's own plug.
    fn admit(&mut self, dialer: TcpStream, from: SocketAddr) {
        if let Some(at) = self.plugs.iter().position(|plug| *plug == from) {
            self.plugs.swap_remove(at);
            return;
        }
        let (board, state) = (Rc::clone(&self.board), Rc::clone(&self.state));
        self.connections
            .spawn_local(async move { connect(&board, &state, dialer).await });
    }
}

/// Connects an accepted dialer with its upstream. A refusal reaches the dialer as RST and closes
/// the gate. The connection can be struck before the upstream has answered.
async fn connect(board: &Rc<Board>, state: &PathState, dialer: TcpStream) {
    let link = state.link();
    let party = board.join_connection(link);
    let dialled = tokio::select! {
        biased;
        strike = party.struck() => return suffer(strike, &party, dialer).await,
        dialled = dial(state.path.upstream) => dialled,
    };
    match dialled {
        Ok(target) => {
            board.link(link).count(|counters| counters.connections += 1);
            let ends = Ends { dialer, target };
            relay(board, &party, link, state.framed(), ends).await;
        }
        Err(_) => {
            state.listening.set(false);
            state.nudge.notify_one();
            reset(dialer);
        }
    }
}

/// Dials an upstream. If that is given up half-way the upstream sees a reset: it may have accepted
/// already.
async fn dial(upstream: SocketAddr) -> io::Result<TcpStream> {
    let socket = if upstream.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_zero_linger()?;
    unpace(&socket, upstream);
    let target = socket.connect(upstream).await?;
    rustix::net::sockopt::set_socket_linger(&target, None)?;
    Ok(target)
}

/// A socket for the family of `address` whose address may be bound while old connections linger.
fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    unpace(&socket, address);
    Ok(socket)
}

/// Takes the simplest congestion control inside of the machine, where there is no congestion: one
/// that paces, as BBR does, would delay what passes the proxy, and of a rule's effects nobody
/// could tell its own. Accepted connections inherit it.
fn unpace(socket: &TcpSocket, address: SocketAddr) {
    if address.ip().is_loopback() {
        // A kernel that refuses keeps its own, which is not wrong.
        let _ = rustix::net::sockopt::set_tcp_congestion(socket, "reno");
    }
}

/// The next dial of an open gate.
async fn accept(mode: &Mode) -> io::Result<(TcpStream, SocketAddr)> {
    match mode {
        Mode::Open(listener) => listener.accept().await,
        Mode::Closed | Mode::Silent { .. } => pending().await,
    }
}
