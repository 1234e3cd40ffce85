use super::*;
use mica_engine::{Durability, PriorDrivers};

fn config(flags: Flags, text: &str) -> Result<Config, Error> {
    of_text(flags, Path::new("mica.toml"), text)
}

fn refusal(text: &str) -> String {
    config(Flags::default(), text).unwrap_err().to_string()
}

#[test]
fn without_file_and_flags_the_usual_places_are_used() {
    let config = Config::load(Flags::default()).unwrap();
    assert_eq!(config.engine.root, Path::new(DEFAULT_ROOT));
    assert_eq!(config.socket, Path::new("/run/mica/mica.sock"));
    assert_eq!((config.tcp, config.engine.selection.named.len()), (None, 0));
    assert_eq!(config.engine.selection.prior, PriorDrivers::Choose);
    assert_eq!(config.docker, None);
    assert_eq!(
        (config.log.as_str(), config.engine.max_depth),
        ("info", 500)
    );
    assert_eq!(config.engine.durability, Durability::Commit);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.api, ApiLimits::default());
}

#[test]
fn flags_go_before_the_file() {
    let flags = Flags {
        root: Some("/flag".into()),
        ..Flags::default()
    };
    let text = "root = '/file'\nrun_dir = '/run/file'\ntcp = '[::1]:80'\ntcp_unauthenticated = true\nlog = 'debug'";
    let config = config(flags, text).unwrap();
    assert_eq!(config.engine.root, Path::new("/flag"));
    assert_eq!(config.socket, Path::new("/run/file/mica.sock"));
    assert_eq!(config.tcp.unwrap().address.port(), 80);
    assert_eq!(config.log, "debug");
}

#[test]
fn a_driver_is_named_by_the_environment_before_the_flag_before_the_file() {
    let flags = |environment: &[(&'static str, &str)], flag: Option<&str>| Flags {
        environment: environment
            .iter()
            .map(|(variable, driver)| (*variable, (*driver).to_owned()))
            .collect(),
        driver: flag.map(str::to_owned),
        ..Flags::default()
    };
    let first = |flags| {
        let selection = config(flags, "driver = 'file'").unwrap().engine.selection;
        selection.named.into_iter().next().unwrap().1
    };
    let both = [("MICA_DRIVER", "mica"), ("DOCKER_DRIVER", "docker")];
    assert_eq!(first(flags(&both, Some("flag"))), "mica");
    let empty = [("MICA_DRIVER", ""), ("DOCKER_DRIVER", "docker")];
    assert_eq!(first(flags(&empty, Some("flag"))), "docker");
    assert_eq!(first(flags(&[], Some("flag"))), "flag");
    assert_eq!(first(flags(&[], None)), "file");
}

#[test]
fn every_setting_can_be_given() {
    let text = "
        root = '/r'\nrun_dir = '/run/r'\nsocket = '/run/s'\ntcp = '127.0.0.1:1'\ntcp_unauthenticated = true\ndriver = 'vfs'
        drivers_dir = '/d'\ndurability = 'none'\nlog = 'warn'\nmax_depth = 9\nslow_call_seconds = 0.5\nbake_seconds = 3\nprior_drivers = 'warn'
        [limits]\nshort_seconds = 5\n[api]\nconnections = 7
        [containerd]\nsocket = '/run/c'\nstore = 'k8s'\ndriver = 'vfs'\nshare_content = true\ncall_seconds = 2
        [metrics]\nlisten = '[::1]:9464'\n[docker]\nsocket = '/run/d'\nstore = 'images'\ndriver = 'vfs'
        [drivers.overlay]\ngrants = ['home', 'log']\nmax_depth = 4";
    let config = config(Flags::default(), text).unwrap();
    assert_eq!(config.engine.durability, Durability::None);
    assert_eq!(config.tcp.unwrap().access, Access::Everyone);
    assert_eq!(config.engine.selection.prior, PriorDrivers::Warn);
    assert_eq!(
        (config.engine.max_depth, config.engine.bake.as_secs()),
        (9, 3)
    );
    assert_eq!(config.engine.slow_call, Some(Duration::from_millis(500)));
    assert_eq!(config.metrics.unwrap().port(), 9464);
    assert_eq!(
        (config.limits.short_seconds, config.api.connections),
        (5, 7)
    );
    assert_eq!(
        config.engine.grants["overlay"]
            .interfaces
            .as_ref()
            .map(|all| all.len()),
        Some(2)
    );
    assert_eq!(config.engine.driver_depths["overlay"], 4);
    let containerd = config.containerd.unwrap();
    assert_eq!(containerd.socket, Path::new("/run/c"));
    assert_eq!(
        (containerd.store.as_str(), containerd.driver.as_deref()),
        ("k8s", Some("vfs"))
    );
    assert_eq!(containerd.content, Content::Shared);
    assert_eq!(containerd.limits.call().as_secs(), 2);
    let docker = config.docker.unwrap();
    assert_eq!(docker.socket, Path::new("/run/d"));
    assert_eq!(
        (docker.store.as_str(), docker.driver.as_deref()),
        ("images", Some("vfs"))
    );
}

#[test]
fn what_is_not_known_is_named() {
    for (text, names) in [
        ("bogus_key = 1", "bogus_key"),
        ("[limits]\nbogus_limit = 1", "bogus_limit"),
        ("[api]\nbogus = 1", "bogus"),
        ("[drivers.vfs]\nbogus = 1", "bogus"),
        ("[docker]\nbogus = 1", "bogus"),
        ("[containerd]\nbogus = 1", "bogus"),
        ("[containerd]\ncall_seconds = 0", "containerd.call_seconds"),
        (
            "[containerd]\nsocket = '/run/mica/mica.sock'",
            "socket of REST",
        ),
        ("[containerd]\nstore = 'A/b'", "containerd.store"),
        ("[docker]\nstore = 'A/b'", "docker.store"),
        ("[drivers.vfs]\ngrants = ['everything']", "everything"),
        ("durability = 'sometimes'", "sometimes"),
        ("root = [1", "line 1"),
        ("tcp = '0.0.0.0:1'", "0.0.0.0"),
        ("tcp = '127.0.0.1:1'", "--tcp-unauthenticated"),
        ("[api]\nclient_streams = 0", "api.client_streams"),
        ("tcp = 'localhost'", "localhost"),
        (
            "max_depth = 501",
            "line 1: setting `max_depth`: 501 is not from 1 to 500; the default is 500",
        ),
        (
            "[limits]\nmemory_bytes = 1",
            "line 2: setting `limits.memory_bytes`: 1 is not from 8388608",
        ),
        ("[limits]\nlong_seconds = 0", "limits.long_seconds"),
        (
            "[limits]\nlong_second = 1",
            "line 2: unknown field `long_second`; did you mean `long_seconds`?",
        ),
        (
            "colour = 'red'",
            "unknown field `colour`; `mica explain configuration` lists what there is",
        ),
        (
            "log = 'verbose'",
            "line 1: setting `log`: `verbose` is no level",
        ),
        ("log = 'info,mica=loud'", "`mica=loud` is no level"),
        ("bake_seconds = 604801", "bake_seconds"),
        ("[metrics]\nlisten = '0.0.0.0:9464'", "metrics.listen"),
        ("[metrics]\nlisten = '9464'", "127.0.0.1:7777"),
        ("[metrics]\nport = 9464", "port"),
        ("slow_call_seconds = -1", "slow_call_seconds"),
        ("slow_call_seconds = nan", "slow_call_seconds"),
        ("slow_call_seconds = 1e9", "slow_call_seconds"),
        ("[drivers.vfs]\nmax_depth = 0", "drivers.vfs.max_depth"),
        ("[api]\nexpansion = 0", "api.expansion"),
        ("[scrub]\ndays = 5000", "scrub.days"),
        ("[scrub]\nstores = { '/' = 'off' }", "scrub.stores"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(names), "{text}: {refusal}");
    }
}

#[test]
fn a_rule_of_trust_that_makes_no_sense_is_named() {
    for (text, names) in [
        (
            "[[drivers.trust]]\nkey = 'a.pub'",
            "line 2: unknown field `key`",
        ),
        ("[[drivers.trust]]\nunsigned = 'maybe'", "maybe"),
        (
            "[[drivers.trust]]\nname = '['",
            "line 1: setting `drivers.trust`: name `[` is no pattern",
        ),
        (
            "[[drivers.trust]]\nregistry = 'https://registry.example'",
            "must be a host",
        ),
        (
            "[[drivers.trust]]\nkeys = ['/nonexistent/a.pub']",
            "/nonexistent/a.pub",
        ),
        (
            "[[drivers.trust]]\nkeys = ['/dev/null']",
            "`/dev/null`: it is not one public key",
        ),
        ("[[drivers.trust]]\nidentity = 'a'", "belong together"),
        (
            "[[drivers.trust]]\nidentity = ''\nissuer = 'b'\ntrust_root = '/dev/null'",
            "none empty",
        ),
        (
            "[[drivers.trust]]\nidentity = 'a'\nissuer = 'b'\ntrust_root = '/dev/null'",
            "trust_root `/dev/null`",
        ),
        ("[drivers.trust]\nname = 'a'", "sequence"),
        ("[telemetry]\nratio = 2.0", "telemetry.ratio"),
        (
            "[telemetry]\notlp_endpoint = 'http://192.0.2.1'",
            "telemetry.otlp_endpoint",
        ),
        ("[scrub]\nstores = { '/' = 'off' }", "scrub.stores"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(names), "{text}: {refusal}");
    }
}

#[test]
fn what_is_said_of_drivers_is_named_where_it_is_wrong() {
    for (text, named) in [
        (
            "[drivers.vfs]\nmounts = ['loop']",
            "line 2: setting `drivers.vfs.mounts`: `loop`",
        ),
        ("[drivers.vfs]\nxattrs = ['trusted']", "drivers.vfs.xattrs"),
        ("[drivers]\nrequire_manifests = true", "require_manifests"),
        (
            "[drivers.vfs]\ncolour = 'red'",
            "line 2: unknown field `colour`",
        ),
        ("[drivers]\nvfs = true", "line 2"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(named), "{text}: {refusal}");
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    let flags = Flags {
        config: Some("/nonexistent/mica.toml".into()),
        ..Flags::default()
    };
    let error = Config::load(flags).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/mica.toml"), "{error}");
}

#[test]
fn every_key_of_the_file_is_explained() {
    let known = |section: &str| {
        let text = match section {
            "" => "?x = 1".replace('?', "_"),
            "drivers.trust" => "[[drivers.trust]]\n_x = 1".to_owned(),
            section => format!("[{section}]\n_x = 1"),
        };
        let error = toml::from_str::<File>(&text)
            .unwrap_err()
            .message()
            .to_owned();
        let keys = error.split('`').skip(3).step_by(2);
        let keys = keys.map(|key| match section {
            "" => key.to_owned(),
            section => format!("{section}.{key}"),
        });
        keys.collect::<Vec<_>>()
    };
    let sections = [
        "",
        "limits",
        "api",
        "docker",
        "metrics",
        "scrub",
        "telemetry",
        "containerd",
        "drivers",
        "drivers.NAME",
        "drivers.trust",
    ];
    let mut keys: Vec<_> = sections.into_iter().flat_map(known).collect();
    keys.retain(|key| {
        ![
            "limits",
            "api",
            "docker",
            "metrics",
            "scrub",
            "telemetry",
            "containerd",
            "drivers",
            "drivers.trust",
        ]
        .contains(&key.as_str())
    });
    let numbers = defaults().into_iter().map(|one| one.name());
    let texts = TEXTS.iter().map(|text| text.name.to_owned());
    let mut explained: Vec<_> = numbers.chain(texts).collect();
    keys.sort();
    explained.sort();
    assert_eq!(keys, explained);
}

#[test]
fn usual_numbers_are_within_their_ranges() {
    for setting in defaults() {
        let number = &setting.number;
        assert!(
            number.is_in_range() && number.value == number.default,
            "{number:?}"
        );
        assert!(number.about.ends_with('.'), "{number:?}");
    }
}

#[test]
fn what_is_other_than_before_is_named() {
    let before = config(Flags::default(), "").unwrap();
    let text = "log = 'debug'\nroot = '/r'\n[limits]\nhandles = 100\n[api]\ncalls = 9\n[drivers.vfs]\nmax_depth = 3";
    let after = config(Flags::default(), text).unwrap();
    let named = ["root", "drivers", "limits.handles", "api.calls"];
    assert_eq!(after.differences(&before), named);
    assert_eq!(before.differences(&before), [""; 0]);
}
