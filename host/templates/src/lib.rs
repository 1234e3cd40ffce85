//! What `mica driver new` writes, compiled in.
//!
//! Invariant: every template builds with its own script, and what comes of it passes `mica driver test`; a test does both.

/// A file: its path in the directory that is made, and its bytes.
type File = (&'static str, &'static [u8]);

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// What stands in the templates for the driver's name.
const NAME: &str = "my-driver";
/// The same in the example in Python, which is a template as it is.
const EXAMPLE_NAME: &str = "\"python\"";

/// The files of a folder of this crate's, or beside it; `as` says where they go, if not to the top.
macro_rules! files {
    ($folder:literal as $target:literal: $($file:literal),* $(,)?) => {
        &[$((concat!($target, $file), include_bytes!(concat!("../", $folder, $file)))),*]
    };
    ($folder:literal: $($file:literal),* $(,)?) => {
        &[$(($file, include_bytes!(concat!("../", $folder, $file)))),*]
    };
}

/// The contract, as every template has it.
const CONTRACT: &[File] = files!("../../":
    "wit/LANGUAGES.md", "wit/README.md", "wit/diff-driver.wit", "wit/proto-driver.wit", "wit/types.wit", "wit/worlds.wit",
    "wit/deps/host/btrfs.wit", "wit/deps/host/config.wit", "wit/deps/host/directory.wit",
    "wit/deps/host/filesystem.wit", "wit/deps/host/home.wit", "wit/deps/host/images.wit", "wit/deps/host/log.wit",
    "wit/deps/host/mounts.wit", "wit/deps/host/streams.wit", "wit/deps/host/types.wit",
);

const RUST: &[File] = files!("rust/": "Cargo.toml", "README.md", "build.sh", "manifest.toml", "src/copy.rs", "src/lib.rs");
/// The host for `cargo test`, which no registry has; its manifest is the template's own.
const NATIVE: &[File] = files!("../../guest-drivers/native/" as "vendor/mica-native/":
    "src/generated.rs", "src/host/attributes.rs", "src/host/btrfs.rs", "src/host/config.rs",
    "src/host/directory.rs", "src/host/failure.rs", "src/host/file.rs", "src/host/filesystem.rs",
    "src/host/home.rs", "src/host/images.rs", "src/host/log.rs", "src/host/mod.rs", "src/host/mounts.rs",
    "src/host/streams.rs", "src/lib.rs", "src/store/mod.rs", "src/store/operation.rs", "src/store/rooms.rs",
);
const NATIVE_MANIFEST: &[File] = files!("native/" as "vendor/mica-native/": "Cargo.toml");
const C: &[File] =
    files!("c/": "README.md", "build.sh", "manifest.toml", "copy.c", "driver.c", "driver.h");
const GO: &[File] = files!("go/":
    "README.md", "build.sh", "manifest.toml", "export_mica_driver_proto_driver/copy.go", "export_mica_driver_proto_driver/driver.go",
);
const JAVASCRIPT: &[File] = files!("js/": "README.md", "build.sh", "manifest.toml", "driver.js");
const PYTHON: &[File] = files!("python/": "README.md", "build.sh", "manifest.toml");
const PYTHON_EXAMPLE: &[File] = files!("../../examples/python-driver/": "driver.py");

/// A language with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Clang and wasi-libc.
    C,
    /// Go, by its own compiler.
    Go,
    /// QuickJS, by componentize-qjs.
    JavaScript,
    /// CPython, by componentize-py.
    Python,
    /// The target `wasm32-wasip2`.
    Rust,
}

impl Language {
    /// All of them, by the alphabet.
    pub const ALL: [Self; 5] = [
        Self::C,
        Self::Go,
        Self::JavaScript,
        Self::Python,
        Self::Rust,
    ];

    /// The word for it on a command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Go => "go",
            Self::JavaScript => "js",
            Self::Python => "python",
            Self::Rust => "rust",
        }
    }

    /// A new driver's directory: paths and contents, the contract included.
    pub fn files(self, name: &str) -> Vec<(&'static str, Vec<u8>)> {
        let named = |files: &'static [File], placeholder: &'static str, name: String| {
            let named = move |(path, bytes): &File| (*path, replaced(bytes, placeholder, &name));
            files.iter().map(named)
        };
        let as_it_is =
            |files: &'static [File]| files.iter().map(|(path, bytes)| (*path, bytes.to_vec()));
        let own = match self {
            Self::C => named(C, NAME, name.to_owned())
                .chain(as_it_is(C_BINDINGS))
                .collect(),
            Self::Go => named(GO, NAME, name.to_owned())
                .chain(as_it_is(GO_BINDINGS))
                .collect(),
            Self::JavaScript => named(JAVASCRIPT, NAME, name.to_owned()).collect(),
            Self::Python => named(PYTHON, NAME, name.to_owned())
                .chain(named(PYTHON_EXAMPLE, EXAMPLE_NAME, format!("\"{name}\"")))
                .collect(),
            Self::Rust => named(RUST, NAME, name.to_owned())
                .chain(as_it_is(NATIVE))
                .chain(as_it_is(NATIVE_MANIFEST))
                .collect::<Vec<_>>(),
        };
        own.into_iter().chain(as_it_is(CONTRACT)).collect()
    }
}

fn replaced(bytes: &[u8], placeholder: &str, name: &str) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).expect("a template is text");
    text.replace(placeholder, name).into_bytes()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The files below a directory, as paths from `from`.
    fn below(directory: &Path, from: &Path) -> Vec<String> {
        let mut open = vec![directory.to_owned()];
        let mut found = Vec::new();
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => open.push(entry.path()),
                    false => found.push(entry.path()),
                }
            }
        }
        let mut found: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(from).unwrap().display().to_string())
            .collect();
        found.sort();
        found
    }

    #[test]
    fn every_file_of_the_contract_is_in_a_template() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let found = below(&repository.join("wit"), &repository);
        let mut known: Vec<_> = CONTRACT
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .collect();
        known.sort();
        assert_eq!(found, known);
    }

    #[test]
    fn every_file_of_the_native_host_is_in_the_template_in_rust() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-drivers/native");
        let mut known: Vec<_> = NATIVE
            .iter()
            .map(|(path, _)| path.replacen("vendor/mica-native/", "", 1))
            .collect();
        known.sort();
        assert_eq!(known, below(&source.join("src"), &source));
    }

    #[test]
    fn every_template_has_the_name_that_it_is_made_for() {
        for language in Language::ALL {
            let files = language.files("other-name");
            let has = |bytes: &[u8], part: &str| {
                bytes
                    .windows(part.len())
                    .any(|window| window == part.as_bytes())
            };
            assert!(files.iter().any(|(_, bytes)| has(bytes, "other-name")));
            assert!(files.iter().all(|(_, bytes)| !has(bytes, NAME)));
            assert!(files.iter().all(|(_, bytes)| !has(bytes, EXAMPLE_NAME)));
        }
    }
}
