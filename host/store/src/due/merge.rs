//! Several runs become one, a little at a time, beside the taking of what is due.

use std::path::Path;

use gantry_base::disk::Disk;

use super::{
    Done, DueError, MERGE_RUNS,
    run::{Cursor, Run, Writer},
};

pub(super) struct Merge {
    inputs: Vec<Cursor>,
    writer: Writer,
    number: u64,
    done: Done,
}

/// The runs to merge next: enough of like size, the shortest first.
pub(super) fn choose<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<Vec<Run>> {
    let mut by_size: std::collections::BTreeMap<u32, Vec<Run>> = std::collections::BTreeMap::new();
    for run in runs {
        // Eight times as long is the next size.
        by_size.entry((run.meta.entries + 1).ilog2() / 3).or_default().push(run.clone());
    }
    by_size.into_values().find(|alike| alike.len() >= MERGE_RUNS)
}

impl Merge {
    /// What is done by now is left out; what is taken meanwhile is passed over when the new run is opened.
    pub(super) fn begin(
        disk: &dyn Disk,
        dir: &Path,
        number: u64,
        inputs: Vec<Run>,
        done: Done,
    ) -> Result<Self, DueError> {
        let inputs = inputs.into_iter().map(|run| Cursor::seek(run, done.forget_before)).collect::<Result<_, _>>()?;
        Ok(Merge { inputs, writer: Writer::create(disk, dir, number)?, number, done })
    }

    pub(super) fn inputs(&self) -> Vec<u64> {
        self.inputs.iter().map(|cursor| cursor.run.meta.number).collect()
    }

    /// Moves at most `budget` entries; `false` at the end.
    pub(super) fn step(&mut self, budget: usize) -> Result<bool, DueError> {
        for _ in 0..budget {
            let mut least = None;
            for (index, cursor) in self.inputs.iter_mut().enumerate() {
                if let Some(entry) = cursor.peek()?
                    && least.is_none_or(|(_, key)| entry.key < key)
                {
                    least = Some((index, entry.key));
                }
            }
            let Some((index, _)) = least else { return Ok(false) };
            let cursor = &mut self.inputs[index];
            if let Some(entry) = cursor.peek()? {
                cursor.advance();
                // A recall that a seal wrote again is in two runs, one behind the other here.
                if self.done.keeps(&entry) && self.writer.last() != Some(entry.key) {
                    self.writer.push(entry)?;
                }
            }
        }
        Ok(true)
    }

    /// Number of the new run.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// `None`: nothing of it was wanted any more.
    pub(super) fn finish(self) -> Result<Option<Run>, DueError> {
        Ok(self.writer.finish()?)
    }
}
