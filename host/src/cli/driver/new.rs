//! `mica driver new`.
//!
//! Invariant: a directory is there with all of a template or not at all, and nothing that was there before is touched.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use mica_client::{Failure, Printer};

pub(super) const EXAMPLES: &str = "\
The directory holds the driver's source, a build script, the contract in `wit/`, and a README with three commands. The driver
copies every layer and passes `mica driver test`. There are templates for rust and python; `wit/LANGUAGES.md` has what C,
JavaScript and Go need.

Examples:
  mica driver new my-driver --lang rust && my-driver/build.sh && mica driver test my-driver/my-driver.wasm
  mica driver new snakes --lang python --directory src/snakes";

/// What stands in the templates for the driver's name.
const NAME: &str = "my-driver";
/// The same in the example in Python, which is a template as it is.
const EXAMPLE_NAME: &str = "\"python\"";
/// Bytes of a name: the contract's.
const NAME_BYTES: usize = 64;

/// A file: where it lies in the directory, and what is in it.
type File = (&'static str, &'static str);

/// The files of a folder that is compiled in.
macro_rules! files {
    ($folder:literal: $($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("../../../", $folder, $file)))),*]
    };
}

/// The contract, as every template has it.
const CONTRACT: &[File] = files!("../":
    "wit/LANGUAGES.md", "wit/README.md", "wit/diff-driver.wit", "wit/proto-driver.wit", "wit/types.wit", "wit/worlds.wit",
    "wit/deps/host/btrfs.wit", "wit/deps/host/config.wit", "wit/deps/host/directory.wit",
    "wit/deps/host/filesystem.wit", "wit/deps/host/home.wit", "wit/deps/host/images.wit", "wit/deps/host/log.wit",
    "wit/deps/host/mounts.wit", "wit/deps/host/streams.wit", "wit/deps/host/types.wit",
);

const RUST: &[File] = files!("templates/rust/":
    "Cargo.toml", "README.md", "build.sh", "src/copy.rs", "src/lib.rs",
);

const PYTHON: &[File] = files!("templates/python/": "README.md", "build.sh");
const EXAMPLE: &[File] = files!("../examples/python-driver/": "driver.py");

/// A language with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    Python,
}

impl Language {
    /// The files beside the contract, under the driver's name.
    fn files(self, name: &str) -> Vec<(&'static str, String)> {
        let named = |files: &'static [File], placeholder: &'static str, name: String| {
            let named = move |(path, text): &File| (*path, text.replace(placeholder, &name));
            files.iter().map(named)
        };
        match self {
            Self::Rust => named(RUST, NAME, name.to_owned()).collect(),
            Self::Python => named(PYTHON, NAME, name.to_owned())
                .chain(named(EXAMPLE, EXAMPLE_NAME, format!("\"{name}\"")))
                .collect(),
        }
    }
}

/// Arguments of `mica driver new`.
#[derive(Debug, clap::Args)]
pub(crate) struct NewArguments {
    /// The driver's name: lower-case letters, digits and `-`, beginning with a letter
    #[arg(value_parser = name)]
    name: String,
    /// The language: rust or python
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    lang: Language,
    /// The directory to make [default: one of the driver's name, here]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > NAME_BYTES {
        return Err(format!("a driver's name has 1 to {NAME_BYTES} bytes"));
    }
    let is_word = text.starts_with(|first: char| first.is_ascii_lowercase());
    if !is_word || text.ends_with('-') || !text.bytes().all(is_part) {
        return Err("a driver's name has lower-case letters, digits and `-`, and begins with a letter: `my-driver`".to_owned());
    }
    let ships = mica_artifacts::DRIVERS.iter();
    match ships.map(|driver| driver.name).any(|name| name == text) {
        true => Err("a driver of this name ships with Mica: choose another".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn language(text: &str) -> Result<Language, String> {
    match text {
        "rust" => Ok(Language::Rust),
        "python" => Ok(Language::Python),
        "c" | "go" | "js" | "javascript" => Err(
            "there is no template for it, only for rust and python; `wit/LANGUAGES.md` has what it needs".to_owned(),
        ),
        _ => Err("there are templates for rust and python".to_owned()),
    }
}

/// Makes the directory, and says what to do next.
pub(super) fn run(printer: &Printer, arguments: NewArguments) -> Result<(), Failure> {
    let NewArguments {
        name,
        lang,
        directory,
    } = arguments;
    let directory = directory.unwrap_or_else(|| PathBuf::from(&name));
    let shown = directory.display().to_string();
    if fs::symlink_metadata(&directory).is_ok() {
        return Err(is_there(&shown));
    }
    // Beside it, so that one rename makes all of it appear.
    let staged = staged(&directory, &name);
    fs::create_dir(&staged).map_err(Failure::io(format!("make `{shown}`")))?;
    let made = write(&staged, &name, lang).and_then(|()| {
        Ok(renameat_with(
            CWD,
            &staged,
            CWD,
            &directory,
            RenameFlags::NOREPLACE,
        )?)
    });
    if let Err(error) = made {
        let _gone = fs::remove_dir_all(&staged);
        return Err(match error.kind() {
            io::ErrorKind::AlreadyExists => is_there(&shown),
            _ => Failure::io(format!("make `{shown}`"))(error),
        });
    }
    let document = json!({ "name": name, "directory": shown });
    printer.result(&document, || {
        format!("{shown}\n\n  {shown}/build.sh\n  mica driver test {shown}/{name}.wasm\n  mica driver load {shown}/{name}.wasm")
    })
}

fn is_there(shown: &str) -> Failure {
    Failure::Untrue {
        what: format!("`{shown}` is there already"),
        remedy: Some("name another directory with --directory".to_owned()),
    }
}

fn staged(directory: &Path, name: &str) -> PathBuf {
    let own = format!(".{name}.new-{}", std::process::id());
    directory.with_file_name(own)
}

fn write(directory: &Path, name: &str, language: Language) -> io::Result<()> {
    let contract = CONTRACT.iter();
    let contract = contract.map(|(path, text)| (*path, (*text).to_owned()));
    for (path, text) in language.files(name).into_iter().chain(contract) {
        let file = directory.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, text)?;
        if path.ends_with(".sh") {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_contract_and_every_tool_take() {
        for good in ["a", "my-driver", "v2", "std"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        let long = "a".repeat(65);
        for odd in [
            "", "-a", "a-", "A", "a b", "a/b", "../a", "2a", "a.b", "ü", "overlay", &long,
        ] {
            assert!(name(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn every_file_of_the_contract_is_in_a_template() {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let mut open = vec![wit.clone()];
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
            .map(|path| format!("wit/{}", path.strip_prefix(&wit).unwrap().display()))
            .collect();
        found.sort();
        let mut known: Vec<_> = CONTRACT
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .collect();
        known.sort();
        assert_eq!(found, known);
    }

    #[test]
    fn every_template_has_the_name_that_it_is_made_for() {
        for language in [Language::Rust, Language::Python] {
            let files = language.files("other-name");
            assert!(files.iter().any(|(_, text)| text.contains("other-name")));
            let all = files.iter().map(|(_, text)| text);
            assert!(all.clone().all(|text| !text.contains(NAME)));
            assert!(all.clone().all(|text| !text.contains(EXAMPLE_NAME)));
        }
    }
}
