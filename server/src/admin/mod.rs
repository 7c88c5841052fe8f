//! The operator's commands: what `meerkatctl` may ask of a running server, and what the server answers.
//!
//! A command is a value of [`Command`]: its names and arguments are written once, as the words of the
//! command line and as those of the control socket. One file per category says what its commands do;
//! `protocol.rs` is what passes through the socket, `socket.rs` and `connection.rs` are the socket itself.
//! The other side is `ctl`.

pub mod account;
pub mod cold;
mod connection;
pub mod events;
pub mod export;
pub mod mam;
pub mod password;
pub mod protocol;
mod refusals;
mod reload;
pub mod roster;
pub mod server;
pub mod session;
pub mod socket;
pub mod stanza;
pub mod upload;
pub mod welcome;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::node::{Listening, Node};
use crate::telemetry::logging::Logging;
use connection::Output;
use protocol::Refusal;
use socket::ControlSocket;

/// The control socket's name in the data folder.
pub const SOCKET_NAME: &str = "ctl.sock";

/// Connections to the control socket at one time; one more is told to try again.
const CONNECTIONS: usize = 32;

#[derive(Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "camelCase")]
#[command(rename_all = "camelCase")]
pub enum Command {
    /// Accounts: make, change, check, list, ban, remove, import, export
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Sessions: list, count, end
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Contacts of an account: list, add, delete
    #[command(subcommand)]
    Roster(roster::RosterCommand),
    /// Archives of messages: look over, count, purge
    #[command(subcommand)]
    Mam(mam::MamCommand),
    /// The server: status, log level, configuration
    #[command(subcommand)]
    Server(server::ServerCommand),
    /// Stanzas in the name of an account or of the server
    #[command(subcommand)]
    Stanza(stanza::StanzaCommand),
    /// Uploaded files: test, list, remove, usage
    #[command(subcommand)]
    Upload(upload::UploadCommand),
    /// The event stream: status
    #[command(subcommand)]
    Events(events::EventsCommand),
}

/// What a command comes to: its result; or nothing, when its result was a list that has been given already.
type Answer = Result<Option<Value>, Refusal>;

/// What the commands work on.
pub struct Admin {
    node: Arc<Node>,
    logging: Arc<Logging>,
    listening: Listening,
    /// What `--config` said. The file is looked for again at each reload.
    config_option: Option<PathBuf>,
    /// What `--data` said, which goes before the file.
    data_option: Option<PathBuf>,
}

impl Admin {
    pub fn new(
        node: Arc<Node>,
        logging: Arc<Logging>,
        listening: Listening,
        config_option: Option<PathBuf>,
        data_option: Option<PathBuf>,
    ) -> Arc<Admin> {
        Arc::new(Admin { node, logging, listening, config_option, data_option })
    }

    /// Answers on the control socket until it is dropped.
    pub async fn serve(self: Arc<Self>, socket: ControlSocket) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let stream = match socket.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the control socket accepts nothing");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let (admin, place) = (self.clone(), places.clone().try_acquire_owned());
            tokio::spawn(async move {
                let served = match place {
                    Ok(_place) => connection::serve(admin, stream).await,
                    Err(_) => connection::refuse(stream).await,
                };
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection to the control socket broke");
                }
            });
        }
    }
}

impl Command {
    async fn run(self, admin: &Arc<Admin>, output: &mut Output) -> Answer {
        match self {
            Command::Account(command) => command.run(admin, output).await,
            Command::Session(command) => command.run(admin, output).await,
            Command::Roster(command) => command.run(admin, output).await,
            Command::Mam(command) => command.run(admin, output).await,
            Command::Server(command) => command.run(admin).await,
            Command::Stanza(command) => command.run(admin).await,
            Command::Upload(command) => command.run(admin, output).await,
            Command::Events(command) => command.run(admin).await,
        }
    }

    /// Is it the one behind which the server stops?
    fn stops_server(&self) -> bool {
        matches!(self, Command::Server(server::ServerCommand::Stop {}))
    }
}

/// A result that is there.
fn done(result: impl Serialize) -> Answer {
    let no_json = |error: serde_json::Error| Refusal::new(protocol::Code::Unavailable, error.to_string());
    serde_json::to_value(result).map(Some).map_err(no_json)
}

/// A list that has been given.
fn listed() -> Answer {
    Ok(None)
}

/// What became of one account or session.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    jid: String,
    message: String,
}
