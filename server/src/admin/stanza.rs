//! `meerkatctl stanza ...`: stanzas in somebody's name, on the same way as everybody's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xmpp_core::{Element, Jid, Kind, Stanza, Type, ns};

use super::protocol::{Code, Refusal};
use super::{Admin, Answer, done, refusals};
use crate::directory::DirectoryError;
use crate::telemetry::bound::Bound;

#[derive(Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "camelCase")]
#[command(rename_all = "camelCase")]
pub enum StanzaCommand {
    /// Send a chat message
    SendMessage(SendMessage),
    /// Send a stanza as it is given, and print what a client answers to an IQ
    SendStanza(SendStanza),
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendMessage {
    /// In whose name: an account's address, with or without a resource, or a served domain
    #[arg(long, value_name = "JID")]
    pub from: String,
    /// To whom: an account's address, or a session's
    #[arg(long, value_name = "JID")]
    pub to: String,
    /// The text
    #[arg(long)]
    pub body: String,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendStanza {
    /// The XML of a message, presence or iq, with `from` and `to`; an IQ that asks goes to a session
    #[arg(long, value_name = "XML")]
    pub stanza: String,
}

#[derive(Serialize)]
struct Sent {
    /// The stanza's `id`.
    id: Option<String>,
    /// The stanza that a client answered an IQ with.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

impl StanzaCommand {
    pub(super) async fn run(self, admin: &Arc<Admin>) -> Answer {
        let stanza = match self {
            StanzaCommand::SendMessage(SendMessage { from, to, body }) => {
                let (from, to) = (refusals::address(&from)?, refusals::address(&to)?);
                let body = Element::new("body", ns::CLIENT).text(&body);
                let message = Stanza::message(Type::Chat).with_from(from).with_to(to).with_child(&body);
                let mut xml = Vec::new();
                message.write(&mut xml);
                // A text may have characters that XML has not.
                read(&xml, admin)?
            }
            StanzaCommand::SendStanza(SendStanza { stanza }) => read(stanza.trim().as_bytes(), admin)?,
        };
        let stanza = with_id(stanza);
        check_sender(admin, stanza.from.as_ref()).await?;
        check_recipient(admin, &stanza).await?;
        let id = stanza.id.as_deref().map(str::to_owned);
        if stanza.kind == Kind::Iq && matches!(stanza.type_, Type::Get | Type::Set) {
            let answer = Some(ask(admin, stanza).await?);
            return done(Sent { id, answer });
        }
        admin.node.router.send(stanza).await;
        done(Sent { id, answer: None })
    }
}

/// An IQ that asks is for a client: what the server itself would answer, it answers to clients.
async fn ask(admin: &Admin, iq: Stanza) -> Result<String, Refusal> {
    let bad = |why: &str| Err(Refusal::new(Code::BadStanza, why));
    let (Some(from), Some(to)) = (&iq.from, &iq.to) else { return bad("an IQ has `from` and `to`") };
    if from.resource().is_some() {
        return bad("the answer to an IQ comes back here only where its `from` has no resource");
    }
    let router = &admin.node.router;
    if to.local().is_none() || to.resource().is_none() {
        return bad("an IQ of type get or set is for a session: its `to` is user@domain/resource");
    }
    if router.session_at(to).is_none() {
        return Err(Refusal::new(Code::NotFound, format!("there is no session {to}")));
    }
    let (id, to) = (iq.id.clone().unwrap_or_default(), to.clone());
    match router.send_and_wait(iq).await {
        Some(answer) => {
            let mut xml = Vec::new();
            answer.with_id(&id).write(&mut xml);
            Ok(String::from_utf8_lossy(&xml).into_owned())
        }
        None => Err(Refusal::new(Code::Unavailable, format!("{to} did not answer"))),
    }
}

/// With the checks that a client's stanza goes through.
fn read(xml: &[u8], admin: &Admin) -> Result<Stanza, Refusal> {
    let most = admin.node.config().limits.stanza_bytes;
    if xml.len() as u64 > u64::from(most) {
        admin.node.metrics.refused(Bound::StanzaBytes);
        return Err(Refusal::new(Code::Limit, format!("a stanza has at most {most} bytes")));
    }
    Stanza::read(xml).map_err(|error| {
        let condition = error.condition.as_str();
        let why = error.text.map_or_else(|| condition.to_owned(), |text| format!("{condition}, {text}"));
        Refusal::new(Code::BadStanza, format!("this is no stanza that a client could send: {why}"))
    })
}

/// Messages and IQs are told apart by it.
fn with_id(stanza: Stanza) -> Stanza {
    match (stanza.kind, &stanza.id) {
        (Kind::Message | Kind::Iq, None) => stanza.with_id(&format!("{:016x}", rand::random::<u64>())),
        _ => stanza,
    }
}

/// One of ours: a served domain, or an account that is there.
async fn check_sender(admin: &Admin, from: Option<&Jid>) -> Result<(), Refusal> {
    let Some(from) = from else {
        return Err(Refusal::new(Code::BadStanza, "the stanza says in whose name it is sent, by `from`"));
    };
    check_account(admin, from).await
}

/// The router would refuse it to its sender; here that is the operator.
async fn check_recipient(admin: &Admin, stanza: &Stanza) -> Result<(), Refusal> {
    match &stanza.to {
        Some(to) => check_account(admin, to).await,
        None => Err(Refusal::new(Code::BadStanza, "the stanza says to whom it is sent, by `to`")),
    }
}

async fn check_account(admin: &Admin, jid: &Jid) -> Result<(), Refusal> {
    if !admin.node.router.is_served(jid.domain()) {
        return Err(DirectoryError::NotServed(jid.domain().to_owned()).into());
    }
    let bare = jid.bare();
    match jid.local() {
        None => Ok(()),
        Some(_) if admin.node.directory.find(&bare).await?.is_some() => Ok(()),
        Some(_) => Err(DirectoryError::Missing(bare).into()),
    }
}
