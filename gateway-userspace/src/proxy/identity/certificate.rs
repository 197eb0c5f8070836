//! Who a client is by its certificate: names, subject, fingerprint; and how suppliers are told. The
//! verifier has checked the chain by the time anything is read here.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::config::model::ForwardCertificate;

static CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
static XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Bytes of a field that a supplier gets: many servers take 8 KiB in one line.
const FIELD_BYTES: usize = 7 * 1024;

/// A client that proved to hold the key of this certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub subject: String,
    pub dns: Vec<String>,
    /// SPIFFE identities among them.
    pub uris: Vec<String>,
    pub emails: Vec<String>,
    /// SHA-256 of the certificate, in lower-case hexadecimal.
    pub fingerprint: String,
    /// The field that suppliers get, as configured.
    pub(crate) forwarded: Option<(HeaderName, HeaderValue)>,
}

impl ClientCertificate {
    /// `None` for what is no certificate, which the verifier takes for none either.
    pub(crate) fn read(der: &CertificateDer<'_>, forward: ForwardCertificate) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut client = Self {
            subject: certificate.subject().to_string(),
            dns: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            fingerprint: fingerprint(der),
            forwarded: None,
        };
        if let Some(names) = certificate.subject_alternative_name().ok()? {
            names.value.general_names.iter().for_each(|name| client.add(name));
        }
        client.forwarded = match forward {
            ForwardCertificate::Off => None,
            ForwardCertificate::ClientCert => field(&CLIENT_CERT, &byte_sequence(der)),
            ForwardCertificate::Xfcc => field(&XFCC, &client.xfcc()),
        };
        Some(client)
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        if let GeneralName::DNSName(name) = name {
            self.dns.push(name.to_ascii_lowercase());
        } else if let GeneralName::URI(name) = name {
            self.uris.push((*name).to_owned());
        } else if let GeneralName::RFC822Name(name) = name {
            self.emails.push((*name).to_owned());
        }
    }

    /// As Envoy writes it: pairs in one element.
    fn xfcc(&self) -> String {
        let mut text = format!("Hash={};Subject=\"{}\"", self.fingerprint, escaped(&self.subject));
        let names = self.uris.iter().map(|uri| ("URI", uri));
        for (key, name) in names.chain(self.dns.iter().map(|name| ("DNS", name))) {
            text.extend([";", key, "=\"", &escaped(name), "\""]);
        }
        text
    }
}

/// SHA-256 of the DER, in hexadecimal.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    digest(&SHA256, der).as_ref().iter().flat_map(|byte| hexadecimal(*byte)).collect()
}

/// Two digits, in lower case.
fn hexadecimal(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0'))
}

/// `None` for one that would be cut: half an identity is another one.
fn field(name: &HeaderName, value: &str) -> Option<(HeaderName, HeaderValue)> {
    if value.len() > FIELD_BYTES {
        return None;
    }
    Some((name.clone(), HeaderValue::from_str(value).ok()?))
}

/// A quoted string that nothing in it can end; what is not visible ASCII is percent-encoded.
fn escaped(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => {
                let digits = hexadecimal(byte).map(|digit| digit.to_ascii_uppercase());
                quoted.extend(['%'].into_iter().chain(digits));
            }
        }
    }
    quoted
}

/// A byte sequence of structured fields (RFC 9651 section 3.3.5): base64 between colons.
fn byte_sequence(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4 + 2);
    text.push(':');
    BASE64_STANDARD.encode_string(bytes, &mut text);
    text.push(':');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_the_vectors_of_rfc_4648() {
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, expected) in vectors.iter().enumerate() {
            assert_eq!(byte_sequence(&b"foobar"[..length]), format!(":{expected}:"));
        }
    }

    #[test]
    fn no_subject_ends_its_quotes_or_adds_a_line() {
        assert_eq!(escaped("CN=a\",Hash=0\\\r\né"), "CN=a\\\",Hash=0\\\\%0D%0A%C3%A9");
    }

    #[test]
    fn names_of_all_kinds_are_read() {
        let mut parameters = rcgen::CertificateParams::new(vec!["Pos.Example".to_owned()]).unwrap();
        let uri = "spiffe://example.org/till/7";
        parameters.subject_alt_names.push(rcgen::SanType::URI(uri.try_into().unwrap()));
        let email = rcgen::SanType::Rfc822Name("till@example.org".try_into().unwrap());
        parameters.subject_alt_names.push(email);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "till 7");
        let key = rcgen::KeyPair::generate().unwrap();
        let made = parameters.self_signed(&key).unwrap();
        let read = ClientCertificate::read(made.der(), ForwardCertificate::Xfcc).unwrap();
        assert_eq!(
            (read.dns.as_slice(), read.uris.as_slice()),
            (&["pos.example".to_owned()][..], &[uri.to_owned()][..])
        );
        assert_eq!(read.emails, ["till@example.org"]);
        assert!(read.subject.contains("till 7"));
        let (name, value) = read.forwarded.unwrap();
        assert_eq!(name, "x-forwarded-client-cert");
        let value = value.to_str().unwrap();
        assert!(value.starts_with(&format!("Hash={};Subject=\"CN=", read.fingerprint)), "{value}");
        assert!(value.ends_with(&format!(";URI=\"{uri}\";DNS=\"pos.example\"")), "{value}");
    }
}
