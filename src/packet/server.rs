//! The process that forwards packets.
//!
//! One thread forwards; between two packets it looks whether there are new rules, so they are in
//! force for all links at the same instant. Another one talks with the harness.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::host;
use super::lane::Lane;
use super::split::{count, split};
use super::tap::CHECKSUM_HEADER;
use super::wire::{Command, Counters, Report, Transport};
use super::wiring::{Port, enter, wire_up};
use crate::id::NodeId;
use crate::link::{Conditions, Endpoint, LinkId, Rule};
use crate::parcel;
use crate::seed::Seed;
use crate::space::{self, Spaces};

/// Forwards between the clients and so many nodes, until its socket, which is standard input, is
/// closed: `__switch NODES SEED`. Must be called before any thread is started.
#[must_use]
pub fn switch_main(arguments: &[OsString]) -> ExitCode {
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If even this cannot be written there is nobody left to tell.
            let _ = writeln!(io::stderr(), "chaos: the switch failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[OsString]) -> io::Result<()> {
    let socket = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let number = |at: usize| -> Option<u64> { arguments.get(at)?.to_str()?.parse().ok() };
    let (Some(nodes), Some(seed)) = (number(0).and_then(|n| u8::try_from(n).ok()), number(1))
    else {
        return Err(io::Error::other("it needs a number of nodes and a seed"));
    };
    let endpoints: Vec<Endpoint> = NodeId::all(nodes)
        .map(Endpoint::Node)
        .chain([Endpoint::Clients])
        .collect();
    let wired = space::leave(Spaces::NETWORK).and_then(|user| Ok((user, wire_up(&endpoints)?)));
    let (user, ports) = match wired {
        Ok(wired) => wired,
        Err(why) => return answer(&socket, &Report::Unavailable(why), None),
    };
    let networks: Vec<(Endpoint, OwnedFd)> = ports
        .iter()
        .map(|port| Ok((port.endpoint, port.network.try_clone()?)))
        .collect::<io::Result<_>>()?;
    let ready = Report::Ready {
        pid: space::own_number()?,
        user,
        networks: networks
            .iter()
            .map(|(endpoint, network)| (*endpoint, network.as_raw_fd()))
            .collect(),
    };
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (orders, inbox) = channel();
    let switch = Forwarder::new(ports, Seed(seed), Arc::clone(&bell), inbox);
    std::thread::Builder::new()
        .name("switch".to_owned())
        .spawn(move || {
            let ended = switch.run();
            let _ = writeln!(io::stderr(), "chaos: the switch ended: {ended:?}");
            // Nothing is forwarded any more: the harness must see that.
            std::process::abort();
        })?;
    answer(&socket, &ready, None)?;
    converse(&socket, &networks, &Desk { orders, bell })
}

/// Obeys until the harness is gone.
fn converse(socket: &OwnedFd, networks: &[(Endpoint, OwnedFd)], desk: &Desk) -> io::Result<()> {
    let mut buffer = vec![0; parcel::LONGEST];
    while let Some((length, _)) = parcel::receive(socket, &mut buffer)? {
        match serde_json::from_slice(&buffer[..length])? {
            Command::Socket(endpoint, transport) => {
                match make_socket(networks, endpoint, transport) {
                    Ok(made) => answer(socket, &Report::Socket, Some(&made))?,
                    Err(error) => answer(socket, &Report::Failed(error.to_string()), None)?,
                }
            }
            Command::Set(rules) => {
                let counted = desk.order(Order::Set(rules))?;
                answer(socket, &Report::Counted(counted), None)?;
            }
            Command::Count => {
                let counted = desk.order(Order::Count)?;
                answer(socket, &Report::Counted(counted), None)?;
            }
        }
    }
    Ok(())
}

fn answer(to: &OwnedFd, report: &Report, file: Option<&OwnedFd>) -> io::Result<()> {
    parcel::send(to, &serde_json::to_vec(report)?, file.map(AsFd::as_fd))
}

/// A socket belongs to the network in which its maker is.
fn make_socket(
    networks: &[(Endpoint, OwnedFd)],
    endpoint: Endpoint,
    transport: Transport,
) -> io::Result<OwnedFd> {
    let mut known = networks.iter();
    let found = known.find(|(known, _)| *known == endpoint);
    let (_, network) = found.ok_or_else(|| io::Error::other("there is no such network"))?;
    enter(network)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let kind = match transport {
        Transport::Stream => SocketType::STREAM,
        Transport::Datagram => SocketType::DGRAM,
    };
    Ok(socket_with(AddressFamily::INET, kind, flags, None)?)
}

/// What the forwarding thread is asked.
enum Order {
    Set(Vec<(LinkId, Vec<Rule>)>),
    Count,
}

type Counted = Vec<(LinkId, Counters)>;

/// Where orders are left for the forwarding thread.
struct Desk {
    orders: Sender<(Order, Sender<Counted>)>,
    bell: Arc<OwnedFd>,
}

impl Desk {
    /// Returns when the order was obeyed.
    fn order(&self, order: Order) -> io::Result<Counted> {
        let gone = || io::Error::other("nobody forwards any more");
        let (sender, obeyed) = channel();
        self.orders.send((order, sender)).map_err(|_| gone())?;
        rustix::io::write(&self.bell, &1_u64.to_ne_bytes())?;
        obeyed.recv().map_err(|_| gone())
    }
}

/// The forwarding thread.
struct Forwarder {
    ports: Vec<Port>,
    /// Of each pair, by the places of its ends among the ports.
    lanes: Vec<(LinkId, Lane)>,
    /// The place of each host among the ports.
    places: [Option<usize>; 256],
    bell: Arc<OwnedFd>,
    inbox: Receiver<(Order, Sender<Counted>)>,
    began: Instant,
}

/// So many packets at most are taken from one port before the others have their turn.
const TURN: usize = 64;
/// Where in a packet the address of its receiver ends.
const RECEIVER: usize = CHECKSUM_HEADER + 5;
/// No packet is longer, even if several are joined in it.
const LONGEST: usize = 128 * 1024;

impl Forwarder {
    fn new(
        ports: Vec<Port>,
        seed: Seed,
        bell: Arc<OwnedFd>,
        inbox: Receiver<(Order, Sender<Counted>)>,
    ) -> Self {
        let mut places = [None; 256];
        for (place, port) in ports.iter().enumerate() {
            places[usize::from(host(port.endpoint))] = Some(place);
        }
        let ends = ports.iter().map(|port| port.endpoint);
        let links = ends
            .clone()
            .flat_map(|from| ends.clone().map(move |to| LinkId::new(from, to)));
        let lanes = links.map(|link| (link, Lane::new(seed, link))).collect();
        Self {
            ports,
            lanes,
            places,
            bell,
            inbox,
            began: Instant::now(),
        }
    }

    fn run(mut self) -> io::Result<()> {
        // Otherwise the kernel may let each of our deadlines wait for 50 µs, to save power.
        nix::sys::prctl::set_timerslack(1)?;
        let mut buffer = vec![0; LONGEST];
        loop {
            let (ordered, ready) = self.wait()?;
            if ordered && !self.obey()? {
                return Ok(());
            }
            for place in ready {
                self.forward(place, &mut buffer)?;
            }
            self.send_due()?;
        }
    }

    /// Waits for orders, packets, or a packet that is due.
    fn wait(&self) -> io::Result<(bool, Vec<usize>)> {
        let mut fds = vec![PollFd::new(&*self.bell, PollFlags::IN)];
        fds.extend(
            self.ports
                .iter()
                .map(|port| PollFd::new(&port.tap, PollFlags::IN)),
        );
        let next = self.lanes.iter().filter_map(|(_, lane)| lane.next()).min();
        let limit = next
            .map(|due| Timespec::try_from(due.saturating_sub(self.began.elapsed())))
            .transpose()
            .map_err(io::Error::other)?;
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let ports = fds[1..].iter().enumerate();
        let ready = ports.filter(|(_, fd)| is_ready(fd)).map(|(place, _)| place);
        Ok((is_ready(&fds[0]), ready.collect()))
    }

    /// Obeys what was ordered; false if nobody can order anything any more.
    fn obey(&mut self) -> io::Result<bool> {
        let mut rings = [0; 8];
        rustix::io::read(&self.bell, &mut rings)?;
        loop {
            match self.inbox.try_recv() {
                Ok((order, answer)) => {
                    let counted = match order {
                        Order::Set(rules) => {
                            let counted = self.count()?;
                            self.set(&rules);
                            counted
                        }
                        Order::Count => self.count()?,
                    };
                    // Who asked may be gone.
                    let _ = answer.send(counted);
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return Ok(true),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(false),
            }
        }
    }

    fn set(&mut self, rules: &[(LinkId, Vec<Rule>)]) {
        for (link, lane) in &mut self.lanes {
            let found = rules.iter().find(|(ruled, _)| ruled == link);
            lane.set(found.map_or_else(Conditions::default, |(_, rules)| Conditions::of(rules)));
        }
    }

    fn count(&mut self) -> io::Result<Counted> {
        let count = self.ports.len();
        for (place, port) in self.ports.iter().enumerate() {
            // Nobody knows to whom these were sent: they are counted once.
            let overflowed = port.tap.overflowed()?;
            self.lanes[place * count].1.overflow(overflowed.into());
        }
        let crossed = |(link, lane): &(LinkId, Lane)| (*link, lane.counters());
        Ok(self.lanes.iter().map(crossed).collect())
    }

    /// Takes what came from one port.
    fn forward(&mut self, from: usize, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..TURN {
            let Some(length) = self.ports[from].tap.take(buffer)? else {
                return Ok(());
            };
            let to = buffer[..length].get(RECEIVER);
            let Some(to) = to.and_then(|to| self.places[usize::from(*to)]) else {
                continue;
            };
            let lane = &mut self.lanes[from * self.ports.len() + to].1;
            let packet = &buffer[..length];
            if lane.is_clear() {
                lane.passes(count(packet), length.saturating_sub(CHECKSUM_HEADER));
                if !self.ports[to].tap.put(packet)? {
                    lane.overflow(1);
                }
            } else {
                let now = self.began.elapsed();
                split(packet, |packet| {
                    lane.offer(now, packet, packet.len().saturating_sub(CHECKSUM_HEADER));
                });
            }
        }
        Ok(())
    }

    /// Sends what is due.
    fn send_due(&mut self) -> io::Result<()> {
        let count = self.ports.len();
        for (place, (_, lane)) in self.lanes.iter_mut().enumerate() {
            while lane.next().is_some() {
                let now: Duration = self.began.elapsed();
                let Some(packet) = lane.due(now) else { break };
                if !self.ports[place % count].tap.put(&packet)? {
                    lane.overflow(1);
                }
            }
        }
        Ok(())
    }
}
