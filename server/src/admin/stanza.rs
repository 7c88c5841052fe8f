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
    /// Send a stanza as it is given
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
    /// The XML of a message, presence or iq, with `from` and `to`
    #[arg(long, value_name = "XML")]
    pub stanza: String,
}

#[derive(Serialize)]
struct Sent {
    /// The stanza's `id`.
    id: Option<String>,
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
        admin.node.router.send(stanza).await;
        done(Sent { id })
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
