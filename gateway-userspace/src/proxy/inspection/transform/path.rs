//! Paths without `//`, `/./` and `/../`: v3's walk, step by step, since rules are tuned to it.

use std::borrow::Cow;

use memchr::memchr;

pub(super) fn normalize(value: &[u8]) -> Cow<'_, [u8]> {
    if is_normal(value) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(Walk::new(value.to_vec(), false).run())
}

/// The same, with `\` for `/`.
pub(super) fn normalize_windows(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', value).is_none() && is_normal(value) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(Walk::new(value.to_vec(), true).run())
}

/// No empty segment and no dot at the end of one: then the walk copies every byte.
fn is_normal(value: &[u8]) -> bool {
    value.last() != Some(&b'.') && !value.windows(2).any(|pair| matches!(pair, [b'/' | b'.', b'/']))
}

struct Walk {
    path: Vec<u8>,
    /// Read position.
    at: usize,
    out: Vec<u8>,
    windows: bool,
    relative: bool,
    hit_root: bool,
}

/// Whether the byte at hand is copied after its segment was judged.
enum Step {
    Copy,
    Skip,
}

impl Walk {
    fn new(path: Vec<u8>, windows: bool) -> Self {
        let relative = !path.first().is_some_and(|byte| separates(*byte, windows));
        let out = Vec::with_capacity(path.len());
        Self { path, at: 0, out, windows, relative, hit_root: false }
    }

    fn run(mut self) -> Vec<u8> {
        let trailing = self.path.last().is_some_and(|byte| separates(*byte, self.windows));
        while self.at < self.path.len() {
            self.turn_backslashes();
            if matches!(self.judge_segment(), Step::Copy) {
                self.copy();
            }
        }
        if !trailing && self.out.last() == Some(&b'/') {
            self.out.pop();
        }
        self.out
    }

    /// The byte at hand and the next: v3 turns no more, and what it passes over stays.
    fn turn_backslashes(&mut self) {
        let pair = self.path.iter_mut().skip(self.at).take(2);
        for byte in pair.filter(|byte| self.windows && **byte == b'\\') {
            *byte = b'/';
        }
    }

    fn here(&self) -> u8 {
        self.path.get(self.at).copied().unwrap_or_default()
    }

    fn next(&self) -> Option<u8> {
        self.path.get(self.at + 1).copied()
    }

    fn at_end(&self) -> bool {
        self.next().is_none()
    }

    fn judge_segment(&mut self) -> Step {
        match self.next() {
            None | Some(b'/') => {}
            Some(_) => return Step::Copy,
        }
        match (self.here(), self.out.last()) {
            (b'/', _) if !self.at_end() => Step::Copy,
            (b'.', Some(b'.')) => self.go_back(),
            (b'.', None) => self.leave_out(),
            (b'.', Some(b'/')) => {
                if !self.at_end() {
                    self.out.pop();
                }
                self.leave_out()
            }
            (b'.', Some(_)) | (_, None) => Step::Copy,
            (_, Some(_)) => {
                self.hit_root = false;
                Step::Copy
            }
        }
    }

    /// `..`: takes the segment before it away, but nothing above the root.
    fn go_back(&mut self) -> Step {
        if self.relative && (self.hit_root || self.out.len() <= 2) {
            self.hit_root = true;
            return Step::Copy;
        }
        let from = self.out.len().saturating_sub(3);
        let kept = self.out.get(..=from).unwrap_or_default();
        let slash = kept.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let root = self.out.first().copied().filter(|_| !self.relative && self.at_end());
        self.out.truncate(slash);
        if slash == 0 {
            self.hit_root = true;
            self.out.extend(root);
        }
        self.leave_out()
    }

    fn leave_out(&mut self) -> Step {
        let step = if self.at_end() { Step::Skip } else { Step::Copy };
        self.at += 1;
        step
    }

    fn copy(&mut self) {
        if self.here() == b'/' {
            while self.next().is_some_and(|byte| separates(byte, self.windows)) {
                self.at += 1;
            }
            if self.relative && self.out.is_empty() {
                self.at += 1;
                return;
            }
        }
        self.out.push(self.here());
        self.at += 1;
    }
}

fn separates(byte: u8, windows: bool) -> bool {
    byte == b'/' || windows && byte == b'\\'
}
