//! The settings that are numbers, of all sections: their ranges, and the words for them.
//!
//! Invariant: a number that is not in this list can be set in no file.

use super::file::File;
use super::{Error, invalid};
use mica_runtime::Number;

/// A number, and the section that it is set in; empty outside of sections.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The section.
    pub(crate) section: &'static str,
    /// The number.
    pub(crate) number: Number,
}

impl Setting {
    /// `section.name`, as messages have it.
    pub(crate) fn name(&self) -> String {
        match self.section {
            "" => self.number.name.to_owned(),
            section => format!("{section}.{}", self.number.name),
        }
    }
}

/// Every number that a file can set, with what it is set to.
pub(super) fn settings(file: &File) -> Vec<Setting> {
    let of = |section| move |number| Setting { section, number };
    let own = file.numbers().into_iter().map(of(""));
    let limits = file.limits.numbers().into_iter().map(of("limits"));
    let api = file.api.numbers().into_iter().map(of("api"));
    let containerd = file.containerd.numbers().into_iter().map(of("containerd"));
    let scrub = file.scrub.numbers().into_iter().map(of("scrub"));
    let telemetry = file.telemetry.numbers().into_iter().map(of("telemetry"));
    let ours = own.chain(scrub).chain(telemetry);
    ours.chain(limits).chain(api).chain(containerd).collect()
}

/// Every number, as it is without a file.
pub(crate) fn defaults() -> Vec<Setting> {
    settings(&File::default())
}

/// Refuses a number that would refuse everything, or that nothing can hold.
pub(super) fn check(file: &File) -> Result<(), Error> {
    let settings = settings(file);
    let wrong = settings
        .iter()
        .find(|setting| !setting.number.is_in_range());
    wrong.map_or(Ok(()), |setting| {
        let Number {
            value,
            least,
            most,
            default,
            ..
        } = setting.number;
        let reason = format!("{value} is not from {least} to {most}; the default is {default}");
        Err(invalid(&setting.name(), reason))
    })
}
