//! Attacks by clients, and by what lies in a layer, that no other suite is about.
//!
//! `cases/attacks.toml` has the whole table: which suite shows what.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use mica_tests::client::{Against, Store};
use mica_tests::containerd;
use mica_tests::lab::FileSystem;
use mica_tests::linear::{Attempt, Call, check};
use mica_tests::setup;
use mica_tests::tree;

/// How long an answer may take: far above any, for the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends bytes as they are, and reads what comes meanwhile until the other side has no more to say.
fn raw(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let mut reader = stream.try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        let answer = scope.spawn(move || {
            let mut answer = Vec::new();
            let _ended = reader.read_to_end(&mut answer);
            answer
        });
        // Whoever is refused may find the connection closed while writing.
        let _sent = stream.write_all(bytes);
        let _closed = stream.shutdown(Shutdown::Write);
        answer.join().expect("a reader")
    })
}

/// Heads of HTTP/1 that are wrong or ambiguous (RFC 9112 2.2, 5.1, 6.1, 6.3, 7.1). `{}` is what a smuggled request
/// would be.
const HEADS: &[(&str, &str)] = &[
    (
        "two lengths",
        "POST {layers} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 300\r\n\r\n{}",
    ),
    (
        "a negative length",
        "POST {layers} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
    ),
    (
        "a signed length",
        "POST {layers} HTTP/1.1\r\nHost: x\r\nContent-Length: +40\r\n\r\n{}",
    ),
    (
        "a length that is a list",
        "POST {layers} HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\n{}",
    ),
    (
        "a length beyond 64 bits",
        "POST {layers} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    ),
    (
        "an unknown coding",
        "POST {layers} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n{}",
    ),
    (
        "chunked, but not last",
        "POST {layers} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n{}",
    ),
    (
        "a chunk beyond 64 bits",
        "POST {layers} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff1\r\n{}",
    ),
    (
        "a chunk that is no number",
        "POST {layers} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}",
    ),
    (
        "a space before the colon",
        "GET /v1/status HTTP/1.1\r\nHost : x\r\n\r\n{}",
    ),
    (
        "a NUL in a header",
        "GET /v1/status HTTP/1.1\r\nHost: x\0y\r\n\r\n{}",
    ),
    (
        "a folded header",
        "GET /v1/status HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n{}",
    ),
    (
        "a version that is none",
        "GET /v1/status HTTP/9.9\r\nHost: x\r\n\r\n{}",
    ),
    ("a request of HTTP/0.9", "GET /v1/status\r\n{}"),
    (
        "a method with odd characters",
        "G(T /v1/status HTTP/1.1\r\nHost: x\r\n\r\n{}",
    ),
    (
        "a tunnel",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ),
];

/// ATTACKS 58.
#[test]
fn wrong_and_ambiguous_requests_of_http_1_are_refused_and_nothing_is_smuggled() {
    let bench = setup::VFS_EXT4.start();
    let watch = bench.watch();
    let body = r#"{"id":"smuggled"}"#;
    let smuggled = format!(
        "POST /v1/stores/default/layers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for (what, head) in HEADS {
        let request = head
            .replace("{layers}", "/v1/stores/default/layers")
            .replace("{}", &smuggled);
        let answer = raw(&bench.daemon.client.socket, request.as_bytes());
        let answer = String::from_utf8_lossy(&answer);
        println!("{what}: {answer:.60}");
        assert!(
            answer.is_empty()
                || answer.starts_with("HTTP/1.1 4")
                || answer.starts_with("HTTP/1.0 4"),
            "{what}: {answer}"
        );
        watch.check();
    }
    let many: String = (0..20_000)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    for head in [many, format!("X: {}\r\n", "y".repeat(4 << 20))] {
        let request = format!("GET /v1/status HTTP/1.1\r\nHost: x\r\n{head}\r\n");
        let answer = raw(&bench.daemon.client.socket, request.as_bytes());
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
            "{:?}",
            answer.escape_ascii().to_string()
        );
        watch.check();
    }
}

/// One frame of HTTP/2 (RFC 9113 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a short frame")
        .to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// What a client may call the daemon: the usual name, and a path, which is replaced before h2 sees it.
const AUTHORITIES: [&str; 2] = ["localhost", "/run/mica/containerd.sock"];

/// A header block for `Snapshots/List`: indexed fields and literals without indexing (RFC 7541 6).
fn list_call(authority: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    let mut literal = |index: &[u8], value: &str| {
        block.extend_from_slice(index);
        block.push(u8::try_from(value.len()).expect("a short value"));
        block.extend_from_slice(value.as_bytes());
    };
    literal(&[0x04], "/containerd.services.snapshots.v1.Snapshots/List");
    literal(&[0x01], authority);
    literal(&[0x0f, 0x10], "application/grpc");
    block
}

fn flood(name: &str, authority: &str) -> Vec<u8> {
    let mut bytes = greeting();
    let streams = (0..20_000_u32).map(|number| 2 * number + 1);
    match name {
        "requests that are taken back at once" => {
            for stream in streams {
                bytes.extend(frame(HEADERS, END_HEADERS, stream, &list_call(authority)));
                bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            }
        }
        "requests that never end" => {
            for stream in streams {
                bytes.extend(frame(HEADERS, END_HEADERS, stream, &list_call(authority)));
            }
        }
        "a header that never ends" => {
            bytes.extend(frame(HEADERS, 0, 1, &list_call(authority)));
            for _ in 0..2000 {
                let mut more = vec![0x00, 1, b'x', 0x7f, 0xe1, 0x7e];
                more.resize(16_000, b'y');
                bytes.extend(frame(CONTINUATION, 0, 1, &more));
            }
        }
        "settings" => (0..50_000).for_each(|_| bytes.extend(frame(SETTINGS, 0, 0, &[]))),
        "pings" => (0..50_000).for_each(|_| bytes.extend(frame(PING, 0, 0, &[7; 8]))),
        other => panic!("no such flood: {other}"),
    }
    bytes
}

/// ATTACKS 58; CVE-2023-44487, CVE-2024-27316 and the floods of CVE-2019-9512 and 9515.
#[test]
fn floods_of_http_2_end_their_connection_and_no_other() {
    let bench = containerd::Bench::start(FileSystem::Ext4, "overlay");
    let socket = bench.socket.clone();
    let mut other = bench.client();
    other
        .prepare("before", "", &Default::default())
        .expect("prepare");
    let floods = [
        "requests that are taken back at once",
        "requests that never end",
        "a header that never ends",
        "settings",
        "pings",
    ];
    let all = floods
        .iter()
        .flat_map(|name| AUTHORITIES.map(|authority| (name, authority)));
    for (name, authority) in all {
        let bytes = flood(name, authority);
        std::thread::scope(|scope| {
            let attack = scope.spawn(|| raw(&socket, &bytes));
            for _ in 0..50 {
                other
                    .stat("before")
                    .expect("another connection is served meanwhile");
            }
            let answer = attack.join().expect("the attack ends");
            println!(
                "{name}, {authority}: {} bytes sent, {} came back",
                bytes.len(),
                answer.len()
            );
        });
        other.stat("before").expect("and afterwards");
        let resident = bench.daemon.resident_kib();
        assert!(resident < 400_000, "{name}: {resident} KiB");
    }
    assert!(
        !bench.daemon.log().contains("panicked"),
        "{}",
        bench.daemon.log()
    );
}

/// What a server answers a request with: the kind of the first frame that is headers or an end.
fn verdict(stream: &mut UnixStream) -> u8 {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        stream
            .read_exact(&mut vec![0; length])
            .expect("its payload");
        if [HEADERS, RST_STREAM, GOAWAY].contains(&head[3]) {
            return head[3];
        }
    }
}

/// What comes before a client's requests.
fn greeting() -> Vec<u8> {
    let settings = frame(SETTINGS, 0, 0, &[]);
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat()
}

/// A path as authority is replaced in the frames of its client. Those that hide one, or try to make that go wrong, end as
/// they do without it.
#[test]
fn hostile_frames_with_a_path_as_authority_end_their_own_connection() {
    let bench = containerd::Bench::start(FileSystem::Ext4, "overlay");
    let mut other = bench.client();
    let none = Default::default();
    other.prepare("before", "", &none).expect("prepare");
    let path = list_call(AUTHORITIES[1]);
    let padded = [&[3][..], &path, &[0; 3]].concat();
    let long = [&path[..2], &[0x41, 0x7f, 0xa1, 0x7f], &[b'/'; 16_416]].concat();
    let endless = [&path[..2], &[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f]].concat();
    for (what, flags, payload) in [
        (
            "more padding than payload",
            END_HEADERS | PADDED,
            vec![200, 1, 2],
        ),
        (
            "priority without room for it",
            END_HEADERS | PRIORITY,
            vec![0, 0],
        ),
        ("a block that goes on with other frames", PADDED, padded),
        ("a longer frame than is taken", END_HEADERS, long),
        ("a length without an end", END_HEADERS, endless),
        ("two authorities", END_HEADERS, [&*path, &path].concat()),
        (
            "a NUL and the end of a line",
            END_HEADERS,
            list_call("/run/\0\r\nm.sock"),
        ),
        ("nothing", END_HEADERS, Vec::new()),
        (
            "a code that is none",
            END_HEADERS,
            vec![0x41, 0x84, 0xff, 0xff, 0xff, 0xff],
        ),
    ] {
        let requests = frame(HEADERS, flags, 1, &payload).repeat(20);
        let mut stream = UnixStream::connect(&bench.socket).expect("connect");
        // Whoever is refused may find the connection closed while writing.
        let _sent = stream.write_all(&[greeting(), requests].concat());
        assert_ne!(verdict(&mut stream), HEADERS, "{what}");
        other.stat("before").expect("another connection is served");
    }
    let resident = bench.daemon.resident_kib();
    assert!(resident < 400_000, "{resident} KiB");
    let log = bench.daemon.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// However a request is cut into pieces on its way.
#[test]
fn a_path_as_authority_that_comes_byte_by_byte_is_taken() {
    let bench = containerd::Bench::start(FileSystem::Ext4, "overlay");
    for authority in AUTHORITIES {
        let headers = frame(HEADERS, END_HEADERS, 1, &list_call(authority));
        let message = frame(DATA, END_STREAM, 1, &[0; 5]);
        let mut stream = UnixStream::connect(&bench.socket).expect("connect");
        for byte in [greeting(), headers, message].concat() {
            stream.write_all(&[byte]).expect("send");
        }
        assert_eq!(verdict(&mut stream), HEADERS, "{authority}");
    }
}

/// ATTACKS 68: the files that engines have read out of a container's tree, as pipes that no one writes to. Whoever opens
/// one waits for ever.
#[test]
fn no_file_of_a_layer_is_read_for_what_it_says() {
    let bench = setup::OVERLAY_EXT4.start();
    let pipes = "d etc\np etc/passwd\np etc/group\np etc/os-release\np etc/nsswitch.conf\np etc/ld.so.cache\n\
        p etc/localtime\nd usr\nd usr/lib\np usr/lib/os-release\nd proc\nd proc/sys\nd proc/sys/crypto\n\
        p proc/sys/crypto/fips_enabled\nd bin\np bin/sh\nd usr/bin\np usr/bin/unpigz\np usr/bin/xz\n";
    bench.store.create("base", None).expect("create");
    tree::build(&bench.store.mount("base").expect("mount"), pipes);
    bench.store.unmount("base").expect("unmount");
    let archive = bench.store.diff("base", Against::Nothing).expect("diff");
    bench.store.create("copy", None).expect("create");
    bench.store.apply("copy", &archive).expect("apply");
    bench
        .store
        .create_read_write("box", Some("copy"))
        .expect("create");
    bench.store.mount("box").expect("mount");
    bench
        .store
        .changes("box", Against::Parent)
        .expect("changes");
    bench.store.size("copy", Against::Nothing).expect("size");
    bench.store.unmount("box").expect("unmount");
    for id in ["box", "copy", "base"] {
        bench.store.remove(id).expect("remove");
    }
    bench.watch().check();
}

const CLIENTS: u32 = 6;
const CALLS: u32 = 40;

fn ask(store: &Store, id: &str, call: Call) -> bool {
    let (answer, other) = match call {
        Call::Create => (store.create(id, None).map(drop), 409),
        Call::Remove => (store.remove(id), 404),
        Call::Look => (store.inspect(id).map(drop), 404),
    };
    match answer {
        Ok(()) => true,
        Err(problem) if problem.status == other => false,
        Err(problem) => panic!("{call:?} {id}: {problem:?}"),
    }
}

/// ATTACKS 56; CVE-2024-36621 was a race of this kind.
#[test]
fn clients_of_one_id_see_one_history() {
    let bench = setup::VFS_EXT4.start();
    let clock = mica_tests::linear::Clock::default();
    for id in ["a", "ab", "abc"] {
        let histories: Vec<Vec<Attempt>> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (store, clock) = (bench.store.clone(), &clock);
                    scope.spawn(move || {
                        (0..CALLS)
                            .map(|number| {
                                // No chance in it: a mix that differs from client to client.
                                let call = match (client * 7 + number * 5 + number / 3) % 4 {
                                    0 => Call::Create,
                                    1 => Call::Remove,
                                    2 => Call::Look,
                                    _ if client % 2 == 0 => Call::Create,
                                    _ => Call::Remove,
                                };
                                let begun = clock.tick();
                                let found = ask(&store, id, call);
                                Attempt {
                                    call,
                                    found,
                                    begun,
                                    ended: clock.tick(),
                                }
                            })
                            .collect()
                    })
                })
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().expect("a client"))
                .collect()
        });
        if let Err(told) = check(&histories) {
            panic!("`{id}`: no order of the calls explains the answers: {told}");
        }
    }
    bench.watch().check_disk();
}
