//! Hard links.
//!
//! Invariant: a link's target is looked up within the layer, by the rules for names, and is never followed itself.

use super::chain::Obstacle;
use super::{Apply, Target};
use crate::archive::{Entry, name};
use crate::error::{host, printable};
use crate::tree::Source;
use crate::{Code, Failure, NodeKind, Result};
use std::collections::VecDeque;

/// Symbolic links on one way: the kernel's limit.
const LINKS: usize = 40;

impl<T: Target, S: Source<File = T::File>> Apply<T, S> {
    pub(super) fn make_link(&mut self, entry: &Entry, name: &[u8]) -> Result<()> {
        let parts = name::split(&entry.link).map_err(|what| {
            let target = printable(&entry.link);
            self.reader
                .invalid(format_args!("its target `{target}`: {what}"))
        })?;
        let kept = self.kept.instead_of(&parts);
        let parts = kept.as_deref().map_or(parts, |kept| vec![kept]);
        let Some((last, parent)) = parts.split_last() else {
            return Err(self.reader.invalid("its target is the top directory"));
        };
        let missing = || {
            self.reader.invalid(format_args!(
                "its target `{}` is not there",
                printable(&entry.link)
            ))
        };
        let way =
            way_to(self.chain.root(), parent).map_err(|obstacle| obstacle.named(&self.reader))?;
        let Some(way) = way else {
            return Err(missing());
        };
        let directory = way.last().unwrap_or(self.chain.root());
        let target = match directory.stat(last, &[]) {
            Ok(target) => target,
            Err(failure) if failure.code == Code::NotFound => return Err(missing()),
            Err(failure) => return Err(host(format!("look up `{}`", printable(last)), failure)),
        };
        if target.attributes.kind == NodeKind::Directory {
            return Err(self.reader.invalid(format_args!(
                "its target `{}` is a directory",
                printable(&entry.link)
            )));
        }
        let there = self.chain.top().stat(name, &[]);
        let same = there.is_ok_and(|there| {
            (there.attributes.device, there.attributes.inode)
                == (target.attributes.device, target.attributes.inode)
        });
        if same {
            return Ok(());
        }
        let made = match directory.link(last, self.chain.top(), name) {
            Err(failure) if failure.code == Code::Exists => {
                let top = self.chain.top();
                top.make_way(name)
                    .and_then(|()| directory.link(last, top, name))
            }
            made => made,
        };
        self.chain.forget_path();
        made.map_err(|failure| match failure.code {
            Code::NotFound => missing(),
            _ => host(format!("link `{}`", printable(name)), failure),
        })
    }
}

/// Opens the directories that lead somewhere; `None` if one is missing.
fn way_to<T: Target>(root: &T, parts: &[&[u8]]) -> Result<Option<Vec<T>>, Obstacle> {
    let mut todo: VecDeque<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
    let (mut way, mut links): (Vec<T>, usize) = (Vec::new(), 0);
    while let Some(part) = todo.pop_front() {
        if part == b".." {
            way.pop();
            continue;
        }
        let here = way.last().unwrap_or(root);
        match here.open_directory(&part) {
            Ok(directory) => way.push(directory),
            Err(Failure {
                code: Code::NotFound | Code::NotADirectory | Code::Invalid,
                ..
            }) => return Ok(None),
            Err(Failure {
                code: Code::Symlink,
                ..
            }) => {
                links += 1;
                if links > LINKS {
                    return Err(Obstacle::Archive(format!(
                        "over {LINKS} symbolic links lead to its target"
                    )));
                }
                let doing = || format!("read link `{}`", printable(&part));
                let target = here
                    .read_link(&part)
                    .map_err(|failure| Obstacle::Host(doing(), failure))?;
                if target.starts_with(b"/") {
                    way.clear();
                }
                for step in target
                    .split(|byte| *byte == b'/')
                    .rev()
                    .filter(|step| !matches!(*step, b"" | b"."))
                {
                    todo.push_front(step.to_vec());
                }
            }
            Err(failure) => {
                return Err(Obstacle::Host(
                    format!("open directory `{}`", printable(&part)),
                    failure,
                ));
            }
        }
    }
    Ok(Some(way))
}
