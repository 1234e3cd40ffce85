//! A driver that makes the host calls which its input spells, in any order and with any arguments.
//!
//! `create` plays the option `program` (hexadecimal), `apply-diff` the bytes of its source, both up to the first byte
//! that is missing. What the host answers is ignored: the fuzz target looks at the host.
//!
//! Invariant: uses the contract alone, as a stranger's driver does.

mod hands;
mod program;

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "package mica:player; world player { include mica:driver/all-host-functions@1.0.0; include mica:driver/full@1.0.0; }",
    world: "mica:player/player",
    generate_all,
});

use exports::mica::driver::diff_driver::{self, ApplyReport, ArchiveForm, DiffReport};
use exports::mica::driver::proto_driver::{self, Access, CreateOptions, Description, Error, Mount};
use hands::Hands;
use mica::driver::types::{HostFailure, OwnContent};
use mica::host::types::Failure;
use mica::host::{home, mounts, streams};
use program::Program;

/// Bytes of the longest program.
const MOST: u32 = 64 << 10;

struct Player;

fn failed(failure: Failure) -> Error {
    Error::Host(HostFailure {
        doing: "play".to_owned(),
        failure,
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

impl proto_driver::Guest for Player {
    fn describe() -> Description {
        Description {
            name: "player".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Makes the host calls that its input spells.".to_owned(),
            options: Vec::new(),
            content: OwnContent::Complete(b"a".to_vec()),
        }
    }

    fn init(_options: Vec<(String, String)>) -> Result<(), Error> {
        Ok(())
    }

    fn create(id: String, _parent: Option<String>, options: CreateOptions) -> Result<(), Error> {
        let staged = home::stage().map_err(failed)?;
        let room = staged.room().map_err(failed)?;
        let mut hands = Hands::default();
        hands.directories.push(room);
        hands.staged.push(staged);
        if let Some((_, text)) = options.storage_options.first() {
            hands.play(&mut Program::new(&unhex(text)), &id, None);
        }
        match hands.staged.pop() {
            Some(staged) => home::publish(staged, &id).map_err(failed),
            None => Ok(()),
        }
    }

    fn create_read_write(
        id: String,
        parent: Option<String>,
        options: CreateOptions,
    ) -> Result<(), Error> {
        Self::create(id, parent, options)
    }

    fn remove(id: String) -> Result<(), Error> {
        home::discard(&id).map_err(failed)
    }

    fn get(id: String, access: Access, _label: Option<String>) -> Result<Mount, Error> {
        let room = home::open(&id).map_err(failed)?;
        let tree = room.open_directory(b"a").map_err(failed)?;
        mounts::bind(&tree, access).map_err(failed)
    }

    fn put(_id: String) -> Result<(), Error> {
        Ok(())
    }

    fn exists(id: String) -> Result<bool, Error> {
        home::exists(&id).map_err(failed)
    }

    fn status() -> Result<Vec<(String, String)>, Error> {
        Ok(Vec::new())
    }

    fn metadata(_id: String) -> Result<Vec<(String, String)>, Error> {
        Ok(Vec::new())
    }

    fn cleanup() -> Result<(), Error> {
        Ok(())
    }
}

impl diff_driver::Guest for Player {
    fn diff(
        _id: String,
        _parent: Option<String>,
        _form: ArchiveForm,
        _sink: &streams::Sink,
    ) -> Result<DiffReport, Error> {
        Err(Error::NotSupported("it has no archives".to_owned()))
    }

    fn changes(
        _id: String,
        _parent: Option<String>,
        _changes: &streams::ChangeSink,
    ) -> Result<(), Error> {
        Err(Error::NotSupported("it has no changes".to_owned()))
    }

    fn apply_diff(
        id: String,
        _parent: Option<String>,
        _form: ArchiveForm,
        source: &streams::Source,
    ) -> Result<ApplyReport, Error> {
        let program = source.read(MOST).map_err(failed)?;
        let mut hands = Hands::default();
        hands.directories.push(home::open(&id).map_err(failed)?);
        hands.play(&mut Program::new(&program), &id, Some(source));
        Ok(ApplyReport {
            size_bytes: 0,
            entries: 0,
            xattrs_skipped: 0,
            first_left_out: Vec::new(),
        })
    }

    fn diff_size(_id: String, _parent: Option<String>) -> Result<u64, Error> {
        Ok(u64::MAX)
    }
}

export!(Player);
