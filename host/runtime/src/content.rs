//! Where in its room a layer keeps its own content, as a driver says it of all its layers.
//!
//! Invariant: a name was checked before anything is looked for under it, and stands in a path as it is.

use crate::Error;
use crate::bindings::mica::driver::types as wit;
use mica_sys::Name;

/// Where a layer's own content lies: what it has beyond its parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OwnContent {
    /// In the whole room.
    #[default]
    Room,
    /// In one directory, with all files of the layer.
    Complete(Name),
    /// In directories that are stacked over those of the layers below.
    Stacked(Stack),
}

/// The directories of a layer that is stacked on others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The one that takes changes.
    pub upper: Name,
    /// Overlayfs' own.
    pub work: Name,
    /// The one with what the layer was made of.
    pub sealed: Option<Name>,
}

impl OwnContent {
    /// Checks the names that a driver gives.
    ///
    /// # Errors
    /// [`Error::Rejected`] for one that is no name, or that means two things.
    pub(crate) fn check(told: wit::OwnContent) -> Result<Self, Error> {
        let rejected = |reason| {
            let remedy = "a directory of a room has a name of one component, and each its own";
            Error::rejected(
                format!("it cannot say where its layers' content lies: {reason}"),
                remedy,
            )
        };
        let name = |told: Vec<u8>| {
            let shown = told.get(..300).unwrap_or(&told).escape_ascii();
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
            match Name::new(&told) {
                Ok(name) if told.iter().all(plain) => Ok(name),
                Ok(_) => Err(rejected(format!(
                    "`{shown}` has other characters than letters, digits, `.`, `_` and `-`"
                ))),
                Err(error) => Err(rejected(format!("name `{shown}`: {error}"))),
            }
        };
        Ok(match told {
            wit::OwnContent::Room => Self::Room,
            wit::OwnContent::Complete(told) => Self::Complete(name(told)?),
            wit::OwnContent::Stacked(wit::Stack {
                upper,
                work,
                sealed,
            }) => {
                let (upper, work) = (name(upper)?, name(work)?);
                let sealed = sealed.map(name).transpose()?;
                if upper == work || sealed.iter().any(|name| [&upper, &work].contains(&name)) {
                    return Err(rejected(format!("`{upper}` and `{work}` are not apart")));
                }
                Self::Stacked(Stack {
                    upper,
                    work,
                    sealed,
                })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_have_names_of_one_component_and_each_its_own() {
        use wit::OwnContent::{Complete, Room, Stacked};
        let stack = |upper: &str, work: &str, sealed: Option<&str>| {
            Stacked(wit::Stack {
                upper: upper.into(),
                work: work.into(),
                sealed: sealed.map(Into::into),
            })
        };
        for good in [
            Room,
            Complete(b"tree".to_vec()),
            stack("upper", "work", None),
            stack("upper", "work", Some("sealed")),
        ] {
            OwnContent::check(good).unwrap();
        }
        for bad in [
            Complete(Vec::new()),
            Complete(b"..".to_vec()),
            Complete(b"../../8/d".to_vec()),
            Complete(b"/etc".to_vec()),
            Complete(b"tree/d".to_vec()),
            Complete(vec![b'x'; 256]),
            Complete(b"a\0b".to_vec()),
            Complete(b"a:b".to_vec()),
            Complete(b"a,upperdir=b".to_vec()),
            Complete(b"a\nb".to_vec()),
            Complete("\u{e9}".into()),
            stack("a", "a", None),
            stack("a", "b", Some("a")),
            stack("a", "b", Some("b")),
            stack("a", "b", Some("..")),
        ] {
            let text = format!("{bad:?}");
            let error = OwnContent::check(bad).expect_err(&text);
            assert!(error.to_string().contains("content lies"), "{error}");
        }
    }
}
