//! Does a daemon that works all the time keep to what it had in the beginning, and fail nobody?
//!
//! Clients work in turns without swaps and under swaps, so that whatever else the machine does is beside both; then 32 clients work.
//! `MICA_SOAK_SECONDS` says how long swaps go on, and has 64 clients under a swap a second; without swaps, and with 32 clients, it is a sixth
//! of that each. `make soak` sets it.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::client::{Against, Store};
use mica_tests::containerd::{Bench, Labels, Snapshotter};
use mica_tests::docker::Plugin;
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::watch::{swept, until};

/// Seconds of swaps unless something else is said.
const SECONDS: u64 = 6;
/// How long swaps go on before there is a turn without any.
const TURN: Duration = Duration::from_secs(60);
/// The write-ahead logs of three stores, of 8 MiB at most, and a little more.
const MORE_BYTES: u64 = 25 << 20;

/// A daemon with all three protocols, each with a store of its own.
struct Daemon {
    bench: Bench,
    docker: Plugin,
    store: Store,
}

/// What must be as before.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    threads: usize,
    mounts: String,
    loops: usize,
    layers: Vec<usize>,
}

impl Daemon {
    fn start() -> Self {
        let lab = Lab::on(FileSystem::Ext4);
        let socket = lab.path("docker.sock");
        let mut settings = Bench::settings(&lab, "overlay");
        let path = socket.to_str().expect("text").to_owned();
        settings
            .arguments
            .extend(["--docker-socket".to_owned(), path]);
        // Digests are taken and compared all the time as well.
        settings.configuration = Some("[scrub]\ndigests = 'all'\nmib_per_second = 0\n".to_owned());
        let bench = Bench::of(lab, &settings);
        let docker = Plugin { socket };
        let options = ["mica.driver=overlay"];
        docker.init("/docker/mica", &options).expect("init");
        let store = bench.daemon.client.default_store();
        Self {
            bench,
            docker,
            store,
        }
    }

    fn held(&self) -> Held {
        let daemon = &self.bench.daemon;
        let count = |path: &Path| fs::read_dir(path).map_or(0, Iterator::count);
        let homes = ["default", "docker", "containerd"];
        let homes = homes.map(|store| self.bench.lab.home(store));
        homes
            .iter()
            .filter(|home| home.exists())
            .for_each(|home| swept(home));
        let blocks = fs::read_dir("/sys/block").expect("list").flatten();
        // Other tests have some as well.
        let lab = self.bench.lab.path("").display().to_string();
        let is_own = |entry: &fs::DirEntry| {
            let file = fs::read_to_string(entry.path().join("loop/backing_file"));
            file.is_ok_and(|file| file.starts_with(&lab))
        };
        Held {
            descriptors: daemon.descriptors(),
            threads: count(Path::new(&format!("/proc/{}/task", daemon.pid()))),
            mounts: self.bench.lab.mount_table(),
            loops: blocks.filter(is_own).count(),
            layers: homes
                .iter()
                .map(|home| count(&home.join("layers")))
                .collect(),
        }
    }

    fn used_bytes(&self) -> u64 {
        let found = rustix::fs::statvfs(self.bench.lab.root()).expect("statvfs");
        (found.f_blocks - found.f_bfree) * found.f_frsize
    }

    /// One layer from its beginning to its end, over REST.
    fn rest(&self, worker: usize, content: &[u8]) {
        let (store, id) = (&self.store, format!("r{worker}"));
        store.create(&id, Some("base")).expect("create");
        store.apply(&id, content).expect("apply");
        let path = store.mount(&id).expect("mount");
        fs::write(path.join("written"), "x").expect("write");
        store.unmount(&id).expect("unmount");
        assert!(!store.diff(&id, Against::Parent).expect("diff").is_empty());
        assert!(
            !store
                .changes(&id, Against::Parent)
                .expect("changes")
                .is_empty()
        );
        store.remove(&id).expect("remove");
    }

    /// The same as dockerd does it.
    fn docker(&self, worker: usize, content: &[u8]) {
        let (docker, id) = (&self.docker, format!("d{worker}"));
        docker.create(&id, "").expect("create");
        docker.apply(&id, "", content).expect("apply");
        let path = docker.get(&id).expect("get");
        assert!(path.join("dir").is_dir());
        docker.about("Put", &id).expect("put");
        docker.about("Remove", &id).expect("remove");
    }
}

/// The same as containerd does it.
fn containerd(client: &mut Snapshotter, worker: usize, round: u64) {
    let (key, name) = (format!("k{worker}-{round}"), format!("n{worker}-{round}"));
    let mounts = client.prepare(&key, "", &Labels::new()).expect("prepare");
    fs::write(Path::new(&mounts[0].source).join("file"), "x").expect("write");
    client
        .commit(&name, &key, "", &Labels::new())
        .expect("commit");
    client.view(&key, &name).expect("view");
    client.remove(&key).expect("remove the view");
    client.remove(&name).expect("remove");
}

/// What clients did.
#[derive(Default)]
struct Work {
    /// How long each life of a layer took, in their order.
    lives: Vec<Duration>,
    swaps: u32,
}

impl Work {
    fn add(&mut self, other: Self) {
        self.lives.extend(other.lives);
        self.lives.sort_unstable();
        self.swaps += other.swaps;
    }

    /// The time that so many of a thousand lives took at most.
    fn within(&self, thousandths: usize) -> Duration {
        let at = self.lives.len() * thousandths / 1000;
        let last = self.lives.last().copied();
        self.lives.get(at).copied().or(last).unwrap_or_default()
    }

    fn tell(&self, clients: usize) {
        println!(
            "{clients} clients: {} layers lived and died under {} swaps, without a failed call; half of them within {:?}, \
             99 of 100 within {:?}",
            self.lives.len(),
            self.swaps,
            self.within(500),
            self.within(990)
        );
    }
}

/// Lets so many clients work for a while, each protocol a third of them, and swaps the driver meanwhile if that is wanted.
fn work(daemon: &Daemon, clients: usize, time: Duration, swap_pause: Option<Duration>) -> Work {
    let content = &archive("d dir\nf dir/file fill=5000\nl link to=dir");
    let (is_over, lives) = (&AtomicBool::new(false), &Mutex::new(Vec::new()));
    let mut swaps = 0;
    std::thread::scope(|scope| {
        for worker in 0..clients {
            scope.spawn(move || {
                let mut snapshots = (worker % 3 == 2).then(|| daemon.bench.client());
                let mut round = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    match (worker % 3, &mut snapshots) {
                        (0, _) => daemon.rest(worker, content),
                        (_, Some(client)) => containerd(client, worker, round),
                        _ => daemon.docker(worker, content),
                    }
                    round += 1;
                    lives.lock().expect("a list").push(began.elapsed());
                }
            });
        }
        let began = Instant::now();
        while began.elapsed() < time {
            let scrub = "/v1/stores/default/scrub";
            let null = serde_json::Value::Null;
            let client = &daemon.store.client;
            client.json("POST", scrub, &null).expect("scrub");
            if swap_pause.is_some() {
                let report = client.swap_driver("overlay", None);
                report.unwrap_or_else(|problem| panic!("swap {swaps}: {problem:?}"));
                swaps += 1;
            }
            std::thread::sleep(swap_pause.unwrap_or(Duration::from_millis(200)));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let mut lives = std::mem::take(&mut *lives.lock().expect("a list"));
    lives.sort_unstable();
    Work { lives, swaps }
}

#[test]
fn a_daemon_that_works_all_the_time_holds_what_it_held_and_fails_nobody() {
    let seconds = std::env::var("MICA_SOAK_SECONDS").ok();
    let is_long = seconds.is_some();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
    let time = Duration::from_secs(seconds);
    let daemon = Daemon::start();
    daemon.store.create("base", None).expect("create");
    let base = archive("d d\nf d/f fill=20000");
    daemon.store.apply("base", &base).expect("apply");
    // What the first of everything needs stays: threads, connections, a build that is kept for a rollback.
    work(&daemon, 32, Duration::from_secs(2), Some(Duration::ZERO));
    daemon.bench.settle();
    let (before, bytes) = (daemon.held(), daemon.used_bytes());
    let memory = daemon.bench.daemon.resident_kib();
    let (clients, pause) = match is_long {
        true => (64, Duration::from_secs(1)),
        false => (12, Duration::from_millis(200)),
    };
    // The same without swaps beside it, to see what these cost.
    let (mut calm, mut swapped) = (Work::default(), Work::default());
    let mut left = time;
    while !left.is_zero() {
        let turn = left.min(TURN);
        calm.add(work(&daemon, clients, turn / 6, None));
        swapped.add(work(&daemon, clients, turn, Some(pause)));
        left -= turn;
    }
    for done in [&calm, &swapped] {
        done.tell(clients);
        assert!(!done.lives.is_empty());
    }
    assert!(calm.swaps == 0 && swapped.swaps > 0);
    work(&daemon, 32, time / 6, None).tell(32);
    daemon.bench.settle();
    let close = |held: &Held| {
        // Threads that wait for calls come and go; there are no more than in the beginning.
        held.threads <= before.threads + 2 && held.descriptors <= before.descriptors + 2
    };
    until("threads and descriptors are as before", || {
        close(&daemon.held())
    });
    let after = daemon.held();
    println!("before {before:?}\nafter  {after:?}");
    assert_eq!((&after.mounts, after.loops), (&before.mounts, before.loops));
    assert_eq!(after.layers, before.layers);
    let used = daemon.used_bytes();
    assert!(
        used <= bytes + MORE_BYTES,
        "{used} bytes are used, {bytes} were"
    );
    let grown = daemon.bench.daemon.resident_kib().saturating_sub(memory);
    println!("memory grew by {grown} KiB, from {memory}");
    assert!(grown < 64 << 10, "memory grew by {grown} KiB");
    let log = daemon.bench.daemon.log();
    assert!(
        !log.contains("panicked") && !log.contains("is damaged"),
        "{log}"
    );
}
