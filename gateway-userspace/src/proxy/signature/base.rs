//! The signature base (RFC 9421 section 2.5): what is signed, a line a component.

use sfv::InnerList;

use super::{Component, Fault, Message, component::inner_list};

/// The base of `components` in a message, and the parameters as they are signed.
pub(super) fn base(
    message: &Message<'_>,
    components: &[Component],
    parameters: &InnerList,
) -> Result<(String, String), Fault> {
    let mut base = String::with_capacity(256);
    for (i, component) in components.iter().enumerate() {
        if components.iter().take(i).any(|before| before == component) {
            return Err(Fault::TwiceCovered(component.to_string()));
        }
        let value = component.value(message)?;
        base.extend([&component.to_string(), ": ", &value, "\n"]);
    }
    let parameters = inner_list(parameters);
    base.extend(["\"@signature-params\": ", &parameters]);
    Ok((base, parameters))
}
