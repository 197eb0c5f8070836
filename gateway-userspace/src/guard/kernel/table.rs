//! A typed map: single entries, bulk writes with verified counts, dumps.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::{Pod, maps::MapData};
use gateway_common::maps::{SHAPES, Shape, Sizing};

use super::{filter::KernelError, list::Entries, sys};

/// Entries per system call in bulk: a tenth of a megabyte of keys and values.
const PORTION: usize = 4096;
/// Attempts without any progress before memory counts as really short. A trie's allocator refills
/// in the background and answers ENOMEM until then, with gigabytes free (Linux 6.12 and later).
const STALLS: u32 = 10_000;

/// A map of `K` to `V`, opened and checked.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    shape: &'static Shape,
    data: MapData,
    capacity: u32,
    types: PhantomData<(K, V)>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    /// Takes a map whose key and value sizes must be those of the types: the kernel copies by its
    /// own sizes, whatever buffer it is given.
    pub(super) fn new(data: MapData, name: &'static str) -> Result<Self, KernelError> {
        let unfit = || KernelError::System {
            doing: format!("checking the shape of map {name}"),
            source: io::Error::from(io::ErrorKind::InvalidData),
        };
        let shape = SHAPES.iter().find(|shape| shape.name == name).ok_or_else(unfit)?;
        let info = data.info().map_err(|source| KernelError::Map {
            doing: format!("asking for the shape of map {name}"),
            source: Box::new(source),
        })?;
        let sizes = (info.key_size() as usize, info.value_size() as usize);
        if sizes != (size_of::<K>(), size_of::<V>()) {
            return Err(unfit());
        }
        Ok(Self { shape, data, capacity: info.max_entries(), types: PhantomData })
    }

    pub(super) const fn shape(&self) -> &'static Shape {
        self.shape
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.data.fd().as_fd()
    }

    /// The values of a key on each CPU.
    pub(super) fn get_per_cpu(&self, key: &K, cpus: usize) -> Result<Vec<V>, KernelError>
    where
        V: Default,
    {
        let mut values = vec![V::default(); cpus];
        sys::lookup(self.descriptor(), key, &mut values)
            .map_err(|source| self.error("reading from", source))?;
        Ok(values)
    }

    /// Reads every entry, in portions.
    pub(super) fn each(&self, mut each: impl FnMut(K, V)) -> Result<(), KernelError>
    where
        K: Default,
        V: Default,
    {
        let mut cursor = None;
        let mut portion = PORTION;
        loop {
            let mut keys = vec![K::default(); portion];
            let mut values = vec![V::default(); portion];
            let ((read, failure), next) =
                sys::lookup_batch(self.descriptor(), cursor.as_ref(), &mut keys, &mut values);
            match failure.as_ref().and_then(io::Error::raw_os_error) {
                None | Some(libc::ENOENT) => {}
                // One bucket of the hash holds more than the buffer.
                Some(libc::ENOSPC) if portion < PORTION << 8 => {
                    portion *= 2;
                    continue;
                }
                Some(code) => {
                    let source = io::Error::from_raw_os_error(code);
                    let doing = format!("reading all of map {}", self.shape.name);
                    return Err(KernelError::System { doing, source });
                }
            }
            keys.into_iter().zip(values).take(read).for_each(|(key, value)| each(key, value));
            if failure.is_some() {
                return Ok(());
            }
            cursor = Some(next);
        }
    }

    /// The kernel wrote fewer than it was given, and no error.
    pub(super) fn lost(&self, count: usize) -> KernelError {
        let source = io::Error::other(format!("{count} entries are not there"));
        KernelError::System { doing: format!("filling map {}", self.shape.name), source }
    }

    /// Writes the values of a key, one for each CPU there can be.
    pub(super) fn put_per_cpu(&self, key: &K, values: &[V]) -> Result<(), KernelError> {
        sys::update_values(self.descriptor(), key, values)
            .map_err(|source| self.error("writing to", source))
    }

    fn error(&self, doing: &str, source: io::Error) -> KernelError {
        // A hash says E2BIG, a trie ENOSPC.
        if matches!(source.raw_os_error(), Some(libc::E2BIG | libc::ENOSPC)) {
            return self.is_full();
        }
        KernelError::System { doing: format!("{doing} map {}", self.shape.name), source }
    }

    fn is_full(&self) -> KernelError {
        let key = match self.shape.sizing {
            Sizing::Bans => "hosts",
            Sizing::Tail => "prefixes",
            Sizing::Allow => "allow",
            Sizing::Limits => "limits",
            Sizing::Flows => "flows",
            Sizing::Fixed(_) => "nothing",
        };
        KernelError::Full { map: self.shape.name, capacity: self.capacity, key }
    }
}

impl<K: Pod + Default, V: Pod + Default> Entries<K, V> for Table<K, V> {
    fn get(&self, key: &K) -> Result<Option<V>, KernelError> {
        let mut value = [V::default()];
        let found = sys::lookup(self.descriptor(), key, &mut value)
            .map_err(|source| self.error("reading from", source))?;
        let [value] = value;
        Ok(found.then_some(value))
    }

    fn put(&self, key: &K, value: &V) -> Result<(), KernelError> {
        for _ in 0..STALLS {
            match sys::update(self.descriptor(), key, value) {
                Err(error) if is_short_of_memory(&error) => std::thread::yield_now(),
                Err(source) => return Err(self.error("writing to", source)),
                Ok(()) => return Ok(()),
            }
        }
        Err(self.error("writing to", io::Error::from_raw_os_error(libc::ENOMEM)))
    }

    fn remove(&self, key: &K) -> Result<bool, KernelError> {
        sys::delete(self.descriptor(), key).map_err(|source| self.error("removing from", source))
    }

    fn put_all(&self, keys: &[K], values: &[V]) -> (usize, Result<(), KernelError>) {
        let mut done = 0;
        let mut stalls = 0;
        while stalls < STALLS {
            let portion = done..keys.len().min(done + PORTION);
            let (Some(keys), Some(values)) = (keys.get(portion.clone()), values.get(portion))
            else {
                break;
            };
            if keys.is_empty() {
                return (done, Ok(()));
            }
            let (written, failure) = sys::update_batch(self.descriptor(), keys, values);
            done += written;
            stalls = if written > 0 { 0 } else { stalls + 1 };
            match failure {
                Some(error) if !is_short_of_memory(&error) => {
                    return (done, Err(self.error("filling", error)));
                }
                Some(_) => std::thread::yield_now(),
                None => {}
            }
        }
        (done, Err(self.error("filling", io::Error::from_raw_os_error(libc::ENOMEM))))
    }

    fn remove_all(&self, keys: &[K]) -> Result<(), KernelError> {
        for portion in keys.chunks(PORTION) {
            let (removed, failure) = sys::delete_batch(self.descriptor(), portion);
            if failure.is_some() || removed < portion.len() {
                for key in portion {
                    self.remove(key)?;
                }
            }
        }
        Ok(())
    }

    fn all(&self) -> Result<Vec<(K, V)>, KernelError> {
        let mut all = Vec::new();
        self.each(|key, value| all.push((key, value)))?;
        Ok(all)
    }

    fn capacity(&self) -> usize {
        self.capacity as usize
    }

    fn full(&self) -> KernelError {
        self.is_full()
    }
}

fn is_short_of_memory(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN))
}
