//! How an actor comes in, comes back and goes: connections, logins, presence, resumption.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use server::config::TlsMode;
use tokio::time::sleep;

use super::perform::{Done, Performance, unexpected};
use crate::actor::{Managed, SM};
use crate::stage::PASSWORD;
use crate::xml::{self, Heard, Node, STREAM};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";

impl Performance {
    pub(super) fn open_connection(&mut self, name: &str, port: TlsMode, from: Option<IpAddr>) -> Done {
        let address = SocketAddr::new(from.unwrap_or(Ipv4Addr::new(192, 0, 2, 1).into()), 50000);
        let connection = self.stage.connect(address, port);
        self.role(name)?.connection = Some(connection);
        Ok(())
    }

    pub(super) async fn open_stream(&mut self, name: &str, to: Option<&str>) -> Done {
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

    pub(super) async fn authenticate(&mut self, name: &str) -> Done {
        let account = self.role(name)?.part.account.clone();
        let account = account.ok_or_else(|| format!("{name} has no account"))?;
        let local = account.split('@').next().unwrap_or_default();
        self.role(name)?.connection = None;
        self.open_stream(name, None).await?;
        self.element(name, "features", STREAM).await?;
        let plain = BASE64.encode(format!("\0{local}\0{PASSWORD}"));
        let auth = format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>");
        self.say(name, &auth).await?;
        self.element(name, "success", SASL).await?;
        self.open_stream(name, None).await?;
        self.element(name, "features", STREAM).await.map(drop)
    }

    /// A resource; its address becomes known as `{name}`. That it went well is all that is told of it.
    pub(super) async fn log_in(&mut self, name: &str) -> Done {
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
        self.say(name, &format!("<iq type='set' id='bind'><bind xmlns='{BIND}'>{resource}</bind></iq>"))
            .await?;
        let bound = self.element(name, "iq", xml::CLIENT).await?;
        let jid = bound.find("bind", BIND).and_then(|bind| bind.find("jid", BIND)).map(Node::text);
        jid.ok_or_else(|| format!("expected: an address\ngot:      {bound}"))
    }

    pub(super) async fn go_online(&mut self, name: &str, priority: Option<i8>) -> Done {
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

    pub(super) async fn enable_management(&mut self, name: &str, resume: bool) -> Done {
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
    pub(super) async fn request(&mut self, name: &str, type_: &str, payload: &str) -> Done {
        let id = format!("request{}", self.transcript.len());
        self.say(name, &format!("<iq type='{type_}' id='{id}'>{payload}</iq>")).await?;
        let iq = self.element(name, "iq", xml::CLIENT).await?;
        match (iq.attribute("type"), iq.attribute("id")) {
            (Some("result"), Some(answered)) if answered == id => Ok(()),
            _ => Err(format!("expected: the result of {payload}\ngot:      {iq}")),
        }
    }

    pub(super) async fn log_out(&mut self, name: &str) -> Done {
        self.say(name, "</stream:stream>").await?;
        self.until_the_end(name).await
    }

    /// On a new connection, in the place of the old one.
    pub(super) async fn resume(&mut self, name: &str, h: Option<u32>) -> Done {
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

    pub(super) async fn acknowledge(&mut self, name: &str, h: Option<u32>) -> Done {
        let managed = self.role(name)?.managed.as_ref();
        let managed = managed.ok_or_else(|| format!("{name} has not enabled stream management"))?;
        let h = h.unwrap_or(managed.received);
        self.say(name, &format!("<a xmlns='{SM}' h='{h}'/>")).await
    }
}
