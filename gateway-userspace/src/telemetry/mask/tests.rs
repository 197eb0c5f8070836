//! What must never come through, in the forms a careless client or an attacker writes it.

use std::fmt::Write;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const CAP: usize = 1024;

fn shown(raw: &str) -> String {
    printable(raw.as_bytes(), CAP).into_owned()
}

#[test]
fn ordinary_paths_are_left_alone_and_not_copied() {
    let plain = [
        "/",
        "/v1/payments/12345678/refunds",
        "/v1/users/550e8400-e29b-41d4-a716-446655440000",
        "/files/2026/11/23/report-of-the-day.pdf",
        "/blog/a-long-title-with-many-words-and-no-end-in-sight-anywhere",
    ];
    for path in plain {
        assert_eq!(shown(path), path);
    }
    assert!(matches!(printable(b"/v1/payments", CAP), Cow::Borrowed("/v1/payments")));
}

#[test]
fn card_numbers_are_masked_in_every_usual_form() {
    let forms = [
        "4111111111111111",
        "4111-1111-1111-1111",
        "4111 1111 1111 1111",
        "4111%201111%201111%201111",
        "4111.1111.1111.1111",
        "%34111111111111111",
        "%2534111111111111111",
        "3782 822463 10005",
        "30569309025904",
        "6304000000000000",
        "4222222222222",
    ];
    for form in forms {
        assert_eq!(shown(&format!("/cards/{form}/x")), "/cards/[masked]/x", "{form}");
    }
}

#[test]
fn a_card_number_among_other_digits_is_masked() {
    assert_eq!(shown("/v1/4111111111111111"), "/v1/[masked]");
    assert!(!shown("/n/4111111111111111123").contains("4111111111111111"));
    assert!(!shown("/n/99994111111111111111").contains("4111111111111111"));
    assert!(!shown("/n/4111-1111-1111-1111-12-27").contains("1111-1111"));
}

#[test]
fn numbers_that_are_no_card_numbers_stay() {
    for path in
        ["/n/4111111111111112", "/n/123456789012", "/t/1795438440123", "/n/0000000000000000"]
    {
        assert_eq!(shown(path), path);
    }
}

#[test]
fn credentials_are_masked() {
    let key = "gwk_abcdefghijkl_0123456789abcdefghijABCDEFGHIJ0123456789abc";
    assert_eq!(shown(&format!("/k/{key}/x")), "/k/[masked]/x");
    assert_eq!(shown("/k/GWK_short"), "/k/[masked]");
    assert_eq!(shown("/k/gwk%5Fshort"), "/k/[masked]");
    assert_eq!(shown("/j/eyJhbGciOiJIUzI1NiJ9.e30.c2ln"), "/j/[masked]");
    assert_eq!(shown("/s/da39a3ee5e6b4b0d3255bfef95601890afd80709"), "/s/[masked]");
}

#[test]
fn bytes_that_steer_a_terminal_or_are_no_text_are_escaped_without_loss() {
    assert_eq!(printable(b"/a\xff\x1b[31m\\b\x7f", CAP), "/a\\xff\\x1b[31m\\x5cb\\x7f");
    assert_eq!(shown("/é\u{9b}\u{202e}"), "/é\\xc2\\x9b\\xe2\\x80\\xae");
}

#[test]
fn a_long_path_is_cut_after_it_was_masked() {
    let path = format!("/{}/4111111111111111", "a/".repeat(505));
    let text = shown(&path);
    assert!(text.len() <= CAP + CUT.len());
    assert!(!text.contains("4111"), "{text}");
}

#[test]
fn of_a_path_too_long_to_read_no_half_of_a_number_is_shown() {
    for before in 0..20 {
        let path = format!("/{}{}", "a".repeat(before), "/4111111111111111".repeat(300));
        let text = shown(&path);
        assert!(text.len() <= CAP + CUT.len() && text.ends_with(CUT));
        assert!(!text.contains(|character: char| character.is_ascii_digit()), "{text}");
    }
    assert_eq!(shown(&format!("/{}", "4".repeat(9000))), "/…");
}

/// A number of `length` digits with this lead, made to pass.
fn card_number(lead: u64, seed: u64, length: usize) -> String {
    let mut digits: String = format!("{lead}{seed:020}").chars().take(length - 1).collect();
    let sum: u32 = digits
        .chars()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = digit.to_digit(10).unwrap() * if place % 2 == 0 { 2 } else { 1 };
            value / 10 + value % 10
        })
        .sum();
    digits.push(char::from_digit((10 - sum % 10) % 10, 10).unwrap());
    digits
}

/// `text` with a separator after some characters and some characters percent-encoded once or twice.
fn disguise(text: &str, separator: &str, choices: &[u8]) -> String {
    let mut out = String::new();
    for (character, choice) in text.chars().zip(choices.iter().cycle()) {
        let code = u32::from(character);
        match choice % 8 {
            0 => write!(out, "%{code:02X}").unwrap(),
            1 => write!(out, "%25{code:02x}").unwrap(),
            _ => out.push(character),
        }
        if choice / 8 % 4 == 0 {
            out.push_str(separator);
        }
    }
    out
}

/// What a reader of the log could recover: escapes undone, separators left out.
fn recovered(text: &str) -> String {
    let decoded = Decoded::new(text.as_bytes());
    decoded
        .bytes()
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| char::from(*byte))
        .collect()
}

proptest! {
    #[test]
    fn a_card_number_never_comes_through(
        (lead, length) in select(vec![
            (4u64, 16), (4, 19), (51, 16), (2221, 16), (34, 15), (37, 15), (36, 14), (3528, 16),
            (62, 16), (62, 19), (6011, 16), (6304, 18), (8100, 17),
        ]),
        seed in 0u64..10_000_000_000_000_000,
        separator in select(vec!["", "-", " ", "%20", ".", "+", " - ", "\u{a0}"]),
        choices in vec(any::<u8>(), 1..24),
        before in "[a-z/0-9?%]{0,20}",
        after in "[a-z/0-9%]{0,20}",
    ) {
        let number = card_number(lead, seed, length);
        let hidden = disguise(&number, separator, &choices);
        let text = shown(&format!("/{before}{hidden}{after}"));
        prop_assert!(!recovered(&text).contains(&number), "{text}");
    }

    #[test]
    fn any_number_that_passes_the_check_and_stands_alone_is_masked(
        lead in 1u64..10, length in 13usize..20, seed in 0u64..10_000_000_000_000_000,
        before in "[a-z/]{0,10}", after in "[a-z/]{0,10}",
    ) {
        let number = card_number(lead, seed, length);
        let text = shown(&format!("/{before}{number}{after}"));
        prop_assert!(!text.contains(&number), "{text}");
    }

    #[test]
    fn an_api_key_never_comes_through(
        id in "[a-z2-7]{12}", secret in "[A-Za-z0-9_-]{43}",
        choices in vec(any::<u8>(), 1..24),
        before in "\\PC{0,20}", after in "\\PC{0,20}",
    ) {
        let key = format!("gwk_{id}_{secret}");
        let text = shown(&format!("/{before}{}{after}", disguise(&key, "", &choices)));
        let secret: String = secret.chars().filter(char::is_ascii_alphanumeric).collect();
        prop_assume!(secret.len() > 8);
        prop_assert!(!recovered(&text).contains(&secret), "{text}");
    }

    #[test]
    fn a_jwt_or_long_token_never_comes_through(
        payload in "[A-Za-z0-9_-]{20,60}", signature in "[A-Za-z0-9_-]{43}",
        token in "[A-Za-z0-9+=-]{48,80}",
        choices in vec(any::<u8>(), 1..24),
    ) {
        let jwt = format!("eyJhbGciOiJFUzI1NiJ9.eyJ{payload}.{signature}");
        prop_assert_eq!(shown(&format!("/a/{}/b", disguise(&jwt, "", &choices))), "/a/[masked]/b");
        let is = |class: fn(&char) -> bool| token.chars().any(|character| class(&character));
        prop_assume!(is(char::is_ascii_digit) && is(char::is_ascii_uppercase) && is(char::is_ascii_lowercase));
        prop_assert_eq!(shown(&format!("/a/{}/b", disguise(&token, "", &choices))), "/a/[masked]/b");
    }

    #[test]
    fn any_bytes_become_bounded_printable_text(raw in vec(any::<u8>(), 0..3000), cap in 1usize..2000) {
        let text = printable(&raw, cap);
        prop_assert!(text.len() <= cap + CUT.len());
        prop_assert!(!text.chars().any(is_steering));
    }
}
