//! The walk over all inodes, breadth first, in the order in which they lie.

use crate::Facts;
use crate::bytes::{BLOCK, Image, align};
use crate::directory::{self, Entry};
use crate::inode::{self, Inode, Kind};
use crate::refusal::{Refusal, Rule};
use crate::superblock::{self, FIRST_INODE, STEP};

/// Where the superblock has the number of the root.
const ROOT_NUMBER: u64 = 1038;

/// An inode that was found, and what was seen of it.
struct Seen {
    inode: Inode,
    /// The directory that it was found in.
    above: u64,
    /// What its number of names must be.
    names: u32,
}

struct Walk<'a> {
    image: Image<'a>,
    facts: &'a Facts,
    found: Vec<Seen>,
    /// Which of the found ones begins at a multiple of the step, from 1 on; 0 for none. As long as the image has multiples.
    at_step: Vec<u32>,
    /// Where the next inode begins at the earliest.
    next: u64,
    /// Blocks of all that was found. No two inodes have one together, so none is read twice.
    blocks: u64,
}

/// Checks everything from the root on.
pub(crate) fn check(image: &Image<'_>, facts: &Facts) -> Result<(), Refusal> {
    let steps = usize::try_from(image.length() / STEP).unwrap_or(0);
    let mut walk = Walk {
        image: *image,
        facts,
        found: Vec::new(),
        at_step: vec![0; steps],
        next: FIRST_INODE,
        blocks: 0,
    };
    let root = superblock::root(image);
    walk.find(root, root, ROOT_NUMBER)?;
    let is_directory = walk
        .found
        .first()
        .is_some_and(|root| root.inode.kind == Kind::Directory);
    Rule::Root.check(is_directory, root * STEP)?;
    let mut index = 0;
    while let Some(seen) = walk.found.get(index) {
        let (inode, above) = (seen.inode, seen.above);
        match inode.kind {
            Kind::Directory => walk.directory(index, inode, above)?,
            Kind::Symlink => walk.target(&inode)?,
            _ => {}
        }
        index += 1;
    }
    walk.finish()
}

impl Walk<'_> {
    /// Looks at the inode of a number for the first time. Answers which one it is.
    fn find(&mut self, number: u64, above: u64, at: u64) -> Result<usize, Refusal> {
        let place = number.checked_mul(STEP).ok_or(Rule::Place.at(at))?;
        let index = self.found.len();
        let serial = u32::try_from(index + 1).map_err(|_too_many| Rule::Counts.at(at))?;
        let blocks = self.facts.archive_blocks;
        let (inode, end) = inode::check(&self.image, place, self.next, serial, blocks)?;
        self.image.zeros(self.next, place, Rule::Zeros)?;
        let after = align(end, STEP);
        if let Some(step) = usize::try_from(number)
            .ok()
            .and_then(|step| self.at_step.get_mut(step))
        {
            *step = serial;
        }
        // What follows up to the next inode: an image ends with a whole block, so it is there.
        self.image.zeros(end, after, Rule::Zeros)?;
        self.next = after;
        self.blocks += inode.blocks;
        Rule::Blocks.check(self.blocks <= u64::from(self.image.blocks()), place)?;
        let names = if inode.kind == Kind::Directory { 2 } else { 0 };
        self.found.push(Seen {
            inode,
            above,
            names,
        });
        Ok(index)
    }

    fn directory(&mut self, index: usize, inode: Inode, above: u64) -> Result<(), Refusal> {
        let own = inode.at / STEP;
        let image = self.image;
        let (mut dots, mut deletions, mut below) = (0_u32, false, 0_u32);
        directory::each(&image, &inode, |entry: Entry<'_>, at| {
            let is_dot = match entry.name {
                b"." => Some(own),
                b".." => Some(above),
                _ => None,
            };
            if let Some(number) = is_dot {
                dots += 1;
                Rule::Dots.check(entry.number == number, at)?;
                return Rule::EntryType.check(entry.entry_type == 2, at);
            }
            let known = usize::try_from(entry.number).ok();
            let known = known.and_then(|step| self.at_step.get(step)).copied();
            let found = match known.and_then(|serial| serial.checked_sub(1)) {
                Some(found) => found as usize,
                None => self.find(entry.number, own, at)?,
            };
            let is_new = found + 1 == self.found.len();
            let seen = self.found.get_mut(found).ok_or(Rule::Place.at(at))?;
            Rule::EntryType.check(entry.entry_type == seen.inode.entry_type, at)?;
            deletions |= seen.inode.kind == Kind::Deletion;
            if seen.inode.kind == Kind::Directory {
                // The root was found first, and by no entry.
                let first = is_new && known == Some(0) && found > 0;
                below += 1;
                return Rule::Tree.check(first, at);
            }
            seen.names = seen.names.saturating_add(1);
            Ok(())
        })?;
        Rule::Dots.check(dots == 2, inode.at)?;
        Rule::Origin.check(inode.marks.origin || !deletions, inode.at)?;
        if let Some(seen) = self.found.get_mut(index) {
            seen.names = seen.names.saturating_add(below);
        }
        Ok(())
    }

    fn target(&self, inode: &Inode) -> Result<(), Refusal> {
        let (full, tail) = inode.bytes(&self.image)?;
        let holds = !full.contains(&0) && !tail.contains(&0);
        Rule::Target.check(holds, inode.at)
    }

    /// Checks what only all inodes together tell.
    fn finish(&self) -> Result<(), Refusal> {
        let start = align(self.next, BLOCK);
        self.image.zeros(self.next, start, Rule::Zeros)?;
        let mut block = start / BLOCK;
        for Seen { inode, names, .. } in &self.found {
            Rule::Links.check(inode.names == *names, inode.at + 44)?;
            if inode.blocks > 0 {
                Rule::Blocks.check(u64::from(inode.block) == block, inode.at + 16)?;
                block += inode.blocks;
                if inode.tail.1 == 0 {
                    let end = u64::from(inode.block) * BLOCK + inode.size;
                    self.image.zeros(end, block * BLOCK, Rule::Zeros)?;
                }
            }
        }
        Rule::Blocks.check(block * BLOCK == self.image.length(), start)?;
        Rule::Counts.check(self.facts.inodes == self.found.len() as u64, 1040)
    }
}
