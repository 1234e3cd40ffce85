//! A text with fields of documents in it: `{id} on {parent}`.
//!
//! Invariant: a field of a document is shown in one line of printable characters, so one document makes as many lines as the template has.

use std::fmt;

use serde_json::Value;

use crate::words;

/// A text with fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A field, and those within it.
    Field(Vec<String>),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoTemplate(String);

impl Template {
    /// Reads `{field}`, `{field.within}`, `{{`, `}}`, `\n`, `\t` and `\\`.
    ///
    /// # Errors
    /// What is wrong with it, and what is right.
    pub fn parse(text: &str) -> Result<Self, NoTemplate> {
        let wrong = |what: &str| NoTemplate(format!("`{text}` {what}"));
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut has_field = false;
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            let doubled = |rest: &std::str::Chars<'_>| rest.as_str().starts_with(character);
            match character {
                '{' | '}' if doubled(&rest) => {
                    rest.next();
                    plain.push(character);
                }
                '{' => {
                    let (name, behind) = rest
                        .as_str()
                        .split_once('}')
                        .ok_or_else(|| wrong("has a `{` without its `}`"))?;
                    rest = behind.chars();
                    let names: Vec<_> =
                        name.split('.').map(|name| name.trim().to_owned()).collect();
                    if names.iter().any(String::is_empty) || name.contains('{') {
                        return Err(wrong("has a field without a name; write `{id}`"));
                    }
                    has_field = true;
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Field(names));
                }
                '}' => return Err(wrong("has a `}` without its `{`")),
                '\\' => plain.push(match rest.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('\\') => '\\',
                    _ => return Err(wrong("has a `\\` that is not `\\n`, `\\t` or `\\\\`")),
                }),
                other => plain.push(other),
            }
        }
        if !has_field {
            return Err(wrong(
                "has no field; give `table`, `json`, `jsonl` or a text like `{id} {parent}`",
            ));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The text for a document; `-` for what it does not have.
    pub fn fill(&self, document: &Value) -> String {
        let filled = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(names) => match find(document, names) {
                Some(value @ Value::Object(_)) => words::safe(&value.to_string()),
                Some(value) => words::or_dash(words::text(value)),
                None => words::or_dash(String::new()),
            },
        });
        filled.collect()
    }

    /// The first field that none of several documents has, and that is not optional either.
    pub fn unknown(
        &self,
        documents: &[&Value],
        is_optional: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let mut fields = self.0.iter().filter_map(|part| match part {
            Part::Field(names) => Some(names),
            Part::Text(_) => None,
        });
        let is_unknown = |names: &&Vec<String>| {
            documents.iter().all(|one| find(one, names).is_none())
                && !names.first().is_some_and(|name| is_optional(name))
        };
        fields.find(is_unknown).map(|names| names.join("."))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => formatter.write_str(text),
            Part::Field(names) => write!(formatter, "{{{}}}", names.join(".")),
        })
    }
}

fn find<'a>(document: &'a Value, names: &[String]) -> Option<&'a Value> {
    names
        .iter()
        .try_fold(document, |within, name| within.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_filled_in() {
        let document = json!({"id": "a\u{7}", "depth": 3, "of": {"name": "x"}, "list": [1, "b"]});
        for (template, text) in [
            ("{id}", "a\\u{7}"),
            ("{depth}\\t{of.name}\\n{{id}}", "3\tx\n{id}"),
            ("{none}|{of.none}|{list}", "-|-|1, b"),
            ("{of}", "{\"name\":\"x\"}"),
        ] {
            assert_eq!(Template::parse(template).unwrap().fill(&document), text);
        }
        let template = Template::parse("{id} {none}").unwrap();
        let unknown = |template: &Template| template.unknown(&[&document], |name| name == "parent");
        assert_eq!(unknown(&template).as_deref(), Some("none"));
        assert_eq!(unknown(&Template::parse("{id} {parent}").unwrap()), None);
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_text() {
        for text in [
            "", "xml", "{", "{}", "{a..b}", "a}", "{a{b}", "\\x{a}", "{a}\\",
        ] {
            let told = Template::parse(text).unwrap_err().to_string();
            assert!(told.contains(&format!("`{text}`")), "{told}");
        }
    }
}
