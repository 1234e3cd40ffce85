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
use mica_templates::Language;

pub(super) const EXAMPLES: &str = "\
The directory holds the driver's source, a build script, the contract in `wit/`, and a README with three commands. The driver
copies every layer and passes `mica driver test`. `wit/LANGUAGES.md` tells what each language needs.

Examples:
  mica driver new my-driver --lang rust && my-driver/build.sh && mica driver test my-driver/my-driver.wasm
  mica driver new snakes --lang python --directory src/snakes";

/// Bytes of a name: the contract's.
const NAME_BYTES: usize = 64;

/// Arguments of `mica driver new`.
#[derive(Debug, clap::Args)]
pub(crate) struct NewArguments {
    /// The driver's name: lower-case letters, digits and `-`, beginning with a letter
    #[arg(value_parser = name)]
    name: String,
    /// The language: c, go, js, python or rust
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
    let found = Language::ALL.into_iter();
    let mut found = found.filter(|language| language.word() == text);
    found.next().ok_or_else(|| {
        let words: Vec<_> = Language::ALL.into_iter().map(Language::word).collect();
        format!("there are templates for {}", words.join(", "))
    })
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
    for (path, bytes) in language.files(name) {
        let file = directory.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, bytes)?;
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
}
