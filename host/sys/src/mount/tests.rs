use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::mount::{MountFlags, mount, mount_bind};

use super::classic::options;
use super::mountinfo::parse;
use super::overlay::overlay_by;
use super::statmount::read_entry;
use super::table::{from_mountinfo, select};
use super::*;
use crate::node::{self, Kind};
use crate::testing::{Place, in_namespace, name, refused};
use crate::{content, errno};

const WAYS: [Way; 3] = [Way::Descriptors, Way::Paths, Way::Classic];

/// The ways that this kernel has; at least the oldest one.
fn ways() -> impl Iterator<Item = Way> {
    let best = way();
    WAYS.into_iter().skip_while(move |way| *way != best)
}

/// The directories of an overlay, each with a file named after it.
struct Layers {
    place: Place,
    lowers: Vec<OwnedFd>,
    upper: OwnedFd,
    work: OwnedFd,
}

impl Layers {
    fn new(count: usize) -> Self {
        let names: Vec<_> = (0..count).map(|number| format!("lower-{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        Self::named(&names, "upper", "work")
    }

    fn named(lowers: &[&str], upper: &str, work: &str) -> Self {
        let place = Place::new();
        let make = |layer: &&str| {
            let made = place.make(layer);
            place.write(&format!("{layer}/in-{layer}"), *layer);
            place.write(&format!("{layer}/shared"), *layer);
            made
        };
        Self {
            lowers: lowers.iter().map(make).collect(),
            upper: place.make(upper),
            work: place.make(work),
            place,
        }
    }

    fn mount(&self, way: Way, is_changeable: bool) -> std::io::Result<DetachedMount> {
        let lowers: Vec<BorrowedFd<'_>> = self.lowers.iter().map(AsFd::as_fd).collect();
        let upper_and_work = is_changeable.then(|| (self.upper.as_fd(), self.work.as_fd()));
        let plan = Overlay {
            lowers: &lowers,
            upper_and_work,
            label: None,
            read_only: false,
        };
        overlay_by(way, &plan)
    }
}

fn plan<'a>(lowers: &'a [BorrowedFd<'a>]) -> Overlay<'a> {
    Overlay {
        lowers,
        upper_and_work: None,
        label: None,
        read_only: false,
    }
}

fn read(dir: &OwnedFd, entry: &str) -> String {
    let file = node::open_regular(dir.as_fd(), &name(entry)).unwrap();
    let mut buffer = [0; 1024];
    let length = content::read_at(file.as_fd(), &mut buffer, 0).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// How many mounts this thread's name space has.
fn mounted() -> usize {
    mounts_below(Path::new("/")).unwrap().len()
}

#[test]
fn a_detached_bind_shows_a_directory_and_vanishes_with_its_handle() {
    in_namespace(|| {
        let place = Place::new();
        let dir = place.make("dir");
        place.write("dir/file", "content");
        let before = mounted();
        let bound = bind(dir.as_fd(), Access::ReadWrite).unwrap();
        let root = bound.root().unwrap();
        assert_eq!(mounted(), before, "no process sees it");
        assert_eq!(read(&root, "file"), "content");
        node::create_regular(root.as_fd(), &name("made"), 0o600).unwrap();
        assert!(place.path("dir/made").exists());
        let (id, original) = (
            mount_id(root.as_fd()).unwrap(),
            mount_id(dir.as_fd()).unwrap(),
        );
        assert_ne!(id, original);
        drop((bound, root));
        assert_eq!(mounted(), before);
        rustix::fs::unlinkat(&dir, c"file", rustix::fs::AtFlags::empty()).unwrap();
    });
}

#[test]
fn a_read_only_bind_refuses_changes_and_its_original_takes_them() {
    in_namespace(|| {
        let place = Place::new();
        let dir = place.make("dir");
        place.write("dir/file", "content");
        let plain = bind(dir.as_fd(), Access::ReadOnly).unwrap();
        let again = bind(dir.as_fd(), Access::ReadWrite).unwrap();
        let old = super::bind::remounted(&again, Access::ReadOnly).unwrap();
        for bound in [plain, old] {
            let root = bound.root().unwrap();
            assert_eq!(read(&root, "file"), "content");
            let entry = name("made");
            let made = node::create_regular(root.as_fd(), &entry, 0o600);
            assert_eq!(refused(made), libc::EROFS);
            let removed = node::remove_file(root.as_fd(), &name("file"));
            assert_eq!(refused(removed), libc::EROFS);
        }
        node::create_regular(dir.as_fd(), &name("made"), 0o600).unwrap();
    });
}

#[test]
fn a_bind_shows_no_mount_that_lies_below_its_directory_now_or_later() {
    in_namespace(|| {
        let place = Place::new();
        let dir = place.make("dir");
        place.make("dir/before");
        place.make("dir/after");
        place.make("other");
        place.write("other/file", "x");
        mount_bind(place.path("other"), place.path("dir/before")).unwrap();
        let bound = bind(dir.as_fd(), Access::ReadWrite).unwrap();
        mount_bind(place.path("other"), place.path("dir/after")).unwrap();
        let root = bound.root().unwrap();
        for entry in ["before", "after"] {
            assert!(place.path(&format!("dir/{entry}/file")).exists());
            let below = node::open_directory(root.as_fd(), &name(entry)).unwrap();
            assert!(node::names(below.as_fd()).unwrap().is_empty(), "{entry}");
        }
    });
}

#[test]
fn a_mount_is_attached_listed_and_unmounted_under_one_unique_number() {
    in_namespace(|| {
        let place = Place::new();
        let (dir, parent) = (place.make("dir"), place.open(""));
        place.write("dir/file", "content");
        let target = place.make("point");
        let mut numbers = Vec::new();
        for round in 0..20 {
            let bound = bind(dir.as_fd(), Access::ReadWrite).unwrap();
            let attached = bound.attach(target.as_fd()).unwrap();
            let top = place.open("point");
            assert_eq!(read(&top, "file"), "content");
            assert_eq!(mount_id(top.as_fd()).unwrap(), attached.mount_id);
            let found = mounts_below(&place.path("point")).unwrap();
            assert_eq!(found.len(), 1);
            let point = place.path("point").canonicalize().unwrap();
            assert_eq!(found[0].mount_id, attached.mount_id);
            assert_eq!(found[0].mount_point, point.as_os_str().as_encoded_bytes());
            assert_eq!(found[0].parent_id, mount_id(parent.as_fd()).unwrap());
            let busy = unmount(parent.as_fd(), &name("point"), Unmount::Plain);
            assert_eq!(refused(busy), libc::EBUSY, "{round}");
            unmount(parent.as_fd(), &name("point"), Unmount::Detach).unwrap();
            assert_eq!(read(&top, "file"), "content", "who has it open keeps it");
            let gone = unmount(parent.as_fd(), &name("point"), Unmount::Detach);
            assert_eq!(refused(gone), libc::EINVAL);
            assert!(mounts_below(&place.path("point")).unwrap().is_empty());
            numbers.push(attached.mount_id);
        }
        if has_statmount() {
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), 20, "no number is used again");
        }
        let missing = unmount(parent.as_fd(), &name("missing"), Unmount::Plain);
        assert_eq!(refused(missing), libc::ENOENT);
    });
}

#[test]
fn an_unmount_follows_no_link_and_an_attachment_needs_a_directory() {
    in_namespace(|| {
        let place = Place::new();
        let (dir, target, parent) = (place.make("dir"), place.make("point"), place.open(""));
        let bound = bind(dir.as_fd(), Access::ReadWrite).unwrap();
        bound.attach(target.as_fd()).unwrap();
        std::os::unix::fs::symlink("point", place.path("link")).unwrap();
        for how in [Unmount::Plain, Unmount::Detach] {
            let followed = unmount(parent.as_fd(), &name("link"), how);
            assert_eq!(refused(followed), libc::EINVAL);
        }
        unmount(parent.as_fd(), &name("point"), Unmount::Plain).unwrap();
        place.write("file", "");
        let before = mounted();
        let bound = bind(dir.as_fd(), Access::ReadWrite).unwrap();
        let on_a_file = bound.attach(place.open("file").as_fd());
        assert_eq!(refused(on_a_file), libc::EINVAL);
        assert_eq!(mounted(), before, "on failure it is gone");
    });
}

#[test]
fn parents_are_listed_before_children_also_when_a_child_was_made_first() {
    in_namespace(|| {
        let place = Place::new();
        let dir = place.make("dir");
        place.make("point");
        let first = bind(dir.as_fd(), Access::ReadWrite).unwrap();
        let flags = MountFlags::empty();
        mount("none", place.path("point"), "tmpfs", flags, None).unwrap();
        let below = place.make("point/below");
        first.attach(below.as_fd()).unwrap();
        let point = place.path("point").canonicalize().unwrap();
        for found in [
            mounts_below(&point).unwrap(),
            select(from_mountinfo().unwrap(), &point),
        ] {
            let points: Vec<_> = found.iter().map(|entry| &entry.mount_point).collect();
            let [above, below] = [&point, &point.join("below")]
                .map(|path| path.as_os_str().as_encoded_bytes().to_vec());
            assert_eq!(points, [&above, &below]);
            assert_eq!(found[1].parent_id, found[0].mount_id);
        }
    });
}

#[test]
fn mounts_are_told_by_odd_names_in_the_old_and_the_new_way_alike() {
    in_namespace(|| {
        let place = Place::new();
        let entry = "a b\tc\nd\\e,f:g#h\u{fc}";
        let target = place.make(entry);
        let dir = place.make("dir");
        bind(dir.as_fd(), Access::ReadOnly)
            .unwrap()
            .attach(target.as_fd())
            .unwrap();
        let beside = place.make(&format!("{entry}-beside"));
        bind(dir.as_fd(), Access::ReadOnly)
            .unwrap()
            .attach(beside.as_fd())
            .unwrap();
        let path = place.path(entry).canonicalize().unwrap();
        let new = mounts_below(&path).unwrap();
        let old = select(from_mountinfo().unwrap(), &path);
        for found in [&new, &old] {
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].mount_point, path.as_os_str().as_encoded_bytes());
            assert!(found[0].root.ends_with(b"/dir"), "{found:?}");
        }
        assert_eq!(old[0].fs_type, new[0].fs_type);
        let all = mounts_below(Path::new("/")).unwrap();
        assert_eq!(all[0].mount_point, b"/", "the root comes first");
        let missing = mounts_below(&place.path("missing"));
        assert_eq!(refused(missing), libc::ENOENT);
    });
}

/// Root, mount point, type and source of a mount.
type Told = (&'static [u8], &'static [u8], &'static [u8], &'static [u8]);

#[test]
fn lines_of_the_table_are_read_whatever_bytes_they_hold() {
    let long = "x".repeat(1 << 20);
    let long_line = format!("7 1 0:5 /{long} /{long} rw - tmpfs none rw\n");
    let cases: [(&[u8], Option<Told>); 14] = [
        (
            b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
            Some((b"/mnt1", b"/mnt2", b"ext3", b"/dev/root")),
        ),
        (
            b"1 2 0:1 / /a shared:1 master:2 propagate_from:3 unbindable - tmpfs none rw",
            Some((b"/", b"/a", b"tmpfs", b"none")),
        ),
        (
            br"1 2 0:1 /\040\011\012\134 /a\040b rw - t\040u s\043 rw",
            Some((b"/ \t\n\\", b"/a b", b"t u", b"s#")),
        ),
        (
            b"1 2 0:1 /\xff\xfe /\x80 rw - t \xc3\x28 rw",
            Some((b"/\xff\xfe", b"/\x80", b"t", b"\xc3\x28")),
        ),
        // What is no escape stays as it is.
        (
            br"1 2 0:1 /\04 /\999\400\+12\ rw - t \ rw",
            Some((br"/\04", br"/\999\400\+12\", b"t", br"\")),
        ),
        (
            br"1 2 0:1 /\134040 /\377\000 rw - t s rw",
            Some((br"/\040", b"/\xff\0", b"t", b"s")),
        ),
        (b"1 2 0:1 / - rw - t  rw", Some((b"/", b"-", b"t", b""))),
        (
            b"1 2 0:1 / //deleted rw - t s",
            Some((b"/", b"//deleted", b"t", b"s")),
        ),
        (b"", None),
        (b"x 2 0:1 / / rw - t s rw", None),
        (b"1 99999999999999999999999 0:1 / / rw - t s rw", None),
        (b"1 2 0:1 / / rw t s rw", None),
        (b"1 2 0:1 / / rw - t", None),
        (b"\xff\0 - - -", None),
    ];
    for (line, expected) in cases {
        let text = [line, b"\n", long_line.as_bytes(), line].concat();
        let found = parse(&text);
        let count = if expected.is_some() { 3 } else { 1 };
        assert_eq!(found.len(), count, "{}", line.escape_ascii());
        assert_eq!(found[count / 2].mount_point.len(), long.len() + 1);
        if let Some(expected) = expected {
            let entry = &found[2];
            let told = (
                &*entry.root,
                &*entry.mount_point,
                &*entry.fs_type,
                &*entry.source,
            );
            assert_eq!(told, expected, "{}", line.escape_ascii());
        }
    }
}

#[test]
fn numbers_of_a_line_are_the_mount_s_and_its_parent_s() {
    let text = b"36 35 98:0 / / rw - ext3 s rw\n18446744073709551615 0 0:1 / / rw - t s";
    let found = parse(text);
    let numbers: Vec<_> = found
        .iter()
        .map(|entry| (entry.mount_id, entry.parent_id))
        .collect();
    assert_eq!(numbers, [(36, 35), (u64::MAX, 0)]);
}

#[test]
fn an_answer_of_statmount_that_is_cut_or_points_outside_is_no_mount() {
    let mut whole = vec![0; 600];
    let mut put = |offset: usize, bytes: &[u8]| {
        whole[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    put(8, &(0x2_u64 | 0x8 | 0x10 | 0x20).to_ne_bytes());
    put(36, &0_u32.to_ne_bytes());
    put(40, &77_u64.to_ne_bytes());
    put(48, &66_u64.to_ne_bytes());
    put(104, &6_u32.to_ne_bytes());
    put(108, &8_u32.to_ne_bytes());
    put(512, b"tmpfs\0/\0/a b\xff\0");
    let entry = read_entry(&whole).unwrap();
    assert_eq!((entry.mount_id, entry.parent_id), (77, 66));
    assert_eq!(
        (&*entry.root, &*entry.mount_point),
        (&b"/"[..], &b"/a b\xff"[..])
    );
    assert_eq!((&*entry.fs_type, &*entry.source), (&b"tmpfs"[..], &b""[..]));
    for length in [0, 8, 15, 40, 110, 511, 512, 520] {
        assert_eq!(read_entry(&whole[..length]), None, "{length}");
    }
    for place in [88_u32, 1000, u32::MAX] {
        let mut broken = whole.clone();
        broken[108..112].copy_from_slice(&place.to_ne_bytes());
        broken[599] = b'x';
        assert_eq!(read_entry(&broken), None, "{place}");
    }
}

#[test]
fn an_overlay_merges_its_layers_keeps_changes_in_the_upper_and_vanishes_with_its_handle() {
    in_namespace(|| {
        for way in ways() {
            let layers = Layers::new(3);
            let before = mounted();
            let merged = layers.mount(way, true).unwrap();
            let root = merged.root().unwrap();
            assert_eq!(mounted(), before, "{way:?}");
            assert_eq!(read(&root, "shared"), "lower-0", "the nearest wins");
            for layer in ["lower-0", "lower-1", "lower-2"] {
                assert_eq!(read(&root, &format!("in-{layer}")), layer, "{way:?}");
            }
            let made = node::create_regular(root.as_fd(), &name("made"), 0o600).unwrap();
            content::write_all_at(made.as_fd(), b"new", 0).unwrap();
            node::remove_file(root.as_fd(), &name("shared")).unwrap();
            assert_eq!(read(&layers.upper, "made"), "new");
            let hidden = node::stat(layers.upper.as_fd(), &name("shared")).unwrap();
            assert_eq!(hidden.kind, Kind::CharacterDevice);
            for lower in &layers.lowers {
                assert!(read(lower, "shared").starts_with("lower-"), "{way:?}");
            }
            drop((made, root, merged));
            assert_eq!(mounted(), before);
            layers.mount(way, true).expect("the upper is free again");
        }
    });
}

#[test]
fn an_overlay_without_an_upper_or_told_so_refuses_changes() {
    for way in ways() {
        let layers = Layers::new(2);
        let lowers: Vec<_> = layers.lowers.iter().map(AsFd::as_fd).collect();
        let told = overlay_by(
            way,
            &Overlay {
                upper_and_work: Some((layers.upper.as_fd(), layers.work.as_fd())),
                read_only: true,
                ..plan(&lowers)
            },
        );
        for merged in [layers.mount(way, false).unwrap(), told.unwrap()] {
            let root = merged.root().unwrap();
            assert_eq!(read(&root, "in-lower-1"), "lower-1", "{way:?}");
            let made = node::create_regular(root.as_fd(), &name("made"), 0o600);
            assert_eq!(refused(made), libc::EROFS, "{way:?}");
        }
    }
}

#[test]
fn layers_may_have_any_name() {
    for way in ways() {
        let lowers = ["a,b:c\\d\ne", ":,\\", "upperdir=x", "\u{fc} \"'#"];
        let layers = Layers::named(&lowers, "up,upperdir=/:\\\n", "work,:\\ \n");
        let merged = layers.mount(way, true).unwrap();
        let root = merged.root().unwrap();
        for lower in lowers {
            assert_eq!(read(&root, &format!("in-{lower}")), lower, "{way:?}");
        }
        node::create_regular(root.as_fd(), &name("made"), 0o600).unwrap();
        assert!(layers.place.path("up,upperdir=/:\\\n/made").exists());
    }
}

#[test]
fn five_hundred_lowers_are_mounted_or_refused_in_words_and_never_cut_short() {
    let layers = Layers::new(MAX_LOWERS);
    for way in ways() {
        let outcome = layers.mount(way, true);
        if way == Way::Classic {
            let error = outcome.unwrap_err();
            assert_eq!(errno::of(&error), Some(libc::E2BIG));
            assert!(
                error.to_string().contains("500 lower directories"),
                "{error}"
            );
            continue;
        }
        let root = outcome.unwrap().root().unwrap();
        assert_eq!(node::names(root.as_fd()).unwrap().len(), MAX_LOWERS + 1);
        assert_eq!(read(&root, "in-lower-499"), "lower-499");
    }
    let fds: Vec<_> = layers.lowers.iter().map(AsFd::as_fd).collect();
    let text = options(&plan(&fds), 1 << 20).unwrap();
    assert_eq!(text.matches("/proc/self/fd/").count(), MAX_LOWERS);
    for page_bytes in [text.len(), text.len() + 1] {
        assert_eq!(refused(options(&plan(&fds), page_bytes)), libc::E2BIG);
    }
    assert_eq!(options(&plan(&fds), text.len() + 2).unwrap(), text);
}

#[test]
fn every_option_is_said_whatever_the_kernel_s_defaults() {
    in_namespace(|| {
        for way in ways() {
            let layers = Layers::new(2);
            let target = layers.place.make("point");
            layers
                .mount(way, true)
                .unwrap()
                .attach(target.as_fd())
                .unwrap();
            let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
            let end = format!("{}/point ", layers.place.path("").display());
            let line = table.lines().find(|line| line.contains(&end)).unwrap();
            assert!(line.contains("redirect_dir=nofollow"), "{way:?}: {line}");
            // What is the kernel's default is not shown, so these must not be shown as on.
            for on in ["metacopy=on", "index=on", "xino=on", "xino=auto"] {
                assert!(!line.contains(on), "{way:?}: {line}");
            }
        }
    });
}

#[test]
fn a_plan_that_no_kernel_takes_is_refused_in_words() {
    let place = Place::new();
    let dir = place.make("dir");
    let (upper, work) = (place.make("upper"), place.make("work"));
    let both = Some((upper.as_fd(), work.as_fd()));
    let many = vec![dir.as_fd(); MAX_LOWERS + 1];
    for (count, upper_and_work, label, words) in [
        (0, both, None, "at least 1"),
        (1, None, None, "at least 2"),
        (0, None, None, "at least 2"),
        (501, both, None, "the limit is 500"),
        (2, both, Some(""), "label"),
        (2, both, Some("a\"b"), "label"),
        (2, both, Some("a,\\"), "label"),
        (2, both, Some("a b"), "label"),
        (2, both, Some("a\n"), "label"),
    ] {
        for way in WAYS {
            let refusal = overlay_by(
                way,
                &Overlay {
                    upper_and_work,
                    label,
                    ..plan(&many[..count])
                },
            )
            .unwrap_err();
            assert_eq!(errno::of(&refusal), Some(libc::EINVAL));
            assert!(refusal.to_string().contains(words), "{refusal}");
        }
    }
}

#[test]
fn an_upper_on_an_overlay_or_apart_from_its_work_directory_is_refused() {
    in_namespace(|| {
        let (place, elsewhere) = (Place::new(), Place::elsewhere());
        let layers = Layers::new(2);
        let target = place.make("merged");
        layers
            .mount(way(), true)
            .unwrap()
            .attach(target.as_fd())
            .unwrap();
        let lowers: Vec<_> = layers.lowers.iter().map(AsFd::as_fd).collect();
        let cases = [
            (place.make("upper"), elsewhere.make("work")),
            (elsewhere.make("upper"), place.make("work")),
            (place.make("merged/upper"), place.make("merged/work")),
        ];
        for (way, (upper, work)) in ways().flat_map(|way| cases.iter().map(move |case| (way, case)))
        {
            let refusal = overlay_by(
                way,
                &Overlay {
                    upper_and_work: Some((upper.as_fd(), work.as_fd())),
                    ..plan(&lowers)
                },
            );
            assert_eq!(refused(refusal), libc::EINVAL, "{way:?}");
        }
    });
}

#[test]
fn the_old_way_takes_nothing_else_in_the_place_of_a_layer() {
    in_namespace(|| {
        let layers = Layers::new(2);
        layers.mount(Way::Classic, true).unwrap();
        let other = layers.place.make("other");
        let covered = bind(other.as_fd(), Access::ReadWrite).unwrap();
        covered.attach(layers.lowers[1].as_fd()).unwrap();
        let outcome = layers.mount(Way::Classic, true);
        assert_eq!(refused(outcome), libc::ESTALE, "another one covers it");
        fs::remove_dir_all(layers.place.path("lower-0")).unwrap();
        let outcome = layers.mount(Way::Classic, true);
        assert_eq!(refused(outcome), libc::ENOENT, "it is gone");
    });
}

#[test]
fn the_kernel_s_own_words_are_part_of_the_error() {
    let layers = Layers::new(2);
    let file = fs::File::open(layers.place.path("lower-0/shared")).unwrap();
    let lowers = [file.as_fd(), layers.lowers[1].as_fd()];
    for way in ways().filter(|way| *way != Way::Classic) {
        let error = overlay_by(way, &plan(&lowers)).unwrap_err();
        let inner = error
            .get_ref()
            .unwrap_or_else(|| panic!("{way:?}: {error}"));
        let inner = inner.downcast_ref::<MountError>().unwrap();
        assert!(inner.message.contains("overlay"), "{way:?}: {error}");
        assert_eq!(errno::of(&error), Some(inner.errno));
    }
}

#[test]
fn overlays_of_the_same_layers_are_mounts_and_file_systems_of_their_own() {
    let layers = Layers::new(2);
    let mounts: Vec<_> = (0..5)
        .map(|_| layers.mount(way(), false).unwrap())
        .collect();
    let mut ids = Vec::new();
    let mut devices = Vec::new();
    for mounted in &mounts {
        let root = mounted.root().unwrap();
        ids.push(mount_id(root.as_fd()).unwrap());
        devices.push(fs::File::from(root).metadata().unwrap().dev());
    }
    for numbers in [&mut ids, &mut devices] {
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 5);
    }
}

#[test]
fn the_opaque_mark_is_kept_where_this_process_may_keep_it() {
    let place = Place::new();
    let dir = place.open("");
    crate::xattr::set_fd(dir.as_fd(), opaque_xattr().as_bytes(), b"y").unwrap();
    let trusted = opaque_xattr().starts_with("trusted.");
    assert_eq!(trusted, !in_user_namespace());
}

#[test]
fn an_error_of_mounting_has_the_number_and_the_words() {
    let error = error::explained(libc::EBUSY, "the upper is in use");
    assert_eq!(errno::of(&error), Some(libc::EBUSY));
    assert!(error.to_string().ends_with(": the upper is in use"));
    assert_eq!(error.kind(), std::io::ErrorKind::ResourceBusy);
    let plain = std::io::Error::from_raw_os_error(libc::ENOENT);
    assert_eq!(errno::of(&plain), Some(libc::ENOENT));
    assert_eq!(errno::of(&std::io::Error::other("ours")), None);
}
