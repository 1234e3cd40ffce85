//! What the build script makes of `proto/`.
//!
//! Invariant: generated; the modules lie as the packages do, for that is how they name each other.

#![expect(
    unreachable_pub,
    clippy::allow_attributes,
    clippy::too_many_lines,
    clippy::allow_attributes_without_reason,
    reason = "generated code does not know how far it is seen, nor the rules of this house"
)]

pub(super) mod containerd {
    pub(in super::super) mod types {
        //! Types that containerd's services share.
        tonic::include_proto!("containerd.types");
    }
    pub(in super::super) mod services {
        pub(in super::super::super) mod content {
            pub(in super::super::super::super) mod v1 {
                //! The content service, as it is asked.
                tonic::include_proto!("containerd.services.content.v1");
            }
        }
        pub(in super::super::super) mod diff {
            pub(in super::super::super::super) mod v1 {
                //! The diff service.
                tonic::include_proto!("containerd.services.diff.v1");
            }
        }
        pub(in super::super::super) mod introspection {
            pub(in super::super::super::super) mod v1 {
                //! The introspection service, as it is asked.
                tonic::include_proto!("containerd.services.introspection.v1");
            }
        }
        pub(in super::super::super) mod leases {
            pub(in super::super::super::super) mod v1 {
                //! The lease service, as it is asked.
                tonic::include_proto!("containerd.services.leases.v1");
            }
        }
        pub(in super::super::super) mod snapshots {
            pub(in super::super::super::super) mod v1 {
                //! The snapshot service.
                tonic::include_proto!("containerd.services.snapshots.v1");
            }
        }
    }
}
