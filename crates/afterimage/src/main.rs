//! The binary: configuration, wiring, signals, logs, metrics. It opens every connection through a connector.

mod cli;
mod clock;
mod codes;
mod config;
mod exit;
mod health;
mod http;
mod logs;
mod metrics;
mod pending;
mod progress;
mod report;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Mode};
use report::Trouble;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = cli.logs.format();
    report::end_on_panic(format);
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing chose a provider before main");
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            trouble.tell(format);
            trouble.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Trouble> {
    match cli.mode {
        Mode::Schema => {
            println!("{:#}", config::schema());
            Ok(())
        }
        Mode::Check(file) => {
            let c = config::load(&file.config)?;
            println!("{c:?}");
            Ok(())
        }
        _ => Ok(()),
    }
}
