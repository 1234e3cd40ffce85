//! The rules of the house that a compiler does not know: who may import whom, how long things may be, what every
//! item of the contract must have beside it.
//!
//! Each test names every offence at once. A rule that must be broken is changed here, with its reason, in the same
//! commit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mica_tests::build::repository;

/// Lines of a file of the product, and of a file of tests.
const FILE_LINES: (usize, usize) = (400, 800);
/// Lines of a function from `fn` to the closing brace.
const FUNCTION_LINES: usize = 60;

/// Where, what must not be named there, and why.
const ROOMS: &[(&str, &[&str], &str)] = &[
    (
        "host/sys/src",
        &[
            "mica_runtime",
            "mica_engine",
            "wasmtime",
            "tokio",
            "tracing",
            "serde",
            "axum",
            "hyper",
        ],
        "raw Linux without policy, async and logging",
    ),
    (
        "host/runtime/src",
        &[
            "mica_engine",
            "axum",
            "hyper",
            "clap",
            "redb",
            "rusqlite",
            "tonic",
            "utoipa",
        ],
        "the sandbox knows nothing of stores, protocols and commands",
    ),
    (
        "host/engine/src",
        &[
            "wasmtime",
            "wasmtime_wasi",
            "hyper",
            "axum",
            "tonic",
            "nix",
            "rustix",
            "libc",
            "clap",
            "mica_sdk",
        ],
        "the domain decides; others run components, speak protocols and call the kernel",
    ),
    (
        "host/engine/src/disk",
        &["utoipa"],
        "what is told (`view`, `event.rs`) has its description beside it; nothing else has one",
    ),
    (
        "host/engine/src/drivers",
        &["utoipa"],
        "what is told (`view`, `event.rs`) has its description beside it; nothing else has one",
    ),
    (
        "host/engine/src/layers",
        &["utoipa"],
        "what is told (`view`, `event.rs`) has its description beside it; nothing else has one",
    ),
    (
        "host/engine/src/mounts",
        &["utoipa"],
        "what is told (`view`, `event.rs`) has its description beside it; nothing else has one",
    ),
    (
        "host/engine/src/snapshots",
        &["utoipa"],
        "what is told (`view`, `event.rs`) has its description beside it; nothing else has one",
    ),
    (
        "host/engine/src/store",
        &["utoipa"],
        "what is told (`view`, `event.rs`) has its description beside it; nothing else has one",
    ),
    (
        "host/src/api",
        &[
            "wasmtime", "nix", "rustix", "libc", "mica_sys", "redb", "rusqlite", "clap", "cap_std",
        ],
        "a front end calls the engine and prints",
    ),
    (
        "host/src/cli",
        &["wasmtime", "redb", "rusqlite", "mica_sys", "nix", "libc"],
        "the command line talks REST",
    ),
    (
        "host/cases/src",
        &[
            "mica_engine",
            "mica_runtime",
            "mica_sys",
            "mica_sdk",
            "mica_kit",
        ],
        "what is expected comes from plain directories, never from Mica",
    ),
    (
        "host/kit/src",
        &[
            "wasmtime",
            "axum",
            "hyper",
            "clap",
            "mica_client",
            "nix",
            "libc",
        ],
        "it plays cases on an engine and reports; the kernel is host/sys's, printing the command line's",
    ),
    (
        "host/client/src",
        &["mica_runtime", "mica_engine", "mica_sys", "nix", "libc"],
        "a client knows the daemon by REST alone",
    ),
    (
        "host/archives/src",
        &[
            "mica_client",
            "mica_runtime",
            "mica_engine",
            "mica_sys",
            "nix",
            "libc",
            "tokio",
        ],
        "archives are bytes; who sends them and who gets them is the command line's",
    ),
    (
        "host/demo/src",
        &["mica_runtime", "mica_engine", "mica_sys", "nix", "libc"],
        "the demo does what a stranger could do",
    ),
    (
        "guest-drivers/erofs-index/src",
        &["mica_sdk", "mica_erofs_check", "wit_bindgen"],
        "a writer of a format, for any program that has an allocator",
    ),
    (
        "host/erofs-check/src",
        &["std::fs", "mica_sys", "mica_runtime", "mica_sdk"],
        "bytes in, an answer out; it shares no code with the writer",
    ),
    (
        "host/zstd/src",
        &[
            "mica_runtime",
            "mica_engine",
            "nix",
            "rustix",
            "libc",
            "tokio",
        ],
        "bytes in, bytes out; the process around it is the kernel's and host/sys's",
    ),
    (
        "guest-drivers/sdk/src",
        &[
            "wasmtime",
            "mica_sys",
            "mica_runtime",
            "rustix",
            "nix",
            "libc",
        ],
        "guests are pure",
    ),
    (
        "guest-drivers/native/src",
        &[
            "wasmtime",
            "mica_sys",
            "mica_runtime",
            "mica_engine",
            "mica_sdk",
            "nix",
            "libc",
        ],
        "authors take it along, without the rest of the repository",
    ),
    (
        "tests",
        &[
            "mica_sys",
            "mica_runtime",
            "mica_engine",
            "mica_sdk",
            "mica::",
        ],
        "the tests see sockets, commands and files",
    ),
];

/// Folders of `guest-drivers` that are no drivers; every other one is.
const NO_DRIVERS: &[&str] = &["sdk", "artifacts", "erofs-index", "native"];
/// What no driver names: it has its handles and nothing else, and no other driver.
const NOT_IN_DRIVERS: &[&str] = &[
    "std::fs",
    "std::env",
    "std::thread",
    "std::net",
    "std::process",
    "wit_bindgen",
];
/// How the names of drivers' crates begin.
const DRIVER_CRATE: &str = "mica_driver_";

/// Files in which the word `unsafe` may stand: raw Linux, and the one call that takes compiled code from the cache.
const UNSAFE_ROOMS: &[&str] = &["host/sys/", "host/runtime/src/sandbox/cache.rs"];

struct Source {
    /// Path from the root of the repository.
    path: String,
    text: String,
    /// The text with comments and literals blanked.
    code: String,
}

fn files(extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(repository(), &mut found);
    let mut sources: Vec<_> = found
        .into_iter()
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let code = if extension == "rs" {
                blank(&text)
            } else {
                text.clone()
            };
            let path = path
                .strip_prefix(repository())
                .expect("below the root")
                .display()
                .to_string();
            Source { path, text, code }
        })
        .collect();
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("list a directory").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        // What is generated keeps to the rules of its generator.
        let is_ours = !["target", ".git", "generated"]
            .iter()
            .any(|other| name == *other);
        if kind.is_dir() && is_ours {
            walk(&path, found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

/// Replaces comments, strings and characters by blanks; lines stay where they are.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = literal(rest, at.checked_sub(1).map(|before| bytes[before]));
        match length {
            0 => {
                code.push(bytes[at]);
                at += 1;
            }
            length => {
                let blanked = rest[..length.min(rest.len())].iter();
                code.extend(blanked.map(|&byte| if byte == b'\n' { b'\n' } else { b' ' }));
                at += length;
            }
        }
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Bytes of the comment or literal that begins here; 0 for code.
fn literal(rest: &[u8], before: Option<u8>) -> usize {
    let find = |needle: &[u8], from: usize| {
        let found = rest[from.min(rest.len())..]
            .windows(needle.len())
            .position(|window| window == needle);
        found.map_or(rest.len(), |at| from + at + needle.len())
    };
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest {
        [b'/', b'/', ..] => find(b"\n", 0) - usize::from(rest.contains(&b'\n')),
        [b'/', b'*', ..] => find(b"*/", 2),
        [b'r', b'"' | b'#', ..] if !in_word => raw_string(rest, 1, find),
        [b'b', b'r', b'"' | b'#', ..] if !in_word => raw_string(rest, 2, find),
        [b'"', ..] => quoted(rest, 1, b'"'),
        [b'\'', b'\\', ..] => quoted(rest, 1, b'\''),
        [b'\'', _, b'\'', ..] => 3,
        _ => 0,
    }
}

fn raw_string(rest: &[u8], from: usize, find: impl Fn(&[u8], usize) -> usize) -> usize {
    let hashes = rest[from..]
        .iter()
        .take_while(|&&byte| byte == b'#')
        .count();
    if rest.get(from + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [&b"\""[..], &vec![b'#'; hashes]].concat();
    find(&end, from + hashes + 1)
}

fn quoted(rest: &[u8], from: usize, end: u8) -> usize {
    let mut at = from;
    while at < rest.len() && rest[at] != end {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Whether `word` stands in a line by itself.
fn names(line: &str, word: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let begins = !before.is_some_and(part);
        begins && (word.ends_with(':') || !after.is_some_and(part))
    })
}

#[track_caller]
fn no_offences(offences: &[String]) {
    assert!(
        offences.is_empty(),
        "{} offences:\n{}",
        offences.len(),
        offences.join("\n")
    );
}

#[test]
fn no_room_imports_what_it_must_not() {
    let mut offences = Vec::new();
    for source in files("rs") {
        for (room, words, reason) in ROOMS
            .iter()
            .filter(|(room, ..)| source.path.starts_with(room))
        {
            // Guests are drivers, and fuzz targets hold the product's parts in their hands.
            let others = ["tests/guests/", "tests/fuzz/"];
            if others.iter().any(|other| source.path.starts_with(other))
                || source.path.ends_with("tests/tidy.rs")
            {
                continue;
            }
            for (line, number) in source.code.lines().zip(1..) {
                for word in words
                    .iter()
                    .filter(|word| names(line, word) && is_path(line, word))
                {
                    offences.push(format!(
                        "{}:{number}: names {word}; {room}: {reason}",
                        source.path
                    ));
                }
            }
        }
    }
    no_offences(&offences);
}

#[test]
fn a_driver_has_its_handles_and_nothing_else() {
    let (mut offences, mut drivers) = (Vec::new(), BTreeSet::new());
    for source in files("rs") {
        let Some((folder, rest)) = source
            .path
            .strip_prefix("guest-drivers/")
            .and_then(|path| path.split_once('/'))
        else {
            continue;
        };
        if NO_DRIVERS.contains(&folder) || !rest.starts_with("src/") {
            continue;
        }
        drivers.insert(folder.to_owned());
        // Its unit tests are native programs.
        let component = source.code.split("#[cfg(test)]").next().unwrap_or("");
        for (line, number) in component.lines().zip(1..) {
            let mut words = NOT_IN_DRIVERS.iter();
            if words.any(|word| names(line, word) && is_path(line, word))
                || line.contains(DRIVER_CRATE)
            {
                offences.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(drivers.contains("vfs") && drivers.len() > 4, "{drivers:?}");
    no_offences(&offences);
}

/// A crate's name is used as a path, or in a `use` line: a field or variable of the same name is no import.
fn is_path(line: &str, word: &str) -> bool {
    let path = format!("{}::", word.trim_end_matches(':'));
    line.contains(&path) || line.trim_start().starts_with(&format!("use {word}"))
}

#[test]
fn manifests_name_only_what_the_room_may_use() {
    let rules: &[(&str, &[&str])] = &[
        (
            "host/sys/Cargo.toml",
            &["mica-", "wasmtime", "tokio", "tracing"],
        ),
        (
            "host/runtime/Cargo.toml",
            &["mica-engine", "axum", "hyper", "clap", "redb", "rusqlite"],
        ),
        (
            "host/engine/Cargo.toml",
            &[
                "wasmtime", "axum", "hyper", "nix", "rustix", "clap", "tonic",
            ],
        ),
        (
            "tests/Cargo.toml",
            &["mica-sys", "mica-runtime", "mica-engine", "mica-sdk"],
        ),
    ];
    let mut offences = Vec::new();
    for (path, words) in rules {
        let text = fs::read_to_string(repository().join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or("");
        let dependencies = dependencies
            .split("[dev-dependencies]")
            .next()
            .unwrap_or("");
        let lines = dependencies
            .lines()
            .filter(|line| words.iter().any(|word| line.starts_with(word)));
        offences.extend(lines.map(|line| format!("{path}: {line}")));
    }
    no_offences(&offences);
}

#[test]
fn unsafe_code_lives_in_one_crate() {
    let mut offences = Vec::new();
    for source in files("rs").iter().filter(|source| {
        !UNSAFE_ROOMS
            .iter()
            .any(|room| source.path.starts_with(room))
    }) {
        for (line, number) in source
            .code
            .lines()
            .zip(1..)
            .filter(|(line, _)| names(line, "unsafe"))
        {
            offences.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    no_offences(&offences);
}

#[test]
fn files_are_short() {
    let mut offences = Vec::new();
    for source in files("rs") {
        let is_test = source.path.starts_with("tests/") || source.path.contains("/tests");
        let limit = if is_test { FILE_LINES.1 } else { FILE_LINES.0 };
        // Tests in the file they test are read apart from it.
        let tests = source.text.find("\n#[cfg(test)]\nmod ");
        let counted = if is_test {
            &source.text
        } else {
            &source.text[..tests.unwrap_or(source.text.len())]
        };
        let lines = counted.lines().count();
        if lines > limit {
            offences.push(format!("{}: {lines} lines, {limit} at most", source.path));
        }
    }
    no_offences(&offences);
}

#[test]
fn functions_are_short() {
    let mut offences = Vec::new();
    for source in files("rs") {
        let lines: Vec<&str> = source.code.lines().collect();
        for (start, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| names(line, "fn"))
        {
            let length = function_length(&lines[start..]);
            if length > FUNCTION_LINES {
                offences.push(format!(
                    "{}:{}: {length} lines: {}",
                    source.path,
                    start + 1,
                    line.trim()
                ));
            }
        }
    }
    no_offences(&offences);
}

/// Lines from here to the brace that closes the first one; 0 if a declaration without a body ends before.
fn function_length(lines: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (number, line) in lines.iter().enumerate() {
        for character in line.chars() {
            match character {
                '{' => depth += 1,
                '}' if depth <= 1 => return number + 1,
                '}' => depth -= 1,
                ';' if depth == 0 => return 0,
                _ => {}
            }
        }
    }
    0
}

#[test]
fn nothing_is_left_to_be_done() {
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["unimplemented", "!"].concat(),
        ["to", "do!"].concat(),
    ];
    let mut offences = Vec::new();
    for source in files("rs")
        .into_iter()
        .chain(files("wit"))
        .chain(files("toml"))
    {
        for (line, number) in source.text.lines().zip(1..) {
            if words.iter().any(|word| line.contains(word)) && !line.contains("= \"warn\"") {
                offences.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    no_offences(&offences);
}

#[test]
fn every_item_of_the_contract_is_documented() {
    let mut offences = Vec::new();
    let sources: Vec<_> = files("wit")
        .into_iter()
        .filter(|source| source.path.starts_with("wit/"))
        .collect();
    assert!(
        sources.len() >= 12,
        "{} files of the contract",
        sources.len()
    );
    for source in sources {
        let mut documented = false;
        for (line, number) in source.text.lines().zip(1..) {
            let line = line.trim();
            if line.starts_with("///") {
                documented = line.len() > 5;
                continue;
            }
            if is_item(line) && !documented {
                offences.push(format!("{}:{number}: {line}", source.path));
            }
            documented &= line.starts_with('@');
        }
    }
    no_offences(&offences);
}

fn is_item(line: &str) -> bool {
    let first = line
        .split(|character: char| !character.is_alphanumeric() && !"-%".contains(character))
        .next();
    let word = first.unwrap_or("");
    !word.is_empty()
        && !matches!(word, "package" | "use" | "import" | "export" | "include")
        && !line.starts_with("//")
}

#[test]
fn no_file_tells_where_it_was_made() {
    let words = [
        ["/wo", "rk/"].concat(),
        ["/tmp/", "mica/"].concat(),
        ["index.", "crates.io"].concat(),
    ];
    let mut offences = Vec::new();
    for extension in ["rs", "toml", "md", "wit", "yml", "sh", "lock"] {
        for source in files(extension) {
            for (line, number) in source.text.lines().zip(1..) {
                if words.iter().any(|word| line.contains(word.as_str())) {
                    offences.push(format!("{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    let lock = fs::read_to_string(repository().join("Cargo.lock")).expect("Cargo.lock");
    let origin = [
        "source = \"registry+https://github.com/rust-lang/",
        "crates.io-index\"",
    ]
    .concat();
    let foreign = lock
        .lines()
        .filter(|line| line.starts_with("source") && *line != origin);
    offences.extend(foreign.map(|line| format!("Cargo.lock: {line}")));
    no_offences(&offences);
}

#[test]
fn modules_say_what_they_are_for() {
    let mut offences = Vec::new();
    for source in files("rs") {
        let product = ["host/", "guest-drivers/"]
            .iter()
            .any(|room| source.path.starts_with(room));
        let is_test = source.path.ends_with("tests.rs") || source.path.contains("/tests/");
        if product && !is_test && !source.text.starts_with("//!") && !source.text.starts_with("#!")
        {
            offences.push(format!("{}: no module documentation", source.path));
        }
    }
    no_offences(&offences);
}

#[test]
fn the_documents_are_there() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE",
        "wit/README.md",
        "Makefile",
    ];
    let missing = documents
        .iter()
        .filter(|path| !repository().join(path).is_file());
    no_offences(
        &missing
            .map(|path| format!("{path} is missing"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_problem_code_is_documented() {
    let sources = files("rs")
        .into_iter()
        .filter(|source| source.path.starts_with("host/engine/src/"));
    let codes: BTreeSet<String> = sources.flat_map(|source| codes(&source.text)).collect();
    assert!(
        codes.contains("invalid-archive"),
        "the table of the engine's errors was not found: {codes:?}"
    );
    let pages: String = files("md").into_iter().map(|source| source.text).collect();
    let missing = codes
        .iter()
        .filter(|code| !pages.contains(&format!("`{code}`")));
    no_offences(
        &missing
            .map(|code| format!("no page has `{code}`"))
            .collect::<Vec<_>>(),
    );
}

/// The codes of the table of errors: the first literal of each row.
fn codes(text: &str) -> Vec<String> {
    let Some(start) = text.find("\ntable! {\n") else {
        return Vec::new();
    };
    let body = &text[start..];
    let body = &body[..body.find("\n}\n").unwrap_or(body.len())];
    let rows = body.split("=>").skip(1);
    rows.filter_map(|row| row.split('"').nth(1))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_scanner_knows_literals_from_code() {
    let code = blank(
        "let a = \"fn { // \\\" }\"; // fn {\n/* { */ let c = '{'; let r = r#\"} \"{\"#; fn f<'a>() {}",
    );
    assert_eq!(code.matches('{').count(), 1, "{code}");
    assert_eq!(code.lines().count(), 2);
    assert!(
        names("use wasmtime::Engine;", "wasmtime") && !names("use wasmtime_wasi::p2;", "wasmtime")
    );
    assert_eq!(
        function_length(&["fn f()", "{", "  if a { b }", "}", "x"]),
        4
    );
    assert_eq!(function_length(&["fn f();", "fn g() {}"]), 0);
}
