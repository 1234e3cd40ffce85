//! A small HTTP/1.1 client on a unix socket: one connection a request.
//!
//! Invariant: it hides nothing. A body that ends without its last chunk or before its length is reported as such, and
//! a request may be as wrong as a test wants it.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// How long a test waits for any byte of an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a request carries.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Nothing.
    Empty,
    /// A JSON document.
    Json(&'a Value),
    /// Bytes, with their length told before.
    Bytes(&'a [u8]),
    /// Bytes in chunks of this size, without a length.
    Chunked(&'a [u8], usize),
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, without its chunks.
    pub body: Vec<u8>,
    /// Whether the body came to its proper end.
    pub complete: bool,
}

impl Response {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` for none.
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("not JSON: {error}: {}", String::from_utf8_lossy(&self.body))
        })
    }
}

/// Sends a request and reads the whole answer.
pub fn send(
    socket: &Path,
    method: &str,
    target: &str,
    extra: &[(&str, &str)],
    body: Body<'_>,
) -> io::Result<Response> {
    let mut stream = begin(socket, method, target, extra, body)?;
    // The answer may come before the body is read, and then the rest of the body finds no reader.
    let sent = write_body(&mut stream, body);
    let answer = read_response(&mut BufReader::new(stream));
    if answer.is_err() {
        sent?;
    }
    answer
}

/// Sends the head of a request and returns the connection.
pub fn begin(
    socket: &Path,
    method: &str,
    target: &str,
    extra: &[(&str, &str)],
    body: Body<'_>,
) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: mica\r\nConnection: close\r\n");
    for (name, value) in extra {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match body {
        Body::Empty => {}
        Body::Json(value) => {
            head.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                value.to_string().len()
            ));
        }
        Body::Bytes(bytes) => head.push_str(&format!("Content-Length: {}\r\n", bytes.len())),
        Body::Chunked(..) => head.push_str("Transfer-Encoding: chunked\r\n"),
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    Ok(stream)
}

fn write_body(stream: &mut UnixStream, body: Body<'_>) -> io::Result<()> {
    match body {
        Body::Empty => Ok(()),
        Body::Json(value) => stream.write_all(value.to_string().as_bytes()),
        Body::Bytes(bytes) => stream.write_all(bytes),
        Body::Chunked(bytes, size) => {
            for chunk in bytes.chunks(size) {
                write!(stream, "{:x}\r\n", chunk.len())?;
                stream.write_all(chunk)?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")
        }
    }
}

/// Reads an answer to its end.
pub fn read_response<R: Read>(reader: &mut BufReader<R>) -> io::Result<Response> {
    let mut response = read_head(reader)?;
    let body = &mut response.body;
    let chunked = response
        .headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let length = response
        .headers
        .iter()
        .find(|(name, _)| name == "content-length");
    let length: Option<u64> = length.and_then(|(_, value)| value.parse().ok());
    let ended = match (chunked, length) {
        (true, _) => read_chunks(reader, body),
        (false, Some(length)) => reader
            .take(length)
            .read_to_end(body)
            .map(|read| u64::try_from(read).ok() == Some(length)),
        (false, None) => reader.read_to_end(body).map(|_| true),
    };
    response.complete = match ended {
        Ok(complete) => complete,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
        Err(_) => false,
    };
    Ok(response)
}

/// Reads the status line and the headers.
pub fn read_head<R: Read>(reader: &mut BufReader<R>) -> io::Result<Response> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("no status in {line:?}"),
        )
    })?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Response {
        status,
        headers,
        body: Vec::new(),
        complete: true,
    })
}

/// Reads chunks; false if the last one is missing.
fn read_chunks<R: Read>(reader: &mut BufReader<R>, body: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Ok(size) = u64::from_str_radix(line.trim_end(), 16) else {
            return Ok(false);
        };
        let read = reader.by_ref().take(size).read_to_end(body)?;
        if u64::try_from(read).ok() != Some(size) {
            return Ok(false);
        }
        let mut end = [0; 2];
        reader.read_exact(&mut end)?;
        if size == 0 {
            return Ok(true);
        }
    }
}

/// Encodes bytes as one segment of a target, or one value of a query.
pub fn percent(bytes: &[u8]) -> String {
    let encode = |&byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        b'.' if bytes.iter().any(|&byte| byte != b'.') => ".".to_owned(),
        other => format!("%{other:02X}"),
    };
    bytes.iter().map(encode).collect()
}
