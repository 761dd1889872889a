//! Extension units of RocketMQ's consume queues (`enableConsumeQueueExt`), read only.
//!
//! With extensions on, RocketMQ keeps what it knows about a message besides its place in `consumequeue_ext/<topic>/<queue>/`,
//! and the entry's tag code is the *address* of the unit there: its offset plus `i64::MIN`. A unit, big-endian:
//!
//! ```text
//! 0  i16 size of the unit, 20 to 32767     10  i64 store time, ms
//! 2  i64 tag code                          18  i16 length of a bitmap, and the bitmap
//! ```
//!
//! Files are named by the offset of their first byte, and no unit spans two. Gantry writes plain tag codes, which RocketMQ
//! accepts beside addresses. An address that leads nowhere stays what it is: filters then let the message through to the
//! client, which compares the tag's text. Source: RocketMQ `ConsumeQueueExt`.

use std::{io, path::Path};

use gantry_base::disk::Disk;
use gantry_model::tag;

use super::QueueEntry;
use crate::{
    Wait,
    log::segment::{file_name, parse_file_name},
};

/// Size and tag code.
const HEAD_LEN: usize = 10;
/// Smallest unit: one without a bitmap.
const UNIT_LEN_MIN: i16 = 20;

/// Whether any entry has an address.
pub(crate) fn are_any(entries: &[QueueEntry]) -> bool {
    entries.iter().any(|entry| tag::is_ext_address(entry.tag_code))
}

/// Puts the tag code of their unit into the entries that have an address, as far as units can be read.
/// `queue` is the queue's own folder, `<store>/consumequeue/<topic>/<id>`.
pub(crate) fn resolve(disk: &dyn Disk, queue: &Path, entries: &mut [QueueEntry], wait: Wait) {
    // It costs opening a file a call: such entries are few and old, or about to be.
    if let Err(error) = try_resolve(disk, queue, entries, wait) {
        tracing::warn!(queue = %queue.display(), %error, "extension units cannot be read; clients filter by tag themselves");
    }
}

fn try_resolve(disk: &dyn Disk, queue: &Path, entries: &mut [QueueEntry], wait: Wait) -> io::Result<()> {
    let mut parts = queue.iter().rev();
    let (Some(id), Some(topic)) = (parts.next(), parts.next()) else { return Ok(()) };
    let Some(store) = queue.ancestors().nth(3) else { return Ok(()) };
    let folder = store.join("consumequeue_ext").join(topic).join(id);
    let mut bases: Vec<u64> = match disk.list(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names?.iter().filter_map(|entry| parse_file_name(&entry.name)).collect(),
    };
    bases.sort_unstable();
    let mut open = None;
    for entry in entries.iter_mut().filter(|entry| tag::is_ext_address(entry.tag_code)) {
        let offset = entry.tag_code.wrapping_sub(i64::MIN) as u64;
        let Some(base) = bases.iter().rev().find(|base| **base <= offset).copied() else { continue };
        let file = match &open {
            Some((of, file)) if *of == base => file,
            _ => &open.insert((base, disk.open(&folder.join(file_name(base)), false)?)).1,
        };
        let mut head = [0; HEAD_LEN];
        let found = match wait {
            Wait::Allowed => Some(file.read_at(&mut head, offset - base)?),
            // Not in memory: the address stays, which only costs a message more.
            Wait::Never => file.try_read_at(&mut head, offset - base)?,
        };
        if let Some(tag_code) = decode(&head).filter(|_| found == Some(HEAD_LEN)) {
            entry.tag_code = tag_code;
        }
    }
    Ok(())
}

fn decode(head: &[u8; HEAD_LEN]) -> Option<i64> {
    let [size_high, size_low, tag_code @ ..] = *head;
    (i16::from_be_bytes([size_high, size_low]) >= UNIT_LEN_MIN).then(|| i64::from_be_bytes(tag_code))
}

#[cfg(test)]
mod tests {
    use gantry_base::disk::sim::SimDisk;
    use gantry_model::offset::PhysicalOffset;

    use super::*;

    fn entry(tag_code: i64) -> QueueEntry {
        QueueEntry { physical_offset: PhysicalOffset(0), size: 1, tag_code }
    }

    #[test]
    fn addresses_become_the_tag_codes_of_their_units() {
        let disk = SimDisk::new(1);
        let folder = Path::new("/s/consumequeue_ext/t/3");
        disk.create_dir_all(folder).unwrap();
        // 00 18 = 24 bytes, tag code 2598919 (TagA), store time 1, a bitmap of 4 bytes.
        let first = [0, 0x18, 0, 0, 0, 0, 0, 0x27, 0xA8, 0x07, 0, 0, 0, 0, 0, 0, 0, 1, 0, 4, 9, 9, 9, 9];
        let second = [0, 0x14, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFB, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
        let file = disk.open(&folder.join("00000000000000000000"), true).unwrap();
        file.write_at(&first, 0).unwrap();
        file.write_at(&[0xFF, 0xFF], 24).unwrap();
        disk.open(&folder.join("00000000000000000096"), true).unwrap().write_at(&second, 0).unwrap();
        let (of_first, of_second) = (i64::MIN, i64::MIN + 96);
        let (end_of_file, nowhere) = (i64::MIN + 24, i64::MIN + 1_000);
        let plain = [0, 5, -5, i64::from(i32::MIN), 1_700_000_000_000];
        let mut entries: Vec<_> =
            [of_first, of_second, end_of_file, nowhere].iter().chain(&plain).map(|at| entry(*at)).collect();
        resolve(&disk, Path::new("/s/consumequeue/t/3"), &mut entries, Wait::Allowed);
        let codes: Vec<i64> = entries.iter().map(|entry| entry.tag_code).collect();
        assert_eq!(codes[..4], [2_598_919, -5, end_of_file, nowhere]);
        assert_eq!(codes[4..], plain);
    }

    #[test]
    fn without_units_and_without_waiting_addresses_stay() {
        let disk = SimDisk::new(1);
        let mut entries = [entry(i64::MIN)];
        resolve(&disk, Path::new("/s/consumequeue/t/0"), &mut entries, Wait::Allowed);
        assert_eq!(entries[0].tag_code, i64::MIN);
        let folder = Path::new("/s/consumequeue_ext/t/0");
        disk.create_dir_all(folder).unwrap();
        let file = disk.open(&folder.join("00000000000000000000"), true).unwrap();
        file.write_at(&[0, 20, 0, 0, 0, 0, 0, 0, 0, 7], 0).unwrap();
        disk.set_cold_reads(1000);
        resolve(&disk, Path::new("/s/consumequeue/t/0"), &mut entries, Wait::Never);
        assert_eq!(entries[0].tag_code, i64::MIN);
        resolve(&disk, Path::new("/s/consumequeue/t/0"), &mut entries, Wait::Allowed);
        assert_eq!(entries[0].tag_code, 7);
    }
}
