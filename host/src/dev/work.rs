//! `caxton dev`: a host of one's own, and a project that is built and served with each save.
//!
//! The host lives in the project's `.caxton`: what is built is put into its agents directory as anybody would, so that what serves
//! here is what would serve elsewhere.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caxton_rollout::Digest;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::build::{Build, Ended};
use super::project::{NoComponent, Project, ProjectError, Said};
use super::report::{self, Line, Report};
use super::sources::Sources;
use super::turns::{Act, Turns};
use super::{LOG, NOT_USED};
use crate::cli::{
    Failure, LogFormat, Paint, Running, Tone, coloured_lines, harmless, not_started, now_ms, print,
    span, start,
};
use crate::config::HostConfig;
use crate::events::Follower;
use crate::host::StartError;

/// How long after the first event of a save the sources are looked at: editors write in several steps.
const STEPS: Duration = Duration::from_millis(20);

/// How often they are looked at although nothing was heard.
const LOOKS_APART: Duration = Duration::from_secs(2);

/// Where the host's folder is in a project. The commands find it there by themselves.
const FOLDER: &str = ".caxton";

/// What the command line says.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub path: PathBuf,
    pub build: Option<String>,
    pub out: Option<PathBuf>,
    pub watch: Vec<PathBuf>,
    pub name: Option<String>,
    pub listen: Option<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// Serves until a signal.
pub(crate) async fn work(asked: Asked) -> Result<(), Failure> {
    let said = Said {
        build: asked.build,
        out: asked.out,
        watch: asked.watch,
        name: asked.name,
    };
    let project = Project::find(&asked.path, said)
        .map_err(|error: ProjectError| Failure::Usage(error.to_string()))?;
    let config = host_config(&project, asked.listen, asked.admin);
    let Running {
        host,
        mut signals,
        telemetry,
        exports,
    } = start(config, LOG, LogFormat::Human, no_host).await?;
    let name = &project.name;
    let root = project.root.display().to_string();
    // Whoever closes the output of a host wants it to be quiet, not to end.
    let _ = print(&format!(
        "{name}    http://{}/{name}\nadmin    http://{}/\nproject  {}\n{NOT_USED}",
        host.gateway(),
        host.admin(),
        harmless(&root)
    ));
    let mut work = Work::begin(project, host.events().follow(0));
    let ended = tokio::select! {
        ended = work.run() => ended,
        () = signals.asked(1) => Ok(()),
    };
    if let Some(build) = work.build.take() {
        build.end().await;
    }
    host.stop(async move { signals.asked(2).await }).await;
    exports.stop(telemetry).await;
    ended
}

fn host_config(
    project: &Project,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
) -> HostConfig {
    let default = HostConfig::default();
    let folder = project.root.join(FOLDER);
    HostConfig {
        agents: folder.join("agents"),
        policies: project.root.join(default.policies),
        data_dir: folder,
        listen: listen.unwrap_or(default.listen),
        admin: admin.unwrap_or(default.admin),
        ..HostConfig::default()
    }
    .for_dev()
}

/// Why there is no host. Its folder is the project's own, so that nobody can choose another.
fn no_host(error: StartError) -> Failure {
    match error {
        StartError::Locked(folder) => Failure::Usage(format!(
            "another `caxton dev` serves this project, and its host uses {folder}; stop that one first, or go on with it: \
             it builds with each save"
        )),
        StartError::Data { folder, problem } => Failure::Usage(format!(
            "{folder}, where the host of this project lives, cannot be used: {problem}; give this user the right to write into it"
        )),
        other => not_started(other),
    }
}

struct Work {
    project: Project,
    sources: Sources,
    turns: Turns,
    build: Option<Build>,
    events: Follower,
    report: Report,
    paint: Paint,
    /// How many builds have begun.
    builds: u64,
}

impl Work {
    fn begin(project: Project, events: Follower) -> Self {
        let (turns, first) = Turns::begin(now_ms());
        let mut work = Self {
            sources: Sources::of(project.watched()),
            project,
            turns,
            build: None,
            events,
            report: Report::new(now_ms()),
            paint: Paint::stdout(),
            builds: 0,
        };
        if work.sources.too_many {
            let text = "there are more files in the project than are watched: name its sources with --watch";
            work.say(&Line::new(Tone::Bad, text));
        }
        work.say(&Line::new(
            Tone::Plain,
            format!("building: {}", work.project.job().shown()),
        ));
        debug_assert_eq!(first, [Act::Build]);
        work.start();
        work
    }

    async fn run(&mut self) -> Result<(), Failure> {
        let bell = self.sources.bell();
        // The first look was when the work began.
        let mut looks = interval_at(Instant::now() + LOOKS_APART, LOOKS_APART);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                happened = self.events.next() => {
                    for event in happened {
                        if let Some(line) = self.report.take_in(&event) {
                            self.say(&line);
                        }
                    }
                }
                ended = ended(&mut self.build) => {
                    // What was saved meanwhile, or what the build itself wrote, is known before its end counts.
                    self.build = None;
                    self.look().await;
                    self.on_ended(ended).await;
                }
                () = bell.notified() => {
                    tokio::time::sleep(STEPS).await;
                    self.look().await;
                }
                _ = looks.tick() => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        let Some(mut saved) = tokio::task::block_in_place(|| self.sources.look(now_ms())) else {
            return;
        };
        if saved.files.remove(&self.project.settings())
            && let Err(error) = self.place_settings()
        {
            self.not_placed(&error);
        }
        if saved.files.is_empty() {
            return;
        }
        let runs = self.build.is_some();
        for act in self.turns.saved(saved.files, saved.at, runs) {
            self.act(act, None).await;
        }
    }

    async fn on_ended(&mut self, ended: io::Result<Ended>) {
        let well = ended.as_ref().is_ok_and(|ended| ended.status.success());
        let acts = self.turns.ended(well);
        // Of a build that was overtaken nobody wants to know how it went.
        if acts.contains(&Act::Build) {
            let text = "saved during the build: it is not used, and the next one begins";
            self.say(&Line::new(Tone::Faint, text));
        } else if !well {
            self.say_failed(&ended);
        }
        let ended = ended.ok();
        for act in acts {
            self.act(act, ended.as_ref()).await;
        }
    }

    async fn act(&mut self, act: Act, ended: Option<&Ended>) {
        match act {
            Act::Build => self.start(),
            Act::End => {
                self.say(&Line::new(
                    Tone::Faint,
                    "saved again: the build is ended, and begins anew",
                ));
                if let Some(build) = self.build.take() {
                    build.end().await;
                }
            }
            Act::Serve { saved_at } => {
                if let Some(ended) = ended
                    && let Err(error) = self.serve(saved_at, ended)
                {
                    self.not_placed(&error);
                }
            }
            Act::TakeForWritten(files) => {
                let files: Vec<String> = files
                    .iter()
                    .map(|file| file.display().to_string())
                    .collect();
                let text = format!(
                    "{} changed during each of the last builds, and is taken for something that the build writes: during a build a \
                     change of it counts no more. Name your sources with --watch, or what is written in .gitignore",
                    files.join(", ")
                );
                self.say(&Line::new(Tone::Busy, text));
            }
        }
    }

    fn start(&mut self) {
        self.builds += 1;
        let job = self.project.job();
        match Build::start(&job, &self.project.root, self.paint.colour()) {
            Ok(build) => self.build = Some(build),
            Err(error) => {
                let still = self.report.still(&self.project.name);
                let text = format!("`{}` cannot be started: {error}; {still}", job.shown());
                self.say(&Line::new(Tone::Bad, text));
                let _ = self.turns.ended(false);
            }
        }
    }

    fn serve(&mut self, saved_at: u64, ended: &Ended) -> Result<(), NotPlaced> {
        let component = self.project.component(&ended.made)?;
        let bytes = fs::read(&component).map_err(|error| NotPlaced::file(&component, error))?;
        let digest = Digest::new(Sha256::digest(&bytes).into());
        let build = report::Build {
            from: saved_at,
            since: if self.builds == 1 { "start" } else { "save" },
            took: u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX),
        };
        self.report.built(digest.to_string(), build);
        self.tidy();
        // The configuration waits for its component, so it comes first.
        self.place_settings()?;
        self.place(&format!("{}.wasm", self.project.name), &bytes)
    }

    /// What the project has of a configuration, or nothing where it has none any more.
    fn place_settings(&self) -> Result<(), NotPlaced> {
        let settings = self.project.settings();
        let own = self.project.root.join(&settings);
        let file = settings.display().to_string();
        let placed = self.agents().join(&file);
        match fs::read(&own) {
            Ok(bytes) if fs::read(&placed).is_ok_and(|there| there == bytes) => Ok(()),
            Ok(bytes) => self.place(&file, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::remove_file(&placed)
            {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(NotPlaced::file(&placed, error))
                }
                _ => Ok(()),
            },
            Err(error) => Err(NotPlaced::file(&own, error)),
        }
    }

    /// Written beside, and moved into its place in one step.
    fn place(&self, file: &str, bytes: &[u8]) -> Result<(), NotPlaced> {
        let beside = self.project.root.join(FOLDER).join("dropping");
        fs::write(&beside, bytes).map_err(|error| NotPlaced::file(&beside, error))?;
        let place = self.agents().join(file);
        fs::rename(&beside, &place).map_err(|error| NotPlaced::file(&place, error))
    }

    /// What is left of another name that the agent had.
    fn tidy(&self) {
        for entry in fs::read_dir(self.agents()).into_iter().flatten().flatten() {
            let path = entry.path();
            if path
                .file_stem()
                .is_some_and(|stem| stem != self.project.name.as_str())
            {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn agents(&self) -> PathBuf {
        self.project.root.join(FOLDER).join("agents")
    }

    fn say_failed(&self, ended: &io::Result<Ended>) {
        let still = self.report.still(&self.project.name);
        let command = self.project.job().shown();
        let text = match ended {
            Ok(ended) => {
                let _ = print(&coloured_lines(&ended.output, self.paint.colour()));
                let took = u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX);
                format!(
                    "`{command}` failed after {} ({}); {still}",
                    span(took),
                    ended.status
                )
            }
            Err(error) => format!("`{command}` was lost: {error}; {still}"),
        };
        self.say(&Line::new(Tone::Bad, text));
    }

    fn not_placed(&self, error: &NotPlaced) {
        let still = self.report.still(&self.project.name);
        self.say(&Line::new(Tone::Bad, format!("{error}; {still}")));
    }

    fn say(&self, line: &Line) {
        // Whoever closes the output wants it to be quiet, not to end.
        let _ = print(&line.painted(self.paint));
    }
}

/// The end of the build that runs; where none does, never.
async fn ended(build: &mut Option<Build>) -> io::Result<Ended> {
    match build {
        Some(build) => build.ended().await,
        None => std::future::pending().await,
    }
}

/// Why what was built does not serve.
#[derive(Debug, thiserror::Error)]
enum NotPlaced {
    #[error(transparent)]
    Component(#[from] NoComponent),
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
}

impl NotPlaced {
    fn file(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::File { path, source }
    }
}
