use crate::rig::{Fixture, first, follow, read_all};

const ALL_TYPES: &str = "
    CREATE EXTENSION hstore SCHEMA public; CREATE EXTENSION citext SCHEMA public; CREATE EXTENSION ltree SCHEMA public;
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'a \"quoted\" one');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN price AS numeric(8,3) CHECK (VALUE >= 0);
    CREATE DOMAIN special AS price;
    CREATE TABLE all_types (id int PRIMARY KEY,
      c1 bool, c2 int2, c3 int8, c4 oid, c5 float4, c6 float8, c7 money, c8 numeric(20,4), c9 numeric, c10 numeric(5,-2),
      c11 date, c12 time, c13 time(3), c14 timetz, c15 timestamp, c16 timestamptz(0), c17 interval, c18 uuid, c19 bytea,
      c20 bit(1), c21 bit(12), c22 varbit, c23 point, c24 json, c25 jsonb, c26 xml, c27 tsvector, c28 name, c29 char(6),
      c30 varchar(20), c31 text, c32 \"char\", c33 inet, c34 cidr, c35 macaddr, c36 macaddr8, c37 int4range, c38 tstzrange,
      c39 box, c40 circle, c41 path, c42 pg_lsn, c43 xid, c44 tsquery, c45 mood, c46 pair, c47 special, c48 hstore,
      c49 citext, c50 ltree, c51 int4multirange, c52 regclass, c53 jsonpath, c54 int2vector,
      a1 int[], a2 text[], a3 numeric(6,2)[], a4 timestamptz[], a5 mood[], a6 bool[], a7 box[], a8 inet[], a9 special[],
      a10 uuid[], a11 bytea[], a12 jsonb[], a13 interval[], a14 date[][], a15 float8[], a16 money[], a17 hstore[])";

const COLUMNS: &str = "id,c1,c2,c3,c4,c5,c6,c7,c8,c9,c10,c11,c12,c13,c14,c15,c16,c17,c18,c19,c20,c21,c22,c23,c24,c25,c26,c27,\
    c28,c29,c30,c31,c32,c33,c34,c35,c36,c37,c38,c39,c40,c41,c42,c43,c44,c45,c46,c47,c48,c49,c50,c51,c52,c53,c54,\
    a1,a2,a3,a4,a5,a6,a7,a8,a9,a10,a11,a12,a13,a14,a15,a16,a17";

const VALUES: [&str; 3] = [
    "1, true, -32768, 9223372036854775807, 4294967295, 1.1, 1e-300, -1234.5, 1234567890123456.7891, 0.00012300, 12345,
     '2024-02-29', '23:59:59.999999', '01:02:03.4567', '12:00:00.5+05:30', '1999-12-31 23:59:59.999999',
     '2024-03-10 02:30:00-05', '1 year -2 mons 3 days -04:05:06.7', '0190e6a8-0000-7000-8000-0000000000ff', '\\x00ff10',
     B'1', B'101010101010', B'', '(1.5,-2e10)', '{\"a\" : [1,  2]}', '{\"a\" : [1,  2], \"b\": 1.50}', '<a>&amp;</a>',
     to_tsvector('english', 'the fat cats'), 'a name', 'pad', 'var', E'tab\\t \"q\" \\\\ é 🎉', 'x', '10.0.0.1/8', '10.0.0.0/8',
     '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '[1,10)', '[2024-01-01 00:00+01,)', '(1,1),(0,0)', '<(0,0),1>',
     '[(0,0),(1,1)]', '16/B374D848', '123', 'fat & rat', 'a \"quoted\" one', ROW(1, 'x,y'), 12.5,
     'a=>1, \"b c\"=>NULL, d=>\"\\\"\"', 'MiXed', 'Top.Science', '{[1,2),[5,6)}', 'pg_class', '$.a[*]', '1 2 3',
     '{1,NULL,-3}', ARRAY['a,b', 'NULL', NULL, '', E'\\\\ \"'], '{1.5,NULL,-0.01}', '{2024-01-01 00:00+01,infinity}',
     '{ok,\"a \\\"quoted\\\" one\"}', '{t,f,NULL}', '{(1,1),(0,0);(2,2),(1,1)}', '{10.0.0.1,::1/64}', '{1.5,2.25}',
     '{0190e6a8-0000-7000-8000-0000000000ff}', ARRAY['\\x00'::bytea, '\\xff22'], ARRAY['{\"a\": \"b, c\"}'::jsonb],
     ARRAY['1 day 02:00'::interval, '-3 mons'], '{{2024-01-01,infinity},{NULL,2000-01-01}}', '{1.5,NaN,-Infinity}',
     '{1.25,-3}', ARRAY['a=>\"b,c\"'::hstore]",
    "2, false, 0, 0, 0, 'NaN', '-Infinity', 92233720368547758.07, 'NaN', 'Infinity', 0, 'infinity', '24:00:00', '00:00:00',
     '00:00:00-15:59', '-infinity', '4713-01-01 00:00:00+00 BC', '-178000000 years', '00000000-0000-0000-0000-000000000000',
     '', B'0', B'000000000000', B'1111111101', '(0,0)', 'null', 'null', '', '', '', '', '', '', '', '::ffff:1.2.3.4', '::/0',
     '00:00:00:00:00:00', '00:00:00:00:00:00:00:00', 'empty', 'empty', '(2,2),(1,1)', '<(1,2),0>', '((0,0),(1,1))', '0/0', '0',
     '', 'sad', ROW(NULL, NULL), 0, '', '', '', '{}', '-', '$', '', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
     '{}', '{}', '{}', '{}', '{}', '[0:1]={1,2}', '{}', '{}'",
    "3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, -0.0001, 1e130, NULL, '4713-01-01 BC', NULL, NULL, NULL,
     '294276-12-31 23:59:59.999999', 'infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL",
];

#[tokio::test]
async fn a_row_has_equal_cells_whether_it_was_copied_or_followed() {
    let mut db = Fixture::new("types").await;
    db.run(ALL_TYPES).await;
    db.run("ALTER TABLE all_types REPLICA IDENTITY FULL").await;
    for values in VALUES {
        db.run(&format!("INSERT INTO all_types ({COLUMNS}) VALUES ({values})")).await;
    }
    let mut source = db.source("");
    let (kept, pinned) = first(&mut source, true).await;
    let copied = read_all(pinned.readers).await;
    assert_eq!(copied.len(), 3);
    db.run("DELETE FROM all_types").await;
    for values in VALUES {
        db.run(&format!("INSERT INTO all_types ({COLUMNS}) VALUES ({values})")).await;
    }
    let end = db.end_of_log().await;
    let streamed = follow(&mut source, &kept, kept.at(), Some(end)).await;
    assert!(streamed.stopped.is_ok(), "{:?}", streamed.stopped);
    let plain = |events: &[String], operation: &str| {
        let mut rows: Vec<String> = events
            .iter()
            .filter_map(|event| event.strip_prefix(&format!("all_types {operation} ")))
            .map(str::to_owned)
            .collect();
        rows.sort();
        rows
    };
    let read = plain(&copied, "r");
    for operation in ["d", "c"] {
        let followed = plain(&streamed.events, operation);
        assert_eq!(followed.len(), 3);
        for (copied, followed) in read.iter().zip(&followed) {
            for (a, b) in copied.split('|').zip(followed.split('|')) {
                assert_eq!(a, b, "of {operation}");
            }
            assert_eq!(copied, followed);
        }
    }
    // and the table is one version: nothing in it depends on the way
    let table = &kept.stored.tables.values().next().unwrap().schema.clone().unwrap();
    assert!(
        streamed
            .batches
            .iter()
            .flat_map(|(batch, _)| batch.tables().to_vec())
            .all(|other| other == *table)
    );
    db.finish().await;
}
