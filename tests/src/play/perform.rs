//! Performs a play: who does what, on a stage of its own, in paused time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use server::config::{self, Config};
use server::storage::Subscription;
use tokio::time::{Instant, sleep};
use xmpp_core::BareJid;

use super::step::{Act, Block, How, OnServer, OnStore, Step};
use super::words::{Known, fill, unescape};
use super::{Failure, Line, Part, Play};
use crate::actor::{Connection, Managed};
use crate::stage::Stage;
use crate::xml::{self, Heard};

/// Lines of the transcript that a failure shows.
const SHOWN_LINES: usize = 40;

/// An actor's part, and where he is in it.
pub(super) struct Role {
    pub(super) part: Part,
    pub(super) connection: Option<Connection>,
    pub(super) managed: Option<Managed>,
    pub(super) ignores_presence: bool,
    pub(super) disregards: bool,
}

pub(super) struct Performance {
    pub(super) stage: Stage,
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) known: Known,
    pub(super) transcript: Vec<String>,
    began: Instant,
}

pub(super) type Done = Result<(), String>;

pub(super) async fn perform(play: &Play) -> Result<(), Failure> {
    let nowhere =
        Line { number: play.config.0.max(1), text: "the stage".into(), step: Step::Time(Duration::ZERO) };
    let mut performance =
        Performance::begin(play).await.map_err(|reason| failure(play, &nowhere, reason, &[]))?;
    for line in &play.lines {
        if let Err(reason) = performance.step(&line.step).await {
            return Err(failure(play, line, reason, &performance.transcript));
        }
    }
    let end = Line { number: play.lines.last().map_or(1, |l| l.number), text: "the end".into(), ..nowhere };
    let ended = performance.nobody_heard_more().await;
    ended.map_err(|reason| failure(play, &end, reason, &performance.transcript))
}

fn failure(play: &Play, line: &Line, reason: String, transcript: &[String]) -> Failure {
    let shown = transcript.len().saturating_sub(SHOWN_LINES);
    Failure {
        file: play.file.clone(),
        line: line.number,
        text: line.text.clone(),
        reason,
        transcript: transcript[shown..].to_vec(),
    }
}

impl Performance {
    async fn begin(play: &Play) -> Result<Performance, String> {
        let stage = Stage::new(configuration(&play.config.1)?).await?;
        let mut roles = BTreeMap::new();
        for part in &play.cast {
            if let Some(account) = &part.account {
                let account = bare(account)?;
                // Several parts may be played by one account.
                let known = roles.values().any(|r: &Role| r.part.account == part.account);
                if !known {
                    stage.create_account(&account).await?;
                }
            }
            let role = Role {
                part: part.clone(),
                connection: None,
                managed: None,
                ignores_presence: false,
                disregards: false,
            };
            roles.insert(part.name.clone(), role);
        }
        let began = Instant::now();
        Ok(Performance { stage, roles, known: Known::new(), transcript: Vec::new(), began })
    }

    async fn step(&mut self, step: &Step) -> Done {
        match step {
            Step::Act { who, act } => {
                for name in who {
                    self.act(name, act).await?;
                }
            }
            Step::Friends(names) => {
                for (owner, contact) in names.iter().flat_map(|a| names.iter().map(move |b| (a, b))) {
                    if owner != contact {
                        self.put_contact(owner, contact, Subscription::Both).await?;
                    }
                }
            }
            Step::Know { owner, contact, subscription } => {
                self.put_contact(owner, contact, *subscription).await?;
                if *subscription == Subscription::To {
                    self.put_contact(contact, owner, Subscription::From).await?;
                }
            }
            Step::Time(time) => sleep(*time).await,
            Step::Store(what) => self.on_store(what)?,
            Step::Server(what) => self.on_server(what).await?,
        }
        // Time stands still until nobody has anything left to do: what was said has reached its end.
        sleep(Duration::from_millis(1)).await;
        Ok(())
    }

    async fn put_contact(&self, owner: &str, contact: &str, subscription: Subscription) -> Done {
        let account = |name: &str| {
            let account = self.roles.get(name).and_then(|role| role.part.account.as_deref());
            bare(account.ok_or_else(|| format!("{name} has no account"))?)
        };
        self.stage.put_contact(&account(owner)?, &account(contact)?, subscription).await
    }

    fn on_store(&mut self, what: &OnStore) -> Done {
        let store = &self.stage.store;
        match what {
            OnStore::FailWrites(error) => store.fail_writes(error.clone()),
            OnStore::FailReads(error) => store.fail_reads(error.clone()),
            OnStore::Take(time) => store.delay(*time),
            OnStore::TakeToRead(time) => store.delay_reads(*time),
            OnStore::Heal => store.heal(),
            OnStore::Holds(count) => {
                let holds = store.count_messages();
                if holds != *count {
                    return Err(format!("expected: {count} messages\ngot:      {holds}"));
                }
            }
        }
        Ok(())
    }

    async fn on_server(&mut self, what: &OnServer) -> Done {
        match what {
            OnServer::Stop => {
                let node = self.stage.node.clone();
                tokio::spawn(async move { node.stop().await });
            }
            OnServer::StartAgain => self.stage.restart().await?,
            OnServer::Counts(block) => return counts(&self.stage.node.metrics.text(), &block.text),
            OnServer::Reload(block) => drop(self.stage.node.reload(configuration(&block.text)?)),
        }
        Ok(())
    }

    async fn act(&mut self, name: &str, act: &Act) -> Done {
        match act {
            Act::OpenConnection { port, from } => self.open_connection(name, *port, *from),
            Act::OpenStream { to } => self.open_stream(name, to.as_deref()).await,
            Act::RestartStream { block, how } => {
                self.connection(name)?.restart();
                self.send(name, block, *how).await
            }
            Act::Authenticate => self.authenticate(name).await,
            Act::Connect => self.log_in(name).await,
            Act::BeOnline { priority } => self.go_online(name, *priority).await,
            Act::EnableManagement { resume } => self.enable_management(name, *resume).await,
            Act::EnableCarbons => self.request(name, "set", "<enable xmlns='urn:xmpp:carbons:2'/>").await,
            Act::FetchRoster => self.request(name, "get", "<query xmlns='jabber:iq:roster'/>").await,
            Act::FetchBlockList => self.request(name, "get", "<blocklist xmlns='urn:xmpp:blocking'/>").await,
            Act::Send { block, how } => self.send(name, block, *how).await,
            Act::Receive { patterns, mode } => self.receive(name, patterns, *mode).await,
            Act::ReceiveNothing => self.receive_nothing(name).await,
            Act::ReceiveHeader { pattern } => self.receive_header(name, pattern).await,
            Act::Disregard => {
                self.role(name)?.disregards = true;
                Ok(())
            }
            Act::IgnorePresence => {
                self.role(name)?.ignores_presence = true;
                Ok(())
            }
            Act::Cut => {
                self.note(name, ">", "(cuts the connection)");
                self.role(name)?.connection = None;
                Ok(())
            }
            Act::CloseStream => self.say(name, "</stream:stream>").await,
            Act::LogOut => self.log_out(name).await,
            Act::Resume { h } => self.resume(name, *h).await,
            Act::Acknowledge { h } => self.acknowledge(name, *h).await,
            Act::StreamEnds { with } => self.stream_ends(name, with.as_deref()).await,
            Act::ConnectionEnds => self.connection_ends(name).await,
            Act::BeDisconnected => self.until_the_end(name).await,
        }
    }

    async fn send(&mut self, name: &str, block: &Block, how: How) -> Done {
        match how {
            How::AsItStands => {
                let text = fill(&block.text, &self.known)?;
                self.say(name, &text).await
            }
            How::Times(times) => {
                let mut text = String::new();
                for n in 1..=times {
                    self.known.insert("n".into(), n.to_string());
                    text.push_str(&fill(&block.text, &self.known)?);
                }
                self.say(name, &text).await
            }
            How::ByteByByte => {
                let text = fill(&block.text, &self.known)?;
                self.note(name, ">", &text);
                for byte in text.as_bytes() {
                    self.connection(name)?.send(&[*byte]).await?;
                    sleep(Duration::from_millis(1)).await;
                }
                Ok(())
            }
            How::Raw => {
                let text = fill(&block.text, &self.known)?.replace('\n', "");
                self.note(name, ">", &text);
                let bytes = unescape(&text)?;
                self.connection(name)?.send(&bytes).await
            }
        }
    }

    /// Says it on his connection, and counts what XEP-0198 counts.
    pub(super) async fn say(&mut self, name: &str, text: &str) -> Done {
        self.note(name, ">", text);
        let stanzas = xml::elements(text).unwrap_or_default();
        let stanzas = stanzas.iter().filter(|node| node.is_stanza()).count() as u32;
        let role = self.role(name)?;
        if let Some(managed) = &mut role.managed {
            managed.sent += stanzas;
        }
        let connection = role.connection.as_ref().ok_or_else(|| format!("{name} is not connected"))?;
        connection.send(text.as_bytes()).await
    }

    pub(super) fn role(&mut self, name: &str) -> Result<&mut Role, String> {
        self.roles.get_mut(name).ok_or_else(|| format!("{name} is not in the cast"))
    }

    pub(super) fn connection(&mut self, name: &str) -> Result<&mut Connection, String> {
        let connection = self.role(name)?.connection.as_mut();
        connection.ok_or_else(|| format!("{name} is not connected"))
    }

    pub(super) fn note(&mut self, name: &str, direction: &str, text: &str) {
        let at = self.began.elapsed().as_millis();
        let mut text = text.to_owned();
        if text.len() > 400 {
            let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= 400).last();
            text.truncate(end.unwrap_or(0));
            text.push_str("..");
        }
        self.transcript.push(format!("{:>4}.{:03} {name} {direction} {text}", at / 1000, at % 1000));
    }
}

/// Each of these series has its value; what is not listed of a metric that is has not been counted.
fn counts(page: &str, expected: &str) -> Done {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let metric = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
    let metrics: Vec<String> = expected.iter().map(|line| metric(line)).collect();
    let of_these = page.lines().filter(|line| metrics.contains(&metric(line)));
    let got: Vec<&str> = of_these.filter(|line| !line.ends_with(" 0")).collect();
    let missing = expected.iter().any(|line| !line.ends_with(" 0") && !got.contains(line));
    match missing || got.iter().any(|line| !expected.contains(line)) {
        true => Err(format!("expected: {}\ngot:      {}", expected.join(", "), got.join(", "))),
        false => Ok(()),
    }
}

pub(super) fn unexpected(expected: &str, got: Option<&Heard>) -> String {
    let got = got.map_or("nothing".to_owned(), Heard::to_string);
    format!("expected: {expected}\ngot:      {got}")
}

fn bare(address: &str) -> Result<BareJid, String> {
    BareJid::parse(address).map_err(|error| format!("{address}: {error:?}"))
}

fn configuration(toml: &str) -> Result<Config, String> {
    config::parse(toml, Path::new("the play's configuration"), &[]).map_err(|problems| problems.to_string())
}
