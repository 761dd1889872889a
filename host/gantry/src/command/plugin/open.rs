//! A plugin's file as the commands that load one outside of a broker are told of it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use gantry_plugin::{BindingSpec, PluginSpec, world_of};

/// What to load, and what to open it with.
#[derive(Debug, clap::Args)]
pub(crate) struct Opened {
    /// The .wasm file, a core module or a component
    file: PathBuf,
    /// A parameter to open it with, as `params` in the configuration
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = name_and_value)]
    params: Vec<(String, String)>,
    /// Topic to open it for
    #[arg(long, default_value = "check-topic")]
    topic: String,
    /// Consumer group to open it for
    #[arg(long, default_value = "check-group")]
    group: String,
}

impl Opened {
    /// The plugin, of the world that its exports show.
    pub(crate) fn plugin(&self) -> Result<PluginSpec> {
        let name = self.file.file_stem().map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy().into_owned());
        let world = world_of(&self.file).with_context(|| format!("{} is refused", self.file.display()))?;
        Ok(PluginSpec { params: self.params.clone(), ..PluginSpec::of(world, name, &self.file) })
    }

    /// What it is opened for.
    pub(crate) fn binding(&self, plugin: &PluginSpec) -> BindingSpec {
        BindingSpec::new(self.topic.as_str(), self.group.as_str(), plugin.name.as_str())
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
