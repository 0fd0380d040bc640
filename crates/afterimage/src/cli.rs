use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Tells other systems what changed in a database: copies its tables, then follows its log.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) logs: Logs,
}

const AFTER_HELP: &str = "\
Exit status: 0 done; 1 stopped by a failure, or a check found errors; 2 wrong usage or configuration;
3 fenced: another process took over this connector, do not restart this one; 70 a defect of this program.";

#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Print the changes of a database as JSON lines, from now on
    Tail(Tail),
    /// Run the connector that a file describes
    Run(File),
    /// List all that keeps `run` from starting, each with what mends it
    Check(File),
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Explain the code of a stop or of a finding
    Explain {
        /// Such as `slot-in-use`; none: list all
        code: Option<String>,
    },
    /// Forget the position and drop what follows the log: the next run begins anew
    Reset(Reset),
    /// Remove what the connector made: slots, own publication, position
    Drop(Remove),
}

#[derive(Debug, Args)]
pub(crate) struct File {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// postgres://USER@HOST:PORT/DATABASE; the password also from PGPASSWORD
    pub(crate) url: String,
    /// Print the rows that are there first
    #[arg(long)]
    pub(crate) copy: bool,
    /// Tables to follow, as SCHEMA.TABLE with * for any characters [default: all of the user's]
    #[arg(long, num_args = 1.., value_name = "PATTERN")]
    pub(crate) tables: Vec<String>,
    /// An existing publication, where the user may not make one
    #[arg(long, value_name = "NAME")]
    pub(crate) publication: Option<String>,
    /// The form of a value
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Form,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Before, after, source and operation, as Debezium writes them
    #[default]
    Debezium,
    /// The row after the change; null when it was deleted
    Row,
}

#[derive(Debug, Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    pub(crate) file: File,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) file: File,
    /// Also remove the target topics (or the file) with all that was written
    #[arg(long)]
    pub(crate) topics: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Form of the log on standard error [default: text on a terminal, else json]
    #[arg(long, global = true, value_enum, value_name = "FORM")]
    pub(crate) log_format: Option<LogFormat>,
    /// What to log: error, warn, info, debug, trace, or target=level,.. [default: info]
    #[arg(long, global = true, env = "RUST_LOG", value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}
