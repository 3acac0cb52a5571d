//! Bounds for the requests that a guest builds.
//!
//! WASI keeps the method, target and authority of a request at whatever length the guest gives them, in the host's memory. The
//! setters are replaced by such that refuse what no server would take; everything else of them is as it was.

use crate::store::AgentStore;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::p3::Request;
use wasmtime_wasi_http::p3::bindings::http::types as p3;

/// Bytes of a method: the registered ones have at most 17.
const MAX_METHOD: usize = 64;
/// Bytes of an authority: a host name has at most 253, and there may be a user, a password and a port.
const MAX_AUTHORITY: usize = 1 << 10;
/// Bytes of a path with its query: servers refuse more than 8 to 16 KiB.
const MAX_PATH: usize = 16 << 10;

/// What a setter answers: taken, or not.
type Taken = wasmtime::Result<(Result<(), ()>,)>;

const REFUSED: Taken = Ok((Err(()),));

/// Replaces the setters of a linker that has them.
pub(crate) fn bound(linker: &mut Linker<AgentStore>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    bound_p2(linker)?;
    bound_p3(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn bound_p2(linker: &mut Linker<AgentStore>) -> wasmtime::Result<()> {
    use p2::HostOutgoingRequest as Setters;
    type Store<'a> = StoreContextMut<'a, AgentStore>;
    type It = Resource<HostOutgoingRequest>;
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: Store<'_>, (it, method): (It, p2::Method)| -> Taken {
            if matches!(&method, p2::Method::Other(name) if name.len() > MAX_METHOD) {
                return REFUSED;
            }
            Ok((Setters::set_method(
                &mut store.data_mut().http(),
                it,
                method,
            )?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: Store<'_>, (it, text): (It, Option<String>)| -> Taken {
            if is_over(text.as_deref(), MAX_AUTHORITY) {
                return REFUSED;
            }
            Ok((Setters::set_authority(
                &mut store.data_mut().http(),
                it,
                text,
            )?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: Store<'_>, (it, text): (It, Option<String>)| -> Taken {
            if is_over(text.as_deref(), MAX_PATH) {
                return REFUSED;
            }
            Ok((Setters::set_path_with_query(
                &mut store.data_mut().http(),
                it,
                text,
            )?,))
        },
    )
}

fn bound_p3(linker: &mut Linker<AgentStore>) -> wasmtime::Result<()> {
    use p3::HostRequest as Setters;
    type Store<'a> = StoreContextMut<'a, AgentStore>;
    type It = Resource<Request>;
    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap(
        "[method]request.set-method",
        |mut store: Store<'_>, (it, method): (It, p3::Method)| -> Taken {
            if matches!(&method, p3::Method::Other(name) if name.len() > MAX_METHOD) {
                return REFUSED;
            }
            Ok((Setters::set_method(
                &mut store.data_mut().http(),
                it,
                method,
            )?,))
        },
    )?;
    types.func_wrap(
        "[method]request.set-authority",
        |mut store: Store<'_>, (it, text): (It, Option<String>)| -> Taken {
            if is_over(text.as_deref(), MAX_AUTHORITY) {
                return REFUSED;
            }
            Ok((Setters::set_authority(
                &mut store.data_mut().http(),
                it,
                text,
            )?,))
        },
    )?;
    types.func_wrap(
        "[method]request.set-path-with-query",
        |mut store: Store<'_>, (it, text): (It, Option<String>)| -> Taken {
            if is_over(text.as_deref(), MAX_PATH) {
                return REFUSED;
            }
            Ok((Setters::set_path_with_query(
                &mut store.data_mut().http(),
                it,
                text,
            )?,))
        },
    )
}

fn is_over(text: Option<&str>, limit: usize) -> bool {
    text.is_some_and(|text| text.len() > limit)
}
