//! DNS messages, as far as a stub resolver writes and reads them (RFC 1035, RFC 6891): addresses,
//! aliases, and how long there is no such thing. Everything read here may come from a stranger.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of a name with its lengths, at most.
const NAME: usize = 255;
/// Octets of a label, at most.
const LABEL: usize = 63;
/// What may come in one datagram: no path of today fragments it (RFC 9715).
const PAYLOAD: u16 = 1232;
/// Records of an answer that are looked at.
const RECORDS: usize = 256;

const CLASS: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const OPT: u16 = 41;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V4 = 1,
    V6 = 28,
}

/// A name as it stands in messages, without compression and in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(Vec<u8>);

/// A question, and what its answer has to carry.
#[derive(Debug)]
pub(super) struct Question<'n> {
    /// Drawn anew for each datagram: who does not see the question has to guess it.
    pub(super) id: u16,
    pub(super) name: &'n Name,
    pub(super) kind: Kind,
    /// With EDNS, which very old servers do not know.
    pub(super) extended: bool,
}

/// An answer to the question asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u8,
    /// There is more than fits into a datagram.
    pub(super) truncated: bool,
    records: Vec<Record>,
    /// How long what is not there may be taken for absent (RFC 2308 5).
    pub(super) absent: Option<u32>,
}

#[derive(Debug, PartialEq, Eq)]
struct Record {
    owner: Name,
    ttl: u32,
    data: Data,
}

#[derive(Debug, PartialEq, Eq)]
enum Data {
    Address(IpAddr),
    Alias(Name),
}

/// What a reply says of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Addresses(Vec<IpAddr>, u32),
    /// The last of its aliases, of which the reply says no more; and how many there were.
    Alias(Name, u32, usize),
    Nothing,
}

/// Why a message is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It answers another question: late, or forged.
    NotOurs,
    Malformed,
}

impl Name {
    /// `None` where DNS cannot carry it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len() + 2);
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            let length = u8::try_from(label.len()).ok().filter(|length| *length > 0)?;
            if label.len() > LABEL {
                return None;
            }
            bytes.push(length);
            bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        bytes.push(0);
        (bytes.len() <= NAME).then_some(Self(bytes))
    }
}

impl Question<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let additional = u16::from(self.extended);
        // Recursion desired; one question.
        let head = [self.id, 0x0100, 1, 0, 0, additional];
        let mut bytes: Vec<u8> = head.into_iter().flat_map(u16::to_be_bytes).collect();
        bytes.extend(&self.name.0);
        bytes.extend([self.kind as u16, CLASS].into_iter().flat_map(u16::to_be_bytes));
        if self.extended {
            // The root, OPT, our payload, no flags, no options.
            bytes.push(0);
            bytes.extend([OPT, PAYLOAD, 0, 0, 0].into_iter().flat_map(u16::to_be_bytes));
        }
        bytes
    }

    /// Reads the answer to this question, and to no other.
    pub(super) fn decode(&self, message: &[u8]) -> Result<Reply, Fault> {
        let mut reader = Reader { message, at: 0 };
        let [id, flags, questions, answers, authorities, _additional] =
            reader.head().ok_or(Fault::NotOurs)?;
        // A response to a standard query.
        if id != self.id || flags & 0xF800 != 0x8000 {
            return Err(Fault::NotOurs);
        }
        let code = u8::try_from(flags & 0xF).unwrap_or_default();
        self.check(&mut reader, questions, code)?;
        let truncated = flags & 0x0200 != 0;
        let mut reply = Reply { code, truncated, records: Vec::new(), absent: None };
        if !truncated {
            reply.read(&mut reader, answers, authorities).ok_or(Fault::Malformed)?;
        }
        Ok(reply)
    }

    fn check(&self, reader: &mut Reader<'_>, questions: u16, code: u8) -> Result<(), Fault> {
        // Servers that cannot read a question do not repeat it. Such an answer says nothing of
        // the name: the next server is asked.
        if questions == 0 && [1, 2, 4, 5].contains(&code) {
            return Ok(());
        }
        let asked = (questions == 1).then(|| Some((reader.name()?, reader.u16()?, reader.u16()?)));
        let Some(Some((name, kind, class))) = asked else { return Err(Fault::NotOurs) };
        let ours = name == *self.name && kind == self.kind as u16 && class == CLASS;
        if ours { Ok(()) } else { Err(Fault::NotOurs) }
    }
}

impl Reply {
    fn read(&mut self, reader: &mut Reader<'_>, answers: u16, authorities: u16) -> Option<()> {
        for _ in 0..answers {
            let record = reader.record()?;
            if let Some(data) = record.data()
                && self.records.len() < RECORDS
            {
                let (owner, ttl) = (record.owner, record.ttl);
                self.records.push(Record { owner, ttl, data });
            }
        }
        for _ in 0..authorities {
            let record = reader.record()?;
            if record.kind == SOA {
                self.absent = Some(record.ttl.min(record.minimum()?));
            }
        }
        Some(())
    }

    /// Follows aliases inside the reply: a record of any other name counts for nothing.
    pub(super) fn about(&self, name: &Name, kind: Kind) -> Said {
        let (mut name, mut ttl) = (name, u32::MAX);
        // A loop cannot take more steps than there are records.
        for steps in 0..=self.records.len() {
            let mine = || self.records.iter().filter(|record| record.owner == *name);
            let addresses = mine().filter_map(|record| match record.data {
                Data::Address(address) if address.is_ipv4() == (kind == Kind::V4) => {
                    Some((address, record.ttl))
                }
                Data::Address(_) | Data::Alias(_) => None,
            });
            let (addresses, ttls): (Vec<_>, Vec<_>) = addresses.unzip();
            if let Some(least) = ttls.into_iter().min() {
                return Said::Addresses(addresses, ttl.min(least));
            }
            let alias = mine().find_map(|record| match &record.data {
                Data::Alias(alias) => Some((alias, record.ttl)),
                Data::Address(_) => None,
            });
            match alias {
                Some((alias, its)) => (name, ttl) = (alias, ttl.min(its)),
                None if steps == 0 => return Said::Nothing,
                None => return Said::Alias(name.clone(), ttl, steps),
            }
        }
        // They lead in a circle.
        Said::Alias(name.clone(), ttl, RECORDS)
    }
}

/// A record as it stands in a message.
struct Raw<'m> {
    owner: Name,
    kind: u16,
    class: u16,
    ttl: u32,
    message: &'m [u8],
    start: usize,
    end: usize,
}

impl Raw<'_> {
    /// `None` for what nobody asked for.
    fn data(&self) -> Option<Data> {
        let bytes = self.message.get(self.start..self.end)?;
        match self.kind {
            _ if self.class != CLASS => None,
            1 => <[u8; 4]>::try_from(bytes).ok().map(|b| Data::Address(Ipv4Addr::from(b).into())),
            28 => <[u8; 16]>::try_from(bytes).ok().map(|b| Data::Address(Ipv6Addr::from(b).into())),
            CNAME => self.reader().name().map(Data::Alias),
            _ => None,
        }
    }

    /// The last field of an SOA record.
    fn minimum(&self) -> Option<u32> {
        let mut reader = self.reader();
        reader.name()?;
        reader.name()?;
        let numbers: Option<Vec<u32>> = (0..5).map(|_| reader.u32()).collect();
        numbers?.last().copied()
    }

    fn reader(&self) -> Reader<'_> {
        // Names in it may point back to anywhere in the message, and nothing after it counts.
        Reader { message: self.message.get(..self.end).unwrap_or_default(), at: self.start }
    }
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn head(&mut self) -> Option<[u16; 6]> {
        let fields: Option<Vec<u16>> = (0..6).map(|_| self.u16()).collect();
        fields?.try_into().ok()
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let end = self.at.checked_add(N)?;
        let bytes = self.message.get(self.at..end)?.try_into().ok()?;
        self.at = end;
        Some(bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// Pointers lead backwards only, each before the last, so that none leads in a circle.
    fn name(&mut self) -> Option<Name> {
        let mut bytes = Vec::new();
        let (mut at, mut earliest, mut resume) = (self.at, self.at, None);
        loop {
            let length = *self.message.get(at)?;
            match length {
                0 => {
                    bytes.push(0);
                    self.at = resume.unwrap_or(at + 1);
                    return (bytes.len() <= NAME).then_some(Name(bytes));
                }
                1..=63 => {
                    let label = self.message.get(at + 1..=at + usize::from(length))?;
                    bytes.push(length);
                    bytes.extend(label.iter().map(u8::to_ascii_lowercase));
                    at += 1 + label.len();
                }
                192.. => {
                    let low = *self.message.get(at + 1)?;
                    resume.get_or_insert(at + 2);
                    at = usize::from(u16::from_be_bytes([length & 0x3F, low]));
                    if at >= earliest {
                        return None;
                    }
                    earliest = at;
                }
                64..192 => return None,
            }
            if bytes.len() > NAME {
                return None;
            }
        }
    }

    fn record(&mut self) -> Option<Raw<'m>> {
        let (owner, kind, class) = (self.name()?, self.u16()?, self.u16()?);
        // With the highest bit set it counts as 0 (RFC 2181 8).
        let ttl = self.u32()?;
        let ttl = if i32::try_from(ttl).is_ok() { ttl } else { 0 };
        let length = usize::from(self.u16()?);
        let (start, end) = (self.at, self.at.checked_add(length)?);
        self.message.get(start..end)?;
        self.at = end;
        Some(Raw { owner, kind, class, ttl, message: self.message, start, end })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) const SHORT: u32 = 7;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn question(name: &Name, kind: Kind) -> Question<'_> {
        Question { id: 0x1234, name, kind, extended: true }
    }

    /// A response to the question bytes, with records whose owner is written out.
    pub(in super::super) fn response(
        question: &[u8],
        code: u8,
        answers: &[(&str, u16, u32, Vec<u8>)],
        authorities: &[(&str, u16, u32, Vec<u8>)],
    ) -> Vec<u8> {
        let end = question.windows(1).skip(12).position(|b| b == [0]).unwrap() + 12 + 5;
        let length = |count: usize| u16::try_from(count).unwrap();
        let counts = [1, length(answers.len()), length(authorities.len()), 0];
        let mut bytes = vec![question[0], question[1], 0x81, 0x80 | code];
        bytes.extend(counts.into_iter().flat_map(u16::to_be_bytes));
        bytes.extend(&question[12..end]);
        for (owner, kind, ttl, data) in answers.iter().chain(authorities) {
            bytes.extend(Name::parse(owner).unwrap().0);
            bytes.extend([*kind, 1].into_iter().flat_map(u16::to_be_bytes));
            bytes.extend(ttl.to_be_bytes());
            bytes.extend(length(data.len()).to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }

    pub(in super::super) fn wire(text: &str) -> Vec<u8> {
        name(text).0
    }

    /// An SOA record's data with this minimum.
    pub(in super::super) fn soa(minimum: u32) -> Vec<u8> {
        let mut data = [wire("ns.example"), wire("admin.example")].concat();
        data.extend([1, 2, 3, 4, minimum].into_iter().flat_map(u32::to_be_bytes));
        data
    }

    #[test]
    fn follows_aliases_of_the_question_and_of_nothing_else() {
        let asked = name("api.example");
        let question = question(&asked, Kind::V4);
        let answers = [
            ("elsewhere.example", 1, 1, vec![6, 6, 6, 6]),
            ("cdn.example", 1, 60, vec![192, 0, 2, 1]),
            ("API.example", 5, SHORT, wire("cdn.example")),
            ("cdn.example", 1, 50, vec![192, 0, 2, 2]),
            ("cdn.example", 28, 1, vec![0; 16]),
        ];
        let reply = question.decode(&response(&question.encode(), 0, &answers, &[])).unwrap();
        let both = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()].to_vec();
        assert_eq!(reply.about(&asked, Kind::V4), Said::Addresses(both, SHORT));
    }

    #[test]
    fn aliases_in_a_circle_and_without_an_end_are_told_as_such() {
        let asked = name("a.example");
        let question = question(&asked, Kind::V4);
        let circle =
            [("a.example", 5, 9, wire("b.example")), ("b.example", 5, 9, wire("a.example"))];
        let reply = question.decode(&response(&question.encode(), 0, &circle, &[])).unwrap();
        assert!(matches!(reply.about(&asked, Kind::V4), Said::Alias(_, 9, steps) if steps >= 2));
        let open = &circle[..1];
        let reply = question.decode(&response(&question.encode(), 0, open, &[])).unwrap();
        assert_eq!(reply.about(&asked, Kind::V4), Said::Alias(name("b.example"), 9, 1));
    }

    #[test]
    fn what_is_not_there_is_not_there_for_as_long_as_its_zone_says() {
        let asked = name("gone.example");
        let question = question(&asked, Kind::V6);
        let zone = [("example", 6, 300, soa(30))];
        let reply = question.decode(&response(&question.encode(), 3, &[], &zone)).unwrap();
        assert_eq!((reply.code, reply.absent), (3, Some(30)));
        assert_eq!(reply.about(&asked, Kind::V6), Said::Nothing);
    }

    #[test]
    fn answers_to_other_questions_are_not_ours() {
        let asked = name("api.example");
        let question = question(&asked, Kind::V4);
        let good = response(&question.encode(), 0, &[("api.example", 1, 9, vec![1; 4])], &[]);
        assert!(question.decode(&good).is_ok());
        let other = Question { id: 0x1235, ..question };
        assert_eq!(other.decode(&good), Err(Fault::NotOurs));
        let other = Question { kind: Kind::V6, id: 0x1234, name: &asked, extended: true };
        assert_eq!(other.decode(&good), Err(Fault::NotOurs));
        let else_name = name("apj.example");
        let other = Question { kind: Kind::V4, id: 0x1234, name: &else_name, extended: true };
        assert_eq!(other.decode(&good), Err(Fault::NotOurs));
        let mut query = good.clone();
        query[2] &= 0x7F;
        let question = Question { id: 0x1234, name: &asked, kind: Kind::V4, extended: true };
        assert_eq!(question.decode(&query), Err(Fault::NotOurs), "a question is no answer");
        let mut silent = good;
        silent[5] = 0;
        assert_eq!(question.decode(&silent), Err(Fault::NotOurs), "it repeats no question");
    }

    #[test]
    fn pointers_that_lead_forward_or_in_a_circle_are_no_names() {
        for message in [&[0xC0, 0x00][..], &[0xC0, 0x02, 0x00], &[1, b'a', 0xC0, 0x00]] {
            assert_eq!(Reader { message, at: 0 }.name(), None, "{message:?}");
        }
        let back = [1, b'B', 0, 1, b'a', 0xC0, 0x00, 9];
        let mut reader = Reader { message: &back, at: 3 };
        assert_eq!(reader.name(), Some(name("a.b")));
        assert_eq!(reader.at, 7);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            tail in proptest::collection::vec(any::<u8>(), 0..300),
            counts in any::<[u8; 4]>(),
        ) {
            let asked = name("a.example");
            let question = question(&asked, Kind::V4);
            let mut bytes = response(&question.encode(), 0, &[], &[]);
            bytes[6] = 0;
            bytes[7] = counts[0];
            bytes[8] = 0;
            bytes[9] = counts[1];
            bytes.extend(tail);
            if let Ok(reply) = question.decode(&bytes) {
                reply.about(&asked, Kind::V4);
                prop_assert!(reply.records.len() <= RECORDS);
            }
        }

        #[test]
        fn what_is_written_is_read_back(text in "[a-z0-9]{1,20}(\\.[a-z0-9-]{1,20}){0,5}") {
            let name = name(&text);
            let mut reader = Reader { message: &name.0, at: 0 };
            let read = reader.name();
            prop_assert_eq!(read, Some(name.clone()));
        }
    }
}
