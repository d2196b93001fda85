//! Prometheus' text format, as a gateway writes it on `/metrics`: lines of `name{label="value",…} number`.

use std::collections::BTreeMap;

/// What was exposed at one moment.
#[derive(Clone, Debug)]
pub struct Metrics(Vec<Series>);

#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Metrics {
    #[track_caller]
    pub fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let series = |line| Series::parse(line).unwrap_or_else(|| panic!("no metric: {line}"));
        Metrics(lines.map(series).collect())
    }

    pub fn series(&self) -> &[Series] {
        &self.0
    }

    /// The sum of all series of that name whose labels include the given ones; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|series| series.value).sum()
    }

    /// Is there any such series?
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.matching(name, labels).next().is_some()
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Series> {
        self.0.iter().filter(move |series| {
            let has = |(label, value): &(&str, &str)| {
                series.labels.get(*label).is_some_and(|own| own == value)
            };
            series.name == name && labels.iter().all(has)
        })
    }
}

impl Series {
    fn parse(line: &str) -> Option<Series> {
        let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
        let mut labels = BTreeMap::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            while !rest.starts_with('}') {
                let (label, behind) = rest.split_once("=\"")?;
                let (value, behind) = text(behind)?;
                labels.insert(label.to_owned(), value);
                rest = behind.strip_prefix(',').unwrap_or(behind);
            }
            rest = &rest[1..];
        }
        let value = rest.strip_prefix(' ')?.parse().ok()?;
        Some(Series { name: name.to_owned(), labels, value })
    }
}

/// A value up to its closing quotation mark, and what is behind it.
fn text(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, one)) = characters.next() {
        match one {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[test]
fn a_value_may_hold_what_the_format_is_made_of() {
    let text = "# HELP a b\na 1\nb{x=\"1,y=\\\"}\",z=\"\\n\\\\\"} 2.5\n";
    let metrics = Metrics::parse(text);
    let labels = [("x", "1,y=\"}"), ("z", "\n\\")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let series = |name: &str, labels, value| Series { name: name.to_owned(), labels, value };
    assert_eq!(
        metrics.series(),
        [series("a", BTreeMap::new(), 1.0), series("b", BTreeMap::from(labels), 2.5)]
    );
    assert_eq!(metrics.sum("b", &[("z", "\n\\")]), 2.5);
    assert!(metrics.has("a", &[]) && !metrics.has("a", &[("x", "1")]));
}
