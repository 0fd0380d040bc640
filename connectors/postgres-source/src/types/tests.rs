use std::sync::Arc;

use change::{Batch, Cell, Change, Column, Kind, Operation, Place, Table, TableName, Value};
use proptest::prelude::*;

use super::{CellError, ColumnType, Decoder, TypeCatalog, TypeClass, TypeInfo};

/// What a decoder makes of one value, printed.
fn decoded(
    column: &ColumnType,
    decode: impl FnOnce(&Decoder, &mut change::RowWriter<'_>) -> Result<(), CellError>,
) -> Result<String, CellError> {
    let table = Arc::new(Table {
        name: TableName::new("public", "t"),
        columns: vec![Column::new("c", column.kind.clone())],
        key: vec![],
    });
    let mut batch = Batch::new();
    batch.begin("1", 0).finish();
    let mut row = batch.row(&table, Operation::Insert, Place::default());
    decode(&column.decoder, &mut row)?;
    row.finish();
    let event = batch.events().next().unwrap();
    let Change::Insert(row) = event.change else { panic!("an insert") };
    Ok(show(row.cell(0)))
}

fn show(cell: Cell<'_>) -> String {
    match cell {
        Cell::Value(Value::Array(elements)) => {
            format!("[{}]", elements.iter().map(show).collect::<Vec<_>>().join(" "))
        }
        Cell::Value(Value::Decimal(change::Decimal::Finite { unscaled, scale })) => {
            format!("{unscaled:02x?}e-{scale}")
        }
        Cell::Value(value) => format!("{value:?}"),
        cell => format!("{cell:?}"),
    }
}

fn text(column: &ColumnType, value: &[u8]) -> Result<String, CellError> {
    decoded(column, |decoder, row| decoder.text(value, row))
}

fn binary(column: &ColumnType, value: &[u8]) -> Result<String, CellError> {
    decoded(column, |decoder, row| decoder.binary(value, row))
}

fn catalog() -> TypeCatalog {
    let mut types = TypeCatalog::default();
    let mut add = |oid, name: &str, class| {
        types.insert(oid, TypeInfo { name: name.into(), class });
    };
    add(90_001, "mood", TypeClass::Enum(["sad".into(), "ok".into()].into()));
    add(90_002, "_mood", TypeClass::Array { element: 90_001, delimiter: b',' });
    add(90_003, "price", TypeClass::Domain { base: 1700, modifier: 4 + (5 << 16) + 2 });
    add(90_004, "special_price", TypeClass::Domain { base: 90_003, modifier: -1 });
    add(90_005, "hstore", TypeClass::Base);
    add(90_006, "citext", TypeClass::Base);
    add(90_007, "pair", TypeClass::Other);
    add(90_008, "_box", TypeClass::Array { element: 603, delimiter: b';' });
    add(603, "box", TypeClass::Base);
    add(90_009, "loop", TypeClass::Domain { base: 90_009, modifier: -1 });
    types
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap())
        .collect()
}

/// Texts and binary forms as a server of version 18 sends them.
#[test]
fn a_value_is_the_same_from_its_text_and_from_its_binary_form() {
    let types = catalog();
    let check = |oid, modifier, from_text: &str, from_binary: &str, expected: &str| {
        let column = types.resolve(oid, modifier);
        let context = format!("{oid} {from_text}");
        assert_eq!(
            text(&column, from_text.as_bytes()).as_deref(),
            Ok(expected),
            "text of {context}"
        );
        if column.decoder.has_binary() {
            assert_eq!(
                binary(&column, &hex(from_binary)).as_deref(),
                Ok(expected),
                "binary of {context}"
            );
        } else {
            assert_eq!(from_binary, "", "{context} has no binary form");
        }
    };
    let numeric = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7FF)) + 4;
    // oid, modifier, text, binary, cell
    check(16, -1, "t", "01", "Bool(true)");
    check(16, -1, "f", "00", "Bool(false)");
    check(21, -1, "-32768", "8000", "Int(-32768)");
    check(23, -1, "2147483647", "7fffffff", "Int(2147483647)");
    check(20, -1, "-9223372036854775808", "8000000000000000", "Int(-9223372036854775808)");
    check(26, -1, "4294967295", "ffffffff", "Int(4294967295)");
    check(700, -1, "1.5", "3fc00000", "Float32(1.5)");
    check(700, -1, "Infinity", "7f800000", "Float32(inf)");
    check(701, -1, "1e+100", "54b249ad2594c37d", "Float64(1e100)");
    check(701, -1, "-Infinity", "fff0000000000000", "Float64(-inf)");
    check(701, -1, "NaN", "7ff8000000000000", "Float64(NaN)");
    check(790, -1, "$1,234.56", "000000000001e240", "[01, e2, 40]e-2");
    check(790, -1, "-$0.01", "ffffffffffffffff", "[ff]e-2");
    check(
        790,
        -1,
        "-$92,233,720,368,547,758.08",
        "8000000000000000",
        "[80, 00, 00, 00, 00, 00, 00, 00]e-2",
    );
    check(1700, numeric(10, 2), "12.30", "0002 0000 0000 0002 000c 0bb8", "[04, ce]e-2");
    check(1700, numeric(10, 2), "-0.05", "0001 ffff 4000 0002 01f4", "[fb]e-2");
    check(1700, numeric(10, 2), "0.00", "0000 0000 0000 0002", "[00]e-2");
    check(1700, numeric(5, -2), "12300", "0002 0001 0000 0000 0001 08fc", "[7b]e--2");
    check(1700, numeric(2, 4), "0.0012", "0001 ffff 0000 0004 000c", "[0c]e-4");
    check(1700, numeric(5, 2), "NaN", "0000 0000 c000 0000", "Decimal(NotANumber)");
    check(1700, -1, "0.000010", "0001 fffe 0000 0006 03e8", "[0a]e-6");
    check(1700, -1, "128", "0001 0000 0000 0000 0080", "[00, 80]e-0");
    check(1700, -1, "-128", "0001 0000 4000 0000 0080", "[80]e-0");
    check(1700, -1, "Infinity", "0000 0000 d000 0000", "Decimal(Infinity)");
    check(1700, -1, "-Infinity", "0000 0000 f000 0000", "Decimal(MinusInfinity)");
    check(1700, -1, "100000000", "0001 0002 0000 0000 0001", "[05, f5, e1, 00]e-0");
    check(1082, -1, "2000-01-01", "00000000", "Date(10957)");
    check(1082, -1, "infinity", "7fffffff", "Date(2147483647)");
    check(1082, -1, "-infinity", "80000000", "Date(-2147483648)");
    check(1082, -1, "4713-01-01 BC", "ffda97cd", "Date(-2440550)");
    check(1082, -1, "5874897-12-31", "7fda970c", "Date(2145042905)");
    check(1083, -1, "24:00:00", "000000141dd76000", "Time(86400000000)");
    check(1083, 3, "01:02:03.004", "00000000dde88860", "Time(3723004000)");
    check(
        1266,
        -1,
        "12:00:00+05:30",
        "0000000a0eebb000 ffffb2a8",
        "TimeTz { micros: 43200000000, offset: 19800 }",
    );
    check(
        1266,
        -1,
        "12:00:00-08",
        "0000000a0eebb000 00007080",
        "TimeTz { micros: 43200000000, offset: -28800 }",
    );
    check(1114, -1, "2000-01-01 00:00:00", "0000000000000000", "DateTime(946684800000000)");
    check(1114, -1, "1999-12-31 23:59:59.999999", "ffffffffffffffff", "DateTime(946684799999999)");
    check(1114, -1, "infinity", "7fffffffffffffff", "DateTime(9223372036854775807)");
    check(1184, -1, "2000-01-01 00:00:00.5+00", "000000000007a120", "Instant(946684800500000)");
    check(1184, -1, "-infinity", "8000000000000000", "Instant(-9223372036854775808)");
    check(
        1184,
        -1,
        "294276-12-31 23:59:59.999999+00",
        "7fffff5bb3b29fff",
        "Instant(9223372036854775806)",
    );
    check(
        1186,
        -1,
        "P1Y2M3DT4H5M6.789S",
        "000000036c97ca88 00000003 0000000e",
        "Interval(Interval { months: 14, days: 3, micros: 14706789000 })",
    );
    check(
        1186,
        -1,
        "PT0S",
        "0000000000000000 00000000 00000000",
        "Interval(Interval { months: 0, days: 0, micros: 0 })",
    );
    check(
        1186,
        -1,
        "PT-0.5S",
        "fffffffffff85ee0 00000000 00000000",
        "Interval(Interval { months: 0, days: 0, micros: -500000 })",
    );
    check(
        1186,
        -1,
        "P-1Y3DT-1H",
        "ffffffff296c5c00 00000003 fffffff4",
        "Interval(Interval { months: -12, days: 3, micros: -3600000000 })",
    );
    check(
        1186,
        -1,
        "infinity",
        "7fffffffffffffff 7fffffff 7fffffff",
        "Interval(Interval { months: 2147483647, days: 2147483647, micros: 9223372036854775807 })",
    );
    check(
        2950,
        -1,
        "00000000-0000-0000-0000-0000000000ff",
        "000000000000000000000000000000ff",
        "Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255])",
    );
    check(17, -1, "\\x00ff", "00ff", "Bytes([0, 255])");
    check(17, -1, "\\\\\\000a", "5c0061", "Bytes([92, 0, 97])");
    check(1560, 1, "1", "00000001 80", "Bool(true)");
    check(1560, 10, "1000000001", "0000000a 8040", "Bits { length: 10, bytes: [128, 64] }");
    check(1562, -1, "", "00000000", "Bits { length: 0, bytes: [] }");
    check(600, -1, "(1.5,-2)", "3ff8000000000000 c000000000000000", "Point { x: 1.5, y: -2.0 }");
    check(25, -1, "a", "61", "Text(\"a\")");
    check(114, -1, "{\"a\" : 1}", "7b22612220 3a20317d", "Text(\"{\\\"a\\\" : 1}\")");
    check(3802, -1, "{}", "01 7b7d", "Text(\"{}\")");
    check(869, -1, "10.0.0.1/8", "", "Text(\"10.0.0.1/8\")");
    check(
        1007,
        -1,
        "{1,NULL}",
        "00000001 00000001 00000017 00000002 00000001 00000004 00000001 ffffffff",
        "[Int(1) Null]",
    );
    check(1007, -1, "{}", "00000000 00000000 00000017", "[]");
    check(
        1007,
        -1,
        "[0:0][2:3]={{1,2}}",
        "00000002 00000000 00000017 00000001 00000000 00000002 00000002 00000004 00000001 00000004 00000002",
        "[[Int(1) Int(2)]]",
    );
    check(
        1009,
        -1,
        "{\"a,\\\"b\\\\\",NULL,\"NULL\",\"\"}",
        "00000001 00000001 00000019 00000004 00000001 00000005 612c22625c ffffffff 00000004 4e554c4c 00000000",
        "[Text(\"a,\\\"b\\\\\") Null Text(\"NULL\") Text(\"\")]",
    );
    check(90_001, -1, "ok", "6f6b", "Text(\"ok\")");
    check(
        90_002,
        -1,
        "{sad}",
        "00000001 00000000 00015f91 00000001 00000001 00000003 736164",
        "[Text(\"sad\")]",
    );
    check(90_004, -1, "1.50", "0002 0000 0000 0002 0001 1388", "[00, 96]e-2");
    check(
        90_005,
        -1,
        "\"a\"=>\"1\\\"\", \"b\"=>NULL",
        "",
        "Text(\"{\\\"a\\\":\\\"1\\\\\\\"\\\",\\\"b\\\":null}\")",
    );
    check(90_005, -1, "", "", "Text(\"{}\")");
    check(90_006, -1, "X", "", "Text(\"X\")");
    check(
        90_008,
        -1,
        "{(1,1),(0,0);(2,2),(1,1)}",
        "",
        "[Text(\"(1,1),(0,0)\") Text(\"(2,2),(1,1)\")]",
    );
}

#[test]
fn a_type_has_the_kind_that_consumers_know() {
    let types = catalog();
    let check = |oid, modifier, expected: Kind| {
        assert_eq!(types.resolve(oid, modifier).kind, expected, "{oid} {modifier}");
    };
    check(20, -1, Kind::Int { bits: 64, signed: true });
    check(1700, -1, Kind::Number);
    check(1700, 4 + (10 << 16), Kind::Decimal { precision: 10, scale: 0 });
    check(90_004, -1, Kind::Decimal { precision: 5, scale: 2 });
    check(1114, -1, Kind::DateTime { digits: 6 });
    check(1184, 0, Kind::Instant { digits: 0 });
    check(1083, 3, Kind::Time { digits: 3 });
    check(1560, 1, Kind::Bool);
    check(1560, 8, Kind::Bits { length: 8 });
    check(1562, 1, Kind::Bits { length: 1 });
    check(1562, -1, Kind::Bits { length: 0 });
    check(1231, 4 + (5 << 16) + 1, Kind::Array(Arc::new(Kind::Decimal { precision: 5, scale: 1 })));
    check(3904, -1, Kind::Text);
    check(90_005, -1, Kind::Json);
    check(90_007, -1, Kind::Other("pair".into()));
    check(90_009, -1, Kind::Other("loop".into()));
    check(99_999, -1, Kind::Other("type 99999".into()));
}

#[test]
fn what_no_server_sends_is_an_error() {
    let types = catalog();
    let in_text: &[(u32, &[u8])] = &[
        (16, b"true"),
        (21, b"32768"),
        (23, b""),
        (23, b"-"),
        (23, b"+1"),
        (20, b"9223372036854775808"),
        (700, b"one"),
        (790, b"$"),
        (1700, b""),
        (1700, b"1."),
        (1700, b".1"),
        (1700, b"1e5"),
        (1082, b"2000-1-1"),
        (1082, b"2000-13-01"),
        (1082, b"0000-01-01"),
        (1082, b""),
        (1083, b"1:2:3"),
        (1083, b"12:00:00.1234567"),
        (1266, b"12:00:00"),
        (1114, b"2000-01-01"),
        (1184, b"2000-01-01 00:00:00"),
        (1186, b"1 day"),
        (1186, b"P1"),
        (2950, b"00"),
        (17, b"\\x0"),
        (17, b"\\9"),
        (1562, b"012"),
        (600, b"(1)"),
        (25, b"\xff"),
        (1007, b""),
        (1007, b"{"),
        (1007, b"{1,}"),
        (1007, b"{1}2"),
        (1007, b"[0:1"),
        (1007, b"{{{{{{{1}}}}}}}"),
        (90_005, b"\"a\"=>"),
    ];
    for (oid, value) in in_text {
        assert!(text(&types.resolve(*oid, -1), value).is_err(), "{oid} {value:?}");
    }
    let in_binary: &[(u32, &str)] = &[
        (16, "02"),
        (23, "00"),
        (1700, "0001 0000 0000 0000"),
        (1700, "0001 0000 0000 0000 2710"),
        (1700, "0001 0000 1234 0000 0001"),
        (1700, "0001 ffff 0000 0000 0001"),
        (1562, "00000009 00"),
        (3802, "02 7b7d"),
        (1007, "00000007 00000000 00000017"),
        (1007, "00000001 00000000 00000017 7fffffff 00000001"),
        (1007, "00000001 00000000 00000017 00000001 00000001 00000004"),
        (869, "00"),
    ];
    for (oid, value) in in_binary {
        assert!(binary(&types.resolve(*oid, -1), &hex(value)).is_err(), "{oid} {value}");
    }
    let scaled = types.resolve(1700, 4 + (5 << 16) + 1);
    assert_eq!(text(&scaled, b"1.25"), Err(CellError::Scale));
    assert_eq!(text(&scaled, b"1.20").as_deref(), Ok("[0c]e-1"));
}

/// The binary form of a numeric, written as the server does.
fn numeric_binary(negative: bool, whole: &str, fraction: &str) -> Vec<u8> {
    let pad = (4 - whole.len() % 4) % 4;
    let mut digits = "0".repeat(pad) + whole + fraction;
    digits.push_str(&"0".repeat((4 - fraction.len() % 4) % 4));
    let mut groups: Vec<i16> = digits
        .as_bytes()
        .chunks(4)
        .map(|g| std::str::from_utf8(g).unwrap().parse().unwrap())
        .collect();
    let mut weight = whole.len().div_ceil(4) as i16 - 1;
    while groups.first() == Some(&0) {
        groups.remove(0);
        weight -= 1;
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let sign = if negative && !groups.is_empty() { 0x4000_u16 } else { 0 };
    let head = [groups.len() as i16, weight, sign as i16, fraction.len() as i16];
    head.iter().chain(&groups).flat_map(|part| part.to_be_bytes()).collect()
}

proptest! {
    #[test]
    fn numbers_of_any_length_agree_in_both_forms(
        negative: bool, whole in "0|[1-9][0-9]{0,90}", fraction in "[0-9]{0,60}",
    ) {
        let column = catalog().resolve(1700, -1);
        let point = if fraction.is_empty() { "" } else { "." };
        let zero = whole.bytes().chain(fraction.bytes()).all(|digit| digit == b'0');
        let sign = if negative && !zero { "-" } else { "" };
        let number = format!("{sign}{whole}{point}{fraction}");
        let from_text = text(&column, number.as_bytes());
        prop_assert!(from_text.is_ok());
        prop_assert_eq!(from_text, binary(&column, &numeric_binary(negative, &whole, &fraction)));
    }

    #[test]
    fn short_and_long_numbers_are_made_the_same_way(number: i128, zeroes in 0_usize..4) {
        let column = catalog().resolve(1700, -1);
        // the sign's own digits put it on either side of the limit of the quick way
        let padded = number.to_string() + &"0".repeat(zeroes);
        let shown = text(&column, padded.as_bytes()).unwrap();
        if zeroes == 0 {
            let bytes = number.to_be_bytes();
            prop_assert_eq!(shown, format!("{:02x?}e-0", super::numeric::minimal(&bytes)));
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes: Vec<u8>, oid in prop::sample::select(OIDS)) {
        let types = catalog();
        for modifier in [-1, 1, 4 + (5 << 16) + 2] {
            let column = types.resolve(oid, modifier);
            let _ = text(&column, &bytes);
            let _ = binary(&column, &bytes);
        }
    }

    #[test]
    fn days_agree_in_both_forms(days in -2_451_545_i32..2_145_031_949) {
        let column = catalog().resolve(1082, -1);
        let expected = binary(&column, &days.to_be_bytes()).unwrap();
        prop_assert_eq!(text(&column, date_of(i64::from(days) + 10_957).as_bytes()).unwrap(), expected);
    }
}

const OIDS: &[u32] = &[
    16, 17, 20, 21, 23, 25, 26, 114, 600, 700, 701, 790, 869, 1007, 1009, 1082, 1083, 1114, 1184,
    1186, 1231, 1266, 1560, 1562, 1700, 2950, 3802, 90_002, 90_005, 90_008,
];

/// The text of a day since 1970, found by another way than the decoder's: from a count of whole years.
fn date_of(days: i64) -> String {
    let leap = |year: i64| {
        year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
    };
    let before = |year: i64| {
        let y = year - 1;
        365 * year + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400)
    };
    let days = days + before(1970);
    let mut year = days / 365;
    while before(year) > days {
        year -= 1;
    }
    while before(year + 1) <= days {
        year += 1;
    }
    let mut rest = days - before(year);
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    let day = rest + 1;
    if year > 0 {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{:04}-{month:02}-{day:02} BC", 1 - year)
    }
}
