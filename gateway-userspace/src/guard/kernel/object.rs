//! The XDP object: loaded into the kernel with its maps in the folder of pins, taken apart into
//! typed maps and programs.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf, EbpfError, EbpfLoader, Pod, include_bytes_aligned,
    maps::{Map, MapData, RingBuf},
    programs::{Program, ProgramError, Xdp},
};
use gateway_common::maps::{SHAPES, Sizing};

use super::{diagnostics::Diagnostics, filter::KernelError, mapped::Mapped, pins, table::Table};
use crate::config::model::Capacity;

/// Built by build.rs.
pub(super) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/gateway-ebpf"));

/// Programs and maps on their way to their owners.
pub(super) struct Object(Ebpf);

impl Object {
    /// Loads the object; maps pinned in `folder` are used, the others are made and pinned there.
    pub(super) fn load(folder: &Path, capacity: &Capacity) -> Result<Self, KernelError> {
        let mut loader = EbpfLoader::new();
        loader.default_map_pin_directory(folder);
        for shape in SHAPES.iter().filter(|shape| !matches!(shape.sizing, Sizing::Fixed(_))) {
            loader.map_max_entries(shape.name, pins::entries(shape, capacity));
        }
        let ebpf = loader.load(OBJECT).map_err(failed)?;
        Ok(Self(ebpf))
    }

    /// Takes the buffer the programs log to.
    pub(super) fn diagnostics(&mut self) -> Diagnostics {
        Diagnostics::of(&mut self.0)
    }

    /// Verifies a program and takes it.
    pub(super) fn program(&mut self, name: &str) -> Result<OwnedFd, KernelError> {
        let program = self.0.program_mut(name).ok_or(ProgramError::NotLoaded);
        let descriptor = program.and_then(|program| {
            let descriptor = if let Program::SchedClassifier(classifier) = program {
                classifier.load()?;
                classifier.fd()?
            } else {
                let xdp: &mut Xdp = program.try_into()?;
                xdp.load()?;
                xdp.fd()?
            };
            Ok(descriptor.as_fd().try_clone_to_owned()?)
        });
        descriptor.map_err(|error| failed(error.into()))
    }

    /// Takes a map as a table.
    pub(super) fn table<K: Pod, V: Pod>(
        &mut self,
        name: &'static str,
    ) -> Result<Table<K, V>, KernelError> {
        let (Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::LpmTrie(data)
        | Map::PerCpuArray(data)
        | Map::ProgramArray(data)) = self.take(name)?
        else {
            return Err(missing(name));
        };
        Table::new(data, name)
    }

    /// Takes an array of `words` words as memory of ours, and the table that keeps it.
    pub(super) fn mapped<V: Pod>(
        &mut self,
        name: &'static str,
        words: u32,
    ) -> Result<(Mapped, Table<u32, V>), KernelError> {
        let table = self.table(name)?;
        let mapped = Mapped::of(table.descriptor(), words as usize);
        let mapped = mapped.map_err(|source| KernelError::System {
            doing: format!("mapping {name} into memory"),
            source,
        })?;
        Ok((mapped, table))
    }

    /// Takes the ring buffer.
    pub(super) fn ring(&mut self, name: &'static str) -> Result<RingBuf<MapData>, KernelError> {
        RingBuf::try_from(self.take(name)?).map_err(|source| KernelError::Map {
            doing: format!("opening map {name}"),
            source: Box::new(source),
        })
    }

    fn take(&mut self, name: &str) -> Result<Map, KernelError> {
        self.0.take_map(name).ok_or_else(|| missing(name))
    }
}

fn failed(source: EbpfError) -> KernelError {
    KernelError::Load { source: Box::new(source) }
}

fn missing(name: &str) -> KernelError {
    KernelError::System {
        doing: format!("looking for map {name} in the XDP object"),
        source: io::ErrorKind::NotFound.into(),
    }
}
