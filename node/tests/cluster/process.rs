//! How a node starts and ends.

use std::net::TcpListener;
use std::process::Output;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::{Client, word};
use crate::ensemble::Ensemble;

/// Runs a node that cannot start, and gives its exit code and what it said.
fn refused(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text)
}

#[test]
fn a_busy_port_is_told_with_its_address() {
    let ensemble = Ensemble::prepare(&[]);
    let taken = TcpListener::bind(ensemble.address(1)).unwrap();
    let (code, text) = refused(&ensemble.command(1).output().unwrap());
    assert_eq!(code, Some(1));
    let expected = format!(
        "error: cannot listen on {} for clients",
        taken.local_addr().unwrap()
    );
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_told_with_its_path() {
    let ensemble = Ensemble::prepare(&[]);
    std::fs::write(ensemble.data(1), "a file").unwrap();
    let (code, text) = refused(&ensemble.command(1).output().unwrap());
    assert_eq!(code, Some(1));
    let path = ensemble.data(1).display().to_string();
    assert!(
        text.starts_with("error: cannot use the data directory") && text.contains(&path),
        "{text}"
    );
}

#[test]
fn a_damaged_file_is_told_with_its_path() {
    let mut ensemble = Ensemble::prepare(&[]);
    ensemble.spawn(1);
    ensemble.wait(1, "boot");
    ensemble.kill(1);
    let path = ensemble.data(1).join("epochs");
    std::fs::write(&path, [7; 8192]).unwrap();
    let (code, text) = refused(&ensemble.command(1).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(
        text.contains(&format!("{} is corrupt", path.display())),
        "{text}"
    );
}

#[test]
fn a_directory_in_use_is_refused() {
    let mut ensemble = Ensemble::prepare(&[]);
    ensemble.spawn(1);
    ensemble.wait(1, "boot");
    let other = Ensemble::prepare(&[]);
    let second = other.command(1);
    let args: Vec<_> = second.get_args().map(std::ffi::OsStr::to_owned).collect();
    let args = args.iter().map(|arg| {
        if *arg == *other.data(1).as_os_str() {
            ensemble.data(1).into_os_string()
        } else {
            arg.clone()
        }
    });
    let mut second = std::process::Command::new(second.get_program());
    let (code, text) = refused(&second.args(args).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(text.contains("is in use by another process"), "{text}");
}

#[test]
fn a_node_without_a_leader_answers_words_and_no_clients() {
    let mut ensemble = Ensemble::prepare(&[]);
    ensemble.spawn(2);
    ensemble.wait(2, "looking");
    let address = ensemble.address(2);
    assert_eq!(word(address, "ruok").unwrap(), "imok");
    assert_eq!(
        word(address, "srvr\n").unwrap(),
        "This ZooKeeper instance is not currently serving requests\n"
    );
    assert_eq!(ensemble.monitor(2, "zk_server_state"), "looking");
    assert_eq!(ensemble.monitor(2, "chaos_leader"), "none");
    assert!(Client::connect(address).is_err());
}

#[test]
fn sigterm_ends_a_node_in_an_orderly_way() {
    let mut ensemble = Ensemble::prepare(&[]);
    ensemble.spawn(1);
    ensemble.wait(1, "looking");
    let pid = i32::try_from(ensemble.process(1).id()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    ensemble.wait(1, "stop");
    assert_eq!(ensemble.process(1).wait().unwrap().code(), Some(0));
}
