//! What a rule does: its third argument.

use super::{
    variable::{self, Pick, Variable},
    words::Words,
};
use crate::proxy::inspection::transform::Transformation;

/// Everything a rule's actions say.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an action that is there or not")]
pub(super) struct Actions {
    pub(super) id: Option<u64>,
    pub(super) phase: Option<u8>,
    pub(super) message: Option<Words>,
    pub(super) data: Option<Words>,
    pub(super) tags: Vec<String>,
    pub(super) severity: Option<u8>,
    pub(super) disruption: Option<Disruption>,
    pub(super) status: Option<u16>,
    pub(super) chain: bool,
    pub(super) capture: bool,
    pub(super) multi_match: bool,
    /// `Some(false)` is `nolog`.
    pub(super) log: Option<bool>,
    /// `None` where the rule names none, and those of the default hold.
    pub(super) transformations: Option<Vec<Transformation>>,
    /// The rule's own begin with `t:none`.
    pub(super) anew: bool,
    pub(super) skip: Option<usize>,
    pub(super) skip_after: Option<String>,
    /// At each match, before the rest of a chain is known.
    pub(super) sets: Vec<Set>,
    /// When the whole chain matched.
    pub(super) effects: Vec<Effect>,
}

/// What happens to the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Disruption {
    Pass,
    /// As the phase's default says.
    Block,
    Deny,
    Drop,
    Redirect(String),
    Allow(Allow),
}

/// How far an `allow` reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allow {
    All,
    Phase,
    Request,
}

/// `setvar`.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) collection: Variable,
    pub(super) name: Words,
    pub(super) change: Change,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    To(Words),
    Plus(Words),
    Minus(Words),
    Gone,
}

/// What is done once, when all of a chain matched.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// `initcol`: which entry of a kept collection this transaction uses.
    Open(Variable, Words),
    /// `expirevar`, with how many seconds.
    Expire(Variable, Words, Words),
    /// Rules, or what they are not to look at.
    Remove(Whose, Option<Pick>),
    Engine(Engine),
    Processor(String),
    /// `forceRequestBodyVariable`.
    KeepBody(bool),
    RequestBody(bool),
    ResponseBody(bool),
    /// `setsid`, `setuid`, `setrsc`: the key of a kept collection.
    Key(Variable, Words),
}

/// Which rules are removed, or a target of theirs.
#[derive(Debug, Clone)]
pub(super) enum Whose {
    Ids(Vec<(u64, u64)>),
    Tag(String),
    Message(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    On,
    DetectionOnly,
    Off,
}

impl Engine {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "on" => Self::On,
            "detectiononly" => Self::DetectionOnly,
            "off" => Self::Off,
            _ => return None,
        })
    }
}

/// Reads a list such as `id:1,phase:2,block,msg:'text, with a comma'`.
pub(super) fn actions(text: &str) -> Result<Actions, String> {
    let mut actions = Actions::default();
    for part in split(text)? {
        let (name, value) = match part.split_once(':') {
            Some((name, value)) => (name.trim(), unquoted(value.trim())),
            None => (part.trim(), String::new()),
        };
        one(&mut actions, &name.to_ascii_lowercase(), &value)
            .map_err(|what| format!("has the action {name:?}, which {what}"))?;
    }
    Ok(actions)
}

fn one(actions: &mut Actions, name: &str, value: &str) -> Result<(), String> {
    match name {
        "id" => actions.id = Some(number(value)?),
        "phase" => actions.phase = Some(phase(value)?),
        "msg" => actions.message = Some(Words::parse(value)?),
        "logdata" => actions.data = Some(Words::parse(value)?),
        "tag" => actions.tags.push(value.to_owned()),
        "severity" => actions.severity = Some(severity(value)?),
        "status" => actions.status = Some(status(value)?),
        "chain" => actions.chain = true,
        "capture" => actions.capture = true,
        "multimatch" => actions.multi_match = true,
        "log" | "auditlog" if actions.log.is_none() || name == "log" => actions.log = Some(true),
        "nolog" => actions.log = Some(false),
        // Who wrote the rule and for which version, and what an audit log of parts would leave out:
        // hits stand in the access log, masked.
        "auditlog"
        | "noauditlog"
        | "ver"
        | "rev"
        | "maturity"
        | "accuracy"
        | "sanitisearg"
        | "sanitisematched"
        | "sanitisematchedbytes"
        | "sanitiserequestheader"
        | "sanitiseresponseheader"
        | "xmlns" => {}
        "t" => transformation(actions, value)?,
        "skip" => actions.skip = Some(number(value)?),
        "skipafter" => actions.skip_after = Some(value.to_owned()),
        "setvar" => actions.sets.push(set(value)?),
        "pass" | "block" | "deny" | "drop" | "allow" | "redirect" => {
            actions.disruption = Some(disruption(name, value)?);
        }
        _ => actions.effects.extend(effect(name, value)?),
    }
    Ok(())
}

fn disruption(name: &str, value: &str) -> Result<Disruption, String> {
    Ok(match (name, value.to_ascii_lowercase().as_str()) {
        ("pass", _) => Disruption::Pass,
        ("block", _) => Disruption::Block,
        ("deny", _) => Disruption::Deny,
        ("drop", _) => Disruption::Drop,
        ("redirect", _) => Disruption::Redirect(value.to_owned()),
        ("allow", "") => Disruption::Allow(Allow::All),
        ("allow", "phase") => Disruption::Allow(Allow::Phase),
        ("allow", "request") => Disruption::Allow(Allow::Request),
        _ => return Err("is not known with this value".to_owned()),
    })
}

fn transformation(actions: &mut Actions, value: &str) -> Result<(), String> {
    let found = Transformation::parse(value).ok_or("names no transformation")?;
    let own = actions.transformations.get_or_insert_default();
    if found == Transformation::None {
        own.clear();
        actions.anew = true;
    } else {
        own.push(found);
    }
    Ok(())
}

fn effect(name: &str, value: &str) -> Result<Option<Effect>, String> {
    Ok(Some(match name {
        "initcol" => {
            let (collection, key) = value.split_once('=').ok_or("names no entry")?;
            Effect::Open(kept(collection)?, Words::parse(key)?)
        }
        "expirevar" => {
            let (place, seconds) = value.split_once('=').ok_or("names no time")?;
            let (collection, name) = place.split_once(['.', ':']).ok_or("names no variable")?;
            Effect::Expire(written(collection)?, Words::parse(name)?, Words::parse(seconds)?)
        }
        "setsid" => Effect::Key(Variable::Session, Words::parse(value)?),
        "setuid" => Effect::Key(Variable::User, Words::parse(value)?),
        "setrsc" => Effect::Key(Variable::Resource, Words::parse(value)?),
        "ctl" => return ctl(value),
        _ => return Err("is not known".to_owned()),
    }))
}

fn ctl(text: &str) -> Result<Option<Effect>, String> {
    let (name, value) = text.split_once('=').ok_or("sets nothing")?;
    let value = value.trim();
    let on = || match value.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("sets {name} to neither On nor Off")),
    };
    Ok(Some(match name.trim().to_ascii_lowercase().as_str() {
        "ruleremovebyid" => Effect::Remove(Whose::Ids(ids(value)?), None),
        "ruleremovebytag" => Effect::Remove(Whose::Tag(value.to_owned()), None),
        "ruleremovebymsg" => Effect::Remove(Whose::Message(value.to_owned()), None),
        "ruleremovetargetbyid" => {
            let (whose, target) = remove_target(value)?;
            Effect::Remove(Whose::Ids(ids(whose)?), Some(target))
        }
        "ruleremovetargetbytag" => {
            let (whose, target) = remove_target(value)?;
            Effect::Remove(Whose::Tag(whose.to_owned()), Some(target))
        }
        "ruleremovetargetbymsg" => {
            let (whose, target) = remove_target(value)?;
            Effect::Remove(Whose::Message(whose.to_owned()), Some(target))
        }
        "ruleengine" => Effect::Engine(Engine::parse(value).ok_or("sets no known engine mode")?),
        "requestbodyprocessor" => Effect::Processor(processor(value)?),
        "forcerequestbodyvariable" => Effect::KeepBody(on()?),
        "requestbodyaccess" => Effect::RequestBody(on()?),
        "responsebodyaccess" => Effect::ResponseBody(on()?),
        // Of an audit log that is not this gateway's.
        "auditengine" | "auditlogparts" | "debugloglevel" => return Ok(None),
        _ => return Err(format!("sets {name}, which is not known")),
    }))
}

fn processor(value: &str) -> Result<String, String> {
    let name = value.to_ascii_uppercase();
    match name.as_str() {
        "URLENCODED" | "MULTIPART" | "JSON" | "XML" => Ok(name),
        _ => Err(format!("names the processor {value:?}, which is not known")),
    }
}

fn remove_target(value: &str) -> Result<(&str, Pick), String> {
    let (whose, target) = value.split_once(';').ok_or("names no target")?;
    Ok((whose.trim(), variable::pick(target.trim())?))
}

/// `942100`, `942100-942200`; several by comma or space.
pub(super) fn ids(text: &str) -> Result<Vec<(u64, u64)>, String> {
    let parts = text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty());
    let ranges: Result<Vec<_>, String> = parts
        .map(|part| match part.split_once('-') {
            Some((from, to)) => Ok((number(from)?, number(to)?)),
            None => number(part).map(|id| (id, id)),
        })
        .collect();
    ranges.and_then(
        |ranges| {
            if ranges.is_empty() { Err("names no rule".to_owned()) } else { Ok(ranges) }
        },
    )
}

fn set(value: &str) -> Result<Set, String> {
    let (gone, value) = value.strip_prefix('!').map_or((false, value), |value| (true, value));
    let (place, to) = value.split_once('=').map_or((value, None), |(place, to)| (place, Some(to)));
    let (collection, name) = place.split_once(['.', ':']).ok_or("names no variable")?;
    let change = match to {
        _ if gone => Change::Gone,
        None => Change::To(Words::parse("1")?),
        Some(to) => match to.split_at_checked(1) {
            Some(("+", by)) => Change::Plus(Words::parse(by)?),
            Some(("-", by)) => Change::Minus(Words::parse(by)?),
            _ => Change::To(Words::parse(to)?),
        },
    };
    Ok(Set { collection: written(collection)?, name: Words::parse(name)?, change })
}

fn written(name: &str) -> Result<Variable, String> {
    let found = Variable::parse(name.trim()).filter(|variable| variable.is_written());
    found.ok_or_else(|| format!("writes to {name:?}, which cannot be written to"))
}

fn kept(name: &str) -> Result<Variable, String> {
    written(name).and_then(|variable| {
        if variable.is_kept() { Ok(variable) } else { Err(format!("opens {name:?}")) }
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().ok().ok_or_else(|| format!("needs a number, not {text:?}"))
}

fn phase(value: &str) -> Result<u8, String> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "1" => 1,
        "2" | "request" => 2,
        "3" => 3,
        "4" | "response" => 4,
        "5" | "logging" => 5,
        _ => return Err(format!("is none of 1 to 5: {value:?}")),
    })
}

fn severity(value: &str) -> Result<u8, String> {
    const NAMES: [&str; 8] =
        ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];
    let lower = value.to_ascii_lowercase();
    let named = NAMES.iter().position(|name| *name == lower);
    let found = named.and_then(|at| u8::try_from(at).ok()).or_else(|| lower.parse().ok());
    found.filter(|level| *level < 8).ok_or_else(|| format!("is no severity: {value:?}"))
}

fn status(value: &str) -> Result<u16, String> {
    number(value).and_then(|code| {
        if (100..=599).contains(&code) { Ok(code) } else { Err("is no status".to_owned()) }
    })
}

fn unquoted(text: &str) -> String {
    let inside = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    inside.unwrap_or(text).replace("\\'", "'")
}

/// At commas outside single quotes.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\'' if !escaped => quoted = !quoted,
            b',' if !quoted => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    if quoted {
        return Err("has an action with a quote that is not closed".to_owned());
    }
    parts.extend(text.get(start..));
    Ok(parts.into_iter().filter(|part| !part.trim().is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_rule_does() {
        let read = actions(
            "id:942100,phase:2,block,capture,t:none,t:urlDecodeUni,msg:'it\\'s, a test',\
             severity:'CRITICAL',setvar:'tx.score=+%{tx.critical}',setvar:!tx.gone,\
             ctl:ruleRemoveTargetById=942100-942200;ARGS:/^x/,skipAfter:END,nolog,chain",
        )
        .unwrap();
        assert_eq!((read.id, read.phase, read.severity), (Some(942_100), Some(2), Some(2)));
        assert_eq!(read.message.unwrap().plain(), Some("it's, a test"));
        assert_eq!(read.transformations, Some(vec![Transformation::UrlDecodeUni]));
        assert!(read.anew && read.capture && read.chain && read.log == Some(false));
        assert!(matches!(&read.sets[0].change, Change::Plus(by) if by.plain().is_none()));
        assert!(matches!(read.sets[1].change, Change::Gone));
        assert!(
            matches!(&read.effects[0], Effect::Remove(Whose::Ids(ids), Some(_)) if ids == &[(942_100, 942_200)])
        );
        assert_eq!(read.skip_after.as_deref(), Some("END"));
    }

    #[test]
    fn what_is_not_known_is_a_fault() {
        for text in [
            "exec:/bin/sh",
            "id:x",
            "phase:6",
            "t:rot13",
            "severity:BAD",
            "ctl:unknown=1",
            "setvar:args.x=1",
            "initcol:tx=1",
            "msg:'open",
            "ctl:requestBodyProcessor=YAML",
            "proxy:http://x",
            "status:20",
        ] {
            assert!(actions(text).is_err(), "{text}");
        }
    }
}
