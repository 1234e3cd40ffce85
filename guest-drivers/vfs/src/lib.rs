use mica_sdk::bindings::host_functions::mica::host::{home, mounts::{self, Access, Mount}};
use mica_sdk::bindings::proto::mica::driver::types::*;
struct Vfs;
impl mica_sdk::Driver for Vfs {
    fn describe() -> Description { Description { name: "vfs".into(), version: "0".into(), summary: "".into(), options: vec![] } }
    fn create(_id: &str, _parent: Option<&str>, _options: &CreateOptions) -> Result<(), Error> { Ok(()) }
    fn get(id: &str, access: Access, _label: Option<&str>) -> Result<Mount, Error> { let d = home::open(id).unwrap(); Ok(mounts::bind(&d, access).unwrap()) }
}
mica_sdk::export_proto!(Vfs);
