//! `Accept-Encoding` (RFC 9110 section 12.5.3): what the client would take, by its own weights. What
//! cannot be read counts for nothing: there is always the answer as it is.

use http::{HeaderMap, header::ACCEPT_ENCODING};

use super::Coding;
use crate::proxy::fields;

/// Members that are looked at: a list is cheap to send.
const MEMBERS: usize = 32;

/// Weights of codings, in thousandths; `None` is not named.
#[derive(Debug, Default)]
struct Weights {
    codings: [Option<u16>; 3],
    identity: Option<u16>,
    rest: Option<u16>,
}

/// The coding the client likes best of those `offered`, ours first where it likes them alike.
/// `None` for the body as it is, also where the client refuses that: it is better than a 406.
pub(crate) fn choose(headers: &HeaderMap, offered: &[Coding]) -> Option<Coding> {
    let weights = Weights::read(headers);
    // The last of equals is what `max_by_key` takes.
    let best = offered.iter().rev().copied().max_by_key(|coding| weights.of(*coding))?;
    let weight = weights.of(best);
    // Not named, identity is taken, but only where nothing else is.
    (weight > 0 && weights.identity.is_none_or(|identity| weight >= identity)).then_some(best)
}

impl Weights {
    fn read(headers: &HeaderMap) -> Self {
        let mut weights = Self::default();
        for member in fields::members(headers, &ACCEPT_ENCODING).take(MEMBERS) {
            let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let Some(weight) = weight(parts.next()) else { continue };
            if let Some(place) = weights.place(name) {
                *place = Some(weight);
            }
        }
        weights
    }

    fn place(&mut self, name: &[u8]) -> Option<&mut Option<u16>> {
        if name == b"*" {
            return Some(&mut self.rest);
        }
        if name.eq_ignore_ascii_case(b"identity") {
            return Some(&mut self.identity);
        }
        self.codings.get_mut(Coding::named(name)? as usize)
    }

    fn of(&self, coding: Coding) -> u16 {
        let own = self.codings.get(coding as usize).copied().flatten();
        own.or(self.rest).unwrap_or(0)
    }
}

/// `q=` and a number of up to three decimals, in thousandths.
fn weight(parameter: Option<&[u8]>) -> Option<u16> {
    let Some(parameter) = parameter else { return Some(1000) };
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    let text = std::str::from_utf8(value).ok()?;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{decimals:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chosen(value: &'static str) -> Option<&'static str> {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
        choose(&headers, &Coding::ALL).map(Coding::token)
    }

    #[test]
    fn the_clients_weights_decide_and_then_ours() {
        for (value, wanted) in [
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, deflate, br", Some("br")),
            ("gzip;q=1.0, br;q=0.9", Some("gzip")),
            ("GZIP;Q=0.001", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("*", Some("zstd")),
            ("zstd;q=0, *", Some("br")),
            ("*;q=0, gzip", Some("gzip")),
            ("identity;q=0, gzip;q=0.2", Some("gzip")),
            ("identity, gzip", Some("gzip")),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0", None),
            ("gzip;q=0", None),
            ("", None),
            ("deflate, compress", None),
            // What is no weight is no wish.
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=-1", None),
            ("gzip;level=9", None),
        ] {
            assert_eq!(chosen(value), wanted, "{value}");
        }
        assert_eq!(choose(&HeaderMap::new(), &Coding::ALL), None);
    }
}
