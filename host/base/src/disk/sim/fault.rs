//! Errors and crashes that a test arranges.

use std::{io, path::Path};

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Opening a file that exists or is then created.
    Open,
    /// Creating a file or folder.
    Create,
    /// Replacing a name.
    Rename,
    /// Removing a file or folder.
    Remove,
    /// Making names durable.
    SyncDir,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Making bytes durable.
    Sync,
    /// Changing a length.
    SetLen,
    /// Reserving blocks.
    Allocate,
    /// Asking how full it is.
    Space,
    /// Listing a folder.
    List,
    /// Asking for a file's length.
    Length,
}

impl Operation {
    /// Every kind.
    pub const ALL: [Operation; 13] = [
        Operation::Open,
        Operation::Create,
        Operation::Rename,
        Operation::Remove,
        Operation::SyncDir,
        Operation::Read,
        Operation::Write,
        Operation::Sync,
        Operation::SetLen,
        Operation::Allocate,
        Operation::Space,
        Operation::List,
        Operation::Length,
    ];
}

/// An error that is going to happen.
#[derive(Debug, Clone)]
pub struct Fault {
    /// On this kind of call ...
    pub operation: Operation,
    /// ... whose path contains this text (empty: any) ...
    pub path_contains: String,
    /// ... after this many of them went well ...
    pub after: u64,
    /// ... for this many of them.
    pub times: u64,
    /// What they return, as an errno: 5 is EIO, 28 is ENOSPC.
    pub errno: i32,
}

impl Fault {
    /// EIO, once, at the next call of the kind, on any path.
    pub fn once(operation: Operation) -> Self {
        Fault { operation, path_contains: String::new(), after: 0, times: 1, errno: 5 }
    }
}

/// Why a changing call does not simply happen.
pub(super) struct Failure {
    pub(super) error: io::Error,
    /// The process died in the call, which may have taken effect.
    pub(super) crashed: bool,
}

#[derive(Default, Clone)]
pub(super) struct Faults {
    arranged: Vec<Fault>,
    happened: u64,
    operations: u64,
    calls: [u64; Operation::ALL.len()],
    crash_at: Option<u64>,
    crashed: bool,
}

impl Faults {
    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    pub(super) fn crash_at(&mut self, operation: u64) {
        self.crash_at = Some(operation);
    }

    pub(super) fn crash(&mut self) {
        self.crashed = true;
    }

    pub(super) fn crashed(&self) -> bool {
        self.crashed
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.arranged.push(fault);
    }

    pub(super) fn spent(&self) -> bool {
        self.arranged.iter().all(|fault| fault.times == 0)
    }

    pub(super) fn happened(&self) -> u64 {
        self.happened
    }

    pub(super) fn calls(&self, operation: Operation) -> u64 {
        self.calls[operation as usize]
    }

    pub(super) fn clear(&mut self) {
        self.arranged.clear();
        self.crash_at = None;
        self.crashed = false;
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(io::Error::other("simulated crash")) } else { Ok(()) }
    }

    /// Counts a call that changes nothing.
    pub(super) fn read(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        self.alive()?;
        self.arranged(operation, path)
    }

    /// Counts a call that changes something.
    pub(super) fn change(&mut self, operation: Operation, path: &Path) -> Result<(), Failure> {
        let failure = |crashed: bool| move |error: io::Error| Failure { error, crashed };
        self.alive().map_err(failure(false))?;
        self.operations += 1;
        if self.crash_at == Some(self.operations) {
            self.crashed = true;
            return self.alive().map_err(failure(true));
        }
        self.arranged(operation, path).map_err(failure(false))
    }

    fn arranged(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        self.calls[operation as usize] += 1;
        if self.arranged.is_empty() {
            return Ok(());
        }
        let path = path.to_string_lossy();
        for fault in &mut self.arranged {
            if fault.operation != operation || !path.contains(&fault.path_contains) || fault.times == 0 {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            fault.times -= 1;
            self.happened += 1;
            return Err(io::Error::from_raw_os_error(fault.errno));
        }
        Ok(())
    }
}
