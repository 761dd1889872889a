//! Synchronous sends against what the disk can do: with n in flight and a sync time of t, half of them wait for the sync that
//! runs and half for the next, so n / 2 messages can be acknowledged every t.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use gantry_testkit::node::{Node, NodeOptions};

use crate::{
    bench::{Load, config, median, produce},
    say,
    table::{Table, Wanted},
};

/// Connections and frames in flight on each.
const IN_FLIGHT: [(usize, usize); 3] = [(4, 4), (16, 16), (64, 64)];
/// Added to every sync.
const DELAYS_MS: [u64; 2] = [0, 4];
const SYNCS: u64 = 300;
const BLOCK: usize = 4096;

pub(crate) fn run(table: &mut Table, quick: bool) -> Result<()> {
    let (seconds, rounds) = if quick { (2.0, 1) } else { (5.0, 3) };
    let ceiling = ceiling(seconds)?;
    for delay_ms in DELAYS_MS {
        let folder = tempfile::tempdir()?;
        let text = format!("[broker]\nflush = \"sync\"\n[store]\nsync_delay_ms = {delay_ms}\n");
        let options = NodeOptions {
            data: folder.path().join("data"),
            config: Some(config(folder.path(), &text)?),
            ..NodeOptions::default()
        };
        let node = Node::start(&options)?;
        for (connections, window) in IN_FLIGHT {
            let mut rates = Vec::new();
            let mut syncs = Vec::new();
            for _ in 0..rounds {
                // In turns with the load, since a disk's mood changes.
                syncs.push(sync_time(folder.path(), delay_ms)?.as_secs_f64());
                let report = produce(node.broker, &Load::new("durable", connections, window, 128, seconds))?;
                ensure!(report.refused == 0, "{} messages were refused", report.refused);
                rates.push(report.messages_per_s);
            }
            let (in_flight, sync_s, rate) = ((connections * window) as f64, median(syncs), median(rates));
            let possible = in_flight / 2.0 / sync_s;
            say(&format!("{in_flight} in flight, {delay_ms} ms added: {rate:.0} msg/s, sync {:.0} us", sync_s * 1e6));
            let what = format!("sync, 128 B, {in_flight} in flight, {delay_ms} ms added to each sync: msg/s");
            let mut note = format!("a sync takes {:.0} us", sync_s * 1e6);
            if possible > ceiling {
                note +=
                    &format!("; more than the {ceiling:.0} msg/s of asynchronous flush, so the processor is the limit");
            }
            table.row_with(what, possible, rate, Wanted::AtLeast(0.8), note);
        }
    }
    table.note("beside = (in flight / 2) / sync time of the disk, measured in turns with the load");
    Ok(())
}

/// What this machine's processor does without waiting for the disk.
fn ceiling(seconds: f64) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let config = config(folder.path(), "[broker]\nflush = \"async\"\n")?;
    let options = NodeOptions { data: folder.path().join("data"), config: Some(config), ..NodeOptions::default() };
    let node = Node::start(&options)?;
    Ok(produce(node.broker, &Load::new("ceiling", 64, 64, 128, seconds))?.messages_per_s)
}

/// The median time of writing a block behind the last one and syncing it, as a log does it, with `delay_ms` more.
fn sync_time(folder: &Path, delay_ms: u64) -> Result<Duration> {
    let path = folder.join("sync-time");
    let file = File::create(&path)?;
    file.set_len(SYNCS * BLOCK as u64)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, SYNCS * BLOCK as u64)?;
    file.sync_all()?;
    let block = [0x5A; BLOCK];
    let mut times = Vec::new();
    for number in 0..SYNCS {
        file.write_all_at(&block, number * BLOCK as u64)?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64());
    }
    std::fs::remove_file(&path)?;
    Ok(Duration::from_secs_f64(median(times)) + Duration::from_millis(delay_ms))
}
