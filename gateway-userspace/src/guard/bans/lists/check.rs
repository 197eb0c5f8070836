//! What a list is refused for: entries nobody may ban, and too much of the Internet.

use ipnet::IpNet;

use super::nets::NetSet;
use crate::{
    config::model::Coverage,
    guard::{
        address::{canonical_net, overlap},
        kernel::filter::is_too_wide,
        protect::Protection,
    },
};

/// The IPv4 addresses within IPv6, which the packet filter reads as what they are.
const MAPPED: &str = "::ffff:0:0/96";

/// The IPv6 address space that is given out at all, `2000::/3`, in /64s.
const ROUTED6: u128 = 1 << 61;

/// Why an entry is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) net: IpNet,
    pub(crate) why: String,
}

/// Entries in their one spelling, and those that are refused. Of the latter every one is found, but
/// only so many are told.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    pub(super) fit: Vec<IpNet>,
    pub(super) unfit: Vec<Unfit>,
    pub(super) untold: usize,
}

/// Refused entries that are told one by one.
const TOLD: usize = 100;

/// Sorts the entries of a list into those that may be banned and those that may not.
pub(super) fn sift(given: Vec<IpNet>, protected: &[(IpNet, Protection)]) -> Sifted {
    let mut sifted = Sifted::default();
    // Asked for each entry only where the list as a whole has something in common with them.
    let whole = NetSet::of(&given.iter().copied().map(canonical_net).collect::<Vec<_>>());
    let touched: Vec<_> =
        protected.iter().filter(|(net, _)| whole.touching(*net).is_some()).collect();
    for net in given {
        let one = canonical_net(net);
        match why_unfit(one, &touched) {
            None => sifted.fit.push(one),
            Some(_) if sifted.unfit.len() >= TOLD => sifted.untold += 1,
            Some(why) => sifted.unfit.push(Unfit { net, why }),
        }
    }
    sifted
}

fn why_unfit(net: IpNet, protected: &[&(IpNet, Protection)]) -> Option<String> {
    if is_too_wide(net) {
        return Some(
            "is too wide to ban: the shortest IPv4 prefix is /8, the shortest IPv6 prefix /16"
                .to_owned(),
        );
    }
    if covers_mapped(net) {
        return Some(format!("holds {MAPPED}, which is IPv4: ban the IPv4 prefixes"));
    }
    let (protected, why) = protected.iter().find(|(protected, _)| overlap(*protected, net))?;
    Some(format!("is not banned: {protected} is protected, because {why}"))
}

fn covers_mapped(net: IpNet) -> bool {
    matches!(net, IpNet::V6(_)) && MAPPED.parse().is_ok_and(|mapped: IpNet| overlap(net, mapped))
}

/// What covers too much is a mistake of whoever made it, or an attack on its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuch {
    pub(crate) family: &'static str,
    /// Rounded up.
    pub(crate) percent: u128,
    pub(crate) most: u32,
}

/// Refuses what covers more than a share of the Internet, however many pieces it is in.
pub(crate) fn coverage(nets: &NetSet, most: Coverage) -> Result<(), TooMuch> {
    let rows = [
        ("IPv4", u128::from(nets.addresses4()), 1 << 32, most.ipv4),
        ("IPv6", nets.networks6(), ROUTED6, most.ipv6),
    ];
    for (family, covered, all, most) in rows {
        if covered * 100 > all * u128::from(most) {
            return Err(TooMuch { family, percent: (covered * 100).div_ceil(all), most });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn refuses_what_nobody_may_ban_and_names_it() {
        let protected = [(net("10.20.0.0/16"), Protection::Management)];
        let given = [
            "0.0.0.0/0",
            "0.0.0.0/1",
            "::/0",
            "::ffff:0:0/96",
            "::ffff:0:0/90",
            "10.0.0.0/8",
            "10.20.3.4/32",
            "192.0.2.1/32",
            "::ffff:192.0.2.2/128",
        ];
        let sifted = sift(given.map(net).to_vec(), &protected);
        assert_eq!(sifted.fit, [net("192.0.2.1/32"), net("192.0.2.2/32")]);
        let refused: Vec<IpNet> = sifted.unfit.iter().map(|unfit| unfit.net).collect();
        assert_eq!(refused, given[..7].iter().map(|text| net(text)).collect::<Vec<_>>());
        assert!(sifted.unfit[5].why.contains("kernel.protect"), "{}", sifted.unfit[5].why);
    }

    #[test]
    fn refuses_too_much_of_the_internet_in_however_many_pieces() {
        let most = Coverage { ipv4: 5, ipv6: 1 };
        let eighths = |count: u8| -> NetSet {
            NetSet::of(&(0..count).map(|n| net(&format!("{}.0.0.0/8", 40 + n))).collect::<Vec<_>>())
        };
        assert_eq!(coverage(&eighths(12), most), Ok(()));
        let refused = coverage(&eighths(13), most).unwrap_err();
        assert_eq!((refused.family, refused.percent, refused.most), ("IPv4", 6, 5));
        let wide: Vec<IpNet> = (0..128).map(|n| net(&format!("{:x}::/16", 0x2400 + n))).collect();
        assert_eq!(coverage(&NetSet::of(&wide), most).unwrap_err().family, "IPv6");
        assert_eq!(coverage(&NetSet::of(&wide[..80]), most), Ok(()));
    }
}
