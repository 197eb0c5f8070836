//! Policies on trial and shadow mode, on the real object: the kernel alone keeps the deadline.

use std::time::Duration;

use gateway_common::{Class, Reason};
use gateway_tests::wait::until;
use gateway_userspace::{
    config::model::{Answer, Kernel, Mode},
    guard::kernel::{KernelError, PacketFilter as _, ShadowOrders},
};

use super::{
    fixture::{DROP, Fixture, PASS, config, forever, is_possible, rows},
    frames::{V4, udp4},
};

/// A frame of no known protocol: what happens to it is the policy's to say.
const STRANGE: [u8; 64] = [0x77; 64];

const LONG: Duration = Duration::from_mins(10);

/// A loaded machine may stand still for a while.
const SOON: Duration = Duration::from_secs(20);

fn answers(answer: Answer) -> Kernel {
    Kernel { answers: rows(answer), ..config() }
}

#[test]
fn a_trial_that_nobody_confirms_is_over_without_anybody() {
    if !is_possible("xdp::trial::a_trial_that_nobody_confirms_is_over_without_anybody") {
        return;
    }
    let mut fixture = Fixture::with(&answers(Answer::Drop));
    assert_eq!(fixture.judge(&STRANGE).0, DROP);
    fixture.filter.try_policy(&answers(Answer::Pass), Duration::from_millis(600)).unwrap();
    // Nothing but packets from here on.
    let mut passed = 0;
    until("the kernel to go back", SOON, || {
        let (action, _) = fixture.filter.test_run(&STRANGE, 1).unwrap();
        passed += u32::from(action == PASS);
        (action == DROP).then_some(())
    })
    .unwrap();
    assert!(passed > 0, "the trial was never in force");
    let late = fixture.filter.confirm_policy(&answers(Answer::Pass)).unwrap_err();
    assert!(matches!(late, KernelError::TrialOver), "{late}");
    assert_eq!(fixture.judge(&STRANGE).0, DROP, "a late confirmation changes nothing");
    fixture.filter.roll_back_policy().unwrap();
    assert_eq!(fixture.filter.trial_left().unwrap(), None);
    assert_eq!(fixture.judge(&STRANGE).0, DROP);
}

#[test]
fn a_confirmed_policy_stays_and_a_rolled_back_one_is_gone_at_once() {
    if !is_possible("xdp::trial::a_confirmed_policy_stays_and_a_rolled_back_one_is_gone_at_once") {
        return;
    }
    let mut fixture = Fixture::with(&answers(Answer::Drop));
    let nothing = fixture.filter.confirm_policy(&answers(Answer::Pass)).unwrap_err();
    assert!(matches!(nothing, KernelError::NoTrial), "{nothing}");
    // Both slots in turn, and once more.
    for (answer, action) in [(Answer::Pass, PASS), (Answer::Drop, DROP), (Answer::Pass, PASS)] {
        fixture.filter.try_policy(&answers(answer), LONG).unwrap();
        assert_eq!(fixture.judge(&STRANGE).0, action);
        fixture.filter.confirm_policy(&answers(answer)).unwrap();
        assert_eq!(fixture.judge(&STRANGE).0, action);
        assert_eq!(fixture.filter.trial_left().unwrap(), None);
    }
    fixture.filter.try_policy(&answers(Answer::Drop), LONG).unwrap();
    assert_eq!(fixture.judge(&STRANGE).0, DROP);
    fixture.filter.roll_back_policy().unwrap();
    assert_eq!(fixture.judge(&STRANGE).0, PASS);
}

#[test]
fn shadow_mode_is_switched_class_by_class() {
    if !is_possible("xdp::trial::shadow_mode_is_switched_class_by_class") {
        return;
    }
    let mut fixture = Fixture::with(&answers(Answer::Drop));
    fixture.filter.put_ban("192.0.2.0/24".parse().unwrap(), &forever()).unwrap();
    let banned = udp4(V4);
    let orders = ShadowOrders { shadow: Class::Bans.bits(), enforce: 0 };
    fixture.filter.order_shadow(orders).unwrap();
    assert_eq!(fixture.judge(&banned), (PASS, Reason::BanPrefix));
    assert_eq!(fixture.judge(&STRANGE).0, DROP, "another class is as it was");
    assert_eq!(fixture.filter.status().shadow, ["bans"]);
    assert_eq!(fixture.filter.status().mode, "enforce");

    fixture.filter.order_shadow(ShadowOrders::default()).unwrap();
    assert_eq!(fixture.judge(&banned), (DROP, Reason::BanPrefix));
}

#[test]
fn an_order_to_enforce_comes_before_a_policy_in_shadow_mode() {
    if !is_possible("xdp::trial::an_order_to_enforce_comes_before_a_policy_in_shadow_mode") {
        return;
    }
    let kernel = Kernel { mode: Mode::Shadow, ..answers(Answer::Drop) };
    let mut fixture = Fixture::with(&kernel);
    fixture.filter.put_ban("192.0.2.0/24".parse().unwrap(), &forever()).unwrap();
    assert_eq!(fixture.filter.status().mode, "shadow");
    assert_eq!(fixture.judge(&udp4(V4)), (PASS, Reason::BanPrefix));
    let orders = ShadowOrders { shadow: 0, enforce: Class::Bans.bits() };
    fixture.filter.order_shadow(orders).unwrap();
    assert_eq!(fixture.judge(&udp4(V4)), (DROP, Reason::BanPrefix));
    assert_eq!(fixture.judge(&STRANGE).0, PASS);
}
