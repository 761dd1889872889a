//! `gantry plugin new NAME`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Result;

/// Start a plugin project: a working filter with a test, and the SDK beside it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the plugin and of the folder that is made; a-z, 0-9, - and _
    name: String,
    /// Folder in which the project is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    parent: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let project = gantry_plugin_build::new_project(&args.parent, &args.name)?;
    writeln!(
        io::stdout(),
        "Made {0}. Next:\n  cd {0}\n  cargo test             # the filter, natively, without a broker\n  \
         gantry plugin build    # the .wasm file; README.md says how to put it to work",
        project.display()
    )?;
    Ok(())
}
