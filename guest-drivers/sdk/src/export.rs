use crate::bindings::proto::exports::mica::driver::proto_driver::Guest as ProtoGuest;
use crate::driver::Driver;
use crate::bindings::host_functions::mica::host::mounts::{Access, Mount};
use crate::bindings::proto::mica::driver::types::{CreateOptions, Description, Error};
impl<T: Driver> ProtoGuest for T {
    fn describe() -> Description { T::describe() }
    fn init(_o: Vec<(String, String)>) -> Result<(), Error> { Ok(()) }
    fn create(id: String, parent: Option<String>, options: CreateOptions) -> Result<(), Error> { T::create(&id, parent.as_deref(), &options) }
    fn create_read_write(id: String, parent: Option<String>, options: CreateOptions) -> Result<(), Error> { T::create(&id, parent.as_deref(), &options) }
    fn remove(_id: String) -> Result<(), Error> { Ok(()) }
    fn get(id: String, access: Access, label: Option<String>) -> Result<Mount, Error> { T::get(&id, access, label.as_deref()) }
    fn put(_id: String) -> Result<(), Error> { Ok(()) }
    fn exists(id: String) -> Result<bool, Error> { T::exists(&id) }
    fn status() -> Result<Vec<(String, String)>, Error> { Ok(vec![]) }
    fn metadata(_id: String) -> Result<Vec<(String, String)>, Error> { Ok(vec![]) }
    fn cleanup() -> Result<(), Error> { Ok(()) }
}
#[macro_export]
macro_rules! export_proto {
    ($driver:ident) => {
        $crate::bindings::proto::export_proto_world!($driver with_types_in $crate::bindings::proto);
    };
}
