//! A statement over this crate's own client: `psql URL SQL`, `psql --replication URL COMMAND`, `psql --copy URL COPY..`,
//! `psql --stream URL START_REPLICATION..`.
//!
//! For looking at what a server says to exactly this client: TLS, password exchange, replication commands.

use std::error::Error;

use postgres_replication::copy::{CopyDecoder, CopyError};
use postgres_replication::replication::{ReplicationMessage, StandbyStatusUpdate, decode};
use postgres_replication::{Lsn, pgoutput};
use postgres_source::client::{Client, CopyBoth, Mode, Rows, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("error: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            eprintln!("  because: {error}");
            source = error.source();
        }
        std::process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (option, url, sql) = match &arguments[..] {
        [url, sql] => ("", url, sql),
        [option, url, sql] => (option.as_str(), url, sql),
        _ => return Err("usage: psql [--replication | --copy | --stream] URL SQL".into()),
    };
    let target = Target::parse(url)?;
    let mode = if matches!(option, "--replication" | "--stream") {
        Mode::Replication
    } else {
        Mode::Query
    };
    let mut client = Client::connect(&target, mode).await?;
    eprintln!("{} version {}", client.address(), client.server_version());
    match option {
        "--copy" => copy(&mut client, sql).await?,
        "--stream" => return stream(client.copy_both(sql).await?).await,
        _ => client.simple(sql).await?.iter().for_each(print),
    }
    Ok(client.close().await?)
}

fn print(rows: &Rows) {
    for row in rows.iter() {
        let cells: Vec<&str> =
            (0..rows.columns().len()).map(|index| row.at(index).unwrap_or("NULL")).collect();
        println!("{}", cells.join("\t"));
    }
    eprintln!("{}", rows.tag());
}

async fn copy(client: &mut Client, sql: &str) -> Result<(), Box<dyn Error>> {
    let mut out = client.copy_out(sql).await?;
    let mut decoder = CopyDecoder::new(1 << 30);
    let (mut rows, mut bytes, mut reads) = (0_u64, 0_usize, 0_u64);
    while let Some(mut frames) = out.next().await? {
        reads += 1;
        while let Some(payload) = frames.next_payload() {
            decoder.feed(payload, |row| {
                rows += 1;
                bytes += row.bytes();
                Ok::<_, CopyError>(())
            })?;
        }
    }
    decoder.finish()?;
    println!("{rows} rows, {bytes} bytes, {reads} reads");
    Ok(())
}

async fn stream(mut stream: CopyBoth) -> Result<(), Box<dyn Error>> {
    let (mut messages, mut reads) = (0_u64, 0_u64);
    while let Some(mut frames) = stream.next().await? {
        reads += 1;
        let mut answer = None;
        while let Some(payload) = frames.next_payload() {
            match decode(payload)? {
                ReplicationMessage::XLogData(log) => {
                    messages += 1;
                    match pgoutput::decode(log.data)? {
                        pgoutput::Message::Commit(_) => {
                            println!("{messages} messages in {reads} reads, commit")
                        }
                        message if messages <= 20 => println!("{message:?}"),
                        _ => {}
                    }
                }
                ReplicationMessage::Keepalive(keepalive) if keepalive.reply => {
                    answer = Some(keepalive.end)
                }
                ReplicationMessage::Keepalive(_) => {}
            }
        }
        if let Some(write) = answer {
            stream
                .status(StandbyStatusUpdate { write, flush: Lsn::ZERO, ..Default::default() })
                .await?;
        }
    }
    println!("the server has ended the stream");
    Ok(())
}
