//! The binary: configuration, wiring, signals, logs, metrics. It opens every connection through a connector.

mod check;
mod cli;
mod clock;
mod codes;
mod config;
mod exit;
mod explain;
mod health;
mod http;
mod lent;
mod logs;
mod metrics;
mod progress;
mod remove;
mod report;
mod run;
mod signals;
mod tail;
mod wire;

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
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            trouble.tell(format);
            trouble.exit().into()
        }
    }
}

fn start(cli: Cli) -> Result<(), Trouble> {
    let Cli { mode, logs } = cli;
    match mode {
        Mode::Tail(tail) => tail::tail(&tail, &logs),
        Mode::Run(file) => run::run(&file, &logs),
        Mode::Check(file) => check::check(&file, &logs),
        Mode::Schema => {
            report::print(&format!("{:#}\n", config::schema()));
            Ok(())
        }
        Mode::Explain { code } => explain::explain(code.as_deref()),
        Mode::Reset(reset) => remove::reset(&reset, &logs),
        Mode::Drop(remove) => remove::drop(&remove, &logs),
    }
}
