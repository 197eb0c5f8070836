//! The client of the control socket: bounded in time and size, and clear about what went wrong.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use socket2::{Domain, SockAddr, Socket, Type};

use super::output::{escape, print};
use crate::control::{LINE_BYTES, Request, Response};

/// The guard answers in milliseconds; a portion of an import may wait for the disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the guard.
pub(super) struct Client {
    path: PathBuf,
    stream: BufReader<Socket>,
}

impl Client {
    pub(super) fn connect(path: &Path) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).context("opening a socket")?;
        // On a unix socket the time to write also bounds the wait for a full backlog.
        let bounded = socket
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| socket.set_write_timeout(Some(PATIENCE)));
        bounded.context("setting the socket's timeouts")?;
        let address = SockAddr::unix(path)
            .with_context(|| format!("{} cannot be the path of a socket", path.display()))?;
        socket.connect(&address).map_err(|error| explain(path, &error))?;
        Ok(Self { path: path.to_owned(), stream: BufReader::new(socket) })
    }

    /// Asks once. A refusal is an error with the guard's words.
    pub(super) fn ask(&mut self, request: &Request) -> anyhow::Result<Response> {
        let answer = self.ask_plainly(request)?;
        if let Response::Refused { message } = &answer {
            bail!(escape(message));
        }
        Ok(answer)
    }

    /// Asks once. A refusal is an answer.
    fn ask_plainly(&mut self, request: &Request) -> anyhow::Result<Response> {
        let mut line = serde_json::to_vec(request).context("writing the request")?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(|error| explain(&self.path, &error))?;
        self.read()
    }

    /// The next line of an answer that has several; `None` if none comes within `patience`.
    pub(super) fn next(&mut self, patience: Duration) -> anyhow::Result<Option<Response>> {
        let bounded = self.stream.get_ref().set_read_timeout(Some(patience));
        bounded.context("setting the socket's timeout")?;
        match self.stream.fill_buf() {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => Ok(None),
            Err(error) => Err(explain(&self.path, &error)),
            Ok(_) => self.read().map(Some),
        }
    }

    fn read(&mut self) -> anyhow::Result<Response> {
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_BYTES).unwrap_or(u64::MAX);
        self.stream
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(|error| explain(&self.path, &error))?;
        let path = self.path.display();
        if line.is_empty() {
            bail!(
                "the guard on {path} closed the connection without an answer; it refuses some users, see its log"
            );
        }
        if line.pop() != Some(b'\n') {
            bail!(
                "the guard on {path} sent an answer cut short or over {LINE_BYTES} bytes; see its log"
            );
        }
        serde_json::from_slice(&line).with_context(|| {
            format!("the guard on {path} answered what this version does not know; are both of one version?")
        })
    }
}

/// Asks a guard one thing.
pub(super) fn ask(path: &Path, request: &Request) -> anyhow::Result<Response> {
    Client::connect(path)?.ask(request)
}

/// A whole list, asked for in portions: `request` makes the question for what lies behind the last
/// entry so far, `page` takes an answer apart, and `place` says where in the list an entry stands.
pub(super) fn pages<T, K: PartialOrd>(
    path: &Path,
    request: impl Fn(Option<K>) -> Request,
    page: impl Fn(Response) -> Option<(Vec<T>, bool)>,
    place: impl Fn(&T) -> K,
) -> anyhow::Result<Vec<T>> {
    let mut client = Client::connect(path)?;
    let mut list: Vec<T> = Vec::new();
    loop {
        let after = list.last().map(&place);
        let (entries, more) = page(client.ask(&request(after))?).ok_or_else(unexpected)?;
        // A guard that goes in circles would keep us asking for ever.
        let goes_on = entries.first().map(&place) > list.last().map(&place);
        list.extend(entries);
        if !more {
            return Ok(list);
        }
        if !goes_on {
            return Err(unexpected());
        }
    }
}

/// Asks for something that is done or refused, and prints what the guard says of it.
pub(super) fn order(path: &Path, request: &Request) -> anyhow::Result<()> {
    let Response::Done { message } = ask(path, request)? else { return Err(unexpected()) };
    print(&escape(&message))
}

/// The same for a guard that has several lines to say, each fault of a file one.
pub(super) fn order_lines(path: &Path, request: &Request) -> anyhow::Result<()> {
    let answer = Client::connect(path)?.ask_plainly(request)?;
    if let Response::Refused { message } = &answer {
        bail!(escaped_lines(message));
    }
    let Response::Done { message } = answer else { return Err(unexpected()) };
    print(&escaped_lines(&message))
}

fn escaped_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// A guard that says nothing more.
pub(super) fn silent() -> anyhow::Error {
    anyhow!("the guard gives no sign of life; see its log")
}

/// An answer to another question.
pub(super) fn unexpected() -> anyhow::Error {
    anyhow!("the guard answered something else than was asked; are both of one version?")
}

#[expect(clippy::wildcard_enum_match_arm, reason = "not our enum, and most kinds need no advice")]
fn explain(path: &Path, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => anyhow!(
            "no gateway answers on {path}; start one with `gateway run`, or name its socket with --socket"
        ),
        io::ErrorKind::PermissionDenied => anyhow!(
            "no permission to use {path}; run as root, or join its group (`usermod -aG gateway USER`, then log in again)"
        ),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => anyhow!(
            "the guard on {path} did not answer within {} s; see its log",
            PATIENCE.as_secs()
        ),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => anyhow!(
            "the guard on {path} closed the connection; it refuses some users and answers nobody while it stops, see its log"
        ),
        _ => anyhow!("talking to the guard on {path}: {error}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    /// A guard that says the next of `answers` to each line, and returns what it was asked.
    pub(in crate::cli) fn guard(
        answers: &[&str],
    ) -> (tempfile::TempDir, PathBuf, thread::JoinHandle<Vec<String>>) {
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let serving = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut asked = Vec::new();
            for answer in answers {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                (&stream).write_all(answer.as_bytes()).unwrap();
                asked.push(line);
            }
            asked
        });
        (folder, path, serving)
    }

    fn failure(path: &Path) -> String {
        ask(path, &Request::Status).unwrap_err().to_string()
    }

    #[test]
    fn asks_in_one_line_and_reads_the_answer() {
        let (_folder, path, serving) = guard(&["{\"answer\":\"done\",\"message\":\"ok\"}\n"]);
        let answer = ask(&path, &Request::PanicPass).unwrap();
        assert_eq!(answer, Response::Done { message: "ok".to_owned() });
        assert_eq!(serving.join().unwrap(), ["{\"command\":\"panic_pass\"}\n"]);
    }

    #[test]
    fn a_refusal_is_told_in_the_guards_words_without_escapes() {
        let (_folder, path, _serving) =
            guard(&["{\"answer\":\"refused\",\"message\":\"no\\u001b[2J\"}\n"]);
        assert_eq!(failure(&path), "no\\u{1b}[2J");
    }

    #[test]
    fn says_that_no_gateway_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.sock");
        assert!(failure(&path).contains("start one with `gateway run`"));
        drop(UnixListener::bind(&path).unwrap());
        assert!(failure(&path).contains("start one with `gateway run`"), "a socket left behind");
    }

    #[test]
    fn says_when_the_answer_is_missing_cut_short_or_strange() {
        let (_folder, path, _serving) = guard(&[""]);
        assert!(failure(&path).contains("without an answer"));
        let (_folder, path, _serving) = guard(&["{\"answer\":"]);
        assert!(failure(&path).contains("cut short"));
        let (_folder, path, _serving) = guard(&["{\"answer\":\"tomorrow\"}\n"]);
        assert!(failure(&path).contains("are both of one version?"));
    }
}
