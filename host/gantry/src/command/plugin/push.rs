//! `gantry plugin push NAME FILE`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use gantry_client::{Client, Options};
use gantry_plugin::SIGNATURE_LEN;

use crate::output;

/// Put a new version of a plugin in service on every broker of a cluster
///
/// Each broker checks it like a file that was replaced: pin, signature, its cases, the shadow run. Its signature is taken from
/// FILE.sig if that is there. Brokers that refuse it go on with what they have, and the command says which did.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the plugin in the brokers' cluster file
    name: String,
    /// The .wasm file
    file: PathBuf,
    /// Name servers, separated by ;
    #[arg(short, long = "namesrv", value_name = "HOST:PORT", default_value = "127.0.0.1:9876")]
    name_servers: String,
    /// Only brokers of this cluster
    #[arg(long)]
    cluster: Option<String>,
    /// Only these brokers
    #[arg(long = "broker", value_name = "NAME")]
    brokers: Vec<String>,
    /// Write one line of JSON a broker
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(push(args))
}

async fn push(args: &Args) -> Result<()> {
    let bytes = std::fs::read(&args.file).with_context(|| format!("{} cannot be read", args.file.display()))?;
    let signature = signature(args)?;
    let name_servers = args.name_servers.split(';').filter(|one| !one.is_empty()).map(str::to_owned).collect();
    let client = Client::new(name_servers, Options::default());
    let mut brokers = client.masters(args.cluster.as_deref()).await.context("the brokers are not known")?;
    brokers.retain(|(name, _)| args.brokers.is_empty() || args.brokers.contains(name));
    if brokers.is_empty() {
        bail!("there is no such broker");
    }
    let mut refused = 0;
    for (name, address) in brokers {
        let pushed = client.push_plugin(&address, &args.name, &bytes, signature.as_deref()).await;
        refused += usize::from(pushed.is_err());
        let (serves, problem) = match pushed {
            Ok(label) => (Some(label), None),
            Err(error) => (None, Some(error.to_string())),
        };
        if args.json {
            let line = serde_json::json!({ "broker": name, "serves": serves, "problem": problem });
            output::line(&line.to_string())?;
        } else {
            let outcome = serves.map(|label| format!("in service: {label}")).or(problem).unwrap_or_default();
            output::line(&format!("{name}: {outcome}"))?;
        }
    }
    match refused {
        0 => Ok(()),
        refused => bail!("{refused} brokers did not take it and go on with what they have"),
    }
}

/// The signature beside the file, in hex digits.
fn signature(args: &Args) -> Result<Option<String>> {
    let mut beside = args.file.clone().into_os_string();
    beside.push(".sig");
    match std::fs::read(&beside) {
        Ok(raw) if raw.len() == SIGNATURE_LEN => Ok(Some(raw.iter().map(|byte| format!("{byte:02x}")).collect())),
        Ok(text) => Ok(Some(String::from_utf8(text).context("the signature is neither 64 bytes nor hex digits")?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", PathBuf::from(beside).display())),
    }
}
