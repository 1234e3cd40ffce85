//! Which of the images of an archive is meant.
//!
//! Invariant: an archive is never guessed at: where more than one image suits, the answer is an error that lists them.

use crate::documents::{
    DOCKER_DIRECTORY, DOCKER_INDEX, Descriptor, DockerImage, FULL_NAME, INDEX, Index, Platform,
    REF_NAME, is_registry,
};
use crate::file::ImageFile;
use crate::image::Wanted;
use crate::{Error, Result};
use mica_text::SafeText;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// How deep indexes may lie in indexes: the specification allows any depth, tools write one.
const MOST_DEPTH: usize = 3;
/// Images that an archive may list, and indexes in its index: a large one has dozens.
const MOST_IMAGES: usize = 1000;
const MOST_INDEXES: usize = 64;
/// Images that are listed to choose from.
const MOST_LISTED: usize = 10;

/// An image that may be meant.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) names: Vec<String>,
    pub(crate) manifest: Descriptor,
}

/// Those that have a name, by what `names` tells of each; if there are none, those that have it at some registry, because Docker
/// writes its own registry's name before what its user typed. The others come second.
fn called<T>(all: Vec<T>, wanted: &str, names: impl Fn(&T) -> Vec<String>) -> (Vec<T>, Vec<T>) {
    let has = |one: &T| names(one).iter().any(|name| name == wanted);
    let (exact, others): (Vec<_>, Vec<_>) = all.into_iter().partition(has);
    if !exact.is_empty() {
        return (exact, others);
    }
    let has = |one: &T| names(one).iter().any(|name| is_short_for(wanted, name));
    others.into_iter().partition(has)
}

/// Whether a name is another one without its registry, and without the directory of that registry for names of one part.
fn is_short_for(short: &str, name: &str) -> bool {
    let Some((registry, path)) = name.split_once('/') else {
        return false;
    };
    is_registry(registry) && (path == short || path.strip_prefix(DOCKER_DIRECTORY) == Some(short))
}

/// Reads a document of JSON.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (name, error) = (SafeText::label(name), error.to_string());
        Error::Malformed(format!("`{name}`: {}", SafeText::line(&error)))
    })
}

/// The image that is meant among those of an OCI index.
pub(crate) fn of_index(file: &ImageFile, index: Index, wanted: &Wanted) -> Result<Candidate> {
    let mut candidates = Vec::new();
    let mut indexes = 0;
    gather(file, index, &[], (0, &mut indexes), &mut candidates)?;
    let names = |one: &Candidate| one.names.clone();
    if let Some(name) = &wanted.name {
        let (called, others) = called(candidates, name, names);
        if called.is_empty() {
            return Err(not_there(name, others.iter().flat_map(names)));
        }
        candidates = called;
    }
    // One image may have several names, and several manifests.
    let all: BTreeSet<_> = candidates.iter().map(names).collect();
    if all.len() > 1 {
        return Err(several(all.into_iter().flatten()));
    }
    by_platform(candidates, wanted.platform.as_ref())
}

fn by_platform(mut candidates: Vec<Candidate>, wanted: Option<&Platform>) -> Result<Candidate> {
    if wanted.is_none() && candidates.len() == 1 {
        return Ok(candidates.swap_remove(0));
    }
    let here = Platform::here();
    let (platform, is_asked) = wanted.map_or((&here, false), |wanted| (wanted, true));
    let known = |one: &Candidate| one.manifest.platform.clone();
    let all: BTreeSet<_> = candidates
        .iter()
        .filter_map(known)
        .map(|one| one.to_string())
        .collect();
    candidates.retain(|one| known(one).is_none_or(|has| has.suits(platform)));
    match (candidates.pop(), candidates.pop()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Error::Choice {
            what: format!("the archive has no image for {platform}"),
            remedy: match all.is_empty() {
                true => "make an archive of an image".to_owned(),
                false => format!("`--platform` takes one of: {}", listed(all)),
            },
        }),
        (Some(_), Some(_)) => Err(Error::Choice {
            what: format!("the archive has more than one image for {platform}"),
            remedy: match is_asked {
                true => "make an archive of one image".to_owned(),
                false => format!("say which by `--platform`, one of: {}", listed(all)),
            },
        }),
    }
}

/// All manifests of an index and of the indexes in it, with the names that the outermost gives.
fn gather(
    file: &ImageFile,
    index: Index,
    names: &[String],
    (depth, indexes): (usize, &mut usize),
    into: &mut Vec<Candidate>,
) -> Result<()> {
    for descriptor in index.manifests {
        // What a builder says of how an image was built is listed like an image.
        if descriptor
            .annotations
            .contains_key("vnd.docker.reference.type")
        {
            continue;
        }
        let own = [FULL_NAME, REF_NAME]
            .iter()
            .filter_map(|key| descriptor.annotations.get(*key).cloned());
        let own: Vec<String> = own.collect();
        let names = if own.is_empty() { names } else { &own };
        if [INDEX, DOCKER_INDEX].contains(&descriptor.media_type.as_str()) {
            *indexes += 1;
            if depth == MOST_DEPTH || *indexes > MOST_INDEXES {
                return Err(Error::Malformed(
                    "there are too many indexes in the index, or they lie too deep".to_owned(),
                ));
            }
            let name = descriptor.digest.to_string();
            // An archive for one platform has the whole image's index and not the others' manifests.
            let bytes = file.checked(&descriptor)?;
            let inner: Index = json(&bytes, &name)?;
            gather(file, inner, names, (depth + 1, indexes), into)?;
        } else if into.len() == MOST_IMAGES {
            return Err(Error::Malformed(format!(
                "the archive lists more than {MOST_IMAGES} images"
            )));
        } else {
            into.push(Candidate {
                names: names.to_vec(),
                manifest: descriptor,
            });
        }
    }
    Ok(())
}

/// The image that is meant among those of Docker's `manifest.json`.
pub(crate) fn of_docker(images: Vec<DockerImage>, wanted: &Wanted) -> Result<DockerImage> {
    let tags = |one: &DockerImage| one.repo_tags.clone().unwrap_or_default();
    let (mut suiting, others) = match &wanted.name {
        Some(name) => called(images, name, tags),
        None => (images, Vec::new()),
    };
    match (suiting.pop(), suiting.pop()) {
        (Some(only), None) => Ok(only),
        (Some(one), Some(two)) => Err(several(
            [one, two]
                .into_iter()
                .chain(suiting)
                .flat_map(|one| tags(&one)),
        )),
        (None, _) => match &wanted.name {
            Some(name) => Err(not_there(name, others.iter().flat_map(tags))),
            None => Err(Error::Malformed(
                "`manifest.json` lists no image".to_owned(),
            )),
        },
    }
}

fn several(names: impl Iterator<Item = String>) -> Error {
    Error::Choice {
        what: "the archive has more than one image".to_owned(),
        remedy: format!("say which by `--image`, one of: {}", listed(names)),
    }
}

fn not_there(name: &str, names: impl Iterator<Item = String>) -> Error {
    let names = listed(names);
    Error::Choice {
        what: format!("the archive has no image `{}`", SafeText::label(name)),
        remedy: match names.is_empty() {
            true => "its images have no names: leave out `--image`".to_owned(),
            false => format!("it has: {names}"),
        },
    }
}

fn listed(names: impl IntoIterator<Item = String>) -> String {
    let names: BTreeSet<_> = names.into_iter().collect();
    let mut shown: Vec<String> = names
        .iter()
        .take(MOST_LISTED)
        .map(|name| SafeText::label(name).to_string())
        .collect();
    if names.len() > MOST_LISTED {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_short_unless_one_fits_exactly() {
        for (short, name, is_short) in [
            ("a/b:1", "registry.example/a/b:1", true),
            ("b:1", "registry.example/library/b:1", true),
            ("b:1", "localhost:5000/b:1", true),
            ("b:1", "localhost/b:1", true),
            ("b:1", "team/b:1", false),
            ("b:1", "registry.example/team/b:1", false),
            ("b:1", "registry.example/b:2", false),
            ("b:1", "b:1", false),
        ] {
            assert_eq!(is_short_for(short, name), is_short, "{short} {name}");
        }
        let names = |one: &&str| vec![(*one).to_owned()];
        let all = vec!["x.example/a:1", "y.example/a:1", "a:1", "b:1"];
        let (exact, others) = called(all.clone(), "a:1", names);
        assert_eq!((exact, others.len()), (vec!["a:1"], 3));
        let all = all.into_iter().filter(|name| *name != "a:1").collect();
        let (short, others) = called(all, "a:1", names);
        assert_eq!(short, ["x.example/a:1", "y.example/a:1"]);
        assert_eq!(others, ["b:1"]);
    }
}
