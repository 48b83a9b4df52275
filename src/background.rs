//! Who goes first when there are more threads than processors: those whose lateness is measured
//! before those whose work can wait.

/// Lets all other threads go before the calling one, from now on. A kernel that does not do this
/// only makes figures noisier, which they show themselves.
pub fn give_way() {
    // On Linux the process whose priority is set is the calling thread.
    let _ = rustix::process::setpriority_process(None, NICE);
}

/// Lets the calling thread go before all others from now on, if the user may ask for that
/// (`RLIMIT_NICE`, or root).
pub fn go_first() {
    let _ = rustix::process::setpriority_process(None, FIRST);
}

/// Wakes up before those who compute, and still leaves them most of a processor.
const FIRST: i32 = -10;

/// An eighth of the share of the others when there is not enough for all, and never before them.
const NICE: i32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_calling_thread_gives_way() {
        let own = || rustix::process::getpriority_process(None).unwrap();
        let before = own();
        let there = std::thread::spawn(move || {
            give_way();
            own()
        });
        assert_eq!(there.join().unwrap(), NICE.max(before));
        assert_eq!(own(), before);
    }
}
