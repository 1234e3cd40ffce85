use super::*;
use crate::LayerId;
use mica_runtime::Access;
use mica_sys::mount::{self, Unmount, mounts_below, unmount};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use tempfile::TempDir;

/// A run directory and a directory to mount; whatever is mounted goes with it.
struct Rig {
    directory: TempDir,
    place: Place,
}

impl Rig {
    /// `None` where this process may not mount.
    fn new() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let run_dir = directory.path().canonicalize().unwrap();
        fs::create_dir(run_dir.join("content")).unwrap();
        fs::write(run_dir.join("content/file"), "x").unwrap();
        let content = fs::File::open(run_dir.join("content")).unwrap();
        if mount::bind(content.as_fd(), mount::Access::ReadOnly).is_err() {
            println!("skipped: mounting needs root");
            return None;
        }
        let place = Place::open(&run_dir, "default").unwrap();
        Some(Self { directory, place })
    }

    fn mount(&self, number: u64) -> State {
        let content = fs::File::open(self.directory.path().join("content")).unwrap();
        let view = mount::bind(content.as_fd(), mount::Access::ReadOnly).unwrap();
        let mut state = state(number);
        self.place.attach(view, &mut state).unwrap();
        state
    }

    fn state_file(&self, number: u64) -> PathBuf {
        self.place.states.join(format!("{number}.json"))
    }

    /// A place as the next daemon opens it.
    fn restart(&self) -> Place {
        Place::open(&self.directory.path().canonicalize().unwrap(), "default").unwrap()
    }

    fn mounted(&self) -> usize {
        mounts_below(&self.place.points).unwrap().len()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for entry in mounts_below(&self.place.points)
            .unwrap_or_default()
            .iter()
            .rev()
        {
            let path = String::from_utf8_lossy(&entry.mount_point).into_owned();
            let name = path
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .as_bytes()
                .to_vec();
            let name = mica_sys::Name::new(&name).unwrap();
            let _gone = unmount(self.place.points_fd.as_fd(), &name, Unmount::Detach);
        }
    }
}

pub(super) fn state(number: u64) -> State {
    State {
        layer: LayerId::parse("a").unwrap(),
        number,
        inherited: false,
        references: 3,
        holders: Vec::new(),
        is_let_go: false,
        access: Access::ReadOnly,
        label: None,
        mount_id: 0,
        boot_id: String::new(),
    }
}

#[test]
fn a_mount_is_seen_and_goes_without_a_trace() {
    let Some(rig) = Rig::new() else { return };
    let state = rig.mount(7);
    assert_eq!(
        fs::read_to_string(rig.place.point(7).join("file")).unwrap(),
        "x"
    );
    assert_eq!(State::read(&rig.state_file(7)).unwrap(), state);
    assert_eq!(rig.place.detach(&state).unwrap(), Unmounted::Clean);
    assert!(!rig.place.point(7).exists() && !rig.state_file(7).exists());
}

#[test]
fn a_mount_in_use_stays_as_it_is() {
    let Some(rig) = Rig::new() else { return };
    let state = rig.mount(7);
    let user = fs::File::open(rig.place.point(7).join("file")).unwrap();
    assert_eq!(
        rig.place.detach(&state).unwrap_err().kind(),
        io::ErrorKind::ResourceBusy
    );
    assert!(rig.place.is_mounted(&state) && rig.state_file(7).exists());
    drop(user);
    assert_eq!(rig.place.detach(&state).unwrap(), Unmounted::Clean);
}

#[test]
fn a_mount_that_no_start_can_unmount_is_told_with_its_number() {
    let Some(rig) = Rig::new() else { return };
    let _state = rig.mount(7);
    let user = fs::File::open(rig.place.point(7).join("file")).unwrap();
    let adopted = rig.place.adopt(|_| false).unwrap();
    assert_eq!((adopted.stuck, adopted.findings.len()), (vec![7], 1));
    drop(user);
    assert!(rig.place.adopt(|_| false).unwrap().stuck.is_empty());
}

#[test]
fn what_someone_mounted_on_top_is_not_unmounted() {
    let Some(rig) = Rig::new() else { return };
    let state = rig.mount(7);
    let content = fs::File::open(rig.directory.path().join("content")).unwrap();
    let target = fs::File::open(rig.place.point(7)).unwrap();
    mount::bind(content.as_fd(), mount::Access::ReadOnly)
        .unwrap()
        .attach(target.as_fd())
        .unwrap();
    drop(target);
    assert_eq!(
        rig.place.detach(&state).unwrap_err().kind(),
        io::ErrorKind::ResourceBusy
    );
    assert_eq!(rig.mounted(), 2);
}

#[test]
fn what_someone_else_unmounted_is_forgotten() {
    let Some(rig) = Rig::new() else { return };
    let state = rig.mount(7);
    let name = mica_sys::Name::from_number(7);
    unmount(rig.place.points_fd.as_fd(), &name, Unmount::Plain).unwrap();
    assert_eq!(rig.place.detach(&state).unwrap(), Unmounted::Clean);
    assert!(!rig.state_file(7).exists());
}

#[test]
fn a_mount_with_its_state_is_adopted_with_its_references() {
    let Some(rig) = Rig::new() else { return };
    let state = rig.mount(7);
    let adopted = rig.restart().adopt(|_| true).unwrap();
    assert_eq!((adopted.mounts, adopted.findings.len()), (vec![state], 0));
    assert_eq!(rig.mounted(), 1);
}

#[test]
fn a_mount_without_state_or_layer_or_of_another_boot_is_unmounted() {
    let Some(rig) = Rig::new() else { return };
    type Spoil = fn(&Rig, State);
    let spoils: [Spoil; 4] = [
        |rig, _| fs::remove_file(rig.state_file(7)).unwrap(),
        |rig, _| fs::write(rig.state_file(7), "{").unwrap(),
        |rig, state| {
            rig.place
                .remember(&State {
                    boot_id: "another".into(),
                    ..state
                })
                .unwrap()
        },
        |rig, state| {
            rig.place
                .remember(&State {
                    mount_id: state.mount_id + 1,
                    ..state
                })
                .unwrap()
        },
    ];
    for spoil in spoils {
        let state = rig.mount(7);
        spoil(&rig, state);
        let adopted = rig.restart().adopt(|_| true).unwrap();
        assert_eq!(
            (adopted.mounts.len(), adopted.findings.len(), rig.mounted()),
            (0, 0, 0)
        );
        assert!(!rig.place.point(7).exists() && !rig.state_file(7).exists());
    }
    rig.mount(8);
    assert!(rig.restart().adopt(|_| false).unwrap().mounts.is_empty());
    assert_eq!(rig.mounted(), 0);
}

#[test]
fn states_and_directories_of_an_earlier_boot_are_swept() {
    let Some(rig) = Rig::new() else { return };
    rig.place.remember(&state(3)).unwrap();
    fs::create_dir(rig.place.point(4)).unwrap();
    let adopted = rig.restart().adopt(|_| true).unwrap();
    assert!(adopted.mounts.is_empty() && adopted.findings.is_empty());
    assert!(!rig.state_file(3).exists() && !rig.place.point(4).exists());
}

#[test]
fn a_mount_that_is_in_use_and_no_ones_is_reported_and_stays() {
    let Some(rig) = Rig::new() else { return };
    rig.mount(7);
    fs::remove_file(rig.state_file(7)).unwrap();
    let _user = fs::File::open(rig.place.point(7).join("file")).unwrap();
    let adopted = rig.restart().adopt(|_| true).unwrap();
    assert_eq!((adopted.findings.len(), rig.mounted()), (1, 1));
}
