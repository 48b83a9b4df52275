//! What is fed.

mod client;
mod directory;
mod files;
mod peer;
mod state;

/// A reader of foreign bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Reads an input and tells whether it was accepted. Panics if something is wrong.
    pub run: fn(&[u8]) -> bool,
    /// Inputs that are right.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Makes the checksums of a changed input right again; the number chooses how.
    pub repair: fn(&mut Vec<u8>, u64),
    /// Bytes that an execution may allocate per byte of input.
    pub factor: usize,
    /// Bytes that it may allocate beyond that.
    pub floor: usize,
}

/// All of them.
pub const ALL: [Target; 8] = [
    client::TARGET,
    peer::TARGET,
    files::SEGMENT,
    files::SNAPSHOT,
    files::EPOCHS,
    directory::TARGET,
    state::STATE,
    state::TXN,
];

/// By its name.
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}

/// Runs one input on a target: the whole of a libFuzzer or AFL harness.
///
/// # Panics
/// If there is no such target, or it fails.
pub fn run(name: &str, input: &[u8]) {
    let target = find(name).expect("a target of this name");
    crate::driver::execute(target, input);
}

/// For inputs without checksums.
fn as_it_is(_input: &mut Vec<u8>, _choice: u64) {}
