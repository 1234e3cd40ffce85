//! `Diff`: the archive that a committed layer came as, written to containerd's content.
//!
//! containerd makes views of both sides and asks each differ in turn. Whatever is not exactly a layer against its own parent,
//! and byte for byte there, is left to the next one, which compares files.
//!
//! Invariant: content is committed only after the driver's answer, and the host has compared the archive's digest.

use super::bindings::containerd::services::content::v1::{WriteAction, WriteContentRequest};
use super::bindings::containerd::services::diff::v1 as wire;
use super::bindings::containerd::types::{Descriptor, Mount};
use super::differ::TAR;
use super::message::mounts;
use super::peer::{Peer, UNCOMPRESSED, Writer, Written};
use super::service::Service;
use super::status::status;
use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use mica_engine::{Error, SafeText, Sink, SnapshotKind};
use mica_text::hex;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

/// Chunks of 256 KiB that lie ready.
const CHANNEL_CHUNKS: usize = 8;
/// Messages that lie ready, each of at most [`MESSAGE_BYTES`].
const CHANNEL_MESSAGES: usize = 4;
/// Bytes of a message, far below what containerd takes.
const MESSAGE_BYTES: usize = 1 << 20;

/// What the content is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Gzip,
}

/// The forms that containerd's own differ makes, and by default the second.
fn form(media_type: &str) -> Option<(Form, String)> {
    let gzip = format!("{TAR}+gzip");
    match media_type {
        TAR => Some((Form::Plain, TAR.to_owned())),
        "" => Some((Form::Gzip, gzip)),
        other if other == gzip => Some((Form::Gzip, gzip)),
        _ => None,
    }
}

/// An archive that was sent on, but for its last bytes.
struct Packed {
    written: Written,
    uncompressed: String,
    /// What is missing, with the word that it is all.
    commit: WriteContentRequest,
    to: mpsc::Sender<WriteContentRequest>,
}

impl Service {
    /// Writes the difference, if it is an archive that is kept.
    ///
    /// # Errors
    /// `Unimplemented`, and nothing was done, if it is not; containerd's and the driver's.
    pub(super) async fn compare(&self, asked: wire::DiffRequest) -> Result<Descriptor, Status> {
        let Some(address) = &self.address else {
            return Err(others("`containerd.address` is not configured"));
        };
        let (form, media_type) =
            form(&asked.media_type).ok_or_else(|| others("content of this type is not made"))?;
        let key = self.committed(&asked)?;
        let key =
            key.ok_or_else(|| others("these are no views of a layer of Mica and its parent"))?;
        let kept = key.clone();
        let is_kept = self.quick(move |store| store.keeps_archive(&kept));
        if !is_kept.await? {
            return Err(others("the layer is not kept as its archive"));
        }
        let peer = Peer::connect(address, &key).await?;
        let writer = peer.write(asked.r#ref).await?;
        let (written, labels) = self.send(&key, form, asked.labels, &writer).await?;
        writer.keep(&written.digest, labels).await?;
        tracing::info!(
            snapshot = &*SafeText::label(&key),
            digest = written.digest,
            "wrote the archive of a layer to containerd"
        );
        Ok(Descriptor {
            media_type,
            digest: written.digest,
            size: written.size,
            ..Descriptor::default()
        })
    }

    /// The committed snapshot that the right side shows, if the left one shows what it was built on. Both are views that
    /// were just made; nothing else is known by its mounts.
    fn committed(&self, asked: &wire::DiffRequest) -> Result<Option<String>, Status> {
        let store = self.engine.snapshots(&self.store);
        let store = store.map_err(|error| status(&error))?;
        let all = store.list();
        let views = all.iter().filter(|view| view.kind == SnapshotKind::View);
        let views: Vec<_> = views
            .filter_map(|view| {
                // One that has gone meanwhile shows nothing.
                let told = store.known_mounts(&view.key);
                Some((view.parent.as_deref(), mounts(&told.ok()??)))
            })
            .collect();
        let is_shown = |of: Option<&str>, asked: &[Mount]| {
            let mut those = views.iter().filter(|(parent, _)| *parent == of);
            those.any(|(_, told)| told == asked)
        };
        let mut shown = views.iter().filter(|(_, told)| *told == asked.right);
        let found = shown.find_map(|(of, _)| {
            let layer = all.iter().find(|layer| Some(&*layer.key) == *of)?;
            let below = layer.parent.as_deref();
            let is_its_own = is_shown(below, &asked.left);
            // Some clients have no view of nothing.
            (is_its_own || below.is_none() && asked.left.is_empty()).then_some(layer)
        });
        Ok(found.map(|layer| layer.key.clone()))
    }

    /// Sends the archive of a snapshot. Answers what it became, with its labels.
    async fn send(
        &self,
        key: &str,
        form: Form,
        mut labels: BTreeMap<String, String>,
        writer: &Writer,
    ) -> Result<(Written, BTreeMap<String, String>), Status> {
        let (sink, chunks) = Sink::channel(CHANNEL_CHUNKS);
        let (to, messages) = mpsc::channel(CHANNEL_MESSAGES);
        let packed = start_packing(chunks, Pieces::new(writer.name(), to), form)?;
        let key = key.to_owned();
        let reading =
            self.long(
                move |store, cancel| match store.send(&key, sink, cancel.clone()) {
                    Err(Error::NotSupported(text)) => Ok(Some(text)),
                    done => done.map(|_report| None),
                },
            );
        let making = async {
            if let Some(changed) = reading.await? {
                return Err(others(&changed));
            }
            let broke = |_| Status::internal("the thread that packs broke");
            let packed = packed.await.map_err(broke)?;
            let mut packed = packed.map_err(|error| Status::internal(error.to_string()))?;
            labels.insert(UNCOMPRESSED.to_owned(), packed.uncompressed);
            packed.commit.labels = labels.clone();
            // That containerd takes no more is known from its answer.
            let _taken = packed.to.send(packed.commit).await;
            Ok((packed.written, labels))
        };
        match tokio::join!(making, writer.send(messages)) {
            (Ok(made), Ok(())) => Ok(made),
            // Why containerd took no more is also why nothing more was read.
            (_, Err(error)) if error.code() != tonic::Code::Aborted => Err(error),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

fn others(why: &str) -> Status {
    let text = format!("{why}: that is left to containerd's walking differ");
    Status::unimplemented(SafeText::from(text))
}

/// Packs on a thread of its own: compression takes a processor, and so does reading.
fn start_packing(
    chunks: mpsc::Receiver<Bytes>,
    pieces: Pieces,
    form: Form,
) -> Result<oneshot::Receiver<io::Result<Packed>>, Status> {
    let (done, packed) = oneshot::channel();
    let named = std::thread::Builder::new().name("mica-pack".to_owned());
    let started = named.spawn(move || {
        // Whoever waited has gone.
        let _heard = done.send(pack(chunks, pieces, form));
    });
    match started {
        Ok(_thread) => Ok(packed),
        Err(error) => Err(Status::internal(format!("start a thread: {error}"))),
    }
}

fn pack(mut chunks: mpsc::Receiver<Bytes>, pieces: Pieces, form: Form) -> io::Result<Packed> {
    let mut plain = Sha256::new();
    let mut write_all = |to: &mut dyn Write| {
        while let Some(chunk) = chunks.blocking_recv() {
            plain.update(&chunk);
            to.write_all(&chunk)?;
        }
        io::Result::Ok(())
    };
    let pieces = match form {
        Form::Plain => {
            let mut pieces = pieces;
            write_all(&mut pieces)?;
            pieces
        }
        Form::Gzip => {
            let mut gzip = GzEncoder::new(pieces, Compression::default());
            write_all(&mut gzip)?;
            gzip.finish()?
        }
    };
    Ok(pieces.end(digest(plain)))
}

/// `sha256:` and the digits.
fn digest(sum: Sha256) -> String {
    format!("sha256:{}", hex(&sum.finalize()))
}

/// Cuts what is written into messages.
struct Pieces {
    to: mpsc::Sender<WriteContentRequest>,
    next: WriteContentRequest,
    sum: Sha256,
}

impl Pieces {
    fn new(name: &str, to: mpsc::Sender<WriteContentRequest>) -> Self {
        let next = WriteContentRequest {
            action: WriteAction::Write.into(),
            r#ref: name.to_owned(),
            ..WriteContentRequest::default()
        };
        let sum = Sha256::new();
        Self { to, next, sum }
    }

    /// Bytes so far.
    fn count(&self) -> i64 {
        let ready = i64::try_from(self.next.data.len());
        self.next.offset + ready.unwrap_or(i64::MAX)
    }

    fn end(self, uncompressed: String) -> Packed {
        let size = self.count();
        let written = Written {
            digest: digest(self.sum),
            size,
        };
        let commit = WriteContentRequest {
            action: WriteAction::Commit.into(),
            total: size,
            expected: written.digest.clone(),
            ..self.next
        };
        Packed {
            written,
            uncompressed,
            commit,
            to: self.to,
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.next.data.len() == MESSAGE_BYTES {
            let next = WriteContentRequest {
                action: WriteAction::Write.into(),
                offset: self.count(),
                ..WriteContentRequest::default()
            };
            let full = std::mem::replace(&mut self.next, next);
            let gone = |_| io::Error::other("containerd takes no more");
            self.to.blocking_send(full).map_err(gone)?;
        }
        let room = MESSAGE_BYTES - self.next.data.len();
        let now = bytes.get(..room).unwrap_or(bytes);
        self.next.data.extend_from_slice(now);
        self.sum.update(now);
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read as _;

    /// What the messages for an archive of these chunks say.
    fn packed(chunks: &[&[u8]], form: Form) -> (Vec<WriteContentRequest>, Written, String) {
        let (sender, receiver) = mpsc::channel(chunks.len().max(1));
        for chunk in chunks {
            sender.try_send(Bytes::copy_from_slice(chunk)).unwrap();
        }
        drop(sender);
        let (to, mut messages) = mpsc::channel(64);
        let packed = pack(receiver, Pieces::new("name", to), form).unwrap();
        let mut all = Vec::new();
        while let Ok(message) = messages.try_recv() {
            all.push(message);
        }
        all.push(packed.commit);
        (all, packed.written, packed.uncompressed)
    }

    #[test]
    fn messages_follow_each_other_and_the_last_has_the_digest_of_all() {
        let part: Vec<u8> = (0..=250).cycle().take(700_000).collect();
        let parts = [&*part; 5];
        let plain = digest(Sha256::new_with_prefix(parts.concat()));
        for form in [Form::Plain, Form::Gzip] {
            let (messages, written, uncompressed) = packed(&parts, form);
            let mut bytes = Vec::new();
            for (number, message) in messages.iter().enumerate() {
                assert_eq!(message.offset, i64::try_from(bytes.len()).unwrap());
                assert_eq!(message.r#ref.is_empty(), number > 0);
                assert!(message.data.len() <= MESSAGE_BYTES);
                let is_last = number + 1 == messages.len();
                assert_eq!(message.action() == WriteAction::Commit, is_last);
                bytes.extend_from_slice(&message.data);
            }
            let last = messages.last().unwrap();
            assert_eq!(
                (last.total, &last.expected),
                (written.size, &written.digest)
            );
            assert_eq!(written.digest, digest(Sha256::new_with_prefix(&bytes)));
            assert_eq!(uncompressed, plain);
            let mut read = bytes.clone();
            if form == Form::Gzip {
                read.clear();
                GzDecoder::new(&*bytes).read_to_end(&mut read).unwrap();
            }
            assert_eq!(read, parts.concat());
        }
        let (messages, written, _) = packed(&[], Form::Plain);
        assert_eq!((messages.len(), written.size), (1, 0));
    }

    #[test]
    fn only_what_containerd_s_own_differ_makes_is_made() {
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        assert_eq!(form(""), Some((Form::Gzip, gzip.to_owned())));
        assert_eq!(form(gzip), Some((Form::Gzip, gzip.to_owned())));
        assert_eq!(form(TAR), Some((Form::Plain, TAR.to_owned())));
        for other in [
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "text/plain",
        ] {
            assert_eq!(form(other), None, "{other}");
        }
    }
}
