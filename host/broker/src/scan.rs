//! One look at a queue: entries, then records, then verdicts, until something bounds it.
//!
//! The next offset always says how far was looked, never further: a message that could not be judged ends the look before
//! it, so that no consumer ever passes over one because a plugin failed.

use bytes::{Buf, Bytes, BytesMut};
use gantry_filter::{Selector, Verdict};
use gantry_model::{message::MessageView, offset::QueueOffset, properties};
use gantry_plugin::OnError;
use gantry_protocol::record::{self, RecordView};
use gantry_store::{QueueEntry, Read, ReadError, Store, Wait};

use crate::{options::BrokerOptions, pull::Source, reply::Refusal};

/// Entries read from the queue at a time.
const ENTRIES_PER_READ: usize = 256;
/// Room before the records for the head of an answer, so that they need not be copied behind it.
const HEAD_ROOM: usize = 512;

/// Why a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At the end of the queue.
    End,
    /// At a limit of messages, bytes or entries; there is more.
    Limit,
    /// Before a message that the filter cannot decide.
    Held,
}

/// What one look found.
pub(crate) struct Scan {
    /// [`HEAD_ROOM`], then whole records; or nothing at all.
    body: Vec<u8>,
    /// Records found.
    pub(crate) messages: usize,
    /// Where the next look begins.
    pub(crate) next: QueueOffset,
    pub(crate) stop: Stop,
    /// Plugin version that judged, as `name@hash`.
    pub(crate) filter: Option<String>,
    /// Why the filter could not decide.
    pub(crate) held_because: Option<String>,
}

impl Scan {
    pub(crate) fn nothing(next: QueueOffset) -> Self {
        Scan { body: Vec::new(), messages: 0, next, stop: Stop::End, filter: None, held_because: None }
    }

    /// Bytes of the records.
    pub(crate) fn records_len(&self) -> usize {
        self.body.len().saturating_sub(HEAD_ROOM)
    }

    /// The records behind `head`, which says how many bytes they are.
    pub(crate) fn answer(mut self, mut head: BytesMut) -> BytesMut {
        if self.records_len() == 0 {
            return head;
        }
        let Some(start) = HEAD_ROOM.checked_sub(head.len()) else {
            head.extend_from_slice(&self.body[HEAD_ROOM..]);
            return head;
        };
        self.body[start..HEAD_ROOM].copy_from_slice(&head);
        let mut answer = BytesMut::from(Bytes::from(self.body));
        answer.advance(start);
        answer
    }
}

/// A look that came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// Something is not in memory and the caller may not wait for the device.
    #[error("the read would wait for the device")]
    WouldBlock,
    /// No place to wait for the device was free in time, or the thread that looked is gone.
    #[error(transparent)]
    Refused(Refusal),
    #[error(transparent)]
    Store(#[from] ReadError),
    #[error(
        "the log holds no readable record where queue offset {offset} points: {error}; the queue stops here, nothing is skipped"
    )]
    Record { offset: QueueOffset, error: record::RecordError },
}

/// Looks at the queue of `source` from `from` on.
pub(crate) fn scan(
    store: &Store,
    options: &BrokerOptions,
    source: &Source,
    mut selector: Selector,
    from: QueueOffset,
    wait: Wait,
) -> Result<Scan, ScanError> {
    let mut scan = Scan { filter: selector.label(), ..Scan::nothing(from) };
    let mut look = Look { store, options, source, wait, read: Vec::new(), picked: Vec::new() };
    let mut scanned = 0;
    let mut entries = Vec::with_capacity(ENTRIES_PER_READ);
    while scanned < options.pull_scan_max {
        entries.clear();
        let want = ENTRIES_PER_READ.min(options.pull_scan_max - scanned);
        if !is_done(store.entries(&source.queue, scan.next, want, wait, &mut entries))? {
            // What was found so far is worth an answer; the rest comes with the next pull.
            return if scan.messages > 0 { Ok(Scan { stop: Stop::Limit, ..scan }) } else { Err(ScanError::WouldBlock) };
        }
        if entries.is_empty() {
            return Ok(Scan { stop: Stop::End, ..scan });
        }
        scanned += entries.len();
        match look.deliver(&entries, &mut selector, &mut scan) {
            Ok(Some(stop)) => return Ok(Scan { stop, ..scan }),
            Ok(None) => {}
            Err(ScanError::WouldBlock) if scan.messages > 0 => return Ok(Scan { stop: Stop::Limit, ..scan }),
            // The client takes what lies before it first, or moves on over what was refused.
            Err(ScanError::Store(ReadError::Damaged(_))) if scan.next > from => {
                return Ok(Scan { stop: Stop::Limit, ..scan });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Scan { stop: Stop::Limit, ..scan })
}

/// `false` when the read would have waited.
fn is_done(read: Result<Read, ReadError>) -> Result<bool, ReadError> {
    read.map(|read| matches!(read, Read::Done))
}

struct Look<'a> {
    store: &'a Store,
    options: &'a BrokerOptions,
    source: &'a Source,
    wait: Wait,
    read: Vec<u8>,
    picked: Vec<(QueueOffset, QueueEntry)>,
}

impl Look<'_> {
    /// Goes through entries that begin at `scan.next`; `Some` when the look is over.
    fn deliver(
        &mut self,
        entries: &[QueueEntry],
        selector: &mut Selector,
        scan: &mut Scan,
    ) -> Result<Option<Stop>, ScanError> {
        let mut at = 0;
        while at < entries.len() {
            let base = scan.next;
            let looked = self.pick(&entries[at..], base, selector, scan);
            if looked == 0 {
                return Ok(Some(Stop::Limit));
            }
            if !self.picked.is_empty()
                && let Some(stop) = self.judge(selector, scan)?
            {
                return Ok(Some(stop));
            }
            scan.next = base.plus(looked as u64);
            at += looked;
        }
        Ok(None)
    }

    /// Chooses entries worth reading, one filter batch at most and no more than the answer has room for if all of them are
    /// delivered. Returns how many entries were looked at; 0 = the answer is full.
    fn pick(&mut self, entries: &[QueueEntry], base: QueueOffset, selector: &Selector, scan: &Scan) -> usize {
        self.picked.clear();
        let mut bytes = scan.records_len();
        // Without a plugin there is no batch to keep small.
        let batch_max = if selector.admits_every_record() { usize::MAX } else { selector.max_batch() };
        for (index, entry) in entries.iter().enumerate() {
            if !selector.admits_entry(entry.tag_code) && entry.tag_code != QueueEntry::TAG_UNKNOWN {
                continue;
            }
            let count = scan.messages + self.picked.len();
            let too_long = count > 0 && bytes + entry.size as usize > self.options.pull_bytes_max;
            if count >= self.source.messages_max || too_long || self.picked.len() >= batch_max {
                return index;
            }
            bytes += entry.size as usize;
            self.picked.push((base.plus(index as u64), *entry));
        }
        entries.len()
    }

    /// Reads the picked records, has them judged and adds what is to be delivered.
    fn judge(&mut self, selector: &mut Selector, scan: &mut Scan) -> Result<Option<Stop>, ScanError> {
        if scan.body.is_empty() {
            scan.body.resize(HEAD_ROOM, 0);
        }
        if selector.admits_every_record() {
            let mut body = std::mem::take(&mut scan.body);
            let read = self.read_picked(scan, &mut body);
            scan.body = body;
            let damaged = read?;
            scan.messages += self.picked.len();
            return Ok(stop_before(damaged, scan));
        }
        let mut read = std::mem::take(&mut self.read);
        read.clear();
        let damaged = self.read_picked(scan, &mut read);
        self.read = read;
        let damaged = damaged?;
        let mut views = Vec::with_capacity(self.picked.len());
        let mut records = Vec::with_capacity(self.picked.len());
        let mut start = 0;
        for (offset, entry) in &self.picked {
            let bytes = &self.read[start..start + entry.size as usize];
            start += entry.size as usize;
            let view = RecordView::parse(bytes).map_err(|error| ScanError::Record { offset: *offset, error })?;
            views.push(view.message());
            records.push(bytes);
        }
        let mut verdicts = Vec::with_capacity(views.len());
        let mut done = 0;
        while done < views.len() {
            verdicts.clear();
            selector.judge(&views[done..], &mut verdicts);
            for verdict in &verdicts {
                let (offset, bytes, view) = (self.picked[done].0, records[done], &views[done]);
                match verdict {
                    Verdict::Skip => {}
                    Verdict::Deliver => {
                        scan.body.extend_from_slice(bytes);
                        scan.messages += 1;
                    }
                    Verdict::Undecided => {
                        let reason = selector.undecided_reason();
                        if selector.on_error() == OnError::Hold {
                            scan.next = offset;
                            scan.held_because = Some(reason);
                            return Ok(Some(Stop::Held));
                        }
                        scan.body.extend_from_slice(&marked(view, bytes, &reason));
                        scan.messages += 1;
                    }
                }
                done += 1;
            }
            if verdicts.is_empty() {
                // A selector that judges nothing decides nothing.
                scan.next = self.picked[done].0;
                scan.held_because = Some(selector.undecided_reason());
                return Ok(Some(Stop::Held));
            }
        }
        Ok(stop_before(damaged, scan))
    }

    /// Appends the picked records to `out`. Gives the offset of a damaged one behind them, before which this look must end;
    /// when nothing lies before it, that is the error.
    fn read_picked(&mut self, scan: &mut Scan, out: &mut Vec<u8>) -> Result<Option<QueueOffset>, ScanError> {
        let mut damaged = None;
        loop {
            match self.store.read_records(&self.source.queue, &mut self.picked, self.wait, out) {
                Ok(Read::Done) => return Ok(damaged),
                Ok(Read::WouldBlock) => return Err(ScanError::WouldBlock),
                Err(ReadError::Damaged(found)) => {
                    let at = found.queue_offset;
                    self.picked.retain(|(offset, _)| *offset < at);
                    if self.picked.is_empty() {
                        // What lies before it was looked at and refused.
                        scan.next = at;
                        return Err(ReadError::Damaged(found).into());
                    }
                    damaged = Some(at);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Ends a look before a damaged message; the one that begins there says so.
fn stop_before(damaged: Option<QueueOffset>, scan: &mut Scan) -> Option<Stop> {
    scan.next = damaged?;
    Some(Stop::Limit)
}

/// The record once more with a property that says why no filter judged it. Delivered as it is when that does not fit.
fn marked(view: &MessageView<'_>, bytes: &[u8], reason: &str) -> Vec<u8> {
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
    let fits = view.properties.len() + reason.len() + 64 <= properties::PROPERTIES_LEN_MAX;
    match RecordView::parse(bytes) {
        Ok(record) if fits => record::reencode_with_property(&record, properties::FILTER_UNDECIDED, &reason)
            .unwrap_or_else(|_| bytes.to_vec()),
        _ => bytes.to_vec(),
    }
}
