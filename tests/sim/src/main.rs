//! `cargo run -p caxton-sim -- [--seed N] [--seeds N] [--reloads N] [--log]`: runs seeds until one breaks a promise.

use std::process::ExitCode;

use caxton_sim::Simulation;

const USAGE: &str = "usage: caxton-sim [--seed N] [--seeds N] [--reloads N] [--log]
  --seed N      the first seed (1)
  --seeds N     how many seeds, one after the other (10)
  --reloads N   how many reloads each runs (1000)
  --log         print every event and command of the last seed";

struct Arguments {
    seed: u64,
    seeds: u64,
    reloads: u64,
    log: bool,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        let mut simulation = Simulation::new(seed);
        let ended = simulation.run(arguments.reloads);
        let world = &simulation.world;
        if arguments.log && (ended.is_err() || seed + 1 == arguments.seed + arguments.seeds) {
            print!("{}", world.log);
        }
        if let Err(broken) = ended {
            println!("seed {seed} at {}: {}", world.now.0, broken.0);
            println!(
                "again: caxton-sim --seed {seed} --seeds 1 --reloads {} --log",
                arguments.reloads
            );
            return ExitCode::FAILURE;
        }
        println!(
            "seed {seed}: {} reloads and {} starts hold, {:?}, {:?}, killed in {:?}",
            world.reloads, world.journal.starts, world.seen, world.reached, world.killed
        );
    }
    ExitCode::SUCCESS
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seed: 1,
        seeds: 10,
        reloads: 1_000,
        log: false,
    };
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--seed" => &mut arguments.seed,
            "--seeds" => &mut arguments.seeds,
            "--reloads" => &mut arguments.reloads,
            "--log" => {
                arguments.log = true;
                continue;
            }
            other => return Err(format!("{other} is not known")),
        };
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a number"))?;
        *place = value
            .parse()
            .map_err(|_| format!("{word}: {value} is not a number"))?;
    }
    Ok(arguments)
}
