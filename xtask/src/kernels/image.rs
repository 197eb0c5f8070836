//! The guest's first and only file system: an init, the tests, and the kernel's own modules.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{cpio::Archive, fetch::Kernel, payload};

/// Not part of a cloud kernel's image.
const MODULES: [&str; 3] = ["veth", "sch_ingress", "cls_bpf"];

const FOLDERS: [&str; 5] = ["proc", "sys", "dev", "tmp", "run"];

/// The init's standard streams, before devtmpfs is mounted.
const CONSOLE: (u32, u32) = (5, 1);

/// Writes the image for `kernel`.
pub(super) fn write(kernel: &Kernel, files: &[payload::File], folder: &Path) -> Result<PathBuf> {
    let mut archive = Archive::default();
    for path in FOLDERS {
        archive.folder(path);
    }
    archive.character_device("dev/console", CONSOLE);
    for (path, content) in files {
        archive.file(path, content.clone());
    }
    for name in MODULES {
        let module = kernel.module(name)?;
        let module = module.with_context(|| format!("this kernel has no module {name}"))?;
        archive.file(&format!("modules/{name}.ko"), unpacked(&module)?);
    }
    let path = folder.join("image.cpio");
    let write = || {
        let mut out = BufWriter::new(File::create(&path)?);
        archive.write(&mut out)?;
        out.flush()
    };
    write().with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// A module as every kernel loads it: not all were built to unpack theirs.
fn unpacked(module: &Path) -> Result<Vec<u8>> {
    let program = match module.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => "cat",
    };
    let mut command = Command::new(program);
    if program != "cat" {
        command.args(["--decompress", "--stdout"]);
    }
    let output = command.arg(module).output().with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!("{program} could not read {}", module.display());
    }
    Ok(output.stdout)
}
