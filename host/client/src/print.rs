//! Results on standard output: tables for people, documents for programs.
//!
//! Invariant: a document goes out as the daemon sent it, so that a field that this version does not know is not lost.

use std::io::{self, Write as _};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, printable_json, shown};

/// Writes results to standard output.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    output: Output,
    /// Whether a document that has these fields may have another one, too.
    may_have: fn(&[&str], &str) -> bool,
}

impl Printer {
    /// Results for people or for programs.
    #[must_use]
    pub fn new(output: Output) -> Self {
        Self {
            output,
            may_have: |_, _| false,
        }
    }

    /// The same, which knows fields that documents only have if there is something to tell: a list that happens to have none of them is
    /// no reason to refuse a template. `may_have` is told the fields that there are, and the one in question.
    #[must_use]
    pub fn knowing(self, may_have: fn(&[&str], &str) -> bool) -> Self {
        Self { may_have, ..self }
    }

    /// Whether a program or a script reads.
    pub fn is_for_programs(self) -> bool {
        self.output != Output::Table
    }

    /// For whom it prints.
    pub fn output(self) -> Output {
        self.output
    }

    /// The line of one of several documents that come one after the other, if a program or a script reads.
    pub fn line(self, document: &Value) -> Option<String> {
        match self.output {
            Output::Table => None,
            Output::Json | Output::Lines => Some(printable_json(&document.to_string())),
            Output::Template(template) => Some(template.fill(document)),
        }
    }

    /// Writes a text for people, or the document for programs.
    ///
    /// # Errors
    /// What writing says; a reader that went away is none.
    pub fn result(self, document: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.output {
            Output::Json => {
                self.bytes(format!("{}\n", printable_json(&format!("{document:#}"))).as_bytes())
            }
            Output::Lines | Output::Template(_) => self.entries(document),
            Output::Table => {
                let mut text = shown(&text());
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                self.bytes(text.as_bytes())
            }
        }
    }

    /// Writes each entry of a document that is a list, or the document.
    fn entries(self, document: &Value) -> Result<(), Failure> {
        let entries = entries(document);
        if let Output::Template(template) = self.output
            && !entries.is_empty()
        {
            let known = fields(&entries);
            let is_optional = |name: &str| (self.may_have)(&known, name);
            if let Some(field) = template.unknown(&entries, is_optional) {
                return Err(Failure::Told {
                    what: format!("nothing here has the field `{field}`"),
                    remedy: Some(format!("fields that there are: {}", known.join(", "))),
                    exit: Exit::Usage,
                    code: Some("unknown-field"),
                });
            }
        }
        let lines = entries.iter().filter_map(|entry| self.line(entry));
        let text: String = lines.map(|line| line + "\n").collect();
        self.bytes(text.as_bytes())
    }

    /// Writes a document: for people as a text about what this program knows of it, for programs as it came. What a daemon of
    /// another version says in another form goes to people as it came, too, because what they asked for is done.
    ///
    /// # Errors
    /// What writing says; a reader that went away is none.
    pub fn view<T: DeserializeOwned>(
        self,
        document: &Value,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if self.is_for_programs() {
            return self.result(document, String::new);
        }
        self.result(document, || match read(document) {
            Some(view) => text(&view),
            None => format!("{document:#}"),
        })
    }

    /// Tells people something beside the result; a program finds it in the document.
    #[expect(clippy::print_stderr, reason = "a note must not mix with the result")]
    pub fn note(self, text: &str) {
        if !self.is_for_programs() {
            eprintln!("{}", shown(text));
        }
    }

    /// Tells something beside a result that is no document: people the text, a program the document.
    #[expect(clippy::print_stderr, reason = "a note must not mix with the result")]
    pub fn note_document(self, document: &Value, text: &str) {
        match self.output {
            Output::Json => eprintln!("{}", printable_json(&format!("{document:#}"))),
            Output::Lines => eprintln!("{}", printable_json(&document.to_string())),
            Output::Table | Output::Template(_) => eprintln!("{}", shown(text)),
        }
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// What writing says; a reader that went away is none.
    pub fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(Failure::io("write to standard output")),
        }
    }
}

/// The fields that several documents have, each once.
fn fields<'a>(documents: &[&'a Value]) -> Vec<&'a str> {
    let objects = documents.iter().filter_map(|one| one.as_object());
    let mut known: Vec<&str> = Vec::new();
    for name in objects.flat_map(|one| one.keys()) {
        if !known.contains(&name.as_str()) {
            known.push(name);
        }
    }
    known
}

/// The entries of a document that has one list and nothing else; any other is the only entry itself.
fn entries(document: &Value) -> Vec<&Value> {
    let mut fields = document.as_object().into_iter().flatten();
    match (fields.next(), fields.next()) {
        (Some((_, Value::Array(list))), None) => list.iter().collect(),
        _ => vec![document],
    }
}

/// Reads a document of the daemon's; `None` if it has another form than this program knows. Fields that are not known are
/// passed over.
pub fn read<T: DeserializeOwned>(document: &Value) -> Option<T> {
    T::deserialize(document).ok()
}

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// On the left, under this name.
    Text(&'static str),
    /// On the right, under this name.
    Number(&'static str),
}

/// A table without lines: columns two blanks apart, names in capitals.
pub fn table(columns: &[Column], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let names = columns.iter().map(|column| match column {
        Column::Text(name) | Column::Number(name) => Cell::new(name.to_uppercase()),
    });
    table.set_header(names.collect::<Vec<_>>());
    table.add_rows(rows);
    for (index, column) in columns.iter().enumerate() {
        if let Some(drawn) = table.column_mut(index) {
            drawn.set_padding((0, 2));
            if matches!(column, Column::Number(_)) {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.trim_fmt()
}

/// Names and values, one pair a line.
pub fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    pairs
        .iter()
        .map(|(name, value)| {
            let line = format!("{name:width$}{value}");
            format!("{}\n", line.trim_end())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_another_form_is_none_and_what_is_more_is_passed_over() {
        let known = |document| read::<Vec<(String, u64)>>(&document);
        assert_eq!(known(json!([["a", 1]])), Some(vec![("a".to_owned(), 1)]));
        assert_eq!(known(json!([["a"]])), None);
    }

    #[test]
    fn a_list_alone_has_entries() {
        let count = |document: Value| entries(&document).len();
        assert_eq!(count(json!({"layers": [1, 2, 3]})), 3);
        assert_eq!(count(json!({"layers": []})), 0);
        assert_eq!(count(json!({"id": "a", "labels": [1, 2]})), 1);
        assert_eq!(count(json!(["a", "b"])), 1);
    }

    #[test]
    fn tables_have_columns_and_no_blanks_at_the_end() {
        let rows = vec![
            vec!["base".to_owned(), "1".to_owned()],
            vec!["x".to_owned(), "20".to_owned()],
        ];
        let text = table(&[Column::Text("id"), Column::Number("depth")], rows);
        assert_eq!(text, "ID    DEPTH\nbase      1\nx        20");
    }
}
