//! What the daemon gives up by itself, and which directories it does not take.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use mica_tests::archive::archive;
use mica_tests::command::{mica, mica_alone};
use mica_tests::daemon::Daemon;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup;
use serde_json::json;

/// Someone else.
const STRANGER: u32 = 4711;

/// The capabilities that the daemon uses: their bits, and in the order of their numbers.
const KEPT: [(u32, &str); 9] = [
    (0, "CHOWN"),
    (1, "DAC_OVERRIDE"),
    (2, "DAC_READ_SEARCH"),
    (3, "FOWNER"),
    (4, "FSETID"),
    (9, "LINUX_IMMUTABLE"),
    (21, "SYS_ADMIN"),
    (27, "MKNOD"),
    (31, "SETFCAP"),
];

/// The lines of the states of all threads that begin with one of these words.
fn states(daemon: &Daemon, words: &[&str]) -> BTreeSet<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("threads");
    let texts = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    let lines: Vec<String> = texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let wanted = |line: &String| words.iter().any(|word| line.starts_with(word));
    lines.into_iter().filter(wanted).collect()
}

#[test]
fn every_thread_has_the_capabilities_that_are_used_and_no_other() {
    let bench = setup::OVERLAY_EXT4.start();
    // All kinds of threads: of the runtime, of calls, of the sandbox.
    bench.store.create("l", None).expect("create");
    bench
        .store
        .apply("l", &archive("f f data=x"))
        .expect("apply");
    bench.store.mount("l").expect("mount");
    let bits = KEPT.iter().fold(0_u64, |bits, (bit, _)| bits | 1 << bit);
    let kept = format!("{bits:016x}");
    let none = format!("{:016x}", 0);
    let expected: BTreeSet<_> = [
        format!("CapInh:\t{none}"),
        format!("CapPrm:\t{kept}"),
        format!("CapEff:\t{kept}"),
        format!("CapBnd:\t{kept}"),
        format!("CapAmb:\t{none}"),
        "NoNewPrivs:\t1".to_owned(),
    ]
    .into();
    assert_eq!(states(&bench.daemon, &["Cap", "NoNewPrivs"]), expected);
    let names: Vec<_> = KEPT.iter().map(|(_, name)| *name).collect();
    let status = bench.daemon.client.get("/v1/status").expect("the status");
    let told = &status["confinement"];
    assert_eq!(told["capabilities"], json!(names), "{told}");
    assert_eq!(told["bounding"], json!(names), "{told}");
    assert_eq!(
        (&told["no_new_privs"], &told["landlock"]),
        (&json!(true), &json!(false))
    );
    let limits =
        fs::read_to_string(format!("/proc/{}/limits", bench.daemon.pid())).expect("limits");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    assert_eq!(
        soft,
        Some(told["open_files"].to_string().as_str()),
        "{limits}"
    );
    let text = mica(&bench.daemon.client.socket, &["status"]).worked();
    assert!(
        text.contains("no new privs") && text.contains("SETFCAP"),
        "{text}"
    );
    let doctor = mica_alone(&["doctor", "/"]);
    assert!(doctor.text().contains("no_new_privs") && doctor.text().contains("open files"));
    bench.store.unmount("l").expect("unmount");
}

#[test]
fn the_limit_of_descriptors_is_raised_or_its_lack_is_told() {
    let lab = Lab::on(FileSystem::Machine);
    let with_limits = |wrapper: &[&str]| {
        let mut settings = setup::VFS_EXT4.settings(&lab);
        settings.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        let daemon = settings.start();
        let status = daemon.client.get("/v1/status").expect("the status");
        let files = status["confinement"]["open_files"]
            .as_u64()
            .expect("a number");
        (files, daemon)
    };
    // `CAP_SYS_RESOURCE`, which this test may lack in a container.
    if fs::read_to_string("/proc/self/status").is_ok_and(|status| effective(&status) >> 24 & 1 == 1)
    {
        let (files, daemon) = with_limits(&["prlimit", "--nofile=100:5000"]);
        assert!(files >= 262_144, "root may raise its hard limit: {files}");
        drop(daemon);
    }
    let unprivileged = [
        "setpriv",
        "--bounding-set",
        "-sys_resource",
        "--inh-caps",
        "-all",
    ];
    let (files, daemon) =
        with_limits(&[&["prlimit", "--nofile=100:5000"], &unprivileged[..]].concat());
    assert_eq!(files, 5000);
    assert!(daemon.log().contains("LimitNOFILE"), "{}", daemon.log());
}

/// The capabilities in effect of a process's state.
fn effective(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    u64::from_str_radix(line.expect("a line").trim(), 16).expect("a number")
}

/// Everything below a directory.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut all = vec![directory.to_owned()];
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => all.extend(below(&entry.path())),
            _ => all.push(entry.path()),
        }
    }
    all
}

#[test]
fn no_umask_opens_or_closes_anything() {
    for umask in ["000", "077", "777"] {
        let lab = Lab::on(FileSystem::Ext4);
        let mut settings = setup::VFS_EXT4.settings(&lab);
        settings.root = lab.path("made/root");
        settings.run = lab.path("made/run");
        settings.lends_code = false;
        // The test's own configuration file lies beside the run directory.
        fs::create_dir(lab.path("made")).expect("a directory");
        settings.wrapper = ["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"]
            .map(str::to_owned)
            .into();
        let daemon = settings.start();
        let store = daemon.client.default_store();
        store.create("l", None).expect("create");
        store.apply("l", &archive("f f data=x")).expect("apply");
        let mode = |path: &Path| fs::symlink_metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!((mode(&settings.root), mode(&settings.run)), (0o700, 0o711));
        assert_eq!(mode(&settings.run.join("mica.sock")), 0o660);
        for path in below(&lab.path("made")) {
            let found = fs::symlink_metadata(&path).expect("it is there");
            let lax = found.mode() & 0o002 != 0 && !found.is_symlink();
            assert!(
                !lax,
                "umask {umask}: {} has {:o}",
                path.display(),
                found.mode()
            );
        }
    }
}

#[test]
fn a_directory_that_others_can_change_is_not_used_until_it_is_mended() {
    let lab = Lab::on(FileSystem::Ext4);
    let directories = [
        ("root", "--root"),
        ("run", "--run-dir"),
        ("drivers", "--drivers-dir"),
    ];
    for (name, flag) in directories {
        let (above, path) = (
            lab.path(&format!("above-{name}")),
            lab.path(&format!("above-{name}/{name}")),
        );
        fs::create_dir_all(&path).expect("a directory");
        let other = lab.path(&format!("other-{name}"));
        let settings = || {
            let mut settings = setup::VFS_EXT4.settings(&lab);
            match name {
                "root" => settings.root = path.clone(),
                "run" => settings.run = path.clone(),
                _ => {
                    settings.arguments =
                        vec![flag.to_owned(), path.to_str().expect("text").to_owned()]
                }
            }
            settings
        };
        let refused = |what: &str, remedy: &str| {
            let log = settings().start_in_vain();
            assert!(
                log.contains(&path.display().to_string()),
                "{name}, {what}: {log}"
            );
            assert!(
                log.contains(what) && log.contains(remedy),
                "{name}, {what}: {log}"
            );
        };
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode")
        };
        chown(&path, Some(STRANGER), None).expect("give it away");
        refused("belongs to user 4711", "try: `chown 0 ");
        chown(&path, Some(0), None).expect("take it back");
        mode(&path, 0o777);
        refused("everyone may write", "try: `chmod go-w ");
        mode(&path, 0o755);
        mode(&above, 0o777);
        refused("everyone may write", "try: `chmod go-w ");
        mode(&above, 0o755);
        chown(&above, Some(STRANGER), None).expect("give it away");
        refused("belongs to user 4711", "try: `chown 0 ");
        chown(&above, Some(0), None).expect("take it back");
        fs::rename(&path, &other).expect("move it away");
        symlink(&other, &path).expect("a link in its place");
        refused("is a symbolic link", &other.display().to_string());
        fs::remove_file(&path).expect("remove the link");
        fs::rename(&other, &path).expect("move it back");
        assert!(settings().start().stop().success());
    }
}

#[test]
fn a_cache_that_others_can_change_is_not_used() {
    let lab = Lab::on(FileSystem::Ext4);
    let settings = setup::VFS_EXT4.settings(&lab);
    settings.start().stop();
    let cache = settings.root.join("code-cache");
    chown(&cache, Some(STRANGER), None).expect("give it away");
    let log = settings.start_in_vain();
    assert!(
        log.contains("code-cache") && log.contains("chown 0"),
        "{log}"
    );
    chown(&cache, Some(0), None).expect("take it back");
    settings.start().stop();
}
