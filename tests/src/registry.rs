//! A registry of images on the loopback interface, from which can only be pulled.
//!
//! Invariant: answers GET and HEAD of what it was given, and 404 to everything else; it keeps nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::image::{Blob, Image};
use crate::oci::{Asked, Said, odd_registry};

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
        let shelf: Shelf = images.iter().flat_map(|image| paths(image)).collect();
        let address = odd_registry(move |asked| answer(&shelf, asked));
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

fn answer(shelf: &Shelf, asked: &Asked) -> Said {
    let path = asked.target.split('?').next().unwrap_or_default();
    let is_read = matches!(asked.method.as_str(), "GET" | "HEAD");
    let Some(blob) = shelf.get(path).filter(|_| is_read) else {
        return Said::status(404);
    };
    let mut said = Said::bytes(blob.media_type, blob.bytes.clone());
    let digest = ("Docker-Content-Digest", blob.digest());
    said.headers.push(digest);
    said
}
