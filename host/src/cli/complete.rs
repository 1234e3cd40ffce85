//! What a shell may complete: commands and options, and the names and ids that the daemon has.
//!
//! A shell that completes runs this program with the line so far. It gets no answer from a daemon that is not there or takes its time, and
//! completes commands and options all the same.
//!
//! Invariant: completing changes nothing, writes no error, takes seconds at most, and offers nothing that a shell would run.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::{Arg, Command, CommandFactory as _, Parser as _};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use mica_client::{Client, Failure, Printer, segment, words};

use super::arguments::Arguments;
use super::context::within;

/// By this variable a shell says that it completes, and which shell it is.
const VARIABLE: &str = "MICA_COMPLETE";
/// How long the daemon may take, unless this variable has another number of seconds: a user waits, and a slow machine needs more.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_VARIABLE: &str = "MICA_COMPLETE_SECONDS";
/// How many names a shell is told.
const MOST: usize = 1000;

/// What a value is a name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Layer,
    Store,
    Driver,
    Snapshot,
}

/// Answers the shell and ends, if it is one that asks.
pub(super) fn answer() {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// Prints the script that has a shell ask.
pub(super) fn script(printer: &Printer, shell: &str) -> Result<(), Failure> {
    let unknown = || Failure::Usage {
        what: format!("there is no completion for the shell `{shell}`"),
        remedy: "give bash, zsh, fish, elvish or powershell",
    };
    let shells = Shells::builtins();
    let shell = shells.completer(shell).ok_or_else(unknown)?;
    let mut script = Vec::new();
    let written = shell.write_registration(VARIABLE, "mica", "mica", "mica", &mut script);
    written.map_err(Failure::io("make the script"))?;
    printer.bytes(&script)
}

/// The command line, whose values are completed.
fn command() -> Command {
    with_names(Arguments::command(), &[])
}

fn with_names(command: Command, above: &[String]) -> Command {
    let mut path = above.to_vec();
    path.push(command.get_name().to_owned());
    let group: Vec<_> = path.iter().skip(1).cloned().collect();
    command
        .mut_args(|arg| match named(&group, &arg) {
            Some(named) => {
                let candidates = move |begun: &OsStr| candidates(named, begun);
                arg.add(ArgValueCompleter::new(candidates))
            }
            None => arg,
        })
        .mut_subcommands(|below| with_names(below, &path))
}

/// What the value of an argument is a name of; what is to be made has none yet.
fn named(command: &[String], arg: &Arg) -> Option<Named> {
    let words: Vec<_> = command.iter().map(String::as_str).collect();
    match (words.as_slice(), arg.get_id().as_str()) {
        (["layer", "create"], "id") | (["store", "create" | "rename"], "new_name") => None,
        (["store", "create"], "name") | (["driver", "new" | "load"], "name") => None,
        (_, "store" | "layers") | (["store", _], "name") | (["layer", "copy"], "to") => {
            Some(Named::Store)
        }
        (["driver", _], "name") | (_, "driver") => Some(Named::Driver),
        (["layer", _], "id" | "ids" | "other" | "parent") | (_, "layer") => Some(Named::Layer),
        (["snapshot", _], "key") => Some(Named::Snapshot),
        _ => None,
    }
}

/// The names that begin like this; none if the daemon does not tell them at once.
fn candidates(named: Named, begun: &OsStr) -> Vec<CompletionCandidate> {
    let Some(begun) = begun.to_str().map(str::to_owned) else {
        return Vec::new();
    };
    let seconds = std::env::var(PATIENCE_VARIABLE).ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    let patience = seconds.map_or(PATIENCE, Duration::from_secs);
    let names = within(patience, move || names(named, &begun).unwrap_or_default());
    let names = names.unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

fn names(named: Named, begun: &str) -> Result<Vec<String>, Failure> {
    let Some(arguments) = given(std::env::args_os()) else {
        return Ok(Vec::new());
    };
    let client = Client::new(super::place(&arguments)?)?;
    let store = segment(arguments.store.as_deref().unwrap_or(match named {
        Named::Snapshot => "containerd",
        _ => "default",
    }));
    let (target, list, field) = match named {
        Named::Layer => (format!("/v1/stores/{store}/layers"), "layers", "id"),
        Named::Store => ("/v1/stores".to_owned(), "stores", "name"),
        Named::Driver => ("/v1/drivers".to_owned(), "drivers", "name"),
        Named::Snapshot => (format!("/v1/stores/{store}/snapshots"), "snapshots", "key"),
    };
    let prefix = segment(begun);
    let document = client.get(&format!("{target}?prefix={prefix}&limit={MOST}"))?;
    let entries = words::list(&document, list).iter();
    let names = entries.filter_map(|entry| entry.get(field)?.as_str());
    let names = names.filter(|name| is_plain(name));
    Ok(names.map(str::to_owned).collect())
}

/// Whether a name stands in a line of any shell as it is. Others are left out: bash puts what it completes into the line without quotes, so
/// that a layer of a stranger called `x;reboot` would be two commands, and one called `--recursive` an option.
fn is_plain(name: &str) -> bool {
    let plain = |one: char| one.is_alphanumeric() || "._:/@%+,-".contains(one);
    !name.starts_with('-') && name.chars().all(plain) && words::safe(name) == name
}

/// The daemon and the store that the line so far names, which is no whole command yet; none if the environment names one that makes no sense.
fn given(line: impl IntoIterator<Item = OsString>) -> Option<Arguments> {
    const TAKEN: [&str; 4] = ["--socket", "--address", "--token-file", "--store"];
    let line: Vec<_> = line
        .into_iter()
        .skip_while(|word| word != "--")
        .skip(2)
        .collect();
    let mut taken = vec![OsString::from("mica")];
    let mut words = line.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let (name, _) = text.split_once('=').unwrap_or((&text, ""));
        if TAKEN.contains(&name) {
            taken.push(word.clone());
            taken.extend((name == text).then(|| words.next().cloned()).flatten());
        }
    }
    taken.push("status".into());
    let given = Arguments::try_parse_from(taken);
    given
        .or_else(|_not_whole| Arguments::try_parse_from(["mica", "status"]))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_so_far_names_the_daemon_and_the_store() {
        let of = |line: &str| given(line.split(' ').map(OsString::from)).expect("arguments");
        let arguments = of("mica -- mica layer ls --store=x --socket /s --recurs");
        assert_eq!(arguments.store.as_deref(), Some("x"));
        assert_eq!(arguments.socket.as_deref(), Some("/s".as_ref()));
        assert_eq!(of("mica -- mica layer rm --store").store, None);
        assert_eq!(of("mica -- mica").store, None);
    }

    #[test]
    fn names_that_a_shell_would_take_apart_are_left_out() {
        for name in ["base", "sha256:00ff", "k8s.io/7/über-1.2_x", "a@b%c+d,e"] {
            assert!(is_plain(name), "{name}");
        }
        for name in [
            "a b",
            "a;b",
            "$(a)",
            "`a`",
            "a*",
            "~a",
            "-a",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "a'b",
            "a|b",
            "a\\b",
        ] {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn values_that_are_names_are_known() {
        let of = |path: &[&str], id: &'static str| {
            let path: Vec<_> = path.iter().map(|word| (*word).to_owned()).collect();
            named(&path, &Arg::new(id))
        };
        assert_eq!(of(&["layer", "rm"], "ids"), Some(Named::Layer));
        assert_eq!(of(&["layer", "create"], "id"), None);
        assert_eq!(of(&["layer", "create"], "parent"), Some(Named::Layer));
        assert_eq!(of(&["store", "rename"], "name"), Some(Named::Store));
        assert_eq!(of(&["store", "rename"], "new_name"), None);
        assert_eq!(of(&["store", "create"], "driver"), Some(Named::Driver));
        assert_eq!(of(&["driver", "swap"], "name"), Some(Named::Driver));
        assert_eq!(of(&["gc"], "layers"), Some(Named::Store));
        command().debug_assert();
    }
}
