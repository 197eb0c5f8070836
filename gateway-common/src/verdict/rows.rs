//! The configured answers to what a packet is: `[kernel.answers]`.

use super::{Notes, Rules};
use crate::{
    Reason,
    packet::{Findings, Packet, address, protocol},
};

/// `Err` with the row that drops the packet; else the row it passes by is noted.
#[inline(always)]
pub(super) fn judge(
    findings: Findings,
    rules: &Rules<'_>,
    notes: &mut Notes,
) -> Result<(), Reason> {
    if findings.is_empty() {
        return Ok(());
    }
    let drops = findings.within(rules.policy.drops);
    if let Some(row) = drops.within(!rules.shadow()).first() {
        return Err(row);
    }
    if let Some(row) = drops.first() {
        notes.remember(row);
    }
    if let Some(row) = findings.within(!rules.policy.drops).first() {
        notes.pass(row);
    }
    Ok(())
}

/// All rows the packet meets: those of the parser, and those that are looked for only where they
/// drop.
#[inline(always)]
pub(super) fn of(packet: &Packet, rules: &Rules<'_>) -> Findings {
    let mut findings = packet.findings;
    if rules.policy.drops & Findings::OPT_IN.bits() != 0 {
        findings.merge(opted(packet).within(rules.policy.drops));
    }
    findings
}

#[inline(always)]
fn opted(packet: &Packet) -> Findings {
    let mut findings = Findings::NONE;
    findings.meet_if(address::is_private(packet), Reason::PrivateSource);
    findings.meet_if(address::is_reserved(packet), Reason::ReservedSource);
    findings.meet_if(is_echo_request(packet), Reason::EchoRequest);
    findings
}

#[inline(always)]
fn is_echo_request(packet: &Packet) -> bool {
    packet.transport != 0
        && matches!(
            (packet.version, packet.protocol, packet.icmp_type()),
            (4, protocol::ICMP, 8) | (6, protocol::ICMPV6, 128)
        )
}
