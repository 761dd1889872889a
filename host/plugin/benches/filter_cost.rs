//! What a filter costs a message: `cargo bench -p gantry-plugin`.
//!
//! `region = 'eu' and amount > 100` over 1,024 messages with four properties (about 100 bytes encoded), of which a third
//! passes the first test, judged 32 at a time. Beside each other in one run, interleaved, medians of whole passes: no filter, a native
//! closure over the encoded properties, and the shipped property filter through the whole host path (pin once a pass, extraction, call,
//! verdicts). With `--test` (as `cargo test --benches` passes it) one short pass shows that it still runs. Another plugin that
//! decides the same is measured by `cargo bench -p gantry-plugin -- FILE.wasm NAME=VALUE ..`.

use std::{
    fs,
    hint::black_box,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_model::{
    message::MessageView,
    offset::{PhysicalOffset, QueueOffset},
    properties,
};
use gantry_plugin::{Binding, BindingSpec, HostOptions, PluginConfig, PluginHost, PluginSpec, Verdict};
use gantry_plugin_build::{Output, Toolchain};

const MESSAGES: usize = 1_024;
const BATCH: usize = 32;
const PASSES: usize = 2_001;

type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Error> {
    let encoded: Vec<Vec<u8>> = (0..MESSAGES).map(encode).collect();
    let views: Vec<MessageView<'_>> =
        encoded.iter().enumerate().map(|(index, properties)| view(index, properties)).collect();
    let folder = tempfile::tempdir()?;
    let host = PluginHost::start(HostOptions::default())?;
    let binding = bind(&host, &folder.path().join("p.wasm"), arguments)?;

    let passing = deliveries(&mut native, &views);
    let mut measured: [(&str, Vec<f64>); 3] =
        [("no filter", Vec::new()), ("native closure", Vec::new()), ("wasm filter", Vec::new())];
    for _ in 0..if arguments.iter().any(|argument| argument == "--test") { 3 } else { PASSES } {
        for (name, samples) in &mut measured {
            let mut run = binding.pin()?;
            let mut judge = |batch: &[MessageView<'_>], verdicts: &mut Vec<Verdict>| match *name {
                "no filter" => all(batch, verdicts),
                "native closure" => native(batch, verdicts),
                _ => run.judge(batch, verdicts),
            };
            let started = Instant::now();
            let found = deliveries(&mut judge, &views);
            samples.push(started.elapsed().as_nanos() as f64 / MESSAGES as f64);
            let expected = if *name == "no filter" { MESSAGES } else { passing };
            if found != expected {
                return Err(format!("{name} delivers {found} messages, expected {expected}").into());
            }
        }
    }
    report(&mut measured)
}

fn report(measured: &mut [(&str, Vec<f64>)]) -> Result<(), Error> {
    let mut out = io::stdout();
    writeln!(out, "{MESSAGES} messages, {BATCH} a call, {} interleaved passes; ns per message", measured[0].1.len())?;
    measured.iter_mut().for_each(|(_, samples)| samples.sort_by(f64::total_cmp));
    let closure = median(&measured[1].1);
    for (name, samples) in measured.iter() {
        let (tenth, ninetieth) = (samples[samples.len() / 10], samples[samples.len() * 9 / 10]);
        let median = median(samples);
        writeln!(
            out,
            "{name:22} median {median:7.1}   p10 {tenth:7.1}   p90 {ninetieth:7.1}   x {:5.2}",
            median / closure
        )?;
    }
    Ok(())
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

fn encode(index: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    let region = ["eu", "us", "ap"][index % 3];
    properties::push(&mut encoded, "UNIQ_KEY", &format!("7F000001000018B4AAC2{index:012X}"));
    properties::push(&mut encoded, "region", region);
    properties::push(&mut encoded, "amount", &(index % 200).to_string());
    properties::push(&mut encoded, "customer", &format!("customer-{index:08}"));
    encoded
}

fn view(index: usize, properties: &[u8]) -> MessageView<'_> {
    MessageView {
        topic: "orders",
        queue_id: 0,
        queue_offset: QueueOffset(index as u64),
        physical_offset: PhysicalOffset(0),
        sys_flag: 0,
        flag: 0,
        born_ms: 0,
        store_ms: 0,
        born_host: SocketAddr::from(([127, 0, 0, 1], 40_000)),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"",
        properties,
    }
}

fn all(batch: &[MessageView<'_>], verdicts: &mut Vec<Verdict>) {
    verdicts.extend(batch.iter().map(|message| {
        black_box(message.properties);
        Verdict::Deliver
    }));
}

/// What somebody would write into the broker itself.
fn native(batch: &[MessageView<'_>], verdicts: &mut Vec<Verdict>) {
    let keep = |message: &MessageView<'_>| {
        properties::find(message.properties, "region") == Some(b"eu")
            && message
                .property("amount")
                .and_then(|amount| amount.parse::<i64>().ok())
                .is_some_and(|amount| amount > 100)
    };
    verdicts.extend(batch.iter().map(|message| if keep(message) { Verdict::Deliver } else { Verdict::Skip }));
}

fn deliveries(judge: &mut dyn FnMut(&[MessageView<'_>], &mut Vec<Verdict>), views: &[MessageView<'_>]) -> usize {
    let mut verdicts = Vec::with_capacity(MESSAGES);
    for batch in views.chunks(BATCH) {
        judge(black_box(batch), &mut verdicts);
    }
    verdicts.iter().filter(|verdict| **verdict == Verdict::Deliver).count()
}

/// Binds the shipped property filter, or the file and parameters of the command line.
fn bind(host: &PluginHost, file: &Path, arguments: &[String]) -> Result<Arc<Binding>, Error> {
    let given = arguments.iter().find(|argument| argument.ends_with(".wasm"));
    let (source, params) = match given {
        Some(given) => {
            (PathBuf::from(given), arguments.iter().filter_map(|argument| argument.split_once('=')).collect())
        }
        None => (shipped()?, vec![("region.equals", "eu"), ("amount.min", "101")]),
    };
    fs::copy(source, file)?;
    let spec = params.iter().fold(PluginSpec::new("p", file), |spec, (name, value)| spec.with_param(name, value));
    host.apply(PluginConfig::of_filters(vec![spec], vec![BindingSpec::new("orders", "g", "p")]))
        .map_err(|problems| problems[0].to_string())?;
    let binding = host.binding("orders", "g").ok_or("the binding is missing")?;
    loop {
        let seen = host.generation().get();
        match binding.pin() {
            Ok(_) => return Ok(binding),
            Err(not_ready) if !not_ready.soon => return Err(not_ready.into()),
            Err(_) => host.generation().wait_blocking(seen + 1, Duration::from_secs(60))?,
        };
    }
}

fn shipped() -> Result<PathBuf, Error> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = here.join("../../plugins");
    let built = Toolchain::find(&project)?.build(&project, Some(&here.join("../../target/plugins")), Output::Kept)?;
    let filter = built.into_iter().find(|built| built.package == "property-filter");
    Ok(filter.ok_or("plugins/ has no property-filter")?.file)
}
