//! What clients send: the first frame, every later one, and the four-letter words in their place.

use chaos_node::client::{ConnectRequest, Request, is_word, parse};
use chaos_node::state::Txn;

use super::Target;

pub(super) const TARGET: Target = Target {
    name: "client",
    run,
    seeds,
    repair: super::as_it_is,
    // A list of one-byte strings costs a `String` for five bytes, twice while the list grows.
    factor: 16,
    floor: 1024,
};

fn run(input: &[u8]) -> bool {
    if let Some(first) = input.first_chunk() {
        let _ = is_word(*first);
    }
    let connect = ConnectRequest::parse(input).is_ok();
    let Ok((_, request)) = parse(input) else {
        return connect;
    };
    match request {
        Request::Write(write) => {
            let txn = Txn {
                time_ms: 1,
                session: 2,
                connection: 3,
                ids: Vec::new(),
                op: write.op,
            };
            assert_eq!(Txn::decode(&txn.encode()).as_ref(), Ok(&txn));
            true
        }
        Request::Refused(_) | Request::Unknown => connect,
        _ => true,
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = requests();
    let mut connect = [0; 45];
    connect[8] = 1;
    connect[27] = 16;
    seeds.push(connect.to_vec());
    seeds.push(connect[..44].to_vec());
    seeds.push(b"ruok".to_vec());
    seeds
}

/// The requests that were captured from ZooKeeper's own client.
pub(super) fn requests() -> Vec<Vec<u8>> {
    let text = include_str!("../../../node/tests/cluster/golden_frames.txt");
    let requests = text.lines().filter_map(|line| line.strip_prefix("C "));
    requests
        .map(|line| {
            // A `.` stands for a digit that differs from run to run.
            let digits: Vec<u8> = line
                .chars()
                .filter(|digit| !digit.is_whitespace())
                .map(|digit| digit.to_digit(16).unwrap_or(0) as u8)
                .collect();
            digits
                .chunks_exact(2)
                .map(|pair| pair[0] << 4 | pair[1])
                .collect()
        })
        .collect()
}
