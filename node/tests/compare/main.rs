//! The same random requests to this node and to a real ZooKeeper: they must be answered alike.
//!
//! Two connections take turns; behind each request both are pinged, so that every event that belongs
//! to it has arrived. What must differ is taken out first: transactions become the number of the
//! request that they were made for, times and the numbers of sessions are dropped. Where ZooKeeper 3.8
//! is known to be wrong, or 3.9 to differ, no such request is made: see `requests.rs`.
//!
//! Needs java and ZooKeeper's classes, from Debian or wherever `ZOOKEEPER_CLASSPATH` says; skips loudly
//! without them. `CHAOS_COMPARE_SEEDS` is how many runs are made (5), `CHAOS_COMPARE_FROM` the first
//! seed.

mod answer;
mod connection;
mod requests;
mod rng;
mod servers;

use std::collections::BTreeMap;

use connection::{Connection, Told};
use requests::{Request, Shape};
use rng::Rng;
use servers::Server;

/// How many requests one run makes.
const STEPS: usize = 200;

#[test]
fn random_requests_are_answered_as_by_a_real_zookeeper() {
    let Some(real) = Server::zookeeper() else {
        eprintln!("SKIPPED: nothing was compared: java or ZooKeeper's classes are not here");
        return;
    };
    let ours = Server::node();
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("CHAOS_COMPARE_FROM").unwrap_or(0);
    let count = number("CHAOS_COMPARE_SEEDS").unwrap_or(5);
    for seed in first..first + count {
        let (wanted, found) = (run(&real, seed), run(&ours, seed));
        for (step, (wanted, found)) in wanted.iter().zip(&found).enumerate() {
            assert_eq!(found, wanted, "seed {seed}, line {step}: found and wanted");
        }
        assert_eq!(found.len(), wanted.len(), "seed {seed}");
    }
}

/// Makes the requests of a seed and gives what was told, without what must differ.
fn run(server: &Server, seed: u64) -> Vec<String> {
    let mut rng = Rng::new(seed.wrapping_mul(0x9e37_79b9));
    let mut connections = [0, 1].map(|_| Connection::open(server.address()));
    let mut made = BTreeMap::new();
    let mut lines = Vec::new();
    let root = Request::create("/t");
    let told = connections[0].call(&root);
    made.insert(told.zxid, usize::MAX);
    for step in 0..STEPS {
        let at = rng.index(2);
        let request = Request::random(&mut rng, at == 0);
        if request.shape == Shape::Move {
            connections[at] = connections[at].moved(server.address());
            lines.push(format!("{step} {at} moves"));
            continue;
        }
        let mut told = connections[at].call(&request);
        if request.shape == Shape::Close {
            told.events.sort();
        }
        if request.shape.is_write() {
            made.insert(told.zxid, step);
        }
        lines.push(format!(
            "{step} {at} {:?} error {} {} {:?}",
            request,
            told.error,
            answer::normal(&request, &told, &made),
            told.events
        ));
        if request.shape == Shape::Close {
            connections[at] = Connection::open(server.address());
        }
        for (at, connection) in connections.iter_mut().enumerate() {
            let Told { mut events, .. } = connection.call(&Request::ping());
            if request.shape == Shape::Close {
                // Ephemeral znodes of one session are deleted in any order.
                events.sort();
            }
            if !events.is_empty() {
                lines.push(format!("{step} {at} hears {events:?}"));
            }
        }
    }
    clean(server, connections);
    lines
}

/// Closes the sessions and deletes everything that they left.
fn clean(server: &Server, connections: [Connection; 2]) {
    for mut connection in connections {
        connection.call(&Request::close());
    }
    let mut superuser = Connection::open(server.address());
    superuser.call(&Request::authenticate("digest", "super:test"));
    let mut waiting = vec!["/t".to_owned()];
    while let Some(path) = waiting.pop() {
        let told = superuser.call(&Request::children(&path));
        let names = answer::names(&told.body);
        if names.is_empty() {
            superuser.call(&Request::delete(&path));
        } else {
            let below: Vec<String> = names.iter().map(|name| format!("{path}/{name}")).collect();
            waiting.push(path);
            waiting.extend(below);
        }
    }
    superuser.call(&Request::close());
}
