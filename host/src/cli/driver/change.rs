//! What changes which build of a driver runs, or whether it is called: load, swap, rollback, release and rm.
//!
//! Invariant: a component is sent as it is, but for a manifest that lies beside it.

use super::source::{Delivery, PaperArguments, RegistryArguments, Source};
use super::{short, show};
use crate::api::types::{DriverExplanation, DriverView};
use crate::cli::builds;
use crate::cli::context::Context;
use crate::cli::waiting::{Sought, with_bar};
use mica_client::{Exit, Failure, query, segment, words};
use serde_json::json;

/// Arguments of `mica driver load`.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArguments {
    /// The component
    pub(super) file: Source,
    /// Refuse it unless it calls itself like this
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Approve this of what it asks for, or `asked` for all of it; may be given more than once
    #[arg(long, value_name = "GRANT")]
    pub(super) grant: Vec<String>,
    #[command(flatten)]
    pub(super) papers: PaperArguments,
    #[command(flatten)]
    pub(super) access: RegistryArguments,
}

/// Arguments of `mica driver swap`.
#[derive(Debug, clap::Args)]
pub(crate) struct SwapArguments {
    /// The driver
    pub(super) name: String,
    /// The new component, a file or a driver in a registry; without it the running build is loaded anew
    pub(super) file: Option<Source>,
    /// Ask calls that read of both builds first, so many (100) or for so many seconds (30s); a difference refuses the new one
    #[arg(long, value_name = "CALLS|SECONDS")]
    pub(super) shadow: Option<String>,
    /// Take a build that answers otherwise than the running one
    #[arg(long)]
    pub(super) accept_differences: bool,
    /// Approve this of what it asks for, or `asked` for all of it; may be given more than once
    #[arg(long, value_name = "GRANT")]
    pub(super) grant: Vec<String>,
    /// Take a build that is older than the running one, or cannot read the state that lies in layers
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) papers: PaperArguments,
    #[command(flatten)]
    pub(super) access: RegistryArguments,
}

/// What is approved, as a value of the query.
pub(super) fn approved<'a>(asks: impl IntoIterator<Item = &'a String>) -> Option<String> {
    let names: Vec<_> = asks.into_iter().map(String::as_str).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// Loads a component into a new slot.
pub(super) fn load(context: &Context, arguments: LoadArguments) -> Result<(), Failure> {
    let LoadArguments {
        file,
        name,
        grant,
        papers,
        access,
    } = arguments;
    let delivery = file.fetch(&context.printer, &access, &papers)?;
    let query = query([
        ("name", name),
        ("grants", approved(&grant)),
        ("unsigned", delivery.unsigned()),
    ]);
    let target = format!("/v1/drivers{query}");
    let document = with_bar(context, "load", &Sought::of("load_driver"), || {
        delivery.send(&context.client, &target)
    })?;
    context.printer.view(&document, loaded)
}

/// A driver that was loaded.
pub(super) fn loaded(driver: &DriverView) -> String {
    let (name, version) = (words::told(&driver.name), words::told(&driver.version));
    let known = driver.provenance.as_ref();
    let signer = known.and_then(|known| known.signer.as_ref());
    let signed = signer.map(|signer| format!(", signed by {}", words::safe(&signer.to_string())));
    let digest = short(&driver.digest);
    format!("{name} {version}, {digest}{}", signed.unwrap_or_default())
}

/// Puts another build in a driver's place.
pub(super) fn swap(context: &Context, arguments: SwapArguments) -> Result<(), Failure> {
    let SwapArguments {
        name,
        file,
        shadow,
        accept_differences,
        grant,
        force,
        papers,
        access,
    } = arguments;
    let delivery = file.map(|file| file.fetch(&context.printer, &access, &papers));
    let delivery = delivery.transpose()?;
    let accept = accept_differences.then(|| "accept".to_owned());
    let query = query([
        ("shadow", shadow),
        ("differences", accept),
        ("grants", approved(&grant)),
        ("force", force.then(|| "true".to_owned())),
        ("unsigned", delivery.as_ref().and_then(Delivery::unsigned)),
    ]);
    let target = format!("/v1/drivers/{}/swap{query}", segment(&name));
    let document = with_bar(
        context,
        &format!("swap {name}"),
        &Sought::of("swap_driver"),
        || match delivery {
            Some(delivery) => delivery.send(&context.client, &target),
            None => context.client.post(&target, None),
        },
    )?;
    context.printer.view(&document, builds::swapped)
}

/// Puts a build in place again that the driver had.
pub(super) fn roll_back(
    context: &Context,
    name: &str,
    to: Option<u64>,
    shipped: bool,
) -> Result<(), Failure> {
    let shipped = shipped.then(|| "true".to_owned());
    let to = to.map(|number| number.to_string());
    let query = query([("to", to), ("shipped", shipped)]);
    let target = format!("/v1/drivers/{}/rollback{query}", segment(name));
    let sought = Sought::of("roll_back_driver");
    let document = with_bar(context, &format!("roll {name} back"), &sought, || {
        context.client.post(&target, None)
    })?;
    context.printer.view(&document, builds::swapped)
}

/// Ends a quarantine.
pub(super) fn release(context: &Context, name: &str, query: &str) -> Result<(), Failure> {
    let target = format!("/v1/drivers/{}/release{query}", segment(name));
    let document = context.client.post(&target, None)?;
    context.printer.view(&document, show::released)
}

/// Removes a driver, or tells whether it would be removed.
pub(super) fn remove(context: &Context, name: &str, is_dry_run: bool) -> Result<(), Failure> {
    if is_dry_run {
        return would_remove(context, name);
    }
    let target = format!("/v1/drivers/{}", segment(name));
    context.client.delete(&target)?;
    let document = json!({ "removed": name });
    context.printer.result(&document, String::new)
}

fn would_remove(context: &Context, name: &str) -> Result<(), Failure> {
    let target = format!("/v1/drivers/{}/explanation", segment(name));
    let document = context.client.get(&target)?;
    let told: Option<DriverExplanation> = mica_client::read(&document);
    let told = told.ok_or_else(|| Failure::Connection {
        doing: format!("understand what the daemon says of driver `{name}`"),
        source: "it has another form than this program knows".into(),
    })?;
    let (what, remedy, code) = match (told.ships, told.needed_by.is_empty()) {
        (true, _) => (
            format!("driver `{name}` ships with the program or lies in the drivers directory"),
            "go back to the build that ships with `mica driver rollback --shipped`".to_owned(),
            "driver-ships",
        ),
        (false, false) => (
            format!(
                "driver `{name}` is the driver of the stores {}",
                words::told(&told.needed_by)
            ),
            "remove these stores first".to_owned(),
            "busy",
        ),
        (false, true) => {
            let document = json!({ "would_remove": [name] });
            return context.printer.result(&document, || name.to_owned());
        }
    };
    Err(Failure::Told {
        what,
        remedy: Some(remedy),
        exit: Exit::Conflict,
        code: Some(code),
    })
}
