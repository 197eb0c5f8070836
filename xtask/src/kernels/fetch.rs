//! Debian's cloud kernels as plain packages: another suite is read beside the machine's own,
//! whose sources, lists and installed packages stay untouched. Needs no root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::command;

/// A kernel of the matrix, and the suite of Debian it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suite {
    /// Also its row in the table, which outlives a version.
    pub(super) label: &'static str,
    pub(super) name: &'static str,
}

/// Oldest first. Debian never had a cloud kernel 5.15, the floor: bullseye's is 5.10.
pub(super) const SUITES: [Suite; 3] = [
    Suite { label: "6.1", name: "bookworm" },
    Suite { label: "6.12", name: "bookworm-backports" },
    Suite { label: "newest", name: "sid" },
];

/// Depends on the newest kernel of its suite.
const META: &str = "linux-image-cloud-amd64";
const IMAGE: &str = "linux-image-";
const ARCHIVE_KEY: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Newer lists of packages are not asked for.
const LISTS_LAST: Duration = Duration::from_hours(24);

/// An unpacked kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) suite: Suite,
    /// The package's version.
    pub(super) version: String,
    pub(super) vmlinuz: PathBuf,
    root: PathBuf,
}

impl Kernel {
    /// The module's file, compressed or not; `None` if it is not among the packages'.
    pub(super) fn module(&self, name: &str) -> Result<Option<PathBuf>> {
        let prefix = format!("{name}.ko");
        find(&self.root, &|file| file == prefix || file.starts_with(&format!("{prefix}.")))
    }
}

/// The newest kernel of a suite, in `folder` from now on.
pub(super) fn fetch(suite: Suite, folder: &Path) -> Result<Kernel> {
    let apt = Apt::of(suite, folder)?;
    apt.refresh()?;
    let release = apt.release()?;
    let version = apt.version(&format!("{IMAGE}{release}"))?;
    let root = apt.unpacked().join(format!("{release}_{version}"));
    if !root.exists() {
        apt.unpack(&release, &root)?;
    }
    let vmlinuz = find(&root, &|file| file.starts_with("vmlinuz"))?;
    let vmlinuz = vmlinuz.with_context(|| format!("no vmlinuz in {}", root.display()))?;
    Ok(Kernel { suite, version, vmlinuz, root })
}

/// apt with lists of its own.
struct Apt {
    suite: Suite,
    folder: PathBuf,
}

impl Apt {
    fn of(suite: Suite, folder: &Path) -> Result<Self> {
        for part in ["sources", "lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("making {}", part.display()))?;
        }
        Ok(Self { suite, folder: folder.to_owned() })
    }

    /// Holds one kernel: a newer one takes the place of the older.
    fn unpacked(&self) -> PathBuf {
        self.folder.join("kernel")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("LC_ALL", "C").arg("-q");
        let folder = self.folder.display();
        for option in [
            format!("Dir::Etc::SourceParts={folder}/sources"),
            format!("Dir::State::Lists={folder}/lists"),
            format!("Dir::Cache={folder}/cache"),
            // What is installed or pinned on this machine must not decide which kernel is newest.
            "Dir::State::Status=/dev/null".to_owned(),
            "Dir::Etc::SourceList=/dev/null".to_owned(),
            "Dir::Etc::Preferences=/dev/null".to_owned(),
            "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            // As root, apt would fetch as a user who may not write to our folder.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    /// Reads the suite's lists if they are old. Without a network old ones do.
    fn refresh(&self) -> Result<()> {
        let stamp = self.folder.join("lists-read");
        let read = fs::metadata(&stamp).and_then(|file| file.modified());
        let age = read.ok().and_then(|read| read.elapsed().ok());
        if age.is_some_and(|age| age < LISTS_LAST) {
            return Ok(());
        }
        let sources = self.folder.join("sources/suite.sources");
        fs::write(&sources, source(self.suite.name)?).context("writing apt's sources")?;
        println!("kernels: {:<8} reading the packages of {}", self.suite.label, self.suite.name);
        match answer(self.command("apt-get").arg("update").args(["--error-on=any"])) {
            Ok(_) => fs::write(&stamp, "").context("marking the lists as read"),
            Err(error) if age.is_some() => {
                println!("kernels: {:<8} the lists stay as they were: {error:#}", self.suite.label);
                Ok(())
            }
            Err(error) => Err(error.context("reading the lists of packages")),
        }
    }

    /// The release of the newest kernel, such as `6.1.0-50-cloud-amd64`.
    fn release(&self) -> Result<String> {
        let depends = self.depends(META)?;
        let image = depends.iter().find_map(|package| package.strip_prefix(IMAGE));
        let image = image.with_context(|| format!("{META} depends on no kernel: {depends:?}"))?;
        Ok(image.to_owned())
    }

    fn depends(&self, package: &str) -> Result<Vec<String>> {
        let text = answer(self.command("apt-cache").args(["depends", package]))?;
        let packages = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(packages.map(str::to_owned).collect())
    }

    fn version(&self, package: &str) -> Result<String> {
        let text = answer(self.command("apt-cache").args(["show", "--no-all-versions", package]))?;
        let version = text.lines().find_map(|line| line.strip_prefix("Version: "));
        Ok(version.with_context(|| format!("{package} has no version"))?.to_owned())
    }

    /// Downloads the image and, where it is split, the packages of the same release.
    fn unpack(&self, release: &str, root: &Path) -> Result<()> {
        let image = format!("{IMAGE}{release}");
        let mut packages = self.depends(&image)?;
        packages.retain(|name| name.starts_with("linux-") && name.ends_with(release));
        packages.push(image);
        println!("kernels: {:<8} downloading {}", self.suite.label, packages.join(" "));
        let downloads = self.folder.join("downloads");
        empty(&downloads)?;
        let mut download = self.command("apt-get");
        answer(download.current_dir(&downloads).arg("download").args(&packages))?;
        let staged = self.folder.join("staged");
        empty(&staged)?;
        for package in entries(&downloads)? {
            answer(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&staged))?;
        }
        fs::remove_dir_all(&downloads).context("removing what was downloaded")?;
        empty(&self.unpacked())?;
        // Whole or not at all: an interrupted run must not leave half a kernel.
        fs::rename(&staged, root).with_context(|| format!("placing {}", root.display()))
    }
}

/// A source of the suite at the archive this machine uses.
fn source(suite: &str) -> Result<String> {
    let targets = command::output("apt-get", &["indextargets", "--format", "$(REPO_URI)"])
        .context("asking apt for its sources")?;
    let archive = targets.lines().find(|line| line.trim_end_matches('/').ends_with("/debian"));
    let Some(archive) = archive else { bail!("no archive of Debian is among apt's sources") };
    Ok(format!(
        "Types: deb\nURIs: {archive}\nSuites: {suite}\nComponents: main\nSigned-By: {ARCHIVE_KEY}\n"
    ))
}

/// Standard output of a command that must succeed; else its last words.
pub(super) fn answer(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed: {}", said.trim().lines().last().unwrap_or("without a word"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The first file under `folder` whose name is wanted. Suites differ in where they put things.
fn find(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    for path in entries(folder)? {
        if path.is_dir() && !path.is_symlink() {
            if let Some(found) = find(&path, wanted)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|name| wanted(&name.to_string_lossy())) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
