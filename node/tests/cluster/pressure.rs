//! More requests than the cluster can take at once are slowed down, not refused.

use crate::client::{Client, set_body};
use crate::ensemble::Ensemble;

/// Far more requests than the leader keeps uncommitted (10 000) arrive before the first is answered.
#[test]
fn a_flood_of_pipelined_writes_is_answered_to_the_last_one() {
    const CLIENTS: u8 = 150;
    const EACH: i32 = 400;
    let (ensemble, _) = Ensemble::start(&[]);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::connect(ensemble.address(number % 3 + 1)).unwrap())
        .collect();
    assert_eq!(clients[0].create("/a", b"").unwrap().error, 0);
    clients[1].synced_data("/a").unwrap();
    clients[2].synced_data("/a").unwrap();
    for client in &mut clients {
        for _ in 0..EACH {
            client.request(5, &set_body("/a", &[7; 200], -1)).unwrap();
        }
    }
    for (number, client) in clients.iter_mut().enumerate() {
        for request in 0..EACH {
            match client.answer() {
                Ok(answer) => assert_eq!(answer.error, 0),
                Err(error) => panic!("client {number}, request {request}: {error}"),
            }
        }
    }
}
