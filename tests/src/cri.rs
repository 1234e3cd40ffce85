//! Kubernetes' container runtime interface, as a kubelet or crictl speaks it.
//!
//! Invariant: what a call sends and what comes back is not interpreted beyond the protocol's form.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tonic::Request;
use tonic::transport::Channel;

use crate::grpc::{self, Answer, sort};
use wire::image_service_client::ImageServiceClient;
use wire::runtime_service_client::RuntimeServiceClient;

pub use generated::v1 as wire;

#[expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    reason = "generated; `proto/cri.proto` says what there is to say"
)]
mod generated {
    pub mod v1 {
        //! The interface's first version.
        tonic::include_proto!("runtime.v1");
    }
}

/// A client with a connection and a thread of its own.
#[derive(Debug)]
pub struct Cri {
    runtime: Runtime,
    pods: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
}

/// A function for each call: its name, what is sent, what comes.
macro_rules! calls {
    ($($client:ident: $call:ident($request:ident) -> $answer:ident;)*) => {
        $(
            /// The call of this name.
            pub fn $call(&mut self, request: wire::$request) -> Answer<wire::$answer> {
                let call = self.$client.$call(Request::new(request));
                sort(self.runtime.block_on(call))
            }
        )*
    };
}

impl Cri {
    /// Connects, and waits until the runtime says that it is ready.
    #[track_caller]
    pub fn connect(socket: &Path) -> Self {
        let (runtime, channel) = grpc::connect(socket);
        let mut client = Self {
            runtime,
            pods: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel),
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = client.status(wire::StatusRequest {});
            if answer.as_ref().is_ok_and(is_ready) {
                return client;
            }
            assert!(Instant::now() < deadline, "it is not ready: {answer:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    calls! {
        pods: status(StatusRequest) -> StatusResponse;
        pods: run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse;
        pods: stop_pod_sandbox(PodSandboxRequest) -> Empty;
        pods: remove_pod_sandbox(PodSandboxRequest) -> Empty;
        pods: list_pod_sandbox(Empty) -> ListPodSandboxResponse;
        pods: create_container(CreateContainerRequest) -> CreateContainerResponse;
        pods: start_container(ContainerRequest) -> Empty;
        pods: stop_container(StopContainerRequest) -> Empty;
        pods: remove_container(ContainerRequest) -> Empty;
        pods: list_containers(Empty) -> ListContainersResponse;
        pods: container_status(ContainerRequest) -> ContainerStatusResponse;
        pods: container_stats(ContainerRequest) -> ContainerStatsResponse;
        pods: list_container_stats(Empty) -> ListContainerStatsResponse;
        pods: exec_sync(ExecSyncRequest) -> ExecSyncResponse;
        images: list_images(Empty) -> ListImagesResponse;
        images: image_status(ImageRequest) -> ImageStatusResponse;
        images: pull_image(PullImageRequest) -> PullImageResponse;
        images: remove_image(ImageRequest) -> Empty;
        images: image_fs_info(Empty) -> ImageFsInfoResponse;
    }
}

fn is_ready(answer: &wire::StatusResponse) -> bool {
    let conditions = answer.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .any(|condition| condition.r#type == "RuntimeReady" && condition.status)
}
