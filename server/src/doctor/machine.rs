//! The machine: room on the disk, memory, open files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::storage::Finding;

const MEGABYTE: u64 = 1 << 20;
/// From here on there is little room, and none.
const DISK_WARNING: u64 = 1024 * MEGABYTE;
const DISK_FAILED: u64 = 64 * MEGABYTE;
const INODES_FAILED: u64 = 1_000;
const MEMORY_WARNING: u64 = 256 * MEGABYTE;
/// Files of a server that are no connections of clients: its database, sockets, certificates.
const OTHER_FILES: u64 = 128;

pub fn examine(config: &Config, data_dir: &Path, is_server: bool) -> Vec<Finding> {
    let mut findings = disk(data_dir);
    findings.extend(memory());
    findings.extend(open_files(config, is_server));
    findings
}

fn disk(data_dir: &Path) -> Vec<Finding> {
    // A folder that is to be made has the disk of the one in which it is made.
    let Some(folder) = data_dir.ancestors().find(|folder| folder.is_dir()) else {
        return vec![Finding::failed(
            "disk",
            format!("{} cannot be made", data_dir.display()),
            "name another data folder",
        )];
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut findings = vec![room(data_dir, folder)];
    if let Err(error) = try_to_write(folder) {
        findings.push(Finding::failed(
            "disk",
            format!("{} cannot be written: {error}", folder.display()),
            "let the user who runs the server own it, or name another by --data or general.data_dir",
        ));
    }
    findings
}

fn room(data_dir: &Path, folder: &Path) -> Finding {
    let about = match rustix::fs::statvfs(folder) {
        Ok(about) => about,
        Err(error) => {
            return Finding::warning(
                "disk",
                format!("{}: {error}", folder.display()),
                "look at the data folder's disk",
            );
        }
    };
    let (free, all) = (about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize);
    // Some file systems make inodes as they need them, and say that there are none.
    let (inodes, all_inodes) = (about.f_favail, about.f_files);
    let percent = |part: u64, of: u64| (part * 100).checked_div(of).unwrap_or(100);
    let seen = format!(
        "{}: {} MB free ({} %){}",
        data_dir.display(),
        free / MEGABYTE,
        percent(free, all),
        if all_inodes == 0 {
            String::new()
        } else {
            format!(", {inodes} inodes free ({} %)", percent(inodes, all_inodes))
        }
    );
    let advice = "make room, or move the data folder (general.data_dir) to a larger disk: without room nothing is saved, and senders are told to wait";
    let few_inodes = all_inodes > 0 && inodes < INODES_FAILED;
    if free < DISK_FAILED || few_inodes {
        Finding::failed("disk", seen, advice)
    } else if free < DISK_WARNING
        || percent(free, all) < 5
        || (all_inodes > 0 && percent(inodes, all_inodes) < 5)
    {
        Finding::warning("disk", seen, advice)
    } else {
        Finding::ok("disk", seen)
    }
}

fn try_to_write(folder: &Path) -> std::io::Result<()> {
    let file: PathBuf = folder.join(format!(".doctor-{}", std::process::id()));
    let written = fs::write(&file, b"Does it take this?\n");
    // What was not made cannot be removed.
    let _ = fs::remove_file(&file);
    written
}

fn memory() -> Option<Finding> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
    };
    let (free, all) = (bytes("MemAvailable:")?, bytes("MemTotal:")?);
    let seen = format!("{} of {} MB are free", free / MEGABYTE, all / MEGABYTE);
    Some(match free < MEMORY_WARNING {
        false => Finding::ok("memory", seen),
        true => Finding::warning(
            "memory",
            seen,
            "an idle session takes some 3 to 11 KB: give the machine more, or lower limits.connections",
        ),
    })
}

fn open_files(config: &Config, is_server: bool) -> Option<Finding> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let most = line.split_whitespace().next()?;
    let wanted = u64::from(config.limits.connections) + OTHER_FILES;
    let who = if is_server { "this server" } else { "a server that is started from here" };
    let seen = format!(
        "{who} may have {most} files open; limits.connections = {} needs {wanted}",
        config.limits.connections
    );
    let advice = "raise the limit (LimitNOFILE= of systemd, `ulimit -n`), or lower limits.connections to what there will be";
    Some(match most.parse::<u64>() {
        Ok(most) if most < 2 * OTHER_FILES => Finding::failed("limits", seen, advice),
        Ok(most) if most < wanted => Finding::warning("limits", seen, advice),
        // No bound.
        _ => Finding::ok("limits", seen),
    })
}
