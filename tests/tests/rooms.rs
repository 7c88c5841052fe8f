//! The rules of the rooms: who may know whom (ARCHITECTURE.md, "The rooms").

use std::fs;
use std::path::{Path, PathBuf};

/// In files below `room`, no line of code may contain any of `never`.
struct Rule {
    room: &'static str,
    except: &'static [&'static str],
    never: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        room: "xmpp-core/src",
        except: &[],
        never: &[
            "tokio::",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "std::fs",
            "SystemTime",
            "Instant::now",
            "rand::",
            "std::thread",
        ],
        why: "xmpp-core knows no sockets, tasks, clock, chance or files",
    },
    Rule {
        room: "cluster/src",
        except: &[],
        never: &["server::", "Stanza", "sqlx", "xmpp_core::xml", "xmpp_core::stanza"],
        why: "cluster knows addresses and sessions, never what a parcel holds",
    },
    Rule {
        room: "server/src/modules",
        except: &[],
        never: &["crate::plugins", "crate::c2s", "sqlx", "tokio::net"],
        why: "a module never sees a plugin or a socket",
    },
    Rule {
        room: "server/src/plugins",
        except: &[],
        never: &["crate::session", "crate::router", "crate::modules", "crate::c2s", "crate::host"],
        why: "a plugin knows storage.rs alone",
    },
    Rule {
        room: "server/src/http",
        except: &[],
        never: &["crate::router", "crate::session", "crate::modules", "crate::plugins", "crate::node"],
        why: "HTTP knows uploads, and no stanza",
    },
    Rule {
        room: "server/src/cold",
        except: &[],
        never: &["crate::router", "crate::session", "crate::modules", "crate::plugins", "crate::node"],
        why: "the cold archive is a store over a store",
    },
    Rule {
        room: "server/src/router",
        except: &[],
        never: &["crate::modules", "crate::plugins", "crate::c2s", "sqlx"],
        why: "the router calls hooks and knows no module",
    },
    Rule {
        room: "server/src/ctl",
        except: &[],
        never: &["crate::node", "crate::router", "crate::session", "crate::storage", "tokio::"],
        why: "the tool knows the control socket, and nothing of a running server",
    },
    Rule {
        room: "server/src",
        except: &["server/src/plugins/sqlite", "server/src/plugins/postgres"],
        never: &["sqlx::"],
        why: "only a database's plugin says sqlx",
    },
];

#[test]
fn nobody_knows_whom_he_must_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut broken = Vec::new();
    for rule in RULES {
        let files = rust_files(&root.join(rule.room));
        assert!(!files.is_empty(), "{} has no files: the rule is out of date", rule.room);
        for file in files {
            let name = file.strip_prefix(root).expect("below the workspace").display().to_string();
            if rule.except.iter().any(|except| name.starts_with(except)) {
                continue;
            }
            broken.extend(
                offences(&file, rule).into_iter().map(|line| format!("{name}:{line} ({})", rule.why)),
            );
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A module is an island: what two of them need lies in `router/` or below.
#[test]
fn modules_do_not_use_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let modules = root.join("server/src/modules");
    let mut broken = Vec::new();
    for file in rust_files(&modules).iter().filter(|f| !f.ends_with("modules/mod.rs")) {
        let inside = file.strip_prefix(&modules).expect("a module's file");
        let own = inside.iter().next().expect("a name").to_string_lossy().replace(".rs", "");
        for (number, line) in code(file) {
            let Some((_, used)) = line.split_once("crate::modules::") else { continue };
            if !used.starts_with(&own) {
                broken.push(format!("{}:{number}: {}", inside.display(), line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn offences(file: &Path, rule: &Rule) -> Vec<String> {
    let lines = code(file).into_iter();
    let wrong = lines.filter(|(_, line)| rule.never.iter().any(|word| line.contains(word)));
    wrong.map(|(number, line)| format!("{number}: {}", line.trim())).collect()
}

/// Numbered lines that are neither comments nor tests.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).expect("a source file");
    let lines = text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.map(|(number, line)| (number + 1, line.to_owned())).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files.extend(rust_files(&path)),
            false if path.extension().is_some_and(|e| e == "rs") => files.push(path),
            false => {}
        }
    }
    files
}
