//! Making signatures.

use http::{HeaderName, HeaderValue};
use sfv::{BareItem, Dictionary, FieldType as _, InnerList, Integer, Item, Key, ListEntry};

use super::{Component, Fault, Message, SigningKey, base::base};

pub(super) static INPUT: HeaderName = HeaderName::from_static("signature-input");
pub(super) static SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// What a signature says of itself. Times are in seconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct Statement {
    pub created: Option<u64>,
    pub expires: Option<u64>,
    pub nonce: Option<String>,
    /// Whether the algorithm is named, which verifiers that bind it to the key do not need.
    pub algorithm: bool,
    pub key_id: Option<String>,
    pub tag: Option<String>,
}

/// The two fields of a signed message.
#[derive(Debug, Clone)]
pub struct Signed {
    pub input: HeaderValue,
    pub signature: HeaderValue,
}

impl Signed {
    /// As they are sent.
    pub fn fields(self) -> [(&'static HeaderName, HeaderValue); 2] {
        [(&INPUT, self.input), (&SIGNATURE, self.signature)]
    }
}

/// Signs `components` of a message.
pub fn sign(
    message: &Message<'_>,
    label: &str,
    components: &[Component],
    statement: &Statement,
    key: &SigningKey,
) -> Result<Signed, Fault> {
    let parameters = parameters(components, statement, key)?;
    let (base, _) = base(message, components, &parameters)?;
    let signature = key.sign(base.as_bytes()).ok_or(Fault::NoKey)?;
    let input = field(label, ListEntry::InnerList(parameters))?;
    let signature = field(label, ListEntry::Item(Item::new(signature)))?;
    Ok(Signed { input, signature })
}

fn parameters(
    components: &[Component],
    statement: &Statement,
    key: &SigningKey,
) -> Result<InnerList, Fault> {
    let items = components.iter().map(Component::item).collect::<Result<_, _>>()?;
    let mut list = InnerList::new(items);
    let algorithm = statement.algorithm.then(|| key.algorithm().name().to_owned());
    let all = [
        ("created", statement.created.map(time).transpose()?),
        ("expires", statement.expires.map(time).transpose()?),
        ("nonce", statement.nonce.clone().map(text).transpose()?),
        ("alg", algorithm.map(text).transpose()?),
        ("keyid", statement.key_id.clone().map(text).transpose()?),
        ("tag", statement.tag.clone().map(text).transpose()?),
    ];
    for (name, value) in all {
        if let Some(value) = value {
            list.params.insert(named(name)?, value);
        }
    }
    Ok(list)
}

fn named(name: &str) -> Result<Key, Fault> {
    Key::from_string(name.to_owned()).map_err(|_unlawful| Fault::Malformed)
}

fn text(text: String) -> Result<BareItem, Fault> {
    let text = sfv::String::from_string(text).map_err(|_unlawful| Fault::Malformed)?;
    Ok(BareItem::String(text))
}

fn time(seconds: u64) -> Result<BareItem, Fault> {
    let seconds = Integer::try_from(seconds).map_err(|_too_far| Fault::Malformed)?;
    Ok(BareItem::Integer(seconds))
}

fn field(label: &str, entry: ListEntry) -> Result<HeaderValue, Fault> {
    let members = Dictionary::from_iter([(named(label)?, entry)]);
    let text = members.serialize().ok_or(Fault::Malformed)?;
    HeaderValue::try_from(text).map_err(|_unlawful| Fault::Malformed)
}
