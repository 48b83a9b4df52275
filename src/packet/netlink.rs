//! Network interfaces, made and set up by messages to the kernel (rtnetlink, RFC 3549).
//!
//! Four kinds of messages are all that is needed, so they are written by hand
//! (docs/decisions/0015-packets-between-namespaces.md). Everything concerns the network namespace
//! of the thread that opened the [`Netlink`].

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The address of an interface on its wire.
pub(super) type Mac = [u8; 6];

/// The conversation with one network namespace.
#[derive(Debug)]
pub(super) struct Netlink(OwnedFd);

/// A cable: one end here, the other in another namespace.
#[derive(Debug)]
pub(super) struct Cable<'a> {
    /// The interface here.
    pub(super) name: &'a str,
    /// The interface there, its address,
    pub(super) far_name: &'a str,
    pub(super) far_mac: Mac,
    /// and where that is.
    pub(super) far: BorrowedFd<'a>,
    /// Bytes of the longest packet.
    pub(super) mtu: u32,
}

/// The loopback interface of any network namespace.
pub(super) const LOOPBACK: u32 = 1;

impl Netlink {
    /// Opens it to the namespace of this thread.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        // Its first protocol, which needs no name, is that of interfaces and addresses.
        let socket = rustix::net::socket_with(family, kind, flags, None)?;
        Ok(Self(socket))
    }

    /// Lays a cable.
    pub(super) fn lay(&self, cable: &Cable<'_>) -> io::Result<()> {
        let mtu = cable.mtu.to_ne_bytes();
        let far = cable.far.as_raw_fd().to_ne_bytes();
        let peer = Message::body(&INTERFACE)
            .attribute(IFNAME, &text(cable.far_name))
            .attribute(ADDRESS, &cable.far_mac)
            .attribute(MTU, &mtu)
            .attribute(NET_NS_FD, &far);
        let data = Message::default().attribute(VETH_PEER, &peer.0);
        let info = Message::default()
            .attribute(INFO_KIND, b"veth")
            .attribute(INFO_DATA, &data.0);
        let link = Message::body(&INTERFACE)
            .attribute(IFNAME, &text(cable.name))
            .attribute(MTU, &mtu)
            .attribute(LINKINFO, &info.0);
        self.ask(NEW_LINK, CREATE | EXCLUSIVE, &link)
    }

    /// Switches an interface on.
    pub(super) fn switch_on(&self, interface: u32) -> io::Result<()> {
        let mut body = INTERFACE;
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        body[8..12].copy_from_slice(&UP.to_ne_bytes());
        body[12..16].copy_from_slice(&UP.to_ne_bytes());
        self.ask(NEW_LINK, 0, &Message::body(&body))
    }

    /// Gives an interface an address in a network of 2^(32 − prefix) addresses.
    pub(super) fn address(&self, interface: u32, ip: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut body = [IPV4, prefix, 0, 0, 0, 0, 0, 0];
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        let message = Message::body(&body)
            .attribute(LOCAL, &ip.octets())
            .attribute(IFA_ADDRESS, &ip.octets());
        self.ask(NEW_ADDRESS, CREATE | EXCLUSIVE, &message)
    }

    /// Tells for good which wire address belongs to an address of that network, so that nobody
    /// ever needs to ask around.
    pub(super) fn neighbour(&self, interface: u32, ip: Ipv4Addr, mac: Mac) -> io::Result<()> {
        let mut body = [0; 12];
        body[0] = IPV4;
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        body[8..10].copy_from_slice(&PERMANENT.to_ne_bytes());
        let message = Message::body(&body)
            .attribute(DESTINATION, &ip.octets())
            .attribute(WIRE_ADDRESS, &mac);
        self.ask(NEW_NEIGHBOUR, CREATE | EXCLUSIVE, &message)
    }

    /// Sends one request and waits until the kernel has confirmed it.
    fn ask(&self, kind: u16, flags: u16, message: &Message) -> io::Result<()> {
        let length = HEADER + message.0.len();
        let mut bytes = Vec::with_capacity(length);
        let total = u32::try_from(length).map_err(io::Error::other)?;
        bytes.extend(total.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST | CONFIRM).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(&message.0);
        rustix::net::send(&self.0, &bytes, SendFlags::empty())?;
        let mut answer = [0; 4096];
        let (got, _) = rustix::net::recv(&self.0, &mut answer[..], RecvFlags::empty())?;
        confirmed(&answer[..got])
    }
}

/// What the kernel answered.
fn confirmed(answer: &[u8]) -> io::Result<()> {
    let field = |at: usize| -> Option<[u8; 4]> { answer.get(at..at + 4)?.try_into().ok() };
    let is_error = answer.get(4..6) == Some(&ERROR.to_ne_bytes()[..]);
    match field(HEADER).map(i32::from_ne_bytes) {
        Some(0) if is_error => Ok(()),
        Some(code) if is_error => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(io::Error::other("an answer without sense")),
    }
}

/// The part of a message behind its header: attributes, mostly behind a fixed body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Message(Vec<u8>);

impl Message {
    fn body(body: &[u8]) -> Self {
        Self(body.to_vec())
    }

    /// Appends `[u16 length][u16 kind][value]`, filled up to four bytes.
    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

fn text(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Bytes in front of every message.
const HEADER: usize = 16;
const REQUEST: u16 = 1;
const CONFIRM: u16 = 4;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
const ERROR: u16 = 2;

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_NEIGHBOUR: u16 = 28;

/// Of any family, any kind, not known by number.
const INTERFACE: [u8; 16] = [0; 16];
const UP: u32 = 1;
const ADDRESS: u16 = 1;
const IFNAME: u16 = 3;
const MTU: u16 = 4;
const LINKINFO: u16 = 18;
const NET_NS_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;

const IPV4: u8 = 2;
const IFA_ADDRESS: u16 = 1;
const LOCAL: u16 = 2;

const DESTINATION: u16 = 1;
const WIRE_ADDRESS: u16 = 2;
const PERMANENT: u16 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_filled_up_to_four_bytes_and_nest() {
        let inner = Message::default().attribute(1, b"veth");
        let outer = Message::default()
            .attribute(3, b"e0\0")
            .attribute(18, &inner.0);
        let mut expected = Vec::new();
        expected.extend(7_u16.to_ne_bytes());
        expected.extend(3_u16.to_ne_bytes());
        expected.extend(b"e0\0\0");
        expected.extend(12_u16.to_ne_bytes());
        expected.extend(18_u16.to_ne_bytes());
        expected.extend(8_u16.to_ne_bytes());
        expected.extend(1_u16.to_ne_bytes());
        expected.extend(b"veth");
        assert_eq!(outer.0, expected);
    }

    #[test]
    fn the_kernel_confirms_by_an_error_of_zero() {
        let answer = |code: i32| {
            let mut bytes = vec![0; HEADER];
            bytes[4..6].copy_from_slice(&ERROR.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            bytes
        };
        assert!(confirmed(&answer(0)).is_ok());
        let refused = confirmed(&answer(-1)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(1));
        assert!(confirmed(&[]).is_err());
    }
}
