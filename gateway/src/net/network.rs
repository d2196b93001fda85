//! A network of addresses as configurations name it: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::net::IpAddr;
use std::str::FromStr;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many bits of it count.
    prefix: u8,
}

/// Why a text is no network, and what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("is no network: write ADDRESS/BITS, such as 10.0.0.0/8 or 2001:db8::/32")]
    Syntax,
    #[error("has bits behind its prefix: write the network's first address")]
    HostBits,
}

impl Network {
    pub fn contains(self, address: IpAddr) -> bool {
        let (network, bits) = bits(self.address);
        let (address, same) = self::bits(address.to_canonical());
        let rest = bits - u32::from(self.prefix);
        bits == same && (network ^ address).checked_shr(rest).unwrap_or(0) == 0
    }
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Syntax)?;
        let (number, bits) = bits(address);
        let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        let prefix = match prefix {
            Some(text) => Some(text).filter(is_number).and_then(|text| text.parse().ok()),
            // At most 128.
            None => Some(bits as u8),
        };
        let prefix = prefix.filter(|prefix| u32::from(*prefix) <= bits);
        let prefix: u8 = prefix.ok_or(NetworkError::Syntax)?;
        let host = 128 - bits + u32::from(prefix);
        if number.checked_shl(host).unwrap_or(0) != 0 {
            return Err(NetworkError::HostBits);
        }
        Ok(Network { address, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network_or_not() {
        for (network, inside, outside) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.1.2", "::ffff:10.1.1.1"][..],
                &["11.0.0.1", "::1"][..],
            ),
            ("10.1.2.3", &["10.1.2.3"], &["10.1.2.2"]),
            ("192.168.4.0/22", &["192.168.7.255"], &["192.168.8.0", "192.168.3.255"]),
            ("0.0.0.0/0", &["1.2.3.4"], &["::1"]),
            ("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::1", "10.0.0.1"]),
            ("::/0", &["::1", "2001::"], &["10.0.0.1"]),
            ("::1", &["::1"], &["::2"]),
        ] {
            let network: Network = network.parse().expect("a network");
            let holds = |address: &&str| network.contains(address.parse().expect("an address"));
            assert!(inside.iter().all(holds), "{network:?}");
            assert!(!outside.iter().any(holds), "{network:?}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        for text in ["", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "10.0.0.0/+8"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Syntax), "{text}");
        }
        for text in ["10.0.0.1/8", "2001:db8::1/32", "1.0.0.0/0"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::HostBits), "{text}");
        }
    }
}
