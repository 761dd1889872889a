//! The thread that makes versions: one, of low priority, so that compiling never competes with serving.
//!
//! It brings each plugin to what is wanted of it (file, parameters, bindings), keeps the version that serves when that
//! fails, goes back to the version before when a new one does not pass its probation, and drops old versions when their
//! last user is gone, so that no worker does.

mod entry;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

pub(crate) use self::entry::Wanted;
use self::entry::{Entry, Tools};
use crate::{
    engine::Runtime,
    news::News,
    spec::HostOptions,
    version::Version,
    watch::{Fingerprint, Watch},
};

/// How often old versions are looked at while there are any.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// Least time between two looks at the files, however many events their folders send.
const LOOK_GAP: Duration = Duration::from_millis(20);
/// Added to the loading thread's nice value.
const NICENESS: i32 = 5;

/// What the loader is asked to do.
pub(crate) enum Job {
    /// Bring everything to this.
    Want(Vec<Wanted>),
    /// A file may have changed.
    Look,
    /// Do this with the plugin of this name; answers with the label in service or why not.
    Order(String, Order, Sender<Result<String, String>>),
    /// A version of this plugin made a breaker open, with its last fault.
    Tripped {
        plugin: String,
        sha256: String,
        fault: String,
    },
    /// Grow the generation then.
    AnnounceAt(Instant),
    Stop,
}

/// What an operator can tell a plugin.
pub(crate) enum Order {
    /// Load the file now, changed or not.
    Reload,
    Disable,
    Enable,
    /// To the version whose hash begins so, or to the one before.
    Rollback(Option<String>),
    /// Load these bytes instead of the file's, and make them the file's once they serve.
    Push(Pushed),
}

/// A plugin that comes over the network.
pub(crate) struct Pushed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) signature: Option<Vec<u8>>,
}

pub(crate) struct Loader {
    tools: Tools,
    watch: Watch,
    entries: BTreeMap<String, Entry>,
    /// Out of service, perhaps still in use.
    old: Vec<Arc<Version>>,
    announcements: Vec<Instant>,
    last_look: Instant,
    /// When events asked for a look that was too soon after the last one.
    next_look: Option<Instant>,
    next_rescan: Instant,
}

impl Loader {
    pub(crate) fn new(runtime: Arc<Runtime>, options: HostOptions, news: News) -> Self {
        let next_rescan = Instant::now() + options.rescan;
        Loader {
            watch: Watch::new(news.clone()),
            tools: Tools::new(runtime, options, news),
            entries: BTreeMap::new(),
            old: Vec::new(),
            announcements: Vec::new(),
            last_look: Instant::now(),
            next_look: None,
            next_rescan,
        }
    }

    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        // Without the permission it runs at the common priority, which only costs some latency elsewhere.
        let _ = rustix::process::nice(NICENESS);
        loop {
            let wait = self.next_due().saturating_duration_since(Instant::now());
            match jobs.recv_timeout(wait) {
                Ok(Job::Want(wanted)) => self.want(wanted),
                Ok(Job::Look) => self.next_look = Some(self.last_look + LOOK_GAP),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Order(name, order, answer)) => {
                    // Whoever asked may have gone away.
                    let _ = answer.send(self.obey(&name, order));
                }
                Ok(Job::Tripped { plugin, sha256, fault }) => {
                    if let Some(entry) = self.entries.get_mut(&plugin) {
                        entry.tripped(&self.tools, &mut self.old, &sha256, &fault);
                    }
                }
                Ok(Job::AnnounceAt(when)) => self.announcements.push(when),
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_if_due();
            self.announce_due();
            // Strong count 1 is this list's own: nobody can take another, the version is out of service.
            self.old.retain(|version| Arc::strong_count(version) > 1);
        }
    }

    fn next_due(&self) -> Instant {
        let settling = self.entries.values().filter_map(Entry::settles_at);
        let draining = (!self.old.is_empty()).then(|| Instant::now() + DRAIN_LOOK);
        let due = settling.chain(self.announcements.iter().copied()).chain(draining).chain(self.next_look).min();
        due.map_or(self.next_rescan, |due| due.min(self.next_rescan))
    }

    fn look_if_due(&mut self) {
        let now = Instant::now();
        let asked = self.next_look.is_some_and(|due| now >= due);
        let settled = self.entries.values().any(|entry| entry.settles_at().is_some_and(|due| now >= due));
        if asked || settled || now >= self.next_rescan {
            (self.next_look, self.last_look) = (None, now);
            self.look();
        }
    }

    fn announce_due(&mut self) {
        let now = Instant::now();
        let before = self.announcements.len();
        self.announcements.retain(|when| *when > now);
        if self.announcements.len() < before {
            self.tools.news.announce();
        }
    }

    fn want(&mut self, wanted: Vec<Wanted>) {
        let mut former = std::mem::take(&mut self.entries);
        for wanted in wanted {
            let name = wanted.spec.name.clone();
            let entry = match former.remove(&name) {
                Some(entry) => entry.wanting(wanted),
                None => Entry::new(&self.tools, wanted),
            };
            self.entries.insert(name, entry);
        }
        for entry in former.into_values() {
            self.old.extend(entry.leave());
        }
        self.follow();
        for entry in self.entries.values_mut() {
            entry.refresh(&self.tools, &mut self.old, false);
        }
        self.tools.news.announce();
    }

    fn obey(&mut self, name: &str, order: Order) -> Result<String, String> {
        let Some(entry) = self.entries.get_mut(name) else { return Err(format!("there is no plugin {name:?}")) };
        let done = match order {
            Order::Reload => entry.reload(&self.tools, &mut self.old),
            Order::Disable => entry.disable(&self.tools, &mut self.old),
            Order::Enable => entry.enable(&self.tools, &mut self.old),
            Order::Rollback(to) => entry.rollback(&self.tools, &mut self.old, to.as_deref()),
            Order::Push(pushed) => entry.push(&self.tools, &mut self.old, &pushed),
        };
        self.tools.news.announce();
        done
    }

    fn follow(&mut self) {
        self.watch.follow(self.entries.values().map(Entry::file));
    }

    /// Compares every file with what was last read of it, and loads those that changed and have settled.
    fn look(&mut self) {
        self.watch.begin_look();
        let now = Instant::now();
        let mut changed = false;
        for entry in self.entries.values_mut() {
            let found = Fingerprint::of(entry.file());
            changed |= entry.is_news(&found);
            if entry.has_settled(found, now, self.tools.options.debounce) {
                entry.refresh(&self.tools, &mut self.old, false);
            }
        }
        if changed || now >= self.next_rescan {
            self.follow();
            self.next_rescan = now + self.tools.options.rescan;
        }
    }
}
