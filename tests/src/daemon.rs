//! A running daemon.
//!
//! Invariant: it dies with the thread that started it, whatever becomes of the test.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::{command, compiled};

/// How long a daemon may take to start: the first start compiles its drivers.
const START: Duration = Duration::from_secs(90);

/// How a daemon is started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The root.
    pub root: PathBuf,
    /// The run directory.
    pub run: PathBuf,
    /// The driver of the default store.
    pub driver: Option<String>,
    /// More arguments of `mica serve`.
    pub arguments: Vec<String>,
    /// A configuration file's content.
    pub configuration: Option<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Words before the command: `unshare`, `strace`.
    pub wrapper: Vec<String>,
    /// Whether a root that is not there is made before it starts, with the code that others have compiled.
    pub lends_code: bool,
    /// Two sockets that it gets as a service manager would pass them; none for nothing.
    pub sockets: Option<[Arc<UnixListener>; 2]>,
}

/// Makes standard input and output the first two passed descriptors of the process that it becomes.
const PASS: &str = "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_FDS=2 LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID; exec \"$@\"";

impl Settings {
    /// A daemon with its root and run directory here.
    pub fn new(root: &Path, run: &Path, driver: &str) -> Self {
        let driver = (!driver.is_empty()).then(|| driver.to_owned());
        let (root, run) = (root.to_owned(), run.to_owned());
        Self {
            root,
            run,
            driver,
            arguments: Vec::new(),
            configuration: None,
            environment: Vec::new(),
            wrapper: Vec::new(),
            lends_code: true,
            sockets: None,
        }
    }

    fn socket(&self) -> PathBuf {
        self.run.join("mica.sock")
    }

    fn log(&self) -> PathBuf {
        self.run.with_file_name(format!(
            "{}.log",
            self.run
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or("run")
        ))
    }

    /// The command that starts it.
    pub fn command(&self) -> Command {
        let bare = command::bare();
        let mut command = Command::new("setpriv");
        command.env_clear().envs(
            bare.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command.envs(self.environment.iter().cloned());
        command
            .args(["--pdeathsig", "KILL"])
            .args(self.sockets.iter().flat_map(|_| ["sh", "-c", PASS, "sh"]))
            .args(&self.wrapper)
            .arg(bare.get_program())
            .arg("serve");
        command
            .arg("--root")
            .arg(&self.root)
            .arg("--run-dir")
            .arg(&self.run)
            .arg("--socket")
            .arg(self.socket());
        if let Some(driver) = &self.driver {
            command.args(["--driver", driver]);
        }
        if let Some(configuration) = &self.configuration {
            let path = self.run.with_extension("toml");
            fs::write(&path, configuration).expect("write the configuration");
            command.arg("--config").arg(path);
        }
        command.args(&self.arguments).stdin(Stdio::null());
        command
    }

    /// Starts it and waits until it answers; what it printed if it ends before that.
    pub fn try_start(&self) -> Result<Daemon, String> {
        let keeps_code = compiled::is_new(&self.root)
            && self.configuration.is_none()
            && self.arguments.is_empty()
            && self.wrapper.is_empty();
        let (mut daemon, before) = self.spawn();
        let deadline = Instant::now() + START;
        while !daemon.answers() {
            if daemon.has_ended() {
                return Err(daemon.log().split_off(before));
            }
            assert!(
                Instant::now() < deadline,
                "the daemon does not answer: {}",
                daemon.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        if keeps_code {
            compiled::keep(&self.root);
        }
        Ok(daemon)
    }

    /// Starts it where it cannot work, even if its sockets are there, and gives its log back when it has ended.
    pub fn start_in_vain(&self) -> String {
        let (mut daemon, before) = self.spawn();
        let deadline = Instant::now() + START;
        while !daemon.has_ended() {
            assert!(Instant::now() < deadline, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon.log().split_off(before)
    }

    /// Starts its process; says how long the log was before.
    fn spawn(&self) -> (Daemon, usize) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("make a log");
        let before = fs::read_to_string(self.log()).map_or(0, |log| log.len());
        let output = log.try_clone().expect("share the log");
        if self.lends_code {
            compiled::lend(&self.root);
        }
        let mut command = self.command();
        command.stdout(output).stderr(log);
        if let Some(sockets) = &self.sockets {
            let [first, second] = sockets.each_ref().map(|socket| {
                let socket = socket.try_clone().expect("share a socket");
                Stdio::from(OwnedFd::from(socket))
            });
            command.stdin(first).stdout(second);
        }
        let child = command.spawn().expect("start the daemon");
        let daemon = Daemon {
            child,
            client: Client::new(&self.socket()),
            log: self.log(),
            settings: self.clone(),
        };
        (daemon, before)
    }

    /// Starts it.
    #[track_caller]
    pub fn start(&self) -> Daemon {
        self.try_start()
            .unwrap_or_else(|log| panic!("the daemon does not start: {log}"))
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// Talks to it.
    pub client: Client,
    log: PathBuf,
    /// How it was started.
    pub settings: Settings,
}

impl Daemon {
    /// Whether it answers.
    pub fn answers(&self) -> bool {
        self.client
            .try_send("GET", "/v1/status", crate::http::Body::Empty)
            .is_ok_and(|answer| answer.status == 200)
    }

    fn has_ended(&mut self) -> bool {
        let ended = self.child.try_wait().expect("wait for the daemon");
        ended.is_some()
    }

    /// What it printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processes that it has started and that have not ended.
    pub fn children(&self) -> Vec<u32> {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid())) else {
            return Vec::new();
        };
        let lists = threads.flatten().map(|thread| {
            // A thread that has ended meanwhile has none.
            fs::read_to_string(thread.path().join("children")).unwrap_or_default()
        });
        let lists: Vec<_> = lists.collect();
        let numbers = lists.iter().flat_map(|list| list.split_whitespace());
        numbers.filter_map(|number| number.parse().ok()).collect()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory that it ever had, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("the daemon's descriptors")
            .count()
    }

    /// How often its threads went to sleep by themselves, and so had to be woken.
    pub fn sleeps(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("threads");
        let counts = tasks.flatten().filter_map(|task| {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line?.trim().parse::<u64>().ok()
        });
        counts.sum()
    }

    /// Whether a debugger has attached to every thread: it does so one by one, and any of them may make the next call.
    pub fn is_traced(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("threads");
        tasks.flatten().all(|task| {
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            !status.contains("TracerPid:\t0")
        })
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the daemon's status");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let size = line.expect("a size").trim().trim_end_matches(" kB");
        size.parse().expect("a number")
    }

    /// Asks it to end and waits.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for the daemon") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the daemon does not end: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it and waits.
    pub fn kill(mut self) {
        self.end();
    }

    /// Waits until something else has ended it.
    pub fn wait(mut self) {
        self.child.wait().expect("wait for the daemon");
    }

    fn signal(&self, signal: Signal) {
        let pid =
            Pid::from_raw(self.pid().try_into().expect("a process number")).expect("not zero");
        kill_process(pid, signal).ok();
    }

    fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<_> = log.lines().rev().take(40).collect();
            let last: Vec<_> = last.into_iter().rev().collect();
            println!("the daemon's log ends with:\n{}", last.join("\n"));
        }
    }
}
