//! Noticing that the cluster file was saved.
//!
//! Editors write in place, write a new file and rename it over the old one, or swap a symbolic link to a folder. So the
//! folder is watched rather than the file, any notice only means "look", and what counts is whether the file that the path
//! leads to is another one than before, for long enough to be complete. Where the system sends no notices, looking every
//! other second does.

use std::{os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

use super::reload::{self, Live};

/// How long the file must stand still before it is read.
const SETTLE: Duration = Duration::from_millis(100);
/// How often it is looked at besides notices.
const RESCAN: Duration = Duration::from_secs(2);

/// What tells one state of a file from another; `None` = not there.
type Fingerprint = Option<(u64, u64, u64, i64, i64)>;

fn fingerprint(file: &Path) -> Fingerprint {
    let found = std::fs::metadata(file).ok()?;
    Some((found.dev(), found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

/// Reloads whenever the file changed, until cancelled.
pub(crate) async fn follow(live: Arc<Live>, cancel: CancellationToken) {
    let Some(file) = live.file() else { return };
    let noticed = Arc::new(Notify::new());
    // Kept alive for its thread.
    let _watcher = watcher(&file, noticed.clone());
    let mut seen = fingerprint(&file);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            // An elapsed wait is a look like any other.
            _ = timeout(RESCAN, noticed.notified()) => {}
        }
        let mut found = fingerprint(&file);
        if found == seen {
            continue;
        }
        loop {
            tokio::time::sleep(SETTLE).await;
            let again = fingerprint(&file);
            if again == found {
                break;
            }
            found = again;
        }
        // A file that is gone is most often about to come back; the configuration stays.
        if found.is_some() && found != seen {
            reload::logged(&live).await;
        }
        seen = found.or(seen);
    }
}

fn watcher(file: &Path, noticed: Arc<Notify>) -> Option<RecommendedWatcher> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = notify::recommended_watcher(move |_: notify::Result<notify::Event>| noticed.notify_one());
    let watching = made.and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watching {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "no notices of changes in {}; the cluster file is looked at every {RESCAN:?}", folder.display());
            None
        }
    }
}
