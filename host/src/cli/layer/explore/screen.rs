//! A chain to move in: layers on the left, files on the right.
//!
//! Invariant: what is drawn depends on the state and the size of the window alone; a window of any size shows something.

use std::collections::HashSet;

use mica_client::{Failure, words};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::model::Explored;
use super::plain::{letter, name};
use super::terminal::{Key, Terminal};
use crate::api::types::PathChange;
use crate::cli::context::Context;

const HELP: &str = "q quit  tab layers or files  ↑↓ jk move  →← open and close a directory  e open all  a all files or only this layer's";

/// Below so many columns only the side that has the keys is shown.
const NARROW: usize = 60;

/// Which side has the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Layers,
    Files,
}

/// What is shown.
struct Screen<'a> {
    explored: &'a Explored,
    has_color: bool,
    side: Side,
    /// The layer that is looked at, by its place in the chain.
    layer: usize,
    /// Whether only what that layer does is shown, and not all that it and those below it leave.
    is_own: bool,
    /// Directories that are open, by their nodes.
    open: HashSet<usize>,
    /// Nodes that are shown, when all rows have room.
    rows: Vec<usize>,
    /// The one of them that is marked, and the first one on the screen.
    row: usize,
    first: usize,
    /// Bytes of each node and of what it has.
    bytes: Vec<u64>,
}

/// Shows a chain until the user leaves.
pub(super) fn run(context: &Context, explored: &Explored) -> Result<(), Failure> {
    let terminal = Terminal::take()?;
    let has_color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut screen = Screen::new(explored, has_color);
    let mut shown = None;
    loop {
        let size = terminal.size();
        let lines = screen.lines(size);
        if shown.as_ref() != Some(&lines) {
            terminal.show(&lines)?;
            shown = Some(lines);
        }
        for key in terminal.keys()? {
            if screen.press(key, size.1) {
                return Ok(());
            }
        }
        if context.client.is_interrupted() {
            return Err(Failure::Interrupted(String::new()));
        }
    }
}

impl<'a> Screen<'a> {
    fn new(explored: &'a Explored, has_color: bool) -> Self {
        let mut screen = Self {
            explored,
            has_color,
            side: Side::Files,
            layer: explored.layers.len().saturating_sub(1),
            is_own: false,
            open: HashSet::new(),
            rows: Vec::new(),
            row: 0,
            first: 0,
            bytes: Vec::new(),
        };
        screen.fill();
        screen
    }

    /// Chooses what is shown, from the state.
    fn fill(&mut self) {
        let marked = self.rows.get(self.row).copied();
        let nodes = &self.explored.nodes;
        let mut bytes = vec![0; nodes.len()];
        let mut is_there = vec![false; nodes.len()];
        for (index, node) in nodes.iter().enumerate().rev() {
            let of_layer = node
                .versions
                .iter()
                .any(|version| version.layer == self.layer);
            let seen = node.at(self.layer).filter(|_| !self.is_own || of_layer);
            let parent = self.explored.parents.get(index).copied().flatten();
            let below: u64 = bytes.get(index).copied().unwrap_or(0);
            let own = below.saturating_add(seen.map_or(0, |version| version.bytes));
            set(&mut bytes, index, own);
            let has_below = is_there.get(index).copied().unwrap_or(false);
            let is_shown = seen.is_some() || of_layer || has_below;
            set(&mut is_there, index, is_shown);
            if let Some(parent) = parent.filter(|_| is_shown) {
                let sum = bytes.get(parent).copied().unwrap_or(0).saturating_add(own);
                set(&mut bytes, parent, sum);
                set(&mut is_there, parent, true);
            }
        }
        let mut is_open = vec![false; nodes.len()];
        self.rows.clear();
        for (index, is_there) in is_there.into_iter().enumerate() {
            let parent = self.explored.parents.get(index).copied().flatten();
            let is_in_open = parent.is_none_or(|parent| is_open.get(parent) == Some(&true));
            if is_there && is_in_open {
                self.rows.push(index);
                set(&mut is_open, index, self.open.contains(&index));
            }
        }
        self.bytes = bytes;
        let same = marked.and_then(|marked| self.rows.binary_search(&marked).ok());
        self.row = same
            .unwrap_or(self.row)
            .min(self.rows.len().saturating_sub(1));
    }

    /// Takes a key; says whether the user leaves.
    fn press(&mut self, key: Key, height: usize) -> bool {
        let page = height.saturating_sub(4).max(1);
        match key {
            Key::Letter('q') | Key::Escape | Key::Interrupt => return true,
            Key::Tab => {
                self.side = match self.side {
                    Side::Layers => Side::Files,
                    Side::Files => Side::Layers,
                };
            }
            Key::Up | Key::Letter('k') => self.step(|at| at.saturating_sub(1)),
            Key::Down | Key::Letter('j') => self.step(|at| at + 1),
            Key::PageUp => self.step(|at| at.saturating_sub(page)),
            Key::PageDown => self.step(|at| at + page),
            Key::Home | Key::Letter('g') => self.step(|_| 0),
            Key::End | Key::Letter('G') => self.step(|_| usize::MAX),
            Key::Right | Key::Letter('l') => self.turn(Some(true)),
            Key::Left | Key::Letter('h') => self.turn(Some(false)),
            Key::Enter | Key::Letter(' ') => self.turn(None),
            Key::Letter('a') => {
                self.is_own = !self.is_own;
                self.fill();
            }
            Key::Letter('e') => {
                match self.open.is_empty() {
                    true => {
                        let nodes = self.explored.directories.iter().enumerate();
                        self.open = nodes
                            .filter(|(_, is)| **is)
                            .map(|(index, _)| index)
                            .collect();
                    }
                    false => self.open.clear(),
                }
                self.fill();
            }
            Key::Letter(_) => {}
        }
        false
    }

    /// Moves the mark of the side that has the keys.
    fn step(&mut self, to: impl Fn(usize) -> usize) {
        match self.side {
            Side::Files => self.row = to(self.row).min(self.rows.len().saturating_sub(1)),
            Side::Layers => {
                let last = self.explored.layers.len().saturating_sub(1);
                self.layer = to(self.layer).min(last);
                self.fill();
            }
        }
    }

    /// Opens or closes the marked directory; closing what is no open directory leads to the one that it is in.
    fn turn(&mut self, open: Option<bool>) {
        let Some(&node) = self.rows.get(self.row).filter(|_| self.side == Side::Files) else {
            return;
        };
        let is_open = self.open.contains(&node);
        let is_directory = self.explored.directories.get(node) == Some(&true);
        match open.unwrap_or(!is_open) {
            true if is_directory => {
                self.open.insert(node);
            }
            false if is_open => {
                self.open.remove(&node);
            }
            false => {
                let parent = self.explored.parents.get(node).copied().flatten();
                let parent = parent.and_then(|parent| self.rows.binary_search(&parent).ok());
                self.row = parent.unwrap_or(self.row);
            }
            true => {}
        }
        self.fill();
    }

    /// The screen, one string a line, for a window of so many columns and rows.
    fn lines(&mut self, (columns, height): (usize, usize)) -> Vec<String> {
        let body = height.saturating_sub(3);
        let left = match (columns < NARROW, self.side) {
            (true, Side::Layers) => columns,
            (true, Side::Files) => 0,
            (false, _) => (columns * 2 / 5).clamp(24, 60),
        };
        let right = columns.saturating_sub(left);
        self.first = self.first.min(self.row);
        if body > 0 && self.row >= self.first + body {
            self.first = self.row + 1 - body;
        }
        let explored = self.explored;
        let head = format!(
            "{}  {} wasted of {}, efficiency {:.4}",
            explored
                .layers
                .last()
                .map_or_else(String::new, |layer| words::safe(&layer.id)),
            words::bytes(explored.wasted_bytes()),
            words::bytes(explored.bytes()),
            explored.efficiency(),
        );
        let of_files = match self.is_own {
            true => "what this layer does",
            false => "files up to this layer",
        };
        let titles = format!("{}{}", fit("   # layer", left), fit(of_files, right));
        let mut lines = vec![style("1", &fit(&head, columns)), style("4", &titles)];
        // The marked layer stays on the screen.
        let above = self.layer.saturating_sub(body.saturating_sub(1));
        for at in 0..body {
            lines.push(format!(
                "{}{}",
                self.layer_line(above + at, left),
                self.file_line(self.first + at, right)
            ));
        }
        lines.push(style("2", &fit(HELP, columns)));
        lines.truncate(height);
        lines
    }

    fn layer_line(&self, index: usize, width: usize) -> String {
        let Some(layer) = self.explored.layers.get(index) else {
            return fit("", width);
        };
        let bytes = words::bytes(layer.bytes);
        let hidden = match layer.hidden_bytes {
            0 => String::new(),
            hidden => format!(" -{}", words::bytes(hidden)),
        };
        let sizes = format!(" {bytes:>9}{hidden} ");
        let id = fit(
            &format!("{:>4} {}", index + 1, words::safe(&layer.id)),
            width.saturating_sub(sizes.width()),
        );
        let line = fit(&format!("{id}{sizes}"), width);
        match (index == self.layer, self.side) {
            (true, Side::Layers) => style("7", &line),
            (true, Side::Files) => style("1", &line),
            (false, _) => line,
        }
    }

    fn file_line(&self, row: usize, width: usize) -> String {
        let found = self.rows.get(row).and_then(|index| {
            let node = self.explored.nodes.get(*index)?;
            let versions = node.versions.iter().rev();
            let mut versions = versions.filter(|version| version.layer <= self.layer);
            Some((*index, node, versions.next()))
        });
        let Some((index, node, version)) = found else {
            return fit("", width);
        };
        let own = version.filter(|version| version.layer == self.layer);
        let sign = own.map_or(' ', letter);
        let is_open = self.open.contains(&index);
        let is_directory = self.explored.directories.get(index) == Some(&true);
        let fold = match (is_directory, is_open) {
            (true, true) => "▾ ",
            (true, false) => "▸ ",
            (false, _) => "  ",
        };
        let bytes = words::bytes(self.bytes.get(index).copied().unwrap_or(0));
        let shown = version.map_or_else(|| words::safe(node.name()), |version| name(node, version));
        let indent = "  ".repeat(node.level());
        let line = fit(&format!("{sign} {bytes:>9} {indent}{fold}{shown}"), width);
        if row == self.row && self.side == Side::Files {
            return style("7", &line);
        }
        let color = match own.map(|version| version.change) {
            Some(PathChange::Add) => "32",
            Some(PathChange::Modify) => "33",
            Some(PathChange::Delete) => "31",
            None => return line,
        };
        match self.has_color {
            true => style(color, &line),
            false => line,
        }
    }
}

fn set<T>(list: &mut [T], index: usize, value: T) {
    if let Some(place) = list.get_mut(index) {
        *place = value;
    }
}

fn style(code: &str, text: &str) -> String {
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// A text in exactly so many columns.
fn fit(text: &str, width: usize) -> String {
    let mut fitted = String::new();
    let mut used = 0;
    for character in text.chars() {
        let columns = character.width().unwrap_or(0);
        if used + columns > width {
            break;
        }
        used += columns;
        fitted.push(character);
    }
    fitted.push_str(&" ".repeat(width - used));
    fitted
}

#[cfg(test)]
mod tests;
