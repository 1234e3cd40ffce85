//! One request to a daemon's REST socket, as any client makes it.
//!
//! Invariant: an answer is read to its end and must be a success.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The layers of the default store.
pub(crate) const LAYERS: &str = "/v1/stores/default/layers";

/// Bytes of an answer that are looked at: its head, or a short document.
const HEAD_BYTES: usize = 4096;

/// Sends a request with a body of known length; the first bytes of the answer, head and all.
pub(crate) fn request(
    socket: &Path,
    head: &str,
    length: u64,
    body: &mut dyn Read,
) -> Result<String> {
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("connect for `{head}`"))?;
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: mica\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )?;
    // Who refuses a body does not read it to its end, and says why.
    let sent = io::copy(body, &mut stream);
    let mut answer = Vec::with_capacity(HEAD_BYTES);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        let room = HEAD_BYTES.saturating_sub(answer.len()).min(read);
        answer.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    ensure!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 2"),
        "`{head}`: {answer}"
    );
    sent.with_context(|| format!("send the body of `{head}`"))?;
    ensure!(!answer.is_empty(), "`{head}` has no answer");
    Ok(answer)
}

/// The same with a JSON document.
pub(crate) fn json(socket: &Path, head: &str, document: &str) -> Result<String> {
    request(
        socket,
        head,
        document.len() as u64,
        &mut document.as_bytes(),
    )
}

/// Makes a layer.
pub(crate) fn create(socket: &Path, id: &str, parent: Option<&str>) -> Result<()> {
    let parent = parent.map_or_else(String::new, |parent| format!(r#","parent":"{parent}""#));
    json(
        socket,
        &format!("POST {LAYERS}"),
        &format!(r#"{{"id":"{id}"{parent}}}"#),
    )
    .map(drop)
}

/// Mounts a layer; where.
pub(crate) fn mount(socket: &Path, id: &str) -> Result<PathBuf> {
    let answer = json(
        socket,
        &format!("POST {LAYERS}/{id}/mount"),
        r#"{"access":"read-write"}"#,
    )?;
    let path = answer
        .split_once(r#""path":""#)
        .and_then(|(_, rest)| rest.split('"').next());
    Ok(PathBuf::from(path.context("no path in the answer")?))
}

/// Unmounts a layer.
pub(crate) fn unmount(socket: &Path, id: &str) -> Result<()> {
    json(socket, &format!("POST {LAYERS}/{id}/unmount"), "").map(drop)
}

/// Removes a layer.
pub(crate) fn remove(socket: &Path, id: &str) -> Result<()> {
    json(socket, &format!("DELETE {LAYERS}/{id}"), "").map(drop)
}

/// Applies an archive in a file to a layer.
pub(crate) fn put(socket: &Path, id: &str, archive: &Path) -> Result<()> {
    let mut archive = File::open(archive)?;
    let length = archive.metadata()?.len();
    request(
        socket,
        &format!("PUT {LAYERS}/{id}/diff"),
        length,
        &mut archive,
    )
    .map(drop)
}

/// Reads what a layer is more than its parent, and throws it away.
pub(crate) fn get(socket: &Path, id: &str) -> Result<()> {
    json(socket, &format!("GET {LAYERS}/{id}/diff"), "").map(drop)
}
