//! A tap: takes the packets that arrive on an interface as they are on the wire, and puts others
//! on it (`packet(7)`).
//!
//! Each packet comes behind a header that says whether its checksum is still to be computed
//! (`struct virtio_net_hdr`); it goes along unchanged, so nobody has to compute one.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with,
};

/// Bytes of the header in front of each packet.
pub(super) const CHECKSUM_HEADER: usize = 10;

/// Only IPv4 passes: addresses on the wire are known in advance, and nothing else is in use.
const IPV4: u16 = 0x0800;

/// How many bytes may wait to be taken; more than any TCP sends ahead.
const WAITING: libc::c_int = 32 * 1024 * 1024;

/// The tap of one interface.
#[derive(Debug)]
pub(super) struct Tap(OwnedFd);

impl Tap {
    /// Opens it in the network namespace of this thread.
    pub(super) fn open(interface: u32) -> io::Result<Self> {
        let kind = NonZeroU32::new(u32::from(IPV4.to_be())).map(Protocol::from_raw);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, kind)?;
        set(&socket, libc::SOL_PACKET, PACKET_VNET_HDR, 1)?;
        // Only root may have so much; for others it is what the kernel allows.
        if set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, WAITING).is_err() {
            set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, WAITING)?;
        }
        if set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, WAITING).is_err() {
            set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, WAITING)?;
        }
        bind(&socket, interface)?;
        Ok(Self(socket))
    }

    /// Takes the next packet behind its header; `None` if there is none at present. What does not
    /// fit into the buffer is cut off.
    pub(super) fn take(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::net::recv(&self.0, buffer, RecvFlags::empty()) {
            Ok((length, _)) => Ok(Some(length)),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a packet, behind its header, on the wire. False if there is no room for it: then it is
    /// lost.
    pub(super) fn put(&self, packet: &[u8]) -> io::Result<bool> {
        match rustix::net::send(&self.0, packet, SendFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::WOULDBLOCK | Errno::NOBUFS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// How many packets nobody took in time, since this was last asked.
    pub(super) fn overflowed(&self) -> io::Result<u32> {
        let mut statistics = [0_u32; 2];
        let mut length = size_of_val(&statistics) as libc::socklen_t;
        #[expect(unsafe_code, reason = "no crate knows this option")]
        // SAFETY: the kernel writes at most `length` bytes, which is the size of the array.
        let result = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                PACKET_STATISTICS,
                statistics.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        nix::errno::Errno::result(result)?;
        Ok(statistics[1])
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn set(
    socket: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    #[expect(unsafe_code, reason = "no crate knows all of these options")]
    // SAFETY: the kernel reads exactly the size of `value`, which lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    nix::errno::Errno::result(result)?;
    Ok(())
}

fn bind(socket: &OwnedFd, interface: u32) -> io::Result<()> {
    let index = i32::try_from(interface).map_err(io::Error::other)?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: IPV4.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    #[expect(unsafe_code, reason = "no crate makes such an address")]
    // SAFETY: the kernel reads exactly the size of `address`, which lives until the call returns.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    nix::errno::Errno::result(result)?;
    Ok(())
}

const PACKET_STATISTICS: libc::c_int = 6;
const PACKET_VNET_HDR: libc::c_int = 15;
