//! A driver that lets the kernel read what a layer's option says: `index` has the bytes of an index, `archive` those of its
//! archive, both as hexadecimal digits, and `how` says what is done: with `held` the index stays open for writing, with
//! `elsewhere` another directory than a room is given, and with `late` the index is exchanged once it is mounted.
//!
//! Creating a layer always fails: with what the host answered, or with `exists` when the image was mounted.

use mica_sdk::host::directory::Directory;
use mica_sdk::host::mounts::{self, Access, Mount};
use mica_sdk::host::{home, images};
use mica_sdk::{CreateOptions, Description, Doing as _, Driver, Error, Failure, OwnContent, Result};

struct Forger;

fn option<'a>(options: &'a CreateOptions, wanted: &str) -> &'a str {
    let mut pairs = options.storage_options.iter();
    let found = pairs.find(|(key, _)| key == wanted);
    found.map_or("", |(_, value)| value.as_str())
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let text = pairs.map(|pair| std::str::from_utf8(pair).unwrap_or("0"));
    text.map(|pair| u8::from_str_radix(pair, 16).unwrap_or(0))
        .collect()
}

fn write(
    directory: &Directory,
    name: &[u8],
    bytes: &[u8],
) -> Result<mica_sdk::host::directory::File, Failure> {
    let file = directory.create_file(name, 0o600)?;
    file.write(0, bytes)?;
    Ok(file)
}

fn forge(room: &Directory, options: &CreateOptions) -> Result<(), Failure> {
    let how = option(options, "how");
    let sealed = room.create_directory(b"sealed", 0o700)?;
    drop(room.create_directory(b"image", 0o700)?);
    drop(write(
        &sealed,
        b"layer.tar",
        &bytes(option(options, "archive")),
    )?);
    let held = write(&sealed, b"layer.erofs", &bytes(option(options, "index")))?;
    if how != "held" {
        drop(held);
    }
    let top = match how {
        "elsewhere" => images::open(&sealed)?,
        _ => images::open(room)?,
    };
    if how == "late" {
        sealed.remove_file(b"layer.erofs")?;
        drop(write(&sealed, b"layer.erofs", b"something else")?);
        top.get_attributes(&[])?;
        images::open(room)?.stat(b"file", &[])?;
    }
    Ok(())
}

impl Driver for Forger {
    fn describe() -> Description {
        Description {
            name: "forger".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Writes what no kernel should read.".to_owned(),
            options: Vec::new(),
            content: OwnContent::Room,
        }
    }

    fn create(id: &str, _: Option<&str>, options: &CreateOptions) -> Result<()> {
        let staged = home::stage().doing(|| "stage")?;
        let room = staged.room().doing(|| "open the room")?;
        drop(
            room.create_directory(b"tree", 0o755)
                .doing(|| "make the tree")?,
        );
        drop(room);
        home::publish(staged, id).doing(|| "publish")?;
        if options.storage_options.is_empty() {
            return Ok(());
        }
        let room = home::open(id).doing(|| "open the room again")?;
        forge(&room, options).doing(|| "forge")?;
        Err(Error::Exists("the image was mounted".to_owned()))
    }

    fn get(id: &str, access: Access, _: Option<&str>) -> Result<Mount> {
        let room = home::open(id).doing(|| "open the room")?;
        let tree = room.open_directory(b"tree").doing(|| "open the tree")?;
        mounts::bind(&tree, access).doing(|| "bind")
    }
}

mica_sdk::export_proto!(Forger);
