//! Which sessions have been heard of lately, and which have expired.
//!
//! The node that a client is connected to hears it; only the leader expires sessions, by a
//! transaction. A follower tells the leader what it heard by a `Touch` transaction, at most once per
//! third of a session's timeout, and not at all for sessions that write anyway: every transaction of a
//! session tells as much. A new leader gives every session its whole timeout again. So a session whose
//! client vanished is closed between 1 and 1⅓ timeouts later, plus the time of a fail-over.

use std::collections::BTreeMap;

/// When each session was last heard of. Times are monotonic nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Activity {
    sessions: BTreeMap<i64, Heard>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    /// Here, from its client.
    here: u64,
    /// In a transaction that was applied, or proposed by us to tell of it.
    told: u64,
}

impl Activity {
    /// A frame of this session arrived here.
    pub(super) fn heard(&mut self, session: i64, now: u64) {
        self.sessions.entry(session).or_default().here = now;
    }

    /// A transaction told that this session lives.
    pub(super) fn told(&mut self, session: i64, now: u64) {
        self.sessions.entry(session).or_default().told = now;
    }

    /// The session is closed.
    pub(super) fn closed(&mut self, session: i64) {
        self.sessions.remove(&session);
    }

    /// Every open session starts afresh, as with a new leader; others are forgotten.
    pub(super) fn restart(&mut self, open: impl Iterator<Item = (i64, i32)>, now: u64) {
        let old = std::mem::take(&mut self.sessions);
        for (session, _) in open {
            let here = old.get(&session).map_or(0, |heard| heard.here);
            self.sessions.insert(session, Heard { here, told: now });
        }
    }

    /// The open sessions that have been silent for longer than their timeout. Each is named once per
    /// timeout.
    pub(super) fn expired(&mut self, open: impl Iterator<Item = (i64, i32)>, now: u64) -> Vec<i64> {
        let mut expired = Vec::new();
        for (session, timeout_ms) in open {
            let heard = self
                .sessions
                .entry(session)
                .or_insert(Heard { here: 0, told: now });
            if now.saturating_sub(heard.here.max(heard.told)) > nanos(timeout_ms) {
                heard.told = now;
                expired.push(session);
            }
        }
        expired
    }

    /// The open sessions that were heard of here and not told of for a third of their timeout; they
    /// count as told now.
    pub(super) fn due_to_tell(
        &mut self,
        open: impl Iterator<Item = (i64, i32)>,
        now: u64,
    ) -> Vec<i64> {
        let mut due = Vec::new();
        for (session, timeout_ms) in open {
            if let Some(heard) = self.sessions.get_mut(&session)
                && heard.here > heard.told
                && now.saturating_sub(heard.told) > nanos(timeout_ms) / 3
            {
                heard.told = now;
                due.push(session);
            }
        }
        due
    }
}

fn nanos(timeout_ms: i32) -> u64 {
    u64::try_from(timeout_ms).unwrap_or(0) * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn open() -> impl Iterator<Item = (i64, i32)> {
        [(1, 3_000), (2, 3_000)].into_iter()
    }

    #[test]
    fn only_silent_sessions_expire_and_each_is_named_once() {
        let mut activity = Activity::default();
        activity.restart(open(), 0);
        activity.heard(2, 2_000 * MS);
        assert_eq!(activity.expired(open(), 3_000 * MS), []);
        assert_eq!(activity.expired(open(), 3_001 * MS), [1]);
        assert_eq!(activity.expired(open(), 3_002 * MS), []);
        assert_eq!(activity.expired(open(), 5_001 * MS), [2]);
    }

    #[test]
    fn a_new_leader_gives_the_whole_timeout() {
        let mut activity = Activity::default();
        activity.restart(open(), 9_000 * MS);
        assert_eq!(activity.expired(open(), 12_000 * MS), []);
    }

    #[test]
    fn a_follower_tells_once_per_third_and_not_of_sessions_that_write() {
        let mut activity = Activity::default();
        activity.restart(open(), 0);
        activity.heard(1, 500 * MS);
        activity.heard(2, 500 * MS);
        assert_eq!(activity.due_to_tell(open(), 900 * MS), []);
        activity.told(2, 950 * MS);
        assert_eq!(activity.due_to_tell(open(), 1_001 * MS), [1]);
        assert_eq!(
            activity.due_to_tell(open(), 9_000 * MS),
            [],
            "nothing new was heard"
        );
    }
}
