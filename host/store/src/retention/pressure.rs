//! How full the disk is, and whether that keeps senders out.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gantry_base::disk::{Disk, Space};
use parking_lot::Mutex;

/// Looked at by every append, set about once a second.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    refusing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    space: Option<Space>,
    reason: Option<Arc<str>>,
    /// The disk did not answer the last time.
    silent: bool,
}

impl Pressure {
    /// Why appends are refused, if they are.
    pub(crate) fn refusal(&self) -> Option<Arc<str>> {
        if !self.refusing.load(Ordering::Acquire) {
            return None;
        }
        self.state.lock().reason.clone()
    }

    pub(crate) fn space(&self) -> Option<Space> {
        self.state.lock().space
    }

    /// Asks the disk, and lets senders in or not. A disk that does not answer keeps nobody out: it says so itself when it is
    /// full.
    pub(crate) fn look(&self, disk: &dyn Disk, dir: &Path, refuse_percent: u8) -> Option<Space> {
        let found = disk.space(dir);
        let mut state = self.state.lock();
        match &found {
            Err(error) if !state.silent => {
                tracing::warn!(dir = %dir.display(), %error, "the disk does not say how full it is; its levels are not watched");
            }
            _ => {}
        }
        state.silent = found.is_err();
        state.space = found.ok();
        let percent = state.space.map_or(0, |space| space.used_percent());
        let refuse = state.space.is_some() && percent >= refuse_percent;
        if refuse {
            let reason = format!(
                "the disk of {} is {percent} % full, from disk_refuse_percent = {refuse_percent} on (RocketMQ's \
                 diskSpaceWarningLevelRatio) sends are refused; free space on it, or shorten what retention keeps; sends go on \
                 by themselves once it is below",
                dir.display()
            );
            if state.reason.is_none() {
                tracing::error!(%reason, "sends are refused; reads and commits go on");
            }
            state.reason = Some(reason.into());
        } else if state.reason.take().is_some() {
            tracing::info!(percent, "the disk has space again: sends are taken");
        }
        self.refusing.store(refuse, Ordering::Release);
        state.space
    }
}
