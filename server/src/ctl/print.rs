//! Answers for a person: a line for each thing, its name first.

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::admin::Command;
use crate::admin::account::AccountCommand;
use crate::admin::cold::{ColdCommand, LookedAt};
use crate::admin::events::{EventsCommand, EventsStatus};
use crate::admin::mam::{Counted, Looked, MamCommand};
use crate::admin::roster::{Ask, Contact, RosterCommand, Who};
use crate::admin::server::{Changed, Reloaded, ServerCommand, Status, parse_level};
use crate::admin::session::{Listed, SessionCommand};
use crate::admin::upload::{UploadCommand, Uploaded, Usage};
use crate::admin::welcome::{how, place, reached, url};
use crate::config::HttpTls;

/// One of a list.
pub fn item(out: &mut impl Write, command: &Command, item: &Value) -> io::Result<()> {
    let line = match command {
        Command::Session(SessionCommand::ListSessions(_)) => typed(item, session),
        Command::Roster(RosterCommand::ListContacts(_)) => typed(item, contact),
        Command::Mam(MamCommand::Count(_)) => typed(item, counted),
        Command::Upload(UploadCommand::List(_)) => typed(item, uploaded),
        _ => text(item),
    };
    writeln!(out, "{line}")
}

/// The result of what is not a list.
pub fn done(out: &mut impl Write, command: &Command, result: &Value) -> io::Result<()> {
    match command {
        Command::Server(ServerCommand::Status {}) => write!(out, "{}", typed(result, status)),
        Command::Server(ServerCommand::Reload {}) => write!(out, "{}", typed(result, reloaded)),
        Command::Server(ServerCommand::Version {}) => writeln!(out, "meerkat {}", text(&result["version"])),
        Command::Server(ServerCommand::GetLoglevel {}) => {
            let level = parse_level(&text(result)).map(|level| level.to_string());
            writeln!(out, "{}", level.unwrap_or_else(|_| text(result)))
        }
        Command::Mam(MamCommand::Verify {}) => write!(out, "{}", typed(result, looked)),
        Command::Mam(MamCommand::Cold(ColdCommand::Verify {})) => write!(out, "{}", typed(result, looked_at)),
        Command::Upload(UploadCommand::Usage(_)) => writeln!(out, "{}", typed(result, usage)),
        Command::Events(EventsCommand::Status {}) => write!(out, "{}", typed(result, events)),
        Command::Stanza(_) => writeln!(out, "{}", sent(result)),
        _ => match result {
            Value::Array(several) => {
                several.iter().try_for_each(|one| writeln!(out, "{}", text(&one["message"])))
            }
            Value::Object(one) => writeln!(out, "{}", one.get("message").map(text).unwrap_or_default()),
            other => writeln!(out, "{}", text(other)),
        },
    }
}

/// An answer that says no: why. It is the exit code that scripts look at.
pub fn says_no(command: &Command, result: &Value) -> Option<String> {
    let no = match command {
        Command::Account(AccountCommand::CheckPassword(_)) => result["correct"] == false,
        Command::Account(AccountCommand::CheckUser(_)) => result["exist"] == false,
        Command::Mam(MamCommand::Verify {} | MamCommand::Cold(ColdCommand::Verify {})) => {
            result["faults"] != 0
        }
        Command::Server(ServerCommand::Reload {}) => {
            let refused: Vec<String> = result["refused"].as_array().into_iter().flatten().map(text).collect();
            return (!refused.is_empty()).then(|| refused.join("\n"));
        }
        _ => false,
    };
    no.then(|| text(&result["message"]))
}

/// Is there more to say than why not?
pub fn says_both(command: &Command) -> bool {
    matches!(
        command,
        Command::Server(ServerCommand::Reload {})
            | Command::Mam(MamCommand::Verify {} | MamCommand::Cold(ColdCommand::Verify {}))
    )
}

fn events(status: EventsStatus) -> String {
    let stream = match &status.trouble {
        None => "well".to_owned(),
        Some(trouble) => trouble.clone(),
    };
    let oldest = status.oldest.as_deref().unwrap_or("nothing");
    format!(
        "stream     {}\nis         {stream}\nrelayed by {}\noutbox     {} rows, {} of {} bytes (then: {}), the oldest of {oldest}\n\
         events     {} confirmed, {} thrown away, {} lost of those that may be\n",
        status.stream,
        if status.relays { "this server" } else { "another server, or nobody yet" },
        status.rows,
        status.bytes,
        status.max_bytes,
        status.when_full,
        status.confirmed,
        status.dropped,
        status.lost,
    )
}

fn counted(Counted { jid, domain, messages }: Counted) -> String {
    match domain {
        Some(domain) => format!("{domain}  {messages} in all"),
        None => format!("{}  {messages}", jid.unwrap_or_default()),
    }
}

fn looked_at(looked: LookedAt) -> String {
    let LookedAt { files, messages, entries, bytes, findings, faults, message } = looked;
    let seen = format!("{files} files, {bytes} bytes, {messages} messages, {entries} entries in archives");
    let mut lines = vec![seen];
    lines.extend(findings);
    // The reason of an exit code that says no is told apart.
    lines.extend((faults == 0).then_some(message));
    lines.push(String::new());
    lines.join("\n")
}

fn looked(Looked { verified, faults, message }: Looked) -> String {
    let mut lines = vec![format!(
        "{} messages, {} entries in archives, {} waiting",
        verified.messages, verified.archived, verified.waiting
    )];
    let found = [
        (verified.without_message, "entries whose message is not there"),
        (verified.without_entry, "messages that no entry needs"),
        (verified.not_named, "entries that their message does not name"),
        (verified.unreadable, "messages that cannot be read"),
        (verified.wrong_ids, "ids that do not increase"),
        (verified.out_of_order, "messages out of the order of time, which is no fault"),
    ];
    let found = found.iter().filter(|(count, _)| *count > 0);
    lines.extend(found.map(|(count, what)| format!("  {count} {what}")));
    if faults == 0 {
        lines.push(message);
    }
    lines.join("\n") + "\n"
}

fn status(status: Status) -> String {
    let Status { message, version, pid, uptime, .. } = &status;
    let mut lines = vec![format!("{message}, version {version}, process {pid}, up {}", duration(*uptime))];
    let mut line = |name: &str, value: &str| lines.push(format!("  {name:<10}{value}"));
    line("serves", &status.hosts.join(", "));
    for listener in &status.clients {
        let tls = listener.tls.parse().map(how).unwrap_or(&listener.tls);
        line("clients", &format!("{} ({tls})", address(&listener.address, place)));
    }
    for listener in &status.http {
        let tls = listener.tls.parse().unwrap_or(HttpTls::None);
        line("HTTP", &address(&listener.address, |address| url(address, tls)));
    }
    for address in &status.metrics {
        line("metrics", &format!("http://{}/metrics", self::address(address, reached)));
    }
    line("data", &status.data_dir);
    line("sessions", &status.sessions.to_string());
    line("ready", if status.ready { "yes" } else { "no" });
    for condition in status.conditions.iter().filter(|condition| !condition.ends_with(": good")) {
        line("", condition);
    }
    lines.join("\n") + "\n"
}

fn uploaded(file: Uploaded) -> String {
    let mut parts = vec![
        file.user.unwrap_or_else(|| "of nobody any more".to_owned()),
        format!("{:?}", file.file),
        format!("{} bytes", file.size),
    ];
    parts.extend(file.content_type);
    parts.push(format!("of {}", file.created));
    parts.extend(file.expires.map(|time| format!("until {time}")));
    parts.extend((!file.stored).then(|| "awaited".to_owned()));
    format!("{}  {}", file.name, parts.join(", "))
}

fn usage(usage: Usage) -> String {
    format!("{} files, {} bytes", usage.files, usage.bytes)
}

fn address(text: &str, show: impl FnOnce(&SocketAddr) -> String) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |address| show(&address))
}

fn session(session: Listed) -> String {
    let address = match session.ip.contains(':') {
        true => format!("[{}]:{}", session.ip, session.port),
        false => format!("{}:{}", session.ip, session.port),
    };
    let mut parts = vec![address];
    if session.connection == "c2s_tls" {
        parts.push("TLS".to_owned());
    }
    parts.push(session.mechanism);
    parts.push(match session.priority {
        Some(priority) => format!("priority {priority}"),
        None => "no presence".to_owned(),
    });
    parts.push(format!("for {}", duration(session.uptime)));
    match session.sleeping {
        true => parts.push(format!("waiting to be resumed, silent for {}", duration(session.idle))),
        false => parts.push(format!("silent for {}", duration(session.idle))),
    }
    if session.queued > 0 {
        parts.push(format!("{} stanzas queued", session.queued));
    }
    format!("{}  {}", session.user, parts.join(", "))
}

fn contact(contact: Contact) -> String {
    let mut parts = vec![
        match contact.subscription {
            Who::None => "subscription none",
            Who::To => "subscription to",
            Who::From => "subscription from",
            Who::Both => "subscription both",
        }
        .to_owned(),
    ];
    match contact.ask {
        Ask::None => {}
        Ask::In => parts.push("asks for it".to_owned()),
        Ask::Out => parts.push("was asked for it".to_owned()),
        Ask::Both => parts.push("asks and was asked for it".to_owned()),
    }
    if !contact.name.is_empty() {
        parts.push(format!("name {:?}", contact.name));
    }
    if !contact.groups.is_empty() {
        let groups: Vec<String> = contact.groups.iter().map(|group| format!("{group:?}")).collect();
        parts.push(format!("groups {}", groups.join(" ")));
    }
    format!("{}  {}", contact.jid, parts.join(", "))
}

fn reloaded(reloaded: Reloaded) -> String {
    let groups = [
        ("Applied:", &reloaded.applied),
        ("Applied to new connections:", &reloaded.new_connections),
        ("Needs a restart:", &reloaded.need_restart),
    ];
    if groups.iter().all(|(_, changes)| changes.is_empty()) {
        return "The configuration was read again; nothing in it has changed\n".to_owned();
    }
    let mut lines = Vec::new();
    for (title, changes) in groups {
        if !changes.is_empty() {
            lines.push(title.to_owned());
            lines.extend(changes.iter().map(change));
        }
    }
    lines.join("\n") + "\n"
}

fn change(Changed { key, old, new }: &Changed) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_owned());
    format!("  {key}: {} -> {}", shown(old), shown(new))
}

fn sent(result: &Value) -> String {
    if let Some(answer) = result["answer"].as_str() {
        return answer.to_owned();
    }
    match result["id"].as_str() {
        Some(id) => format!("Sent, with id {id}"),
        None => "Sent".to_owned(),
    }
}

/// In its largest unit.
fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A value that a newer server shapes in another way is shown as it is.
fn typed<'de, T: Deserialize<'de>>(value: &'de Value, show: impl FnOnce(T) -> String) -> String {
    T::deserialize(value).map_or_else(|_| format!("{value}\n"), show)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
