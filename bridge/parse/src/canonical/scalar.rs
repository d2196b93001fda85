//! Texts, numbers and times as JSON has them. They are most of what a parse role does for a short message, so
//! they are written without the standard library's formatting, and read the same.

use jiff::Timestamp;

/// Doubles at least this large have an exponent, and those that are smaller than the other: as Rust's `{:?}`
/// has them.
const EXPONENT_FROM: f64 = 1e16;
const EXPONENT_BELOW: f64 = 1e-4;
/// Bytes that are looked at together for those that have to be escaped.
const LOOKED_AT: usize = 16;
/// The years that are written as four digits, in seconds since 1970: from 0000 until the end of 9999.
const FOUR_DIGITS: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;
const DAY_S: i64 = 86_400;

/// Appends a whole number.
pub fn write_int(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a finite double: with a fraction or an exponent always, so that it is read as what it is.
pub fn write_double(value: f64, out: &mut Vec<u8>) {
    let size = value.abs();
    if (EXPONENT_BELOW..EXPONENT_FROM).contains(&size) {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(format!("{value:?}").as_bytes());
    }
}

/// Appends a text in quotes.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(plain) = first_special(rest) {
        let (before, behind) = rest.split_at(plain);
        out.extend_from_slice(before);
        write_escaped(behind[0], out);
        rest = &behind[1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// Where the first byte is that does not stand for itself.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    // Without an early end, so that the compiler looks at all of a piece at once.
    for piece in bytes.chunks(LOOKED_AT) {
        if piece.iter().fold(false, |any, byte| any | is_special(*byte)) {
            return piece.iter().position(|byte| is_special(*byte)).map(|at| start + at);
        }
        start += piece.len();
    }
    None
}

fn write_escaped(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        byte => {
            out.extend_from_slice(b"\\u00");
            out.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
        }
    }
}

/// Appends a time in quotes (RFC 3339): with milliseconds, and with nanoseconds where there are any.
pub fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    // Before 1970 both are negative.
    let (mut seconds, mut fraction) = (time.as_second(), i64::from(time.subsec_nanosecond()));
    if fraction < 0 {
        seconds -= 1;
        fraction += 1_000_000_000;
    }
    let is_whole = fraction % 1_000_000 == 0;
    if !FOUR_DIGITS.contains(&seconds) {
        let text = if is_whole { format!("\"{time:.3}\"") } else { format!("\"{time:.9}\"") };
        return out.extend_from_slice(text.as_bytes());
    }
    let (year, month, day) = date(seconds.div_euclid(DAY_S));
    let second = seconds.rem_euclid(DAY_S);
    let mut text = *b"\"0000-00-00T00:00:00.000000000Z\"";
    digits(&mut text[1..5], year);
    digits(&mut text[6..8], month);
    digits(&mut text[9..11], day);
    digits(&mut text[12..14], second / 3600);
    digits(&mut text[15..17], second / 60 % 60);
    digits(&mut text[18..20], second % 60);
    digits(&mut text[21..30], fraction);
    if is_whole {
        out.extend_from_slice(&text[..24]);
        out.extend_from_slice(b"Z\"");
    } else {
        out.extend_from_slice(&text);
    }
}

/// Fills the place with the number's last digits.
fn digits(place: &mut [u8], mut number: i64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day since 1970-01-01, from the year 0 on (Howard Hinnant's `civil_from_days`:
/// years begin in March, so that the leap day is their last, and 400 of them are an era).
fn date(day: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(ERA_DAYS), day.rem_euclid(ERA_DAYS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, years) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + years, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    fn time_by_jiff(time: Timestamp) -> String {
        match time.as_nanosecond() % 1_000_000 {
            0 => format!("\"{time:.3}\""),
            _ => format!("\"{time:.9}\""),
        }
    }

    fn double_is_as_before(value: f64) {
        assert_eq!(written(|out| write_double(value, out)), format!("{value:?}"));
    }

    /// Of two that are equally short and equally near, such as …062 and …063, either is right.
    fn double_is_short_and_leads_back(value: f64) {
        let text = written(|out| write_double(value, out));
        let read: f64 = text.parse().expect("it is a number");
        assert_eq!((read.to_bits(), text.len()), (value.to_bits(), format!("{value:?}").len()));
    }

    /// Consumers compare what was written by versions of years.
    #[test]
    fn doubles_are_written_as_they_always_were() {
        for value in
            [0.0, -0.0, 1.0, 229.5, 1e-4, 1e-5, 9.999e-5, 1e15, 1e16, 9_999_999_999_999_998.0]
        {
            double_is_as_before(value);
            double_is_as_before(-value);
        }
        double_is_short_and_leads_back(f64::from_bits(4_806_388_272_899_906_832));
        for value in [f64::MIN_POSITIVE, f64::MAX, f64::EPSILON, 5e-324, 0.1 + 0.2, 2e16, 1e300] {
            double_is_as_before(value);
        }
    }

    #[test]
    fn times_have_four_digits_for_their_year_or_are_jiffs() {
        for text in [
            "0000-01-01T00:00:00Z",
            "-000001-12-31T23:59:59.999999999Z",
            "9999-12-30T22:00:00.999999999Z",
            "1969-12-31T23:59:59.999Z",
            "1970-01-01T00:00:00Z",
            "2000-02-29T12:34:56.000000001Z",
            "1900-02-28T23:59:59.5Z",
            "1900-03-01T00:00:00Z",
            "2100-12-31T00:00:00Z",
        ] {
            let time: Timestamp = text.parse().expect("it is one");
            assert_eq!(written(|out| write_time(time, out)), time_by_jiff(time));
        }
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(written(|out| write_time(time, out)), time_by_jiff(time));
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        let told = written(|out| write_text("a\u{0}b\u{1f}\"\\\n\r\t\u{7f}ü", out));
        assert_eq!(told, r#""a\u0000b\u001f\"\\\n\r\t"#.to_owned() + "\u{7f}ü\"");
    }

    proptest! {
        #[test]
        fn any_double_is_short_and_leads_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            if value.is_finite() {
                double_is_short_and_leads_back(value);
            }
        }

        #[test]
        fn what_devices_measure_is_as_before(digits in any::<i32>(), places in 0..9_i32) {
            double_is_as_before(f64::from(digits) / 10_f64.powi(places));
        }

        #[test]
        fn any_time_is_as_jiff_writes_it(
            seconds in Timestamp::MIN.as_second()..Timestamp::MAX.as_second(),
            milliseconds in 0..1000_i32,
            rest in prop_oneof![Just(0), 0..1_000_000_i32],
        ) {
            let time = Timestamp::new(seconds, milliseconds * 1_000_000 + rest);
            let time = time.expect("it is in range");
            prop_assert_eq!(written(|out| write_time(time, out)), time_by_jiff(time));
        }

        #[test]
        fn any_text_is_as_serde_writes_it(text in "[\\u{0}-\\u{7f}äß€😀]{0,80}") {
            let told: String = serde_json::from_str(&written(|out| write_text(&text, out)))
                .expect("it is JSON");
            prop_assert_eq!(told, text);
        }
    }
}
