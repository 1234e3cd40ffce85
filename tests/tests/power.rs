//! The power goes at any moment: what was acknowledged is on the disk, and the file system and the daemon come back.
//!
//! `MICA_CUTS` says how many cuts each test makes of what was written; `make crash` sets it.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use mica_tests::containerd::{Bench, Labels, Snapshotter, wire};
use mica_tests::daemon::Settings;
use mica_tests::docker::Plugin;
use mica_tests::fault::{end, inject, strace_is_there};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::ledger::{self, Known, Ledger, Looks, content};
use mica_tests::power::{Cache, LoggedDisk, Writes};
use mica_tests::script::noise;
use serde_json::json;

/// Cuts of a test unless something else is said.
const CUTS: usize = 4;
/// Lives of layers for each client of REST and the one of Docker's protocol, and of snapshots for the one of containerd.
const LIVES: u32 = 10;

/// What was done on a disk, and what of it was acknowledged when.
struct Rig {
    lab: Lab,
    settings: Settings,
    writes: Writes,
    looks: Looks,
    layers: Ledger,
    docker: Docker,
    snapshots: Ledger,
    /// When the clients began and ended, by the disk's clock.
    began: u64,
    ended: u64,
}

/// Makes snapshots of containerd, commits most and removes some. Each second one has a file that somebody else than Mica wrote; half are
/// those that are unpacked into, which nobody has to find before they are committed.
fn work(client: &mut Snapshotter, ledger: &Ledger) {
    let none = Labels::new();
    let reference = ("containerd.io/snapshot.ref".to_owned(), "ref".to_owned());
    let unpacked = Labels::from([reference]);
    for number in 0..LIVES {
        let (key, name) = (format!("key-{number}"), format!("name-{number}"));
        let is_unpacked = number % 4 > 1;
        let labels = if is_unpacked { &unpacked } else { &none };
        let parent = if has_file(&name) { "" } else { "base" };
        ledger.note(&key, Known::Perhaps);
        let mounts = client.prepare(&key, parent, labels).expect("prepare");
        if !is_unpacked {
            ledger.note(&key, Known::Created);
        }
        if has_file(&name) {
            let file = Path::new(&mounts[0].source).join("file");
            fs::write(file, content_of(&name)).expect("write");
        }
        if number % 3 == 0 {
            continue;
        }
        ledger.note(&key, Known::PerhapsRemoved);
        ledger.note(&name, Known::Perhaps);
        client.commit(&name, &key, parent, labels).expect("commit");
        ledger.note(&key, Known::Removed);
        ledger.note(&name, Known::Created);
        if number % 3 == 1 {
            ledger.note(&name, Known::PerhapsRemoved);
            client.remove(&name).expect("remove");
            ledger.note(&name, Known::Removed);
        }
    }
}

fn has_file(name: &str) -> bool {
    name.ends_with(['1', '3', '5', '7', '9'])
}

fn content_of(name: &str) -> Vec<u8> {
    noise(name.as_bytes(), 9000)
}

/// What a client of Docker's plugin protocol did.
struct Docker {
    plugin: Plugin,
    driver: String,
    ledger: Ledger,
    /// The archives of a layer that nothing was applied to, and of one that has the content.
    looks: [Vec<u8>; 2],
}

impl Docker {
    /// Makes a store with a base, and what is needed to know layers again.
    fn prepare(plugin: Plugin, driver: &str, ledger: Ledger, content: &[u8]) -> Self {
        let driver = format!("mica.driver={driver}");
        let prepared = Self {
            plugin,
            driver,
            ledger,
            looks: [Vec::new(), Vec::new()],
        };
        prepared.init();
        let plugin = &prepared.plugin;
        plugin.create("base", "").expect("Create");
        let looks = ["empty", "full"].map(|id| {
            plugin.create(id, "base").expect("Create");
            if id == "full" {
                plugin.apply(id, "base", content).expect("ApplyDiff");
            }
            plugin.diff(id, "base").expect("Diff")
        });
        assert!(looks[0] != looks[1], "nothing was applied");
        Self { looks, ..prepared }
    }

    fn init(&self) {
        let home = "/var/lib/docker/mica";
        self.plugin.init(home, &[&self.driver]).expect("Init");
    }

    /// Creates layers, applies an archive to each second one, and removes a third.
    fn work(&self, content: &[u8]) {
        let Self { plugin, ledger, .. } = self;
        for number in 0..LIVES {
            let id = format!("docker-{number}");
            ledger.note(&id, Known::Perhaps);
            plugin.create(&id, "base").expect("Create");
            ledger.note(&id, Known::Created);
            if number % 2 == 1 {
                ledger.note(&id, Known::PerhapsApplied);
                plugin.apply(&id, "base", content).expect("ApplyDiff");
                ledger.note(&id, Known::Applied);
            }
            if number % 3 == 1 {
                ledger.note(&id, Known::PerhapsRemoved);
                plugin.about("Remove", &id).expect("Remove");
                ledger.note(&id, Known::Removed);
            }
        }
    }

    fn check(&self, moment: u64) {
        self.init();
        let full = self.plugin.diff("full", "base").expect("Diff");
        assert!(full == self.looks[1], "what was there before is damaged");
        for (id, known) in self.ledger.known_at(moment) {
            let there = self.plugin.about("Exists", &id).expect("Exists");
            let is_there = there == json!({ "Exists": true });
            match known {
                Known::Created | Known::PerhapsApplied | Known::Applied => {
                    assert!(is_there, "`{id}` is lost: {known:?}");
                }
                Known::Removed => assert!(!is_there, "`{id}` is back"),
                Known::Perhaps | Known::PerhapsRemoved => {}
            }
            if !is_there {
                continue;
            }
            let diff = self.plugin.diff(&id, "base").expect("Diff");
            let [is_empty, is_full] = [0, 1].map(|look| diff == self.looks[look]);
            let is_right = match known {
                Known::Perhaps | Known::Created => is_empty,
                Known::Applied => is_full,
                _ => is_empty || is_full,
            };
            assert!(is_right, "`{id}` is damaged: {known:?}");
        }
    }
}

impl Rig {
    /// Lets clients work on a disk that logs. Without syncs nothing reaches it before the kernel thinks so.
    fn new(driver: &str, file_system: FileSystem, has_syncs: bool) -> Self {
        let mut lab = Lab::on(FileSystem::Machine);
        let disk = LoggedDisk::start(&lab.path("disk"), file_system);
        lab.attach(&disk.image());
        let mut settings = Bench::settings(&lab, driver);
        settings.configuration = Some(format!("[containerd]\ndriver = \"{driver}\"\n"));
        let socket = lab.path("run/docker.sock");
        let path = socket.to_str().expect("a path that is text").to_owned();
        settings
            .arguments
            .extend(["--docker-socket".to_owned(), path]);
        let bench = Bench::of(lab, &settings);
        let (content, store) = (content(), bench.daemon.client.default_store());
        let looks = ledger::prepare(&store, &content);
        let mut client = bench.client();
        client.prepare("x", "", &Labels::new()).expect("prepare");
        client
            .commit("base", "x", "", &Labels::new())
            .expect("commit");
        let [layers, docker, snapshots] = [(); 3].map(|()| Ledger::by(Box::new(disk.clock())));
        let docker = Docker::prepare(Plugin { socket }, driver, docker, &content);
        // What is there before the first cut is on the disk, with or without syncs of the daemon.
        rustix::fs::sync();
        let faked =
            (!has_syncs).then(|| inject(&bench.daemon, "fsync,fdatasync,syncfs", "retval=0", "1+"));
        let clock = disk.clock();
        let began = clock();
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let (store, layers, content) = (&store, &layers, &content);
                scope.spawn(move || ledger::work(store, layers, worker, 0..LIVES, content));
            }
            scope.spawn(|| docker.work(&content));
            work(&mut client, &snapshots);
        });
        let ended = clock();
        end(faked.flatten());
        let Bench {
            daemon, mut lab, ..
        } = bench;
        daemon.kill();
        lab.detach();
        let writes = disk.stop();
        Self {
            lab,
            settings,
            writes,
            looks,
            layers,
            docker,
            snapshots,
            began,
            ended,
        }
    }

    /// Cuts the power at moments that are spread over the work, and looks at what there is then.
    fn cut(&mut self, cuts: usize) {
        let seed = std::env::var("MICA_SEED").ok();
        let seed = seed.map_or(1, |text| text.parse().expect("a number"));
        let image = self.lab.path("cut");
        let moments = self.writes.moments(self.began, self.ended, cuts, seed);
        for (number, moment) in moments.into_iter().enumerate() {
            let cache = match number % 4 {
                0 => Cache::Lost,
                1 => Cache::Kept,
                _ => Cache::Some(seed + number as u64),
            };
            println!(
                "cut {number} at {moment} of {}..{}, {cache:?}",
                self.began, self.ended
            );
            self.writes.cut(moment, cache, &image);
            self.look(&image, moment);
        }
        println!("{cuts} cuts, and nothing is lost");
    }

    fn look(&mut self, image: &Path, moment: u64) {
        self.lab.attach(image);
        // What lies there does not outlive a machine.
        fs::remove_dir_all(&self.settings.run).expect("remove");
        fs::create_dir(&self.settings.run).expect("make");
        let daemon = self.settings.start();
        let store = daemon.client.default_store();
        ledger::check(&store, &self.layers.known_at(moment), &self.looks);
        self.docker.check(moment);
        let mut client = Snapshotter::new(&self.lab.path("run/containerd.sock"));
        check(&mut client, &self.snapshots.known_at(moment));
        let status = daemon.client.get("/v1/status").expect("status");
        assert_eq!(status["problems"], serde_json::json!([]));
        assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
        daemon.kill();
        self.lab.detach();
    }
}

fn check(client: &mut Snapshotter, known: &BTreeMap<String, Known>) {
    let there = client.list(&["name!=base".into()]).expect("list").concat();
    for (name, known) in known {
        let found = there.iter().find(|info| info.name == *name);
        match known {
            Known::Created => assert!(found.is_some(), "`{name}` is lost"),
            Known::Removed => assert!(found.is_none(), "`{name}` is back"),
            _ => {}
        }
    }
    for info in &there {
        assert!(
            known.contains_key(&info.name),
            "`{}` came from nowhere",
            info.name
        );
        if info.kind() == wire::Kind::Active {
            client.mounts(&info.name).expect("mounts");
        }
        client.usage(&info.name).expect("usage");
        if info.kind() == wire::Kind::Committed && has_file(&info.name) {
            let shown = client.view("look", &info.name).expect("view");
            let found = fs::read(Path::new(&shown[0].source).join("file")).expect("read");
            assert!(
                found == content_of(&info.name),
                "`{}` is damaged",
                info.name
            );
            client.remove("look").expect("remove");
        }
    }
    client.stat("base").expect("the base is there");
}

fn nothing_is_lost(driver: &str, file_system: FileSystem) {
    let cuts = std::env::var("MICA_CUTS").ok();
    let cuts = cuts.map_or(CUTS, |text| text.parse().expect("a number of cuts"));
    Rig::new(driver, file_system, true).cut(cuts);
}

#[test]
fn overlay_on_ext4_loses_nothing() {
    nothing_is_lost("overlay", FileSystem::Ext4);
}

#[test]
fn overlay_on_xfs_loses_nothing() {
    nothing_is_lost("overlay", FileSystem::Xfs);
}

#[test]
fn overlay_on_btrfs_loses_nothing() {
    nothing_is_lost("overlay", FileSystem::Btrfs);
}

#[test]
fn erofs_on_ext4_loses_nothing() {
    nothing_is_lost("erofs", FileSystem::Ext4);
}

#[test]
fn erofs_on_xfs_loses_nothing() {
    nothing_is_lost("erofs", FileSystem::Xfs);
}

#[test]
fn erofs_on_btrfs_loses_nothing() {
    nothing_is_lost("erofs", FileSystem::Btrfs);
}

#[test]
fn vfs_on_ext4_loses_nothing() {
    nothing_is_lost("vfs", FileSystem::Ext4);
}

#[test]
fn vfs_on_xfs_loses_nothing() {
    nothing_is_lost("vfs", FileSystem::Xfs);
}

#[test]
fn vfs_on_btrfs_loses_nothing() {
    nothing_is_lost("vfs", FileSystem::Btrfs);
}

#[test]
fn btrfs_loses_nothing() {
    nothing_is_lost("btrfs", FileSystem::Btrfs);
}

/// Shows that the others can fail.
#[test]
fn without_syncs_something_is_lost() {
    if !strace_is_there() {
        return;
    }
    let mut rig = Rig::new("overlay", FileSystem::Ext4, false);
    let lost = catch_unwind(AssertUnwindSafe(|| rig.cut(12)));
    assert!(
        lost.is_err(),
        "no cut of twelve found that nothing was synced"
    );
}
