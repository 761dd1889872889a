//! Files that another hand damages while the store is down: one bit flipped, an end cut off at each byte.

use std::path::Path;

use gantry_base::disk::{
    Disk,
    sim::{SimDisk, SplitMix64},
};

use super::Scale;
use crate::{
    campaign::{Part, Tally},
    prepared::{Left, Prepared, PreparedFile, Recipe, kind},
};

/// Flips of the whole campaign and of a slice.
const FLIPS: [u64; 2] = [12_000, 1_200];
/// An end that is cut off has at most this many bytes.
const CUT_MAX_BYTES: u64 = 64 << 10;
/// Of the cuts, a slice takes one in so many.
const SLICE_STRIDE: u64 = 97;

/// Made at once, before a bug is planted. A store that cannot be prepared fails in its first trial.
fn prepare<const N: usize>(recipes: [Recipe; N]) -> Vec<Result<Prepared, String>> {
    recipes.iter().map(Prepared::new).collect()
}

fn small(left: Left) -> Recipe {
    Recipe { segment_size_bytes: 16 << 10, queue_file_entries: 30, messages: 300, topics: 3, left }
}

/// One bit flipped in any file; kinds of files get equal shares, whatever their sizes.
pub(super) fn flips(scale: Scale) -> Part {
    let stores = prepare([Left::Clean, Left::Killed].map(small));
    Part {
        name: "flips",
        about: "one bit flipped in a file of each kind, then everything read: served right or reported",
        first: scale.seed,
        trials: FLIPS[usize::from(scale.slice)],
        run: Box::new(move |seed| {
            let mut rng = SplitMix64::new(seed);
            let prepared = stores[rng.below(2) as usize].as_ref()?;
            let mut kinds: Vec<String> = prepared.files.iter().map(|file| kind(&file.path)).collect();
            kinds.sort();
            kinds.dedup();
            let wanted = kinds.swap_remove(rng.below(kinds.len() as u64) as usize);
            let of_kind: Vec<_> =
                prepared.files.iter().filter(|file| file.len > 0 && kind(&file.path) == wanted).collect();
            if of_kind.is_empty() {
                return Ok(Tally::one("empty files"));
            }
            let PreparedFile { path, len, .. } = of_kind[rng.below(of_kind.len() as u64) as usize];
            let disk = prepared.fork();
            let (at, bit) = flip(&disk, path, *len, &mut rng)?;
            prepared
                .judge(&disk, prepared.is_newest_index(path))
                .map_err(|violation| format!("{} byte {at} bit {bit}: {violation}", path.display()))
        }),
    }
}

/// Flips a bit, mostly where something was written.
fn flip(disk: &SimDisk, path: &Path, len: u64, rng: &mut SplitMix64) -> Result<(u64, u32), String> {
    let text = |error: std::io::Error| error.to_string();
    let file = disk.open(path, false).map_err(text)?;
    let mut byte = [0];
    let mut at = 0;
    for _ in 0..30 {
        at = rng.below(len);
        file.read_at(&mut byte, at).map_err(text)?;
        if byte[0] != 0 {
            break;
        }
    }
    let bit = rng.below(8) as u32;
    file.write_at(&[byte[0] ^ (1 << bit)], at).map_err(text)?;
    file.sync().map_err(text)?;
    Ok((at, bit))
}

/// The last file of every kind, cut at each byte of the last 64 KiB that were written.
pub(super) fn truncation(scale: Scale) -> Part {
    // One segment that is long enough, and a consume queue file.
    let recipes = [
        Recipe {
            segment_size_bytes: 128 << 10,
            queue_file_entries: 600,
            messages: 460,
            topics: 1,
            left: Left::KilledUnchecked,
        },
        Recipe { queue_file_entries: 3300, messages: 3299, topics: 1, ..small(Left::Killed) },
        small(Left::Clean),
    ];
    let stores = prepare(recipes);
    let cuts = stores.iter().enumerate().flat_map(|(store, prepared)| {
        let files = prepared.as_ref().map_or(Vec::new(), |prepared| last_of_each_kind(&prepared.files));
        let wanted = files.into_iter().filter(move |file| match store {
            0 => kind(&file.path).starts_with("commitlog"),
            1 => kind(&file.path).starts_with("consumequeue"),
            _ => true,
        });
        wanted.flat_map(move |PreparedFile { path, written, .. }| {
            let cuts = written.saturating_sub(CUT_MAX_BYTES)..written;
            cuts.map(move |at| (store, path.clone(), at)).collect::<Vec<_>>()
        })
    });
    let stride = if scale.slice { SLICE_STRIDE } else { 1 };
    let cuts: Vec<_> = cuts.step_by(stride as usize).collect();
    Part {
        name: "truncation",
        about: "the last file of each kind cut at each byte of the last 64 KiB written, then everything read",
        first: 0,
        trials: cuts.len().max(1) as u64,
        run: Box::new(move |trial| {
            let (store, path, at) = cuts.get(trial as usize).ok_or("no file to cut")?;
            let prepared = stores[*store].as_ref()?;
            let disk = prepared.fork();
            let cut = disk.open(path, false).and_then(|file| file.set_len(*at).and_then(|()| file.sync()));
            cut.map_err(|error| error.to_string())?;
            prepared
                .judge(&disk, prepared.is_newest_index(path))
                .map_err(|violation| format!("{} cut at {at}: {violation}", path.display()))
        }),
    }
}

fn last_of_each_kind(files: &[PreparedFile]) -> Vec<PreparedFile> {
    let mut last: Vec<PreparedFile> = Vec::new();
    for file in files.iter().filter(|file| file.written > 0) {
        match last.iter_mut().find(|known| kind(&known.path) == kind(&file.path)) {
            Some(known) => *known = file.clone(),
            None => last.push(file.clone()),
        }
    }
    last
}
