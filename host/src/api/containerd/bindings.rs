//! What tonic makes of `proto/`. It is kept in the repository, because a compiler of protocols and all that it needs would
//! take longer to build than this crate.
//!
//! Invariant: generated; a test compares it (`tests/tests/protocols.rs`) and writes it anew. The modules lie as the packages
//! do, for that is how they name each other.

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
        include!("../../../proto/generated/containerd.types.rs");
    }
    pub(in super::super) mod services {
        pub(in super::super::super) mod content {
            pub(in super::super::super::super) mod v1 {
                //! The content service, as it is asked.
                include!("../../../proto/generated/containerd.services.content.v1.rs");
            }
        }
        pub(in super::super::super) mod diff {
            pub(in super::super::super::super) mod v1 {
                //! The diff service.
                include!("../../../proto/generated/containerd.services.diff.v1.rs");
            }
        }
        pub(in super::super::super) mod introspection {
            pub(in super::super::super::super) mod v1 {
                //! The introspection service, as it is asked.
                include!("../../../proto/generated/containerd.services.introspection.v1.rs");
            }
        }
        pub(in super::super::super) mod leases {
            pub(in super::super::super::super) mod v1 {
                //! The lease service, as it is asked.
                include!("../../../proto/generated/containerd.services.leases.v1.rs");
            }
        }
        pub(in super::super::super) mod snapshots {
            pub(in super::super::super::super) mod v1 {
                //! The snapshot service.
                include!("../../../proto/generated/containerd.services.snapshots.v1.rs");
            }
        }
    }
}
