//! The packet layer: a switch in user space between network namespaces, one for each node and one
//! for all clients.
//!
//! Each node has an interface, an address and a wire of its own, as if it were a machine; whatever
//! program it runs, real IP packets cross a wire that loses, delays, duplicates or reorders them,
//! each direction for itself. Neither root nor a module of the kernel is needed, only user
//! namespaces. *Lane*: one direction between two of them, the packet layer's [`LinkId`].
//!
//! One process, `chaos __switch`, makes the namespaces and forwards; they vanish with the last
//! process in them. [`Switch`] is the harness's end; it talks over a socket that the process gets
//! as its standard input.
//!
//! [`LinkId`]: crate::link::LinkId

mod handle;
mod lane;
mod netlink;
mod server;
mod split;
mod tap;
mod wire;
mod wiring;

use std::net::Ipv4Addr;

use crate::id::NodeId;
use crate::link::Endpoint;

pub use handle::{Switch, SwitchError};
pub use server::switch_main;
pub use wire::Counters;

/// The argument that makes `chaos` forward packets.
pub const SWITCH_COMMAND: &str = "__switch";

/// Where a node, or all clients, are reached over the wire.
#[must_use]
pub const fn address(of: Endpoint) -> Ipv4Addr {
    let [a, b, c, _] = NETWORK;
    Ipv4Addr::new(a, b, c, host(of))
}

/// Stands for a node's address as it is reached from its own namespace, past its wire; only the
/// harness dials it, through [`Switch`].
#[must_use]
pub const fn inside(node: NodeId) -> Ipv4Addr {
    let [a, b, c, _] = NETWORK;
    Ipv4Addr::new(a, b, c + 1, node.0)
}

/// Such an address is no node's own, so it is never asked for by mistake.
fn is_inside(ip: Ipv4Addr) -> Option<NodeId> {
    let [.., host] = ip.octets();
    (inside(NodeId(host)) == ip).then_some(NodeId(host))
}

const fn host(of: Endpoint) -> u8 {
    match of {
        Endpoint::Node(node) => node.0,
        Endpoint::Clients => CLIENTS,
    }
}

/// Of the clients: cluster numbers are far below.
const CLIENTS: u8 = 254;
const NETWORK: [u8; 4] = [10, 77, 0, 0];
const PREFIX: u8 = 24;
