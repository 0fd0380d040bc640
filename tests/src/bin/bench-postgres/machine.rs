//! What the kernel tells of processes and of the machine. None where it tells nothing: a server in a container is not ours
//! to look at.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

/// The kernel counts a process's time in hundredths of a second on every machine that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// One process as far as it can be seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// CPU time in seconds of all its threads, those that ended included. Also of one that has ended and is not waited for.
    pub(crate) fn cpu(self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        cpu_of_stat(&stat)
    }

    pub(crate) fn has_ended(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, None | Some('Z' | 'X'))
    }

    /// The largest resident memory that it ever had, in MiB.
    pub(crate) fn peak_mib(self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib / 1024.0)
    }

    /// The process whose command line has all these parts.
    pub(crate) fn find(parts: &[&str]) -> Option<Process> {
        fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).into_owned();
            let own = pid == std::process::id();
            (!own && parts.iter().all(|part| words.contains(part))).then_some(Process(pid))
        })
    }
}

fn cpu_of_stat(stat: &str) -> Option<f64> {
    // The name may hold anything, a parenthesis too; the fields begin behind the last one.
    let mut fields = stat.rsplit_once(") ")?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// CPU seconds of all processes together since the start of the machine.
pub(crate) fn cpu_of_all() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let numbers: Vec<f64> =
        stat.lines().next()?.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|at| numbers.get(*at)).sum::<f64>();
    Some(busy / TICKS_PER_SECOND)
}

/// The mean number of runnable tasks over the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// What stands in every report, so that nobody compares figures of two machines.
pub(crate) fn description() -> Value {
    let line = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let found = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        found.and_then(|line| {
            Some(line.split_once([':', '='])?.1.trim().trim_matches('"').to_owned())
        })
    };
    let memory_kib = line("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    json!({
        "processor": line("/proc/cpuinfo", "model name"),
        "cores": std::thread::available_parallelism().map(usize::from).unwrap_or(0),
        "memory_mib": memory_kib.map(|kib| kib / 1024),
        "system": line("/etc/os-release", "PRETTY_NAME"),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
    })
}

/// Servers' versions, as the stack tells them.
pub(crate) fn versions() -> Value {
    let of = |name: &str| std::env::var(format!("AFTERIMAGE_STACK_{name}_VERSION")).ok();
    json!({
        "afterimage": env!("CARGO_PKG_VERSION"),
        "postgres": of("POSTGRES"),
        "kafka": of("KAFKA"),
        "registry": of("REGISTRY"),
        "connect": of("CONNECT"),
        "debezium": of("DEBEZIUM"),
    })
}

pub(crate) fn micros(seconds: f64, rows: u64) -> f64 {
    seconds * 1e6 / rows.max(1) as f64
}

pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_a_process_is_user_and_system_time_whatever_its_name() {
        let check = |name: &str| {
            let stat = format!("7 ({name}) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20");
            assert_eq!(cpu_of_stat(&stat), Some(2.0), "{name}");
        };
        check("afterimage");
        check("a (b) c) d");
    }

    #[test]
    fn a_process_that_is_not_there_has_no_time_and_has_ended() {
        assert_eq!(Process(u32::MAX).cpu(), None);
        assert!(Process(u32::MAX).has_ended());
    }

    #[test]
    fn we_have_time_and_memory_and_have_not_ended() {
        let us = Process(std::process::id());
        assert!(us.cpu().is_some() && us.peak_mib() > Some(0.1) && !us.has_ended());
    }
}
