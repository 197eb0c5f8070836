//! Loads every program of an object file and says what the kernel's verifier made of it, in lines
//! that `cargo xtask kernels` reads. Nothing is attached, no pin stays.
#![expect(clippy::print_stdout, reason = "its answer goes to standard output")]

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, ProgramError},
};
use gateway_tests::netns::{remove, unique};

/// The verifier's verdict stands at the end of a log of thousands of lines.
const LOG_LINES: usize = 30;

fn main() -> ExitCode {
    let object = std::env::args_os().nth(1).map(PathBuf::from);
    let outcome = object.context("name an object file").and_then(|object| verify(&object));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Loads each program; one that is refused does not keep the next from its turn.
fn verify(object: &Path) -> Result<()> {
    let pins = Path::new("/sys/fs/bpf").join(unique());
    std::fs::create_dir(&pins).with_context(|| format!("making {}", pins.display()))?;
    let loaded = EbpfLoader::new().default_map_pin_directory(&pins).load_file(object);
    drop(remove(&pins));
    let mut object = loaded.context("making the object's maps")?;
    let refused = count_refused(&mut object);
    if refused > 0 {
        bail!("the verifier refused {refused} programs");
    }
    Ok(())
}

fn count_refused(object: &mut Ebpf) -> usize {
    let mut programs: Vec<_> = object.programs_mut().collect();
    programs.sort_by_key(|(name, _)| *name);
    let mut refused = 0;
    for (name, program) in programs {
        match load(program) {
            Ok(Some(instructions)) => println!("@program {name} {instructions}"),
            // A kernel before 5.16 does not say.
            Ok(None) => println!("@program {name} unknown"),
            Err(error) => {
                refused += 1;
                println!("@refused {name}");
                print_end(&error);
            }
        }
    }
    refused
}

/// Instructions the verifier walked through, which its limit of a million counts.
fn load(program: &mut Program) -> Result<Option<u32>, ProgramError> {
    if let Program::Xdp(xdp) = program {
        xdp.load()?;
    } else if let Program::SchedClassifier(classifier) = program {
        classifier.load()?;
    } else if let Program::CgroupSkb(skb) = program {
        skb.load()?;
    } else {
        // Not one the gateway has: it is not to go unverified in silence.
        return Err(ProgramError::UnexpectedProgramType);
    }
    Ok(program.info()?.verified_instruction_count())
}

/// The last lines of the error, which carries the verifier's log, and of its causes.
fn print_end(error: &ProgramError) {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let text = causes.fold(error.to_string(), |text, cause| format!("{text}\n{cause}"));
    let lines: Vec<_> = text.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
        println!("    {line}");
    }
}
