//! What is on the screen, and where: as many rows and columns as there are. Pure.

use std::time::Duration;

use super::course::{Course, LATENCY_SECONDS, Lately, Second};

use super::row::{Row, Style};
use crate::counters::{Profile, Sums};
use crate::figure;
use crate::happenings::Happening;
use crate::orders::{FLOOD, FLOOD_TIMES};

/// From this width on, in columns, the two tables stand side by side.
const SIDE_BY_SIDE: usize = 2 * WIDE_TABLE + GAP;
const GAP: usize = 3;
/// How wide a table is, with all its columns and without some.
const WIDE_TABLE: usize = 77;
/// From this width on, a figure has a remark beside it.
const REMARKS: usize = 100;
const REMARK: usize = 44;
const PLOT_MAX: usize = 60;
/// Columns of a figure's name, its number, and its rate.
const NAME: usize = 14;
const NUMBER: usize = 12;
const RATE: usize = 12;
/// Rows of happenings, at least and at most.
const HAPPENINGS_MIN: usize = 2;
const HAPPENINGS_MAX: usize = 12;
/// From this height on, in rows, they have a heading.
const HEADINGS: usize = 28;

/// What the fleet is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Until when it talks; none is until it is told to end.
    Talking {
        left: Option<Duration>,
    },
    Stopped {
        left: Option<Duration>,
    },
    Flood {
        flood_left: Duration,
        left: Option<Duration>,
    },
    /// How long it waits at most.
    Settling {
        left: Duration,
    },
    Ended,
}

/// All that is shown.
pub struct View<'v> {
    pub gateway: &'v str,
    pub seed: u64,
    pub ledger: &'v str,
    pub elapsed: Duration,
    pub phase: Phase,
    pub total: &'v Sums,
    pub course: &'v Course,
    pub happenings: &'v [Happening],
    /// Hostile devices: how many there are, how often they were turned away, how many got in.
    pub hostile: Option<(usize, u64, u64)>,
    /// Somebody can press keys.
    pub keys: bool,
}

/// The screen's rows, none of which is wider than `width`, and not more than `height`.
pub fn lay_out(view: &View<'_>, width: usize, height: usize) -> Vec<Row> {
    let head = vec![view.title(width), view.phase_row(width), Row::new()];
    let figures = view.figures(width);
    let mut left = height.saturating_sub(head.len() + figures.len() + 1);
    // What happened last is worth more than who did how much.
    // Their room is theirs also before they happen, so that nothing moves when they do.
    left = left.saturating_sub(1 + usize::from(height >= HEADINGS) + HAPPENINGS_MIN);
    let tables = view.tables(width, left);
    left = left.saturating_sub(tables.len());
    let most = (HAPPENINGS_MIN + left).min(HAPPENINGS_MAX);
    let mut rows = [head, figures, tables, view.happenings(most, height)].concat();
    rows.truncate(height.saturating_sub(1));
    rows.resize(height.saturating_sub(1), Row::new());
    rows.push(view.keys_row(width));
    rows.truncate(height);
    rows.into_iter().map(|row| row.cut(width)).collect()
}

impl View<'_> {
    fn title(&self, width: usize) -> Row {
        let time = match self.phase.left() {
            Some(left) => {
                format!("{} of {}", figure::clock(self.elapsed), figure::clock(self.elapsed + left))
            }
            None => figure::clock(self.elapsed),
        };
        let mut title = Row::new()
            .with("device-sim", Style::Strong)
            .with(format!("  {}  seed {}", self.gateway, self.seed), Style::Faint);
        if width >= REMARKS {
            title = title.with(format!("  ledger {}", self.ledger), Style::Faint);
        }
        title.ending(Row::new().with(time, Style::Faint), width)
    }

    fn phase_row(&self, width: usize) -> Row {
        let (mark, text, style) = match self.phase {
            Phase::Talking { .. } => ("●", "talking".to_owned(), Style::Good),
            Phase::Stopped { .. } => {
                ("■", "stopped: nobody publishes, connections stay".to_owned(), Style::Notice)
            }
            Phase::Flood { flood_left, .. } => {
                let seconds = flood_left.as_secs_f64().ceil();
                (
                    "▲",
                    format!("flood: {FLOOD_TIMES} times the rate for {seconds:.0} s"),
                    Style::Notice,
                )
            }
            Phase::Settling { .. } => {
                let outstanding = figure::count(self.total.outstanding.max(0) as u64);
                (
                    "●",
                    format!("settling: waiting for {outstanding} acknowledgements"),
                    Style::Notice,
                )
            }
            Phase::Ended if self.total.outstanding > 0 => {
                let outstanding = figure::count(self.total.outstanding as u64);
                ("●", format!("ended: {outstanding} messages are not acknowledged"), Style::Bad)
            }
            Phase::Ended => ("●", "ended: everything is acknowledged".to_owned(), Style::Good),
        };
        let left = match self.phase {
            Phase::Talking { left } | Phase::Stopped { left } | Phase::Flood { left, .. } => left
                .map_or("until it is ended".to_owned(), |left| {
                    format!("{} left", figure::clock(whole(left)))
                }),
            Phase::Settling { left } => format!("{} at most", figure::clock(whole(left))),
            Phase::Ended => String::new(),
        };
        let row = Row::new().with(format!("{mark} "), style).with(text, style);
        row.ending(Row::new().with(left, Style::Plain), width)
    }

    /// The whole fleet.
    fn figures(&self, width: usize) -> Vec<Row> {
        let Sums { devices, connected, sent, acknowledged, resent, outstanding, .. } = *self.total;
        let lately = self.course.lately();
        let per_second = |rate| format!("{}/s", figure::rate(rate));
        let connected = connected.max(0) as u64;
        let all_are_in = connected == devices || self.phase == Phase::Ended;
        let all = if all_are_in { Style::Strong } else { Style::Notice };
        let some = |number: u64, style| if number > 0 { style } else { Style::Plain };
        let plot = |value: fn(&Second) -> Option<f64>| {
            let room = width.saturating_sub(1 + NAME + NUMBER + RATE + 2);
            let room = if width >= REMARKS { room.saturating_sub(2 + REMARK) } else { room };
            figure::plot(self.course.history().map(value), room.min(PLOT_MAX))
        };
        let row = |name: &str,
                   (number, style): (String, Style),
                   rate: &str,
                   plot: String,
                   remark: String| {
            let row = Row::new()
                .left(&format!(" {name}"), 1 + NAME, Style::Faint)
                .right(&number, NUMBER, style)
                .right(rate, RATE, Style::Plain)
                .with(format!("  {plot}"), Style::Faint);
            if width >= REMARKS { row.with(format!("  {remark}"), Style::Faint) } else { row }
        };
        let mut rows = vec![
            row(
                "devices",
                (format!("{} of {}", figure::count(connected), figure::count(devices)), all),
                "",
                plot(|second| Some(second.connected)),
                format!("{} connections so far", figure::count(self.total.connections)),
            ),
            row(
                "sent",
                (figure::count(sent), Style::Strong),
                &per_second(lately.sent),
                plot(|second| Some(second.sent)),
                format!("{} at QoS 0, without an answer", figure::count(self.total.sent_at_qos_0)),
            ),
            row(
                "acknowledged",
                (figure::count(acknowledged), Style::Strong),
                &per_second(lately.acknowledged),
                plot(|second| Some(second.acknowledged)),
                format!("{} of them refused with a code", figure::count(self.total.refused)),
            ),
            row(
                "outstanding",
                (figure::count(outstanding.max(0) as u64), Style::Strong),
                "",
                plot(|second| Some(second.outstanding)),
                "messages that devices keep".to_owned(),
            ),
            row(
                "resent",
                (figure::count(resent), some(resent, Style::Notice)),
                &per_second(lately.resent),
                plot(|second| Some(second.resent)),
                "after a connection was lost".to_owned(),
            ),
            row(
                "latency",
                (format!("p50 {}", figure::length(lately.p50)), Style::Plain),
                &format!("p99 {}", figure::length(lately.p99)),
                plot(|second| second.p99),
                format!("of acknowledgements in the last {LATENCY_SECONDS} s"),
            ),
        ];
        let Sums { refused, turned_away, .. } = *self.total;
        if refused > 0 || turned_away > 0 {
            let text = format!(
                "{} messages, {} connections",
                figure::count(refused),
                figure::count(turned_away)
            );
            let name = Row::new().left(" refused", 1 + NAME, Style::Faint);
            rows.push(name.with("  ", Style::Plain).with(text, Style::Bad));
        }
        if let Some((hostile, turned_away, got_in)) = self.hostile {
            let name = Row::new().left(" hostile", 1 + NAME, Style::Faint);
            let text = format!(
                "  {} devices, turned away {} times, ",
                figure::count(hostile as u64),
                figure::count(turned_away)
            );
            let inside = format!("{} got in", figure::count(got_in));
            let style = some(got_in, Style::Bad);
            rows.push(name.with(text, Style::Plain).with(inside, style));
        }
        rows
    }

    /// The fleet by type and by firmware, in so many rows at most.
    fn tables(&self, width: usize, height: usize) -> Vec<Row> {
        let kinds = self.table("device type", width, |profile| profile.kind);
        let firmware = self.table("firmware", width, |profile| profile.firmware);
        let Some(room) = height.checked_sub(1) else { return Vec::new() };
        let mut rows = vec![Row::new()];
        if width >= SIDE_BY_SIDE {
            let kinds = shortened(kinds, room);
            let firmware = shortened(firmware, room);
            for at in 0..kinds.len().max(firmware.len()) {
                let [left, right] = [&kinds, &firmware].map(|table| table.get(at).cloned());
                let right = right.unwrap_or_default();
                let left = left.unwrap_or_default();
                let gap = WIDE_TABLE + GAP - left.width().min(WIDE_TABLE);
                rows.push(left.with(" ".repeat(gap), Style::Plain).and(right));
            }
            return rows;
        }
        let kinds = shortened(kinds, room);
        let left = room.saturating_sub(kinds.len());
        rows.extend(kinds);
        if let Some(room) = left.checked_sub(1) {
            let firmware = shortened(firmware, room);
            if !firmware.is_empty() {
                rows.push(Row::new());
                rows.extend(firmware);
            }
        }
        if rows.len() == 1 { Vec::new() } else { rows }
    }

    /// A row for each value of what devices have, those with most devices first.
    fn table(&self, head: &str, width: usize, value: fn(&Profile) -> &'static str) -> Vec<Row> {
        let is_narrow = width < WIDE_TABLE;
        let mut values: Vec<&str> = self.course.profiles().map(value).collect();
        values.sort_unstable();
        values.dedup();
        let of = |name: &&str| self.course.lately_of(|profile| value(profile) == *name);
        let mut lines: Vec<(&str, (Sums, Lately))> =
            values.into_iter().map(|name| (name, of(&name))).collect();
        lines.sort_by_key(|(_, (sums, _))| std::cmp::Reverse(sums.devices));
        let columns = |cells: [&str; 8], styles: [Style; 8]| {
            let widths = match is_narrow {
                true => [12, 9, 9, 9, 0, 8, 0, 9],
                false => [12, 10, 9, 9, 9, 12, 8, 8],
            };
            let mut row = Row::new().left(&format!(" {}", cells[0]), widths[0], styles[0]);
            for at in (1..cells.len()).filter(|at| widths[*at] > 0) {
                row = row.right(cells[at], widths[at], styles[at]);
            }
            row
        };
        let outstanding = if is_narrow { "open" } else { "outstanding" };
        let heads = [head, "devices", "sent/s", "acked/s", "again/s", outstanding, "p50", "p99"];
        let mut rows = vec![columns(heads, [Style::Faint; 8])];
        for (name, (sums, lately)) in lines {
            let connected = sums.connected.max(0) as u64;
            let all = if connected == sums.devices { Style::Plain } else { Style::Notice };
            let again = if lately.resent > 0.0 { Style::Notice } else { Style::Faint };
            let plain = Style::Plain;
            let cells = [
                name,
                &format!("{connected}/{}", sums.devices),
                &figure::rate(lately.sent),
                &figure::rate(lately.acknowledged),
                &figure::rate(lately.resent),
                &figure::count(sums.outstanding.max(0) as u64),
                &figure::length(lately.p50),
                &figure::length(lately.p99),
            ];
            rows.push(columns(cells, [plain, all, plain, plain, again, plain, plain, plain]));
        }
        rows
    }

    fn happenings(&self, most: usize, height: usize) -> Vec<Row> {
        let mut rows = vec![Row::new()];
        if height >= HEADINGS {
            rows.push(Row::new().with(" last events", Style::Faint));
        }
        if self.happenings.is_empty() && height >= HEADINGS {
            rows.push(Row::new().with(" none yet", Style::Faint));
        }
        for happening in self.happenings.iter().take(most) {
            let Happening { at, text, device, times } = happening;
            let mut row = Row::new()
                .right(&figure::clock(*at), 8, Style::Faint)
                .with(format!("  {text}"), Style::Plain);
            if *times > 1 {
                row = row.with(format!(" ×{}", figure::count(*times)), Style::Strong);
            }
            if let Some(device) = device {
                row = row.with(format!("  {device}"), Style::Faint);
            }
            rows.push(row);
        }
        rows
    }

    fn keys_row(&self, width: usize) -> Row {
        if !self.keys {
            let text = " no keys: standard input is not this terminal; Ctrl-C ends it";
            return Row::new().with(text, Style::Faint);
        }
        let stops = match self.phase {
            Phase::Stopped { .. } => "go on",
            _ => "stop",
        };
        let flood = format!("flood: {FLOOD_TIMES} times the rate for {} s", FLOOD.as_secs());
        let flood = if width >= REMARKS { &*flood } else { "flood" };
        let keys: &[(&str, &str)] = match self.phase {
            Phase::Talking { .. } | Phase::Stopped { .. } | Phase::Flood { .. } => {
                &[("s", stops), ("f", flood), ("c", "cut connections"), ("q", "quit")]
            }
            Phase::Settling { .. } => &[("c", "cut connections"), ("q", "quit without waiting")],
            Phase::Ended => &[],
        };
        keys.iter().fold(Row::new(), |row, (key, does)| {
            row.with(format!(" {key} "), Style::Strong).with(format!("{does}  "), Style::Faint)
        })
    }
}

impl Phase {
    /// What is left of it, where that is known.
    fn left(self) -> Option<Duration> {
        match self {
            Phase::Talking { left } | Phase::Stopped { left } | Phase::Flood { left, .. } => left,
            Phase::Settling { .. } | Phase::Ended => None,
        }
    }
}

/// A second that has begun is left.
fn whole(left: Duration) -> Duration {
    Duration::from_secs(left.as_secs_f64().ceil() as u64)
}

/// As much of a table as has room; what has none is said in its last row.
fn shortened(mut table: Vec<Row>, height: usize) -> Vec<Row> {
    if table.len() > height {
        let shown = height.saturating_sub(1);
        // A head and a row of "and more" alone say nothing.
        if shown < 2 {
            return Vec::new();
        }
        let more = table.len() - shown;
        table.truncate(shown);
        table.push(Row::new().with(format!(" and {more} more"), Style::Faint));
    }
    table
}

#[cfg(test)]
mod tests;
