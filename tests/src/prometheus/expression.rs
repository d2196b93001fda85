//! Which metrics and labels an expression of Prometheus uses. It is read by its tokens, as far as that
//! takes; whether it is an expression at all is promtool's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Words that are neither a metric nor a function.
const OPERATORS: [&str; 8] = ["and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"];
/// Words before a list of labels that belongs to what is aggregated.
const GROUPING: [&str; 2] = ["by", "without"];
/// Words before a list of labels that belongs to both sides of an operator.
const MATCHING: [&str; 4] = ["on", "ignoring", "group_left", "group_right"];

/// What an expression uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Metrics, with the labels that select among their series.
    pub metrics: Vec<(String, Vec<String>)>,
    /// Labels by which series are grouped or matched, each with the metrics that it is about.
    pub labels: Vec<(String, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text,
    Sign(char),
}

impl Uses {
    pub fn of(expression: &str) -> Result<Uses, String> {
        let tokens = tokens(expression)?;
        let mut metrics: Vec<(usize, String, Vec<String>)> = Vec::new();
        let mut groupings: Vec<(Vec<String>, Range<usize>)> = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let Token::Word(word) = &tokens[at] else {
                at += 1;
                continue;
            };
            let opens = tokens.get(at + 1) == Some(&Token::Sign('('));
            let groups = GROUPING.contains(&word.as_str());
            if (groups || MATCHING.contains(&word.as_str())) && opens {
                let end = closing(&tokens, at + 1)?;
                let scope = match groups {
                    true => aggregated(&tokens, at, end)?,
                    false => 0..tokens.len(),
                };
                groupings.push((words(&tokens[at + 2..end]), scope));
                at = end + 1;
                continue;
            }
            let is_call = opens || is_grouping(tokens.get(at + 1));
            if is_call || OPERATORS.contains(&word.to_ascii_lowercase().as_str()) {
                at += 1;
                continue;
            }
            let (mut end, mut selects) = (at, Vec::new());
            if tokens.get(at + 1) == Some(&Token::Sign('{')) {
                let left = tokens[at..].iter().position(|token| *token == Token::Sign('}'));
                end = at + left.ok_or_else(|| format!("{word}{{ is not closed"))?;
                selects = words(&tokens[at + 2..end]);
            }
            metrics.push((at, word.clone(), selects));
            at = end + 1;
        }
        let inside = |scope: &Range<usize>| -> Vec<String> {
            let inside = metrics.iter().filter(|(at, _, _)| scope.contains(at));
            inside.map(|(_, name, _)| name.clone()).collect()
        };
        let labels = groupings.iter().flat_map(|(labels, scope)| {
            labels.iter().map(|label| (label.clone(), inside(scope))).collect::<Vec<_>>()
        });
        let labels = labels.collect();
        Ok(Uses {
            metrics: metrics.into_iter().map(|(_, name, selects)| (name, selects)).collect(),
            labels,
        })
    }

    /// What is not there: `exposed` has the labels of each metric, `target_labels` are those that
    /// Prometheus itself puts on every series. A label of a grouping has to be on one of its metrics.
    pub fn faults(
        &self,
        exposed: &BTreeMap<String, BTreeSet<String>>,
        target_labels: &[&str],
    ) -> Vec<String> {
        let has = |metric: &str, label: &str| {
            exposed.get(metric).is_some_and(|labels| labels.contains(label))
        };
        let mut faults = Vec::new();
        for (metric, selects) in &self.metrics {
            if !exposed.contains_key(metric) {
                faults.push(format!("there is no metric {metric}"));
                continue;
            }
            for label in selects {
                if !target_labels.contains(&label.as_str()) && !has(metric, label) {
                    faults.push(format!("{metric} has no label {label}"));
                }
            }
        }
        for (label, metrics) in &self.labels {
            let known = target_labels.contains(&label.as_str())
                || metrics.iter().any(|metric| has(metric, label));
            if !known {
                faults.push(format!("none of {} has a label {label}", metrics.join(", ")));
            }
        }
        faults
    }
}

fn is_grouping(token: Option<&Token>) -> bool {
    matches!(token, Some(Token::Word(word)) if GROUPING.contains(&word.as_str()))
}

/// What `by (…)` between `at` and `end` aggregates: the parentheses behind it, or those before it.
fn aggregated(tokens: &[Token], at: usize, end: usize) -> Result<Range<usize>, String> {
    if tokens.get(end + 1) == Some(&Token::Sign('(')) {
        return Ok(end + 1..closing(tokens, end + 1)?);
    }
    let opening = (0..at).rev().find(|start| {
        tokens[*start] == Token::Sign('(') && closing(tokens, *start) == Ok(at.saturating_sub(1))
    });
    Ok(opening.ok_or("a list of labels belongs to nothing")?..at)
}

/// The place of the parenthesis that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> Result<usize, String> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(at);
        }
    }
    Err("a parenthesis is not closed".to_owned())
}

fn words(tokens: &[Token]) -> Vec<String> {
    let word = |token: &Token| match token {
        Token::Word(word) => Some(word.clone()),
        _ => None,
    };
    tokens.iter().filter_map(word).collect()
}

/// Words, texts and signs; numbers and durations are left out.
fn tokens(expression: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let length = match first {
            '"' => {
                let mut escaped = false;
                let end = rest[1..].find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                tokens.push(Token::Text);
                end.ok_or_else(|| format!("a text is not closed: {rest}"))? + 2
            }
            '[' => rest.find(']').ok_or_else(|| format!("a range is not closed: {rest}"))? + 1,
            _ if is_word(first) => {
                let end = rest.find(|c| !is_word(c) && c != '.').unwrap_or(rest.len());
                if !first.is_ascii_digit() {
                    tokens.push(Token::Word(rest[..end].to_owned()));
                }
                end
            }
            _ => {
                if !first.is_whitespace() {
                    tokens.push(Token::Sign(first));
                }
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pairs: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        pairs.iter().map(|(name, others)| ((*name).to_owned(), own(others))).collect()
    }

    #[test]
    fn metrics_selectors_and_groupings_are_found() {
        let uses = Uses::of(
            r#"sum by (pod, le) (rate(a_bucket{le="1", pod=~"x.*\"by (q)"}[5m])) / 2.5e3
               or max(b) by (lane) > 0 and on (job) time() - c offset 1h unless up == 0"#,
        );
        let uses = uses.expect("it can be read");
        assert_eq!(
            uses.metrics,
            named(&[("a_bucket", &["le", "pod"]), ("b", &[]), ("c", &[]), ("up", &[])])
        );
        assert_eq!(
            uses.labels,
            named(&[
                ("pod", &["a_bucket"]),
                ("le", &["a_bucket"]),
                ("lane", &["b"]),
                ("job", &["a_bucket", "b", "c", "up"]),
            ])
        );
    }

    #[test]
    fn what_is_not_there_is_named() {
        let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
        let exposed = BTreeMap::from([
            ("a".to_owned(), labels(&["lane"])),
            ("b".to_owned(), labels(&["reason"])),
        ]);
        let faults = |text: &str| {
            Uses::of(text).expect("it can be read").faults(&exposed, &["pod"]).join("; ")
        };
        assert_eq!(faults(r#"sum by (pod, lane) (a{lane="x", pod="y"})"#), "");
        assert_eq!(faults("gone"), "there is no metric gone");
        assert_eq!(faults(r#"a{reason="x"}"#), "a has no label reason");
        assert_eq!(faults("a + on (x) b"), "none of a, b has a label x");
        // The label is on a metric, but not on the one that is aggregated.
        assert_eq!(faults("sum by (reason) (a) + b"), "none of a has a label reason");
        assert!(Uses::of("sum(a").is_ok() && Uses::of("sum by (a").is_err());
    }
}
