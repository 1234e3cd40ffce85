//! Under a service manager: sockets that it has opened, and what it is told.

use std::fs;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mica_tests::client::Client;
use mica_tests::containerd::{Bench, Labels, Snapshotter};
use mica_tests::daemon::Settings;
use mica_tests::lab::{FileSystem, Lab};

/// What the manager hears.
struct Manager(UnixDatagram);

impl Manager {
    fn new(lab: &Lab, settings: &mut Settings) -> Self {
        let path = lab.path("notify");
        let socket = UnixDatagram::bind(&path).expect("bind");
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("set");
        let path = path.to_str().expect("text").to_owned();
        settings.environment.push(("NOTIFY_SOCKET".into(), path));
        Self(socket)
    }

    /// The next assignments, one a line; a line break at the end says nothing.
    fn hears(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).expect("it is told something");
        String::from_utf8_lossy(&bytes[..length])
            .trim_end()
            .to_owned()
    }
}

/// A daemon for containerd whose two sockets are there before it is.
fn with_sockets(lab: &Lab) -> Settings {
    let mut settings = Bench::settings(lab, "overlay");
    fs::create_dir_all(lab.path("run")).expect("make");
    let bind = |name: &str| {
        let listener = UnixListener::bind(lab.path("run").join(name)).expect("bind");
        Arc::new(listener)
    };
    settings.sockets = Some([bind("containerd.sock"), bind("mica.sock")]);
    settings
}

#[test]
fn a_restart_under_a_manager_loses_no_request_and_no_mount() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = with_sockets(&lab);
    let manager = Manager::new(&lab, &mut settings);
    let mut point = None;
    for round in 0..2 {
        let sockets = ["run/mica.sock", "run/containerd.sock"].map(|name| lab.path(name));
        std::thread::scope(|scope| {
            // They ask while no one is there.
            let rest = scope.spawn(|| Client::new(&sockets[0]).get("/v1/status"));
            let listed = scope.spawn(|| Snapshotter::new(&sockets[1]).list(&[]));
            std::thread::sleep(Duration::from_millis(200));
            assert!(!rest.is_finished() && !listed.is_finished());
            let daemon = settings.start();
            let told = manager.hears();
            assert!(told.starts_with("READY=1\nSTATUS="), "{told}");
            assert!(
                told.contains("mica.sock") && told.contains("2 stores"),
                "{told}"
            );
            rest.join().expect("a thread").expect("an answer");
            listed.join().expect("a thread").expect("an answer");
            let store = daemon.client.default_store();
            if round == 0 {
                store.create("layer", None).expect("create");
                let at = store.mount("layer").expect("mount");
                fs::write(at.join("file"), "kept").expect("write");
                point = Some(at);
            }
            let at: &Path = point.as_deref().expect("a mount");
            assert_eq!(fs::read_to_string(at.join("file")).expect("read"), "kept");
            if round == 1 {
                assert_eq!(store.unmount("layer").expect("unmount"), 0);
            }
            assert!(daemon.stop().success());
            assert!(manager.hears().starts_with("STOPPING=1\n"));
        });
        for socket in &sockets {
            assert!(socket.exists(), "the manager's socket is gone");
        }
        if round == 0 {
            let at = point.as_deref().expect("a mount");
            assert!(at.join("file").exists(), "the mount is gone");
        }
    }
}

#[test]
fn a_client_that_keeps_its_connection_does_not_delay_the_end() {
    let bench = Bench::start(FileSystem::Ext4, "overlay");
    let mut client = bench.client();
    client.prepare("k", "", &Labels::new()).expect("prepare");
    let began = Instant::now();
    assert!(bench.daemon.stop().success());
    // Requests that run would have 10 s.
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(client);
}

#[test]
fn a_socket_that_nothing_answers_on_is_named() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = with_sockets(&lab);
    settings.arguments.clear();
    let log = settings.start_in_vain();
    for part in ["run/containerd.sock", "--containerd-socket"] {
        assert!(log.contains(part), "{log}");
    }
    assert!(lab.path("run/containerd.sock").exists());
}

#[test]
fn sockets_for_another_process_are_not_taken() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = Bench::settings(&lab, "overlay");
    for (name, value) in [("LISTEN_PID", "1"), ("LISTEN_FDS", "1")] {
        settings.environment.push((name.into(), value.into()));
    }
    let daemon = settings.start();
    let mut client = Snapshotter::new(&lab.path("run/containerd.sock"));
    client.prepare("k", "", &Labels::new()).expect("prepare");
    drop(client);
    assert!(daemon.stop().success());
    assert!(!lab.path("run/mica.sock").exists());
}

#[test]
fn a_watchdog_hears_of_a_daemon_that_lives_and_of_no_other() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = Settings::new(&lab.root(), &lab.path("run"), "overlay");
    let manager = Manager::new(&lab, &mut settings);
    let period = ("WATCHDOG_USEC".to_owned(), "200000".to_owned());
    settings.environment.push(period);
    let daemon = settings.start();
    assert!(manager.hears().starts_with("READY=1"));
    for _ in 0..3 {
        assert_eq!(manager.hears(), "WATCHDOG=1");
    }
    let pid = daemon.pid().to_string();
    mica_tests::lab::run(&["kill", "-STOP", &pid]);
    std::thread::sleep(Duration::from_secs(1));
    manager.0.set_nonblocking(true).expect("set");
    while manager.0.recv(&mut [0; 64]).is_ok() {}
    std::thread::sleep(Duration::from_secs(1));
    assert!(manager.0.recv(&mut [0; 64]).is_err(), "no one tells this");
    mica_tests::lab::run(&["kill", "-CONT", &pid]);
    manager.0.set_nonblocking(false).expect("set");
    assert_eq!(manager.hears(), "WATCHDOG=1");
}
