//! Times as XEP-0082 writes them: UTC, ISO 8601, with milliseconds.
//!
//! A time is a count of milliseconds since 1970-01-01T00:00:00Z; what lies before is not needed here.

const MILLIS_PER_DAY: u64 = 86_400_000;
/// The first millisecond of the year 10000, which four digits cannot write.
const END: u64 = 253_402_300_800_000;

/// `2026-11-21T11:50:00.123Z`. A time past the year 9999 is written as its last millisecond.
pub fn format_utc(millis_since_epoch: u64) -> String {
    let millis = millis_since_epoch.min(END - 1);
    let (year, month, day) = date_of(millis / MILLIS_PER_DAY);
    let rest = millis % MILLIS_PER_DAY;
    let (seconds, fraction) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::with_capacity(24);
    // By hand: each saved message and each event has a time, and `format!` takes ten times as long.
    let parts =
        [(year, 4, '-'), (month, 2, '-'), (day, 2, 'T'), (hour, 2, ':'), (minute, 2, ':'), (second, 2, '.')];
    for (number, digits, behind) in parts {
        push_digits(&mut text, number, digits);
        text.push(behind);
    }
    push_digits(&mut text, fraction, 3);
    text.push('Z');
    text
}

/// So many digits of a number, from thousands on.
fn push_digits(text: &mut String, number: u64, digits: usize) {
    let all = [number / 1000 % 10, number / 100 % 10, number / 10 % 10, number % 10];
    all.iter().skip(4 - digits).for_each(|digit| text.push(char::from(b'0' + *digit as u8)));
}

/// A DateTime of XEP-0082 section 3.2: fraction optional and of any length (cut to milliseconds), `Z` or an
/// offset such as `-06:00`. None for anything else and for times before 1970.
pub fn parse_utc(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let fixed = bytes.get(..19)?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| fixed.get(at) != Some(&byte)) {
        return None;
    }
    let (year, month, day) =
        (digits(bytes.get(..4)?)?, digits(bytes.get(5..7)?)?, digits(bytes.get(8..10)?)?);
    let (hour, minute) = (digits(bytes.get(11..13)?)?, digits(bytes.get(14..16)?)?);
    let second = digits(bytes.get(17..19)?)?;
    // A leap second is written as 60; it counts as the first second of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (millis, zone) = fraction(bytes.get(19..)?)?;
    let local = days_until(year, month, day)? * MILLIS_PER_DAY as i64
        + ((hour * 3600 + minute * 60 + second) * 1000 + millis) as i64;
    u64::try_from(local - offset_millis(zone)?).ok()
}

/// Splits `.123456Z` into milliseconds and the zone.
fn fraction(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let Some(behind_dot) = bytes.strip_prefix(b".") else { return Some((0, bytes)) };
    let length = behind_dot.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (written, zone) = behind_dot.split_at(length);
    let millis =
        (0..3).fold(0, |sum, at| sum * 10 + written.get(at).map_or(0, |digit| u64::from(digit - b'0')));
    Some((millis, zone))
}

/// Milliseconds that the zone is ahead of UTC.
fn offset_millis(zone: &[u8]) -> Option<i64> {
    let (sign, rest) = match zone {
        b"Z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    if rest.len() != 5 || rest.get(2) != Some(&b':') {
        return None;
    }
    let (hours, minutes) = (digits(rest.get(..2)?)?, digits(rest.get(3..)?)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) as i64 * 60_000)
}

fn digits(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar. Years begin in March, so that the
/// leap day is the last of its year.
fn days_until(year: u64, month: u64, day: u64) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    let (year, month) = (year as i64, month as i64);
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day as i64 - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// The date that lies so many days behind 1970-01-01.
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_261_800_123, "2026-11-21T11:50:00.123Z"),
            (END - 1, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format_utc(millis), text);
            assert_eq!(parse_utc(text), Some(millis));
        }
        assert_eq!(format_utc(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn every_day_of_eight_centuries() {
        for day in 0..365 * 800 {
            let millis = day * MILLIS_PER_DAY + day % MILLIS_PER_DAY;
            assert_eq!(parse_utc(&format_utc(millis)), Some(millis));
        }
    }

    #[test]
    fn zones_and_fractions() {
        // The example of XEP-0082 section 3.2.
        assert_eq!(parse_utc("1969-07-21T02:56:15Z"), None);
        assert_eq!(parse_utc("2002-09-10T23:08:25Z"), parse_utc("2002-09-10T17:08:25-06:00"));
        assert_eq!(parse_utc("1970-01-01T01:00:00.5+01:00"), Some(500));
        assert_eq!(parse_utc("1970-01-01T00:00:00.0019999Z"), Some(1));
        assert_eq!(parse_utc("2016-12-31T23:59:60Z"), parse_utc("2017-01-01T00:00:00Z"));
    }

    #[test]
    fn not_times() {
        for text in [
            "",
            "2002",
            "2002-09-10",
            "2002-09-10T23:08:25",
            "2002-09-10 23:08:25Z",
            "2002-13-10T23:08:25Z",
            "2002-02-29T23:08:25Z",
            "2002-09-10T24:08:25Z",
            "2002-09-10T23:60:25Z",
            "2002-09-10T23:08:61Z",
            "2002-09-10T23:08:25.Z",
            "2002-09-10T23:08:25ZZ",
            "2002-09-10T23:08:25+0600",
            "20020910T23:08:25",
            "2002-09-10T23:08:25+24:00",
            "２002-09-10T23:08:25Z",
            "2002-00-10T00:00:00Z",
            "2002-01-00T00:00:00Z",
        ] {
            assert_eq!(parse_utc(text), None, "{text}");
        }
    }
}
