//! A terminal that a program draws on and reads keys from.
//!
//! Of a terminal library this program would need a dozen functions, and those that there are change features of crates that the sandbox
//! is built of: see docs/decisions/0072-the-explorer-draws-by-itself.md.
//!
//! Invariant: however the view is left, by a key, an error, SIGINT or SIGTERM, the terminal is as it was before; only
//! printable characters and this file's own sequences are written to it.

use std::io::{self, Stdin, Write as _, stdin, stdout};
use std::os::fd::AsFd as _;

use mica_client::Failure;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The other screen, no cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";
/// How long it is waited for a key before it is looked whether the window has another size.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// What a user pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Tab,
    Escape,
    /// Control and C, which no signal is sent for.
    Interrupt,
    Letter(char),
}

/// A terminal whose keys come as they are pressed.
pub(super) struct Terminal {
    stdin: Stdin,
    before: Termios,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn take() -> Result<Self, Failure> {
        let failed = || Failure::io("take the terminal");
        let stdin = stdin();
        let before = tcgetattr(stdin.as_fd()).map_err(|error| failed()(error.into()))?;
        let mut raw = before.clone();
        raw.make_raw();
        let set = tcsetattr(stdin.as_fd(), OptionalActions::Flush, &raw);
        set.map_err(|error| failed()(error.into()))?;
        let terminal = Self { stdin, before };
        write(ENTER).map_err(failed())?;
        Ok(terminal)
    }

    /// Columns and rows of the window.
    pub(super) fn size(&self) -> (usize, usize) {
        match tcgetwinsize(stdout().as_fd()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (size.ws_col.into(), size.ws_row.into())
            }
            _ => (80, 24),
        }
    }

    /// Shows these lines from the top on, and nothing else.
    ///
    /// # Errors
    /// What writing says.
    pub(super) fn show(&self, lines: &[String]) -> Result<(), Failure> {
        let mut frame = String::from("\x1b[H");
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                frame.push_str("\r\n");
            }
            frame.push_str(line);
            frame.push_str("\x1b[0m\x1b[K");
        }
        frame.push_str("\x1b[J");
        write(&frame).map_err(Failure::io("draw on the terminal"))
    }

    /// Keys that were pressed; none if there were none for a moment.
    ///
    /// # Errors
    /// What reading says; that the terminal is gone.
    pub(super) fn keys(&self) -> Result<Vec<Key>, Failure> {
        let failed = |error: rustix::io::Errno| Failure::io("read keys")(error.into());
        let mut waited = [PollFd::new(&self.stdin, PollFlags::IN)];
        match poll(&mut waited, Some(&PATIENCE)) {
            // A signal, for instance that the window has another size.
            Err(rustix::io::Errno::INTR) | Ok(0) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
            Ok(_) => {}
        }
        let mut bytes = [0; 64];
        match rustix::io::read(self.stdin.as_fd(), &mut bytes) {
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
            Ok(0) => {
                let gone = io::Error::from(io::ErrorKind::UnexpectedEof);
                Err(Failure::io("read keys")(gone))
            }
            Ok(count) => Ok(pressed(bytes.get(..count).unwrap_or_default())),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing is left to be done about it when the terminal is gone.
        let _left = write(LEAVE);
        let _restored = tcsetattr(self.stdin.as_fd(), OptionalActions::Flush, &self.before);
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// The keys that a terminal sends as these bytes.
fn pressed(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let key = match first {
            b'\x1b' => {
                let (key, behind) = sequence(behind);
                rest = behind;
                key
            }
            b'\r' | b'\n' => Some(Key::Enter),
            b'\t' => Some(Key::Tab),
            3 => Some(Key::Interrupt),
            b' '..=b'~' => Some(Key::Letter(char::from(*first))),
            _ => None,
        };
        keys.extend(key);
    }
    keys
}

/// The key of an escape sequence, and what comes behind it; one that is not known is passed over.
fn sequence(bytes: &[u8]) -> (Option<Key>, &[u8]) {
    let Some((b'[' | b'O', body)) = bytes.split_first() else {
        return (Some(Key::Escape), bytes);
    };
    let Some(end) = body.iter().position(|byte| matches!(byte, b'@'..=b'~')) else {
        return (None, &[]);
    };
    let (parameters, behind) = body.split_at(end);
    let (last, behind) = behind.split_first().unwrap_or((&0, behind));
    let key = match (last, parameters) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'~', b"5") => Key::PageUp,
        (b'~', b"6") => Key::PageDown,
        _ => return (None, behind),
    };
    (Some(key), behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_and_others_are_passed_over() {
        let all = b"j\x1b[A\x1bOB\x1b[5~\x1b[1;5C\x1b[99x\r\t\x03q\x1b";
        let keys = [
            Key::Letter('j'),
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::Right,
            Key::Enter,
            Key::Tab,
            Key::Interrupt,
            Key::Letter('q'),
            Key::Escape,
        ];
        assert_eq!(pressed(all), keys);
        assert_eq!(pressed(b"\x1b[1;"), []);
        assert_eq!(pressed(b"\xc3\xa4\x01"), []);
    }
}
