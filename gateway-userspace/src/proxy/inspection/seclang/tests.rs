//! Rules of a few lines each, and the Core Rule Set as Debian ships it.

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
    time::Instant,
};

use super::*;
use crate::clock;

fn set(text: &str) -> Arc<RuleSet> {
    let files = Files::new(vec![
        ("r/a.conf".to_owned(), text.into()),
        ("r/words.data".to_owned(), b"# words\nevil\nworse thing\n".to_vec()),
    ]);
    match RuleSet::load(&files, &["r/a.conf".to_owned()]) {
        Ok(set) => Arc::new(set),
        Err(faults) => panic!("{faults:?}"),
    }
}

fn faults(text: &str) -> Vec<String> {
    let files = Files::new(vec![("r/a.conf".to_owned(), text.into())]);
    let faults = RuleSet::load(&files, &["r/a.conf".to_owned()]).err().unwrap_or_default();
    faults.iter().map(ToString::to_string).collect()
}

struct Ask<'a> {
    method: &'a str,
    target: &'a str,
    fields: &'a [(&'a str, &'a str)],
    body: &'a str,
}

const PLAIN: Ask<'static> = Ask {
    method: "GET",
    target: "/v1/payments?id=5",
    fields: &[
        ("host", "api.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("accept", "application/json"),
    ],
    body: "",
};

fn run_with(set: &Arc<RuleSet>, ask: &Ask<'_>, settings: Settings) -> Transaction {
    let now: Instant = clock::now();
    let mut transaction =
        Transaction::new(Arc::clone(set), Arc::new(Kept::default()), Arc::new(settings), now);
    transaction.head(&Head {
        method: ask.method,
        target: ask.target,
        protocol: "HTTP/1.1",
        fields: ask.fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect(),
        client: "192.0.2.7".parse().unwrap(),
        client_port: 40_000,
        server: "192.0.2.1:443".parse().unwrap(),
        id: "01J",
        epoch: 1_790_000_000,
    });
    transaction.phase(1, clock::now);
    let mut body = Body::default();
    if transaction.processor().as_deref() == Some("URLENCODED") {
        body.processor = "URLENCODED";
        message::pairs(ask.body.as_bytes(), &mut body.arguments);
    }
    transaction.body(ask.body.as_bytes(), &body);
    transaction.phase(2, clock::now);
    transaction.phase(5, clock::now);
    transaction
}

fn run(set: &Arc<RuleSet>, ask: &Ask<'_>) -> Transaction {
    run_with(set, ask, Settings::default())
}

fn ids(transaction: &Transaction) -> Vec<u64> {
    transaction.hits().iter().map(|hit| hit.rule).collect()
}

fn get(target: &str) -> Ask<'_> {
    Ask { target, ..PLAIN }
}

#[test]
fn a_rule_matches_what_it_names_and_is_told() {
    let set =
        set("SecRule ARGS:id|!ARGS:x \"@rx ^e(v)il$\" \"id:1,phase:1,deny,status:406,capture,\
                   t:lowercase,msg:'found %{TX.1} in %{MATCHED_VAR_NAME}',logdata:'%{MATCHED_VAR}',\
                   severity:CRITICAL,tag:'t/1'\"");
    let found = run(&set, &get("/?id=EVIL&x=evil"));
    assert_eq!(found.interruption().unwrap().status, 406);
    let hit = &found.hits()[0];
    assert_eq!((hit.message.as_str(), hit.data.as_str()), ("found v in ARGS:id", "evil"));
    assert_eq!((hit.field.as_str(), hit.severity, hit.tags.len()), ("ARGS:id", Some(2), 1));
    assert!(run(&set, &get("/?id=devil&x=evil")).hits().is_empty());
}

#[test]
fn chains_count_scores_and_act_when_all_of_them_match() {
    let set = set("SecAction \"id:1,phase:1,pass,nolog,setvar:tx.critical=5\"\n\
                   SecRule ARGS:a \"@streq 1\" \"id:2,phase:2,deny,chain,setvar:tx.first=+1\"\n\
                   SecRule ARGS:b \"@streq 2\" \"setvar:'tx.score=+%{tx.critical}'\"\n\
                   SecRule TX:SCORE \"@ge 5\" \"id:3,phase:5,pass,msg:'score %{tx.score}'\"");
    let both = run(&set, &get("/?a=1&b=2"));
    assert_eq!(ids(&both), [2, 3]);
    assert_eq!(both.hits()[1].message, "score 5");
    let one = run(&set, &get("/?a=1&b=3"));
    assert!(one.interruption().is_none() && one.hits().is_empty());
    assert_eq!(one.variable("first"), Some(&b"1"[..]));
}

#[test]
fn markers_skips_and_removals_are_followed() {
    let set =
        set("SecRule REQUEST_METHOD \"@streq GET\" \"id:1,phase:1,pass,nolog,skipAfter:END\"\n\
                   SecAction \"id:2,phase:1,pass,msg:skipped\"\n\
                   SecMarker END\n\
                   SecAction \"id:3,phase:1,pass,nolog,ctl:ruleRemoveById=5,\
                   ctl:ruleRemoveTargetById=6;ARGS:free\"\n\
                   SecAction \"id:5,phase:1,pass,msg:removed\"\n\
                   SecRule ARGS \"@pmFromFile words.data\" \"id:6,phase:1,pass\"\n\
                   SecAction \"id:7,phase:1,pass,nolog,skip:1\"\n\
                   SecAction \"id:8,phase:1,pass\"\n\
                   SecAction \"id:9,phase:1,pass\"\n\
                   SecAction \"id:10,phase:1,pass\"\n\
                   SecRuleRemoveById 10");
    assert_eq!(ids(&run(&set, &get("/?free=evil"))), [9]);
    assert_eq!(ids(&run(&set, &get("/?a=Worse+Thing"))), [6, 9]);
}

#[test]
fn counts_negation_and_many_matches() {
    let set = set("SecRule &REQUEST_HEADERS:Host \"!@eq 1\" \"id:1,phase:1,pass\"\n\
                   SecRule &ARGS:a \"@gt 1\" \"id:2,phase:1,pass\"\n\
                   SecRule REQUEST_METHOD \"!@within GET POST\" \"id:3,phase:1,pass\"\n\
                   SecRule ARGS \"@contains %2e\" \"id:4,phase:1,pass,t:none,t:urlEncode,t:lowercase,multiMatch\"\n\
                   SecRule TX:/^x_/ \"@gt 2\" \"id:5,phase:2,pass\"\n\
                   SecAction \"id:6,phase:1,pass,nolog,setvar:tx.x_a=3\"");
    assert_eq!(ids(&run(&set, &get("/?a=1&a=2"))), [2, 5]);
    assert_eq!(ids(&run(&set, &Ask { method: "PUT", fields: &[], ..PLAIN })), [1, 3, 5]);
}

#[test]
fn detection_tells_what_would_be_and_does_nothing() {
    let set =
        set("SecRule ARGS \"@rx evil\" \"id:1,phase:1,deny\"\nSecAction \"id:2,phase:2,pass\"");
    let settings = Settings { detect: true, ..Settings::default() };
    let found = run_with(&set, &get("/?a=evil"), settings);
    assert!(found.interruption().is_none());
    assert_eq!(found.would().unwrap().rule, 1);
    assert_eq!(ids(&found), [1, 2]);
}

#[test]
fn what_is_kept_is_there_for_the_next_transaction() {
    let set = set("SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}\"\n\
                   SecAction \"id:3,phase:1,pass,nolog,setvar:ip.n=+1\"\n\
                   SecRule IP:N \"@ge 2\" \"id:2,phase:1,deny\"");
    let kept = Arc::new(Kept::default());
    let ask = |client: &str| {
        let mut one =
            Transaction::new(Arc::clone(&set), Arc::clone(&kept), Arc::default(), clock::now());
        one.put(Variable::RemoteAddr, client.as_bytes());
        one.phase(1, clock::now);
        one.interruption().is_some()
    };
    assert_eq!([ask("192.0.2.1"), ask("192.0.2.2"), ask("192.0.2.1")], [false, false, true]);
}

#[test]
fn what_is_not_known_is_told_with_its_line() {
    for (text, told) in [
        ("SecRule ARGZ \"@rx a\" \"id:1\"", "r/a.conf:1: SecRule names \"ARGZ\""),
        ("\nSecRule ARGS \"@guess a\" \"id:1\"", "r/a.conf:2: SecRule has an operator"),
        ("SecRule ARGS \"@rx (\" \"id:1\"", "has an operator that cannot be used"),
        ("SecRule ARGS \"@rx a\" \"id:1,exec:/bin/sh\"", "the action \"exec\""),
        ("SecRule ARGS \"@rx a\" \"id:1,t:rot13\"", "names no transformation"),
        ("SecRule ARGS \"@rx a\" \"phase:1\"", "has no id"),
        ("SecAction \"id:1\"\nSecAction \"id:1\"", "has the id 1"),
        ("SecRule ARGS a \"id:1,chain\"", "chained to a rule that is not there"),
        ("SecAction \"id:1,skipAfter:NO\"", "skips to \"NO\""),
        ("SecRuleScript x.lua", "SecRuleScript is not known"),
        ("Include other.conf", "which is not there"),
        ("SecRule ARGS \"@pmFromFile no.data\" \"id:1\"", "has an operator"),
    ] {
        let found = faults(text);
        assert!(found.iter().any(|fault| fault.contains(told)), "{found:?}\nfor {text}");
    }
}

#[test]
fn a_spent_budget_is_told() {
    let set = set("SecRule ARGS \"@rx a.*b\" \"id:1,phase:1,pass,nolog\"\n\
                   SecRule ARGS \"@rx evil\" \"id:2,phase:2,deny\"");
    let blocked = run(&set, &get("/?x=evil"));
    assert_eq!((blocked.interruption().unwrap().rule, blocked.spent()), (2, None));
    let settings = Settings { work: 0, ..Settings::default() };
    let found = run_with(&set, &get("/?x=evil"), settings);
    assert_eq!((found.interruption(), found.spent()), (None, Some(Spent::Work)));
}

const RULES: &str = "/usr/share/modsecurity-crs/rules";

static CORE: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let read = |folder: &str| {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).collect::<Vec<_>>()
    };
    let paths = [read("/etc/modsecurity/crs"), read(RULES)].concat();
    let file = |path: &std::path::PathBuf| (path.display().to_string(), fs::read(path).unwrap());
    let files = Files::new(paths.iter().map(file).collect());
    let roots = ["/etc/modsecurity/crs/*.conf".to_owned(), format!("{RULES}/*.conf")];
    match RuleSet::load(&files, &roots) {
        Ok(set) => Arc::new(set),
        Err(faults) => panic!("{:#?}", faults.iter().map(ToString::to_string).collect::<Vec<_>>()),
    }
});

#[test]
fn the_core_rule_set_loads_whole_and_blocks() {
    assert!(Path::new(RULES).exists(), "modsecurity-crs is missing: run `cargo xtask setup`");
    let core = &*CORE;
    assert!(core.len() > 500, "{}", core.len());
    let plain = run(core, &PLAIN);
    assert!(plain.interruption().is_none(), "{:?}", plain.hits());
    for (target, rule) in [
        ("/?id=1%27%20OR%20%271%27=%271", 942_100),
        ("/?q=%3Cscript%3Ealert(1)%3C/script%3E", 941_100),
        ("/?file=../../../../etc/passwd", 930_120),
        ("/?cmd=;cat+/etc/passwd", 932_160),
        ("/?x=%3C?php+system(1);", 933_100),
        ("/?x=$%7Bjndi:ldap://a/b%7D", 932_130),
    ] {
        let found = run(core, &get(target));
        assert!(ids(&found).contains(&rule), "{target}: {:?}", found.hits());
        assert_eq!(found.interruption().unwrap().rule, 949_110, "{target}");
    }
}
