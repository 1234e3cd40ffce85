//! Opens the page in a browser, where there is one.
//!
//! The address has a secret, and every user of the machine can read the arguments of a process. So the browser gets the
//! name of a file that only its owner can read, and that leads on.
//!
//! Invariant: the secret is in no argument of any process.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mica_client::Token;

/// A file that leads a browser to the page.
#[derive(Debug)]
pub(super) struct Leader(PathBuf);

impl Leader {
    /// Opens the page in a browser; nothing where there is no desktop, or no program that knows of it.
    ///
    /// # Errors
    /// What writing the file says.
    pub(super) fn open(url: &str) -> io::Result<Option<Self>> {
        let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
        if !["BROWSER", "WAYLAND_DISPLAY", "DISPLAY"].iter().any(is_set) {
            return Ok(None);
        }
        let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let directory = own.unwrap_or_else(env::temp_dir);
        let name = format!("mica-dashboard-{}.html", Token::random()?.secret());
        let leader = Self(directory.join(name));
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        options.open(&leader.0)?.write_all(page(url).as_bytes())?;
        let opened = Command::new("xdg-open")
            .arg(&leader.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        // Without the program the printed address is all there is; the file goes here.
        Ok(opened.is_ok().then_some(leader))
    }

    /// Removes the file; it is not needed twice.
    pub(super) fn remove(&self) {
        // It leads to a secret that is spent.
        let _removed = fs::remove_file(&self.0);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.remove();
    }
}

fn page(url: &str) -> String {
    format!(
        "<!doctype html><meta charset=utf-8><meta name=referrer content=no-referrer><title>Mica</title>\n\
         <meta http-equiv=refresh content=\"0;url={url}\"><p><a href=\"{url}\">Open Mica's dashboard</a></p>\n"
    )
}
