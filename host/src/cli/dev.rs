//! `caxton dev`: build and serve a project with each save.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use crate::dev::{Asked, work};

/// `caxton dev`
#[derive(Debug, Args)]
pub struct DevArgs {
    /// The project's directory
    #[arg(default_value = ".")]
    path: PathBuf,
    /// How it is built, for `sh -c` in the project [default: by its Cargo.toml, its package.json or its Makefile]
    #[arg(long, value_name = "CMD")]
    build: Option<String>,
    /// Where the build puts the component, relative to the project [default: what cargo made, or the only *.wasm]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A file or folder of sources, relative to the project; may be repeated
    ///
    /// By default src, wit, build.rs and Cargo.toml of a project in Rust, and everything in others but target, node_modules, hidden
    /// folders of tools, components, and what .gitignore names.
    #[arg(long, value_name = "SRC")]
    watch: Vec<PathBuf>,
    /// The agent's name [default: that of the package, or of the directory]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where requests come in [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where operators come in [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

pub(super) async fn dev(args: DevArgs) -> Result<(), Failure> {
    work(Asked {
        path: args.path,
        build: args.build,
        out: args.out,
        watch: args.watch,
        name: args.name,
        listen: args.listen,
        admin: args.admin,
    })
    .await
}
