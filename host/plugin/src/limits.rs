//! What one instance may take: memory, tables and processor time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, UpdateDeadline};

/// Stack of a guest, bytes.
pub(crate) const STACK_BYTES: usize = 512 << 10;
const TABLE_ELEMENTS_MAX: usize = 10_000;
const TABLES_MAX: usize = 32;
const MEMORIES_MAX: usize = 8;
/// A core module made a component is three core instances: itself, a shim and its fix-up. An interpreter is dozens: Python's
/// libraries are each one.
const INSTANCES_MAX: usize = 256;

/// Memory and tables of one store.
pub(crate) struct Limits {
    memory_bytes_max: usize,
    memory_bytes: usize,
    /// What was asked for when the guest last hit its limit, bytes.
    pub(crate) refused_bytes: Option<usize>,
}

impl Limits {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        let memory_bytes_max = usize::try_from(memory_bytes_max).unwrap_or(usize::MAX);
        Limits { memory_bytes_max, memory_bytes: 0, refused_bytes: None }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub(crate) fn memory_bytes_max(&self) -> usize {
        self.memory_bytes_max
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        let allowed = total <= self.memory_bytes_max;
        if allowed {
            self.memory_bytes = total;
        } else {
            self.refused_bytes = Some(total);
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

/// Bounds one call by the processor time that it uses, not by the wall: on a busy machine a thread may stand still for
/// longer than a deadline, and a guest that was not running must not be blamed.
#[derive(Default)]
pub(crate) struct Deadline {
    budget: Duration,
    /// The thread's processor time at the first tick of the call.
    since: Option<Duration>,
    pub(crate) exceeded: bool,
}

impl Deadline {
    /// A call begins. Its first tick comes within a millisecond, so that it ends after `budget` to `budget + 2 ms`.
    pub(crate) fn begin(&mut self, budget: Duration) {
        *self = Deadline { budget, since: None, exceeded: false };
    }

    /// An epoch passed during the call.
    pub(crate) fn tick(&mut self) -> UpdateDeadline {
        let now = thread_time();
        let since = *self.since.get_or_insert(now);
        self.exceeded = now.saturating_sub(since) >= self.budget;
        if self.exceeded { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) }
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
