//! What Mica asks of the containerd that it serves: where content lies, content itself, and to keep what Mica writes.
//!
//! Invariant: containerd is where the configuration says, and is root's; nothing that a client sends leads elsewhere.

use super::bindings::containerd::services::content::v1 as content;
use super::bindings::containerd::services::introspection::v1 as introspection;
use super::bindings::containerd::services::leases::v1 as leases;
use axum::body::{Body, Bytes};
use content::content_client::ContentClient;
use hyper_util::rt::TokioIo;
use introspection::introspection_client::IntrospectionClient;
use leases::leases_client::LeasesClient;
use mica_engine::{Moment, SafeText};
use prost_types::FieldMask;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// Says whose content is meant: clients of one containerd have names of their own for the same content.
const NAMESPACE: &str = "containerd-namespace";
/// Names the lease that what is made belongs to.
const LEASE: &str = "containerd-lease";
/// When containerd forgets a lease.
const EXPIRY: &str = "containerd.io/gc.expire";
/// The digest of compressed content without its compression.
pub(super) const UNCOMPRESSED: &str = "containerd.io/uncompressed";
/// How long content that is no image's yet is kept: the client makes it one right after the answer, and what lease it has
/// is not said.
const LEASE_SECONDS: u64 = 3600;

/// The plugin that keeps content.
const CONTENT_PLUGIN: (&str, &str) = ("io.containerd.content.v1", "content");

/// A namespace of a containerd, over a connection of its own.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    channel: Channel,
    namespace: MetadataValue<Ascii>,
    address: Arc<Path>,
}

/// Content that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// `sha256:` and digits.
    pub(super) digest: String,
    pub(super) size: i64,
}

impl Peer {
    /// Connects, for the client of a snapshot. Whose it is stands in its key, `<namespace>/<number>/<name>`; the header that
    /// tells it as well does not come from every release (1.7.24 has none).
    ///
    /// # Errors
    /// `Unavailable` when no one answers there, or someone who is not root.
    pub(super) async fn connect(address: &Arc<Path>, key: &str) -> Result<Self, Status> {
        let namespace = key.split_once('/').map(|(namespace, _)| namespace);
        let namespace = namespace.and_then(|namespace| MetadataValue::try_from(namespace).ok());
        let namespace = namespace.ok_or_else(|| {
            let key = SafeText::label(key);
            Status::internal(format!("no namespace can be told from the key `{key}`"))
        })?;
        let stream = stream(address).await.map_err(|error| {
            let text = format!(
                "connect to containerd at `{}` (`containerd.address`): {error}",
                address.display()
            );
            Status::unavailable(text)
        })?;
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_| {
            let gone = || io::Error::other("the connection to containerd broke");
            std::future::ready(stream.take().ok_or_else(gone))
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = endpoint.connect_with_connector(connector);
        Ok(Self {
            channel: channel
                .await
                .map_err(|error| Status::unavailable(error.to_string()))?,
            namespace,
            address: Arc::clone(address),
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(NAMESPACE, self.namespace.clone());
        request
    }

    /// What containerd refuses is no answer to what it asked: of its codes only those go on that say the same of Mica's.
    fn explain(&self, doing: &str) -> impl Fn(Status) -> Status {
        let doing = format!("{doing} containerd at `{}`", self.address.display());
        move |status| {
            let code = match status.code() {
                code @ (Code::Unavailable
                | Code::ResourceExhausted
                | Code::DeadlineExceeded
                | Code::Cancelled) => code,
                _ => Code::Internal,
            };
            let text = format!("{doing}: {:?}: {}", status.code(), status.message());
            Status::new(code, SafeText::from(text))
        }
    }

    /// The directory that content lies in, if containerd keeps content in one.
    pub(super) async fn content_root(&self) -> Result<Option<PathBuf>, Status> {
        let (kind, id) = CONTENT_PLUGIN;
        let filters = vec![format!("type=={kind},id=={id}")];
        let request = self.request(introspection::PluginsRequest { filters });
        let mut client = IntrospectionClient::new(self.channel.clone());
        let answer = client.plugins(request);
        let answer = answer.await.map_err(self.explain("ask"))?.into_inner();
        let mut plugins = answer.plugins.into_iter();
        let found = plugins.find(|plugin| plugin.r#type == kind && plugin.id == id);
        Ok(found.and_then(|plugin| Some(PathBuf::from(plugin.exports.get("root")?))))
    }

    /// Reads content.
    pub(super) async fn read(&self, digest: &str) -> Result<Body, Status> {
        let request = self.request(content::ReadContentRequest {
            digest: digest.to_owned(),
            ..content::ReadContentRequest::default()
        });
        let mut client = ContentClient::new(self.channel.clone());
        let answer = client.read(request);
        let pieces = answer.await.map_err(self.explain("read from"))?;
        let pieces = pieces.into_inner();
        Ok(Body::from_stream(
            pieces.map(|piece| piece.map(|piece| Bytes::from(piece.data))),
        ))
    }

    /// Begins content, under a name that the client may have chosen. What is made is gone when the writer is dropped.
    pub(super) async fn write(&self, name: String) -> Result<Writer, Status> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let now = Moment::now();
        let until = Moment {
            seconds: now.seconds + LEASE_SECONDS,
            ..now
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let writer = Writer {
            peer: self.clone(),
            id: format!("mica-diff-{}-{}-{count}", now.seconds, now.nanoseconds),
            name: Some(name).filter(|name| !name.is_empty()),
            is_done: false,
        };
        let request = self.request(leases::CreateRequest {
            id: writer.id.clone(),
            labels: BTreeMap::from([(EXPIRY.to_owned(), until.to_string())]),
        });
        let mut client = LeasesClient::new(self.channel.clone());
        let made = client.create(request);
        made.await.map_err(self.explain("get a lease of"))?;
        Ok(writer)
    }
}

async fn stream(address: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(address).await?;
    match stream.peer_cred()?.uid() {
        0 => Ok(stream),
        user => Err(io::Error::other(format!(
            "user {user} answers there, not root"
        ))),
    }
}

/// Content that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    peer: Peer,
    /// The lease, and the content's name unless the client chose one.
    id: String,
    name: Option<String>,
    is_done: bool,
}

impl Writer {
    /// The name that it has until it is complete.
    pub(super) fn name(&self) -> &str {
        self.name.as_ref().unwrap_or(&self.id)
    }

    /// Sends messages, of which the first has the name and the last commits. It is well if the same content is there.
    ///
    /// # Errors
    /// containerd's; `Aborted` when the messages ended without a commit.
    pub(super) async fn send(
        &self,
        messages: mpsc::Receiver<content::WriteContentRequest>,
    ) -> Result<(), Status> {
        match self.exchange(messages).await {
            Ok(Some(content::WriteAction::Commit)) => Ok(()),
            Ok(_) => Err(Status::aborted("containerd was not told that it has all")),
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            Err(status) => Err(self.peer.explain("write to")(status)),
        }
    }

    /// What containerd did last.
    async fn exchange(
        &self,
        messages: mpsc::Receiver<content::WriteContentRequest>,
    ) -> Result<Option<content::WriteAction>, Status> {
        let mut request = self.peer.request(ReceiverStream::new(messages));
        let lease = MetadataValue::try_from(&self.id);
        let lease = lease.map_err(|error| Status::internal(error.to_string()))?;
        request.metadata_mut().insert(LEASE, lease);
        let mut client = ContentClient::new(self.peer.channel.clone());
        let mut answers = client.write(request).await?.into_inner();
        let mut last = None;
        while let Some(answer) = answers.message().await? {
            last = Some(answer.action());
        }
        Ok(last)
    }

    /// Keeps what was sent, with labels, which content that was there already may not have.
    pub(super) async fn keep(
        mut self,
        digest: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<(), Status> {
        let paths = labels.keys().map(|label| format!("labels.{label}"));
        let update_mask = Some(FieldMask {
            paths: paths.collect(),
        });
        let info = content::Info {
            digest: digest.to_owned(),
            labels,
            ..content::Info::default()
        };
        let request = self.peer.request(content::UpdateRequest {
            info: Some(info),
            update_mask,
        });
        let mut client = ContentClient::new(self.peer.channel.clone());
        let updated = client.update(request).await;
        updated.map_err(self.peer.explain("label content of"))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Writer {
    /// Throws away what is not complete, also when the client has gone. What has the client's name is the client's. If
    /// containerd's own connection has gone, this does not run any more, and the lease ends by itself.
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let id = std::mem::take(&mut self.id);
        let own = self.name.is_none();
        let abort = content::AbortRequest { r#ref: id.clone() };
        let abort = own.then(|| self.peer.request(abort));
        let delete = self.peer.request(leases::DeleteRequest { id });
        let channel = self.peer.channel.clone();
        tokio::spawn(async move {
            // What was never begun cannot be aborted, and the lease ends by itself.
            if let Some(abort) = abort {
                let _aborted = ContentClient::new(channel.clone()).abort(abort).await;
            }
            let _deleted = LeasesClient::new(channel).delete(delete).await;
        });
    }
}
