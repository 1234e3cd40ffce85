//! From the traits to the exports of a component.
//!
//! Invariant: nothing is decided here, and a native test calls a driver as a component is called.

use crate::bindings::diff::exports::mica::driver::diff_driver::{
    ApplyReport, ArchiveForm, DiffReport, Guest as DiffGuest,
};
use crate::bindings::proto::exports::mica::driver::proto_driver::Guest as ProtoGuest;
use crate::driver::{DiffDriver, Driver};
use crate::host::mounts::{Access, Mount};
use crate::host::streams::{ChangeSink, Sink, Source};
use crate::{CreateOptions, Description, Result};
use std::marker::PhantomData;

/// What the world has of the driver `T`.
#[derive(Debug)]
pub struct Exported<T>(PhantomData<fn() -> T>);

impl<T: Driver> ProtoGuest for Exported<T> {
    fn describe() -> Description {
        T::describe()
    }
    fn init(options: Vec<(String, String)>) -> Result<()> {
        T::init(&options)
    }
    fn create(id: String, parent: Option<String>, options: CreateOptions) -> Result<()> {
        T::create(&id, parent.as_deref(), &options)
    }
    fn create_read_write(id: String, parent: Option<String>, options: CreateOptions) -> Result<()> {
        T::create_read_write(&id, parent.as_deref(), &options)
    }
    fn remove(id: String) -> Result<()> {
        T::remove(&id)
    }
    fn get(id: String, access: Access, label: Option<String>) -> Result<Mount> {
        T::get(&id, access, label.as_deref())
    }
    fn put(id: String) -> Result<()> {
        T::put(&id)
    }
    fn exists(id: String) -> Result<bool> {
        T::exists(&id)
    }
    fn status() -> Result<Vec<(String, String)>> {
        T::status()
    }
    fn metadata(id: String) -> Result<Vec<(String, String)>> {
        T::metadata(&id)
    }
    fn cleanup() -> Result<()> {
        T::cleanup()
    }
}

impl<T: DiffDriver> DiffGuest for Exported<T> {
    fn diff(
        id: String,
        parent: Option<String>,
        form: ArchiveForm,
        sink: &Sink,
    ) -> Result<DiffReport> {
        T::diff(&id, parent.as_deref(), form, sink)
    }
    fn changes(id: String, parent: Option<String>, sink: &ChangeSink) -> Result<()> {
        T::changes(&id, parent.as_deref(), sink)
    }
    fn apply_diff(
        id: String,
        parent: Option<String>,
        form: ArchiveForm,
        source: &Source,
    ) -> Result<ApplyReport> {
        T::apply_diff(&id, parent.as_deref(), form, source)
    }
    fn diff_size(id: String, parent: Option<String>) -> Result<u64> {
        T::diff_size(&id, parent.as_deref())
    }
}

/// Makes a component of a type that implements [`Driver`]. In a native program the type is only checked.
#[macro_export]
macro_rules! export_proto {
    ($driver:ident) => {
        type ExportedDriver = $crate::Exported<$driver>;
        $crate::export_proto_of!(ExportedDriver);
    };
}

/// Makes a component of a type that implements [`Driver`] and [`DiffDriver`]. In a native program the type is only checked.
#[macro_export]
macro_rules! export_full {
    ($driver:ident) => {
        type ExportedDriver = $crate::Exported<$driver>;
        $crate::export_proto_of!(ExportedDriver);
        $crate::export_diff_of!(ExportedDriver);
    };
}

/// Makes a component of a type that implements [`DiffDriver`] alone. In a native program the type is only checked.
#[macro_export]
macro_rules! export_diff {
    ($driver:ident) => {
        type ExportedDriver = $crate::Exported<$driver>;
        $crate::export_diff_of!(ExportedDriver);
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! export_proto_of {
    ($exported:ident) => {
        $crate::bindings::proto::export_proto_world!($exported with_types_in $crate::bindings::proto);
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! export_diff_of {
    ($exported:ident) => {
        $crate::bindings::diff::export_diff_world!($exported with_types_in $crate::bindings::diff);
    };
}

#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! export_proto_of {
    ($exported:ident) => {
        const _: () = $crate::is_driver::<$exported>();
    };
}

#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! export_diff_of {
    ($exported:ident) => {
        const _: () = $crate::has_diffs::<$exported>();
    };
}

/// Compiles for what a component could be made of.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub const fn is_driver<T: ProtoGuest>() {}

/// Compiles for what a component's diffs could be made of.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub const fn has_diffs<T: DiffGuest>() {}
