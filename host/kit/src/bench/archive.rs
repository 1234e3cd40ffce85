//! The archive that is applied where none is given.
//!
//! Invariant: the same bytes in every run of a build.

use mica_cases::archive::archive;

/// Bytes of an archive that can be given: it and what comes of it lie in memory, once for each side.
pub const MOST_BYTES: u64 = 1 << 30;

/// How many directories, files in each, bytes in each file, and bytes of one large file.
struct Shape {
    directories: u32,
    files: u32,
    bytes: u32,
    large: u32,
}

const USUAL: Shape = Shape {
    directories: 40,
    files: 25,
    bytes: 4 << 10,
    large: 8 << 20,
};
const QUICK: Shape = Shape {
    directories: 5,
    files: 10,
    bytes: 1 << 10,
    large: 256 << 10,
};

/// Makes the archive.
pub(super) fn generated(is_quick: bool) -> Vec<u8> {
    let shape = if is_quick { QUICK } else { USUAL };
    let mut script = String::new();
    for directory in 0..shape.directories {
        script.push_str(&format!("d d{directory:02}\n"));
        for file in 0..shape.files {
            let bytes = shape.bytes;
            script.push_str(&format!("f d{directory:02}/f{file:02} fill={bytes}\n"));
        }
    }
    script.push_str(&format!("f large fill={}\n", shape.large));
    archive(&script)
}
