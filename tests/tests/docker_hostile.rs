//! A hostile driver under Docker's socket and under REST, with all that it can say in `diff-driver`: the client is told an
//! error that names driver and layer, nothing is changed, and the next call works.

use std::fs;
use std::io::{self, Read as _};

use mica_tests::build::{hostile_diff_driver, hostile_driver};
use mica_tests::client::{Against, Store};
use mica_tests::docker::{Bench, Plugin};
use mica_tests::dump::dump;
use mica_tests::http::{self, Body, Response};
use mica_tests::lab::FileSystem;
use mica_tests::watch::swept;
use mica_tests::{archive, tree};
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    call: String,
    id: String,
    attack: u32,
    says: String,
    fault: bool,
}

fn cases() -> Vec<Case> {
    #[derive(Deserialize)]
    struct Cases {
        case: Vec<Case>,
    }
    let cases: Cases = toml::from_str(include_str!("../cases/hostile_diffs.toml")).expect("cases");
    cases.case
}

/// The front ends that a store can be behind, with what differs between them.
trait FrontEnd {
    /// The store's name.
    fn store(&self) -> &str;
    fn create(&self, id: &str) -> Result<(), String>;
    fn remove(&self, id: &str) -> Result<(), String>;
    fn mount(&self, id: &str) -> Result<std::path::PathBuf, String>;
    fn unmount(&self, id: &str) -> Result<(), String>;
    /// Asks for what a case is about; the answer itself does not matter if there is one. Nothing is told by an answer that
    /// broke off: only the log says why.
    fn call(&self, call: &str, id: &str, archive: &[u8]) -> Result<(), String>;
}

impl FrontEnd for Plugin {
    fn store(&self) -> &str {
        "docker"
    }
    fn create(&self, id: &str) -> Result<(), String> {
        Plugin::create(self, id, "").map(drop)
    }
    fn remove(&self, id: &str) -> Result<(), String> {
        self.about("Remove", id).map(drop)
    }
    fn mount(&self, id: &str) -> Result<std::path::PathBuf, String> {
        self.get(id)
    }
    fn unmount(&self, id: &str) -> Result<(), String> {
        self.about("Put", id).map(drop)
    }
    fn call(&self, call: &str, id: &str, archive: &[u8]) -> Result<(), String> {
        match call {
            "diff" => self.diff(id, "").map(drop),
            "changes" => {
                let request = json!({ "ID": id });
                let call = "/GraphDriver.Changes";
                let answer = http::send(&self.socket, "POST", call, &[], Body::Json(&request));
                whole(answer, |answer| answer.json()["Err"].to_string())
            }
            "size" => self.about("DiffSize", id).map(drop),
            "apply" => self.apply(id, "", archive).map(drop),
            "metadata" => self.about("GetMetadata", id).map(drop),
            other => panic!("`{other}` is no call"),
        }
    }
}

impl FrontEnd for Store {
    fn store(&self) -> &str {
        &self.name
    }
    fn create(&self, id: &str) -> Result<(), String> {
        Store::create(self, id, None)
            .map(drop)
            .map_err(|problem| problem.detail)
    }
    fn remove(&self, id: &str) -> Result<(), String> {
        Store::remove(self, id).map_err(|problem| problem.detail)
    }
    fn mount(&self, id: &str) -> Result<std::path::PathBuf, String> {
        Store::mount(self, id).map_err(|problem| problem.detail)
    }
    fn unmount(&self, id: &str) -> Result<(), String> {
        Store::unmount(self, id)
            .map(drop)
            .map_err(|problem| problem.detail)
    }
    fn call(&self, call: &str, id: &str, archive: &[u8]) -> Result<(), String> {
        let done = match call {
            "diff" => self.diff(id, Against::Parent).map(drop),
            "changes" => {
                let target = self.target(id, "/changes");
                let answer = self.client.try_send("GET", &target, Body::Empty);
                return whole(answer, |answer| answer.json()["detail"].to_string());
            }
            "size" => self.size(id, Against::Parent).map(drop),
            "apply" => self.apply(id, archive).map(drop),
            "metadata" => self.client.get(&self.target(id, "/metadata")).map(drop),
            other => panic!("`{other}` is no call"),
        };
        done.map_err(|problem| problem.detail)
    }
}

/// Whether an answer came whole and is none of an error. One that breaks off at once may have no head.
fn whole(answer: io::Result<Response>, told: impl Fn(Response) -> String) -> Result<(), String> {
    match answer {
        Ok(answer) if answer.status >= 400 => Err(told(answer)),
        Ok(answer) if answer.complete => Ok(()),
        Ok(_) | Err(_) => Err(String::new()),
    }
}

fn bench() -> Bench {
    let bench = Bench::start(FileSystem::Ext4);
    bench
        .daemon
        .client
        .load_driver(&hostile_diff_driver())
        .expect("load");
    bench
}

/// Makes the layer that every case looks after.
/// A store of the hostile driver with a layer to harm.
fn furnished(bench: &Bench) -> Store {
    let client = &bench.daemon.client;
    let store = client.create_store("hostile", "hostile", &json!({}));
    let store = store.expect("a store");
    furnish(&store);
    store
}

fn furnish(front: &dyn FrontEnd) {
    front.create("victim").expect("create");
    let at = front.mount("victim").expect("mount");
    tree::build(&at, "f f data=alive\nd d");
    front.unmount("victim").expect("unmount");
}

fn faults(bench: &Bench) -> u64 {
    let driver = bench.daemon.client.get("/v1/drivers/hostile");
    driver.expect("the driver")["faults"]
        .as_u64()
        .expect("a number")
}

/// A driver that broke three times is not called any more, until it is released.
fn forgive(bench: &Bench) {
    let client = &bench.daemon.client;
    let released = client.json(
        "POST",
        "/v1/drivers/hostile/release",
        &serde_json::Value::Null,
    );
    released.expect("release");
}

/// Descriptors of the daemon, once they are as few as they get.
fn descriptors(bench: &Bench) -> usize {
    let directory = format!("/proc/{}/fd", bench.daemon.pid());
    let count = || fs::read_dir(&directory).expect("descriptors").count();
    let mut fewest = count();
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        fewest = fewest.min(count());
    }
    fewest
}

/// Everything that a crime must leave as it was.
fn state(bench: &Bench, store: &str) -> (String, String, String, String, usize) {
    swept(&bench.lab.home(store));
    let layers = bench
        .daemon
        .client
        .get(&format!("/v1/stores/{store}/layers"));
    (
        layers.expect("layers").to_string(),
        dump(&bench.lab.home(store).join("layers")),
        dump(&bench.lab.canary()),
        bench.lab.mount_table(),
        descriptors(bench),
    )
}

fn commit_crime(bench: &Bench, front: &dyn FrontEnd, case: &Case) {
    let Case {
        call,
        id,
        attack,
        says,
        fault,
    } = case;
    let about = format!("{attack}: {call} of `{id}` in store `{}`", front.store());
    forgive(bench);
    let makes = call == "create";
    if !makes {
        front.create(id).expect("create");
    }
    let archive = archive::archive("f file data=content\nd dir");
    let (before, faults_before) = (state(bench, front.store()), faults(bench));
    let log = bench.daemon.log().len();
    let answer = match call.as_str() {
        "create" => front.create(id),
        "mount" => front.mount(id).map(drop),
        other => front.call(other, id, &archive),
    };
    let mut text = answer.expect_err(&about);
    if text.is_empty() {
        text = bench.daemon.log().split_off(log);
    }
    // The driver prints the contract's words as its own language writes them: `ReadOnly`.
    let plain = |text: &str| text.to_lowercase().replace([' ', '-'], "");
    assert!(
        plain(&text).contains(&plain(says)),
        "{about}: `{says}` is not said: {text}"
    );
    assert!(
        text.contains(id.as_str()),
        "{about}: the layer is not named: {text}"
    );
    if *fault {
        assert!(
            text.contains("`hostile`"),
            "{about}: the driver is not named: {text}"
        );
    }
    assert_eq!(
        faults(bench) - faults_before,
        u64::from(*fault),
        "{about}: {text}"
    );
    assert_eq!(state(bench, front.store()), before, "{about}");
    front
        .call("diff", "victim", &[])
        .expect("the next call works");
    if !makes {
        front.remove(id).expect("remove");
    }
}

#[test]
fn nothing_that_a_driver_says_over_dockers_socket_is_believed() {
    let bench = bench();
    bench
        .plugin
        .init("/docker/mica", &["mica.driver=hostile"])
        .expect("init");
    furnish(&bench.plugin);
    for case in &cases() {
        commit_crime(&bench, &bench.plugin, case);
    }
}

#[test]
fn nothing_that_a_driver_says_over_rest_is_believed() {
    let bench = bench();
    let store = furnished(&bench);
    for case in &cases() {
        commit_crime(&bench, &store, case);
    }
}

/// ATTACKS 87: the bytes of an answer are bounded before they are copied.
#[test]
fn a_status_of_many_keys_ends_one_call() {
    let bench = Bench::start(FileSystem::Ext4);
    let driver = hostile_driver("flood", "status-flood");
    bench.daemon.client.load_driver(&driver).expect("load");
    // dockerd asks for it with `Init` already.
    let text = bench.plugin.init("/docker/mica", &["mica.driver=flood"]);
    let text = text.expect_err("it is too long");
    for part in ["`flood`", "store `docker`", "too much data"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(bench.daemon.resident_kib() < 600_000);
    let store = bench.daemon.client.create_store("other", "vfs", &json!({}));
    furnish(&store.expect("the next call works"));
}

/// Whoever reads decides how long: when the reader goes, the driver is ended, and it is no fault of anyone.
#[test]
fn streams_that_do_not_end_last_as_long_as_their_reader() {
    let bench = bench();
    let store = furnished(&bench);
    let before = faults(&bench);
    for (id, rest) in [("diff-endless", "/diff"), ("changes-endless", "/changes")] {
        store.create(id, None).expect("create");
        let socket = bench.lab.path("run/mica.sock");
        let stream = http::begin(&socket, "GET", &store.target(id, rest), &[], Body::Empty);
        let mut reader = stream.expect("a connection");
        let mut read = vec![0; 3 << 20];
        reader.read_exact(&mut read).expect("as much as is wanted");
        drop(reader);
        // It goes only when no operation uses it any more.
        store.remove(id).expect("remove");
        assert_eq!(
            store.diff("victim", Against::Parent).expect("diff").len(),
            1024
        );
    }
    assert_eq!(faults(&bench), before);
    assert!(bench.daemon.resident_kib() < 600_000);
}

/// A directory of content is one name in a room, and is looked for there and nowhere else.
#[test]
fn content_that_a_driver_names_elsewhere_is_not_measured() {
    let bench = bench();
    let named = hostile_driver("elsewhere", "content-escapes");
    let problem = bench.daemon.client.load_driver(&named);
    problem
        .expect_err("it names a path")
        .is(422, "driver-rejected", "../../8/d");
    let store = bench
        .daemon
        .client
        .create_store("hostile", "hostile", &json!({}));
    let store = store.expect("a store");
    store.create("content-link", None).expect("create");
    let usage = bench
        .daemon
        .client
        .get(&store.target("content-link", "/usage"));
    usage
        .expect_err("it is a link to `/etc`")
        .is(500, "io", "content-link");
    store.remove("content-link").expect("remove");
}

/// What `put` answers is told in the log alone.
#[test]
fn put_can_change_nothing() {
    let bench = bench();
    let store = furnished(&bench);
    store.create("reach-put", None).expect("create");
    let log = bench.daemon.log().len();
    store.mount("reach-put").expect("mount");
    store.unmount("reach-put").expect("unmount");
    let text = bench.daemon.log().split_off(log);
    let answers = "ReadOnly, ReadOnly, Denied, Denied, Denied";
    let plain = |text: &str| text.to_lowercase().replace([' ', '-'], "");
    assert!(plain(&text).contains(&plain(answers)), "{text}");
}
