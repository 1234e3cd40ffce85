//! Is the code for containerd's protocols, which the repository keeps, what their definitions give?
//!
//! `UPDATE_PROTOCOLS=1 cargo nextest run --workspace --test protocols` writes it anew, after a change of a definition or
//! another version of tonic.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mica_tests::build::repository;

/// The files of a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).expect("list the folder");
    let read = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = fs::read_to_string(&path).expect("read the file");
        (name.into_owned(), text)
    });
    read.collect()
}

#[test]
fn the_code_that_is_kept_is_what_the_definitions_give() {
    let kept = repository().join("host/proto/generated");
    let given = files(&Path::new(env!("OUT_DIR")).join("product"));
    assert!(!given.is_empty(), "the build script generates something");
    if std::env::var_os("UPDATE_PROTOCOLS").is_some() {
        for name in files(&kept)
            .keys()
            .filter(|name| !given.contains_key(*name))
        {
            fs::remove_file(kept.join(name)).expect("remove the file");
        }
        for (name, text) in &given {
            fs::write(kept.join(name), text).expect("write the file");
        }
    }
    let found = files(&kept);
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&given));
    for (name, text) in given {
        assert!(
            found[&name] == text,
            "host/proto/generated/{name} is not what the definitions give: UPDATE_PROTOCOLS=1"
        );
    }
}
