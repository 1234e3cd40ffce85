//! Where lists of changes go.
//!
//! Invariant: what is handed on are paths, each behind the one before; no other list leaves the host.

use super::super::HostError;
use super::channel::send;
use super::wait::Wait;
use crate::Change;
use tokio::sync::mpsc;

/// Bytes of a path: what the kernel takes, and room for names that it only finds piece by piece.
const PATH_BYTES: usize = 64 << 10;
/// Bytes of one name of a path.
const NAME_BYTES: usize = 255;

/// Where a list of changes goes.
#[derive(Debug)]
pub struct ChangeSink {
    sender: mpsc::Sender<Vec<Change>>,
    /// The path that came last.
    last: Vec<u8>,
    pub(super) wait: Wait,
}

impl ChangeSink {
    /// A sink that hands pages of up to 1024 changes to a channel which holds `pages` of them.
    #[must_use]
    pub fn channel(pages: usize) -> (Self, mpsc::Receiver<Vec<Change>>) {
        let (sender, receiver) = mpsc::channel(pages);
        let sink = Self {
            sender,
            last: Vec::new(),
            wait: Wait::default(),
        };
        (sink, receiver)
    }

    /// Tells the sink how to wait for its reader.
    pub(crate) fn bind(&mut self, wait: Wait) {
        self.wait = wait;
    }

    /// Hands changes on.
    pub(super) fn push(&mut self, changes: Vec<Change>) -> Result<(), HostError> {
        check(&self.last, &changes).map_err(wasmtime::Error::msg)?;
        if let Some(change) = changes.last() {
            self.last.clone_from(&change.path);
        }
        Ok(send(&self.sender, changes, &mut self.wait)?)
    }
}

/// Checks that all are paths, in byte order.
fn check<'a>(mut last: &'a [u8], changes: &'a [Change]) -> Result<(), String> {
    for Change { path, .. } in changes {
        let shown = || path.get(..256).unwrap_or(path).escape_ascii();
        if !is_path(path) {
            return Err(format!(
                "it tells of a change of `{}`, which is no path below the layer's top",
                shown()
            ));
        }
        if path.as_slice() <= last {
            return Err(format!(
                "it tells of a change of `{}` out of byte order, or twice",
                shown()
            ));
        }
        last = path;
    }
    Ok(())
}

/// A slash and a name, as often as there are levels; or the top alone.
fn is_path(path: &[u8]) -> bool {
    let Some(names) = path.strip_prefix(b"/") else {
        return false;
    };
    let is_name = |name: &[u8]| {
        !matches!(name, b"" | b"." | b"..") && name.len() <= NAME_BYTES && !name.contains(&0)
    };
    path.len() <= PATH_BYTES && (names.is_empty() || names.split(|byte| *byte == b'/').all(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChangeKind;

    fn checked(last: &str, paths: &[&[u8]]) -> Result<(), String> {
        let change = |path: &&[u8]| Change {
            path: path.to_vec(),
            kind: ChangeKind::Add,
        };
        let changes: Vec<_> = paths.iter().map(change).collect();
        check(last.as_bytes(), &changes)
    }

    #[test]
    fn only_paths_below_the_top_in_order_are_handed_on() {
        let long = [b"/".as_slice(), &[b'n'; 256]].concat();
        let good: [&[&[u8]]; 4] = [
            &[],
            &[b"/"],
            &[b"/", b"/a", b"/a-b", b"/a/x", b"/\xff \n"],
            &[b"/...", b"/..a/.b"],
        ];
        for good in good {
            assert_eq!(checked("", good), Ok(()), "{good:?}");
        }
        for bad in [
            b"".as_slice(),
            b"a",
            b"/../etc/passwd",
            b"../etc",
            b"/a/..",
            b"/a/./b",
            b"//a",
            b"/a/",
            b"/a\0b",
            &long,
        ] {
            let text = checked("", &[bad]).expect_err("no path");
            assert!(text.contains("no path"), "{text}");
        }
        for (last, path) in [("/b", "/a"), ("/b", "/b"), ("/a-b", "/a")] {
            let text = checked(last, &[path.as_bytes()]).expect_err("no order");
            assert!(text.contains("byte order"), "{text}");
        }
    }
}
