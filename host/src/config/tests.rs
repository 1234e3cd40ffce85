use super::*;
use mica_engine::{Durability, PriorDrivers};

fn config(flags: Flags, text: &str) -> Result<Config, Error> {
    parse(Path::new("mica.toml"), text).and_then(|file| merge(flags, file))
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
    assert_eq!(config.engine.grants["overlay"].iter().count(), 2);
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
        ("[metrics]\nlisten = '0.0.0.0:9464'", "metrics.listen"),
        ("[metrics]\nlisten = '9464'", "127.0.0.1:7777"),
        ("[metrics]\nport = 9464", "port"),
        ("slow_call_seconds = -1", "slow_call_seconds"),
        ("slow_call_seconds = nan", "slow_call_seconds"),
        ("slow_call_seconds = 1e9", "slow_call_seconds"),
        ("max_depth = 501", "max_depth"),
        ("[drivers.vfs]\nmax_depth = 0", "drivers.vfs.max_depth"),
        ("[api]\nexpansion = 0", "api.expansion"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(names), "{text}: {refusal}");
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
