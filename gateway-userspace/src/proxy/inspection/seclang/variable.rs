//! Targets: which values of a transaction a rule looks at.

use regex::bytes::{Regex, RegexBuilder};

/// What rules can name. Several of them hold one value, the others any number of named ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Variable {
    Args,
    ArgsCombinedSize,
    ArgsGet,
    ArgsGetNames,
    ArgsNames,
    ArgsPost,
    ArgsPostNames,
    AuthType,
    Duration,
    Files,
    FilesCombinedSize,
    FilesNames,
    FilesSizes,
    FilesTmpContent,
    FilesTmpNames,
    FullRequest,
    FullRequestLength,
    Geo,
    Global,
    HighestSeverity,
    InboundDataError,
    Ip,
    MatchedVar,
    MatchedVarName,
    MatchedVars,
    MatchedVarsNames,
    ModsecBuild,
    MultipartBoundaryQuoted,
    MultipartBoundaryWhitespace,
    MultipartCrlfLfLines,
    MultipartDataAfter,
    MultipartDataBefore,
    MultipartFileLimitExceeded,
    MultipartFilename,
    MultipartHeaderFolding,
    MultipartInvalidHeaderFolding,
    MultipartInvalidPart,
    MultipartInvalidQuoting,
    MultipartLfLine,
    MultipartMissingSemicolon,
    MultipartName,
    MultipartPartHeaders,
    MultipartStrictError,
    MultipartUnmatchedBoundary,
    OutboundDataError,
    PathInfo,
    QueryString,
    RemoteAddr,
    RemoteHost,
    RemotePort,
    RemoteUser,
    ReqbodyError,
    ReqbodyErrorMsg,
    ReqbodyProcessor,
    RequestBasename,
    RequestBody,
    RequestBodyLength,
    RequestCookies,
    RequestCookiesNames,
    RequestFilename,
    RequestHeaders,
    RequestHeadersNames,
    RequestLine,
    RequestMethod,
    RequestProtocol,
    RequestUri,
    RequestUriRaw,
    Resource,
    ResponseBody,
    ResponseContentLength,
    ResponseContentType,
    ResponseHeaders,
    ResponseHeadersNames,
    ResponseProtocol,
    ResponseStatus,
    Rule,
    ServerAddr,
    ServerName,
    ServerPort,
    Session,
    SessionId,
    StatusLine,
    Time,
    TimeDay,
    TimeEpoch,
    TimeHour,
    TimeMin,
    TimeMon,
    TimeSec,
    TimeWday,
    TimeYear,
    Tx,
    UniqueId,
    UrlencodedError,
    User,
    UserId,
    WebAppId,
    Xml,
}

/// Every name, in capitals. Where versions name one thing in two ways, both stand here.
const NAMES: &[(&str, Variable)] = {
    use Variable as V;
    &[
        ("ARGS", V::Args),
        ("ARGS_COMBINED_SIZE", V::ArgsCombinedSize),
        ("ARGS_GET", V::ArgsGet),
        ("ARGS_GET_NAMES", V::ArgsGetNames),
        ("ARGS_NAMES", V::ArgsNames),
        ("ARGS_POST", V::ArgsPost),
        ("ARGS_POST_NAMES", V::ArgsPostNames),
        ("AUTH_TYPE", V::AuthType),
        ("DURATION", V::Duration),
        ("FILES", V::Files),
        ("FILES_COMBINED_SIZE", V::FilesCombinedSize),
        ("FILES_NAMES", V::FilesNames),
        ("FILES_SIZES", V::FilesSizes),
        ("FILES_TMP_CONTENT", V::FilesTmpContent),
        ("FILES_TMPNAMES", V::FilesTmpNames),
        ("FULL_REQUEST", V::FullRequest),
        ("FULL_REQUEST_LENGTH", V::FullRequestLength),
        ("GEO", V::Geo),
        ("GLOBAL", V::Global),
        ("HIGHEST_SEVERITY", V::HighestSeverity),
        ("INBOUND_DATA_ERROR", V::InboundDataError),
        ("IP", V::Ip),
        ("MATCHED_VAR", V::MatchedVar),
        ("MATCHED_VAR_NAME", V::MatchedVarName),
        ("MATCHED_VARS", V::MatchedVars),
        ("MATCHED_VARS_NAMES", V::MatchedVarsNames),
        ("MODSEC_BUILD", V::ModsecBuild),
        ("MULTIPART_BOUNDARY_QUOTED", V::MultipartBoundaryQuoted),
        ("MULTIPART_BOUNDARY_WHITESPACE", V::MultipartBoundaryWhitespace),
        ("MULTIPART_CRLF_LF_LINES", V::MultipartCrlfLfLines),
        ("MULTIPART_DATA_AFTER", V::MultipartDataAfter),
        ("MULTIPART_DATA_BEFORE", V::MultipartDataBefore),
        ("MULTIPART_FILE_LIMIT_EXCEEDED", V::MultipartFileLimitExceeded),
        ("MULTIPART_FILENAME", V::MultipartFilename),
        ("MULTIPART_HEADER_FOLDING", V::MultipartHeaderFolding),
        ("MULTIPART_INVALID_HEADER_FOLDING", V::MultipartInvalidHeaderFolding),
        ("MULTIPART_INVALID_PART", V::MultipartInvalidPart),
        ("MULTIPART_INVALID_QUOTING", V::MultipartInvalidQuoting),
        ("MULTIPART_LF_LINE", V::MultipartLfLine),
        ("MULTIPART_MISSING_SEMICOLON", V::MultipartMissingSemicolon),
        ("MULTIPART_SEMICOLON_MISSING", V::MultipartMissingSemicolon),
        ("MULTIPART_NAME", V::MultipartName),
        ("MULTIPART_PART_HEADERS", V::MultipartPartHeaders),
        ("MULTIPART_STRICT_ERROR", V::MultipartStrictError),
        ("MULTIPART_UNMATCHED_BOUNDARY", V::MultipartUnmatchedBoundary),
        ("OUTBOUND_DATA_ERROR", V::OutboundDataError),
        ("PATH_INFO", V::PathInfo),
        ("QUERY_STRING", V::QueryString),
        ("REMOTE_ADDR", V::RemoteAddr),
        ("REMOTE_HOST", V::RemoteHost),
        ("REMOTE_PORT", V::RemotePort),
        ("REMOTE_USER", V::RemoteUser),
        ("REQBODY_ERROR", V::ReqbodyError),
        ("REQBODY_PROCESSOR_ERROR", V::ReqbodyError),
        ("REQBODY_ERROR_MSG", V::ReqbodyErrorMsg),
        ("REQBODY_PROCESSOR_ERROR_MSG", V::ReqbodyErrorMsg),
        ("REQBODY_PROCESSOR", V::ReqbodyProcessor),
        ("REQUEST_BASENAME", V::RequestBasename),
        ("REQUEST_BODY", V::RequestBody),
        ("REQUEST_BODY_LENGTH", V::RequestBodyLength),
        ("REQUEST_COOKIES", V::RequestCookies),
        ("REQUEST_COOKIES_NAMES", V::RequestCookiesNames),
        ("REQUEST_FILENAME", V::RequestFilename),
        ("REQUEST_HEADERS", V::RequestHeaders),
        ("REQUEST_HEADERS_NAMES", V::RequestHeadersNames),
        ("REQUEST_LINE", V::RequestLine),
        ("REQUEST_METHOD", V::RequestMethod),
        ("REQUEST_PROTOCOL", V::RequestProtocol),
        ("REQUEST_URI", V::RequestUri),
        ("REQUEST_URI_RAW", V::RequestUriRaw),
        ("RESOURCE", V::Resource),
        ("RESPONSE_BODY", V::ResponseBody),
        ("RESPONSE_CONTENT_LENGTH", V::ResponseContentLength),
        ("RESPONSE_CONTENT_TYPE", V::ResponseContentType),
        ("RESPONSE_HEADERS", V::ResponseHeaders),
        ("RESPONSE_HEADERS_NAMES", V::ResponseHeadersNames),
        ("RESPONSE_PROTOCOL", V::ResponseProtocol),
        ("RESPONSE_STATUS", V::ResponseStatus),
        ("RULE", V::Rule),
        ("SERVER_ADDR", V::ServerAddr),
        ("SERVER_NAME", V::ServerName),
        ("SERVER_PORT", V::ServerPort),
        ("SESSION", V::Session),
        ("SESSIONID", V::SessionId),
        ("STATUS_LINE", V::StatusLine),
        ("STATUS", V::ResponseStatus),
        ("TIME", V::Time),
        ("TIME_DAY", V::TimeDay),
        ("TIME_EPOCH", V::TimeEpoch),
        ("TIME_HOUR", V::TimeHour),
        ("TIME_MIN", V::TimeMin),
        ("TIME_MON", V::TimeMon),
        ("TIME_SEC", V::TimeSec),
        ("TIME_WDAY", V::TimeWday),
        ("TIME_YEAR", V::TimeYear),
        ("TX", V::Tx),
        ("UNIQUE_ID", V::UniqueId),
        ("URLENCODED_ERROR", V::UrlencodedError),
        ("USER", V::User),
        ("USERID", V::UserId),
        ("WEBAPPID", V::WebAppId),
        ("XML", V::Xml),
    ]
};

impl Variable {
    /// The variable of this name, in any case.
    pub(super) fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, found)| *found)
    }

    /// As rules write it.
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// Whether rules can write into it.
    pub(super) fn is_written(self) -> bool {
        self == Self::Tx || self.is_kept()
    }

    /// Whether what is in it outlives the transaction.
    pub(super) fn is_kept(self) -> bool {
        matches!(self, Self::Ip | Self::Global | Self::Session | Self::User | Self::Resource)
    }

    /// Whether its values stay what they are while rules run.
    pub(super) fn is_fixed(self) -> bool {
        let changing = matches!(
            self,
            Self::MatchedVar
                | Self::MatchedVarName
                | Self::MatchedVars
                | Self::MatchedVarsNames
                | Self::HighestSeverity
                | Self::Rule
                | Self::Duration
                | Self::ReqbodyProcessor
                | Self::SessionId
                | Self::UserId
        );
        !changing && !self.is_written()
    }
}

/// Which of a collection's values.
#[derive(Debug, Clone)]
pub(super) enum Selector {
    All,
    /// By name, in any case.
    Name(String),
    Pattern(Regex),
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, Self::All) => true,
            (Self::Name(one), Self::Name(two)) => one.eq_ignore_ascii_case(two),
            (Self::Pattern(one), Self::Pattern(two)) => one.as_str() == two.as_str(),
            (Self::All | Self::Name(_) | Self::Pattern(_), _) => false,
        }
    }
}

impl Selector {
    pub(super) fn takes(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Name(name) => name.as_bytes().eq_ignore_ascii_case(key),
            Self::Pattern(pattern) => pattern.is_match(key),
        }
    }
}

/// A variable with its selector.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pick {
    pub(super) variable: Variable,
    pub(super) selector: Selector,
}

/// One part of a rule's list of targets.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    Values(Pick),
    /// How many there are: `&`.
    Count(Pick),
    /// Not these: `!`.
    Not(Pick),
}

/// Reads a list such as `ARGS|!ARGS:/^x/|&TX:score`.
pub(super) fn targets(text: &str) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    for part in split(text) {
        let part = part.trim();
        let target = match part.as_bytes().first() {
            Some(b'!') => Target::Not(pick(part.get(1..).unwrap_or_default())?),
            Some(b'&') => Target::Count(pick(part.get(1..).unwrap_or_default())?),
            Some(_) => Target::Values(pick(part)?),
            None => return Err("has an empty target".to_owned()),
        };
        targets.push(target);
    }
    Ok(targets)
}

/// One such as `ARGS:id` or `TX:/^score/`.
pub(super) fn pick(text: &str) -> Result<Pick, String> {
    let (name, selector) = match text.split_once([':', '.']) {
        Some((name, selector)) => (name, Some(selector)),
        None => (text, None),
    };
    let variable = Variable::parse(name.trim());
    let variable = variable.ok_or_else(|| format!("names {name:?}, which is no variable"))?;
    Ok(Pick { variable, selector: selector.map_or(Ok(Selector::All), |s| select(variable, s))? })
}

fn select(variable: Variable, text: &str) -> Result<Selector, String> {
    let text = text.trim();
    let text = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text);
    if variable == Variable::Xml {
        // XPath, of which rule sets use the two that mean everything.
        return match text {
            "/*" | "//*" => Ok(Selector::Name("/*".to_owned())),
            "//@*" => Ok(Selector::Name("//@*".to_owned())),
            other => Err(format!("asks for XML:{other}; known are XML:/* and XML://@*")),
        };
    }
    let pattern = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
    let Some(pattern) = pattern else { return Ok(Selector::Name(text.to_owned())) };
    let pattern = RegexBuilder::new(pattern).unicode(false).case_insensitive(true).build();
    pattern.map(Selector::Pattern).map_err(|error| format!("selects by a bad pattern: {error}"))
}

/// At bars that are not inside a pattern or quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, None);
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        match (inside, byte) {
            (None, b'|' | b',') => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            // A slash that opens a pattern stands right behind the colon; XPath has no bar.
            (None, b'/') if before == Some(&b':') => {
                let after = bytes.get(at + 1..).unwrap_or_default();
                let is_path = after.starts_with(b"*") || after.starts_with(b"/");
                inside = (!is_path).then_some(b'/');
            }
            (None, b'\'') => inside = Some(b'\''),
            (Some(end), byte) if end == *byte && before != Some(&b'\\') => inside = None,
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_targets() {
        let list = targets("ARGS|!ARGS:/^a|b$/|&TX:score|XML:/*|REQUEST_HEADERS:'/x/'|tx.0");
        let list = list.unwrap();
        assert_eq!(list.len(), 6);
        let Target::Not(not) = &list[1] else { panic!("{:?}", list[1]) };
        assert!(
            not.selector.takes(b"A12") && not.selector.takes(b"xb") && !not.selector.takes(b"c")
        );
        assert!(matches!(&list[2], Target::Count(pick) if pick.selector.takes(b"SCORE")));
        assert!(matches!(&list[5], Target::Values(pick) if pick.selector.takes(b"0")));
        assert!(targets("ARGZ").unwrap_err().contains("ARGZ"));
        assert!(targets("ARGS||TX").is_err());
    }

    #[test]
    fn every_name_is_found_and_told_again() {
        for (name, variable) in NAMES {
            assert_eq!(Variable::parse(&name.to_lowercase()), Some(*variable));
            assert_eq!(Variable::parse(variable.name()), Some(*variable));
        }
    }
}
