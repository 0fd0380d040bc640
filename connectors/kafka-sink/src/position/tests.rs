use connector::TableCopy;

use super::*;

type At = u64;

fn read(records: &[Raw]) -> Result<Contents<At>, Damage> {
    let mut gathered = Gathered::default();
    records.iter().for_each(|record| gathered.add(record.clone()));
    Contents::read(&gathered, true)
}

fn place(sequence: u64, done: Option<At>) -> Place<At> {
    Place { sequence, incarnation: 1, epoch: 1, identity: no_identity(), done, open: None }
}

fn raw(key: &str, value: Option<Vec<u8>>) -> Raw {
    Raw { offset: 0, key: key.as_bytes().to_vec(), value, instance: None }
}

fn position(sequence: u64, done: Option<At>) -> Raw {
    raw(POSITION, Some(encode(POSITION, &place(sequence, done)).unwrap()))
}

#[test]
fn the_last_of_a_key_counts() {
    let name = TableName::new("public", "a.b");
    let table = TableState::new(name.clone(), change::TableId::default());
    let mut later = table.clone();
    later.copy = TableCopy { holes: true, ..TableCopy::default() };
    let key = table_key(&name);
    let records = [
        position(1, None),
        raw(&key, Some(encode(&key, &table).unwrap())),
        raw(&key, Some(encode(&key, &later).unwrap())),
        position(2, Some(7)),
    ];
    let contents = read(&records).unwrap();
    assert_eq!(contents.place, Some(place(2, Some(7))));
    assert_eq!(contents.tables[&name], later);
    let gone = [&records[..], &[raw(&key, None)]].concat();
    assert!(read(&gone).unwrap().tables.is_empty());
}

#[test]
fn names_with_dots_keep_apart() {
    assert_ne!(table_key(&TableName::new("a.b", "c")), table_key(&TableName::new("a", "b.c")));
    assert_eq!(table_key(&TableName::new("public", "orders")), "table/public.orders");
}

#[test]
fn damage_is_told() {
    let check = |records: &[Raw], expected: Damage| {
        assert_eq!(read(records).unwrap_err(), expected);
    };
    let good = encode(POSITION, &place(3, Some(1))).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut value = good.clone();
        change(&mut value);
        raw(POSITION, Some(value))
    };
    let key = || POSITION.to_owned();
    check(&[with(&|value| *value.last_mut().unwrap() = b' ')], Damage::Checksum { key: key() });
    check(&[with(&|value| value.truncate(30))], Damage::Checksum { key: key() });
    check(&[with(&|value| value.truncate(5))], Damage::Form { key: key() });
    check(&[with(&|value| value.clear())], Damage::Form { key: key() });
    check(
        &[with(&|value| value[0] = b'2')],
        Damage::Version { key: key(), version: "2".to_owned() },
    );
    check(&[raw(POSITION, None)], Damage::Form { key: key() });
    check(&[raw(CLAIM, Some(good.clone()))], Damage::Checksum { key: CLAIM.to_owned() });
    check(&[position(5, None), position(4, None)], Damage::Order { last: 4, highest: 5 });
    let other = Place { identity: 1, ..place(1, None) };
    check(&[raw(POSITION, Some(encode(POSITION, &other).unwrap()))], Damage::Identity);
    let mut nameless = position(1, None);
    nameless.key = vec![0xff];
    check(&[nameless], Damage::Key);
    let (here, there) =
        ("table/a.b", TableState::new(TableName::new("a", "c"), Default::default()));
    check(&[raw(here, Some(encode(here, &there).unwrap()))], Damage::Form { key: here.to_owned() });
}
