//! Which cases a place cannot play, and why.
//!
//! Invariant: decided from what stands in a case and what the place can do, never from what came of it.

use crate::stage::Facts;
use mica_cases::{Archive, History, script};

/// Why a history cannot be played here.
pub(crate) fn of_history(history: &History, facts: Facts) -> Option<String> {
    if facts.stacked && history.steps.iter().skip(1).any(|step| links_below(step)) {
        // It encodes no file handles without CAP_DAC_READ_SEARCH in the first user namespace.
        let text =
            "overlayfs of a user namespace gives a lower file and its new name two inode numbers";
        return Some(text.to_owned());
    }
    of_scripts(history.steps.iter().map(String::as_str), facts)
}

/// Whether a script gives another name to a file that it has not made.
fn links_below(step: &str) -> bool {
    let lines = script::parse(step);
    let made = |path: &[u8]| {
        lines
            .iter()
            .any(|line| line.verb != "h" && line.path == path)
    };
    let mut links = lines.iter().filter(|line| line.verb == "h");
    links.any(|line| line.field("to").is_some_and(|to| !made(to)))
}

/// Why an archive cannot be played here.
pub(crate) fn of_archive(case: &Archive, facts: Facts) -> Option<String> {
    if let Some(code) = case.code.as_deref().filter(|code| *code == "no-space") {
        return Some(format!("`{code}` wants a file system of a certain size"));
    }
    let scripts = [case.base.as_deref(), case.tree.as_deref()];
    let scripts = scripts.into_iter().flatten();
    of_scripts(scripts.chain([case.archive.as_str()]), facts)
}

fn of_scripts<'a>(scripts: impl Iterator<Item = &'a str>, facts: Facts) -> Option<String> {
    let mut lines = scripts.flat_map(script::parse);
    lines.find_map(|line| of_line(&line, facts))
}

fn of_line(line: &script::Line, facts: Facts) -> Option<String> {
    if matches!(line.verb.as_str(), "c" | "b") {
        return Some("a user namespace has no device nodes".to_owned());
    }
    let pax = |key: &str| line.field(&format!("pax:{key}")).is_some();
    let owned = line.pair("own").is_some_and(|pair| pair != (0, 0));
    let owned = owned || pax("uid") || pax("gid");
    let raw = ["octal:uid", "octal:gid"].iter();
    let owned = owned || raw.into_iter().any(|key| line.field(key).is_some());
    if owned && !facts.any_owner {
        return Some("files can have one owner here: run it as root for all of them".to_owned());
    }
    let names = |prefix: &str| {
        line.prefixed(prefix)
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect::<Vec<_>>()
    };
    let mut attributes = names("x:");
    attributes.extend(names("pax:SCHILY.xattr."));
    attributes.extend(names("pax:LIBARCHIVE.xattr."));
    for name in &attributes {
        if ["security.", "trusted."]
            .iter()
            .any(|class| name.starts_with(class))
        {
            return Some(format!("a user namespace has its own `{name}`"));
        }
        if name.starts_with("user.") && !facts.xattrs {
            return Some("this file system has no attributes of users".to_owned());
        }
    }
    let acl = pax("SCHILY.acl.access") || pax("SCHILY.acl.default");
    let acl = acl
        || attributes
            .iter()
            .any(|name| name.starts_with("system.posix_acl_"));
    (acl && !facts.any_owner)
        .then(|| "an access list names users, of whom there is one here".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOR: Facts = Facts {
        any_owner: false,
        xattrs: false,
        stacked: true,
    };
    const RICH: Facts = Facts {
        any_owner: true,
        xattrs: true,
        stacked: false,
    };

    #[test]
    fn a_line_is_left_out_for_what_the_place_lacks_and_for_nothing_else() {
        let left_out = |text: &str, facts| of_scripts([text].into_iter(), facts);
        for (text, poor, rich) in [
            ("f a data=1 mode=640 own=0:0", None, None),
            ("c null rdev=1:3", Some("device"), Some("device")),
            ("f a own=1:2", Some("owner"), None),
            ("f a x:user.a=1", Some("attributes"), None),
            (
                "f a x:security.capability=1",
                Some("security"),
                Some("security"),
            ),
        ] {
            for (facts, expected) in [(POOR, poor), (RICH, rich)] {
                let found = left_out(text, facts);
                assert_eq!(found.is_some(), expected.is_some(), "{text}: {found:?}");
                if let (Some(found), Some(expected)) = (found, expected) {
                    assert!(found.contains(expected), "{text}: {found}");
                }
            }
        }
    }

    #[test]
    fn a_link_to_a_file_of_a_layer_below_is_told_from_others() {
        assert!(links_below("h new to=old"));
        assert!(!links_below("f old data=1\nh new to=old"));
        assert!(!links_below("f old data=1"));
    }
}
