//! Numbers, times and little plots as people read them. Pure.

use std::time::Duration;

/// From nothing to the most.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// With a comma between thousands.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many in a second: with a decimal where there are few.
pub fn rate(rate: f64) -> String {
    let is_few = rate < 99.95;
    if is_few { format!("{rate:.1}") } else { count(rate.round() as u64) }
}

/// How long something took.
pub fn length(length: Option<Duration>) -> String {
    let Some(length) = length else { return "–".to_owned() };
    let seconds = length.as_secs_f64();
    match seconds {
        0.0..0.00995 => format!("{:.1} ms", seconds * 1e3),
        0.00995..0.9995 => format!("{:.0} ms", seconds * 1e3),
        0.9995..99.95 => format!("{seconds:.1} s"),
        _ => format!("{seconds:.0} s"),
    }
}

/// A time of the run, or what is left of it: minutes and seconds, with hours where there are any.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// The last values that there is room for, each as a bar; the largest of them is the highest. Where there is
/// no value there is no bar.
pub fn plot(values: impl ExactSizeIterator<Item = Option<f64>>, width: usize) -> String {
    let skipped = values.len().saturating_sub(width);
    let values: Vec<Option<f64>> = values.skip(skipped).collect();
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: f64| {
        let place = if most > 0.0 { value / most * (BARS.len() - 1) as f64 } else { 0.0 };
        // What is more than nothing is seen.
        let least = if value > 0.0 { 1 } else { 0 };
        BARS[(place.round() as usize).clamp(least, BARS.len() - 1)]
    };
    let bars = values.iter().map(|value| value.map_or(' ', bar));
    std::iter::repeat_n(' ', width - values.len()).chain(bars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.04, 99.9, 99.96, 12_345.6].map(rate),
            ["0.0", "0.0", "99.9", "100", "12,346"]
        );
        let ms = |micros| length(Some(Duration::from_micros(micros)));
        assert_eq!([40, 9_949, 9_960, 999_499].map(ms), ["0.0 ms", "9.9 ms", "10 ms", "999 ms"]);
        assert_eq!([999_600, 99_940_000, 120_000_000].map(ms), ["1.0 s", "99.9 s", "120 s"]);
        assert_eq!(length(None), "–");
        assert_eq!(
            [0, 59, 61, 3599, 3661].map(|s| clock(Duration::from_secs(s))),
            ["0:00", "0:59", "1:01", "59:59", "1:01:01"]
        );
    }

    #[test]
    fn a_plot_has_the_last_values_and_shows_the_smallest() {
        let plot = |values: &[f64], width| plot(values.iter().map(|value| Some(*value)), width);
        assert_eq!(plot(&[], 3), "   ");
        assert_eq!(plot(&[0.0, 0.0], 3), " ▁▁");
        assert_eq!(plot(&[9.0, 0.0, 0.01, 7.0], 3), "▁▂█");
        assert_eq!(plot(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 7), "▂▃▄▅▆▇█");
        assert_eq!(super::plot([Some(1.0), None, Some(1.0)].into_iter(), 3), "█ █");
    }
}
