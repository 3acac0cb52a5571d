//! What a guest asked for and was not granted: it gets WASI's own error, and the version's log gets a line.
//!
//! Each refusal is told once for a version, and a version that asks for ever new things is told of no more than
//! [`MAX_TOLD`] of them: a guest must not fill the log. What is asked of the file system is still decided by wasmtime; sockets and
//! look-ups of names are granted to nobody, so that these are answered here. Environment variables that are not granted are not
//! there: a guest that looks for them asks nobody.

use crate::logs::{LogSource, LogStream};
use crate::store::AgentStore;
use std::collections::HashSet;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};

/// Refusals of one version that are told.
const MAX_TOLD: usize = 64;
/// Characters of what a guest asked for that are told.
const MAX_SHOWN: usize = 200;

/// The refusals of one version.
pub(crate) struct Refusals {
    log: Arc<LogSource>,
    told: Mutex<HashSet<String>>,
}

impl Refusals {
    pub(crate) fn new(log: Arc<LogSource>) -> Arc<Self> {
        Arc::new(Self {
            log,
            told: Mutex::default(),
        })
    }

    /// Tells that `what` was refused and why, once.
    pub(crate) fn tell(&self, what: impl Display, why: &str) {
        let mut text = format!("caxton: refused: {what}: {why}");
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() > MAX_TOLD || told.contains(&text) {
                return;
            }
            if told.len() == MAX_TOLD {
                text = format!(
                    "caxton: refused: more than {MAX_TOLD} things; further ones are not told"
                );
            }
            told.insert(text.clone());
        }
        self.log.line(LogStream::Stderr, text);
    }
}

/// What a guest gave, fit for a line of a log.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("`{}`", shown.escape_debug())
}

type Store<'a> = StoreContextMut<'a, AgentStore>;

/// What a function that may be refused gives back.
type Answer<T, E> = wasmtime::Result<(Result<T, E>,)>;

/// Replaces the functions that may be refused, in a linker that has them.
pub(crate) fn link(linker: &mut Linker<AgentStore>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    sockets_p2(linker)?;
    sockets_p3(linker)?;
    files_p2(linker)?;
    files_p3(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

const NO_SOCKETS: &str =
    "no agent gets sockets; HTTP requests go through wasi:http, to the origins in grants.outbound";

fn sockets_p2(linker: &mut Linker<AgentStore>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
    use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, Network};
    use wasmtime_wasi::p2::bindings::sockets::{tcp::TcpSocket, udp::UdpSocket};
    let denied = || ErrorCode::AccessDenied;
    linker
        .instance("wasi:sockets/tcp-create-socket@0.2.12")?
        .func_wrap(
            "create-tcp-socket",
            no_socket::<IpAddressFamily, TcpSocket, _>("a TCP socket", denied),
        )?;
    linker
        .instance("wasi:sockets/udp-create-socket@0.2.12")?
        .func_wrap(
            "create-udp-socket",
            no_socket::<IpAddressFamily, UdpSocket, _>("a UDP socket", denied),
        )?;
    linker
        .instance("wasi:sockets/ip-name-lookup@0.2.12")?
        .func_wrap(
            "resolve-addresses",
            |store: Store<'_>,
             (_, name): (Resource<Network>, String)|
             -> Answer<Resource<ResolveAddressStream>, _> {
                looked_up(store.data(), &name);
                Ok((Err(ErrorCode::PermanentResolverFailure),))
            },
        )
}

fn sockets_p3(linker: &mut Linker<AgentStore>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as LookupError;
    use wasmtime_wasi::p3::bindings::sockets::types::{
        ErrorCode, IpAddress, IpAddressFamily, TcpSocket, UdpSocket,
    };
    let denied = || ErrorCode::AccessDenied;
    let mut types = linker.instance("wasi:sockets/types@0.3.0")?;
    types.func_wrap(
        "[static]tcp-socket.create",
        no_socket::<IpAddressFamily, TcpSocket, _>("a TCP socket", denied),
    )?;
    types.func_wrap(
        "[static]udp-socket.create",
        no_socket::<IpAddressFamily, UdpSocket, _>("a UDP socket", denied),
    )?;
    linker
        .instance("wasi:sockets/ip-name-lookup@0.3.0")?
        .func_wrap_concurrent(
            "resolve-addresses",
            |accessor: &Accessor<AgentStore>, (name,): (String,)| {
                accessor.with(|mut access| looked_up(access.data_mut(), &name));
                let refused: Answer<Vec<IpAddress>, _> =
                    Ok((Err(LookupError::PermanentResolverFailure),));
                Box::pin(std::future::ready(refused))
            },
        )
}

/// A function that makes a socket of a family, and makes none.
fn no_socket<Family: 'static, Socket: 'static, E: 'static>(
    what: &'static str,
    denied: fn() -> E,
) -> impl Fn(Store<'_>, (Family,)) -> Answer<Resource<Socket>, E> {
    move |store, _| {
        store.data().refusals.tell(what, NO_SOCKETS);
        Ok((Err(denied()),))
    }
}

fn looked_up(store: &AgentStore, name: &str) {
    let what = format!("to look up the name {}", shown(name));
    store.refusals.tell(what, NO_SOCKETS);
}

/// A function of the file system answered; that it refused is told.
///
/// wasmtime refuses with one code what leaves a directory, by whichever way, and what changes one that is granted for reading.
fn answered<T, E>(
    answer: Result<T, TrappableError<E>>,
    refused: impl FnOnce(&E) -> bool,
    tell: impl FnOnce(),
) -> Answer<T, E>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let error = match answer {
        Ok(value) => return Ok((Ok(value),)),
        Err(error) => error.downcast()?,
    };
    if refused(&error) {
        tell();
    }
    Ok((Err(error),))
}

fn path_refused(refusals: &Refusals, function: &str, path: &str) {
    refusals.tell(
        format_args!("{function} {}", shown(path)),
        "this leads out of the granted directory, or changes what is granted for reading (grants.dirs)",
    );
}

/// The functions of the file system that take a path, in both versions of WASI.
macro_rules! each_with_a_path {
    ($watch:ident, $types:ident) => {
        $watch! { $types,
            "open-at" open_at(it: It, flags: PathFlags, path: String, how: OpenFlags, what: DescriptorFlags) of path;
            "stat-at" stat_at(it: It, flags: PathFlags, path: String) of path;
            "metadata-hash-at" metadata_hash_at(it: It, flags: PathFlags, path: String) of path;
            "readlink-at" readlink_at(it: It, path: String) of path;
            "create-directory-at" create_directory_at(it: It, path: String) of path;
            "remove-directory-at" remove_directory_at(it: It, path: String) of path;
            "unlink-file-at" unlink_file_at(it: It, path: String) of path;
            "symlink-at" symlink_at(it: It, to: String, path: String) of path;
            "rename-at" rename_at(it: It, path: String, new: It, new_path: String) of path;
            "link-at" link_at(it: It, flags: PathFlags, path: String, new: It, new_path: String) of path;
            "set-times-at" set_times_at(it: It, flags: PathFlags, path: String, read: NewTimestamp, changed: NewTimestamp) of path;
        }
    };
}

/// Puts a function before each of the file system's functions that take a path: it asks the other and tells a refusal.
macro_rules! watch_p2 {
    ($types:ident, $($name:literal $method:ident($($argument:ident: $kind:ty),+) of $path:ident;)+) => { $(
        $types.func_wrap_async(
            concat!("[method]descriptor.", $name),
            |mut store: Store<'_>, ($($argument),+,): ($($kind),+,)| {
                Box::new(async move {
                    let path = $path.clone();
                    let answer =
                        HostDescriptor::$method(&mut store.data_mut().filesystem(), $($argument),+).await;
                    let is_refusal = |error: &ErrorCode| *error == ErrorCode::NotPermitted;
                    answered(answer, is_refusal, || path_refused(&store.data().refusals, $name, &path))
                })
            },
        )?;
    )+ };
}

fn files_p2(linker: &mut Linker<AgentStore>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::filesystem::types::{
        Descriptor, DescriptorFlags, ErrorCode, HostDescriptor, NewTimestamp, OpenFlags, PathFlags,
    };
    type It = Resource<Descriptor>;
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    each_with_a_path!(watch_p2, types);
    Ok(())
}

/// The same for WASI 0.3.
macro_rules! watch_p3 {
    ($types:ident, $($name:literal $method:ident($($argument:ident: $kind:ty),+) of $path:ident;)+) => { $(
        $types.func_wrap_concurrent(
            concat!("[method]descriptor.", $name),
            |accessor: &Accessor<AgentStore>, ($($argument),+,): ($($kind),+,)| {
                Box::pin(async move {
                    let path = $path.clone();
                    let files = accessor.with_getter::<WasiFilesystem>(AgentStore::filesystem);
                    let answer =
                        <WasiFilesystem as HostDescriptorWithStore<AgentStore>>::$method(&files, $($argument),+).await;
                    let is_refusal = |error: &ErrorCode| matches!(error, ErrorCode::NotPermitted);
                    answered(answer, is_refusal, || {
                        accessor.with(|mut access| path_refused(&access.data_mut().refusals, $name, &path));
                    })
                })
            },
        )?;
    )+ };
}

fn files_p3(linker: &mut Linker<AgentStore>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p3::bindings::filesystem::types::{
        Descriptor, DescriptorFlags, ErrorCode, HostDescriptorWithStore, NewTimestamp, OpenFlags,
        PathFlags,
    };
    type It = Resource<Descriptor>;
    let mut types = linker.instance("wasi:filesystem/types@0.3.0")?;
    each_with_a_path!(watch_p3, types);
    Ok(())
}
