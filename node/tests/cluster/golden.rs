//! Frames as a real ZooKeeper 3.8.0 answered them, with the times, transactions and sessions of this
//! run in their place, and what 3.9 answers where it differs.

use crate::client::{Client, number};
use crate::ensemble::Ensemble;

/// One request and the frames that it was answered with.
#[derive(Debug, Default)]
struct Exchange {
    name: &'static str,
    request: &'static str,
    answers: Vec<&'static str>,
}

/// What stands in `golden_frames.txt`, in order.
fn exchanges() -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    for line in include_str!("golden_frames.txt").lines() {
        match (line.split_at_checked(2), all.last_mut()) {
            (Some(("> ", name)), _) => all.push(Exchange {
                name,
                ..Exchange::default()
            }),
            (Some(("C ", request)), Some(last)) => last.request = request,
            (Some(("S ", answer)), Some(last)) => last.answers.push(answer),
            _ => assert!(line.is_empty() || line.starts_with('#'), "{line}"),
        }
    }
    all
}

/// Bytes from hexadecimal digits; `..` stands for a byte that differs from run to run.
fn pattern(text: &str) -> Vec<Option<u8>> {
    text.split_whitespace()
        .collect::<String>()
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let text = std::str::from_utf8(pair).expect("ASCII");
            (text != "..").then(|| u8::from_str_radix(text, 16).expect("digits"))
        })
        .collect()
}

fn bytes(text: &str) -> Vec<u8> {
    pattern(text).into_iter().flatten().collect()
}

#[track_caller]
fn assert_frame(frame: &[u8], expected: &str, name: &str) {
    let expected = pattern(expected);
    let is_equal = frame.len() == expected.len()
        && frame
            .iter()
            .zip(&expected)
            .all(|(byte, expected)| expected.is_none_or(|expected| expected == *byte));
    assert!(is_equal, "{name}: {frame:02x?}\nis not\n{expected:02x?}");
}

#[test]
fn every_answer_has_the_captured_bytes() {
    let (ensemble, leader) = Ensemble::start(&[]);
    for address in [leader, leader % 3 + 1].map(|id| ensemble.address(id)) {
        let mut client = Client::connect(address).unwrap();
        let greeting =
            "00000000 00001770 ................ 00000010 ................ ................ 00";
        assert_frame(&client.greeting, greeting, "connect");
        for exchange in exchanges() {
            client.send(&bytes(exchange.request)).unwrap();
            let mut zxids = Vec::new();
            for answer in &exchange.answers {
                let frame = client.receive().unwrap();
                assert_frame(&frame, answer, exchange.name);
                zxids.push(number(&frame[4..12]));
            }
            if let [event, reply] = zxids[..] {
                assert!([-1, reply].contains(&event), "{}", exchange.name);
            }
        }
        assert!(client.is_ended(), "the session was closed");
        remove(address, &["/g/n-0000000000", "/g"]);
    }
}

/// Deletes what an exchange left behind.
fn remove(address: std::net::SocketAddr, paths: &[&str]) {
    let mut client = Client::connect(address).expect("the node serves");
    for path in paths {
        assert_eq!(client.delete(path).expect("an answer").error, 0, "{path}");
    }
}

#[test]
fn what_ends_a_connection_ends_it_as_captured() {
    let (ensemble, leader) = Ensemble::start(&[]);
    let address = ensemble.address(leader);
    for (request, answer, name) in [
        (
            "00000014 0000004d 00000002 2f67",
            "00000014 ffffffffffffffff fffffffa",
            "an unknown operation",
        ),
        (
            "fffffffc 00000064 00000000 00000006 6e6f73756368 00000001 78",
            "fffffffc 0000000000000000 ffffff8d",
            "a scheme that nobody knows",
        ),
    ] {
        let mut client = Client::connect(address).unwrap();
        client.send(&bytes(request)).unwrap();
        assert_frame(&client.receive().unwrap(), answer, name);
        assert!(client.is_ended(), "{name}");
    }

    let mut client = Client::connect(address).unwrap();
    client.send(&vec![0; 2_000_000]).unwrap_or_default();
    assert!(client.is_ended(), "a frame that is too large");

    let mut client = Client::open(address).unwrap();
    let request = "00000000 4000000000000000 00001770 0000000000000000 00000010 0000000000000000 0000000000000000 00";
    client.send(&bytes(request)).unwrap();
    assert!(client.is_ended(), "it has seen more than this node");
}

#[test]
fn timeouts_are_granted_as_captured_in_both_forms() {
    let (ensemble, leader) = Ensemble::start(&[]);
    for (request, answer) in [
        (
            "00000000 0000000000000000 000003e8 0000000000000000 00000010 0000000000000000 0000000000000000",
            "00000000 00000fa0 ................ 00000010 ................ ................",
        ),
        (
            "00000000 0000000000000000 05f5e100 0000000000000000 00000010 0000000000000000 0000000000000000 00",
            "00000000 00009c40 ................ 00000010 ................ ................ 00",
        ),
    ] {
        let mut client = Client::open(ensemble.address(leader)).unwrap();
        client.send(&bytes(request)).unwrap();
        assert_frame(&client.receive().unwrap(), answer, request);
    }
}

#[test]
fn a_session_that_was_closed_has_expired_everywhere() {
    let (ensemble, leader) = Ensemble::start(&[]);
    let mut client = Client::connect(ensemble.address(leader)).unwrap();
    let (session, password) = client.identity();
    let elsewhere = ensemble.address(leader % 3 + 1);
    let mut moved = Client::attach(elsewhere, 0, session, &password).unwrap();
    assert_eq!(moved.identity(), (session, password.clone()));
    assert!(client.is_ended(), "the session is elsewhere");
    assert_eq!(moved.call(-11, &[]).unwrap().error, 0);
    let mut expired = Client::attach(ensemble.address(leader), 0, session, &password).unwrap();
    assert_frame(
        &expired.greeting,
        "00000000 00000000 0000000000000000 00000010 0000000000000000 0000000000000000 00",
        "expired",
    );
    assert!(expired.is_ended());
}
