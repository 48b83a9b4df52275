//! Makes the networks: a namespace for each endpoint, with an interface whose other end is here.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};

use super::netlink::{Cable, LOOPBACK, Mac, Netlink};
use super::tap::Tap;
use super::{PREFIX, address, host};
use crate::link::Endpoint;

/// One endpoint as it is seen from the switch.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) endpoint: Endpoint,
    /// Its network.
    pub(super) network: OwnedFd,
    /// This end of its cable.
    pub(super) tap: Tap,
}

/// The longest packet behind the header of the wire: as on Ethernet.
const MTU: u32 = 1500;

/// Makes the networks of these endpoints. Must be called while the process has a single thread,
/// in a network namespace of its own. The error says which step failed.
pub(super) fn wire_up(endpoints: &[Endpoint]) -> Result<Vec<Port>, String> {
    let own = this_network().map_err(failed("open the network namespace"))?;
    let mut ports = Vec::new();
    for endpoint in endpoints {
        unshare(CloneFlags::CLONE_NEWNET).map_err(failed("make a network namespace"))?;
        let network = this_network().map_err(failed("open a network namespace"))?;
        enter(&own).map_err(failed("go back to the first network namespace"))?;
        let tap = lay(*endpoint, &network).map_err(failed("make a pair of interfaces"))?;
        enter(&network).map_err(failed("enter a network namespace"))?;
        set_up(*endpoint, endpoints).map_err(failed("set up an interface"))?;
        enter(&own).map_err(failed("go back to the first network namespace"))?;
        ports.push(Port {
            endpoint: *endpoint,
            network,
            tap,
        });
    }
    Ok(ports)
}

/// Lets this thread make its sockets in that network.
pub(super) fn enter(network: impl AsFd) -> io::Result<()> {
    Ok(setns(network, CloneFlags::CLONE_NEWNET)?)
}

fn this_network() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Lays the cable from here to there, and taps it here.
fn lay(to: Endpoint, network: &OwnedFd) -> io::Result<Tap> {
    let name = format!("port{}", host(to));
    let netlink = Netlink::open()?;
    netlink.lay(&Cable {
        name: &name,
        far_name: FAR,
        far_mac: mac(to),
        far: network.as_fd(),
        mtu: MTU,
    })?;
    let index = if_nametoindex(name.as_str())?;
    netlink.switch_on(index)?;
    Tap::open(index)
}

/// Gives the far end its address, and tells it those of all others.
fn set_up(own: Endpoint, all: &[Endpoint]) -> io::Result<()> {
    let netlink = Netlink::open()?;
    netlink.switch_on(LOOPBACK)?;
    let index = if_nametoindex(FAR)?;
    netlink.address(index, address(own), PREFIX)?;
    netlink.switch_on(index)?;
    for other in all.iter().filter(|other| **other != own) {
        netlink.neighbour(index, address(*other), mac(*other))?;
    }
    Ok(())
}

/// Locally administered, and its last byte says whose it is.
const fn mac(of: Endpoint) -> Mac {
    [0x02, 0, 0, 0, 0, host(of)]
}

fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

/// The name of the interface that a node sees.
const FAR: &str = "eth0";
