//! Performs a play: who does what, on a stage of its own, in paused time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use server::config::{self, Config, TlsMode};
use server::storage::Subscription;
use tokio::time::{Instant, sleep};
use xmpp_core::BareJid;

use super::step::{Act, Block, How, OnServer, OnStore, Step};
use super::words::{Known, fill, unescape};
use super::{Failure, Line, Part, Play};
use crate::actor::{Connection, Managed, SM};
use crate::stage::{PASSWORD, Stage};
use crate::xml::{self, Heard, Node, STREAM};

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
    let nowhere = Line { number: play.config.0.max(1), text: "the stage".into(), step: Step::Time(Duration::ZERO) };
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
            Act::FetchBlockList => {
                self.request(name, "get", "<blocklist xmlns='urn:xmpp:blocking'/>").await
            }
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

    fn open_connection(&mut self, name: &str, port: TlsMode, from: Option<IpAddr>) -> Done {
        let address = SocketAddr::new(from.unwrap_or(Ipv4Addr::new(192, 0, 2, 1).into()), 50000);
        let connection = self.stage.connect(address, port);
        self.role(name)?.connection = Some(connection);
        Ok(())
    }

    async fn open_stream(&mut self, name: &str, to: Option<&str>) -> Done {
        if self.role(name)?.connection.is_none() {
            self.open_connection(name, TlsMode::None, None)?;
        }
        let account = self.role(name)?.part.account.clone();
        let domain = account.as_deref().and_then(|a| a.split_once('@')).map_or("localhost", |(_, d)| d);
        let to = to.unwrap_or(domain).to_owned();
        self.connection(name)?.restart();
        let header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{STREAM}' to='{to}' version='1.0'>"
        );
        self.say(name, &header).await?;
        match self.next(name).await? {
            Some(Heard::Header(_)) => Ok(()),
            other => Err(unexpected("the header of a stream", other.as_ref())),
        }
    }

    async fn authenticate(&mut self, name: &str) -> Done {
        let account = self.role(name)?.part.account.clone();
        let account = account.ok_or_else(|| format!("{name} has no account"))?;
        let local = account.split('@').next().unwrap_or_default();
        self.role(name)?.connection = None;
        self.open_stream(name, None).await?;
        self.element(name, "features", STREAM).await?;
        let plain = BASE64.encode(format!("\0{local}\0{PASSWORD}"));
        let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>");
        self.say(name, &auth).await?;
        self.element(name, "success", "urn:ietf:params:xml:ns:xmpp-sasl").await?;
        self.open_stream(name, None).await?;
        self.element(name, "features", STREAM).await.map(drop)
    }

    /// A resource; its address becomes known as `{name}`. That it went well is all that is told of it.
    async fn log_in(&mut self, name: &str) -> Done {
        let told = self.transcript.len();
        self.authenticate(name).await?;
        let jid = self.bind(name).await?;
        self.transcript.truncate(told);
        self.note(name, ">", &format!("(connects as {jid})"));
        self.known.insert(name.to_owned(), jid);
        Ok(())
    }

    async fn bind(&mut self, name: &str) -> Result<String, String> {
        let role = self.role(name)?;
        role.managed = None;
        let resource = role.part.resource.as_ref();
        let resource = resource.map(|r| format!("<resource>{r}</resource>")).unwrap_or_default();
        const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
        self.say(name, &format!("<iq type='set' id='bind'><bind xmlns='{BIND}'>{resource}</bind></iq>")).await?;
        let bound = self.element(name, "iq", xml::CLIENT).await?;
        let jid = bound.find("bind", BIND).and_then(|bind| bind.find("jid", BIND)).map(Node::text);
        jid.ok_or_else(|| format!("expected: an address\ngot:      {bound}"))
    }

    async fn go_online(&mut self, name: &str, priority: Option<i8>) -> Done {
        if self.role(name)?.connection.is_none() {
            self.log_in(name).await?;
        }
        let priority = priority.map(|p| format!("<priority>{p}</priority>")).unwrap_or_default();
        self.say(name, &format!("<presence>{priority}</presence>")).await?;
        sleep(Duration::from_millis(1)).await;
        // Everybody who is there may have heard of it. What is not presence stays.
        let names: Vec<String> = self.roles.keys().cloned().collect();
        for name in names {
            self.pass_over_presence(&name).await?;
        }
        Ok(())
    }

    async fn enable_management(&mut self, name: &str, resume: bool) -> Done {
        let wanted = if resume { " resume='true'" } else { "" };
        self.say(name, &format!("<enable xmlns='{SM}'{wanted}/>")).await?;
        let enabled = self.element(name, "enabled", SM).await?;
        let id = enabled.attribute("id").map(str::to_owned);
        if resume && id.is_none() {
            return Err(format!("expected: an id to resume by\ngot:      {enabled}"));
        }
        self.known.insert(format!("{name}.sm"), id.clone().unwrap_or_default());
        self.role(name)?.managed = Some(Managed { id, sent: 0, received: 0 });
        Ok(())
    }

    /// An IQ that must be answered with a result.
    async fn request(&mut self, name: &str, type_: &str, payload: &str) -> Done {
        let id = format!("request{}", self.transcript.len());
        self.say(name, &format!("<iq type='{type_}' id='{id}'>{payload}</iq>")).await?;
        let iq = self.element(name, "iq", xml::CLIENT).await?;
        match (iq.attribute("type"), iq.attribute("id")) {
            (Some("result"), Some(answered)) if answered == id => Ok(()),
            _ => Err(format!("expected: the result of {payload}\ngot:      {iq}")),
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

    async fn log_out(&mut self, name: &str) -> Done {
        self.say(name, "</stream:stream>").await?;
        self.until_the_end(name).await
    }

    /// On a new connection, in the place of the old one.
    async fn resume(&mut self, name: &str, h: Option<u32>) -> Done {
        let managed = self.role(name)?.managed.clone();
        let managed = managed.ok_or_else(|| format!("{name} has not enabled resumption"))?;
        let id = managed.id.ok_or_else(|| format!("{name} has not enabled resumption"))?;
        self.authenticate(name).await?;
        let h = h.unwrap_or(managed.received);
        self.say(name, &format!("<resume xmlns='{SM}' previd='{id}' h='{h}'/>")).await?;
        let resumed = self.element(name, "resumed", SM).await?;
        let sent = managed.sent.to_string();
        if resumed.attribute("previd") != Some(&id) || resumed.attribute("h") != Some(&sent) {
            return Err(format!("expected: previd='{id}' and h='{sent}'\ngot:      {resumed}"));
        }
        // What is sent again is counted when it is received again.
        if let Some(managed) = &mut self.role(name)?.managed {
            managed.received = h;
        }
        Ok(())
    }

    async fn acknowledge(&mut self, name: &str, h: Option<u32>) -> Done {
        let managed = self.role(name)?.managed.as_ref();
        let managed = managed.ok_or_else(|| format!("{name} has not enabled stream management"))?;
        let h = h.unwrap_or(managed.received);
        self.say(name, &format!("<a xmlns='{SM}' h='{h}'/>")).await
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
