//! Orders about shadow mode: one write to the kernel, no file. They outlive the guard, as panic
//! does, and end with the host or `gateway shadow reset`.

use gateway_common::Class;
use tracing::warn;

use super::Core;
use crate::{
    control::Response,
    guard::{chain, kernel::ShadowOrders},
};

impl Core {
    /// Orders classes, or all, into shadow mode or out of it.
    pub(super) fn order_shadow(&mut self, on: bool, classes: &[String]) -> Response {
        let bits = match bits(classes) {
            Ok(bits) => bits,
            Err(message) => return Response::Refused { message },
        };
        let ShadowOrders { shadow, enforce } = self.kernel.0.shadow_orders();
        let orders = if on {
            ShadowOrders { shadow: shadow | bits, enforce: enforce & !bits }
        } else {
            ShadowOrders { shadow: shadow & !bits, enforce: enforce | bits }
        };
        let what = if classes.is_empty() { "everything".to_owned() } else { classes.join(", ") };
        let how = if on { "passes and is only counted" } else { "is dropped" };
        self.give(orders, format!("what {what} would drop {how}, whatever [kernel] says"))
    }

    /// Takes every order back.
    pub(super) fn reset_shadow(&mut self) -> Response {
        self.give(ShadowOrders::default(), "shadow mode is as [kernel] says".to_owned())
    }

    fn give(&mut self, orders: ShadowOrders, message: String) -> Response {
        if let Err(error) = self.kernel.0.order_shadow(orders) {
            return Response::Refused { message: chain(&error) };
        }
        warn!(target: "audit", action = "shadow", "{message}");
        Response::Done { message }
    }
}

/// The bits of these classes; of all if none is named.
fn bits(classes: &[String]) -> Result<u64, String> {
    let bits_of = |class: Class| class.bits();
    if classes.is_empty() {
        return Ok(Class::ALL.into_iter().map(bits_of).fold(0, |all, bits| all | bits));
    }
    classes.iter().try_fold(0, |all, name| {
        let class = Class::ALL.into_iter().find(|class| class.name() == name);
        let known = || Class::ALL.map(Class::name).join(", ");
        Ok(all
            | bits_of(class.ok_or_else(|| format!("{name} is no class; there are {}", known()))?))
    })
}
