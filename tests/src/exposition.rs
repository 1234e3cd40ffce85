//! Prometheus' text format (version 0.0.4), read as strictly as its description is written.
//!
//! Invariant: a text that breaks a rule is refused with its line; nothing is passed over.

use std::collections::{BTreeMap, BTreeSet};

/// The names and values of a sample's labels.
pub type Labels = BTreeMap<String, String>;

/// One number of the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its name, with `_bucket`, `_sum` or `_count` for parts of a histogram.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// The number.
    pub value: f64,
}

/// A text that was read.
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    /// The types of the families, by name.
    pub families: BTreeMap<String, String>,
    /// The samples in their order.
    pub samples: Vec<Sample>,
}

impl Exposition {
    /// Reads a text.
    ///
    /// # Errors
    /// Which line breaks which rule.
    pub fn read(text: &str) -> Result<Self, String> {
        if !text.ends_with('\n') {
            return Err("the last line does not end".to_owned());
        }
        let mut reader = Reader::default();
        for (number, line) in text.lines().enumerate() {
            let told = |error| format!("line {}: {error}: {line}", number + 1);
            reader.line(line).map_err(told)?;
        }
        reader.close()?;
        Ok(reader.read)
    }

    /// The sum of the samples of this name that have these labels; 0 if there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            let has = |(name, value): &(&str, &str)| {
                sample.labels.get(*name).is_some_and(|found| found == value)
            };
            sample.name == name && labels.iter().all(has)
        };
        self.samples
            .iter()
            .filter(fits)
            .map(|sample| sample.value)
            .sum()
    }

    /// Whether a query may name this: a family, or a part of a histogram.
    pub fn has(&self, name: &str) -> bool {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().any(|suffix| {
            let family = name.strip_suffix(suffix);
            family.is_some_and(|family| {
                self.families
                    .get(family)
                    .is_some_and(|kind| kind == "histogram")
            })
        });
        self.families
            .get(name)
            .is_some_and(|kind| kind != "histogram")
            || of_histogram
    }
}

#[derive(Debug, Default)]
struct Reader {
    read: Exposition,
    helped: BTreeSet<String>,
    /// The family that samples belong to now.
    family: String,
    /// Families that may not come again.
    closed: BTreeSet<String>,
    seen: BTreeSet<(String, Labels)>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            return self.help(rest);
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            return self.kind(rest);
        }
        if line.is_empty() || line.starts_with('#') || line.starts_with(' ') {
            return Err("neither a sample nor HELP nor TYPE".to_owned());
        }
        self.sample(line)
    }

    fn help(&mut self, rest: &str) -> Result<(), String> {
        let (name, help) = rest.split_once(' ').ok_or("a HELP without words")?;
        check_name(name)?;
        if help.trim().is_empty() {
            return Err("a HELP without words".to_owned());
        }
        self.close()?;
        if !self.helped.insert(name.to_owned()) {
            return Err("a second HELP".to_owned());
        }
        name.clone_into(&mut self.family);
        Ok(())
    }

    fn kind(&mut self, rest: &str) -> Result<(), String> {
        let (name, kind) = rest.split_once(' ').ok_or("a TYPE without a type")?;
        if name != self.family {
            return Err("a TYPE that does not follow its HELP".to_owned());
        }
        if !["counter", "gauge", "histogram"].contains(&kind) {
            return Err(format!("the type `{kind}` is not known"));
        }
        if (kind == "counter") != name.ends_with("_total") {
            return Err("counters end with `_total`, and nothing else does".to_owned());
        }
        let before = self.read.families.insert(name.to_owned(), kind.to_owned());
        match before {
            None => Ok(()),
            Some(_) => Err("a second TYPE".to_owned()),
        }
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let end = line.find(['{', ' ']).ok_or("a sample without a value")?;
        let (name, rest) = line.split_at(end);
        check_name(name)?;
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest)?,
            None => (Labels::new(), rest),
        };
        let value = rest.strip_prefix(' ').ok_or("no blank before the value")?;
        let value: f64 = value
            .parse()
            .map_err(|error| format!("`{value}`: {error}"))?;
        let kind = self.read.families.get(&self.family);
        let kind = kind.ok_or("a sample before its TYPE")?;
        let suffix = name.strip_prefix(self.family.as_str());
        let fits = match (kind.as_str(), suffix) {
            ("histogram", Some("_bucket")) => labels.contains_key("le"),
            ("histogram", Some("_sum" | "_count")) => !labels.contains_key("le"),
            ("counter" | "gauge", Some("")) => !labels.contains_key("le"),
            _ => false,
        };
        if !fits {
            return Err(format!("it is no sample of `{}`", self.family));
        }
        if kind != "gauge" && (value.is_nan() || value < 0.0) {
            return Err("what only rises is never below 0".to_owned());
        }
        if !self.seen.insert((name.to_owned(), labels.clone())) {
            return Err("a second sample with the same labels".to_owned());
        }
        let name = name.to_owned();
        self.read.samples.push(Sample {
            name,
            labels,
            value,
        });
        Ok(())
    }

    /// Ends the family that was read, and checks it as a whole.
    fn close(&mut self) -> Result<(), String> {
        let family = std::mem::take(&mut self.family);
        if family.is_empty() {
            return Ok(());
        }
        let kind = self.read.families.get(&family);
        let kind = kind.ok_or_else(|| format!("`{family}` has no TYPE"))?;
        if !self.closed.insert(family.clone()) {
            return Err(format!("`{family}` comes again"));
        }
        if kind == "histogram" {
            self.check_histogram(&family)
                .map_err(|error| format!("histogram `{family}`: {error}"))?;
        }
        Ok(())
    }

    fn check_histogram(&self, family: &str) -> Result<(), String> {
        let mut series = BTreeMap::<Labels, Parts>::new();
        for sample in &self.read.samples {
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le");
            match sample.name.strip_prefix(family) {
                Some("_bucket") => {
                    let bound = bound.ok_or("a bucket without a bound")?;
                    series
                        .entry(labels)
                        .or_default()
                        .buckets
                        .push((bound, sample.value));
                }
                Some("_sum") => series.entry(labels).or_default().sum = Some(sample.value),
                Some("_count") => series.entry(labels).or_default().count = Some(sample.value),
                _ => {}
            }
        }
        for (labels, parts) in series {
            parts
                .check()
                .map_err(|error| format!("{labels:?}: {error}"))?;
        }
        Ok(())
    }
}

/// What a histogram has of one set of labels.
#[derive(Debug, Default)]
struct Parts {
    buckets: Vec<(String, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

impl Parts {
    fn check(&self) -> Result<(), String> {
        let (mut bound, mut count) = (f64::NEG_INFINITY, 0.0);
        for (text, value) in &self.buckets {
            let next: f64 = text
                .parse()
                .map_err(|error| format!("bound `{text}`: {error}"))?;
            if next.is_nan() || next <= bound {
                return Err("the bounds do not rise".to_owned());
            }
            if *value < count {
                return Err("the buckets are not cumulative".to_owned());
            }
            (bound, count) = (next, *value);
        }
        if self.buckets.last().is_none_or(|(text, _)| text != "+Inf") {
            return Err("no bucket `+Inf` at the end".to_owned());
        }
        if self.count != Some(count) {
            return Err("`_count` is not the bucket `+Inf`".to_owned());
        }
        match self.sum {
            None => Err("no `_sum`".to_owned()),
            Some(sum) if count == 0.0 && sum != 0.0 => Err("a sum of nothing".to_owned()),
            Some(_) => Ok(()),
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let mut bytes = name.bytes();
    let is_good = bytes.next().is_some_and(is_first)
        && bytes.all(|byte| is_first(byte) || byte.is_ascii_digit());
    match is_good {
        true => Ok(()),
        false => Err(format!("`{name}` is no name")),
    }
}

/// Labels up to the brace, and what follows it.
fn read_labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        check_name(name)?;
        if name.starts_with("__") {
            return Err(format!("the label `{name}` is reserved"));
        }
        let (value, after) = read_value(after)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("the label `{name}` comes twice"));
        }
        match after.split_at_checked(1) {
            Some(("}", after)) => return Ok((labels, after)),
            Some((",", after)) => rest = after,
            _ => return Err("labels without an end".to_owned()),
        }
    }
}

/// A value up to its quote, and what follows it.
fn read_value(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, one)) = characters.next() {
        match one {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match characters.next() {
                Some((_, '\\')) => '\\',
                Some((_, '"')) => '"',
                Some((_, 'n')) => '\n',
                other => return Err(format!("the escape {other:?} is not known")),
            }),
            one => value.push(one),
        }
    }
    Err("a value without an end".to_owned())
}
