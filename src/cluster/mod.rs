//! The cluster under test: effects in force, processes, ports, and the reaper that spawns.

mod answer;
mod chunks;
mod clock_file;
mod crossed;
mod damage;
mod doctor;
mod effect;
mod host;
mod journal;
mod keep;
mod ledger;
mod leftovers;
mod network;
mod ports;
mod process;
mod reaper;
mod roster;
mod spec;
mod view;

pub use answer::{ClusterError, Healed, Landing, Missed};
pub use clock_file::{CLOCK_FILE, CLOCK_VARIABLE, Skew};
pub use crossed::{Crossed, Figures};
pub use doctor::{Finding, examine};
pub use effect::{Chunks, Damage, Effect, Ending, Harm, Trigger};
pub use host::{Armed, Cluster, Command, Running};
pub use journal::{Entry, FaultState, Journal};
pub use ledger::{Ledger, Step, hampered, steps, victim};
pub use leftovers::{Leftover, Unhealed, leftovers, remove_leftovers, settle_ledgers};
pub use network::Network;
pub use ports::{NoFreePort, Ports};
pub use reaper::{REAPER_COMMAND, Reaper, reaper_main};
pub use spec::{NodeSpec, Setup};
pub use view::{ClusterView, NodeView, ProcessState, Role};
