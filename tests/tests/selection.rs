//! Which driver a store has that names none: the original's `New`, and what Docker made of it since. FEATURES 1.1, 2.1.

use mica_tests::build;
use mica_tests::command::mica;
use mica_tests::daemon::{Daemon, Settings};
use mica_tests::lab::{FileSystem, Lab};
use serde_json::{Value, json};

/// A driver that may import nothing is not loaded.
const NO_BTRFS: &str = "[drivers.btrfs]\ngrants = []\n";
const NO_EROFS: &str = "[drivers.erofs]\ngrants = []\n";
const NO_OVERLAY: &str = "[drivers.overlay]\ngrants = []\n";
const NO_VFS: &str = "[drivers.vfs]\ngrants = []\n";

fn settings(lab: &Lab) -> Settings {
    Settings::new(&lab.root(), &lab.path("run"), "")
}

fn make(daemon: &Daemon, name: &str) -> Value {
    let made = daemon
        .client
        .json("POST", "/v1/stores", &json!({ "name": name }));
    made.expect("make a store")
}

/// Driver and reason of a store.
fn chosen(store: &Value) -> (String, String) {
    let text = |key: &str| store[key].as_str().unwrap_or_default().to_owned();
    (text("driver"), text("chosen"))
}

fn default_store(daemon: &Daemon) -> (String, String) {
    chosen(&daemon.client.get("/v1/stores/default").expect("a store"))
}

#[test]
fn without_a_word_the_first_that_works_is_taken_and_the_reason_told() {
    for (file_system, driver, names) in [
        (FileSystem::Btrfs, "btrfs", "the first of the list"),
        (FileSystem::Ext4, "overlay", "btrfs: prerequisites"),
    ] {
        let lab = Lab::on(file_system);
        let daemon = settings(&lab).start();
        let (taken, reason) = default_store(&daemon);
        assert_eq!(taken, driver);
        assert!(reason.contains(names), "{reason}");
        assert!(daemon.log().contains(&reason[..20]), "{}", daemon.log());
        let ended = mica(&daemon.client.socket, &["store", "create", "other"]);
        assert_eq!(ended.worked(), "other\n");
        assert!(
            ended.stderr.contains(names) && ended.stderr.contains(driver),
            "{}",
            ended.stderr
        );
        let told = mica(&daemon.client.socket, &["store", "inspect", "other"]).worked();
        assert!(told.contains(names), "{told}");
        // What was named needs no reason.
        daemon
            .client
            .create_store("named", driver, &json!({}))
            .expect("make a store");
        assert_eq!(
            daemon
                .client
                .get("/v1/stores/named")
                .expect("a store")
                .get("chosen"),
            None
        );
    }
}

#[test]
fn the_environment_goes_before_the_flag_and_there_is_no_way_back() {
    let variables = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    };
    for (environment, flag, driver, names) in [
        (
            &[("MICA_DRIVER", "vfs"), ("DOCKER_DRIVER", "overlay")][..],
            "overlay",
            "vfs",
            "MICA_DRIVER",
        ),
        (
            &[("MICA_DRIVER", ""), ("DOCKER_DRIVER", "vfs")],
            "overlay",
            "vfs",
            "DOCKER_DRIVER",
        ),
        (&[], "vfs", "vfs", "--driver"),
    ] {
        let lab = Lab::on(FileSystem::Ext4);
        let mut settings = Settings::new(&lab.root(), &lab.path("run"), flag);
        settings.environment = variables(environment);
        let daemon = settings.start();
        let (taken, reason) = default_store(&daemon);
        assert_eq!(taken, driver);
        assert!(reason.contains(names), "{reason}");
        assert_eq!(chosen(&make(&daemon, "other")), (taken, reason));
    }
    // Set on many machines, and no name of ours.
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = settings(&lab);
    settings.environment = variables(&[("DOCKER_DRIVER", "overlay2")]);
    for _ in 0..2 {
        let (taken, reason) = default_store(&settings.start());
        assert_eq!(taken, "overlay");
        assert!(reason.contains("`overlay2` by `DOCKER_DRIVER`"), "{reason}");
    }
    for (driver, names) in [
        ("btrfs", "mkfs.btrfs"),
        ("aufs", "not supported"),
        ("bogus", "bogus"),
    ] {
        let lab = Lab::on(FileSystem::Ext4);
        let mut settings = Settings::new(&lab.root(), &lab.path("run"), "");
        settings.environment = variables(&[("DOCKER_DRIVER", driver)]);
        let log = settings.try_start().expect_err("it does not work here");
        assert!(log.contains(names) && log.contains("default"), "{log}");
    }
}

#[test]
fn the_driver_that_has_layers_is_taken_and_of_several_none() {
    let lab = Lab::on(FileSystem::Btrfs);
    let daemon = settings(&lab).start();
    let client = &daemon.client;
    let a = client
        .create_store("a", "overlay", &json!({}))
        .expect("make a store");
    // No layer, no prior driver; and vfs never is one.
    let v = client
        .create_store("v", "vfs", &json!({}))
        .expect("make a store");
    v.create("layer", None).expect("create");
    assert_eq!(chosen(&make(&daemon, "x1")).0, "btrfs");
    a.create("layer", None).expect("create");
    let (taken, reason) = chosen(&make(&daemon, "x2"));
    assert_eq!(
        (taken.as_str(), reason.as_str()),
        ("overlay", "it has layers here already")
    );
    client
        .default_store()
        .create("layer", None)
        .expect("create");
    let error = client
        .json("POST", "/v1/stores", &json!({ "name": "x3" }))
        .expect_err("two of them");
    error.is(400, "invalid-option", "btrfs, overlay");
    mica(&client.socket, &["store", "create", "x3"]).failed(6, "btrfs, overlay");
    // Naming one is the way out.
    client
        .create_store("x3", "vfs", &json!({}))
        .expect("make a store");
}

#[test]
fn a_prior_driver_that_does_not_work_any_more_is_an_error() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = settings(&lab);
    let daemon = settings.start();
    daemon
        .client
        .default_store()
        .create("layer", None)
        .expect("create");
    assert_eq!(default_store(&daemon).0, "overlay");
    drop(daemon);
    settings.configuration = Some(NO_OVERLAY.to_owned());
    let daemon = settings.start();
    let error = daemon
        .client
        .json("POST", "/v1/stores", &json!({ "name": "x" }))
        .expect_err("its layers would seem to be gone");
    error.is(404, "unknown-driver", "overlay");
    drop(daemon);
    // The way of 2015: another is taken, and a warning names the first.
    settings.configuration = Some(format!("prior_drivers = 'warn'\n{NO_OVERLAY}"));
    let daemon = settings.start();
    assert_eq!(chosen(&make(&daemon, "x")).0, "vfs");
    let log = daemon.log();
    assert!(
        log.contains("data managed by other graphdrivers: overlay"),
        "{log}"
    );
}

#[test]
fn any_other_driver_is_tried_after_the_list_and_none_is_an_error() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut settings = settings(&lab);
    let nothing = [NO_BTRFS, NO_EROFS, NO_OVERLAY, NO_VFS].concat();
    settings.configuration = Some(nothing.clone());
    let log = settings.try_start().expect_err("no driver is left");
    assert!(
        log.contains("no supported storage backend found")
            && log.contains("aufs, btrfs, devicemapper, overlay, vfs"),
        "{log}"
    );
    let directory = lab.scratch("drivers");
    std::fs::write(directory.join("any.wasm"), build::hello_driver()).expect("write a component");
    settings.arguments = vec![
        "--drivers-dir".into(),
        directory.to_str().expect("a path that is text").into(),
    ];
    let daemon = settings.start();
    assert_eq!(default_store(&daemon).0, "hello");
}

#[test]
fn an_option_that_is_wrong_is_no_reason_to_try_another_driver() {
    let lab = Lab::on(FileSystem::Btrfs);
    let daemon = settings(&lab).start();
    let request = json!({ "name": "x", "options": { "overlay.size": "1G" } });
    let error = daemon
        .client
        .json("POST", "/v1/stores", &request)
        .expect_err("btrfs does not know it");
    error.is(400, "invalid-option", "btrfs.min_space");
    assert!(daemon.client.get("/v1/stores/x").is_err());
}

#[test]
fn drivers_of_docker_that_are_not_here_are_not_supported() {
    let lab = Lab::on(FileSystem::Ext4);
    let daemon = settings(&lab).start();
    for (driver, names) in [
        ("aufs", "no aufs file system"),
        ("devicemapper", "block devices"),
        ("zfs", "no zfs file system"),
        ("overlay2", "called `overlay`"),
    ] {
        let error = daemon
            .client
            .create_store("x", driver, &json!({}))
            .expect_err("it is not here");
        assert_eq!(error.code, "not-supported", "{error:?}");
        assert!(
            error.detail.contains(names) && error.detail.contains(driver),
            "{error:?}"
        );
        mica(
            &daemon.client.socket,
            &["store", "create", "x", "--driver", driver],
        )
        .failed(5, names);
    }
    let error = daemon
        .client
        .create_store("x", "bogus", &json!({}))
        .expect_err("no one knows it");
    error.is(404, "unknown-driver", "bogus");
    // Register of a name that is taken.
    let hello = build::hello_driver();
    daemon.client.load_driver(&hello).expect("load the example");
    let error = daemon
        .client
        .load_driver(&hello)
        .expect_err("its name is taken");
    error.is(409, "driver-exists", "hello");
}
