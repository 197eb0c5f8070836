//! Transformations of SecLang (`t:...`): pure functions of bytes that compute what ModSecurity v3
//! computes, quirks included, because rule sets are written against those.
//!
//! Two things differ on purpose, so that nothing is hidden: where v3 drops what stands behind a NUL
//! byte (`cssDecode`, `sqlHexDecode`), the rest is kept, and `sqlHexDecode` keeps the last byte.
//! What an operation leaves as it is comes back borrowed.

mod base64;
mod cleaning;
mod command;
mod comments;
mod digest;
mod digits;
mod html;
mod path;
pub(super) mod percent;
mod script;
mod sql;
mod unicode;

use std::borrow::Cow;

/// One `t:` of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transformation {
    Base64Decode,
    Base64DecodeExt,
    Base64Encode,
    CmdLine,
    CompressWhitespace,
    CssDecode,
    EscapeSeqDecode,
    HexDecode,
    HexEncode,
    HtmlEntityDecode,
    JsDecode,
    Length,
    Lowercase,
    Md5,
    None,
    NormalizePath,
    NormalizePathWin,
    ParityEven7Bit,
    ParityOdd7Bit,
    ParityZero7Bit,
    RemoveComments,
    RemoveCommentsChar,
    RemoveNulls,
    RemoveWhitespace,
    ReplaceComments,
    ReplaceNulls,
    Sha1,
    SqlHexDecode,
    Trim,
    TrimLeft,
    TrimRight,
    Uppercase,
    UrlDecode,
    UrlDecodeUni,
    UrlEncode,
    Utf8ToUnicode,
}

impl Transformation {
    /// Every name of ModSecurity v3, in lower case: names mean the same in any case.
    const NAMES: &[(&str, Self)] = &[
        ("base64decode", Self::Base64Decode),
        ("base64decodeext", Self::Base64DecodeExt),
        ("base64encode", Self::Base64Encode),
        ("cmdline", Self::CmdLine),
        ("compresswhitespace", Self::CompressWhitespace),
        ("cssdecode", Self::CssDecode),
        ("escapeseqdecode", Self::EscapeSeqDecode),
        ("hexdecode", Self::HexDecode),
        ("hexencode", Self::HexEncode),
        ("htmlentitydecode", Self::HtmlEntityDecode),
        ("jsdecode", Self::JsDecode),
        ("length", Self::Length),
        ("lowercase", Self::Lowercase),
        ("md5", Self::Md5),
        ("none", Self::None),
        ("normalisepath", Self::NormalizePath),
        ("normalizepath", Self::NormalizePath),
        ("normalisepathwin", Self::NormalizePathWin),
        ("normalizepathwin", Self::NormalizePathWin),
        ("parityeven7bit", Self::ParityEven7Bit),
        ("parityodd7bit", Self::ParityOdd7Bit),
        ("parityzero7bit", Self::ParityZero7Bit),
        ("removecomments", Self::RemoveComments),
        ("removecommentschar", Self::RemoveCommentsChar),
        ("removenulls", Self::RemoveNulls),
        ("removewhitespace", Self::RemoveWhitespace),
        ("replacecomments", Self::ReplaceComments),
        ("replacenulls", Self::ReplaceNulls),
        ("sha1", Self::Sha1),
        ("sqlhexdecode", Self::SqlHexDecode),
        ("trim", Self::Trim),
        ("trimleft", Self::TrimLeft),
        ("trimright", Self::TrimRight),
        ("uppercase", Self::Uppercase),
        ("urldecode", Self::UrlDecode),
        ("urldecodeuni", Self::UrlDecodeUni),
        ("urlencode", Self::UrlEncode),
        ("utf8tounicode", Self::Utf8ToUnicode),
    ];

    /// The transformation of this name, as written behind `t:`.
    pub fn parse(name: &str) -> Option<Self> {
        let known = |(own, _): &&(&str, Self)| own.eq_ignore_ascii_case(name);
        Self::NAMES.iter().find(known).map(|(_, found)| *found)
    }

    /// Every transformation there is, each once.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = Self::NAMES.iter().map(|(_, one)| *one).collect();
        all.dedup();
        all
    }

    /// The value after this transformation; borrowed means that it is what it was.
    pub fn apply<'a>(&self, value: &'a [u8]) -> Cow<'a, [u8]> {
        match self.compute(value) {
            Cow::Owned(same) if same == value => Cow::Borrowed(value),
            Cow::Borrowed(part) if part.len() != value.len() => Cow::Owned(part.to_vec()),
            Cow::Owned(changed) => Cow::Owned(changed),
            Cow::Borrowed(same) => Cow::Borrowed(same),
        }
    }

    fn compute(self, value: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::None => Cow::Borrowed(value),
            Self::Base64Decode => base64::decode(value),
            Self::Base64DecodeExt => base64::decode_forgiving(value),
            Self::Base64Encode => base64::encode(value),
            Self::CmdLine => command::command_line(value),
            Self::CompressWhitespace => cleaning::compress_whitespace(value),
            Self::CssDecode => script::css_decode(value),
            Self::EscapeSeqDecode => script::escape_sequences(value),
            Self::HexDecode => digits::hex_decode(value),
            Self::HexEncode => digits::hex_encode(value),
            Self::HtmlEntityDecode => html::entities(value),
            Self::JsDecode => script::js_decode(value),
            Self::Length => Cow::Owned(value.len().to_string().into_bytes()),
            Self::Lowercase => cleaning::lowercase(value),
            Self::Md5 => digest::md5(value),
            Self::NormalizePath => path::normalize(value),
            Self::NormalizePathWin => path::normalize_windows(value),
            Self::ParityEven7Bit => cleaning::parity_even(value),
            Self::ParityOdd7Bit => cleaning::parity_odd(value),
            Self::ParityZero7Bit => cleaning::parity_zero(value),
            Self::RemoveComments => comments::remove(value),
            Self::RemoveCommentsChar => comments::remove_marks(value),
            Self::RemoveNulls => cleaning::remove_nulls(value),
            Self::RemoveWhitespace => cleaning::remove_whitespace(value),
            Self::ReplaceComments => comments::replace(value),
            Self::ReplaceNulls => cleaning::replace_nulls(value),
            Self::Sha1 => digest::sha1(value),
            Self::SqlHexDecode => sql::hex_decode(value),
            Self::Trim => cleaning::trim(value),
            Self::TrimLeft => cleaning::trim_left(value),
            Self::TrimRight => cleaning::trim_right(value),
            Self::Uppercase => cleaning::uppercase(value),
            Self::UrlDecode => percent::decode(value),
            Self::UrlDecodeUni => percent::decode_unicode(value),
            Self::UrlEncode => percent::encode(value),
            Self::Utf8ToUnicode => unicode::utf8_to_unicode(value),
        }
    }
}

#[cfg(test)]
mod tests;
