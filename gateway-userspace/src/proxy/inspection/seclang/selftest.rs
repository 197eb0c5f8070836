//! What a set has to do before it is used: block known attacks in the head and in the body of a
//! request, and let plain requests pass. A set that loads and does neither protects nobody, and says
//! nothing.

use std::{sync::Arc, time::Instant};

use super::{Body, Head, Kept, RuleSet, Settings, Transaction, message::pairs};

/// Why a set is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    #[error("the rules let {what} pass: it should have been blocked")]
    Passed { what: &'static str },
    #[error("rule {rule} blocks {what}: it should have passed")]
    Blocked { what: &'static str, rule: u64 },
    #[error("the rules did not come to an end with {what}")]
    Spent { what: &'static str },
}

struct Case {
    what: &'static str,
    method: &'static str,
    target: &'static str,
    body: &'static str,
    blocked: bool,
}

const fn case(what: &'static str, target: &'static str, body: &'static str, blocked: bool) -> Case {
    let method = if body.is_empty() { "GET" } else { "POST" };
    Case { what, method, target, body, blocked }
}

const CASES: &[Case] = &[
    case("a plain request", "/v1/payments?limit=20&state=open", "", false),
    case("a plain form", "/v1/contact", "name=Zo%C3%AB+Smith&text=Please+call+me+back.", false),
    case(
        "SQL injection in the query",
        "/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20",
        "",
        true,
    ),
    case("SQL injection in a form", "/login", "user=admin%27%20OR%20%271%27%3D%271&pass=x", true),
    case(
        "a script in the query",
        "/?q=%3Cscript%3Ealert(document.cookie)%3C%2Fscript%3E",
        "",
        true,
    ),
    case("a path out of the folder", "/?file=..%2F..%2F..%2F..%2Fetc%2Fpasswd", "", true),
    case("a command in a form", "/ping", "host=127.0.0.1%3Bcat%20%2Fetc%2Fpasswd", true),
];

impl RuleSet {
    /// Runs the known cases, as `settings` have it, but blocking.
    pub fn selftest(
        self: &Arc<Self>,
        settings: &Settings,
        clock: impl Fn() -> Instant + Copy,
    ) -> Result<(), SelfTestError> {
        let settings = Arc::new(Settings { detect: false, ..settings.clone() });
        CASES.iter().try_for_each(|case| self.holds(case, &settings, clock))
    }

    fn holds(
        self: &Arc<Self>,
        case: &Case,
        settings: &Arc<Settings>,
        clock: impl Fn() -> Instant + Copy,
    ) -> Result<(), SelfTestError> {
        let kept = Arc::new(Kept::default());
        let mut one = Transaction::new(Arc::clone(self), kept, Arc::clone(settings), clock());
        let length = case.body.len().to_string();
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b"host", b"www.example.com"),
            (
                b"user-agent",
                b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            ),
            (b"accept", b"text/html,application/json"),
        ];
        if !case.body.is_empty() {
            fields.push((b"content-type", b"application/x-www-form-urlencoded"));
            fields.push((b"content-length", length.as_bytes()));
        }
        one.head(&Head {
            method: case.method,
            target: case.target,
            protocol: "HTTP/1.1",
            fields,
            client: [192, 0, 2, 1].into(),
            client_port: 40_000,
            server: ([192, 0, 2, 2], 443).into(),
            id: "selftest",
            epoch: 1_700_000_000,
        });
        one.phase(1, clock);
        let mut body = Body { processor: "URLENCODED", ..Body::default() };
        pairs(case.body.as_bytes(), &mut body.arguments);
        one.body(case.body.as_bytes(), &body);
        one.phase(2, clock);
        let what = case.what;
        match (one.interruption(), one.spent()) {
            (Some(_), _) if case.blocked => Ok(()),
            (Some(found), _) => Err(SelfTestError::Blocked { what, rule: found.rule }),
            (None, Some(_)) => Err(SelfTestError::Spent { what }),
            (None, None) if case.blocked => Err(SelfTestError::Passed { what }),
            (None, None) => Ok(()),
        }
    }
}
