//! Providers that answer badly, slowly or not at all; keys that change under requests; and what is
//! left of them when the proxy starts again.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{document::KeysError, *};
use crate::{
    config::{
        load,
        model::{Algorithm, Url},
    },
    proxy::{
        fetch::{Client, FetchError, Hosts},
        identity::jwt::testing::{Signer, document as keys_of},
        outbox::Asks,
        upstream::Book,
    },
};

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Answers every request by its path.
struct Pages {
    origin: String,
    known: Arc<Mutex<Vec<(String, String)>>>,
    asked: Arc<AtomicUsize>,
}

impl Pages {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let (pages, asked) =
            (Arc::<Mutex<Vec<(String, String)>>>::default(), Arc::<AtomicUsize>::default());
        let (known, count) = (Arc::clone(&pages), Arc::clone(&asked));
        drop(tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                count.fetch_add(1, Relaxed);
                let head = String::from_utf8(head).unwrap();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let page = known.lock().unwrap().iter().find(|(at, _)| *at == path).cloned();
                let page = page.map_or(
                    "HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n".to_owned(),
                    |(_, page)| page,
                );
                drop(stream.write_all(page.as_bytes()).await);
            }
        }));
        Self { origin, known: pages, asked }
    }

    fn say(&self, path: &str, page: String) {
        let mut pages = self.known.lock().unwrap();
        pages.retain(|(at, _)| at != path);
        pages.push((path.to_owned(), page));
    }

    fn json(&self, path: &str, text: &str) {
        self.say(path, format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}", text.len()));
    }

    fn url(&self, path: &str) -> Url {
        Url::read(&format!("{}{path}", self.origin), true).unwrap()
    }

    fn config(&self) -> Config {
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:1\"\n[[identity]]\nname = \"customers\"\noidc = \"{}\"\naudience = \"a\"\nlocal = true\n",
            self.origin
        );
        load(&text, "t.toml").unwrap()
    }
}

fn client(config: &Config) -> Client {
    let (asks, _) = Asks::new();
    let tls = tls::questions(None, None, &Secrets::default()).unwrap();
    let terms = document::terms(true);
    Client::new(tls, Book::new(config).lookup(), Arc::new(Hosts::new(config, asks)), terms)
}

#[test]
fn discovery_is_about_the_issuer_that_is_configured() {
    run(async {
        let pages = Pages::new().await;
        let config = pages.config();
        let (_, settings) = config.tokens().next().unwrap();
        let at = pages.url("/.well-known/openid-configuration");
        let client = client(&config);
        let document =
            |issuer: &str, place: &str| json!({ "issuer": issuer, "jwks_uri": place }).to_string();
        let place = format!("{}/keys", pages.origin);

        pages.json("/.well-known/openid-configuration", &document(&pages.origin, &place));
        assert_eq!(document::discover(&client, &at, settings).await.unwrap().text, place);

        for issuer in
            [format!("{}/", pages.origin), "https://evil.example".to_owned(), String::new()]
        {
            pages.json("/.well-known/openid-configuration", &document(&issuer, &place));
            let refused = document::discover(&client, &at, settings).await;
            assert!(matches!(refused, Err(KeysError::Issuer { .. })), "{issuer}");
        }
        for place in
            ["http://keys.example/", "file:///etc/passwd", "keys", "https://u@keys.example/"]
        {
            pages.json("/.well-known/openid-configuration", &document(&pages.origin, place));
            let refused = document::discover(&client, &at, settings).await;
            assert!(matches!(refused, Err(KeysError::Place { .. })), "{place}");
        }
    });
}

#[test]
fn what_is_no_key_set_is_told_and_not_taken() {
    run(async {
        let pages = Pages::new().await;
        let config = pages.config();
        let (_, settings) = config.tokens().next().unwrap();
        let (client, at) = (client(&config), pages.url("/keys"));
        let fetch = || document::fetch(&client, &at, settings);

        let html = "<html>sign in</html>";
        pages.say(
            "/keys",
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{html}",
                html.len()
            ),
        );
        assert!(matches!(fetch().await, Err(KeysError::Kind { kind, .. }) if kind == "text/html"));
        pages.json("/keys", "{\"keys\":[]}");
        assert!(matches!(fetch().await, Err(KeysError::Set { .. })));
        pages.say("/keys", "HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n".to_owned());
        assert!(matches!(fetch().await, Err(KeysError::Status { status: 500, .. })));
        pages.say(
            "/keys",
            "HTTP/1.1 302 x\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n".to_owned(),
        );
        assert!(matches!(fetch().await, Err(KeysError::Fetch(FetchError::Redirect { .. }))));
        pages.say("/keys", format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(300 * 1024)));
        assert!(matches!(fetch().await, Err(KeysError::Fetch(FetchError::Body { .. }))));

        let signer = Signer::new("k", Algorithm::Es256);
        let text = keys_of(&[&signer]);
        pages.say("/keys", format!("HTTP/1.1 200 OK\r\ncache-control: public, Max-Age=77\r\ncontent-length: {}\r\n\r\n{text}", text.len()));
        let fetched = fetch().await.unwrap();
        assert_eq!((fetched.keys.len(), fetched.fresh), (1, Some(Duration::from_secs(77))));
        assert_eq!(pages.asked.load(Relaxed), 6);
    });
}

#[test]
fn kept_keys_serve_a_proxy_that_starts_while_the_provider_is_away_and_not_for_ever() {
    run(async {
        let pages = Pages::new().await;
        let config = pages.config();
        let (_, settings) = config.tokens().next().unwrap();
        let signer = Signer::new("k", Algorithm::Es256);
        let now = Wall(1_800_000_000);
        let kept = kept::write(settings, keys_of(&[&signer]).as_bytes(), now).unwrap();
        let secrets = Secrets::of(&settings.kept, &kept);
        let providers = Providers::start(&config, &secrets, now).unwrap();
        let provider = providers.named("customers").unwrap();
        let hours = |hours: u64| Wall(now.0 + hours * 3600);
        assert_eq!(provider.keys(hours(1)).unwrap().keys.len(), 1);
        assert!(provider.keys(hours(24)).is_some());
        assert!(provider.keys(hours(25)).is_none());

        let mut other = settings.clone();
        other.issuer = "https://other.example".to_owned();
        assert_eq!(kept::read(&kept, &other).err(), Some("of another issuer"));
        assert!(kept::read(b"{", settings).is_err());
        // What is broken on the disk is no reason not to start.
        let broken = Secrets::of(&settings.kept, b"\0\0");
        assert!(
            Providers::start(&config, &broken, now)
                .unwrap()
                .named("customers")
                .unwrap()
                .keys(now)
                .is_none()
        );
    });
}

#[test]
fn an_issuer_that_stays_keeps_its_keys_through_a_reload() {
    run(async {
        let pages = Pages::new().await;
        let config = pages.config();
        let (_, settings) = config.tokens().next().unwrap();
        let signer = Signer::new("k", Algorithm::Es256);
        let kept = kept::write(settings, keys_of(&[&signer]).as_bytes(), Wall(100)).unwrap();
        let secrets = Secrets::of(&settings.kept, &kept);
        let before = Providers::start(&config, &secrets, Wall(100)).unwrap();
        let none = Secrets::default();
        let same = before.succeed(&config, &none, &secrets).unwrap();
        assert!(Arc::ptr_eq(&before.all[0], &same.all[0]));

        let mut changed = config.clone();
        let crate::config::model::IdentityMethod::Tokens(tokens) =
            &mut changed.identities[0].method
        else {
            panic!()
        };
        tokens.audiences = vec!["b".to_owned()];
        let other = before.succeed(&changed, &none, &secrets).unwrap();
        assert!(!Arc::ptr_eq(&before.all[0], &other.all[0]));
        assert_eq!(other.all[0].keys(Wall(100)).unwrap().keys.len(), 1);
    });
}
