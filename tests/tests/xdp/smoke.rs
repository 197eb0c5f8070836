use super::fixture::{DROP, Fixture, PASS};
use gateway_common::Reason;
use gateway_userspace::guard::kernel::{BanSource, KernelBan, PacketFilter as _};
use std::time::Duration;

#[test]
fn smoke() {
    let mut f = Fixture::new();
    println!("tick {}", f.filter.tick_ns());
    let b = etherparse::PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([10, 1, 2, 3], [10, 0, 0, 1], 64)
        .udp(1000, 53);
    let mut frame = vec![];
    b.write(&mut frame, &[0; 32]).unwrap();
    assert_eq!(f.judge(&frame), (PASS, Reason::Passed));
    let (a, d) = f.filter.test_run(&frame, 10_000_000).unwrap();
    println!("good {a} {d:?}");
    f.filter
        .put_ban(
            "10.1.2.3/32".parse().unwrap(),
            &KernelBan { left: None, reason: Reason::Operator, source: BanSource::Cli },
        )
        .unwrap();
    assert_eq!(f.judge(&frame), (DROP, Reason::BanHost));
    let (a, d) = f.filter.test_run(&frame, 10_000_000).unwrap();
    println!("banned {a} {d:?}");
    f.filter.remove_ban("10.1.2.3/32".parse().unwrap()).unwrap();
    assert_eq!(f.judge(&frame), (PASS, Reason::Passed));
    f.filter
        .put_ban(
            "10.1.0.0/16".parse().unwrap(),
            &KernelBan {
                left: Some(Duration::from_millis(50)),
                reason: Reason::Operator,
                source: BanSource::Cli,
            },
        )
        .unwrap();
    assert_eq!(f.judge(&frame), (DROP, Reason::BanPrefix));
    println!("{:#?}", f.filter.status());
    println!("{:?}", f.filter.next_event());
}
