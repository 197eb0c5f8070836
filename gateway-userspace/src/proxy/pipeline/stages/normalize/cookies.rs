//! One `Cookie` field. h2 clients cut it into crumbs to compress it better; what is behind h2 has to
//! see it whole (RFC 9113 section 8.2.3), and none may read a first or a last one of several.

use http::{HeaderMap, HeaderValue, header::COOKIE};

/// Joins the crumbs, in their order.
pub(super) fn join(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Bytes of lawful values and a separator are a lawful value.
    if let Ok(whole) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_crumbs_and_leaves_a_whole_cookie_alone() {
        let mut headers = HeaderMap::new();
        join(&mut headers);
        assert!(headers.is_empty());
        for crumb in ["a=1", "b=2; c=3", "d=4"] {
            headers.append(COOKIE, HeaderValue::from_static(crumb));
        }
        join(&mut headers);
        join(&mut headers);
        let whole: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(whole, ["a=1; b=2; c=3; d=4"]);
    }
}
