//! The text format itself.
//!
//! Invariant: a family is begun once and its samples follow it; whatever a label's value is, it stays within its quotes.

use mica_engine::Distribution;
use std::fmt::{Display, Write as _};

/// How many microseconds are a second: by what a distribution of times is divided.
pub(super) const MICROSECONDS: u32 = 1_000_000;

/// What a family's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only rises, until the daemon ends.
    Counter,
    /// Rises and falls.
    Gauge,
    /// How often something was how large.
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A text that is being written.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// A family of it, which samples follow.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

/// Names and values.
type Labels<'a> = &'a [(&'static str, &'a str)];

impl Text {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = kind.word();
        self.0
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family {
            text: &mut self.0,
            name,
        }
    }

    /// The whole text.
    pub(super) fn end(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Writes one number.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// Writes a distribution whose numbers are so many to one of the family's unit.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, of: &Distribution, per_unit: u32) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the format knows 64-bit floating-point numbers only"
        )]
        let in_unit = |number: u64| number as f64 / f64::from(per_unit);
        let mut count = 0;
        let bounds = of.bounds.iter().map(|bound| in_unit(*bound).to_string());
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bound, more) in bounds.zip(&of.counts) {
            count += more;
            self.line("_bucket", labels, Some(&bound), count);
        }
        self.line("_sum", labels, None, in_unit(of.sum));
        self.line("_count", labels, None, count);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let all = labels.iter().copied();
        let all = all.chain(bound.map(|bound| ("le", bound)));
        for (place, (name, value)) in all.enumerate() {
            self.text.push(if place == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            value.chars().for_each(|one| self.quoted(one));
            self.text.push('"');
        }
        let end = if labels.is_empty() && bound.is_none() {
            ""
        } else {
            "}"
        };
        // Writing to memory does not fail.
        let _written = writeln!(self.text, "{end} {value}");
    }

    fn quoted(&mut self, one: char) {
        match one {
            '\\' => self.text.push_str("\\\\"),
            '"' => self.text.push_str("\\\""),
            '\n' => self.text.push_str("\\n"),
            other => self.text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_written_as_prometheus_reads_it() {
        let mut text = Text::default();
        text.family("a_total", Kind::Counter, "Things.")
            .sample(&[("x", "q\"\\\n"), ("y", "")], 3);
        text.family("b", Kind::Gauge, "More.").sample(&[], 0.5);
        let of = Distribution {
            bounds: &[100, 2_000_000],
            counts: vec![1, 0, 2],
            sum: 7_500_000,
        };
        text.family("c_seconds", Kind::Histogram, "Times.")
            .histogram(&[("x", "z")], &of, MICROSECONDS);
        let expected = r#"# HELP a_total Things.
# TYPE a_total counter
a_total{x="q\"\\\n",y=""} 3
# HELP b More.
# TYPE b gauge
b 0.5
# HELP c_seconds Times.
# TYPE c_seconds histogram
c_seconds_bucket{x="z",le="0.0001"} 1
c_seconds_bucket{x="z",le="2"} 1
c_seconds_bucket{x="z",le="+Inf"} 3
c_seconds_sum{x="z"} 7.5
c_seconds_count{x="z"} 3
"#;
        assert_eq!(text.end(), expected);
    }
}
