//! Reads a request's body by the processor that rules ask for.

use super::{
    message::{Body, pairs},
    variable::Variable,
};
use crate::proxy::inspection::body::{
    Argument, Limits, json,
    multipart::{self, Oddity},
    xml,
};

/// Reads a body; what is wrong with it is told beside what was read.
pub fn read_body(processor: &str, media_type: &[u8], raw: &[u8]) -> Body {
    let limits = Limits::default();
    match processor {
        "URLENCODED" => {
            let mut body = Body { processor: "URLENCODED", ..Body::default() };
            pairs(raw, &mut body.arguments);
            body
        }
        "JSON" => {
            let read = json::read(raw, &limits);
            Body {
                processor: "JSON",
                arguments: arguments(read.arguments),
                error: read.error.map(|error| error.to_string()),
                ..Body::default()
            }
        }
        "XML" => {
            let read = xml::read(raw, &limits);
            let attributes = read.attributes.into_iter();
            let attributes = attributes.map(|value| (Variable::Xml, b"//@*".to_vec(), value));
            let text = (Variable::Xml, b"/*".to_vec(), read.text);
            Body {
                processor: "XML",
                more: std::iter::once(text).chain(attributes).collect(),
                error: read.error.map(|error| error.to_string()),
                ..Body::default()
            }
        }
        "MULTIPART" => form(media_type, raw, &limits),
        _ => Body::default(),
    }
}

fn arguments(read: Vec<Argument>) -> Vec<(Vec<u8>, Vec<u8>)> {
    read.into_iter().map(|one| (one.name, one.value)).collect()
}

fn form(media_type: &[u8], raw: &[u8], limits: &Limits) -> Body {
    let read = multipart::read(media_type, raw, limits);
    let headers = read.part_headers.into_iter();
    let headers = headers.map(|(name, line)| (Variable::MultipartPartHeaders, name, line));
    let mut more: Vec<_> = headers.collect();
    for oddity in &read.oddities {
        more.push((flag(*oddity), Vec::new(), b"1".to_vec()));
    }
    let strict = if read.oddities.is_empty() && read.error.is_none() { b"0" } else { b"1" };
    more.push((Variable::MultipartStrictError, Vec::new(), strict.to_vec()));
    for file in &read.files {
        more.push((Variable::MultipartFilename, Vec::new(), file.filename.clone()));
        more.push((Variable::MultipartName, Vec::new(), file.name.clone()));
    }
    let files = read.files.into_iter();
    Body {
        processor: "MULTIPART",
        arguments: arguments(read.arguments),
        files: files.map(|file| (file.name, file.filename, file.size)).collect(),
        more,
        error: read.error.map(|error| error.to_string()),
    }
}

fn flag(oddity: Oddity) -> Variable {
    match oddity {
        Oddity::BoundaryQuoted => Variable::MultipartBoundaryQuoted,
        Oddity::BoundaryWhitespace => Variable::MultipartBoundaryWhitespace,
        Oddity::DataBefore => Variable::MultipartDataBefore,
        Oddity::DataAfter => Variable::MultipartDataAfter,
        Oddity::HeaderFolding => Variable::MultipartHeaderFolding,
        Oddity::InvalidQuoting => Variable::MultipartInvalidQuoting,
        Oddity::LfLine => Variable::MultipartLfLine,
        Oddity::MissingSemicolon => Variable::MultipartMissingSemicolon,
        Oddity::UnmatchedBoundary => Variable::MultipartUnmatchedBoundary,
    }
}
