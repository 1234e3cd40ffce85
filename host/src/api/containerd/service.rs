//! The calls.
//!
//! Invariant: a client that goes away, and a deadline that passes, end what the engine does for it.

use super::bindings::containerd::services::snapshots::v1 as wire;
use super::bindings::containerd::services::snapshots::v1::snapshots_server::Snapshots;
use super::blobs::Blobs;
use super::filter::Filters;
use super::message::{Pages, REFERENCE, asked, change, info, mounts, some};
use super::status::{invalid, status};
use crate::api::call;
use crate::api::refusal::Refusal;
use crate::api::stream::CancelOnDrop;
use crate::config::{ApiLimits, Containerd, ContainerdLimits, Content};
use mica_engine::{
    CancelToken, CommitRequest, Engine, LabelChange, Result as EngineResult, SnapshotStore,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Answers containerd from one store.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) engine: Arc<Engine>,
    pub(super) store: Arc<str>,
    content: Content,
    pub(super) limits: ContainerdLimits,
    /// Where blobs lie.
    pub(super) blobs: Arc<Blobs>,
    /// containerd's own socket.
    pub(super) address: Option<Arc<Path>>,
    /// Limits of archives.
    pub(super) archive: ApiLimits,
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    pub(super) fn new(engine: Arc<Engine>, settings: &Containerd, archive: &ApiLimits) -> Self {
        Self {
            engine,
            store: Arc::from(settings.store.as_str()),
            content: settings.content,
            limits: settings.limits,
            blobs: Arc::new(Blobs::new(settings)),
            address: settings.address.as_deref().map(Arc::from),
            archive: archive.clone(),
        }
    }

    /// Looks at what is in memory, on this thread.
    fn look<T>(
        &self,
        look: impl FnOnce(&SnapshotStore<'_>) -> EngineResult<T>,
    ) -> Result<T, Status> {
        let found = self.engine.snapshots(&self.store);
        let found = found.and_then(|store| look(&store));
        found.map_err(|error| status(&error))
    }

    /// Calls the engine for something that reads or writes rows.
    pub(super) async fn quick<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SnapshotStore<'_>) -> EngineResult<T> + Send + 'static,
    ) -> Result<T, Status> {
        let limit = self.limits.call();
        self.call(limit, |store, _| work(store)).await
    }

    /// Calls the engine for something that copies, walks or deletes trees.
    pub(super) async fn long<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SnapshotStore<'_>, &CancelToken) -> EngineResult<T> + Send + 'static,
    ) -> Result<T, Status> {
        self.call(self.limits.work(), work).await
    }

    async fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&SnapshotStore<'_>, &CancelToken) -> EngineResult<T> + Send + 'static,
    ) -> Result<T, Status> {
        let store = Arc::clone(&self.store);
        let cancel = CancelOnDrop::default();
        let running = call::call_apart(Arc::clone(&self.engine), cancel, move |engine, token| {
            work(&engine.snapshots(&store)?, token)
        });
        match self.in_time(limit, running).await? {
            Ok(done) => Ok(done),
            Err(Refusal::Engine(error)) => Err(status(&error)),
            Err(Refusal::Request(error)) => Err(Status::internal(error.to_string())),
        }
    }

    /// Waits for an answer, up to a limit.
    pub(super) async fn in_time<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T, Status> {
        tokio::time::timeout(limit, answer)
            .await
            .map_err(|_elapsed| {
                let text = format!("store `{}` did not answer within {limit:?}", self.store);
                tracing::warn!(
                    store = &*self.store,
                    ?limit,
                    "a call of containerd takes too long"
                );
                Status::deadline_exceeded(text)
            })
    }
}

#[tonic::async_trait]
impl Snapshots for Service {
    type ListStream = tokio_stream::Iter<Pages>;

    async fn prepare(
        &self,
        request: Request<wire::PrepareSnapshotRequest>,
    ) -> Answer<wire::PrepareSnapshotResponse> {
        let wire::PrepareSnapshotRequest {
            key,
            parent,
            labels,
            ..
        } = request.into_inner();
        let mut request = asked(key, parent, labels)?;
        if self.content == Content::Shared {
            let reference = request.labels.get_key_value(REFERENCE);
            request.unless_held = reference.map(|(name, value)| (name.clone(), value.clone()));
        }
        let made = self.long(|store, cancel| store.prepare(request, cancel));
        let mounts = mounts(&made.await?);
        Ok(Response::new(wire::PrepareSnapshotResponse { mounts }))
    }

    async fn view(
        &self,
        request: Request<wire::ViewSnapshotRequest>,
    ) -> Answer<wire::ViewSnapshotResponse> {
        let wire::ViewSnapshotRequest {
            key,
            parent,
            labels,
            ..
        } = request.into_inner();
        let request = asked(key, parent, labels)?;
        let made = self.long(|store, cancel| store.view(request, cancel));
        let mounts = mounts(&made.await?);
        Ok(Response::new(wire::ViewSnapshotResponse { mounts }))
    }

    async fn mounts(&self, request: Request<wire::MountsRequest>) -> Answer<wire::MountsResponse> {
        let key = request.into_inner().key;
        let known = self.look(|store| store.known_mounts(&key))?;
        let told = match known {
            Some(mounts) => mounts,
            None => {
                let told = self.quick(move |store| store.mounts(&key));
                told.await?
            }
        };
        let mounts = mounts(&told);
        Ok(Response::new(wire::MountsResponse { mounts }))
    }

    async fn commit(&self, request: Request<wire::CommitSnapshotRequest>) -> Answer<()> {
        let wire::CommitSnapshotRequest {
            name,
            key,
            labels,
            parent,
            ..
        } = request.into_inner();
        let request = CommitRequest {
            key,
            name,
            parent: some(parent),
            labels,
        };
        let done = self.long(|store, cancel| store.commit(request, cancel));
        done.await.map(Response::new)
    }

    async fn remove(&self, request: Request<wire::RemoveSnapshotRequest>) -> Answer<()> {
        let key = request.into_inner().key;
        let done = self.quick(move |store| store.remove(&key));
        done.await.map(Response::new)
    }

    async fn stat(
        &self,
        request: Request<wire::StatSnapshotRequest>,
    ) -> Answer<wire::StatSnapshotResponse> {
        let key = request.into_inner().key;
        let found = self.look(|store| store.get(&key))?;
        let info = Some(info(&found));
        Ok(Response::new(wire::StatSnapshotResponse { info }))
    }

    async fn update(
        &self,
        request: Request<wire::UpdateSnapshotRequest>,
    ) -> Answer<wire::UpdateSnapshotResponse> {
        let request = request.into_inner();
        let Some(wire::Info { name, labels, .. }) = request.info else {
            return Err(Status::invalid_argument("an update without a snapshot"));
        };
        // Whether there is such a snapshot comes before what is asked of it, as with containerd's own.
        self.look(|store| store.get(&name))?;
        let change: LabelChange = change(&name, labels, request.update_mask)?;
        let changed = self.quick(move |store| store.label(&name, change));
        let info = Some(info(&*changed.await?));
        Ok(Response::new(wire::UpdateSnapshotResponse { info }))
    }

    async fn list(&self, request: Request<wire::ListSnapshotsRequest>) -> Answer<Self::ListStream> {
        let filters = Filters::parse(&request.into_inner().filters, self.limits);
        let filters = filters.map_err(|error| invalid(error.to_string()))?;
        let found = self.quick(move |store| {
            let mut snapshots = store.list();
            snapshots.retain(|snapshot| filters.match_snapshot(snapshot));
            Ok(snapshots)
        });
        let pages = Pages::new(found.await?);
        Ok(Response::new(tokio_stream::iter(pages)))
    }

    async fn usage(&self, request: Request<wire::UsageRequest>) -> Answer<wire::UsageResponse> {
        let key = request.into_inner().key;
        let known = self.look(|store| store.get(&key))?;
        let usage = match known.usage {
            Some(usage) => usage,
            None => {
                let measured = self.long(move |store, cancel| store.usage(&key, cancel));
                measured.await?
            }
        };
        Ok(Response::new(wire::UsageResponse {
            size: usage.bytes.try_into().unwrap_or(i64::MAX),
            inodes: usage.inodes.unwrap_or(0).try_into().unwrap_or(i64::MAX),
        }))
    }

    async fn cleanup(&self, _request: Request<wire::CleanupRequest>) -> Answer<()> {
        let done = self.long(|store, _| store.clean_up());
        done.await.map(Response::new)
    }
}
