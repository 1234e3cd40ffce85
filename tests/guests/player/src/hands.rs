//! The handles that a program holds, and the calls it makes with them.
//!
//! Invariant: every function of `directory`, `home`, `mounts`, `streams`, `filesystem` and `config` that the contract
//! has is called by some number.

use crate::mica::host::directory::{
    AttributeChanges, Directory, File, Listing, Node, Ownership, Timestamp, Xattr,
};
use crate::mica::host::filesystem::{self, Feature};
use crate::mica::host::log::{self, Level};
use crate::mica::host::mounts::{Access, Mount};
use crate::mica::host::{config, home, mounts, streams};
use crate::program::Program;

/// Most handles of a kind: more than the sandbox allows in all.
const MOST: usize = 300;

/// What a program holds.
#[derive(Default)]
pub(crate) struct Hands {
    pub(crate) directories: Vec<Directory>,
    pub(crate) staged: Vec<home::StagedLayer>,
    files: Vec<File>,
    listings: Vec<Listing>,
    mounts: Vec<Mount>,
}

fn keep<T, E>(handles: &mut Vec<T>, made: Result<T, E>) {
    if let Ok(handle) = made
        && handles.len() < MOST
    {
        handles.push(handle);
    }
}

impl Hands {
    /// Plays a program to its end. `source` is where an archive comes from, if the operation has one.
    pub(crate) fn play(
        &mut self,
        program: &mut Program<'_>,
        id: &str,
        source: Option<&streams::Source>,
    ) {
        while let Some(call) = program.byte() {
            let went_on = match call % 8 {
                0 => self.open(program),
                1 => self.make(program),
                2 => self.change(program),
                3 => self.remove(program),
                4 => self.look(program),
                5 => self.file(program, source),
                6 => self.mount(program),
                _ => self.home(program, id),
            };
            if went_on.is_none() {
                return;
            }
        }
    }

    fn directory(&self, program: &mut Program<'_>) -> Option<&Directory> {
        self.directories.get(program.index(self.directories.len())?)
    }

    fn open(&mut self, program: &mut Program<'_>) -> Option<()> {
        let kind = program.byte()?;
        let directory = self.directory(program)?;
        let name = program.name()?;
        match kind % 3 {
            0 => {
                let opened = directory.open_directory(&name);
                keep(&mut self.directories, opened);
            }
            1 => {
                let opened = directory.open_file(&name);
                keep(&mut self.files, opened);
            }
            _ => {
                let wanted = String::from_utf8_lossy(&name).into_owned();
                let listed = directory.list(&[wanted, "user.".to_owned()]);
                keep(&mut self.listings, listed);
            }
        }
        Some(())
    }

    fn make(&mut self, program: &mut Program<'_>) -> Option<()> {
        let kind = program.byte()?;
        let directory = self.directory(program)?;
        let name = program.name()?;
        let number = u32::try_from(program.number()?).unwrap_or(u32::MAX);
        match kind % 6 {
            0 => {
                let made = directory.create_directory(&name, number);
                keep(&mut self.directories, made);
            }
            1 => {
                let made = directory.create_file(&name, number);
                keep(&mut self.files, made);
            }
            2 => drop(directory.create_symlink(&name, &program.name()?)),
            3 => drop(directory.create_node(&name, Node::Fifo, number)),
            4 => drop(directory.create_node(&name, Node::Socket, number)),
            _ => drop(directory.create_node(&name, Node::CharacterDevice((number, 1)), 0o600)),
        }
        Some(())
    }

    fn change(&mut self, program: &mut Program<'_>) -> Option<()> {
        let kind = program.byte()?;
        let changes = changes(program)?;
        match kind % 5 {
            0 => drop(self.directory(program)?.set_attributes(&changes)),
            1 => {
                let directory = self.directory(program)?;
                drop(directory.set_entry_attributes(&program.name()?, &changes));
            }
            2 => {
                let file = self.files.get(program.index(self.files.len())?)?;
                drop(file.set_attributes(&changes));
            }
            kind => {
                let from = self.directory(program)?;
                let (name, to) = (program.name()?, self.directory(program)?);
                let new_name = program.name()?;
                let _ = if kind == 3 {
                    from.link(&name, to, &new_name)
                } else {
                    from.rename(&name, to, &new_name)
                };
            }
        }
        Some(())
    }

    fn remove(&mut self, program: &mut Program<'_>) -> Option<()> {
        let kind = program.byte()?;
        let directory = self.directory(program)?;
        let name = program.name()?;
        let _ = match kind % 3 {
            0 => directory.remove_file(&name),
            1 => directory.remove_directory(&name),
            _ => directory.remove_tree(&name),
        };
        Some(())
    }

    fn look(&mut self, program: &mut Program<'_>) -> Option<()> {
        let kind = program.byte()?;
        if kind % 5 == 4 {
            let at = program.index(self.listings.len())?;
            drop(self.listings.get(at)?.next());
            return Some(());
        }
        let directory = self.directory(program)?;
        let name = program.name()?;
        match kind % 5 {
            0 => drop(directory.stat(&name, &["security.".to_owned()])),
            1 => drop(directory.read_link(&name)),
            2 => drop(directory.get_attributes(&[String::from_utf8_lossy(&name).into_owned()])),
            _ => {
                let at = program.index(self.directories.len())?;
                drop(self.directories.swap_remove(at));
            }
        }
        Some(())
    }

    fn file(&mut self, program: &mut Program<'_>, source: Option<&streams::Source>) -> Option<()> {
        let kind = program.byte()?;
        let file = self.files.get(program.index(self.files.len())?)?;
        let number = program.number()?;
        match kind % 6 {
            0 => drop(file.read(number, u32::try_from(program.number()?).unwrap_or(u32::MAX))),
            // No file of a program grows beyond what the file system of the target holds.
            1 => drop(file.write(number % (1 << 20), &program.bytes()?)),
            2 => {
                let original = self.files.get(program.index(self.files.len())?)?;
                drop(file.copy_content(original));
            }
            3 => drop(source.map(|source| source.copy_to(file, number % (1 << 20), number))),
            4 => drop(source.map(|source| source.skip(number))),
            _ => drop(file.get_attributes()),
        }
        Some(())
    }

    fn mount(&mut self, program: &mut Program<'_>) -> Option<()> {
        let kind = program.byte()?;
        let first = self.directory(program)?;
        let (second, third) = (self.directory(program)?, self.directory(program)?);
        let made = match kind % 6 {
            0 => mounts::bind(first, Access::ReadOnly),
            1 => mounts::bind(first, Access::ReadWrite),
            2 => mounts::overlay(&[first], second, third, None),
            3 => mounts::overlay_view(&[first, second], None),
            4 => {
                let _ = mounts::make_opaque(first);
                let _ = mounts::make_whiteout(second, &program.name()?);
                return Some(());
            }
            _ => {
                let at = program.index(self.mounts.len())?;
                let root = self.mounts.get(at)?.root();
                keep(&mut self.directories, root);
                return Some(());
            }
        };
        keep(&mut self.mounts, made);
        Some(())
    }

    fn home(&mut self, program: &mut Program<'_>, id: &str) -> Option<()> {
        let kind = program.byte()?;
        let name = String::from_utf8_lossy(&program.name()?).into_owned();
        match kind % 9 {
            0 => keep(&mut self.staged, home::stage()),
            1 => {
                let at = program.index(self.staged.len())?;
                let made = home::publish(
                    self.staged.swap_remove(at),
                    if kind > 99 { id } else { &name },
                );
                drop(made);
            }
            2 => drop(home::discard(&name)),
            3 => keep(
                &mut self.directories,
                home::open(if kind > 99 { id } else { &name }),
            ),
            4 => drop((home::inspect(&name), home::ancestors(&name))),
            5 => drop((home::exists(&name), home::list(Some(&name)))),
            6 => {
                let at = program.index(self.staged.len())?;
                let room = self.staged.get(at)?.room();
                keep(&mut self.directories, room);
            }
            7 => log::write(Level::Debug, &name),
            _ => drop((config::options(), filesystem::supports(Feature::Reflink))),
        }
        Some(())
    }
}

/// Attributes of any kind, good and bad.
fn changes(program: &mut Program<'_>) -> Option<AttributeChanges> {
    let which = program.byte()?;
    let number = program.number()?;
    let small = u32::try_from(number).unwrap_or(u32::MAX);
    let xattr = Xattr {
        name: program.name()?,
        value: program.bytes()?,
    };
    Some(AttributeChanges {
        owner: (which & 1 != 0).then_some(Ownership {
            uid: small,
            gid: small,
        }),
        mode: (which & 2 != 0).then_some(small),
        modified: (which & 4 != 0).then_some(Timestamp {
            seconds: number.cast_signed(),
            nanoseconds: small,
        }),
        xattrs: if which & 8 != 0 {
            vec![xattr]
        } else {
            Vec::new()
        },
    })
}
