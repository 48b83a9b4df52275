//! Words of the plan language that mean something but cannot be done yet. They are refused as
//! such, so that nobody looks for a spelling mistake.

/// Verbs.
pub(super) const VERBS: &[&str] = &["squeeze", "member", "failpoint"];

/// Systems.
pub(super) const SYSTEMS: &[&str] = &["zookeeper", "etcd", "redis", "command"];

/// Kinds of workload.
pub(super) const WORKLOADS: &[&str] = &["append", "set", "queue", "counter", "kv"];

/// Keys, by the verb or section that they stand in.
const KEYS: &[(&str, &[&str])] = &[
    ("cut", &["rate"]),
    ("drop", &["rate", "correlation", "burst", "dist"]),
    ("delay", &["rate", "correlation", "layer"]),
    ("cluster", &["dir"]),
];

/// Whether this key of this verb or section is one of the language.
pub(super) fn key(owner: &str, key: &str) -> bool {
    let mut tables = KEYS.iter().filter(|(name, _)| *name == owner);
    tables.any(|(_, keys)| keys.contains(&key))
}
