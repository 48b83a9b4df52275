//! Whether the disk of the results has room for a run: nodes that die of a full disk would look
//! like the system's own failure.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::SetupError;

/// Below this no run begins.
const TO_BEGIN: u64 = 32 << 20;
/// Below this a run ends: enough to write down why.
const TO_GO_ON: u64 = 8 << 20;
/// A busy load writes some MB in this time.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Whether a run may begin that writes below this folder, which need not exist yet.
///
/// # Errors
/// If too little is left.
pub(super) fn suffices(folder: &Path) -> Result<(), SetupError> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    // What cannot be known is found out when it is written to.
    let left = folder.ancestors().find_map(|there| left_on(there).ok());
    match left {
        Some(left) if left < TO_BEGIN => Err(no_space(&folder, left, TO_BEGIN)),
        _ => Ok(()),
    }
}

/// Resolves when too little is left to go on.
pub(super) async fn runs_out(folder: &Path) -> SetupError {
    loop {
        if let Ok(left) = left_on(folder)
            && left < TO_GO_ON
        {
            return no_space(folder, left, TO_GO_ON);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Bytes that may still be written.
fn left_on(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[expect(clippy::cast_precision_loss, reason = "for display only")]
fn no_space(folder: &Path, left: u64, needed: u64) -> SetupError {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    SetupError::NoSpace {
        folder: folder.to_owned(),
        left: mib(left),
        needed: mib(needed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_of_a_folder_that_is_not_there_yet_is_that_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert!(left_on(folder.path()).unwrap() > 0);
        assert!(left_on(&folder.path().join("a")).is_err());
        suffices(&folder.path().join("a/b")).unwrap();
    }

    #[test]
    fn it_is_said_what_is_full_and_how_full() {
        let error = no_space(Path::new("/results"), 3 << 19, TO_BEGIN).to_string();
        assert_eq!(
            error,
            "only 1.5 MiB are left on the disk of /results, and a run needs 32.0 MiB: make room, or \
             write the results elsewhere with --out DIR"
        );
    }
}
