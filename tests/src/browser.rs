//! A headless Chromium with one page, and `mica dashboard` as what it opens.
//!
//! Chromium is driven by the DevTools protocol over two pipes, so that no port and no library stands between.
//!
//! Invariant: both die with the thread that started them, and everything they write lies below the lab.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::build::repository;
use crate::command;
use crate::picture::Picture;

/// How long a test waits for anything that the browser should do.
const PATIENCE: Duration = Duration::from_secs(90);

/// Makes standard input and output the pipes of the protocol.
const PIPES: &str = "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2";

/// What Chromium is told: nothing of it may ask the network, show a screen, or look otherwise on another machine.
const SWITCHES: &[&str] = &[
    "--headless=new",
    "--remote-debugging-pipe",
    // The tests are root, and the page is ours.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--lang=en",
];

/// `mica dashboard`, which runs until this goes.
#[derive(Debug)]
pub struct Dashboard {
    child: Child,
    output: BufReader<ChildStdout>,
    /// The address that lets in one browser.
    pub url: String,
}

impl Dashboard {
    /// Starts it for the daemon on `socket`, without a browser.
    #[track_caller]
    pub fn start(socket: &Path) -> Self {
        let mut command = command::bare();
        command.arg("--socket").arg(socket);
        Self::start_as(command, &["--no-open"])
    }

    /// Starts it as a command says, with these arguments.
    #[track_caller]
    pub fn start_as(bare: Command, arguments: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        let variables = bare
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        command.env_clear().envs(variables);
        command.args(["--pdeathsig", "KILL"]);
        command.arg(bare.get_program()).args(bare.get_args());
        let mut child = command
            .arg("dashboard")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start mica dashboard");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut url = String::new();
        output.read_line(&mut url).expect("read the address");
        let url = url.trim().to_owned();
        assert!(url.starts_with("http://"), "no address: `{url}`");
        Self { child, output, url }
    }

    /// Name and port of the address.
    pub fn authority(&self) -> &str {
        let rest = self.url.strip_prefix("http://").unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }

    /// The address of a view of the page.
    pub fn view(&self, place: &str) -> String {
        format!("http://{}/dashboard/#/{place}", self.authority())
    }

    /// Ends it as Ctrl-C does, and says by which code.
    pub fn interrupt(mut self) -> Option<i32> {
        let pid = i32::try_from(self.child.id()).expect("a process number");
        let pid = rustix::process::Pid::from_raw(pid).expect("not zero");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupt it");
        let mut rest = String::new();
        self.output.read_line(&mut rest).expect("it ends");
        self.child.wait().expect("wait for it").code()
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    sent: u64,
    session: Option<String>,
    /// What was told and not asked for.
    told: VecDeque<Value>,
}

impl Browser {
    /// Starts one with its files below `directory`.
    #[track_caller]
    pub fn start(directory: &Path) -> Self {
        let home = directory.join("browser");
        std::fs::create_dir_all(&home).expect("make a directory");
        let log = std::fs::File::create(directory.join("browser.log")).expect("make a log");
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "sh", "-c", PIPES, "sh", "chromium"])
            .args(SWITCHES)
            .arg(format!("--user-data-dir={}", home.display()))
            .arg("about:blank")
            .env("HOME", &home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("start chromium: Debian's package `chromium` is needed");
        let to = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in output.split(0) {
                let Ok(message) = message else { return };
                let message = serde_json::from_slice(&message).expect("a message is JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            to,
            from,
            sent: 0,
            session: None,
            told: VecDeque::new(),
        };
        browser.attach();
        browser
    }

    fn attach(&mut self) {
        let targets = self.call("Target.getTargets", json!({}));
        let infos = targets["targetInfos"].as_array().expect("targets");
        let page = infos
            .iter()
            .find(|info| info["type"] == "page")
            .expect("a page");
        let request = json!({"targetId": page["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", request);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "DOM"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Asks the browser for something.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        let answer = self.request(method, parameters);
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Asks the browser for something that it may refuse.
    #[track_caller]
    fn request(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("ask the browser");
        loop {
            let answer = self.next(method);
            if answer["id"] != json!(self.sent) {
                self.told.push_back(answer);
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(error.clone()),
                None => Ok(answer["result"].clone()),
            };
        }
    }

    #[track_caller]
    fn next(&self, doing: &str) -> Value {
        let next = self.from.recv_timeout(PATIENCE);
        next.unwrap_or_else(|error| panic!("the browser does not answer {doing}: {error}"))
    }

    /// Opens an address and waits until what it names is loaded.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        let begun = self.call("Page.navigate", json!({"url": url}));
        assert!(begun["errorText"].is_null(), "{url}: {begun}");
        self.until("the page is loaded", "document.readyState === 'complete'");
    }

    /// Evaluates an expression, and what it promises, in the page.
    #[track_caller]
    pub fn eval(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer:#}"
        );
        answer["result"]["value"].clone()
    }

    /// Evaluates an expression whose value is a text.
    #[track_caller]
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.eval(expression);
        value
            .as_str()
            .unwrap_or_else(|| panic!("{expression}: {value}"))
            .to_owned()
    }

    /// Waits until an expression is true, for much longer than it should take.
    #[track_caller]
    pub fn until(&mut self, what: &str, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        // Between two documents there is none that could be asked.
        while !self.try_eval(&format!("Boolean({expression})")) {
            if Instant::now() > deadline {
                let page = self.text("document.body.innerText");
                panic!(
                    "{what}: never was {expression}\nthe page says:\n{page}\n{:?}",
                    self.complaints()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether an expression is true; false while one document gives way to the next.
    fn try_eval(&mut self, expression: &str) -> bool {
        let parameters = json!({"expression": expression, "returnByValue": true});
        let answer = self.request("Runtime.evaluate", parameters);
        answer.is_ok_and(|answer| answer["result"]["value"] == json!(true))
    }

    /// Presses a key, as `KeyboardEvent.key` names it.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            " " => 32,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            other => panic!("key {other}"),
        };
        let text = match key {
            "Enter" => "\r",
            " " => " ",
            _ => "",
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event =
                json!({"type": kind, "key": key, "windowsVirtualKeyCode": code, "text": text});
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Types a text into what has the focus.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Clicks on the first element of a selector that has a text.
    #[track_caller]
    pub fn click(&mut self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        let find = format!(
            "[...document.querySelectorAll({selector})].find((one) => one.textContent.includes({text}))"
        );
        self.until(&format!("there is {selector} with {text}"), &find);
        self.eval(&format!("({find}).click()"));
    }

    /// Gives a field for files one.
    pub fn choose_file(&mut self, selector: &str, path: &Path) {
        let expression = format!("document.querySelector({})", json!(selector));
        let found = self.call("Runtime.evaluate", json!({"expression": expression}));
        let request = json!({"files": [path], "objectId": found["result"]["objectId"]});
        self.call("DOM.setFileInputFiles", request);
    }

    /// Sets width and height in CSS pixels, and whether the reader prefers dark.
    pub fn look(&mut self, (width, height): (u32, u32), scheme: &str) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        // What moves is never the same twice.
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// What can be seen; with `MICA_PICTURES` it is also left in that directory, for people.
    #[track_caller]
    pub fn picture(&mut self, name: &str) -> Picture {
        // Two frames later everything that was due is drawn.
        self.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))");
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let data = answer["data"].as_str().expect("a picture");
        let bytes = BASE64_STANDARD.decode(data).expect("base64");
        if let Some(directory) = std::env::var_os("MICA_PICTURES") {
            let path = Path::new(&directory).join(format!("{name}.png"));
            std::fs::write(path, &bytes).expect("leave the picture");
        }
        Picture::read(&bytes)
    }

    /// What axe-core finds wrong with the page: a line for each rule and element.
    #[track_caller]
    pub fn judge(&mut self) -> Vec<String> {
        let library = repository().join("target/peers/axe-playwright-python");
        let path = library.join("axe_playwright_python/axe.min.js");
        let judge = std::fs::read_to_string(&path)
            .expect("axe-core is missing: run `tests/setup/peers.sh target/peers`");
        if self.eval("typeof window.axe") != json!("object") {
            self.eval(&format!("{judge}; true"));
        }
        let found = self.eval(
            "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.flatMap((one) => \
             one.nodes.map((node) => `${one.id}: ${node.target.join(' ')}: ${node.failureSummary}`)))",
        );
        let lines = found.as_array().expect("a list").iter();
        lines
            .map(|line| line.as_str().expect("a text").to_owned())
            .collect()
    }

    /// What the page did not get or was not allowed: errors of scripts, and what its policy forbids.
    pub fn complaints(&mut self) -> Vec<String> {
        self.settle();
        let mut complaints = Vec::new();
        for told in &self.told {
            let parameters = &told["params"];
            match told["method"].as_str() {
                Some("Runtime.exceptionThrown") => {
                    complaints.push(parameters["exceptionDetails"].to_string())
                }
                Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                    complaints.push(parameters["entry"].to_string());
                }
                _ => {}
            }
        }
        complaints
    }

    /// The addresses that were asked for, but for the part that is the same for all.
    pub fn requests(&mut self) -> Vec<String> {
        self.settle();
        let of_request = |told: &Value| {
            let is_request = told["method"] == "Network.requestWillBeSent";
            let url = told["params"]["request"]["url"].as_str()?;
            is_request.then(|| url.splitn(4, '/').nth(3).unwrap_or_default().to_owned())
        };
        self.told.iter().filter_map(of_request).collect()
    }

    fn settle(&mut self) {
        while let Ok(told) = self.from.try_recv() {
            self.told.push_back(told);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its own processes end with it.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}
