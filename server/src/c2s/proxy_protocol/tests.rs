use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;

const STREAM: &[u8] = b"<?xml version='1.0'?><stream:stream to='montague.example'>";

fn v2(command: u8, family: u8, addresses: &[u8], values: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len() + values.len()).unwrap().to_be_bytes();
    [&SIGNATURE_V2[..], &[command, family], &length, addresses, values].concat()
}

const ADDRESSES_V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x9C, 0x40, 0x14, 0x66];
const SOURCE_V4: &str = "192.0.2.7:40000";

fn addresses_v6() -> Vec<u8> {
    let octets = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    let ports = [0x9C, 0x40, 0x14, 0x66];
    [&octets("2001:db8::7")[..], &octets("2001:db8::1"), &ports].concat()
}

fn all_good() -> Vec<(Vec<u8>, Option<&'static str>)> {
    // ALPN, authority, NOOP, TLS with its version and name inside, an unknown one.
    let values = [
        &[0x01, 0, 11][..],
        b"xmpp-client",
        &[0x02, 0, 16],
        b"montague.example",
        &[0x04, 0, 2, 0, 0],
        &[0x20, 0, 15, 1, 0, 0, 0, 0, 0x21, 0, 7],
        b"TLSv1.3",
        &[0xEA, 0, 0],
    ]
    .concat();
    vec![
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 5222\r\n".to_vec(), Some(SOURCE_V4)),
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(), Some("255.255.255.255:65535")),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 5222\r\n".to_vec(), Some("[2001:db8::7]:40000")),
        (
            b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
                .to_vec(),
            Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(),
            None,
        ),
        (v2(0x21, 0x11, &ADDRESSES_V4, &[]), Some(SOURCE_V4)),
        (v2(0x21, 0x11, &ADDRESSES_V4, &values), Some(SOURCE_V4)),
        (v2(0x21, 0x21, &addresses_v6(), &values), Some("[2001:db8::7]:40000")),
        (v2(0x21, 0x31, &[b'/'; 216], &[]), None),
        (v2(0x21, 0x00, &[], &[]), None),
        (v2(0x21, 0x00, b"anything", &[]), None),
        (v2(0x20, 0x00, &[], &[]), None),
        (v2(0x20, 0x11, &ADDRESSES_V4, &[]), None),
        (v2(0x20, 0xFF, b"anything", &[]), None),
        (with_checksum(), Some(SOURCE_V4)),
    ]
}

/// The checksum was computed elsewhere, by a table.
fn with_checksum() -> Vec<u8> {
    v2(0x21, 0x11, &ADDRESSES_V4, &[0x03, 0, 4, 0x1B, 0x61, 0xBC, 0x24, 0x04, 0, 1, 0])
}

fn named() -> Vec<Network> {
    vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1".parse().unwrap()]
}

struct Ends {
    near: TcpStream,
    far: TcpStream,
    peer: SocketAddr,
}

async fn ends() -> Ends {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (far, peer) = far.unwrap();
    let near = near.unwrap();
    near.set_nodelay(true).unwrap();
    Ends { near, far, peer }
}

/// Sends the pieces one after the other, and returns what the server made of them and what was left.
async fn send(pieces: &[&[u8]]) -> (Result<Option<SocketAddr>, ProxyError>, Vec<u8>) {
    let Ends { mut near, far, peer } = ends().await;
    let write = async {
        for piece in pieces {
            near.write_all(piece).await.unwrap();
            // In paused time this is over when the server has read the piece and waits for the next.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        near.shutdown().await.unwrap();
    };
    let proxies = named();
    let (received, ()) = tokio::join!(receive(far, peer, &proxies), write);
    match received {
        Ok((mut stream, source)) => {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            (Ok((source != peer).then_some(source)), rest)
        }
        Err(error) => (Err(error), Vec::new()),
    }
}

#[tokio::test(start_paused = true)]
async fn each_form_is_understood_and_nothing_behind_it_is_taken() {
    for (header, source) in all_good() {
        let (received, rest) = send(&[&[&header[..], STREAM].concat()]).await;
        let expected = source.map(|source| source.parse().unwrap());
        assert_eq!(received.unwrap(), expected, "{}", header.escape_ascii());
        assert_eq!(rest, STREAM);
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_may_be_cut_anywhere() {
    for (header, source) in all_good() {
        let whole = [&header[..], STREAM].concat();
        let expected: Option<SocketAddr> = source.map(|source| source.parse().unwrap());
        for cut in 1..=header.len() {
            let (received, rest) = send(&[&whole[..cut], &whole[cut..]]).await;
            assert_eq!(received.unwrap(), expected, "{} at {cut}", header.escape_ascii());
            assert_eq!(rest, STREAM);
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        let (received, rest) = send(&bytes).await;
        assert_eq!(received.unwrap(), expected);
        assert_eq!(rest, STREAM);
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_ends_early_is_refused() {
    for (header, _) in all_good() {
        for end in 0..header.len() {
            let (received, _) = send(&[&header[..end]]).await;
            assert!(matches!(received, Err(ProxyError::Closed)), "{} at {end}", header.escape_ascii());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_header_is_refused() {
    use ProxyError::*;
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200], b"\r\n".to_vec()].concat();
    let mut checksum = with_checksum();
    checksum[20] ^= 1;
    let wrong: Vec<(Vec<u8>, ProxyError)> = vec![
        (STREAM.to_vec(), Missing),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Missing),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00".to_vec(), Missing),
        (b"\r\n\r\n\0\r\nQUIX\n".to_vec(), Missing),
        (b"proxy TCP4 192.0.2.7 198.51.100.1 40000 5222\r\n".to_vec(), Missing),
        (long, TooLong),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 5222\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 5222 1\r\n".to_vec(), Malformed),
        (b"PROXY TCP4  192.0.2.7 198.51.100.1 40000 5222\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.007 198.51.100.1 40000 5222\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 040000 5222\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 +4000 5222\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 5222\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 2001:db8::7 2001:db8::1 40000 5222\r\n".to_vec(), Malformed),
        (b"PROXY TCP6 192.0.2.7 198.51.100.1 40000 5222\r\n".to_vec(), Malformed),
        (b"PROXY UDP4 192.0.2.7 198.51.100.1 40000 5222\r\n".to_vec(), Unsupported),
        (b"PROXY TCP4 \xff\xfe 198.51.100.1 40000 5222\r\n".to_vec(), Malformed),
        (v2(0x11, 0x11, &ADDRESSES_V4, &[]), Unsupported),
        (v2(0x22, 0x11, &ADDRESSES_V4, &[]), Unsupported),
        (v2(0x21, 0x12, &ADDRESSES_V4, &[]), Unsupported),
        (v2(0x21, 0x41, &ADDRESSES_V4, &[]), Unsupported),
        (v2(0x21, 0x11, &ADDRESSES_V4[..11], &[]), Malformed),
        (v2(0x21, 0x21, &ADDRESSES_V4, &[]), Malformed),
        (v2(0x21, 0x31, &[0; 215], &[]), Malformed),
        (v2(0x21, 0x11, &ADDRESSES_V4, &[0x04]), Malformed),
        (v2(0x21, 0x11, &ADDRESSES_V4, &[0x04, 0, 1]), Malformed),
        (v2(0x21, 0x11, &ADDRESSES_V4, &[0x03, 0, 3, 1, 2, 3]), Malformed),
        (v2(0x21, 0x00, &[0; REST_MAX_BYTES + 1], &[]), TooLong),
        (checksum, Checksum),
    ];
    for (header, expected) in wrong {
        let (received, _) = send(&[&header]).await;
        let error = received.unwrap_err();
        assert_eq!(error.to_string(), expected.to_string(), "{}", header.escape_ascii());
    }
}

#[tokio::test]
async fn one_who_is_not_named_is_neither_believed_nor_asked() {
    let Ends { mut near, far, peer } = ends().await;
    let (header, _) = all_good().swap_remove(0);
    near.write_all(&header).await.unwrap();
    let (mut stream, source) = receive(far, peer, &["10.0.0.0/8".parse().unwrap()]).await.unwrap();
    assert_eq!(source, peer);
    let mut seen = vec![0; header.len()];
    stream.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, header);
}

#[tokio::test(start_paused = true)]
async fn a_silent_proxy_is_not_waited_for() {
    for beginning in
        [&b""[..], b"PROXY TCP4 192.0.2.7", &SIGNATURE_V2[..], &v2(0x21, 0x11, &ADDRESSES_V4, &[])[..27]]
    {
        let Ends { mut near, far, peer } = ends().await;
        near.write_all(beginning).await.unwrap();
        let started = Instant::now();
        let received = receive(far, peer, &named()).await;
        assert!(matches!(received, Err(ProxyError::TimedOut)), "{received:?}");
        assert_eq!(started.elapsed().as_secs(), HEADER_WAIT.as_secs());
    }
}

#[test]
fn no_bytes_make_a_parser_fail_badly() {
    let mut random = StdRng::seed_from_u64(7);
    let good: Vec<Vec<u8>> = all_good().into_iter().map(|(header, _)| header).collect();
    for _ in 0..200_000 {
        let mut header = good[random.random_range(0..good.len())].clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..header.len());
            match random.random_range(0..3) {
                0 => header[at] = random.random(),
                1 => drop(header.remove(at)),
                _ => header.insert(at, random.random()),
            }
        }
        if header.starts_with(SIGNATURE_V2) && header.len() >= 16 {
            let _ = parse_v2(&header);
        } else {
            let _ = parse_v1(&header);
        }
    }
}
