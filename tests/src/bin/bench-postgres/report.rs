//! The figures as JSON, and as a page with the targets beside them.

use std::fmt::Write;

use e2e::Result;
use serde_json::{Value, json};

use crate::backlog::TRANSACTION;
use crate::drain::Drain;
use crate::footprint::Footprint;
use crate::{Reader, machine};

pub(crate) struct Report {
    rows: u64,
    rounds: u32,
    pub(crate) drains: Vec<Drain>,
    pub(crate) footprint: Option<Footprint>,
    began: Value,
}

/// Minimum, median and maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Spread { min, median, max })
    }

    fn shown(self, unit: &str, digits: usize) -> String {
        let Spread { min, median, max } = self;
        format!("{median:.digits$}{unit} ({min:.digits$} to {max:.digits$})")
    }
}

impl Report {
    pub(crate) fn begin(rows: u64, rounds: u32) -> Result<Self> {
        let began = json!({ "machine": machine::description(), "versions": machine::versions() });
        Ok(Self { rows, rounds, drains: Vec::new(), footprint: None, began })
    }

    fn spread(&self, reader: Reader, value: impl Fn(&Drain) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.drains.iter().filter(|drain| drain.reader == reader).filter_map(value))
    }

    /// Median of ours over median of theirs.
    fn ratio(&self, other: Reader, value: impl Fn(&Drain) -> Option<f64>) -> Option<f64> {
        let ours = self.spread(Reader::Ours, &value)?.median;
        Some(ours / self.spread(other, &value)?.median)
    }

    pub(crate) fn json(&self) -> Result<String> {
        let ratios = json!({
            "rate_to_pg_recvlogical": self.ratio(Reader::Server, |drain| Some(drain.rate())),
            "rate_to_pg_recvlogical_with_start": self.ratio(Reader::Server, |drain| Some(drain.rate_with_start())),
            "rate_to_debezium": self.ratio(Reader::Debezium, |drain| Some(drain.rate())),
            "cpu_to_debezium": self.ratio(Reader::Debezium, |drain| Some(drain.cpu_micros())),
        });
        let report = json!({
            "rows": self.rows,
            "rounds": self.rounds,
            "transaction_rows": TRANSACTION,
            "machine": self.began["machine"],
            "versions": self.began["versions"],
            "drains": self.drains,
            "ratios": ratios,
            "footprint": self.footprint,
        });
        Ok(format!("{report:#}\n"))
    }

    pub(crate) fn markdown(&self) -> String {
        let mut page = String::new();
        self.write(&mut page).expect("writing to a string does not fail");
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        writeln!(page, "# Benchmarks: PostgreSQL to Kafka, Avro, exactly once\n")?;
        writeln!(
            page,
            "Made by `cargo xtask bench`; [postgres.json](postgres.json) has every single measurement. Rates are compared only\n\
             within one run on one machine, with the database and the broker beside the connector. Medians of {} rounds, the\n\
             readers in another order each round, with minimum and maximum.\n",
            self.rounds
        )?;
        self.targets(page)?;
        self.drain(page)?;
        self.method(page)
    }

    fn targets(&self, page: &mut String) -> std::fmt::Result {
        writeln!(page, "## Targets\n\n| what | target | measured | |\n|---|---|---|---|")?;
        let mut row = |what: &str, target: &str, figure: Option<(String, bool)>| match figure {
            Some((shown, met)) => {
                writeln!(
                    page,
                    "| {what} | {target} | {shown} | {} |",
                    if met { "met" } else { "missed" }
                )
            }
            None => writeln!(page, "| {what} | {target} | not measured | |"),
        };
        let rate = self.ratio(Reader::Server, |drain| Some(drain.rate()));
        let share = self.spread(Reader::Ours, |drain| drain.sender_share).map(|share| share.median);
        let times = |ratio: f64| format!("{ratio:.2} x");
        row("drain, on the way", ">= 0.8 x pg_recvlogical", rate.map(|r| (times(r), r >= 0.8)))?;
        row(
            "drain",
            ">= 1.3 x pg_recvlogical, or the server's sender at >= 95 % of a core",
            rate.map(|r| {
                let sender = share.map_or("unseen".to_owned(), |s| format!("{:.0} %", s * 100.0));
                (format!("{}, sender {sender}", times(r)), r >= 1.3 || share >= Some(0.95))
            }),
        )?;
        let rate = self.ratio(Reader::Debezium, |drain| Some(drain.rate()));
        row("drain", ">= 6 x Debezium", rate.map(|r| (times(r), r >= 6.0)))?;
        let cpu = self.ratio(Reader::Debezium, |drain| Some(drain.cpu_micros()));
        row(
            "CPU per row",
            "<= 1/20 of Debezium's",
            cpu.map(|r| (format!("1/{:.1}", 1.0 / r), r <= 0.05)),
        )?;
        let footprint = self.footprint.as_ref();
        let memory = |value: Option<f64>, bound: f64| {
            value.map(|mib| (format!("{mib:.0} MiB"), mib <= bound))
        };
        row(
            "memory, 100 tables, records up to 16 KiB",
            "<= 64 MiB",
            memory(footprint.and_then(|f| f.tables_peak_mib), 64.0),
        )?;
        row(
            &format!("memory, a transaction of {} rows passes", self.rows),
            "<= 128 MiB",
            memory(footprint.and_then(|f| f.transaction_peak_mib), 128.0),
        )?;
        let start =
            footprint.and_then(|f| Spread::of(f.starts.iter().map(|start| start.cpu_seconds)));
        row(
            "cold start, not waiting for a server (CPU time until streaming)",
            "<= 0.3 s",
            start.map(|s| (s.shown(" s", 2), s.median <= 0.3)),
        )?;
        row(
            "idle",
            "<= 0.1 % of a core",
            footprint
                .and_then(|f| f.idle_share)
                .map(|s| (format!("{:.2} %", s * 100.0), s <= 0.001)),
        )?;
        writeln!(page)
    }

    fn drain(&self, page: &mut String) -> std::fmt::Result {
        writeln!(
            page,
            "## Drain of {} inserted rows (10 columns, transactions of {TRANSACTION})\n",
            self.rows
        )?;
        let readers: Vec<Reader> = [Reader::Ours, Reader::Server, Reader::Debezium]
            .into_iter()
            .filter(|reader| self.drains.iter().any(|drain| drain.reader == *reader))
            .collect();
        write!(page, "| |")?;
        for reader in &readers {
            write!(page, " {} |", reader.name())?;
        }
        writeln!(page, "\n|---|{}", "---|".repeat(readers.len()))?;
        type Figure = (&'static str, fn(&Drain) -> Option<f64>, &'static str, usize);
        let figures: [Figure; 9] = [
            ("rows/s, while streaming", |d| Some(d.rate()), "", 0),
            ("rows/s, from the start of the process", |d| Some(d.rate_with_start()), "", 0),
            ("CPU of the reader per row", |d| Some(d.cpu_micros()), " us", 2),
            (
                "CPU of the server's sender per row",
                |d| Some(machine::micros(d.sender_cpu_seconds?, d.rows)),
                " us",
                2,
            ),
            ("the sender's share of a core", |d| Some(d.sender_share? * 100.0), " %", 0),
            (
                "CPU of the broker per row",
                |d| Some(machine::micros(d.broker_cpu_seconds?, d.rows)),
                " us",
                2,
            ),
            ("start to first row", |d| d.first_seconds, " s", 2),
            ("peak memory", |d| d.peak_mib, " MiB", 0),
            ("cores used by others meanwhile", |d| d.other_cores, "", 2),
        ];
        for (what, value, unit, digits) in figures {
            write!(page, "| {what} |")?;
            for reader in &readers {
                match self.spread(*reader, value) {
                    Some(spread) => write!(page, " {} |", spread.shown(unit, digits))?,
                    None => write!(page, " |")?,
                }
            }
            writeln!(page)?;
        }
        writeln!(page)?;
        let Some(footprint) = &self.footprint else { return Ok(()) };
        let spread = |value: fn(&crate::footprint::Start) -> f64| {
            Spread::of(footprint.starts.iter().map(value))
                .map_or(String::new(), |s| s.shown(" s", 2))
        };
        writeln!(
            page,
            "Starts ({}): {} from the process's start until the server sends, {} until a reader can see the first new row.\n",
            footprint.starts.len(),
            spread(|start| start.streaming_seconds),
            spread(|start| start.first_seconds),
        )
    }

    fn method(&self, page: &mut String) -> std::fmt::Result {
        let machine = &self.began["machine"];
        let versions = &self.began["versions"];
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => "unknown".to_owned(),
            other => other.to_string(),
        };
        writeln!(
            page,
            "## Machine\n\n{} with {} cores, {} MiB, {}, Linux {}. PostgreSQL {}, Kafka {}, Apicurio Registry {}, Debezium {}.\n",
            text(&machine["processor"]),
            text(&machine["cores"]),
            text(&machine["memory_mib"]),
            text(&machine["system"]),
            text(&machine["kernel"]),
            text(&versions["postgres"]),
            text(&versions["kafka"]),
            text(&versions["registry"]),
            text(&versions["debezium"]),
        )?;
        page.push_str(METHOD);
        Ok(())
    }
}

const METHOD: &str = "\
## Method

- `cargo xtask bench` for this page, `cargo xtask bench --quick` for two rounds of 200,000 rows, `--debezium` to measure
  Debezium too. `--rows`, `--rounds` as one likes.
- Each round writes one backlog behind the slots of all readers; they drain it one after the other. pg_recvlogical reads a
  copy of the connector's slot with the same options, to /dev/null. Its end is the end of its process; the others' end is when
  a read_committed reader can see the row that was written last.
- The connector runs with its defaults and without a copy: Avro, exactly once, lz4, one partition.
- Debezium runs in Kafka Connect with Apicurio's Avro converter in Confluent mode, `max.batch.size=20480`,
  `max.queue.size=81920`, its producer with lz4, linger 10 ms and batches of 1 MiB; it delivers at least once. It has drained
  100,000 rows before the first round.
- CPU time is the kernel's, in steps of 10 ms, from when the server begins to send. Memory is the kernel's peak of resident
  memory. \"Others\" are all processes but the reader, its sender and the broker: where it is not near zero, rates are too low and
  only ratios mean something.

Not measured yet: the copy, latency, one core, restarts after a kill, growth with tables and columns, foreign load,
Debezium exactly once, the null pipeline.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_minimum_median_and_maximum() {
        let check = |values: &[f64], expected: Option<(f64, f64, f64)>| {
            let expected = expected.map(|(min, median, max)| Spread { min, median, max });
            assert_eq!(Spread::of(values.iter().copied()), expected, "{values:?}");
        };
        check(&[], None);
        check(&[3.0], Some((3.0, 3.0, 3.0)));
        check(&[3.0, 1.0], Some((1.0, 2.0, 3.0)));
        check(&[5.0, 1.0, 2.0], Some((1.0, 2.0, 5.0)));
    }

    #[test]
    fn a_page_without_figures_says_so() {
        let report = Report::begin(1, 1).unwrap();
        assert_eq!(report.markdown().matches("not measured |").count(), 8);
    }
}
