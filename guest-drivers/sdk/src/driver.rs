//! The traits that a driver implements.
//!
//! Invariant: a default method does what the host's records already know, and nothing else.

use crate::bindings::host_functions::mica::host::home;
use crate::bindings::host_functions::mica::host::mounts::{Access, Mount};
use crate::bindings::proto::mica::driver::types::{CreateOptions, Description, Error};

pub trait Driver {
    fn describe() -> Description;
    fn create(id: &str, parent: Option<&str>, options: &CreateOptions) -> Result<(), Error>;
    fn get(id: &str, access: Access, label: Option<&str>) -> Result<Mount, Error>;
    fn exists(id: &str) -> Result<bool, Error> { Ok(home::exists(id).unwrap_or(false)) }
}
