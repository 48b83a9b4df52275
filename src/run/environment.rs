//! Where and with what a run is made.

use std::collections::BTreeMap;
use std::fs;

use rustix::time::{ClockId, clock_gettime};

use crate::results::{Environment, Utc};

/// Reads what the machine says of itself; what it does not say stays empty.
#[must_use]
pub(super) fn environment(started_utc: String) -> Environment {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = field(&cpuinfo, "model name").unwrap_or_default();
    let cpus = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes: u64 = field(&meminfo, "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut extra = BTreeMap::new();
    extra.insert(
        "load average at start".to_owned(),
        load.split_whitespace()
            .take(3)
            .collect::<Vec<_>>()
            .join(" "),
    );
    Environment {
        chaos: format!("chaos {}", env!("CARGO_PKG_VERSION")),
        kernel: format!("Linux {}", release.trim()),
        cpu,
        cpus: u32::try_from(cpus).unwrap_or(0),
        memory: kilobytes * 1024,
        build: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        }
        .to_owned(),
        started_utc,
        harness_lag_p99: None,
        proxy_rtt_p50: None,
        calibration: None,
        extra,
    }
}

/// Wall-clock time, for names and labels only.
#[must_use]
pub(super) fn utc_now() -> Utc {
    Utc(u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or(0))
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field(text, "model"), None);
    }
}
