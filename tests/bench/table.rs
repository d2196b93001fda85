//! The table: a figure, what stands beside it, its aim, and whether it is met.

use std::fmt::Write as _;

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

/// One line of the table.
pub struct Line {
    load: String,
    figure: String,
    landfall: String,
    beside: String,
    aim: String,
    verdict: String,
}

impl Line {
    /// A figure without an aim, there to understand the others.
    pub fn plain(
        load: &str,
        figure: &str,
        landfall: impl Into<String>,
        beside: impl Into<String>,
    ) -> Line {
        Line {
            load: load.to_owned(),
            figure: figure.to_owned(),
            landfall: landfall.into(),
            beside: beside.into(),
            aim: "–".to_owned(),
            verdict: String::new(),
        }
    }

    /// Gives it its aim: `value` is the figure, which `unit` writes.
    pub fn aimed(mut self, aim: Aim, value: f64, unit: impl Fn(f64) -> String) -> Line {
        let (sign, target, met) = match aim {
            Aim::AtLeast(target) => ("≥", target, value >= target),
            Aim::AtMost(target) => ("≤", target, value <= target),
        };
        self.aim = format!("{sign} {}", unit(target));
        let off = (value - target).abs() / target * 100.0;
        self.verdict = match (met, aim) {
            (true, _) => "ok".to_owned(),
            (false, Aim::AtLeast(_)) => format!("short by {off:.0} %"),
            (false, Aim::AtMost(_)) => format!("over by {off:.0} %"),
        };
        self
    }

    /// A row that could not be measured because something was wrong.
    pub fn failed(row: &str) -> Line {
        let mut line = Line::plain(row, "", "", "");
        line.verdict = "FAILED, see above".to_owned();
        line
    }

    /// For a figure that has aims and does not meet them.
    pub fn is_off(&self) -> bool {
        !self.verdict.is_empty() && self.verdict != "ok"
    }
}

/// All lines as Markdown; a load is named once.
pub fn markdown(lines: &[Line]) -> String {
    let mut text = String::from("| load | figure | Landfall | beside it | aim | |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    let mut before = "";
    for line in lines {
        let load = if line.load == before { "" } else { line.load.as_str() };
        before = &line.load;
        let Line { figure, landfall, beside, aim, verdict, .. } = line;
        writeln!(text, "| {load} | {figure} | {landfall} | {beside} | {aim} | {verdict} |")
            .expect("a string takes everything");
    }
    text
}

/// The middle of the repetitions.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => panic!("there are no repetitions"),
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// The median, and from where to where the repetitions went.
pub fn spread(values: &[f64], unit: impl Fn(f64) -> String) -> String {
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values.len() {
        1 => unit(values[0]),
        _ => format!("{} ({} to {})", unit(median(values)), unit(smallest), unit(largest)),
    }
}

pub fn thousands(value: f64) -> String {
    if value < 100_000.0 { format!("{:.1}k", value / 1e3) } else { format!("{:.0}k", value / 1e3) }
}

pub fn times(value: f64) -> String {
    format!("{value:.2} ×")
}

pub fn milliseconds(value: f64) -> String {
    if value < 100.0 { format!("{value:.1} ms") } else { format!("{value:.0} ms") }
}

pub fn seconds(value: f64) -> String {
    format!("{value:.2} s")
}

/// Share of one core.
pub fn core(value: f64) -> String {
    format!("{:.1} %", value * 100.0)
}

pub fn kilobytes(value: f64) -> String {
    format!("{:.2} kB", value / 1e3)
}

pub fn mebibytes(value: f64) -> String {
    format!("{:.0} MiB", value / 1024.0 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_falls_short_says_by_how_much() {
        let line = |aim, value| Line::plain("", "", "", "").aimed(aim, value, thousands).verdict;
        assert_eq!(line(Aim::AtLeast(500e3), 500e3), "ok");
        assert_eq!(line(Aim::AtLeast(500e3), 400e3), "short by 20 %");
        assert_eq!(line(Aim::AtMost(2.0), 2.0), "ok");
        assert_eq!(line(Aim::AtMost(2.0), 3.0), "over by 50 %");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
    }
}
