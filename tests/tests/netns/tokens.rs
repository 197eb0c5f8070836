//! Access tokens of a real provider, through the real binary: discovery, keys that rotate while
//! requests flow, an outage that a restart falls into, introspection, and proofs of possession.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::{
    client::{Answer, Ask, Version},
    gateway::Gateway,
    lab::{HONEST, Lab},
    provider::{Kind, Provider},
    skip,
    wait::until,
};

const KEPT: Duration = Duration::from_secs(30);

fn services(issuer: &str, secret: &Path) -> String {
    format!(
        r#"
[[identity]]
name = "shops"
oidc = "{issuer}"
audience = "payments"
local = true
dpop = {{ origins = ["https://gateway.example"] }}

[[identity]]
name = "tills"
issuer = "{issuer}"
audience = "payments"
local = true
introspection = {{ url = "{issuer}/token/introspection", client_id = "gateway", secret_file = "{secret}", cache = "0s" }}

[[route]]
name = "shops"
path = "/shops"
supplier = "plain"
identity = "shops"

[[route]]
name = "tills"
path = "/tills"
supplier = "plain"
identity = "tills"
"#,
        secret = secret.display(),
    )
}

/// A running gateway and how to ask it.
struct House<'a> {
    lab: &'a Lab,
    gateway: Gateway<'a>,
}

impl House<'_> {
    fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        ask(self.lab, path, fields)
    }

    /// The status that a bearer gets.
    fn bearer(&self, path: &str, token: &str) -> Result<u16> {
        let answer = self.ask(path, &[("authorization", &format!("Bearer {token}"))])?;
        Ok(answer.status.as_u16())
    }

    fn log(&self) -> String {
        self.gateway.folders.log()
    }
}

fn ask(lab: &Lab, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
    let client = lab.client(HONEST, Version::H2)?;
    let with = |ask: Ask, (name, value): &(&str, &str)| ask.with(name, value);
    let ask = fields.iter().fold(Ask::get(path), with);
    lab.outside.block_on(|| async { client.once(&ask).await })
}

/// Runs a case against a provider and a gateway that trusts it.
fn with_provider(
    case: &str,
    body: impl for<'a> FnOnce(&mut House<'a>, &mut Provider<'a>, &Path) -> Result<()>,
) -> Result<()> {
    if skip::without_root(&format!("netns::{case}"))? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let folder = tempfile::tempdir()?;
    let mut provider = Provider::start(&lab.inside, folder.path())?;
    let secret = folder.path().join("secret");
    fs::write(&secret, "secret of gateway\n")?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
    let mut settings = lab.settings();
    settings.interface = None;
    settings.services += &services(&provider.issuer(), &secret);
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let mut house = House { lab: &lab, gateway };
    let done = body(&mut house, &mut provider, folder.path());
    done.with_context(|| house.log())
}

#[test]
fn tokens_of_a_real_provider_are_taken_while_its_keys_rotate() -> Result<()> {
    with_provider("tokens_of_a_real_provider", |house, provider, _| {
        let first = provider.token(Kind::Jwt)?;
        ensure!(house.bearer("/shops", &first)? == 200, "a valid token");
        ensure!(house.bearer("/shops", &first[..first.len() - 8])? == 401, "half a token");
        ensure!(house.ask("/shops", &[])?.status == 401, "no token");
        let answer = house.ask("/shops", &[("authorization", &format!("Bearer {first}"))])?;
        ensure!(!answer.json()?.to_string().contains("eyJ"), "the supplier saw the token");

        let (stop, served, refused) =
            (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let lab = house.lab;
        thread::scope(|scope| {
            let flow = scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let field = format!("Bearer {first}");
                    let answer = ask(lab, "/shops", &[("authorization", &field)])?;
                    let counter = if answer.status == 200 { &served } else { &refused };
                    counter.fetch_add(1, Relaxed);
                }
                anyhow::Ok(())
            });
            let rotations = (0..3).try_for_each(|turn| -> Result<()> {
                let before = provider.token(Kind::Jwt)?;
                provider.rotate()?;
                let after = provider.token(Kind::Jwt)?;
                for token in [&after, &before] {
                    ensure!(house.bearer("/shops", token)? == 200, "rotation {turn}");
                }
                Ok(())
            });
            stop.store(true, Relaxed);
            let flowed = flow.join();
            rotations?;
            flowed.map_err(|_panic| anyhow::anyhow!("the flow panicked"))?
        })?;
        let (served, refused) = (served.into_inner(), refused.into_inner());
        ensure!(served > 0 && refused == 0, "{refused} of {served} lawful requests refused");
        Ok(())
    })
}

#[test]
fn an_outage_of_the_provider_is_none_of_the_gateway_even_through_a_restart() -> Result<()> {
    with_provider("an_outage_of_the_provider", |house, provider, folder| {
        let token = provider.token(Kind::Jwt)?;
        let opaque = provider.token(Kind::Opaque)?;
        ensure!(house.bearer("/shops", &token)? == 200, "a valid token");
        ensure!(house.bearer("/tills", &opaque)? == 200, "a valid opaque token");
        ensure!(house.bearer("/tills", "made-up")? == 401, "an opaque token nobody issued");
        provider.revoke(&opaque)?;
        ensure!(house.bearer("/tills", &opaque)? == 401, "a revoked token");

        let kept = house.gateway.folders.state.join("keys/shops.json");
        let mode = until("the keys to be kept", KEPT, || fs::metadata(&kept).ok())?.permissions();
        ensure!(mode.mode() & 0o777 == 0o600, "{} is open", kept.display());
        let later = provider.token(Kind::Opaque)?;
        provider.stop()?;
        ensure!(house.bearer("/shops", &token)? == 200, "while the provider is away");
        ensure!(house.bearer("/tills", &later)? == 503, "nobody can say what it is worth");
        house.gateway.stop()?;
        house.gateway.start()?;
        ensure!(house.bearer("/shops", &token)? == 200, "after a restart, by the keys kept");

        // Another process has other keys: unknown ones, to be asked for at once.
        *provider = Provider::start(&house.lab.inside, folder)?;
        let fresh = provider.token(Kind::Jwt)?;
        until("the provider to be asked again", KEPT, || {
            house.bearer("/shops", &fresh).is_ok_and(|status| status == 200).then_some(())
        })?;
        ensure!(house.bearer("/shops", &token)? == 401, "its key was taken back");
        Ok(())
    })
}

#[test]
fn a_stolen_token_is_of_no_use_without_its_key() -> Result<()> {
    with_provider("a_stolen_token", |house, provider, _| {
        let token = provider.token(Kind::Dpop)?;
        ensure!(house.bearer("/shops", &token)? == 401, "as anybody's");
        let field = format!("DPoP {token}");
        let url = "https://gateway.example/shops";
        let shown = |nonce: &str| {
            let proof = provider.proof(url, &token, nonce)?;
            house.ask("/shops", &[("authorization", &field), ("dpop", &proof)])
        };
        let mut answer = shown("")?;
        if answer.status == 401 {
            // Young: what an earlier process saw is not known to this one.
            ensure!(answer.header("www-authenticate").contains("use_dpop_nonce"), "{answer:?}");
            answer = shown(answer.header("dpop-nonce"))?;
        }
        ensure!(answer.status == 200, "with a proof: {answer:?}");
        ensure!(house.ask("/shops", &[("authorization", &field)])?.status == 401, "without one");
        let elsewhere = provider.proof("https://evil.example/shops", &token, "")?;
        let fields = [("authorization", field.as_str()), ("dpop", elsewhere.as_str())];
        ensure!(house.ask("/shops", &fields)?.status == 401, "a proof for somebody else");
        Ok(())
    })
}
