//! Points in time as ISO 8601 text, written into a short buffer. Proleptic Gregorian calendar, as databases have it.

use crate::conversion::SHORT;

const DAY: i64 = 86_400_000_000;

/// Appends to a fixed buffer that is known to be long enough.
pub(crate) struct Writer<'b> {
    out: &'b mut [u8; SHORT],
    len: usize,
}

impl<'b> Writer<'b> {
    pub(crate) fn new(out: &'b mut [u8; SHORT]) -> Self {
        Self { out, len: 0 }
    }

    pub(crate) fn push(&mut self, byte: u8) {
        self.out[self.len] = byte;
        self.len += 1;
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.out[self.len..self.len + text.len()].copy_from_slice(text.as_bytes());
        self.len += text.len();
    }

    /// `value` with leading zeroes to `width` digits, and as many more as it has.
    fn digits(&mut self, mut value: u64, width: usize) {
        let wider = value.checked_ilog10().map_or(1, |digits| digits as usize + 1);
        let end = self.len + width.max(wider);
        for place in self.out[self.len..end].iter_mut().rev() {
            *place = b'0' + (value % 10) as u8;
            value /= 10;
        }
        self.len = end;
    }

    pub(crate) fn finish(self) -> &'b str {
        std::str::from_utf8(&self.out[..self.len]).expect("only ASCII was pushed")
    }

    /// Hours, minutes and seconds; then `padded` digits of the fraction, or with None as many as it needs.
    fn clock(&mut self, micros: i64, padded: Option<u8>) {
        let micros = micros.cast_unsigned();
        let seconds = micros / 1_000_000;
        self.digits(seconds / 3600, 2);
        self.push(b':');
        self.digits(seconds / 60 % 60, 2);
        self.push(b':');
        self.digits(seconds % 60, 2);
        let (mut fraction, mut width) = (micros % 1_000_000, 6);
        match padded {
            Some(digits) => {
                while width > usize::from(digits) {
                    fraction /= 10;
                    width -= 1;
                }
            }
            None => {
                while width > 0 && fraction % 10 == 0 {
                    fraction /= 10;
                    width -= 1;
                }
            }
        }
        if width > 0 {
            self.push(b'.');
            self.digits(fraction, width);
        }
    }
}

/// `2020-01-31T10:15:30.120Z`; years beyond 9999 carry a plus sign, those before year 0 a minus sign.
pub(crate) fn instant(micros: i64, digits: u8, out: &mut [u8; SHORT]) -> &str {
    let (year, month, day) = civil(micros.div_euclid(DAY));
    let mut writer = Writer::new(out);
    match year {
        10_000.. => writer.push(b'+'),
        ..0 => writer.push(b'-'),
        _ => {}
    }
    writer.digits(year.unsigned_abs(), 4);
    writer.push(b'-');
    writer.digits(month, 2);
    writer.push(b'-');
    writer.digits(day, 2);
    writer.push(b'T');
    writer.clock(micros.rem_euclid(DAY), Some(digits.min(6)));
    writer.push(b'Z');
    writer.finish()
}

/// `10:15:30.5Z`: the time of day in UTC.
pub(crate) fn time_utc(micros: i64, offset: i32, out: &mut [u8; SHORT]) -> &str {
    let utc = micros.wrapping_sub(i64::from(offset) * 1_000_000);
    let mut writer = Writer::new(out);
    writer.clock(utc.rem_euclid(DAY), None);
    writer.push(b'Z');
    writer.finish()
}

/// Year, month and day of a count of days since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097).cast_unsigned();
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era.cast_signed() + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The count of days since 1970-01-01 of a date; None where there is no such day.
pub(crate) fn days(year: i64, month: u64, day: u64) -> Option<i64> {
    let shifted = year.checked_sub(i64::from(month <= 2))?;
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = ((153 * shifted_month + 2) / 5 + day.checked_sub(1)?).cast_signed();
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era.checked_mul(146_097)?.checked_add(day_of_era - 719_468)?;
    (civil(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_java_writes_it() {
        let check = |micros, digits, expected: &str| {
            let mut out = [0; SHORT];
            assert_eq!(instant(micros, digits, &mut out), expected);
        };
        check(0, 0, "1970-01-01T00:00:00Z");
        check(0, 6, "1970-01-01T00:00:00.000000Z");
        check(-1, 6, "1969-12-31T23:59:59.999999Z");
        check(1_580_465_730_120_000, 3, "2020-01-31T10:15:30.120Z");
        check(1_582_934_400_000_000, 0, "2020-02-29T00:00:00Z");
        check(253_402_300_800_000_000, 0, "+10000-01-01T00:00:00Z");
        check(-62_167_219_200_000_000, 0, "0000-01-01T00:00:00Z");
        check(-62_167_219_200_000_001, 6, "-0001-12-31T23:59:59.999999Z");
        check(i64::MAX - 1, 6, "+294247-01-10T04:00:54.775806Z");
        check(i64::MIN + 1, 6, "-290308-12-21T19:59:05.224193Z");
    }

    #[test]
    fn a_time_with_zone_is_written_in_utc() {
        let check = |micros, offset, expected: &str| {
            let mut out = [0; SHORT];
            assert_eq!(time_utc(micros, offset, &mut out), expected);
        };
        check(0, 0, "00:00:00Z");
        check(36_930_500_000, 0, "10:15:30.5Z");
        check(3_600_000_000, 7200, "23:00:00Z");
        check(86_399_999_999, -3600, "00:59:59.999999Z");
        check(86_400_000_000, 0, "00:00:00Z");
    }

    #[test]
    fn days_and_dates_agree() {
        for day in (-800_000..3_000_000).step_by(97) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), Some(day));
        }
        assert_eq!(days(2021, 2, 29), None);
        assert_eq!(days(2021, 13, 1), None);
        assert_eq!(days(2021, 0, 1), None);
        assert_eq!(days(i64::MAX, 1, 1), None);
    }
}
