//! The slot table of the newest file, as far as it was touched, in memory.
//!
//! 5 million slots are 20 MB on disk and a random key meets any of them. Pages of 1024 slots are loaded when first used and
//! written together from time to time ([`take_dirty`](SlotTable::take_dirty)); then they are forgotten again, so an idle
//! store holds none.

use std::sync::Arc;

use super::{file::IndexFile, format::Shape};
use crate::{Read, Wait, error::DiskError};

/// Slots of a page: 4 KiB.
const PAGE_SLOTS: u32 = 1024;
/// Pages written or read at once.
const RUN_PAGES_MAX: usize = 256;

struct Page {
    slots: [u32; PAGE_SLOTS as usize],
    dirty: bool,
}

/// Pages by number.
type Pages = Vec<Option<Box<Page>>>;

/// Values that are newer than the file's.
pub(crate) struct SlotTable {
    shape: Shape,
    pages: Pages,
    /// Pages that are being written. What is asked for again meanwhile is copied from here, because the file may have it
    /// or not.
    writing: Option<Arc<Dirty>>,
    /// Pages that were never written in a file that this process made: they need not be read, and reading a hole without
    /// waiting does not succeed.
    unwritten: Vec<bool>,
}

/// Pages on their way to the file.
pub(crate) struct Dirty(Pages);

impl SlotTable {
    /// Of a file; `fresh` when it was made just now.
    pub(crate) fn new(shape: Shape, fresh: bool) -> Self {
        let pages = none(shape);
        SlotTable { shape, unwritten: vec![fresh; pages.len()], pages, writing: None }
    }

    /// The slot's value if it is in memory; else the file has it.
    pub(crate) fn get(&self, slot: u32) -> Option<u32> {
        let (page, within) = place(slot);
        let written = || self.writing.as_ref().and_then(|dirty| dirty.0[page].as_deref());
        self.pages[page].as_deref().or_else(written).map(|page| page.slots[within])
    }

    /// The slot, to be changed; `None` when its page would have to be waited for.
    #[inline]
    pub(crate) fn get_mut(&mut self, file: &IndexFile, slot: u32, wait: Wait) -> Result<Option<&mut u32>, DiskError> {
        let (page, within) = place(slot);
        if self.pages[page].is_none() && self.load(file, page, wait)? == Read::WouldBlock {
            return Ok(None);
        }
        Ok(self.pages[page].as_mut().map(|page| {
            page.dirty = true;
            &mut page.slots[within]
        }))
    }

    #[cold]
    fn load(&mut self, file: &IndexFile, number: usize, wait: Wait) -> Result<Read, DiskError> {
        let mut page = Box::new(Page { slots: [0; PAGE_SLOTS as usize], dirty: false });
        match self.writing.as_ref().and_then(|dirty| dirty.0[number].as_deref()) {
            Some(copied) => page.slots = copied.slots,
            None if self.unwritten[number] => {}
            None => {
                let mut bytes = [0; PAGE_SLOTS as usize * 4];
                let bytes = &mut bytes[..self.page_len(number)];
                if file.read_slots(bytes, first_slot(number), wait)? == Read::WouldBlock {
                    return Ok(Read::WouldBlock);
                }
                for (slot, bytes) in page.slots.iter_mut().zip(bytes.as_chunks().0) {
                    *slot = u32::from_be_bytes(*bytes);
                }
            }
        }
        self.pages[number] = Some(page);
        Ok(Read::Done)
    }

    /// Loads every page that is not there, waiting for the disk.
    pub(crate) fn load_all(&mut self, file: &IndexFile) -> Result<(), DiskError> {
        for number in 0..self.pages.len() {
            if self.pages[number].is_none() {
                self.load(file, number, Wait::Allowed)?;
            }
        }
        Ok(())
    }

    /// Takes the changed pages out, to be written; the others are forgotten. Ends with [`written`](Self::written) or
    /// [`put_back`](Self::put_back).
    pub(crate) fn take_dirty(&mut self) -> Arc<Dirty> {
        debug_assert!(self.writing.is_none(), "one writing at a time");
        let mut pages = std::mem::replace(&mut self.pages, none(self.shape));
        for (page, unwritten) in pages.iter_mut().zip(&mut self.unwritten) {
            page.take_if(|page| !page.dirty);
            *unwritten &= page.is_none();
        }
        let dirty = Arc::new(Dirty(pages));
        self.writing = Some(dirty.clone());
        dirty
    }

    /// The pages are in the file, durably.
    pub(crate) fn written(&mut self) {
        self.writing = None;
    }

    /// The pages could not be written: they count as changed again.
    pub(crate) fn put_back(&mut self) {
        let Some(dirty) = self.writing.take() else { return };
        for (page, old) in self.pages.iter_mut().zip(&dirty.0) {
            if let Some(old) = old {
                page.get_or_insert_with(|| Box::new(Page { slots: old.slots, dirty: true })).dirty = true;
            }
        }
    }

    /// Bytes of all pages in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let count = |pages: &Pages| pages.iter().flatten().count() as u64;
        let writing = self.writing.as_ref().map_or(0, |dirty| count(&dirty.0));
        (count(&self.pages) + writing) * size_of::<Page>() as u64
    }

    fn page_len(&self, number: usize) -> usize {
        page_len(self.shape, number)
    }
}

impl Dirty {
    /// Writes the pages, neighbours at once. Durable after a sync of the file.
    pub(crate) fn write(&self, file: &IndexFile) -> Result<(), DiskError> {
        let mut run: Vec<u8> = Vec::new();
        let mut first = 0;
        for (number, page) in self.0.iter().enumerate() {
            let Some(page) = page else { continue };
            if !run.is_empty()
                && (number != first + run.len() / (PAGE_SLOTS as usize * 4)
                    || run.len() >= RUN_PAGES_MAX * PAGE_SLOTS as usize * 4)
            {
                file.write_slots(&run, first_slot(first))?;
                run.clear();
            }
            if run.is_empty() {
                first = number;
            }
            let len = page_len(file.shape, number);
            run.extend(page.slots.iter().flat_map(|slot| slot.to_be_bytes()).take(len));
        }
        if !run.is_empty() {
            file.write_slots(&run, first_slot(first))?;
        }
        Ok(())
    }
}

fn none(shape: Shape) -> Pages {
    std::iter::repeat_with(|| None).take(shape.slots.div_ceil(PAGE_SLOTS) as usize).collect()
}

/// The last page ends with the table.
fn page_len(shape: Shape, number: usize) -> usize {
    (shape.slots - first_slot(number)).min(PAGE_SLOTS) as usize * 4
}

fn first_slot(page: usize) -> u32 {
    page as u32 * PAGE_SLOTS
}

fn place(slot: u32) -> (usize, usize) {
    ((slot / PAGE_SLOTS) as usize, (slot % PAGE_SLOTS) as usize)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gantry_base::disk::{Disk, sim::SimDisk};

    use super::{super::format::Header, *};

    const SHAPE: Shape = Shape { slots: 5000, entries: 10 };

    fn file() -> IndexFile {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/i")).unwrap();
        IndexFile::create(&disk, Path::new("/i"), 1, SHAPE, &Header::following(0, 0)).unwrap()
    }

    fn set(table: &mut SlotTable, file: &IndexFile, slot: u32, value: u32) {
        *table.get_mut(file, slot, Wait::Allowed).unwrap().unwrap() = value;
    }

    #[test]
    fn changed_pages_reach_the_file_and_are_forgotten() {
        let (file, mut table) = (file(), SlotTable::new(SHAPE, false));
        // Two neighbours, one apart, and the short last page.
        for slot in [0, 1024, 3500, 4999] {
            assert_eq!(table.get(slot), None);
            set(&mut table, &file, slot, slot + 1);
        }
        let dirty = table.take_dirty();
        assert_eq!(table.get(1024), Some(1025), "while it is written");
        dirty.write(&file).unwrap();
        table.written();
        assert_eq!((table.get(1024), table.bytes()), (None, 0));
        for slot in [0, 1024, 3500, 4999] {
            assert_eq!(file.read_slot(slot).unwrap(), slot + 1);
        }
        assert_eq!(file.read_slot(1).unwrap(), 0);
    }

    #[test]
    fn a_page_that_could_not_be_written_stays_changed() {
        let (file, mut table) = (file(), SlotTable::new(SHAPE, false));
        set(&mut table, &file, 1, 10);
        set(&mut table, &file, 2000, 20);
        table.take_dirty();
        set(&mut table, &file, 2000, 21);
        table.put_back();
        table.take_dirty().write(&file).unwrap();
        table.written();
        assert_eq!((file.read_slot(1).unwrap(), file.read_slot(2000).unwrap()), (10, 21));
    }
}
