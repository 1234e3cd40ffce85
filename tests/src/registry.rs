//! A registry of images on the loopback interface, from which can only be pulled.
//!
//! Invariant: answers GET and HEAD of what it was given, and 404 to everything else; it keeps nothing.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::image::{Blob, Image};

/// A registry; it ends with the process.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
}

/// What it has, by path.
type Shelf = BTreeMap<String, Blob>;

impl Registry {
    /// Offers images.
    pub fn serve(images: &[&Image]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a port");
        let address = listener.local_addr().expect("an address");
        let shelf: Arc<Shelf> = Arc::new(images.iter().flat_map(|image| paths(image)).collect());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shelf = Arc::clone(&shelf);
                // A client that goes away gets no answer.
                thread::spawn(move || answer(&shelf, stream).ok());
            }
        });
        Self { address }
    }

    /// The name by which a client pulls an image.
    pub fn reference(&self, image: &Image) -> String {
        format!("{}/{}:latest", self.address, image.name)
    }
}

fn paths(image: &Image) -> Vec<(String, Blob)> {
    let place = |kind: &str, reference: &str| format!("/v2/{}/{kind}/{reference}", image.name);
    let manifest = &image.manifest;
    let mut paths = vec![
        (place("manifests", "latest"), manifest.clone()),
        (place("manifests", &manifest.digest()), manifest.clone()),
        (place("blobs", &image.config.digest()), image.config.clone()),
    ];
    let layers = image.layers.iter();
    paths.extend(layers.map(|layer| (place("blobs", &layer.digest()), layer.clone())));
    paths
}

fn answer(shelf: &Shelf, mut stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let Some(blob) = shelf
        .get(path)
        .filter(|_| matches!(method, Some("GET" | "HEAD")))
    else {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\nConnection: close\r\n\r\n",
        blob.media_type,
        blob.bytes.len(),
        blob.digest()
    );
    stream.write_all(head.as_bytes())?;
    if method == Some("GET") {
        stream.write_all(&blob.bytes)?;
    }
    Ok(())
}
