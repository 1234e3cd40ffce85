//! What the daemon's process does to its machine, and what it lets others do to it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::client::Against;
use mica_tests::http::{self, Body};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup::{self, Bench};

/// All that one layer goes through.
fn life(bench: &Bench) {
    let store = &bench.store;
    store.create("base", None).expect("create");
    store
        .apply("base", &archive("d d\nf d/f fill=5000"))
        .expect("apply");
    store.create("l", Some("base")).expect("create");
    let path = store.mount("l").expect("mount");
    fs::write(path.join("f"), "x").expect("write");
    store.unmount("l").expect("unmount");
    store.diff("l", Against::Parent).expect("diff");
    store.changes("l", Against::Layer("base")).expect("changes");
    store.remove("l").expect("remove");
    store.remove("base").expect("remove");
}

#[test]
fn nothing_is_executed_and_no_option_string_is_mounted() {
    // ATTACKS 48: helpers from an attacker's tree; 54: an option string of a page is cut and mounted without its upper.
    let bench = setup::OVERLAY_EXT4.start();
    let trace = bench.lab.path("trace");
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=execve,execveat,mount,fsopen",
        "-o",
    ]);
    command
        .arg(&trace)
        .args(["-p", &bench.daemon.pid().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let Ok(mut tracer) = command.spawn() else {
        panic!("start setpriv")
    };
    std::thread::sleep(Duration::from_millis(500));
    if tracer.try_wait().expect("wait").is_some() {
        assert!(std::env::var_os("CI").is_none(), "strace is not installed");
        println!("skipped: strace is not installed");
        return;
    }
    life(&bench);
    let pid = rustix::process::Pid::from_raw(tracer.id().try_into().expect("a number"))
        .expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("end strace");
    tracer.wait().expect("wait");
    let calls = fs::read_to_string(&trace).expect("a trace");
    assert!(!calls.contains("execve"), "{calls}");
    assert!(
        !calls
            .lines()
            .any(|line| line.contains(" mount(") && line.contains("lowerdir")),
        "{calls}"
    );
    assert!(
        calls.contains("fsopen(\"overlay\""),
        "overlay is not mounted by handles: {calls}"
    );
}

#[test]
fn no_descriptor_outlives_an_exec() {
    // ATTACKS 67.
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = setup::OVERLAY_EXT4.settings(&lab);
    settings.wrapper = ["sh", "-c", "exec 9</dev/null; exec \"$@\"", "sh"]
        .map(str::to_owned)
        .into();
    let daemon = settings.start();
    let store = daemon.client.default_store();
    let bench = Bench { daemon, store, lab };
    bench.store.create("l", None).expect("create");
    bench.store.mount("l").expect("mount");
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", bench.daemon.pid()))
        .expect("descriptors")
        .flatten()
    {
        let name = entry.file_name();
        let number: u32 = name
            .to_str()
            .and_then(|name| name.parse().ok())
            .expect("a number");
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        let flags = text
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .expect("flags")
            .trim();
        let flags = u32::from_str_radix(flags, 8).expect("octal digits");
        let link =
            fs::read_link(format!("/proc/{}/fd/{number}", bench.daemon.pid())).unwrap_or_default();
        // Also what the daemon was started with: the runner of the tests leaves some open, and one is left here.
        assert!(
            number < 3 || flags & 0o2_000_000 != 0,
            "descriptor {number}, {}",
            link.display()
        );
    }
    bench.store.unmount("l").expect("unmount");
}

#[test]
fn a_life_leaves_no_descriptor_thread_or_mount() {
    let bench = setup::OVERLAY_EXT4.start();
    life(&bench);
    let count = |what: &str| {
        let entries =
            fs::read_dir(format!("/proc/{}/{what}", bench.daemon.pid())).expect("the process");
        entries.count()
    };
    let settled = |what: &str, most: usize| {
        let deadline = Instant::now() + Duration::from_secs(15);
        while count(what) > most {
            assert!(
                Instant::now() < deadline,
                "{what}: {} now, {most} before",
                count(what)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    std::thread::sleep(Duration::from_millis(300));
    let descriptors = count("fd");
    for _ in 0..30 {
        life(&bench);
    }
    settled("fd", descriptors + 2);
    bench.watch().check();
}

#[test]
fn idle_and_half_open_connections_hold_no_one_up() {
    // ATTACKS 46 and 58.
    let bench = setup::VFS_EXT4.start();
    bench.store.create("slow", None).expect("create");
    let halves: Vec<UnixStream> = (0..100)
        .map(|_| {
            let mut stream = UnixStream::connect(&bench.daemon.client.socket).expect("connect");
            stream.write_all(b"GET /v1/sta").expect("write");
            stream
        })
        .collect();
    let body = archive("f f fill=100000");
    let target = bench.store.target("slow", "/diff");
    let mut slow = http::begin(
        &bench.daemon.client.socket,
        "PUT",
        &target,
        &[],
        Body::Bytes(&body),
    )
    .expect("connect");
    slow.write_all(&body[..1000]).expect("some bytes");
    std::thread::sleep(Duration::from_millis(200));
    let started = Instant::now();
    life(&bench);
    let problem = bench
        .store
        .apply("slow", &body)
        .expect_err("someone else is at it");
    assert_eq!(problem.status, 409, "{problem:?}");
    assert!(
        // It waits half a minute for the layer to become free.
        started.elapsed() < Duration::from_secs(45),
        "{:?}",
        started.elapsed()
    );
    slow.write_all(&body[1000..]).expect("the rest");
    let answer = http::read_response(&mut std::io::BufReader::new(slow)).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    drop(halves);
    bench.store.remove("slow").expect("remove");
    bench.watch().check();
}

/// A machine with nothing to do saves power only if no one wakes it.
#[test]
fn an_idle_daemon_is_rarely_woken() {
    const SECONDS: u64 = 5;
    const MOST_A_SECOND: u64 = 5;
    let bench = setup::VFS_EXT4.start();
    life(&bench);
    // What begins after the work, such as the removal of layers, ends by itself; threads that wait for more end too.
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let before = bench.daemon.sleeps();
        std::thread::sleep(Duration::from_secs(SECONDS));
        // Fewer than before when a thread has ended.
        let woken = bench.daemon.sleeps().saturating_sub(before);
        if woken < SECONDS * MOST_A_SECOND {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "it was woken {woken} times in {SECONDS} seconds"
        );
    }
}

#[test]
fn a_stop_ends_in_time_and_takes_the_socket_away() {
    let bench = setup::VFS_EXT4.start();
    let socket = bench.daemon.client.socket.clone();
    let idle = UnixStream::connect(&socket).expect("connect");
    let events = http::begin(&socket, "GET", "/v1/events", &[], Body::Empty).expect("connect");
    let Bench { daemon, store, lab } = bench;
    let status = daemon.stop();
    assert!(status.success(), "{status}");
    assert!(!socket.exists(), "the socket is still there");
    drop((idle, events, store, lab));
}

#[test]
fn what_is_no_socket_is_not_replaced() {
    // ATTACKS 59.
    let lab = Lab::on(FileSystem::Machine);
    let settings = setup::VFS_EXT4.settings(&lab);
    let socket = lab.path("run/mica.sock");
    fs::write(&socket, "precious").expect("write");
    settings.try_start().expect_err("a file is in the way");
    assert_eq!(fs::read_to_string(&socket).expect("read"), "precious");
    fs::remove_file(&socket).expect("remove");
    std::os::unix::fs::symlink(lab.canary().join("victim/secret"), &socket).expect("link");
    if let Ok(daemon) = settings.try_start() {
        drop(daemon);
    }
    assert_eq!(
        fs::read_to_string(lab.canary().join("victim/secret")).expect("read"),
        "canary-content"
    );
    fs::remove_file(&socket).ok();
    // A socket that a killed daemon left is replaced.
    settings.start().kill();
    assert!(fs::symlink_metadata(&socket).is_ok_and(|metadata| metadata.file_type().is_socket()));
    assert!(settings.start().stop().success());
}

#[test]
fn tcp_is_for_the_machine_itself() {
    let lab = Lab::on(FileSystem::Machine);
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let mut settings = setup::VFS_EXT4.settings(&lab);
    settings.arguments = vec![
        "--tcp".to_owned(),
        format!("127.0.0.1:{port}"),
        "--tcp-unauthenticated".to_owned(),
    ];
    let daemon = settings.start();
    let ask = |head: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        write!(
            stream,
            "GET /v1/status HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
        )
        .expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(ask(&format!("Host: 127.0.0.1:{port}\r\n")), "200");
    assert_eq!(ask(&format!("Host: localhost:{port}\r\n")), "200");
    // DNS rebinding, and pages of other origins (ATTACKS 58).
    for head in [
        "Host: evil.example\r\n".to_owned(),
        format!("Host: 127.0.0.1:{port}\r\nOrigin: http://evil.example\r\n"),
    ] {
        let status = ask(&head);
        assert!(status.starts_with('4'), "{head}: {status}");
    }
    daemon.stop();
    let daemon = setup::VFS_EXT4.settings(&lab).start();
    assert!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "TCP that no one asked for"
    );
    daemon.stop();
}

#[test]
fn a_root_that_cannot_be_written_is_named() {
    let mut lab = Lab::on(FileSystem::Ext4);
    lab.make_read_only();
    let log = setup::VFS_EXT4
        .settings(&lab)
        .try_start()
        .expect_err("nothing can be written");
    assert!(log.contains(&lab.root().display().to_string()), "{log}");
}
