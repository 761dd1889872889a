//! The demo's temporary folder: a cluster file and a plugin file that are changed while the node runs.

use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{
    config::{Config, Problem},
    exit::{Exit, Failure, Outcome},
};

/// Name of the shipped plugin's file.
const PLUGIN: &str = "property-filter.wasm";

pub(super) struct Folder {
    folder: TempDir,
    plugin: Vec<u8>,
    ports: Ports,
}

/// RocketMQ's own ports where they are free, so that a client needs no configuration; any others else.
struct Ports {
    name_server: u16,
    broker: u16,
    http: u16,
}

impl Folder {
    /// Finds the plugin and makes the folder.
    pub(super) fn make(plugin_dir: Option<&Path>) -> Outcome<Folder> {
        let source = find_plugin(plugin_dir).ok_or_else(|| {
            let text = format!(
                "the demo needs {PLUGIN}, one of the shipped plugins, and it is not built; run `cargo xtask demo`, which builds \
                 it first, or `cargo xtask plugins` and then give the folder with --plugin-dir"
            );
            Failure::new(Exit::Usage, text)
        })?;
        let plugin = std::fs::read(&source).with_context(|| source.display().to_string())?;
        let folder = tempfile::Builder::new().prefix("gantry-demo-").tempdir()?;
        let free = |port: u16| if TcpListener::bind(("127.0.0.1", port)).is_ok() { port } else { 0 };
        let ports = Ports { name_server: free(9_876), broker: free(10_911), http: free(5_557) };
        Ok(Folder { folder, plugin, ports })
    }

    /// The cluster file.
    pub(super) fn config_path(&self) -> PathBuf {
        self.folder.path().join("demo.toml")
    }

    /// Where the node keeps its data.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes the cluster file with these parameters of the filter, as an editor would, and returns its part about plugins.
    pub(super) fn write_config(&self, params: &str) -> Result<String> {
        let Ports { name_server, broker, http } = self.ports;
        let plugins = format!(
            "[[plugin]]\nname = \"orders\"\nfile = \"{PLUGIN}\"\n\n\
             [[filter]]\ntopic = \"orders\"\ngroup = \"billing\"\nplugin = \"orders\"\nparams = {params}\n"
        );
        let text = format!(
            "[node.demo]\ndata = \"data\"\nhttp_port = {http}\nnameserver = {{ port = {name_server} }}\n\
             brokers = [{{ name = \"broker-a\", port = {broker} }}]\n\n[broker]\nflush = \"async\"\n\n{plugins}"
        );
        self.replace("demo.toml", text.as_bytes())?;
        Ok(plugins)
    }

    /// Writes the plugin's file. `edition` above 0 makes it another file that does the same: a custom section is added, which
    /// no runtime looks at, but it is compiled afresh and gets a version of its own.
    pub(super) fn write_plugin(&self, edition: u8) -> io::Result<()> {
        let mut bytes = self.plugin.clone();
        if edition > 0 {
            // Custom section: id 0, size 6, name of 4 bytes, 1 byte of content.
            bytes.extend_from_slice(&[0, 6, 4, b'd', b'e', b'm', b'o', edition]);
        }
        self.replace(PLUGIN, &bytes)
    }

    /// Reads the cluster file back.
    pub(super) fn load(&self) -> Result<Config> {
        Config::load(&self.config_path()).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
            anyhow::anyhow!("the demo's own cluster file is wrong: {}", lines.join("; "))
        })
    }

    /// Beside and then over: a node never sees half a file.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (to, beside) = (self.folder.path().join(name), self.folder.path().join("new"));
        std::fs::write(&beside, bytes)?;
        std::fs::rename(beside, to)
    }
}

fn find_plugin(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(folder) = given {
        return Some(folder.join(PLUGIN)).filter(|file| file.is_file());
    }
    let program = std::env::current_exe().ok()?;
    let beside = program.ancestors().skip(1).take(2).map(|folder| folder.join("plugins").join(PLUGIN));
    beside.chain([PathBuf::from("target/plugins").join(PLUGIN)]).find(|file| file.is_file())
}
