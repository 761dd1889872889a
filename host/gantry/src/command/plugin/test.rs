//! `gantry plugin test FILE`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use gantry_client::{Client, Options, Pull, PullStatus};
use gantry_model::{message::MessageView, offset::QueueOffset, subscription::Subscription};
use gantry_plugin::{BindingSpec, PluginSpec, Rehearsal, Verdict, World, check_file, world_of};
use gantry_protocol::record::Records;

use super::open::Opened;
use crate::output;

/// Group of its pulls; a broker makes it without being told.
const GROUP: &str = "GANTRY_PLUGIN_TEST";
/// Messages that a pull asks for.
const PULL_MESSAGES: u32 = 256;
/// Differences that are shown one by one.
const SHOWN_MAX: usize = 20;

/// Put a plugin to its cases, and compare a filter with another version over real messages
///
/// The cases are those of FILE.cases.json. With --against, a filter judges messages of a live topic, or whole records of a file,
/// beside another version, and every message that they judge otherwise is shown. Fails when a case does.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    opened: Opened,
    /// The version to compare with
    #[arg(long, value_name = "OLD.wasm")]
    against: Option<PathBuf>,
    /// Name servers of the cluster whose messages are judged, separated by ;
    #[arg(short, long = "namesrv", value_name = "HOST:PORT", default_value = "127.0.0.1:9876")]
    name_servers: String,
    /// Judge messages of this file instead: records as a commit log, a pull or `gantry store dump` has them
    #[arg(long, value_name = "RECORDS", conflicts_with = "name_servers")]
    records: Option<PathBuf>,
    /// Latest messages of each queue that are judged
    #[arg(long, default_value_t = 1_000)]
    last: u64,
    /// Write one line of JSON
    #[arg(long)]
    json: bool,
}

/// What two versions made of the same messages.
#[derive(Debug, Default, serde::Serialize)]
struct Diff {
    messages: u64,
    delivered_by_both: u64,
    skipped_by_both: u64,
    newly_delivered: u64,
    newly_skipped: u64,
    otherwise: u64,
    shown: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let plugin = args.opened.plugin()?;
    let binding = args.opened.binding(&plugin);
    let report = check_file(&plugin, &binding).with_context(|| format!("{} is refused", plugin.file.display()))?;
    let failed = report.cases.iter().filter(|case| case.problem.is_some()).count();
    let diff = args.against.as_ref().map(|old| compare(args, &plugin, old, &binding)).transpose()?;
    if args.json {
        output::line(&serde_json::json!({ "cases": report.cases, "diff": diff }).to_string())?;
    } else {
        for case in &report.cases {
            let outcome = case.problem.as_ref().map_or("ok".to_owned(), |problem| format!("FAILED, {problem}"));
            output::line(&format!("case {}: {outcome}", case.name))?;
        }
        if let Some(diff) = diff {
            output::line(&text(&diff))?;
        }
        let count = report.cases.len();
        let none = if count == 0 {
            format!(" ({} is not there)", gantry_plugin::cases_file(&plugin.file).display())
        } else {
            String::new()
        };
        output::line(&format!("{} of {count} cases passed{none}", count - failed))?;
    }
    if failed > 0 { bail!("a broker would refuse it") } else { Ok(()) }
}

fn text(diff: &Diff) -> String {
    let mut out = String::new();
    diff.shown.iter().for_each(|line| out += &format!("{line}\n"));
    let differing = diff.newly_delivered + diff.newly_skipped + diff.otherwise;
    if differing > diff.shown.len() as u64 {
        out += &format!("... and {} more\n", differing - diff.shown.len() as u64);
    }
    out + &format!(
        "{} messages: {} delivered by both, {} skipped by both, {} newly delivered, {} newly skipped, {} otherwise",
        diff.messages,
        diff.delivered_by_both,
        diff.skipped_by_both,
        diff.newly_delivered,
        diff.newly_skipped,
        diff.otherwise
    )
}

fn compare(args: &Args, plugin: &PluginSpec, old: &Path, binding: &BindingSpec) -> Result<Diff> {
    if plugin.world != World::MessageFilter {
        bail!("only filters are compared over messages; a {} has cases", plugin.world.name());
    }
    let world = world_of(old).with_context(|| format!("{} is refused", old.display()))?;
    let before = PluginSpec { file: old.to_path_buf(), world, ..plugin.clone() };
    let open = |plugin: &PluginSpec| {
        Rehearsal::open(plugin, binding).with_context(|| format!("{} is refused", plugin.file.display()))
    };
    let (before, after) = (open(&before)?, open(plugin)?);
    let mut diff = Diff::default();
    if let Some(file) = &args.records {
        let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        judge_all(&before, &after, gantry_protocol::record::records(&bytes), &mut diff)?;
        return Ok(diff);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(judge_topic(args, &before, &after, binding, &mut diff))?;
    Ok(diff)
}

/// Judges the latest messages of each queue of the topic.
async fn judge_topic(
    args: &Args,
    before: &Rehearsal,
    after: &Rehearsal,
    binding: &BindingSpec,
    diff: &mut Diff,
) -> Result<()> {
    let name_servers = args.name_servers.split(';').filter(|one| !one.is_empty()).map(str::to_owned).collect();
    let client = Client::new(name_servers, Options::default());
    let subscription = Subscription::from_tags(&binding.topic, "*");
    for queue in client.subscribe_queues(&binding.topic).await? {
        let (min, max) = (client.min_offset(&queue).await?, client.max_offset(&queue).await?);
        let mut offset = QueueOffset(max.0.saturating_sub(args.last).max(min.0));
        while offset < max {
            let pull = Pull {
                group: GROUP,
                queue: &queue,
                offset,
                messages_max: PULL_MESSAGES,
                suspend: std::time::Duration::ZERO,
                subscription: &subscription,
                commit: None,
            };
            let pulled = client.pull(&pull).await?;
            judge_all(before, after, pulled.records(), diff)?;
            if pulled.status == PullStatus::NothingNew || pulled.next_offset <= offset {
                break;
            }
            offset = pulled.next_offset;
        }
    }
    Ok(())
}

fn judge_all(before: &Rehearsal, after: &Rehearsal, records: Records<'_>, diff: &mut Diff) -> Result<()> {
    for record in records {
        let record = record.context("the records end in one that is damaged")?;
        note(diff, &record.message(), before, after);
    }
    Ok(())
}

fn note(diff: &mut Diff, message: &MessageView<'_>, before: &Rehearsal, after: &Rehearsal) {
    let (old, new) = (before.judge(message), after.judge(message));
    diff.messages += 1;
    match (&old, &new) {
        (Ok(Verdict::Deliver), Ok(Verdict::Deliver)) => return diff.delivered_by_both += 1,
        (Ok(Verdict::Skip), Ok(Verdict::Skip)) => return diff.skipped_by_both += 1,
        (Ok(Verdict::Skip), Ok(Verdict::Deliver)) => diff.newly_delivered += 1,
        (Ok(Verdict::Deliver), Ok(Verdict::Skip)) => diff.newly_skipped += 1,
        _ => diff.otherwise += 1,
    }
    if diff.shown.len() < SHOWN_MAX {
        let told = |verdict: &Result<Verdict, _>| match verdict {
            Ok(Verdict::Deliver) => "deliver".to_owned(),
            Ok(Verdict::Skip) => "skip".to_owned(),
            Ok(Verdict::Undecided) => "undecided".to_owned(),
            Err(error) => format!("fault ({error})"),
        };
        diff.shown.push(format!(
            "{} queue {} offset {}: {} -> {}",
            message.topic,
            message.queue_id,
            message.queue_offset,
            told(&old),
            told(&new)
        ));
    }
}
