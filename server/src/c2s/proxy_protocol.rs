//! The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): where a connection really comes from.
//!
//! It is believed from named proxies alone, and these must send it. From anybody else a header is what it looks
//! like, bytes that begin no stream.
//!
//! | version 1 | |
//! |---|---|
//! | `PROXY TCP4 192.0.2.1 192.0.2.2 40000 5222\r\n` | source, destination, their ports; or `TCP6` |
//! | `PROXY UNKNOWN ...\r\n` | nothing that could be told |
//!
//! | version 2, bytes | |
//! |---|---|
//! | 12 | signature |
//! | 1 | 0x20 LOCAL, the proxy speaks for itself; 0x21 PROXY |
//! | 1 | 0x00 unspecified, 0x11 TCP over IPv4, 0x21 TCP over IPv6, 0x31 a Unix stream |
//! | 2 | length of the rest, big-endian |
//! | 12 or 36 | source, destination, their ports |
//! | n | type (1), length (2), value, repeated |

mod checksum;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Network;

/// A proxy sends its header with its first segment.
const HEADER_WAIT: Duration = Duration::from_secs(5);

const SIGNATURE_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Section 2.1: the longest line, its end included.
const LINE_MAX_BYTES: usize = 107;
/// What follows the first 16 bytes of version 2: addresses, and what a proxy tells of TLS and the like.
const REST_MAX_BYTES: usize = 4096;

/// Bytes that any header has, and no more than the shortest one.
const BEGIN_BYTES: usize = SIGNATURE_V2.len();

/// Why a connection from a named proxy is refused.
#[derive(Debug)]
pub enum ProxyError {
    /// The header did not come in time.
    TimedOut,
    /// The proxy closed the connection before the header was whole.
    Closed,
    /// The connection broke.
    Io(io::Error),
    /// It began with something else.
    Missing,
    /// A header that is longer than any.
    TooLong,
    /// A version, command, family or protocol that does not exist or cannot be a TCP connection.
    Unsupported,
    /// It is not as the protocol wants it.
    Malformed,
    /// The checksum that it carries is that of another header.
    Checksum,
}

impl std::error::Error for ProxyError {}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProxyError::TimedOut => "the PROXY header did not come in time",
            ProxyError::Closed => "the connection was closed before the PROXY header was whole",
            ProxyError::Io(error) => {
                return write!(f, "the connection broke before the PROXY header: {error}");
            }
            ProxyError::Missing => "the connection of a proxy began without a PROXY header",
            ProxyError::TooLong => "the PROXY header is too long",
            ProxyError::Unsupported => "the PROXY header speaks of something that is no TCP connection",
            ProxyError::Malformed => "the PROXY header is malformed",
            ProxyError::Checksum => "the PROXY header has a wrong checksum",
        })
    }
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ProxyError::Closed,
            _ => ProxyError::Io(error),
        }
    }
}

/// The connection behind its header, if one is due from this peer, and where it comes from. No byte behind the
/// header is read.
pub async fn receive(
    mut stream: TcpStream,
    peer: SocketAddr,
    proxies: &[Network],
) -> Result<(TcpStream, SocketAddr), ProxyError> {
    if !proxies.iter().any(|proxy| proxy.contains(peer.ip())) {
        return Ok((stream, peer));
    }
    let source = timeout(HEADER_WAIT, read_header(&mut stream)).await.map_err(|_| ProxyError::TimedOut)??;
    Ok((stream, source.unwrap_or(peer)))
}

/// `None`: the proxy speaks for itself, or cannot tell.
async fn read_header(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let mut begin = [0; BEGIN_BYTES];
    let mut filled = 0;
    while filled < BEGIN_BYTES {
        match stream.read(&mut begin[filled..]).await? {
            0 => return Err(ProxyError::Closed),
            read => filled += read,
        }
        // One who sends something else is not waited for.
        if !may_begin(&begin[..filled]) {
            return Err(ProxyError::Missing);
        }
    }
    if begin == *SIGNATURE_V2 { read_v2(stream).await } else { read_v1(stream, &begin).await }
}

fn may_begin(bytes: &[u8]) -> bool {
    let agree = |signature: &[u8]| bytes.iter().zip(signature).all(|(byte, wanted)| byte == wanted);
    agree(SIGNATURE_V1) || agree(SIGNATURE_V2)
}

async fn read_v1(stream: &mut TcpStream, begin: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let mut line = begin.to_vec();
    // Bytes are looked at before they are taken, so that none behind the line is.
    while line.last() != Some(&b'\n') {
        let mut seen = [0; LINE_MAX_BYTES];
        let room = LINE_MAX_BYTES - line.len();
        if room == 0 {
            return Err(ProxyError::TooLong);
        }
        let length = stream.peek(&mut seen[..room]).await?;
        let seen = &mut seen[..length];
        let take = seen.iter().position(|byte| *byte == b'\n').map_or(length, |end| end + 1);
        if take == 0 {
            return Err(ProxyError::Closed);
        }
        stream.read_exact(&mut seen[..take]).await?;
        line.extend_from_slice(&seen[..take]);
    }
    parse_v1(&line)
}

async fn read_v2(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if length > REST_MAX_BYTES {
        return Err(ProxyError::TooLong);
    }
    let mut header = [&SIGNATURE_V2[..], &fixed].concat();
    let begin = header.len();
    header.resize(begin + length, 0);
    stream.read_exact(&mut header[begin..]).await?;
    parse_v2(&header)
}

/// A line with its end.
fn parse_v1(line: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let line = line.strip_suffix(b"\r\n").ok_or(ProxyError::Malformed)?;
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        // Section 2.1: whatever follows is ignored.
        [_, "UNKNOWN", ..] => Ok(None),
        [_, family, source, destination, source_port, destination_port] => {
            address(family, destination)?;
            port(destination_port)?;
            Ok(Some(SocketAddr::new(address(family, source)?, port(source_port)?)))
        }
        _ => Err(ProxyError::Malformed),
    }
}

fn address(family: &str, text: &str) -> Result<IpAddr, ProxyError> {
    match family {
        "TCP4" => text.parse().map(IpAddr::V4).map_err(|_| ProxyError::Malformed),
        "TCP6" => text.parse().map(IpAddr::V6).map_err(|_| ProxyError::Malformed),
        _ => Err(ProxyError::Unsupported),
    }
}

/// Section 2.1: decimal, without leading zeros or signs.
fn port(text: &str) -> Result<u16, ProxyError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(ProxyError::Malformed)
}

/// A whole header, of which signature and length are right.
fn parse_v2(header: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let [command, family, _, _, rest @ ..] = &header[SIGNATURE_V2.len()..] else {
        return Err(ProxyError::Malformed);
    };
    match command {
        // Section 2.2: whatever is in it is passed over.
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(ProxyError::Unsupported),
    }
    let (source, values) = match family {
        0x00 => return Ok(None),
        0x11 => {
            let (addresses, values) = rest.split_first_chunk::<12>().ok_or(ProxyError::Malformed)?;
            let [a, b, c, d, _, _, _, _, port_high, port_low, _, _] = *addresses;
            let source = IpAddr::from(Ipv4Addr::new(a, b, c, d));
            (Some((source, u16::from_be_bytes([port_high, port_low]))), values)
        }
        0x21 => {
            let (addresses, values) = rest.split_first_chunk::<36>().ok_or(ProxyError::Malformed)?;
            let (source, rest) = addresses.split_first_chunk::<16>().ok_or(ProxyError::Malformed)?;
            let port = u16::from_be_bytes([rest[16], rest[17]]);
            (Some((IpAddr::from(Ipv6Addr::from(*source)), port)), values)
        }
        // A client on the proxy's own machine: it has no address but the proxy's.
        0x31 => (None, rest.get(216..).ok_or(ProxyError::Malformed)?),
        _ => return Err(ProxyError::Unsupported),
    };
    checksum::verify(header, values)?;
    Ok(source.map(|(address, port)| SocketAddr::new(address, port)))
}
