//! Where a request comes from: its peer, or whom proxies that we trust forward.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::dev::ServiceRequest;
use actix_web::http::header;
use ipnet::IpNet;

/// The client's address; forwarded ones only from proxies that are trusted.
pub fn client_address(request: &ServiceRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    // Some proxies add a header of their own instead of extending the one they got.
    let forwarded: Vec<&str> =
        request.headers().get_all(header::X_FORWARDED_FOR).filter_map(|value| value.to_str().ok()).collect();
    Some(original(peer, &forwarded.join(","), trusted))
}

/// Reads the hops from the nearest on: the first that is not ours is the client. What stands before it she may have made up,
/// and what cannot be read ends the search.
fn original(peer: IpAddr, forwarded: &str, trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer;
    for hop in forwarded.rsplit(',').map(str::trim) {
        if !trusted.iter().any(|network| network.contains(&nearest)) {
            break;
        }
        let address = hop.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|hop| hop.ip()));
        let Ok(address) = address else { break };
        nearest = address.to_canonical();
    }
    nearest
}

/// Whom a rate limit counts: an address, of IPv6 its /64, which is what one customer has at least.
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed_and_only_as_far_as_they_are_read() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "192.0.2.66, 198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "192.0.2.66,198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1:50123", "198.51.100.1"),
            ("10.0.0.1", "[2001:db8::1]:50123", "2001:db8::1"),
            ("10.0.0.1", "192.0.2.66, unknown", "10.0.0.1"),
            ("10.0.0.1", "192.0.2.66, unknown, 10.0.0.2", "10.0.0.2"),
        ] {
            assert_eq!(original(peer.parse().unwrap(), forwarded, &trusted).to_string(), expected, "{peer} {forwarded}");
        }
    }

    #[test]
    fn a_network_of_one_customer_counts_as_one() {
        let counted = |address: &str| household(address.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:ffff::1"), counted("2001:db8:1:2::2"));
        assert_ne!(counted("2001:db8:1:2::1"), counted("2001:db8:1:3::1"));
        assert_eq!(counted("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
