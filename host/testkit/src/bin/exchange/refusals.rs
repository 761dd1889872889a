//! Stores of RocketMQ that Gantry does not read: made by RocketMQ itself, refused with their name, and left as they are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result, ensure};
use gantry_testkit::{
    node::{Node, NodeOptions},
    rocketmq::{BrokerSettings, RocketMq},
};

use crate::peer::store_of;

/// Lines of broker.conf that make such a store, and what the refusal must name.
const KINDS: [(&[(&str, &str)], &str); 4] = [
    (&[("storeType", "defaultRocksDB")], "RocksDB"),
    (&[("storeType", "defaultRocksDB"), ("configManagerVersion", "v2")], "RocksDB"),
    (
        &[
            ("enableDLegerCommitLog", "true"),
            ("dLegerGroup", "broker-a"),
            ("dLegerPeers", "n0-127.0.0.1:41911"),
            ("dLegerSelfId", "n0"),
        ],
        "DLedger",
    ),
    (&[("mappedFileSizeCommitLog", "67108864")], "segment_size_bytes"),
];
/// What a short run makes.
const KINDS_QUICK: usize = 1;

/// How many were made and refused.
pub(crate) fn all(folder: &Path, quick: bool) -> Result<usize> {
    let kinds = if quick { &KINDS[..KINDS_QUICK] } else { &KINDS[..] };
    for (number, (lines, name)) in kinds.iter().enumerate() {
        let data = folder.join(format!("other-{number}"));
        let store = store_of(&data);
        let mut settings = BrokerSettings::new(&store);
        for (key, value) in *lines {
            settings = settings.with(key, value);
        }
        let broker = RocketMq::broker(&settings).with_context(|| format!("RocketMQ with {lines:?}"))?;
        first_message(&broker)?;
        broker.terminate()?;
        let before = files(&store)?;
        let refusal = match Node::start(&NodeOptions { data, ..NodeOptions::default() }) {
            Ok(_) => anyhow::bail!("Gantry opened a store of RocketMQ with {lines:?}"),
            Err(error) => format!("{error:#}"),
        };
        ensure!(refusal.contains(name), "the refusal of {lines:?} does not name {name}: {refusal}");
        let after = files(&store)?;
        ensure!(before == after, "Gantry refused the store of {lines:?} and changed it: {before:?} {after:?}");
        let said = refusal.lines().find(|line| line.contains(name)).unwrap_or(name);
        println!("ok  refused, unchanged: {}", said.trim());
    }
    Ok(kinds.len())
}

/// Without a message there is no log file to be refused. A DLedger group elects itself first.
fn first_message(broker: &RocketMq) -> Result<()> {
    let address = broker.address;
    // On a thread of its own, with a runtime that ends there: the caller is on one already.
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let deadline = tokio::time::Instant::now() + crate::PATIENCE;
                loop {
                    let mut wire = gantry_testkit::wire::Wire::connect(address).await?;
                    let (code, frame) = wire.send("refused", b"x").await?;
                    if code == gantry_protocol::code::response::SUCCESS {
                        return anyhow::Ok(());
                    }
                    ensure!(tokio::time::Instant::now() < deadline, "code {code}: {:?}", frame.header()?.remark);
                    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                }
            })
        });
        sent.join().map_err(|_| anyhow::anyhow!("the sender died"))?
    })
}

/// Every file and folder with its length and time.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, (u64, Option<SystemTime>)>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            found.extend(files(&entry.path())?);
        }
        found.insert(entry.path(), (metadata.len(), metadata.modified().ok()));
    }
    Ok(found)
}
