//! A node whose disk fails ends, and the others go on.

use crate::client::Client;
use crate::ensemble::{Ensemble, eventually};

#[test]
fn a_node_that_cannot_write_its_snapshot_ends_and_the_others_go_on() {
    let (mut ensemble, leader) = Ensemble::start(&["--snapshot-every=5"]);
    let victim = leader % 3 + 1;
    std::fs::remove_dir_all(ensemble.data(victim)).unwrap();
    let mut client = Client::connect(ensemble.address(leader)).unwrap();
    assert_eq!(client.create("/a", b"0").unwrap().error, 0);
    for value in 1..=20_u8 {
        assert_eq!(client.set("/a", &[value], -1).unwrap().error, 0);
    }
    eventually("the end of the node", || {
        ensemble.process(victim).try_wait().unwrap().is_some()
    });
    let status = ensemble.process(victim).wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(client.set("/a", b"more", -1).unwrap().error, 0);
    assert_eq!(client.synced_data("/a").unwrap(), Some(b"more".to_vec()));
}
