//! CPU time and memory of a process and all its descendants, from `/proc`.

use std::collections::HashMap;
use std::fs;

use serde::Serialize;

use crate::error::{LoadError, Result};

/// The unit of the times in `/proc/PID/stat`: USER_HZ, which is 100 on every Linux of today.
const MICROSECONDS_PER_TICK: u64 = 10_000;

/// Which process to read.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

/// The server, and the database that it has beside it, whose time is told apart.
#[derive(Clone, Copy)]
pub struct Measured {
    pub server: Process,
    pub database: Option<Process>,
}

/// CPU time since the process began, of all its threads and descendants, those that ended included.
#[derive(Clone, Copy, Default, Debug)]
pub struct CpuTime {
    pub user_us: u64,
    pub system_us: u64,
}

#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident set.
    pub rss_kib: u64,
    /// Proportional set, which counts shared pages once; none where the kernel does not let us read it.
    pub pss_kib: Option<u64>,
}

impl Process {
    pub fn own() -> Process {
        Process(std::process::id())
    }

    pub fn cpu_time(self) -> Result<CpuTime> {
        let table = process_table()?;
        let mut total = CpuTime::default();
        for line in self.tree(&table)? {
            total.user_us += (line.user + line.children_user) * MICROSECONDS_PER_TICK;
            total.system_us += (line.system + line.children_system) * MICROSECONDS_PER_TICK;
        }
        Ok(total)
    }

    pub fn memory(self) -> Result<Memory> {
        let table = process_table()?;
        let mut rss_kib = 0;
        let mut pss_kib = Some(0);
        for line in self.tree(&table)? {
            let status = fs::read_to_string(format!("/proc/{}/status", line.pid)).unwrap_or_default();
            rss_kib += field_kib(&status, "VmRSS:").unwrap_or(0);
            let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", line.pid)).unwrap_or_default();
            pss_kib = pss_kib.zip(field_kib(&rollup, "Pss:")).map(|(sum, pss)| sum + pss);
        }
        Ok(Memory { rss_kib, pss_kib })
    }

    /// The process itself and whatever descends from it.
    fn tree(self, table: &[StatLine]) -> Result<Vec<&StatLine>> {
        let mut children: HashMap<u32, Vec<&StatLine>> = HashMap::new();
        for line in table {
            children.entry(line.parent).or_default().push(line);
        }
        let root = table.iter().find(|line| line.pid == self.0);
        let root = root.ok_or_else(|| LoadError::File(format!("there is no process {}", self.0)))?;
        let mut tree = vec![root];
        let mut visited = 0;
        while let Some(line) = tree.get(visited) {
            let descendants = children.get(&line.pid);
            visited += 1;
            tree.extend(descendants.into_iter().flatten().copied());
        }
        Ok(tree)
    }
}

impl CpuTime {
    /// What all processes of this machine together used; none where the kernel does not tell.
    pub fn of_machine() -> Option<CpuTime> {
        machine_time(&fs::read_to_string("/proc/stat").ok()?)
    }

    pub fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
        }
    }

    pub fn total_us(self) -> u64 {
        self.user_us + self.system_us
    }
}

/// How many files this process may open.
pub fn open_files_limit() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

struct StatLine {
    pid: u32,
    parent: u32,
    user: u64,
    system: u64,
    children_user: u64,
    children_system: u64,
}

fn process_table() -> Result<Vec<StatLine>> {
    let entries = fs::read_dir("/proc").map_err(|error| LoadError::File(format!("/proc: {error}")))?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // A process may end between the listing and the reading.
    Ok(pids.filter_map(|pid| read_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect())
}

/// proc(5): the second field is the command in parentheses, and may itself hold spaces and parentheses.
fn read_stat(line: &str) -> Option<StatLine> {
    let (pid, rest) = line.split_once(" (")?;
    let fields: Vec<&str> = rest.rsplit_once(") ")?.1.split_whitespace().collect();
    // The first of `fields` is number 3 of the manual.
    let number = |index: usize| fields.get(index - 3)?.parse::<u64>().ok();
    Some(StatLine {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        user: number(14)?,
        system: number(15)?,
        children_user: number(16)?,
        children_system: number(17)?,
    })
}

/// proc(5): user, nice, system, idle, iowait, irq, softirq.
fn machine_time(stat: &str) -> Option<CpuTime> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let [user, nice, system, _, _, irq, softirq, ..] = ticks[..] else { return None };
    Some(CpuTime {
        user_us: (user + nice) * MICROSECONDS_PER_TICK,
        system_us: (system + irq + softirq) * MICROSECONDS_PER_TICK,
    })
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_hold_spaces_and_parentheses() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 11 22 33 44 20 0 1 0 100 1000 200";
        let stat = read_stat(line).unwrap();
        assert_eq!((stat.pid, stat.parent), (42, 7));
        assert_eq!((stat.user, stat.system, stat.children_user, stat.children_system), (11, 22, 33, 44));
    }

    #[test]
    fn the_machine_time_is_all_but_idle() {
        let time = machine_time("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1\n").unwrap();
        assert_eq!((time.user_us, time.system_us), (30_000, 160_000));
    }

    #[test]
    fn a_descendant_is_counted() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let table = process_table().unwrap();
        let tree = Process::own().tree(&table).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tree.iter().any(|line| line.pid == child.id()));
        assert!(tree.iter().any(|line| line.pid == std::process::id()));
    }

    #[test]
    fn own_memory_and_time_are_there() {
        assert!(Process::own().memory().unwrap().rss_kib > 100);
        assert!(Process::own().cpu_time().is_ok());
        assert!(Process(u32::MAX).cpu_time().is_err());
        assert!(open_files_limit().unwrap() > 3);
    }
}
