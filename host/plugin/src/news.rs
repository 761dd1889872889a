//! How the parts of the host tell each other that something is worth a look.

use std::{sync::mpsc::Sender, time::Instant};

use gantry_base::watermark::Watermark;

use crate::loader::Job;

/// Shared by the host, its bindings and its loader.
#[derive(Clone)]
pub(crate) struct News {
    generation: Watermark,
    jobs: Sender<Job>,
}

impl News {
    pub(crate) fn new(jobs: Sender<Job>) -> Self {
        News { generation: Watermark::new(0), jobs }
    }

    /// Grows whenever a held pull may fare better than before.
    pub(crate) fn generation(&self) -> &Watermark {
        &self.generation
    }

    pub(crate) fn announce(&self) {
        // Two announcements at once may become one step: waiters only ask for "more than I saw".
        self.generation.advance(self.generation.get() + 1);
    }

    /// Announces again at `when`.
    pub(crate) fn announce_at(&self, when: Instant) {
        self.send(Job::AnnounceAt(when));
    }

    pub(crate) fn send(&self, job: Job) {
        // The loader is gone only after a shutdown, and then nothing is worth doing any more.
        let _ = self.jobs.send(job);
    }
}
