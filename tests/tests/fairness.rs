//! One client, or one listener, that is asked for all it has: everyone else is served as before, and whoever finds no room
//! is told so at once.

use std::fs::{self, Permissions};
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use mica_tests::archive::archive;
use mica_tests::build::hostile_diff_driver;
use mica_tests::client::Against;
use mica_tests::command::{mica, mica_alone};
use mica_tests::containerd::Snapshotter;
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::http::{self, Body};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::setup;
use rustix::process::Uid;
use rustix::thread::set_thread_uid;
use serde_json::json;
use tonic::Code;

/// Numbers that a test reaches quickly.
const SMALL: &str = "\
tcp_unauthenticated = true
[api]
connections = 30
client_connections = 20
streams = 6
client_streams = 4
header_seconds = 600
";
const MOST: usize = 30;
const MOST_OF_CLIENT: usize = 20;
const MOST_STREAMS_OF_CLIENT: usize = 4;

/// How long a test waits for any byte.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that was free a moment ago.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A daemon with a listener of every kind, whose sockets everyone may reach.
fn start(lab: &Lab, configuration: &str) -> (Daemon, u16) {
    let port = port();
    let mut settings = setup::VFS_EXT4.settings(lab);
    settings.configuration = Some(configuration.to_owned());
    settings.arguments = ["--tcp", &format!("127.0.0.1:{port}"), "--containerd-socket"]
        .map(str::to_owned)
        .into();
    settings.arguments.push(containerd(lab));
    let daemon = settings.start();
    let mut above = daemon.client.socket.parent();
    while let Some(path) = above.filter(|path| path.starts_with(lab.path(""))) {
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("let others pass");
        above = path.parent();
    }
    for socket in [daemon.client.socket.clone(), containerd(lab).into()] {
        fs::set_permissions(socket, Permissions::from_mode(0o666)).expect("let others connect");
    }
    (daemon, port)
}

fn containerd(lab: &Lab) -> String {
    let path = lab.path("run/containerd.sock");
    path.to_str().expect("text").to_owned()
}

/// Runs something as another user: a thread has a user of its own, and the kernel tells it of its connections.
fn as_user<T: Send>(user: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            set_thread_uid(Uid::from_raw(user)).expect("become another user");
            work()
        });
        worker.join().expect("the other user's work")
    })
}

/// Begins requests that never end.
fn halves(socket: &Path, count: usize) -> Vec<UnixStream> {
    // What the other protocol begins with would be hung up on.
    let begun: &[u8] = match socket.ends_with("containerd.sock") {
        true => b"PRI * HTTP/2.0\r\n",
        false => b"GET /v1/status HTTP/1.1\r\nHost: mi",
    };
    let half = |_| {
        let mut stream = UnixStream::connect(socket).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        // Whoever is refused may be hung up on before this.
        let _begun = stream.write_all(begun);
        stream
    };
    (0..count).map(half).collect()
}

fn status(socket: &Path) -> http::Response {
    http::send(socket, "GET", "/v1/status", &[], Body::Empty).expect("an answer")
}

#[track_caller]
fn refused(answer: &http::Response, setting: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 503, "{text}");
    let problem = answer.json();
    assert_eq!(problem["code"], "too-many-requests", "{text}");
    assert!(
        text.contains(setting) && problem["remedy"].is_string(),
        "{text}"
    );
}

#[test]
fn a_listener_that_is_full_is_noticed_at_no_other() {
    let lab = Lab::on(FileSystem::Ext4);
    let (daemon, port) = start(&lab, SMALL);
    let store = daemon.client.default_store();
    let mut containerd = Snapshotter::new(Path::new(&containerd(&lab)));
    // Nobody on TCP, more than the listener has room for.
    let halves: Vec<_> = (0..4 * MOST)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
            let _begun = stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: loc");
            stream
        })
        .collect();
    let mut late = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    late.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut answer = String::new();
    let _asked = late.write_all(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // One of too many refusals at once is only hung up on.
    let _told = late.read_to_string(&mut answer);
    assert!(
        answer.is_empty()
            || answer.starts_with("HTTP/1.1 503 ") && answer.contains("api.client_connections"),
        "{answer}"
    );
    containerd
        .prepare("k", "", &std::collections::BTreeMap::new())
        .expect("containerd is served");
    store.create("l", None).expect("REST is served");
    store
        .apply("l", &archive("f f data=x"))
        .expect("an archive");
    mica(&daemon.client.socket, &["layer", "ls"]).worked();
    drop(halves);
}

#[test]
fn a_user_who_takes_all_connections_leaves_some_for_others() {
    let lab = Lab::on(FileSystem::Ext4);
    let (daemon, _) = start(&lab, SMALL);
    let socket = daemon.client.socket.clone();
    for path in [socket.clone(), containerd(&lab).into()] {
        let taken = as_user(4711, || halves(&path, MOST_OF_CLIENT));
        // The same user again, on the same listener.
        if path == socket {
            refused(&as_user(4711, || status(&path)), "`api.client_connections`");
            assert_eq!(as_user(4712, || status(&path)).status, 200, "another user");
            assert_eq!(status(&path).status, 200, "root");
        } else {
            let stat = || {
                Snapshotter::new(&path)
                    .stat("nothing")
                    .expect_err("there is nothing")
            };
            let (code, message) = as_user(4711, stat);
            assert_eq!(code, Code::ResourceExhausted, "{message}");
            assert!(message.contains("`api.client_connections`"), "{message}");
            assert_eq!(as_user(4712, stat).0, Code::NotFound, "another user");
            assert_eq!(stat().0, Code::NotFound, "root");
        }
        // And with a second user the listener itself is full, once those that were served before have gone.
        let mut more = as_user(4712, || halves(&path, MOST - MOST_OF_CLIENT));
        if path == socket {
            let deadline = Instant::now() + PATIENCE;
            let mut late = as_user(4713, || status(&path));
            while late.status == 200 {
                assert!(Instant::now() < deadline, "the listener is never full");
                more.extend(as_user(4712, || halves(&path, 1)));
                late = as_user(4713, || status(&path));
            }
            refused(&late, "`api.connections`");
        }
        drop((taken, more));
    }
    mica(&socket, &["status"]).worked();
}

#[test]
fn uploads_that_stand_still_leave_streams_for_others() {
    let lab = Lab::on(FileSystem::Ext4);
    let (daemon, _) = start(&lab, SMALL);
    let (socket, store) = (daemon.client.socket.clone(), daemon.client.default_store());
    let body = archive("f f fill=100000");
    let layers: Vec<_> = (0..=MOST_STREAMS_OF_CLIENT)
        .map(|number| format!("idle-{number}"))
        .collect();
    for layer in layers.iter().map(String::as_str).chain(["own"]) {
        store.create(layer, None).expect("create");
    }
    let begin = |layer: &String| {
        let target = store.target(layer, "/diff");
        let mut stream =
            http::begin(&socket, "PUT", &target, &[], Body::Bytes(&body)).expect("connect");
        let _sent = stream.write_all(&body[..1000]);
        stream
    };
    let (late, first) = layers.split_last().expect("layers");
    let idle: Vec<_> = as_user(4711, || first.iter().map(begin).collect());
    let deadline = Instant::now() + PATIENCE;
    while status(&socket).json()["running"] != MOST_STREAMS_OF_CLIENT {
        assert!(Instant::now() < deadline, "the uploads do not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    let late = as_user(4711, || begin(late));
    let answer = http::read_response(&mut BufReader::new(late)).expect("an answer");
    refused(&answer, "`api.client_streams`");
    store.apply("own", &body).expect("root's archive");
    store.diff("own", Against::Parent).expect("and back");
    // They end as they would have.
    for (mut stream, number) in idle.into_iter().zip(0..) {
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.write_all(&body[1000..]).expect("the rest");
        let answer = http::read_response(&mut BufReader::new(stream)).expect("an answer");
        assert_eq!(answer.status, 200, "{number}: {answer:?}");
    }
    assert_eq!(as_user(4711, || status(&socket)).status, 200);
}

/// Each operation of the driver opens all that it may and waits for a client that does not read.
#[test]
fn a_driver_that_keeps_all_it_can_open_leaves_descriptors_for_others() {
    const OPERATIONS: usize = 4;
    const MOST: usize = 3000;
    const OTHERS: usize = 200;
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = setup::VFS_EXT4.settings(&lab);
    settings.configuration = Some(format!("[limits]\ndriver_handles = {MOST}\n"));
    let daemon = settings.start();
    let component = hostile_diff_driver();
    daemon.client.load_driver(&component).expect("load");
    let made = daemon.client.create_store("theirs", "hostile", &json!({}));
    let theirs = made.expect("make a store");
    theirs.create("diff-hoard", None).expect("create");
    let before = daemon.descriptors();
    let target = theirs.target("diff-hoard", "/diff");
    let downloads: Vec<_> = (0..OPERATIONS)
        .map(|_| {
            let begun = http::begin(&daemon.client.socket, "GET", &target, &[], Body::Empty);
            let mut download = begun.expect("begin");
            // The archive begins when the driver has all that it gets; if that is nothing, it says so.
            let mut begin = [0; 100];
            download.read_exact(&mut begin).expect("the first bytes");
            let begin = String::from_utf8_lossy(&begin).into_owned();
            let answers = ["HTTP/1.1 200", "HTTP/1.1 422"];
            assert!(
                answers.iter().any(|answer| begin.starts_with(answer)),
                "{begin}"
            );
            download
        })
        .collect();
    let open = daemon.descriptors();
    assert!(
        open > before + MOST / 2,
        "{open}: the driver hoards nothing"
    );
    assert!(
        open < before + MOST + OTHERS,
        "{open} descriptors are open, {before} were"
    );
    let ours = daemon.client.default_store();
    ours.create("layer", None).expect("create");
    ours.apply("layer", &archive("d d\nf d/f data=1"))
        .expect("apply");
    ours.diff("layer", Against::Nothing).expect("diff");
    drop(downloads);
    let deadline = Instant::now() + PATIENCE;
    while daemon.descriptors() > before + OTHERS {
        assert!(
            Instant::now() < deadline,
            "{} stay open",
            daemon.descriptors()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_connection_that_asks_for_nothing_is_closed() {
    let lab = Lab::on(FileSystem::Ext4);
    let (_daemon, port) = start(
        &lab,
        "tcp_unauthenticated = true\n[api]\nheader_seconds = 1\n",
    );
    let greeting: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (what, begun) in [
        ("silence", &b""[..]),
        ("half a greeting", &greeting[..10]),
        ("a greeting", greeting),
    ] {
        let mut stream = UnixStream::connect(containerd(&lab)).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.write_all(begun).expect("begin");
        let mut rest = Vec::new();
        // It ends, and not because the test gave up.
        stream.read_to_end(&mut rest).expect(what);
    }
    let mut half = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    half.set_read_timeout(Some(PATIENCE)).expect("a limit");
    half.write_all(b"GET /v1/st").expect("begin");
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).expect("the end");
}

/// A file with this text and mode.
fn token(lab: &Lab, name: &str, text: &str, mode: u32) -> String {
    let path = lab.path(name);
    fs::write(&path, text).expect("write");
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
    path.to_str().expect("text").to_owned()
}

fn with_tcp(lab: &Lab, port: u16, more: &[&str]) -> Settings {
    let mut settings = setup::VFS_EXT4.settings(lab);
    settings.arguments = vec!["--tcp".to_owned(), format!("127.0.0.1:{port}")];
    settings
        .arguments
        .extend(more.iter().map(|&word| word.to_owned()));
    settings
}

/// What TCP answers to a request with these headers.
fn ask(port: u16, target: &str, head: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: localhost\r\n{head}Connection: close\r\n\r\n"
    )
    .expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn tcp_wants_a_secret_and_says_so() {
    const SECRET: &str = "a-secret-of-many-characters";
    let lab = Lab::on(FileSystem::Machine);
    let port = port();
    let file = token(&lab, "token", SECRET, 0o600);
    let daemon = with_tcp(&lab, port, &["--token-file", &file]).start();
    let ask = |target: &str, head: &str| ask(port, target, head);
    let shown = format!("Authorization: Bearer {SECRET}\r\n");
    assert!(ask("/v1/status", &shown).starts_with("HTTP/1.1 200 "));
    for head in [
        "",
        "Authorization: Bearer another\r\n",
        "Authorization: Basic x\r\n",
        &format!("{shown}{shown}"),
    ] {
        for target in [
            "/v1/status",
            "/v1/nothing",
            "/v1/stores/default/layers/x/diff",
        ] {
            let answer = ask(target, head);
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
            assert!(
                answer.contains("www-authenticate: Bearer")
                    && answer.contains("\"code\":\"unauthorized\""),
                "{answer}"
            );
        }
    }
    // The secret does not replace the checks of host and origin.
    let foreign = ask(
        "/v1/status",
        &format!("{shown}Origin: http://evil.example\r\n"),
    );
    assert!(foreign.starts_with("HTTP/1.1 403 "), "{foreign}");
    let address = format!("127.0.0.1:{port}");
    mica_alone(&[
        "--address",
        &address,
        "--token-file",
        &file,
        "layer",
        "create",
        "l",
    ])
    .worked();
    let ids = mica_alone(&["--address", &address, "--token-file", &file, "layer", "ls"]).worked();
    assert!(ids.contains('l'), "{ids}");
    let refused = mica_alone(&["--address", &address, "status"]);
    assert!(
        refused.code != 0 && refused.stderr.contains("secret"),
        "{refused:?}"
    );
    assert!(!daemon.log().contains(SECRET), "the secret is in the log");
    daemon.stop();
}

#[test]
fn tcp_is_open_to_everyone_only_where_that_was_said() {
    let lab = Lab::on(FileSystem::Machine);
    let port = port();
    let lax = token(&lab, "lax", "a-secret-of-many-characters", 0o644);
    let short = token(&lab, "short", "secret", 0o600);
    for (more, says) in [
        (&[][..], "`--tcp-unauthenticated`"),
        (&["--token-file", &lax], "chmod 600"),
        (&["--token-file", &short], "16"),
        (
            &["--token-file", "/nonexistent/token"],
            "/nonexistent/token",
        ),
        (
            &["--token-file", &lax, "--tcp-unauthenticated"],
            "token_file",
        ),
    ] {
        let log = with_tcp(&lab, port, more)
            .try_start()
            .expect_err("TCP without a secret");
        assert!(log.contains(says), "{more:?}: {log}");
    }
    for _ in 0..2 {
        let daemon = with_tcp(&lab, port, &["--tcp-unauthenticated"]).start();
        assert!(
            daemon.log().contains("without authentication"),
            "{}",
            daemon.log()
        );
        mica_alone(&["--address", &format!("127.0.0.1:{port}"), "status"]).worked();
        daemon.stop();
    }
}
