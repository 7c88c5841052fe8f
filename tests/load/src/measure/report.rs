//! What a run found, as a table for people or as JSON for scripts.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::histogram::Latency;
use super::meter::Meter;
use super::process::{CpuTime, Measured, Memory, Process};
use crate::error::Result;

#[derive(Serialize)]
pub struct Report {
    pub scenario: &'static str,
    pub settings: BTreeMap<&'static str, Value>,
    pub phases: Vec<Phase>,
    pub faults: Faults,
    /// Further findings of this scenario alone.
    pub findings: BTreeMap<&'static str, Value>,
}

/// One measured interval.
#[derive(Serialize)]
pub struct Phase {
    pub name: &'static str,
    /// What was counted, in the singular.
    pub unit: &'static str,
    pub operations: u64,
    pub seconds: f64,
    pub per_second: f64,
    pub latency_us: Option<Latency>,
    pub server: Option<ServerUse>,
    pub tool_cpu_us_per_operation: f64,
    pub tool_cpu_percent: f64,
    /// What everything else on this machine used, of one core. Much of it makes the other figures worse than
    /// they are, since caches and memory are shared even where cores are not. None without `--pid`.
    pub others_cpu_percent: Option<f64>,
}

#[derive(Serialize)]
pub struct ServerUse {
    pub cpu_us_per_operation: f64,
    pub user_us_per_operation: f64,
    pub system_us_per_operation: f64,
    /// Of one core.
    pub cpu_percent: f64,
    /// What its database used, with `--database-pid`.
    pub database_us_per_operation: Option<f64>,
    pub memory_before: Memory,
    pub memory_after: Memory,
}

/// What must not happen. Anything above zero makes the tool exit with 1.
#[derive(Default, Serialize)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    pub out_of_order: u64,
    /// Stanzas that the server took over by XEP-0198 but did not acknowledge in the end.
    pub unacknowledged: u64,
    /// Bounces, sessions that were lost, failed logins.
    pub errors: u64,
    /// The first of the errors, in words.
    pub troubles: Vec<String>,
}

/// Times an interval; see README.md for what is read when.
pub struct Stopwatch {
    process: Option<Measured>,
    memory_before: Memory,
    server: CpuTime,
    database: Option<CpuTime>,
    tool: CpuTime,
    machine: Option<CpuTime>,
    began: Instant,
}

impl Stopwatch {
    pub fn start(process: Option<Measured>) -> Result<Stopwatch> {
        // Memory first: reading a large process's takes a while and is no part of the interval.
        let memory_before = process.map(|of| of.server.memory()).transpose()?.unwrap_or_default();
        let tool = Process::own().cpu_time()?;
        let server = process.map(|of| of.server.cpu_time()).transpose()?.unwrap_or_default();
        let database = database_time(process)?;
        let machine = CpuTime::of_machine();
        Ok(Stopwatch { process, memory_before, server, database, tool, machine, began: Instant::now() })
    }

    pub fn stop(
        self,
        name: &'static str,
        unit: &'static str,
        operations: u64,
        latency_us: Option<Latency>,
    ) -> Result<Phase> {
        let seconds = self.began.elapsed().as_secs_f64();
        let server =
            self.process.map(|of| of.server.cpu_time()).transpose()?.map(|cpu| cpu.since(self.server));
        let database = database_time(self.process)?.zip(self.database).map(|(now, then)| now.since(then));
        let tool = Process::own().cpu_time()?.since(self.tool);
        let machine = CpuTime::of_machine().zip(self.machine).map(|(now, then)| now.since(then).total_us());
        let memory_after = self.process.map(|of| of.server.memory()).transpose()?.unwrap_or_default();
        let each = |microseconds: u64| microseconds as f64 / operations.max(1) as f64;
        let percent = |cpu: CpuTime| cpu.total_us() as f64 / seconds / 10_000.0;
        let others = machine.zip(server).map(|(machine, server)| {
            let ours = server.total_us() + tool.total_us() + database.map_or(0, CpuTime::total_us);
            machine.saturating_sub(ours) as f64 / seconds / 10_000.0
        });
        Ok(Phase {
            name,
            unit,
            operations,
            seconds,
            per_second: operations as f64 / seconds,
            latency_us,
            server: server.map(|cpu| ServerUse {
                cpu_us_per_operation: each(cpu.total_us()),
                user_us_per_operation: each(cpu.user_us),
                system_us_per_operation: each(cpu.system_us),
                cpu_percent: percent(cpu),
                database_us_per_operation: database.map(|cpu| each(cpu.total_us())),
                memory_before: self.memory_before,
                memory_after,
            }),
            tool_cpu_us_per_operation: each(tool.total_us()),
            tool_cpu_percent: percent(tool),
            others_cpu_percent: others,
        })
    }
}

fn database_time(process: Option<Measured>) -> Result<Option<CpuTime>> {
    process.and_then(|of| of.database).map(Process::cpu_time).transpose()
}

impl Faults {
    /// The errors that the meter saw; the rest is for the scenario to fill in.
    pub fn of(meter: &Meter) -> Faults {
        Faults { errors: meter.errors(), troubles: meter.troubles(), ..Faults::default() }
    }

    pub fn none(&self) -> bool {
        self.lost + self.duplicated + self.out_of_order + self.unacknowledged + self.errors == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<String> =
            self.settings.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
        writeln!(f, "{}: {}", self.scenario, settings.join(", "))?;
        for phase in &self.phases {
            write!(f, "{phase}")?;
        }
        for (name, value) in &self.findings {
            writeln!(f, "  {name:<22} {}", plain(value))?;
        }
        let faults = &self.faults;
        write!(f, "  {:<22} lost {}, duplicated {}", "faults", faults.lost, faults.duplicated)?;
        write!(f, ", out of order {}, errors {}", faults.out_of_order, faults.errors)?;
        writeln!(f, ", unacknowledged {}", faults.unacknowledged)?;
        for trouble in &faults.troubles {
            writeln!(f, "  {:<22} {trouble}", "error")?;
        }
        Ok(())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  {:<22} {} {}s in {:.2} s, {:.0} per second",
            self.name, self.operations, self.unit, self.seconds, self.per_second
        )?;
        if let Some(latency) = &self.latency_us {
            writeln!(
                f,
                "  {:<22} p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
                "latency",
                duration(latency.p50),
                duration(latency.p90),
                duration(latency.p99),
                duration(latency.p999),
                duration(latency.max)
            )?;
        }
        if let Some(server) = &self.server {
            writeln!(
                f,
                "  {:<22} {:.2} us per {} (user {:.2}, system {:.2}), {:.0} % of a core",
                "server CPU",
                server.cpu_us_per_operation,
                self.unit,
                server.user_us_per_operation,
                server.system_us_per_operation,
                server.cpu_percent
            )?;
            if let Some(database) = server.database_us_per_operation {
                writeln!(f, "  {:<22} {database:.2} us per {}", "its database's CPU", self.unit)?;
            }
            writeln!(
                f,
                "  {:<22} {} before, {} after",
                "server memory", server.memory_before, server.memory_after
            )?;
        }
        writeln!(
            f,
            "  {:<22} {:.2} us per {}, {:.0} % of a core",
            "the tool's own CPU", self.tool_cpu_us_per_operation, self.unit, self.tool_cpu_percent
        )
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RSS {:.1} MiB", self.rss_kib as f64 / 1024.0)?;
        match self.pss_kib {
            Some(pss) => write!(f, " (PSS {:.1})", pss as f64 / 1024.0),
            None => Ok(()),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// Microseconds in the unit that suits them.
fn duration(microseconds: f64) -> String {
    match microseconds {
        small if small < 1000.0 => format!("{small:.0} us"),
        middle if middle < 1_000_000.0 => format!("{:.2} ms", middle / 1000.0),
        large => format!("{:.2} s", large / 1_000_000.0),
    }
}
