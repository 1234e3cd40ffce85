//! Does `mica dashboard` let in the one browser that it is for, and nobody else?

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

use mica_tests::browser::Dashboard;
use mica_tests::command::{bare, mica};
use mica_tests::setup::{self, Bench};
use mica_tests::watch::until;

/// Status and text of the answer to a request over TCP, with these lines after the first.
fn ask(dashboard: &Dashboard, request: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let port = dashboard.authority().rsplit(':').next().expect("a port");
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("connect");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request = format!("{request} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("ask");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (
        status.unwrap_or_else(|| panic!("no status: {answer}")),
        answer,
    )
}

/// A daemon with a layer, and its dashboard.
fn start() -> (Bench, Dashboard) {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("a", None).expect("create");
    let dashboard = Dashboard::start(&bench.daemon.client.socket);
    (bench, dashboard)
}

/// Comes in as a browser does; what its cookie says.
fn enter(dashboard: &Dashboard) -> String {
    let authority = dashboard.authority();
    let (_, entry) = dashboard.url.split_once(authority).expect("a path");
    let (status, text) = ask(dashboard, &format!("GET {entry}"), &[("Host", authority)]);
    assert_eq!(status, 200, "{text}");
    let cookie = text
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.expect("a cookie");
    let is_strict = cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict");
    assert!(is_strict, "{cookie}");
    cookie.split(';').next().expect("a pair").to_owned()
}

#[test]
fn the_address_lets_in_one_browser_and_nothing_else_does() {
    let (_bench, dashboard) = start();
    let authority = dashboard.authority().to_owned();
    let host = ("Host", authority.as_str());
    let (_, entry) = dashboard.url.split_once(&authority).expect("a path");
    for target in [
        "/dashboard/",
        "/",
        "/v1/status",
        "/dashboard/main.js",
        "/healthz",
    ] {
        let (status, text) = ask(&dashboard, &format!("GET {target}"), &[host]);
        assert_eq!(status, 401, "{target}: {text}");
        let is_told = text.contains("mica dashboard") && !text.contains("version");
        assert!(is_told, "{target}: {text}");
    }
    assert_eq!(ask(&dashboard, "GET /enter/0123", &[host]).0, 403);
    let other = authority.replace("mica-", "mica-0");
    let entry = format!("GET {entry}");
    for wrong in ["evil.example", "localhost", "127.0.0.1", &other] {
        let (status, text) = ask(&dashboard, &entry, &[("Host", wrong)]);
        assert_eq!(status, 403, "{wrong}: {text}");
    }
    let cookie = enter(&dashboard);
    assert_eq!(ask(&dashboard, &entry, &[host]).0, 403, "it lets in one");
    let cookie = ("Cookie", cookie.as_str());
    let (status, text) = ask(&dashboard, "GET /v1/status", &[host, cookie]);
    assert_eq!(status, 200, "{text}");
}

#[test]
fn what_another_page_sends_goes_nowhere() {
    let (_bench, dashboard) = start();
    let cookie = enter(&dashboard);
    let own = format!("http://{}", dashboard.authority());
    let (host, cookie) = (("Host", dashboard.authority()), ("Cookie", cookie.as_str()));
    let (own, evil) = (("Origin", own.as_str()), ("Origin", "http://evil.example"));
    let site = |site: &'static str| ("Sec-Fetch-Site", site);
    let (look, unmount) = ("GET /v1/status", "POST /v1/stores/default/layers/a/unmount");
    for (request, headers, expected) in [
        (unmount, vec![host, cookie], 403),
        (unmount, vec![host, cookie, evil], 403),
        (unmount, vec![host, cookie, ("Origin", "null")], 403),
        (unmount, vec![host, own], 401),
        // It comes to the daemon, which says what is wrong with it.
        (unmount, vec![host, cookie, own], 409),
        (look, vec![host, cookie, site("same-origin")], 200),
        (look, vec![host, cookie, site("cross-site")], 403),
        (look, vec![host, cookie, site("same-site")], 403),
        (look, vec![("Host", "evil.example"), cookie], 403),
        (look, vec![host, host, cookie], 403),
        (look, vec![host, ("Cookie", "mica-dashboard=00")], 401),
    ] {
        let (status, text) = ask(&dashboard, request, &headers);
        assert_eq!(status, expected, "{request} {headers:?}: {text}");
    }
}

#[test]
fn the_page_may_run_its_own_files_and_nothing_else() {
    let (_bench, dashboard) = start();
    let cookie = enter(&dashboard);
    let headers = [("Host", dashboard.authority()), ("Cookie", cookie.as_str())];
    let (status, text) = ask(&dashboard, "GET /dashboard/", &headers);
    assert_eq!(status, 200, "{text}");
    let rules = [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "trusted-types 'none'",
    ];
    assert!(rules.iter().all(|rule| text.contains(rule)), "{text}");
    assert!(!text.contains("unsafe-"), "{text}");
    for target in ["/dashboard/none.js", "/dashboard/..%2fmain.js"] {
        assert_eq!(ask(&dashboard, &format!("GET {target}"), &headers).0, 404);
    }
}

#[test]
fn a_dashboard_that_cannot_be_says_why() {
    let bench = setup::VFS_EXT4.start();
    let socket = bench.daemon.client.socket.clone();
    for address in ["0.0.0.0:0", "192.0.2.1:80", "[2001:db8::1]:0"] {
        let refused = mica(&socket, &["dashboard", "--listen", address]);
        refused.failed(2, address);
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    mica(&socket, &["dashboard", "--listen", &address]).failed(1, &address);
    bench.daemon.kill();
    let refused = mica(&socket, &["dashboard"]);
    refused.failed(7, socket.to_str().expect("a path that is text"));
}

/// What opens a browser gets the name of a file that its owner alone can read, and the file goes when it was needed.
#[test]
fn a_browser_is_led_in_by_a_file_and_no_argument() {
    let bench = setup::VFS_EXT4.start();
    let [programs, runtime] = ["programs", "runtime"].map(|name| bench.lab.scratch(name));
    let (opener, seen) = (programs.join("xdg-open"), programs.join("seen"));
    let script = "#!/bin/sh\nstat -c %a \"$1\" > \"$0.new\"; cat \"$1\" >> \"$0.new\"; mv \"$0.new\" \"${0%/*}/seen\"\n";
    fs::write(&opener, script).expect("write a program");
    fs::set_permissions(&opener, Permissions::from_mode(0o755)).expect("make it one");
    let path = std::env::var("PATH").expect("a path");
    let mut command = bare();
    command
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("DISPLAY", ":0")
        .env("XDG_RUNTIME_DIR", &runtime)
        .arg("--socket")
        .arg(&bench.daemon.client.socket);
    let dashboard = Dashboard::start_as(command, &[]);
    until("the program is started", || seen.exists());
    let told = fs::read_to_string(&seen).expect("what it saw");
    assert!(
        told.starts_with("600\n") && told.contains(&dashboard.url),
        "{told}"
    );
    let left = || fs::read_dir(&runtime).expect("list it").count();
    assert_eq!(left(), 1);
    enter(&dashboard);
    assert_eq!(left(), 0, "it goes when the browser has come");
    assert_eq!(dashboard.interrupt(), Some(0));
}
