//! The documents of an image, and what a person names it by.
//!
//! Invariant: only what Mica reads or writes is named; what is not known is passed over, and a config keeps what it has.

use crate::Digest;
use mica_text::SafeText;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The annotations that name an image: containerd's whole name, and the specification's, which is often the tag alone.
pub(crate) const FULL_NAME: &str = "io.containerd.image.name";
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The registry of names that have none, and its directory for names of one part: part of what such a name means.
const DOCKER: &str = "docker.io";
pub(crate) const DOCKER_DIRECTORY: &str = "library/";

/// What points to a blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// `index.json`, or an index within.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    #[serde(default)]
    pub(crate) manifests: Vec<Descriptor>,
}

/// What an image is made of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// One image of Docker's `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerImage {
    pub(crate) config: String,
    pub(crate) repo_tags: Option<Vec<String>>,
    pub(crate) layers: Vec<String>,
}

/// What is read of an image's config, and all else of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    #[serde(flatten)]
    pub(crate) platform: Platform,
    pub(crate) rootfs: RootFs,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// The digests of an image's layers, uncompressed, the lowest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) diff_ids: Vec<Digest>,
}

/// For what machine an image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

impl Platform {
    /// This machine.
    pub fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: None,
        }
    }

    /// Whether something for this platform is what is wanted: a variant counts only if it is asked for.
    pub(crate) fn suits(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}/{}", self.os, self.architecture);
        let text = match &self.variant {
            Some(variant) => format!("{text}/{variant}"),
            None => text,
        };
        SafeText::label(&text).as_str().fmt(formatter)
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/').map(str::to_owned);
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        match (os, architecture, parts.next()) {
            (Some(os), Some(architecture), None) if !os.is_empty() && !architecture.is_empty() => {
                Ok(Self {
                    architecture,
                    os,
                    variant,
                })
            }
            _ => Err("a platform reads like linux/amd64 or linux/arm/v7".to_owned()),
        }
    }
}

/// The name of an image, with its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    whole: String,
    tag_at: usize,
}

impl ImageName {
    /// `repository:tag`.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// With the registry, as containerd and the Dockers that have their images there know it. A name without one is Docker's.
    pub(crate) fn with_registry(&self) -> String {
        match self.whole.split_once('/') {
            Some((first, _)) if is_registry(first) => self.whole.clone(),
            Some(_) => format!("{DOCKER}/{}", self.whole),
            None => format!("{DOCKER}/{DOCKER_DIRECTORY}{}", self.whole),
        }
    }

    /// The tag alone.
    pub(crate) fn tag(&self) -> &str {
        self.whole.get(self.tag_at..).unwrap_or_default()
    }
}

/// Whether the first part of a name is a registry, by the rule of Docker's names.
pub(crate) fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
}

impl FromStr for ImageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A colon before a slash belongs to a registry's port.
        let name_at = text.rfind('/').map_or(0, |slash| slash + 1);
        let colon = text.get(name_at..).and_then(|name| name.find(':'));
        let (repository, tag) = match colon.and_then(|colon| text.split_at_checked(name_at + colon))
        {
            Some((repository, tag)) => (repository, tag.strip_prefix(':').unwrap_or(tag)),
            None => (text, "latest"),
        };
        let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/:".contains(&byte)
        };
        let is_good = (1..=255).contains(&repository.len())
            && (1..=128).contains(&tag.len())
            && repository.bytes().all(is_name)
            && repository.split('/').all(|part| !part.is_empty())
            && tag.bytes().all(is_tag)
            && !tag.starts_with(['.', '-']);
        if !is_good {
            return Err(
                "an image's name reads like base, base:1.0 or example.org/team/base:1.0".to_owned(),
            );
        }
        let tag_at = repository.len() + 1;
        Ok(Self {
            whole: format!("{repository}:{tag}"),
            tag_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_tags() {
        for (text, whole, tag, with_registry) in [
            (
                "base",
                "base:latest",
                "latest",
                "docker.io/library/base:latest",
            ),
            ("a/b:1.0", "a/b:1.0", "1.0", "docker.io/a/b:1.0"),
            (
                "host:5000/b",
                "host:5000/b:latest",
                "latest",
                "host:5000/b:latest",
            ),
            (
                "host:5000/b:v_2",
                "host:5000/b:v_2",
                "v_2",
                "host:5000/b:v_2",
            ),
        ] {
            let name: ImageName = text.parse().unwrap();
            assert_eq!((name.whole(), name.tag()), (whole, tag));
            assert_eq!(name.with_registry(), with_registry);
        }
        for bad in [
            "", ":", "a:", "A", "a b", "a//b", "/a", "a:.b", "a:b:c", "é",
        ] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_variant_counts_if_it_is_asked_for() {
        let of = |text: &str| text.parse::<Platform>().unwrap();
        assert!(of("linux/arm/v7").suits(&of("linux/arm")));
        assert!(!of("linux/arm/v7").suits(&of("linux/arm/v6")));
        assert!(!of("linux/arm64").suits(&of("linux/amd64")));
        for bad in ["linux", "/amd64", "linux/", "a/b/c/d"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_config_keeps_what_it_has() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let again: Value = serde_json::to_value(&config).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(text).unwrap());
    }
}
