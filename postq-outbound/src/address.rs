//! Which addresses lie on the open internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Why an address is not called, with the range that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forbidden {
    /// As `a private address`.
    pub(crate) what: &'static str,
    /// As `10.0.0.0/8`.
    pub(crate) range: &'static str,
}

/// Tells whether, and why, an address is none of the open internet's.
///
/// An address that a gateway turns into an IPv4 one is judged by that one: by way of NAT64 every host
/// that has IPv6 alone reaches the others.
pub(crate) fn forbidden(address: IpAddr) -> Option<Forbidden> {
    match address {
        IpAddr::V4(v4) => of_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped().or_else(|| from_nat64(v6)) {
            Some(v4) => of_v4(v4),
            None => of_v6(v6),
        },
    }
}

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, multicast, and one address of the
/// open range that is no host of the internet's.
const V4: [(&str, &str); 18] = [
    ("0.0.0.0/8", "an unspecified address"),
    ("10.0.0.0/8", "a private address"),
    ("100.64.0.0/10", "an address shared by a provider's customers"),
    ("127.0.0.0/8", "a loopback address"),
    // Before its range, for its name.
    ("169.254.169.254/32", "a metadata address"),
    ("169.254.0.0/16", "a link-local address"),
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "a reserved address"),
    ("192.0.2.0/24", "an address for documentation"),
    ("192.88.99.0/24", "a relay's address"),
    ("192.168.0.0/16", "a private address"),
    ("198.18.0.0/15", "an address for measurements"),
    ("198.51.100.0/24", "an address for documentation"),
    ("203.0.113.0/24", "an address for documentation"),
    // What an Azure host asks about itself.
    ("168.63.129.16/32", "a metadata address"),
    ("224.0.0.0/4", "a multicast address"),
    ("255.255.255.255/32", "the broadcast address"),
    ("240.0.0.0/4", "a reserved address"),
];

/// Within [`GLOBAL_V6`], <https://www.iana.org/assignments/iana-ipv6-special-registry>.
const V6: [(&str, &str); 4] = [
    // Teredo, benchmarks, identifiers that are no addresses.
    ("2001::/23", "a reserved address"),
    ("2001:db8::/32", "an address for documentation"),
    // Leads to any IPv4 address, by a relay that nobody vouches for.
    ("2002::/16", "a 6to4 address"),
    ("3fff::/20", "an address for documentation"),
];

/// Beyond [`GLOBAL_V6`], for their names: all that lies there is forbidden.
const BEYOND: [(&str, &str); 6] = [
    ("::1/128", "a loopback address"),
    ("::/128", "an unspecified address"),
    ("fd00:ec2::254/128", "a metadata address"),
    ("fc00::/7", "a private address"),
    ("fe80::/10", "a link-local address"),
    ("ff00::/8", "a multicast address"),
];

/// What is given out to hosts of the internet.
const GLOBAL_V6: &str = "2000::/3";

fn of_v4(address: Ipv4Addr) -> Option<Forbidden> {
    find(&V4, address.into())
}

fn of_v6(address: Ipv6Addr) -> Option<Forbidden> {
    let address = IpAddr::V6(address);
    if contains(GLOBAL_V6, address) {
        return find(&V6, address);
    }
    let other = Forbidden { what: "a reserved address", range: "outside 2000::/3" };
    Some(find(&BEYOND, address).unwrap_or(other))
}

fn find(ranges: &[(&'static str, &'static str)], address: IpAddr) -> Option<Forbidden> {
    let found = ranges.iter().find(|(range, _)| contains(range, address));
    found.map(|&(range, what)| Forbidden { what, range })
}

fn contains(range: &str, address: IpAddr) -> bool {
    let range: IpNet = range.parse().expect("the tables are tested");
    range.contains(&address)
}

/// The IPv4 address in one of the well-known NAT64 range (RFC 6052).
fn from_nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else { return None };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Option<&'static str> {
        forbidden(address.parse().expect(address)).map(|found| found.what)
    }

    #[test]
    fn the_tables_are_ranges() {
        for (range, _) in V4.iter().chain(&V6).chain(&BEYOND) {
            let parsed: IpNet = range.parse().expect(range);
            assert_eq!(parsed.trunc(), parsed, "{range}");
        }
    }

    #[test]
    fn what_is_not_the_open_internet_is_forbidden() {
        for (address, what) in [
            ("0.0.0.0", "an unspecified address"),
            ("0.1.2.3", "an unspecified address"),
            ("10.0.0.0", "a private address"),
            ("10.255.255.255", "a private address"),
            ("100.64.0.1", "an address shared by a provider's customers"),
            ("100.100.100.200", "an address shared by a provider's customers"),
            ("100.127.255.255", "an address shared by a provider's customers"),
            ("127.0.0.1", "a loopback address"),
            ("127.255.255.254", "a loopback address"),
            ("168.63.129.16", "a metadata address"),
            ("169.254.0.1", "a link-local address"),
            ("169.254.169.254", "a metadata address"),
            ("172.16.0.1", "a private address"),
            ("172.31.255.255", "a private address"),
            ("192.0.0.192", "a reserved address"),
            ("192.0.2.1", "an address for documentation"),
            ("192.88.99.1", "a relay's address"),
            ("192.168.0.1", "a private address"),
            ("198.18.0.1", "an address for measurements"),
            ("198.19.255.255", "an address for measurements"),
            ("198.51.100.7", "an address for documentation"),
            ("203.0.113.7", "an address for documentation"),
            ("224.0.0.1", "a multicast address"),
            ("239.255.255.255", "a multicast address"),
            ("240.0.0.1", "a reserved address"),
            ("255.255.255.255", "the broadcast address"),
            ("::", "an unspecified address"),
            ("::1", "a loopback address"),
            // IPv4 in IPv6: mapped, compatible, translated, NAT64 (well-known and local).
            ("::ffff:127.0.0.1", "a loopback address"),
            ("::ffff:169.254.169.254", "a metadata address"),
            ("::ffff:a00:1", "a private address"),
            ("::127.0.0.1", "a reserved address"),
            ("::8.8.8.8", "a reserved address"),
            ("::ffff:0:127.0.0.1", "a reserved address"),
            ("64:ff9b::10.0.0.1", "a private address"),
            ("64:ff9b::a9fe:a9fe", "a metadata address"),
            ("64:ff9b:1::8.8.8.8", "a reserved address"),
            // 6to4 and Teredo, whatever they lead to.
            ("2002:0808:0808::1", "a 6to4 address"),
            ("2002:7f00:1::1", "a 6to4 address"),
            ("2001::1", "a reserved address"),
            ("2001:0:808:808::1", "a reserved address"),
            ("2001:20::1", "a reserved address"),
            ("2001:db8::1", "an address for documentation"),
            ("3fff::1", "an address for documentation"),
            ("100::1", "a reserved address"),
            ("5f00::1", "a reserved address"),
            ("4000::1", "a reserved address"),
            ("fc00::1", "a private address"),
            ("fd00:ec2::254", "a metadata address"),
            ("fdff::1", "a private address"),
            ("fe80::1", "a link-local address"),
            ("fec0::1", "a reserved address"),
            ("ff02::1", "a multicast address"),
        ] {
            assert_eq!(of(address), Some(what), "{address}");
        }
    }

    #[test]
    fn the_open_internet_is_not() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(of(address), None, "{address}");
        }
    }
}
