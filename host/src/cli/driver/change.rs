//! `mica driver load` and `mica driver swap`.
//!
//! Invariant: a component is sent as it is.

use std::path::{Path, PathBuf};

use super::{read, short};
use crate::api::types::DriverView;
use crate::cli::builds;
use crate::cli::context::Context;
use mica_client::{Failure, query, segment, words};

/// Arguments of `mica driver swap`.
#[derive(Debug, clap::Args)]
pub(crate) struct SwapArguments {
    /// The driver
    pub(super) name: String,
    /// The new component; without it the running build is loaded anew
    pub(super) file: Option<PathBuf>,
    /// Ask calls that read of both builds first, so many (100) or for so many seconds (30s); a difference refuses the new one
    #[arg(long, value_name = "CALLS|SECONDS")]
    pub(super) shadow: Option<String>,
    /// Take a build that answers otherwise than the running one
    #[arg(long)]
    pub(super) accept_differences: bool,
}

/// Loads a component into a new slot.
pub(super) fn load(context: &Context, file: &Path, name: Option<String>) -> Result<(), Failure> {
    let query = query([("name", name)]);
    let target = format!("/v1/drivers{query}");
    let document = context.client.post_bytes(&target, read(file)?)?;
    context.printer.view(&document, |driver: &DriverView| {
        let (name, version) = (words::told(&driver.name), words::told(&driver.version));
        format!("{name} {version}, {}", short(&driver.digest))
    })
}

/// Puts another build in a driver's place.
pub(super) fn swap(context: &Context, arguments: SwapArguments) -> Result<(), Failure> {
    let SwapArguments {
        name,
        file,
        shadow,
        accept_differences,
    } = arguments;
    let accept = accept_differences.then(|| "accept".to_owned());
    let query = query([("shadow", shadow), ("differences", accept)]);
    let target = format!("/v1/drivers/{}/swap{query}", segment(&name));
    let document = match file {
        Some(file) => context.client.post_bytes(&target, read(&file)?)?,
        None => context.client.post(&target, None)?,
    };
    context.printer.view(&document, builds::swapped)
}
