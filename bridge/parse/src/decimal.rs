//! Numbers by their digits: what a device wrote is moved, multiplied and cut without ever being a double.
//! Pure.

use std::borrow::Cow;

/// Digits of the longest number that is written out: a short text such as `1e999999999` has a billion.
pub const DIGITS_MAX: usize = 1000;

/// A decimal number: digits × 10^exponent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// 0 to 9 each, the highest first; at least one.
    digits: Vec<u8>,
    exponent: i32,
}

/// How people of a place write numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notation {
    /// `1234.5`.
    #[default]
    Point,
    /// `1.234,5` or `1234,5`: a comma, and points between groups of three.
    Comma,
}

impl Notation {
    /// The same number with a point; None where it is not written so.
    pub fn plain<'a>(self, text: &'a str) -> Option<Cow<'a, str>> {
        if self == Notation::Point {
            return Some(Cow::Borrowed(text));
        }
        let end = text.find(['e', 'E']).unwrap_or(text.len());
        let (number, exponent) = text.split_at(end);
        let (whole, fraction) = match number.split_once(',') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (number, None),
        };
        let signless = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let mut groups = signless.split('.');
        let first = groups.next().unwrap_or_default();
        let is_grouped = signless.contains('.');
        let fits =
            !is_grouped || ((1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3));
        if !fits || fraction.is_some_and(|fraction| fraction.contains(['.', ','])) {
            return None;
        }
        let whole: String = whole.chars().filter(|one| *one != '.').collect();
        Some(Cow::Owned(match fraction {
            Some(fraction) => format!("{whole}.{fraction}{exponent}"),
            None => format!("{whole}{exponent}"),
        }))
    }
}

impl Decimal {
    /// Reads digits with an optional sign, point and exponent: what JSON calls a number, and also `+5`,
    /// `.57`, `5.` and leading zeros. None for everything else, and for what is absurdly long.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (text, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let all = whole.bytes().chain(fraction.bytes());
        let digits: Option<Vec<u8>> =
            all.map(|byte| byte.is_ascii_digit().then(|| byte - b'0')).collect();
        let digits = digits.filter(|digits| !digits.is_empty() && digits.len() <= DIGITS_MAX)?;
        let exponent = exponent.checked_sub(fraction.len() as i32)?;
        Some(Decimal { negative, digits, exponent })
    }

    /// A whole number of another base, with or without its prefix (`0x`, `0b`, `0o`).
    pub fn parse_base(text: &str, base: u32) -> Option<i128> {
        let (sign, text) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let prefixes: &[&str] = match base {
            16 => &["0x", "0X"],
            8 => &["0o", "0O"],
            2 => &["0b", "0B"],
            _ => &[],
        };
        let text = prefixes.iter().find_map(|one| text.strip_prefix(one)).unwrap_or(text);
        if text.starts_with(['-', '+']) {
            return None;
        }
        Some(sign * i128::from(u64::from_str_radix(text, base).ok()?))
    }

    pub fn times(&self, other: &Decimal) -> Decimal {
        let exponent = self.exponent.saturating_add(other.exponent);
        let negative = self.negative != other.negative;
        // A power of ten moves the point and makes no digits.
        if other.digits == [1] {
            return Decimal { negative, digits: self.digits.clone(), exponent };
        }
        let mut sums = vec![0_u32; self.digits.len() + other.digits.len()];
        for (at, left) in self.digits.iter().rev().enumerate() {
            for (by, right) in other.digits.iter().rev().enumerate() {
                sums[at + by] += u32::from(*left) * u32::from(*right);
            }
        }
        let mut carry = 0;
        let mut digits: Vec<u8> = sums
            .iter()
            .map(|sum| {
                let sum = sum + carry;
                carry = sum / 10;
                (sum % 10) as u8
            })
            .collect();
        digits.reverse();
        Decimal { negative, digits, exponent }
    }

    /// The sum, with every digit; None where that takes more than an `i128` has.
    pub fn plus(&self, other: &Decimal) -> Option<Decimal> {
        let exponent = self.exponent.min(other.exponent);
        let sum = self.counted(exponent)?.checked_add(other.counted(exponent)?)?;
        let digits = sum.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').collect();
        Some(Decimal { negative: sum < 0, digits, exponent })
    }

    /// The number in units of 10^exponent, which is none of its own digits' or a smaller one.
    fn counted(&self, exponent: i32) -> Option<i128> {
        let zeros = u32::try_from(self.exponent.checked_sub(exponent)?).ok()?;
        let digits = self.digits.iter().try_fold(0_i128, |value, digit| {
            value.checked_mul(10)?.checked_add(i128::from(*digit))
        })?;
        let value = match digits {
            0 => 0,
            _ => digits.checked_mul(10_i128.checked_pow(zeros)?)?,
        };
        Some(if self.negative { -value } else { value })
    }

    pub fn negated(mut self) -> Decimal {
        self.negative = !self.negative;
        self
    }

    /// The same number without zeros at its end: 100 is 1e2.
    pub fn shortest(mut self) -> Decimal {
        while self.digits.len() > 1 && self.digits.ends_with(&[0]) {
            self.digits.pop();
            self.exponent = self.exponent.saturating_add(1);
        }
        self
    }

    /// How many digits it is written with, without its exponent's.
    pub fn length(&self) -> usize {
        self.digits.len()
    }

    /// It times 10^power.
    pub fn shifted(mut self, power: i32) -> Decimal {
        self.exponent = self.exponent.saturating_add(power);
        self
    }

    /// As a plain text: no exponent, no leading zeros, all digits behind the point. None beyond
    /// [`DIGITS_MAX`].
    pub fn to_text(&self) -> Option<String> {
        let whole = self.digits.len() as i64 + i64::from(self.exponent);
        let behind = i64::from(-self.exponent.min(0));
        if whole > DIGITS_MAX as i64 || behind > DIGITS_MAX as i64 {
            return None;
        }
        let mut text = String::new();
        let digit = |place: i64| usize::try_from(place).ok().and_then(|at| self.digits.get(at));
        let character = |place: i64| char::from(b'0' + digit(place).copied().unwrap_or(0));
        let first = (0..whole).find(|&place| character(place) != '0').unwrap_or(whole);
        text.extend((first..whole).map(character));
        if text.is_empty() {
            text.push('0');
        }
        if behind > 0 {
            text.push('.');
            text.extend((whole..whole + behind).map(character));
        }
        if self.negative && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
            text.insert(0, '-');
        }
        Some(text)
    }

    /// The number without what stands behind the point; the flag says whether that was only zeros. None
    /// where it does not fit.
    pub fn whole(&self) -> Option<(i128, bool)> {
        let places = self.digits.len() as i64 + i64::from(self.exponent);
        let mut value: i128 = 0;
        let mut is_exact = true;
        for (place, digit) in self.digits.iter().enumerate() {
            if (place as i64) < places {
                value = value.checked_mul(10)?.checked_add(i128::from(*digit))?;
            } else {
                is_exact &= *digit == 0;
            }
        }
        if value != 0 {
            for _ in self.digits.len() as i64..places {
                value = value.checked_mul(10)?;
            }
        }
        Some((if self.negative { -value } else { value }, is_exact))
    }

    /// The nearest double; None where it would be infinite.
    pub fn to_double(&self) -> Option<f64> {
        let mut text = String::with_capacity(self.digits.len() + 8);
        if self.negative {
            text.push('-');
        }
        text.extend(self.digits.iter().map(|digit| char::from(b'0' + digit)));
        text.push_str(&format!("e{}", self.exponent));
        text.parse().ok().filter(|value: &f64| value.is_finite())
    }

    /// The same number, whatever its digits.
    pub fn equals(&self, other: &Decimal) -> bool {
        let (left, right) = (self.normal(), other.normal());
        left == right
    }

    fn normal(&self) -> (bool, Vec<u8>, i32) {
        let first = self.digits.iter().position(|digit| *digit != 0);
        let Some(first) = first else { return (false, Vec::new(), 0) };
        let last = self.digits.iter().rposition(|digit| *digit != 0).unwrap_or(first);
        let cut = (self.digits.len() - 1 - last) as i32;
        (self.negative, self.digits[first..=last].to_vec(), self.exponent.saturating_add(cut))
    }
}

fn exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // What does not fit is far beyond everything that is written out.
    let large = if text.starts_with('-') { -1_000_000_000 } else { 1_000_000_000 };
    Some(text.parse::<i32>().unwrap_or(large).clamp(-1_000_000_000, 1_000_000_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    #[test]
    fn digits_stay() {
        for (text, plain) in [
            ("19.90", "19.90"),
            ("004321.987", "4321.987"),
            ("00.512", "0.512"),
            (".57", "0.57"),
            ("5.", "5"),
            ("-0.0", "0.0"),
            ("-0.5", "-0.5"),
            ("+7", "7"),
            ("1.5e3", "1500"),
            ("1.50e1", "15.0"),
            ("25e-3", "0.025"),
            ("2.5e+01", "25"),
            ("18446744073709551615", "18446744073709551615"),
            ("0e5", "0"),
        ] {
            assert_eq!(decimal(text).to_text().as_deref(), Some(plain), "{text}");
        }
        for text in ["", "-", ".", "e5", "1e", "1.2.3", "0x10", "1_000", "1,5", " 1", "٣"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        for (left, right, sum) in [
            ("1770149645.57", "0.1", Some("1770149645.67")),
            ("1.770149645001e9", "-5", Some("1770149640.001")),
            ("1770149645123456789", "0.5", Some("1770149645123456789.5")),
            ("0.1", "-0.1", Some("0.0")),
            ("-2", "0.75", Some("-1.25")),
            ("0e999", "1", Some("1")),
            ("1e40", "1", None),
            ("1e999999999", "1e-999999999", None),
            (
                "99999999999999999999999999999999999999",
                "99999999999999999999999999999999999999.9",
                None,
            ),
        ] {
            let both = decimal(left).plus(&decimal(right));
            assert_eq!(both.and_then(|sum| sum.to_text()).as_deref(), sum, "{left} + {right}");
        }
        assert_eq!(decimal("1e999999999").to_text(), None);
        assert_eq!(decimal("1e-99999999999").to_text(), None);
        assert_eq!(decimal("1e999999999").whole(), None);
        assert_eq!(decimal("0e999999999").whole(), Some((0, true)));
        assert_eq!(decimal("1e999").to_double(), None);
    }

    #[test]
    fn a_scale_moves_and_multiplies() {
        for (text, scale, product) in [
            ("52520008", "1e-6", "52.520008"),
            ("52520000", "0.000001", "52.520000"),
            ("-21", "0.1", "-2.1"),
            ("214", "0.5", "107.0"),
            ("999", "999", "998001"),
            ("1.5", "1000", "1500"),
        ] {
            let scaled = decimal(text).times(&decimal(scale));
            let scaled = scaled.to_text().expect("short");
            assert!(decimal(&scaled).equals(&decimal(product)), "{text} × {scale} = {scaled}");
        }
        assert_eq!(
            decimal("52520000").times(&decimal("1e-6")).to_text().as_deref(),
            Some("52.520000")
        );
    }

    #[test]
    fn commas_are_points_where_they_are_declared() {
        for (text, plain) in [
            ("21,4", Some("21.4")),
            ("1.234.567,80", Some("1234567.80")),
            ("-1.234", Some("-1234")),
            ("1234,5", Some("1234.5")),
            ("12.34,5", None),
            ("1.2345", None),
            ("1,2,3", None),
        ] {
            assert_eq!(Notation::Comma.plain(text).as_deref(), plain, "{text}");
        }
    }

    #[test]
    fn other_bases() {
        assert_eq!(Decimal::parse_base("6982570d", 16), Some(1_770_149_645));
        assert_eq!(Decimal::parse_base("-0x1F", 16), Some(-31));
        assert_eq!(Decimal::parse_base("0b101", 2), Some(5));
        for text in ["", "0x", "-+1", "1g", "10000000000000000"] {
            assert_eq!(Decimal::parse_base(text, 16), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_counts_as_integers_do(left in any::<i32>(), right in any::<i32>(), power in 0..6_i32) {
            let product = decimal(&left.to_string()).times(&decimal(&right.to_string()));
            let exact = i128::from(left) * i128::from(right);
            prop_assert_eq!(product.whole(), Some((exact, true)));
            let cut = product.shifted(-power).whole().map(|(whole, _)| whole);
            prop_assert_eq!(cut, Some(exact / 10_i128.pow(power as u32)));
        }

        #[test]
        fn doubles_are_those_of_the_standard_library(text in "-?[0-9]{1,20}(\\.[0-9]{1,20})?(e-?[0-9]{1,2})?") {
            prop_assert_eq!(decimal(&text).to_double(), text.parse::<f64>().ok());
        }
    }
}
