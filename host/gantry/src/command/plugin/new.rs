//! `gantry plugin new NAME`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Result;
use clap::ValueEnum;

/// Start a plugin project: a working plugin with tests, and the SDK beside it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the plugin and of the folder that is made; a-z, 0-9, - and _
    name: String,
    /// What the plugin is for
    #[arg(long, value_enum, default_value_t = World::MessageFilter)]
    world: World,
    /// Folder in which the project is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    parent: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum World {
    /// Decides which messages a consumer group sees
    MessageFilter,
    /// Decides where messages go and who consumes them
    QueueBalancer,
    /// Makes metrics of metrics
    MetricHook,
    /// Makes alerts of metrics
    AlertHook,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let world = match args.world {
        World::MessageFilter => gantry_plugin_build::World::MessageFilter,
        World::QueueBalancer => gantry_plugin_build::World::QueueBalancer,
        World::MetricHook => gantry_plugin_build::World::MetricHook,
        World::AlertHook => gantry_plugin_build::World::AlertHook,
    };
    let project = gantry_plugin_build::new_project(&args.parent, &args.name, world)?;
    writeln!(
        io::stdout(),
        "Made {0} ({1}). Next:\n  cd {0}\n  cargo test             # natively, without a broker\n  \
         gantry plugin build    # the .wasm file; README.md says how to put it to work",
        project.display(),
        world.name()
    )?;
    Ok(())
}
