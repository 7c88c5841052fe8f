//! What follows the addresses in version 2: values of many types, all passed over but the checksum (section 2.2.4).

use super::ProxyError;

const TYPE_CRC32C: u8 = 0x03;

/// Checks that the values, at the header's end, are whole, and the checksum among them if there is one.
pub fn verify(header: &[u8], values: &[u8]) -> Result<(), ProxyError> {
    let mut rest = values;
    while let [kind, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = after.split_at_checked(length).ok_or(ProxyError::Malformed)?;
        if *kind == TYPE_CRC32C {
            let claimed: [u8; 4] = value.try_into().map_err(|_| ProxyError::Malformed)?;
            let at = header.len() - after.len();
            // It was computed with zeros in its own place.
            let whole = header.iter().enumerate().map(|(index, byte)| match index {
                index if (at..at + claimed.len()).contains(&index) => 0,
                _ => *byte,
            });
            if crc32c(whole) != u32::from_be_bytes(claimed) {
                return Err(ProxyError::Checksum);
            }
        }
        rest = next;
    }
    if rest.is_empty() { Ok(()) } else { Err(ProxyError::Malformed) }
}

/// RFC 9260 appendix A, bit by bit: a header is short, and comes once per connection.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    !bytes.fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32c() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xE306_9283);
        // RFC 3720 appendix B.4.
        assert_eq!(crc32c([0; 32].into_iter()), 0x8A91_36AA);
        assert_eq!(crc32c([0xFF; 32].into_iter()), 0x62A8_AB43);
        assert_eq!(crc32c(0..32), 0x46DD_794E);
    }
}
