//! Does the page show what there is, to whoever may see it and however they use it, and to nobody else?

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use mica_tests::archive::archive;
use mica_tests::browser::{Browser, Dashboard};
use mica_tests::build::{hello_driver, noted};
use mica_tests::client::Store;
use mica_tests::containerd::{self, Labels, Snapshotter};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::picture::Colour;
use mica_tests::setup::{self, Bench};
use serde_json::{Value, json};

/// A usual screen, and the smallest that the page is for.
const WIDE: (u32, u32) = (1280, 900);
const NARROW: (u32, u32) = (360, 740);

/// A daemon, its page, and a browser that was let in.
struct Seen {
    browser: Browser,
    dashboard: Dashboard,
    bench: Bench,
}

impl Seen {
    fn of(bench: Bench) -> Self {
        let dashboard = Dashboard::start(&bench.daemon.client.socket);
        let mut browser = Browser::start(&bench.lab.path(""));
        browser.look(WIDE, "light");
        browser.open(&dashboard.url);
        browser.until(
            "the browser was let in",
            "document.querySelector('.pill.good')",
        );
        Self {
            browser,
            dashboard,
            bench,
        }
    }

    /// Shows a view by its address, as a link would.
    #[track_caller]
    fn show(&mut self, place: &str, until: &str) {
        self.browser.eval(&format!("location.hash = '#/{place}'"));
        self.browser.until(&format!("`{place}` is shown"), until);
    }

    #[track_caller]
    fn no_complaints(&mut self) {
        let complaints = self.browser.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    /// Nothing reaches beyond the sides of the page.
    #[track_caller]
    fn fits(&mut self, what: &str) {
        let beyond = self.browser.eval(
            "[...document.querySelectorAll('body *')].filter((one) => {\
               const box = one.getBoundingClientRect();\
               const isClipped = one.closest('.wide, .tree-scroller, .hidden, .cell, .skip, dialog');\
               return box.width > 0 && !isClipped && (box.right > innerWidth + 0.5 || box.left < -0.5);\
             }).map((one) => `${one.tagName} ${one.className} ${one.textContent.slice(0, 60)}`)\
             .concat(document.documentElement.scrollWidth > innerWidth ? ['the page itself'] : [])",
        );
        assert_eq!(beyond, json!([]), "{what}");
    }
}

/// Two images with a common base, a container, and a layer that is mounted.
fn fill(store: &Store) {
    for (id, parent, script) in [
        (
            "debian",
            None,
            "f big fill=3000000\nd etc\nf etc/os-release data=debian",
        ),
        ("python", Some("debian"), "f python fill=900000"),
        ("app-1.0", Some("python"), "f app fill=120000"),
        ("app-1.1", Some("python"), "f app fill=150000"),
        ("alpine", None, "f big fill=400000"),
    ] {
        store.create(id, parent).expect("create");
        store.apply(id, &archive(script)).expect("apply");
    }
    store
        .create_read_write("container", Some("app-1.1"))
        .expect("create");
    store.mount("container").expect("mount");
}

/// The texts of the cells of the row of a layer.
fn row(browser: &mut Browser, id: &str) -> Vec<String> {
    let find = format!(
        "[...document.querySelectorAll('.tree-rows .row')].find((row) => row.querySelector('.name').textContent === {})",
        json!(id)
    );
    browser.until(&format!("`{id}` is in the tree"), &find);
    let cells = browser.eval(&format!(
        "[...({find}).querySelectorAll('.cell')].map((cell) => cell.textContent)"
    ));
    serde_json::from_value(cells).expect("texts")
}

#[test]
fn the_page_shows_layers_with_their_sizes() {
    let bench = setup::OVERLAY_EXT4.start();
    fill(&bench.store);
    let mut seen = Seen::of(bench);
    let told = "document.querySelector('.tiles')?.textContent.includes('Layers6')";
    seen.browser.until("the number of layers is told", told);
    seen.show(
        "stores/default",
        "document.querySelectorAll('.tree-rows .row').length === 6",
    );
    let sized = "[...document.querySelectorAll('.tree-rows .row')].every((row) => !row.textContent.includes('…'))";
    seen.browser.until("sizes are measured", sized);
    let browser = &mut seen.browser;
    let shown = browser.eval(
        "[...document.querySelectorAll('.tree-rows .row')].sort((one, other) => one.ariaRowIndex - other.ariaRowIndex)\
         .map((row) => [row.querySelector('.name').textContent, row.ariaLevel, row.ariaExpanded])",
    );
    let expected = json!([
        ["alpine", "1", null],
        ["debian", "1", "true"],
        ["python", "2", "true"],
        ["app-1.0", "3", null],
        ["app-1.1", "3", "true"],
        ["container", "4", null],
    ]);
    assert_eq!(shown, expected);
    let [debian, app] = ["debian", "app-1.1"].map(|id| row(browser, id));
    assert!(
        debian[1].starts_with("3.0 MB") && debian[2] == "–",
        "{debian:?}"
    );
    assert!(
        app[1].contains("kB") && app[2].starts_with("3.9 MB"),
        "{app:?}"
    );
    assert!(row(browser, "container")[0].contains("mounted"));
    seen.no_complaints();
}

#[test]
fn the_page_shows_holders_and_what_happens() {
    let bench = setup::OVERLAY_EXT4.start();
    fill(&bench.store);
    let mut seen = Seen::of(bench);
    seen.show(
        "stores/default",
        "document.querySelector('.tree-rows .row')",
    );

    // A process whose root is the mount is told beside it.
    let client = &seen.bench.daemon.client;
    let metadata = client.get("/v1/stores/default/layers/container/metadata");
    let metadata = metadata.expect("metadata");
    let place = metadata["metadata"]["MergedDir"].as_str().expect("a place");
    fs::copy("/bin/busybox", format!("{place}/busybox")).expect("busybox is needed");
    let mut held = Command::new("chroot")
        .args([place, "/busybox", "sleep", "1000"])
        .spawn()
        .expect("start chroot");
    let told = format!(
        "document.querySelector('main').textContent.includes('({})')",
        held.id()
    );
    seen.browser.until("the holder is told", &told);
    held.kill().expect("end it");
    held.wait().expect("wait for it");

    // What happens comes by itself, and the tree follows.
    seen.bench
        .store
        .create("new", Some("alpine"))
        .expect("create");
    assert_eq!(row(&mut seen.browser, "new").len(), 5);
    seen.bench.store.remove("new").expect("remove");
    let gone = "![...document.querySelectorAll('.tree-rows .name')].some((one) => one.textContent === 'new')";
    seen.browser.until("the tree follows", gone);
    seen.show("events", "document.querySelector('.events .event')");
    for (kind, at) in [("layer.removed", 0), ("layer.created", 1)] {
        let line = seen.browser.text(&format!(
            "document.querySelectorAll('.event')[{at}].textContent"
        ));
        assert!(line.contains(kind) && line.contains("new"), "{line}");
    }
    seen.no_complaints();
    assert_eq!(seen.dashboard.interrupt(), Some(0));
}

#[test]
fn a_daemon_that_goes_away_is_told_and_found_again() {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("kept", None).expect("create");
    let mut seen = Seen::of(bench);
    seen.show(
        "stores/default",
        "document.querySelector('.tree-rows .row')",
    );
    let settings = seen.bench.daemon.settings.clone();
    seen.bench.daemon.kill();
    seen.browser.until(
        "it is told",
        "document.querySelector('.pill.bad')?.textContent === 'Disconnected'",
    );
    let told = seen
        .browser
        .text("document.getElementById('banner').textContent");
    assert!(
        told.contains("does not answer") && told.contains("Try:"),
        "{told}"
    );
    assert_eq!(
        row(&mut seen.browser, "kept").len(),
        5,
        "what was known stays"
    );
    let daemon = settings.start();
    seen.browser
        .until("it is found again", "document.querySelector('.pill.good')");
    assert!(
        seen.browser
            .eval("document.getElementById('banner').hidden")
            == json!(true)
    );
    let store = daemon.client.default_store();
    store.create("later", None).expect("create");
    assert_eq!(row(&mut seen.browser, "later").len(), 5);
}

/// The digest of the build of `hello` that runs.
fn running(bench: &Bench) -> String {
    let driver = bench
        .daemon
        .client
        .get("/v1/drivers/hello")
        .expect("a driver");
    driver["digest"].as_str().expect("a digest").to_owned()
}

/// A driver `hello`, the view of drivers, and two files: no component, and another build of it.
fn swappable() -> (Seen, [PathBuf; 2]) {
    let bench = setup::HELLO_EXT4.start();
    let files = [
        ("bad.wasm", b"no component".to_vec()),
        ("next.wasm", noted(hello_driver(), "next")),
    ];
    let files = files.map(|(name, bytes)| {
        let path = bench.lab.path(name);
        fs::write(&path, bytes).expect("write a component");
        path
    });
    let mut seen = Seen::of(bench);
    let button = "document.querySelector('[data-key=\"swap hello\"]')";
    seen.show("drivers", button);
    (seen, files)
}

#[test]
fn a_driver_is_swapped_and_rolled_back_with_what_the_probe_said() {
    let (mut seen, [bad, next]) = swappable();
    let first = running(&seen.bench);
    seen.browser.click("[data-key='swap hello']", "Swap");
    seen.browser.choose_file("dialog input[type=file]", &bad);
    seen.browser.click("dialog button.primary", "Swap");
    seen.browser.until(
        "the refusal is told",
        "document.querySelector('dialog .alert')",
    );
    let told = seen
        .browser
        .text("document.querySelector('dialog .alert').textContent");
    assert!(told.contains("nothing has changed"), "{told}");
    assert_eq!(running(&seen.bench), first);
    seen.browser.choose_file("dialog input[type=file]", &next);
    seen.browser.click("dialog button.primary", "Try again");
    seen.browser
        .until("the swap is told", "document.querySelector('dialog .done')");
    let told = seen
        .browser
        .text("document.querySelector('dialog').textContent");
    let is_told = |words: &str| told.contains(words);
    let words = ["The new build runs", "passed in", "is watched for 60 s"];
    assert!(words.into_iter().all(is_told), "{told}");
    let second = running(&seen.bench);
    assert_ne!(second, first);
    seen.browser.press("Enter");
    seen.browser
        .until("the dialog is closed", "!document.querySelector('dialog')");
    let lines =
        "document.querySelectorAll('[aria-labelledby=\"driver-hello\"] tbody tr').length === 2";
    seen.browser.until("both builds are told", lines);
    seen.browser.until("it bakes", "document.querySelector('[aria-labelledby=\"driver-hello\"] h2').textContent.includes('baking')");
    seen.browser
        .click("[data-key='back hello 1']", "Roll back to 1");
    seen.browser.click("dialog button.primary", "Roll back");
    seen.browser.until(
        "the rollback is told",
        "document.querySelector('dialog .done')",
    );
    assert_eq!(running(&seen.bench), first);
    seen.browser.press("Escape");
    seen.browser
        .until("the dialog is closed", "!document.querySelector('dialog')");
    // The refusal is an answer of 422, which a browser notes.
    let complaints = seen.browser.complaints();
    assert!(
        complaints.iter().all(|one| one.contains("422")),
        "{complaints:#?}"
    );
}

#[test]
fn what_runs_is_told_with_its_bytes_and_can_be_ended_if_the_daemon_takes_that() {
    let bench = setup::VFS_EXT4.start();
    bench.store.create("large", None).expect("create");
    bench
        .store
        .apply("large", &archive("f x fill=60000000"))
        .expect("apply");
    let mut slow = UnixStream::connect(&bench.daemon.client.socket).expect("connect");
    let request = "GET /v1/stores/default/layers/large/diff HTTP/1.1\r\nHost: mica\r\nx-request-id: slow-1\r\n\r\n";
    slow.write_all(request.as_bytes()).expect("ask");
    slow.read_exact(&mut [0; 64]).expect("the answer begins");
    let mut seen = Seen::of(bench);
    seen.show(
        "operations",
        "document.querySelector('tbody tr')?.textContent.includes('slow-1')",
    );
    let line = seen
        .browser
        .text("document.querySelector('tbody tr').textContent");
    assert!(
        line.contains("large") && line.contains("B") && line.contains("default"),
        "{line}"
    );
    let document = seen
        .bench
        .daemon
        .client
        .get("/v1/openapi.json")
        .expect("a document");
    let can_end = document["paths"]["/v1/operations/{operation}"]["delete"].is_object();
    let has_button = seen
        .browser
        .eval("Boolean(document.querySelector('[data-key=\"end slow-1\"]'))");
    assert_eq!(has_button, json!(can_end));
    if can_end {
        seen.browser.click("[data-key='end slow-1']", "Cancel");
        seen.browser.click("dialog button.primary", "Cancel it");
        seen.browser
            .until("it is told", "document.querySelector('dialog .done')");
        seen.browser.press("Escape");
    } else {
        drop(slow);
    }
    seen.browser.until(
        "it has gone",
        "document.querySelector('main').textContent.includes('Nothing runs.')",
    );
}

#[test]
fn snapshots_of_containerd_are_a_tree() {
    let bench = containerd::Bench::start(FileSystem::Ext4, "vfs");
    let mut client: Snapshotter = bench.client();
    let labels = Labels::from([(
        "containerd.io/snapshot.ref".to_owned(),
        "<b>ref</b>".to_owned(),
    )]);
    for (name, parent) in [("sha256:base", ""), ("sha256:top", "sha256:base")] {
        let key = format!("extract {name}");
        client
            .prepare(&key, parent, &Labels::default())
            .expect("prepare");
        client.commit(name, &key, parent, &labels).expect("commit");
    }
    client
        .prepare("container", "sha256:top", &Labels::default())
        .expect("prepare");
    client.view("look", "sha256:top").expect("view");
    let dashboard = Dashboard::start(&bench.daemon.client.socket);
    let mut browser = Browser::start(&bench.lab.path(""));
    browser.open(&dashboard.url);
    browser.until(
        "the store is told",
        "document.querySelector('main')?.textContent.includes('snapshots')",
    );
    browser.eval("location.hash = '#/stores/containerd'");
    browser.until(
        "they are a tree",
        "document.querySelectorAll('.tree-rows .row').length === 4",
    );
    let levels = browser.eval("Object.fromEntries([...document.querySelectorAll('.tree-rows .row')].map((row) => [row.querySelector('.name').textContent, row.ariaLevel]))");
    let expected = json!({"sha256:base": "1", "sha256:top": "2", "container": "3", "look": "3"});
    assert_eq!(levels, expected);
    assert!(row(&mut browser, "container")[0].contains("active"));
    browser.click(".tree-rows .row", "sha256:top");
    browser.until(
        "its labels are told",
        "document.querySelector('aside').textContent.includes('<b>ref</b>')",
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn everything_on_a_page_is_reached_by_keys_and_seen_where_one_is() {
    let bench = setup::VFS_EXT4.start();
    fill(&bench.store);
    let mut seen = Seen::of(bench);
    let browser = &mut seen.browser;
    browser.until(
        "the stores are told",
        "document.querySelector('[data-key=\"store default\"]')",
    );
    let mut stops = Vec::new();
    // Once through the whole page; after the last stop the browser's own come.
    for _ in 0..60 {
        browser.press("Tab");
        let stop = browser.eval(
            "(() => { const one = document.activeElement; const style = getComputedStyle(one);\
             return one === document.body ? null : [one.textContent.slice(0, 30).trim(), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]; })()",
        );
        if stop.is_null() {
            break;
        }
        assert_eq!(stop[1], json!(true), "the focus is not seen: {stop}");
        stops.push(stop[0].as_str().expect("a text").to_owned());
    }
    for wanted in [
        "Skip to content",
        "Stores",
        "Drivers",
        "Operations",
        "Events",
        "default",
        "overlay",
        "About this daemon",
    ] {
        assert!(
            stops.iter().any(|stop| stop.starts_with(wanted)),
            "{wanted}: {stops:?}"
        );
    }
}

#[test]
fn a_tree_is_walked_by_keys() {
    let bench = setup::VFS_EXT4.start();
    fill(&bench.store);
    let mut seen = Seen::of(bench);
    let browser = &mut seen.browser;
    let link = "document.querySelector('[data-key=\"store default\"]')";
    browser.until("the stores are told", link);
    browser.eval(&format!("{link}.focus()"));
    browser.press("Enter");
    browser.until(
        "the store is shown",
        "document.querySelectorAll('.tree-rows .row').length === 6",
    );
    let is_top = browser.text("document.activeElement.tagName");
    assert_eq!(is_top, "H1", "who reads by ear begins at the top");
    for _ in 0..20 {
        browser.press("Tab");
        if browser.eval("document.activeElement.getAttribute('role')") == json!("treegrid") {
            break;
        }
    }
    let meant = |browser: &mut Browser| {
        browser.text("document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).querySelector('.name').textContent")
    };
    assert_eq!(meant(browser), "alpine");
    for (key, id) in [
        ("ArrowDown", "debian"),
        ("ArrowRight", "python"),
        ("End", "container"),
        ("ArrowLeft", "app-1.1"),
        ("ArrowLeft", "app-1.1"),
        ("ArrowLeft", "python"),
        ("Home", "alpine"),
    ] {
        browser.press(key);
        assert_eq!(meant(browser), id, "{key}");
    }
    assert_eq!(
        browser.eval("document.querySelectorAll('.tree-rows .row').length"),
        json!(5),
        "one is closed"
    );
    browser.press("ArrowDown");
    browser.press("Enter");
    browser.until(
        "it is told of",
        "document.querySelector('aside h2')?.textContent === 'debian'",
    );
    seen.no_complaints();
}

#[test]
fn a_judge_of_pages_finds_nothing_in_light_and_dark() {
    let bench = setup::OVERLAY_EXT4.start();
    fill(&bench.store);
    let mut seen = Seen::of(bench);
    for (scheme, size) in [
        ("light", WIDE),
        ("dark", WIDE),
        ("light", NARROW),
        ("dark", NARROW),
    ] {
        seen.browser.look(size, scheme);
        for (place, until) in [
            ("", "document.querySelectorAll('main table').length > 1"),
            ("stores", "document.querySelector('main table')"),
            (
                "stores/default",
                "document.querySelector('.tree-rows .row')",
            ),
            ("drivers", "document.querySelector('.card table')"),
            ("operations", "document.querySelector('main h2')"),
            ("events", "document.querySelector('.event')"),
        ] {
            seen.show(place, until);
            if place == "stores/default" {
                seen.browser.click(".tree-rows .row", "container");
            }
            let found = seen.browser.judge();
            assert!(found.is_empty(), "{scheme} {size:?} {place}: {found:#?}");
        }
        seen.browser
            .click("[data-key='swap overlay'], a[href='#/drivers']", "Drivers");
        seen.browser.click("[data-key='swap overlay']", "Swap");
        let found = seen.browser.judge();
        assert!(found.is_empty(), "{scheme} {size:?} dialog: {found:#?}");
        seen.browser.press("Escape");
        seen.browser
            .until("it is closed", "!document.querySelector('dialog')");
    }
    // It finds what is wrong.
    seen.browser
        .eval("document.querySelector('main').append(document.createElement('button'))");
    let found = seen.browser.judge();
    assert!(
        found.iter().any(|line| line.starts_with("button-name")),
        "{found:?}"
    );
}

#[test]
fn names_of_strangers_are_texts_and_break_nothing() {
    let bench = setup::VFS_EXT4.start();
    let long = "w".repeat(255);
    let names = [
        "<img src=x onerror=window.pwned=1>",
        "<script>window.pwned=2<\\script>",
        "\"><svg onload=window.pwned=3>",
        "javascript:window.pwned=4",
        "\u{202e}gnp.exe",
        "שלום עולם",
        "'; window.pwned=5; '",
        long.as_str(),
    ];
    for name in names {
        bench.store.create(name, None).expect(name);
    }
    let mut seen = Seen::of(bench);
    let rows = format!(
        "document.querySelectorAll('.tree-rows .row').length === {}",
        names.len()
    );
    for (size, scheme) in [(WIDE, "light"), (NARROW, "dark")] {
        seen.browser.look(size, scheme);
        seen.show("stores/default", &rows);
        for name in names {
            let shown = name.replace('\u{202e}', "\\u{202e}");
            row(&mut seen.browser, &shown);
            seen.browser.eval(&format!(
                "[...document.querySelectorAll('.tree-rows .row')].find((row) => row.querySelector('.name').textContent === {}).click()",
                json!(shown)
            ));
            let told = format!(
                "document.querySelector('aside h2')?.textContent === {}",
                json!(shown)
            );
            seen.browser.until("it is told of", &told);
            seen.fits(&format!("{name} at {size:?}"));
        }
        seen.show("events", "document.querySelectorAll('.event').length > 7");
        seen.fits("events");
        seen.show("", "document.querySelector('.tiles')");
        seen.fits("overview");
    }
    assert_eq!(seen.browser.eval("window.pwned ?? null"), Value::Null);
    assert_eq!(
        seen.browser.eval("document.images.length"),
        json!(1),
        "the page's own"
    );
    seen.no_complaints();
}

/// Ground, panels and text in light and dark, as `style.css` has them.
const COLOURS: [(&str, [Colour; 3]); 2] = [
    ("light", [[0xf5, 0xf6, 0xf7], [0xff; 3], [0x1b, 0x20, 0x27]]),
    (
        "dark",
        [[0x12, 0x16, 0x1a], [0x1a, 0x1f, 0x25], [0xe4, 0xe8, 0xec]],
    ),
];

/// Views that are looked at: the address, a name, and when they are there.
const VIEWS: [(&str, &str, &str); 4] = [
    (
        "",
        "overview",
        "document.querySelectorAll('main table').length > 1",
    ),
    (
        "stores/default",
        "store",
        "document.querySelectorAll('.sized').length === 6",
    ),
    (
        "drivers",
        "drivers",
        "document.querySelectorAll('.card table').length > 3",
    ),
    ("events", "events", "document.querySelector('.event')"),
];

/// Pictures of the page at both widths, light and dark: it is drawn, in its colours, and nothing hangs over.
#[test]
fn the_page_looks_as_it_should() {
    let bench = setup::OVERLAY_EXT4.start();
    fill(&bench.store);
    let mut seen = Seen::of(bench);
    for (scheme, colours) in COLOURS {
        for (size, width) in [(WIDE, "wide"), (NARROW, "narrow")] {
            seen.browser.look(size, scheme);
            for (place, name, until) in VIEWS {
                seen.show(place, until);
                let name = format!("{name}-{scheme}-{width}");
                let picture = seen.browser.picture(&name);
                let drawn = (picture.width as u32, picture.height as u32);
                assert_eq!(drawn, size, "{name}");
                let [ground, panel, text] = colours.map(|colour| picture.share(colour));
                let is_drawn = ground > 0.04 && panel > 0.25 && ground + panel > 0.6;
                let found = picture.colours();
                assert!(is_drawn, "{name}: {:?}", &found[..4]);
                // Letters have edges, in many shades.
                assert!(text > 0.0005 && found.len() > 40, "{name}: {text}");
                seen.fits(&name);
            }
        }
    }
    seen.no_complaints();
}

#[test]
fn ten_thousand_layers_are_there_and_few_of_them_are_drawn() {
    const LAYERS: usize = 10_000;
    let lab = Lab::on(FileSystem::Tmpfs);
    let mut settings = setup::VFS_TMPFS.settings(&lab);
    settings.configuration = Some("durability = 'none'\n".to_owned());
    let daemon = settings.start();
    let store = daemon.client.default_store();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                for number in (worker..LAYERS / 10).step_by(4) {
                    let mut parent = None;
                    for step in 0..10 {
                        let id = format!("image-{number:04}-{step}");
                        store.create(&id, parent.as_deref()).expect("create");
                        parent = Some(id);
                    }
                }
            });
        }
    });
    let mut seen = Seen::of(Bench { daemon, store, lab });
    let before = seen.browser.requests().len();
    let count = format!(
        "document.querySelector('[role=treegrid]')?.getAttribute('aria-rowcount') === '{}'",
        LAYERS + 1
    );
    seen.show("stores/default", &count);
    let sized = "[...document.querySelectorAll('.tree-rows .row')].length > 0 && document.querySelector('.sized')";
    seen.browser.until("sizes come", sized);
    let drawn = "document.querySelectorAll('.tree-rows .row').length < 80 && document.querySelectorAll('*').length < 2000";
    assert_eq!(seen.browser.eval(drawn), json!(true));
    let asked = seen.browser.requests().split_off(before);
    let pages = asked
        .iter()
        .filter(|target| target.starts_with("v1/stores/default/layers?"));
    assert_eq!(pages.count(), LAYERS / 1000, "{asked:?}");
    let of_layers = asked
        .iter()
        .filter(|target| target.starts_with("v1/stores/default/layers/"));
    assert_eq!(of_layers.count(), 0, "none is asked for by itself");
    seen.browser
        .eval("document.querySelector('[role=treegrid]').focus()");
    seen.browser.press("End");
    let last = "document.querySelector('.row.active .name')?.textContent === 'image-0999-9'";
    seen.browser.until("the last one is reached", last);
    assert_eq!(seen.browser.eval(drawn), json!(true));
    seen.browser
        .eval("document.getElementById('filter').focus()");
    seen.browser.type_text("0500-7");
    seen.browser.until(
        "one is found",
        "document.querySelectorAll('.tree-rows .row').length === 1",
    );
    row(&mut seen.browser, "image-0500-7");
    seen.no_complaints();
}
