//! Whether the files of layers are still what they were when the layers settled.
//!
//! ```text
//! digests   the list of a layer's files, in <store>/layers/<n>/digests
//! walk      takes such a list, or compares a layer with it
//! contents  what is in one node of it
//! pace      how fast, and when not any further
//! one       one layer: its locks, its list, what is told
//! kept      <store>/scrub.json: how far a pass is, what is damaged
//! settled   which layers wait for their digests
//! worker    all of them, in the background
//! store     what can be asked about it
//! repair    makes a damaged layer of an archive again
//! twins     whether a tree is a true copy of another
//! ```
//!
//! A layer has digests once nobody writes to it any more: when it was applied to, committed, or is only mounted read-only. They
//! are taken in the background, never on the way of a call. Whoever changes a layer where it lies goes through
//! [`crate::layers::LayerSet::unsettle`], which removes them first.
//!
//! Invariant: no lock is held while files are read, and nothing is told of a layer that was changed meanwhile.
//!
//! See docs/decisions/0063-digests-are-taken-after-a-layer-has-settled.md.

mod contents;
mod digests;
mod kept;
mod one;
mod pace;
mod pass;
mod repair;
mod settled;
mod sources;
mod store;
mod twins;
mod walk;
mod worker;

pub(crate) use digests::Digests;
pub(crate) use kept::{FILE, Scrub, look as look_at_kept};
pub(crate) use one::look_at_list;
pub use sources::Blobs;
pub(crate) use twins::Comparer;
pub(crate) use worker::Scrubber;

use crate::disk::home::Layout;
use crate::view::{DamageView, FileDamage, ScrubMode};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What is done about the content of layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubSettings {
    /// Which layers get digests, in stores of which nothing else is said.
    pub mode: ScrubMode,
    /// The same, by store.
    pub stores: BTreeMap<String, ScrubMode>,
    /// Bytes that are read in a second, unless someone asked for it; `None` bounds nothing.
    pub bytes_per_second: Option<u64>,
    /// How long after the end of a pass the next one begins; `None` for when someone asks.
    pub every: Option<Duration>,
    /// Whether a layer that is found damaged in the background is made again at once of an archive that is still to be had.
    pub repair: bool,
    /// Whether a layer that is known to be damaged is shown to anyone.
    pub damaged: WhenDamaged,
}

/// What becomes of a layer that is known to be damaged, when it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenDamaged {
    /// It is served, and the log says so.
    #[default]
    Serve,
    /// It is refused.
    Refuse,
}

impl Default for ScrubSettings {
    fn default() -> Self {
        Self {
            mode: ScrubMode::default(),
            stores: BTreeMap::new(),
            bytes_per_second: Some(64 << 20),
            every: Some(Duration::from_secs(7 * 24 * 60 * 60)),
            repair: false,
            damaged: WhenDamaged::default(),
        }
    }
}

impl ScrubSettings {
    /// Which layers of a store get digests.
    pub(crate) fn mode_of(&self, store: &str) -> ScrubMode {
        self.stores.get(store).copied().unwrap_or(self.mode)
    }
}

/// Compares a layer with its digests for whoever looks without a daemon. `read` counts bytes.
///
/// # Errors
/// What reading says.
pub(crate) fn compare(
    layout: &Layout,
    number: u64,
    id: &str,
    digests: &Digests,
    read: &AtomicU64,
) -> io::Result<Option<DamageView>> {
    let room = layout.open_room(number)?;
    let mut pace = pace::Pace::new(&|| false, read);
    let (found, _) = walk::compare(room.as_fd(), digests, walk::Rigor::Content, &mut pace)?;
    Ok((found.count > 0).then(|| DamageView {
        layer: id.to_owned(),
        number,
        found: crate::Moment::now(),
        files: found.named,
        count: found.count,
    }))
}

/// The damage of a layer in words.
pub(crate) fn described(damage: &DamageView) -> String {
    let named =
        |file: &FileDamage| format!("`{}` ({}): {}", file.path, file.what.word(), file.detail);
    if damage.files.is_empty() {
        let text = "of its files are not what they were; `mica layer verify` names them";
        return format!("{} {text}", damage.count);
    }
    let first: Vec<_> = damage.files.iter().take(3).map(named).collect();
    let files = match damage.count {
        1 => "1 file is".to_owned(),
        count => format!("{count} files are"),
    };
    let more = match damage.count > 3 {
        true => "; …",
        false => "",
    };
    format!("{files} not what it was: {}{more}", first.join("; "))
}
