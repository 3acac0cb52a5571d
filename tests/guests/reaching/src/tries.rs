//! What an agent tries that was not granted to it.

use std::fmt::Debug;
use std::fs::read_to_string;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

use crate::call;

pub(crate) fn attempt(kind: &str, what: &str) -> String {
    match kind {
        "read" => told(read_to_string(what)),
        "open" => told(directory().and_then(|directory| open(&directory, what))),
        "link" => told(directory().and_then(|directory| link(&directory, what))),
        "each" => told(directory().map(|directory| each(&directory, what))),
        "environment" => told(Ok::<_, ()>(std::env::vars().collect::<Vec<_>>())),
        "listen" => told(TcpListener::bind(what)),
        "connect" => told(TcpStream::connect(what)),
        "udp" => told(UdpSocket::bind(what)),
        "look-up" => told(
            (what, 80)
                .to_socket_addrs()
                .map(Iterator::collect::<Vec<_>>),
        ),
        "call" => told(call(what)),
        other => format!("{other} is nothing to try"),
    }
}

fn told<T: Debug, E: Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(got) => format!("got: {got:?}"),
        Err(error) => format!("refused: {error:?}"),
    }
}

/// The first that is granted.
fn directory() -> Result<Descriptor, ErrorCode> {
    let first = get_directories().into_iter().next();
    first
        .map(|(directory, _)| directory)
        .ok_or(ErrorCode::BadDescriptor)
}

/// Opens a path as it is, with none of a library's thoughts about it.
fn open(directory: &Descriptor, path: &str) -> Result<(), ErrorCode> {
    let (follow, create) = (PathFlags::SYMLINK_FOLLOW, OpenFlags::empty());
    let opened = directory.open_at(follow, path, create, DescriptorFlags::READ);
    opened.map(drop)
}

/// Makes a link to a path and reads what it leads to.
fn link(directory: &Descriptor, path: &str) -> Result<(), ErrorCode> {
    directory.symlink_at(path, "link")?;
    open(directory, "link")
}

/// Each function of the file system that takes a path; how many of them answered that it is not permitted.
fn each(directory: &Descriptor, path: &str) -> usize {
    let (as_it_is, now) = (PathFlags::empty(), NewTimestamp::Now);
    let answers = [
        open(directory, path),
        directory.stat_at(as_it_is, path).map(drop),
        directory.metadata_hash_at(as_it_is, path).map(drop),
        directory.readlink_at(path).map(drop),
        directory.create_directory_at(path),
        directory.remove_directory_at(path),
        directory.unlink_file_at(path),
        directory.symlink_at("to", path),
        directory.rename_at(path, directory, "new"),
        directory.link_at(as_it_is, path, directory, "new"),
        directory.set_times_at(as_it_is, path, now, now),
    ];
    let refused = |answer: &&Result<(), ErrorCode>| **answer == Err(ErrorCode::NotPermitted);
    answers.iter().filter(refused).count()
}
