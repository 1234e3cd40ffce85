//! How a component lies in a registry: the layout of the CNCF's working group for WebAssembly, as `wkg` and `oras` write it.
//!
//! Fields that are not known are left out of account, because later versions of the layout may have more of them; in a list that is written
//! again they stay.
//!
//! Invariant: a manifest that passed [`Manifest::driver_layer`] has one component and nothing else.

use crate::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The kind of a manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The kind of a list of manifests.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The kind of a component's configuration.
pub(crate) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The kind of a component.
pub(crate) const LAYER: &str = "application/wasm";
/// The kind of a configuration that says nothing, and its bytes.
pub(crate) const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");
/// The name of a component's file, for tools that write one.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";
/// The kinds that a registry is asked for, so that what is something else can be told.
pub(crate) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

const ARCHITECTURE: &str = "wasm";
const SYSTEM: &str = "wasip2";

/// Where a blob or manifest is, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// What others have written besides.
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Descriptor {
    pub(crate) fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: BTreeMap::new(),
            others: Map::new(),
        }
    }
}

/// A manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    #[serde(default)]
    pub(crate) layers: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A list of manifests, which is written again with more: what others have in it stays.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Index {
    /// One that has nothing.
    pub(crate) fn empty() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(INDEX.to_owned()),
            manifests: Vec::new(),
            others: Map::new(),
        }
    }
}

/// The kind of a document, before it is known which it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Any {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

/// The configuration of a component.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    pub(crate) architecture: String,
    pub(crate) os: String,
    pub(crate) layer_digests: Vec<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) component: Option<Facts>,
}

/// What a component exports and imports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Interfaces that it exports.
    #[serde(default)]
    pub exports: Vec<String>,
    /// Interfaces that it imports.
    #[serde(default)]
    pub imports: Vec<String>,
    /// The world that it is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// What it is instead, in words.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let wrong = || "its manifest is no JSON object".to_owned();
        // What is derived takes a list for an object, too.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(wrong());
        }
        let any: Any = serde_json::from_slice(bytes).map_err(|_no_json| wrong())?;
        let is_list = any
            .media_type
            .as_deref()
            .is_some_and(|kind| kind == INDEX || kind.contains("manifest.list"));
        if is_list || any.manifests.is_some() {
            return Err("it is a list of images for several platforms".to_owned());
        }
        serde_json::from_slice(bytes)
            .map_err(|error| format!("its manifest cannot be read: {error}"))
    }

    /// The layer with the component.
    ///
    /// # Errors
    /// What the manifest is about instead, in words.
    pub(crate) fn driver_layer(&self) -> Result<&Descriptor, String> {
        let kind = self.config.media_type.as_str();
        if kind.contains("container.image.v1+json")
            || kind == "application/vnd.oci.image.config.v1+json"
        {
            return Err("it is a container image".to_owned());
        }
        if kind != CONFIG {
            let kind = mica_text::SafeText::label(kind);
            return Err(format!(
                "its configuration is of the kind `{kind}`, not `{CONFIG}`"
            ));
        }
        match self.layers.as_slice() {
            [layer] if layer.media_type == LAYER => Ok(layer),
            [layer] => {
                let kind = mica_text::SafeText::label(&layer.media_type);
                Err(format!("its layer is of the kind `{kind}`, not `{LAYER}`"))
            }
            layers => Err(format!("it has {} layers, not one", layers.len())),
        }
    }
}

impl Config {
    /// The configuration of a component.
    pub(crate) fn of(
        component: &[u8],
        facts: Facts,
        created: String,
        author: Option<String>,
    ) -> Self {
        Self {
            created: Some(created),
            author,
            architecture: ARCHITECTURE.to_owned(),
            os: SYSTEM.to_owned(),
            layer_digests: vec![Digest::of(component)],
            component: Some(facts),
        }
    }

    /// Compares it with the layer that it should be about.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn check(&self, layer: &Digest) -> Result<(), String> {
        let said = [self.architecture.as_str(), self.os.as_str()];
        if said != [ARCHITECTURE, SYSTEM] {
            let [architecture, system] = said.map(mica_text::SafeText::label);
            return Err(format!(
                "it is for `{architecture}` and `{system}`; components are for `{ARCHITECTURE}` and `{SYSTEM}`"
            ));
        }
        match self.layer_digests.as_slice() {
            [digest] if digest == layer => Ok(()),
            _ => Err("its configuration is about another layer".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(manifest: &str) -> String {
        let zero = format!("sha256:{}", "0".repeat(64));
        let manifest = manifest.replace("ZERO", &zero);
        let manifest = Manifest::parse(manifest.as_bytes());
        let layer = manifest.and_then(|manifest| manifest.driver_layer().cloned());
        layer.map_or_else(|reason| reason, |layer| layer.media_type)
    }

    #[test]
    fn what_a_manifest_is_about_is_told() {
        let of = |config: &str, layers: &str| {
            let config = format!(r#"{{"mediaType":"{config}","digest":"ZERO","size":1}}"#);
            refusal(&format!(
                r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#
            ))
        };
        let layer = |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"ZERO","size":1}}"#);
        let good = layer(LAYER);
        assert_eq!(of(CONFIG, &good), LAYER);
        assert!(of(CONFIG, "").contains("0 layers"));
        assert!(of(CONFIG, &format!("{good},{good}")).contains("2 layers"));
        assert!(of(CONFIG, &layer("text/plain")).contains("text/plain"));
        assert!(
            of("application/vnd.oci.image.config.v1+json", &good).contains("a container image")
        );
        assert!(
            of("application/vnd.docker.container.image.v1+json", &good)
                .contains("a container image")
        );
        assert!(of("application/json\\u001b", &good).contains(r"application/json\u{1b}"));
    }

    #[test]
    fn what_is_no_manifest_is_told() {
        for (text, reason) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            (r#"{"schemaVersion":2,"manifests":[]}"#, "a list of images"),
            (r#"{"schemaVersion":1}"#, "missing field"),
        ] {
            let found = refusal(text);
            assert!(found.contains(reason), "{text}: {found}");
        }
    }

    #[test]
    fn a_list_keeps_what_others_have_written() {
        let digest = Digest::of(b"").to_string();
        let list = serde_json::json!({
            "schemaVersion": 2, "mediaType": INDEX, "annotations": { "a": "b" },
            "manifests": [{
                "mediaType": MANIFEST, "digest": digest, "size": 0, "urls": ["a"], "platform": { "os": "b" },
            }],
        });
        let read: Index = serde_json::from_value(list.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), list);
        assert!(serde_json::from_str::<Index>("[2, null, []]").is_err());
    }

    #[test]
    fn a_configuration_is_about_its_layer() {
        let config = Config::of(
            b"component",
            Facts::default(),
            "2026-01-01T00:00:00Z".to_owned(),
            None,
        );
        config.check(&Digest::of(b"component")).unwrap();
        assert!(config.check(&Digest::of(b"other")).is_err());
        let module = Config {
            os: "wasip1".to_owned(),
            ..config
        };
        let refusal = module.check(&Digest::of(b"component")).unwrap_err();
        assert!(refusal.contains("wasip1"), "{refusal}");
    }
}
