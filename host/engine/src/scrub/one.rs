//! One layer: its digests are taken, or compared with its files.
//!
//! Invariant: the layer's locks are held while its room is opened, and not while it is read; what was read of a layer that
//! someone changed or removed meanwhile is thrown away.

use super::described;
use super::digests::Digests;
use super::pace::Pace;
use super::walk::{self, Amount, Differences, Rigor};
use crate::engine::Engine;
use crate::event::News;
use crate::layers::{Facts, Held, Key, Mode, Watch};
use crate::snapshots::SnapshotKind;
use crate::store::Store;
use crate::traffic::ClientCall;
use crate::view::{DamageView, Difference, ScrubMode, Verdict, VerifyView};
use crate::{Error, EventKind, LayerId, Moment, Result};
use mica_runtime::{
    ImageFault, LayerKind, OwnContent, Thoroughness, archive_digest, inspect_image,
};
use mica_sys::{IdleReads, Name};
use mica_text::with_causes;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Where the index of a sealed layer lies in its room.
pub(super) const INDEX_PATH: &str = "sealed/layer.erofs";
/// How long a pass waits for a layer that others work on: it comes by again.
const PATIENCE: Duration = Duration::from_millis(20);

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// A client that waits.
    Client,
    /// Nobody.
    Background,
}

/// What came of a look at a layer.
#[derive(Debug)]
pub(super) enum Looked {
    Done(VerifyView),
    /// It has no digests, and the store's mode wants none.
    Without,
    /// Others work on it, or changed it meanwhile.
    Later,
    /// The daemon ends.
    Stopped,
}

/// A layer whose room is open.
struct Begun {
    facts: Facts,
    room: OwnedFd,
    layer: OwnedFd,
    watch: Watch,
    /// The directory of the room that is the kernel's own.
    left_out: Result<Option<Name>>,
    /// What is known to be damaged of it.
    damage: Option<DamageView>,
}

/// Looks at layers of a store.
pub(super) struct Look<'a> {
    pub(super) engine: &'a Engine,
    pub(super) store: &'a Store,
    pub(super) whom: For,
    /// Ends the look.
    pub(super) stop: &'a dyn Fn() -> bool,
    pub(super) bytes_per_second: Option<u64>,
}

impl Look<'_> {
    /// Compares a layer with its digests, or takes them if it has none.
    ///
    /// # Errors
    /// `unknown-layer`; for a client `busy`; what reading says, but for what tells of the files themselves.
    pub(super) fn at(&self, id: &LayerId) -> Result<Looked> {
        let Some(held) = self.lock(id)? else {
            return Ok(Looked::Later);
        };
        let facts = self.store.facts(id)?;
        if !is_settled(self.store, &facts) {
            return Ok(Looked::Done(self.verdict(&facts, Verdict::Unsettled)));
        }
        let begun = self.begin(facts).map_err(|error| self.failed(id, error))?;
        drop(held);
        // Asked now: nobody may hold a lock while its reads are idle.
        let wants = self.wants(&begun.facts);
        let looked = {
            let _idle = match self.whom {
                // Without it the worker has its share of the disk, and nothing else.
                For::Background => IdleReads::begin().ok(),
                For::Client => None,
            };
            self.read(&begun, wants)
        };
        match looked {
            // Whatever it was, it was not of the layer as it is.
            _ if begun.watch.has_changed() => Ok(Looked::Later),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Looked::Stopped),
            Err(error) => Err(self.failed(id, error)),
            Ok(Read::Without) => Ok(Looked::Without),
            Ok(Read::Taken {
                bytes,
                amount,
                is_list_lost,
            }) => {
                if is_list_lost {
                    self.tell_lost(&begun.facts);
                }
                self.keep(&begun, &bytes, amount)
            }
            Ok(Read::Compared(differences, amount)) => Ok(self.told(&begun, differences, amount)),
            Ok(Read::Known(damage)) => Ok(Looked::Done(VerifyView {
                damage: Some(damage),
                ..self.verdict(&begun.facts, Verdict::Damaged)
            })),
        }
    }

    fn lock(&self, id: &LayerId) -> Result<Option<Held<'_>>> {
        // The mount as well: between the look at what is mounted and the watch nobody may mount it to be changed.
        let wanted = vec![
            (Key::Mount(id.clone()), Mode::Exclusive),
            (Key::Layer(id.clone()), Mode::Shared),
        ];
        match self.whom {
            For::Client => self.store.lock(wanted).map(Some),
            For::Background => Ok(self.store.lock_within(wanted, PATIENCE)),
        }
    }

    fn begin(&self, facts: Facts) -> io::Result<Begun> {
        let layers = &self.store.layers;
        Ok(Begun {
            watch: layers.watch(facts.number),
            room: layers.open_whole(facts.number)?,
            layer: layers.home().layout().open_layer(facts.number)?,
            left_out: self.left_out(),
            damage: self.store.scrub.known(facts.number, &facts.record.id),
            facts,
        })
    }

    /// The directory of the store's layers that is the kernel's own: what lies there comes of how a layer was made, and of when
    /// it was mounted.
    fn left_out(&self) -> Result<Option<Name>> {
        let slot = self.engine.registry.get(&self.store.layers.driver)?;
        let content = slot.active()?.generation.description().content.clone();
        Ok(match content {
            OwnContent::Stacked(stack) => Some(stack.work),
            OwnContent::Room | OwnContent::Complete(_) => None,
        })
    }

    /// Reads the layer, without its locks, and without any other: it may be idle.
    fn read(&self, begun: &Begun, wants: bool) -> io::Result<Read> {
        let room = begun.room.as_fd();
        let stop = || (self.stop)() || begun.watch.has_changed();
        let counted = &self.engine.scrubber.bytes;
        let mut pace = Pace::new(&stop, counted).bounded(self.bytes_per_second);
        let most = self.engine.runtime.limits().index_bytes;
        if let Some(differences) = damaged_image(room, most)? {
            return Ok(Read::Compared(differences, Amount::default()));
        }
        let read = match self.digests(begun)? {
            List::Whole(digests) => {
                ClientCall::note_work(digests.content_bytes());
                walk::compare(room, &digests, Rigor::Content, &mut pace)
                    .map(|(differences, amount)| Read::Compared(differences, amount))
            }
            list => {
                // Digests of what is there now would make it whole.
                if let Some(damage) = &begun.damage {
                    return Ok(Read::Known(damage.clone()));
                }
                let archive = archive_digest(room, most)?;
                let is_list_lost = matches!(list, List::Damaged);
                if matches!(list, List::None) && archive.is_none() && !wants {
                    return Ok(Read::Without);
                }
                let left_out = begun.left_out.as_ref().map_err(as_io)?;
                let left_out = left_out.as_ref().map(Name::as_bytes);
                let taken = walk::take(room, archive, left_out, &mut pace);
                taken.map(|(bytes, amount)| Read::Taken {
                    bytes,
                    amount,
                    is_list_lost,
                })
            }
        };
        match read {
            Err(error) if walk::is_of_the_file(&error) => Ok(unreadable(&error)),
            read => read,
        }
    }

    fn digests(&self, begun: &Begun) -> io::Result<List> {
        let layout = self.store.layers.home().layout();
        match layout.read_digests(begun.layer.as_fd()) {
            Ok(None) => Ok(List::None),
            Ok(Some(bytes)) if Digests::is_earlier(&bytes) => Ok(List::Earlier),
            Ok(Some(bytes)) => Ok(Digests::parse(bytes).map_or(List::Damaged, List::Whole)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(List::Damaged),
            // What cannot be read now may be whole, so nothing takes its place.
            Err(error) => Err(error),
        }
    }

    /// Whether a layer without digests gets some.
    fn wants(&self, facts: &Facts) -> bool {
        let mode = self.engine.settings.scrub.mode_of(self.store.name.as_str());
        match (self.whom, mode) {
            (For::Client, _) | (_, ScrubMode::All) => true,
            (_, ScrubMode::New) => facts.record.created >= self.store.scrub.kept().since,
            (_, ScrubMode::Off) => false,
        }
    }

    /// Puts digests that were taken in their place.
    fn keep(&self, begun: &Begun, bytes: &[u8], amount: Amount) -> Result<Looked> {
        let (home, id) = (self.store.layers.home(), &begun.facts.record.id);
        let failed = |error| self.failed(id, error);
        let put = home
            .write_digests(begun.layer.as_fd(), bytes)
            .map_err(failed)?;
        let Some(kept) = begun.watch.unless_changed(put) else {
            return Ok(Looked::Later);
        };
        kept.map_err(failed)?;
        let verdict = self.verdict(&begun.facts, Verdict::Taken);
        Ok(Looked::Done(VerifyView {
            files: amount.files,
            bytes: amount.bytes,
            ..verdict
        }))
    }

    /// Notes and tells how a layer was found.
    fn told(&self, begun: &Begun, differences: Differences, amount: Amount) -> Looked {
        let (facts, count) = (&begun.facts, differences.count);
        let damage = (count > 0).then(|| DamageView {
            layer: facts.record.id.to_string(),
            number: facts.number,
            found: Moment::now(),
            files: differences.named,
            count,
        });
        let noted = begun
            .watch
            .unless_changed(|| self.store.scrub.note(facts.number, damage.clone()));
        let Some(is_new) = noted else {
            return Looked::Later;
        };
        if is_new {
            // Not while others wait who want to change a layer: it may be synced.
            self.store.scrub.write_noted();
        }
        if let (true, Some(damage)) = (is_new, &damage) {
            let detail = described(damage);
            tracing::error!(store = %self.store.name, layer = damage.layer, detail, "a layer is damaged");
            let news = News::new(EventKind::LayerDamaged).store(self.store.name.as_str());
            let news = news.layer(&damage.layer).detail(detail);
            self.engine.bus.tell(news);
            self.engine.scrubber.damaged.fetch_add(1, Ordering::Relaxed);
        }
        let verdict = match damage {
            Some(_) => Verdict::Damaged,
            None => Verdict::Whole,
        };
        Looked::Done(VerifyView {
            files: amount.files,
            bytes: amount.bytes,
            damage,
            ..self.verdict(facts, verdict)
        })
    }

    fn tell_lost(&self, facts: &Facts) {
        self.store.scrub.change(|kept| kept.lists_lost += 1);
        let detail = "its list of digests is damaged and is made anew: what its files were before is not known any more";
        tracing::error!(store = %self.store.name, layer = %facts.record.id, detail, "digests are lost");
        let news = News::new(EventKind::LayerDigestsLost).store(self.store.name.as_str());
        let news = news.layer(facts.record.id.as_str());
        self.engine.bus.tell(news.detail(detail));
    }

    fn verdict(&self, facts: &Facts, verdict: Verdict) -> VerifyView {
        VerifyView {
            layer: facts.record.id.to_string(),
            verdict,
            files: 0,
            bytes: 0,
            damage: None,
        }
    }

    fn failed(&self, id: &LayerId, error: io::Error) -> Error {
        let store = &self.store.name;
        match error.kind() {
            io::ErrorKind::FileTooLarge => Error::LimitReached(format!(
                "layer `{id}` of store `{store}` has more files than a list of digests may have"
            )),
            _ => Error::io(format!("verify layer `{id}` of store `{store}`"), error),
        }
    }
}

/// What a layer has of digests.
enum List {
    None,
    Damaged,
    /// Of the version before: nobody needs it.
    Earlier,
    Whole(Digests),
}

/// What came of reading a layer.
enum Read {
    Taken {
        bytes: Vec<u8>,
        amount: Amount,
        is_list_lost: bool,
    },
    Compared(Differences, Amount),
    /// Nothing tells more than what is known already.
    Known(DamageView),
    Without,
}

fn as_io(error: &Error) -> io::Error {
    io::Error::other(with_causes(error))
}

fn unreadable(error: &io::Error) -> Read {
    let mut differences = Differences::default();
    let detail = format!("a directory of it cannot be read: {error}");
    differences.add(b"", Difference::Unreadable, detail);
    Read::Compared(differences, Amount::default())
}

/// What is wrong with the image of a sealed layer, without a look at all of its archive.
fn damaged_image(
    room: std::os::fd::BorrowedFd<'_>,
    most: usize,
) -> io::Result<Option<Differences>> {
    let (path, failure) = match inspect_image(room, most, Thoroughness::Sizes)? {
        None => return Ok(None),
        Some(ImageFault::Index(failure)) => (INDEX_PATH, failure),
        Some(ImageFault::Archive(failure)) => ("sealed/layer.tar", failure),
    };
    let mut differences = Differences::default();
    differences.add(path.as_bytes(), Difference::Content, failure.to_string());
    Ok(Some(differences))
}

/// Whether nobody can be changing a layer: it is not mounted to be changed, and is a committed snapshot, or of a kind or with
/// children that make it one that is not written to from now on.
pub(super) fn is_settled(store: &Store, facts: &Facts) -> bool {
    let id = &facts.record.id;
    if store.mounts.is_writable(id) || store.mounts.is_stuck(facts.number) {
        return false;
    }
    let Ok(snapshots) = store.snapshots() else {
        return facts.record.kind == LayerKind::Content || facts.children > 0;
    };
    let all = snapshots.table().all();
    let mut committed = all.iter().filter(|one| one.kind == SnapshotKind::Committed);
    committed.any(|one| one.layer.as_ref() == Some(id))
}

/// Whether the digests in the open directory of a layer can be read, for whoever looks without a daemon.
pub(crate) fn look_at_list(
    layout: &crate::disk::home::Layout,
    number: u64,
) -> io::Result<Option<Digests>> {
    let layer = layout.open_layer(number)?;
    let Some(bytes) = layout.read_digests(layer.as_fd())? else {
        return Ok(None);
    };
    let text = "it is not what was written";
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, text);
    Digests::parse(bytes).map(Some).ok_or_else(damaged)
}
