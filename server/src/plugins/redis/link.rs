//! The connections to one Redis, or to the servers of one Redis Cluster.
//!
//! They are made once and never mended: what is known of them (which process is at the other end, which slots it
//! serves) holds for as long as they do. When one of them breaks or a server says that a slot is elsewhere, all are
//! given up and others are made.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, FromRedisValue, InfoDict,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, Script, TlsCertificates, Value, cmd,
};
use sha2::{Digest, Sha256};

use super::Options;
use crate::storage::cache::Identity;
use crate::storage::{InState, Plugin, Pooled, Watch};

/// How long making a connection may take, and a command for which nobody waits.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Commands on their way to a connection; more wait for these, within their time limit.
const PIPELINE: usize = 1_024;
const SLOTS: u16 = 16_384;

pub struct Link {
    pub identity: Identity,
    /// One, or one for each primary of a cluster.
    pub servers: Vec<MultiplexedConnection>,
    /// First slot, last slot, place in `servers`. Empty without a cluster.
    slots: Vec<(u16, u16, usize)>,
    /// They are counted for as long as they are there.
    _counted: Vec<InState>,
}

impl Link {
    pub async fn connect(options: &Options, scripts: &[&Script]) -> Result<Link, String> {
        let mut error = "there is no server".to_owned();
        for (host, port) in &options.url.servers {
            let connected = async {
                let first = connect(options, host, *port).await?;
                let mut link = match options.cluster {
                    true => Link::cluster(options, host, first).await?,
                    false => Link::alone(first).await?,
                };
                for server in &mut link.servers {
                    for script in scripts {
                        script.prepare_invoke().load_async(server).await?;
                    }
                }
                Ok::<Link, RedisError>(link)
            };
            match tokio::time::timeout(CONNECT_LIMIT, connected).await {
                Ok(Ok(mut link)) => {
                    let watch: Arc<dyn Watch> = options.watch.clone();
                    let counted = |_| InState::new(&watch, Plugin::Redis, Pooled::InUse);
                    link._counted = link.servers.iter().map(counted).collect();
                    return Ok(link);
                }
                Ok(Err(why)) => error = format!("{host}:{port}: {why}"),
                Err(_) => error = format!("{host}:{port}: no answer within {} s", CONNECT_LIMIT.as_secs()),
            }
        }
        Err(error)
    }

    async fn alone(mut server: MultiplexedConnection) -> Result<Link, RedisError> {
        let identity = identity(&[run_id(&mut server).await?]);
        Ok(Link { identity, servers: vec![server], slots: Vec::new(), _counted: Vec::new() })
    }

    async fn cluster(
        options: &Options,
        seed: &str,
        first: MultiplexedConnection,
    ) -> Result<Link, RedisError> {
        let mut first = first;
        let ranges: Vec<Vec<Value>> = cmd("CLUSTER").arg("SLOTS").query_async(&mut first).await?;
        let (mut slots, mut places, mut servers, mut ids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for range in ranges {
            let Some((from, to, host, port)) = parse_range(&range, seed) else {
                return Err(failure("its answer to CLUSTER SLOTS is not understood"));
            };
            let place = (host, port);
            let index = match places.iter().position(|known| *known == place) {
                Some(index) => index,
                None => {
                    let mut server = connect(options, &place.0, place.1).await?;
                    ids.push(run_id(&mut server).await?);
                    servers.push(server);
                    places.push(place);
                    places.len() - 1
                }
            };
            slots.push((from, to, index));
        }
        let served: u32 = slots.iter().map(|(from, to, _)| u32::from(*to) + 1 - u32::from(*from)).sum();
        if served != u32::from(SLOTS) {
            return Err(failure("the cluster does not serve all slots"));
        }
        ids.sort_unstable();
        Ok(Link { identity: identity(&ids), servers, slots, _counted: Vec::new() })
    }

    /// The connection to the server that has the key.
    pub fn server(&self, key: &str) -> Option<MultiplexedConnection> {
        if self.slots.is_empty() {
            return self.servers.first().cloned();
        }
        let slot = slot(key);
        let found = self.slots.iter().find(|(from, to, _)| (*from..=*to).contains(&slot));
        found.and_then(|(_, _, index)| self.servers.get(*index)).cloned()
    }
}

async fn connect(options: &Options, host: &str, port: u16) -> Result<MultiplexedConnection, RedisError> {
    let host = host.to_owned();
    let address = match options.url.tls {
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    };
    let mut settings = RedisConnectionInfo::default().set_db(options.url.database.into());
    if let Some(user) = &options.url.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &options.url.password {
        settings = settings.set_password(password);
    }
    let info: ConnectionInfo = address.into_connection_info()?.set_redis_settings(settings);
    let client = match &options.authority {
        Some(authority) if options.url.tls => {
            let root_cert = Some(authority.clone());
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })?
        }
        _ => Client::open(info)?,
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_LIMIT))
        .set_response_timeout(Some(CONNECT_LIMIT))
        .set_pipeline_buffer_size(PIPELINE);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A number that a Redis process draws when it starts.
async fn run_id(server: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let info: InfoDict = cmd("INFO").arg("server").query_async(server).await?;
    info.get("run_id").ok_or_else(|| failure("its answer to INFO has no run_id"))
}

fn identity(run_ids: &[String]) -> Identity {
    let digest = Sha256::digest(run_ids.join(" "));
    let (first, _) = digest.split_at(8);
    Identity(first.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// First slot, last slot, and the primary's address, which is left out where it is the one that was asked.
fn parse_range(range: &[Value], seed: &str) -> Option<(u16, u16, String, u16)> {
    let [from, to, Value::Array(primary), ..] = range else { return None };
    let number = |value: &Value| u16::from_redis_value_ref(value).ok();
    let [host, port, ..] = primary.as_slice() else { return None };
    let host: Option<String> = FromRedisValue::from_redis_value_ref(host).ok()?;
    let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| seed.to_owned());
    let (from, to, port) = (number(from)?, number(to)?, number(port)?);
    (from <= to && to < SLOTS).then_some((from, to, host, port))
}

/// Of a key, or of what is between its first braces (the cluster specification, "Hash tags").
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    // CRC-16 of XMODEM.
    let crc = hashed.bytes().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    });
    crc % SLOTS
}

fn failure(why: &'static str) -> RedisError {
    RedisError::from((redis::ErrorKind::Client, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cluster specification, "Keys distribution model" and "Hash tags".
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(slot("foo{{bar}}zap"), slot("{bar"));
        assert_ne!(slot("foo{}{bar}"), slot("bar"));
    }
}
