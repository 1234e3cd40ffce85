//! Where the archive of a damaged layer may be had again: from the sealed layers of all stores, and from the blob that it was
//! unpacked from.
//!
//! Invariant: nothing here is trusted: what comes of an archive counts only if it is what the layer was.

use super::digests::Digest;
use super::walk;
use crate::disk::home::{BlobOrigin, LayerOrigin};
use crate::engine::Engine;
use crate::store::Store;
use crate::{Error, LayerId, SafeText};
use mica_runtime::{ARCHIVE_PATH, archive_digest};
use parking_lot::Mutex;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::sync::Arc;

/// Gives blobs that a container runtime keeps.
pub trait Blobs: Debug + Send + Sync {
    /// Opens the archive of a blob, without its compression. It may block. Reading ends with an error if the blob is not what was
    /// told of it.
    ///
    /// # Errors
    /// Why it is not to be had.
    fn open(&self, origin: &BlobOrigin) -> io::Result<Box<dyn Read + Send>>;
}

/// An archive that may be the one that a layer was made of.
pub(super) enum Found {
    /// Of a sealed layer.
    Sealed(Arc<Store>, u64, LayerId),
    /// A blob.
    Blob(Arc<dyn Blobs>, BlobOrigin),
}

impl Found {
    /// What it is, in words.
    pub(super) fn whence(&self) -> String {
        match self {
            Self::Sealed(store, _, layer) => {
                format!("the archive of layer `{layer}` in store `{}`", store.name)
            }
            Self::Blob(_, origin) => {
                format!("blob `{}` of containerd", SafeText::label(&origin.digest))
            }
        }
    }

    pub(super) fn open(&self) -> io::Result<(Box<dyn Read + Send>, Fault)> {
        let reader: Box<dyn Read + Send> = match self {
            Self::Sealed(store, number, _) => {
                let room = store.layers.open_whole(*number)?;
                Box::new(File::from(walk::open_along(room.as_fd(), ARCHIVE_PATH)?))
            }
            Self::Blob(blobs, origin) => blobs.open(origin)?,
        };
        let fault = Fault::default();
        let noting = Noting(reader, fault.clone());
        Ok((Box::new(noting), fault))
    }
}

/// What ended the reading of an archive: a driver learns only that its source broke.
#[derive(Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<String>>>);

impl Fault {
    /// The error of a repair, with the archive's own fault if that is the reason.
    pub(super) fn explain(&self, error: Error, whence: &str) -> Error {
        match (self.0.lock().take(), error) {
            (_, Error::Cancelled) => Error::Cancelled,
            (Some(fault), _) => Error::InvalidArchive(format!("{whence}: {fault}")),
            (None, error) => error,
        }
    }
}

/// Notes the first error on its way.
struct Noting(Box<dyn Read + Send>, Fault);

impl Read for Noting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                let mut noted = self.1.0.lock();
                noted.get_or_insert_with(|| error.to_string());
            }
        })
    }
}

/// All archives that may be the one, those first that nobody has to decompress. Each is looked for when it is asked for, because to look
/// at a layer reads its index.
pub(super) fn find<'a>(
    engine: &'a Engine,
    own: &'a Store,
    id: &'a LayerId,
    (archive, origin): (Option<Digest>, Option<LayerOrigin>),
) -> impl Iterator<Item = Found> + 'a {
    let sealed = archive.into_iter();
    let sealed = sealed.flat_map(move |wanted| find_sealed(engine, own, id, wanted));
    let blob = engine.settings.blobs.as_ref().zip(origin);
    sealed.chain(blob.map(|(blobs, origin)| Found::Blob(Arc::clone(blobs), origin.blob)))
}

/// Finds archives with a digest among the sealed layers of all stores.
fn find_sealed<'a>(
    engine: &'a Engine,
    own: &'a Store,
    id: &'a LayerId,
    wanted: Digest,
) -> impl Iterator<Item = Found> + 'a {
    let most = engine.runtime.limits().index_bytes;
    let names = engine.stores().names().into_iter();
    // One at a time: a store that is only waited for could not be renamed until the others are read.
    let stores = names.filter_map(move |name| engine.stores().find(name.as_str()).ok());
    stores.flat_map(move |store| {
        let layers: Vec<(u64, LayerId)> = {
            let table = store.layers.table();
            let page = table.page(None, usize::MAX);
            page.map(|entry| (entry.number, entry.id().clone()))
                .collect()
        };
        let others = layers.into_iter();
        others.filter_map(move |(number, other)| {
            if (&store.name, &other) == (&own.name, id) {
                return None;
            }
            let room = store.layers.open_whole(number);
            let digest = room.and_then(|room| archive_digest(room.as_fd(), most));
            let is_wanted = digest.is_ok_and(|digest| digest == Some(wanted));
            is_wanted.then(|| Found::Sealed(Arc::clone(&store), number, other))
        })
    })
}
