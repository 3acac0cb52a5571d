//! The rules of the model, one scenario each, as the log of what it says.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::simulation::{Kind, World};
use crate::{Options, folder::Seen};

fn check(world: &World, expected: Expect) {
    expected.assert_eq(&world.log());
}

fn world() -> World {
    World::new(Options::default())
}

/// Two agents that were delivered, with an empty log.
fn two_delivered() -> World {
    let mut world = world();
    world.write("a.wasm", "a1");
    world.write("b.wasm", "b1");
    world.run(1_000);
    assert_eq!(world.wanted().len(), 2);
    world.clear_log();
    world
}

#[test]
fn a_first_component_stands_still_before_it_is_taken_even_when_its_writer_is_done() {
    let mut world = world();
    world.write("a.wasm", "a1");
    world.hear("a.wasm");
    world.run(100);
    world.write("a.toml", "c1");
    world.hear("a.toml");
    world.run(1_000);
    check(
        &world,
        expect![[r#"
            300    wanted a a1 c1
        "#]],
    );
}

#[test]
fn a_configuration_alone_waits_silently_however_bad_it_is() {
    let mut world = world();
    world.write_kind("a.toml", Kind::Large(1_000_000));
    world.run(60_000);
    check(&world, expect![[r#""#]]);
    world.write("a.wasm", "a1");
    world.run(1_000);
    check(
        &world,
        expect![[r#"
            60000  refused a.toml: 1000000 bytes are more than the limit of 65536 bytes; check that this is the configuration that you meant
        "#]],
    );
    world.write("a.toml", "c1");
    world.run(1_000);
    check(
        &world,
        expect![[r#"
            60000  refused a.toml: 1000000 bytes are more than the limit of 65536 bytes; check that this is the configuration that you meant
            61200  cleared a.toml
            61200  wanted a a1 c1
        "#]],
    );
}

#[test]
fn a_later_version_is_taken_at_once_when_its_writer_is_done() {
    let mut world = two_delivered();
    world.write("a.wasm", "a2");
    world.hear("a.wasm");
    world.look();
    check(
        &world,
        expect![[r#"
            1000   wanted a a2 -
        "#]],
    );
}

#[test]
fn a_later_version_stands_still_when_nothing_is_known_of_its_writer() {
    let mut world = two_delivered();
    for piece in ["a", "aa", "aaa", "aaaa"] {
        world.write("a.wasm", piece);
        world.look();
        world.run(150);
    }
    world.run(1_000);
    check(
        &world,
        expect![[r#"
            1650   wanted a aaaa -
        "#]],
    );
}

#[test]
fn equal_bytes_are_nothing_and_going_back_is_something() {
    let mut world = two_delivered();
    world.replace("a.wasm", "a1");
    world.run(3_000);
    assert_eq!(world.log(), "");
    world.replace("a.wasm", "a2");
    world.run(3_000);
    world.replace("a.wasm", "a1");
    world.run(3_000);
    check(
        &world,
        expect![[r#"
            4200   wanted a a2 -
            7200   wanted a a1 -
        "#]],
    );
}

#[test]
fn equal_bytes_that_are_written_again_are_delivered_again_where_that_is_wanted() {
    let mut world = World::new(Options {
        repeats: true,
        ..Options::default()
    });
    world.write("a.wasm", "a1");
    world.run(1_000);
    // Not because time passes, and not because something is heard.
    world.hear("a.wasm");
    world.run(60_000);
    world.replace("a.wasm", "a1");
    world.hear("a.wasm");
    world.run(3_000);
    check(
        &world,
        expect![[r#"
            200    wanted a a1 -
            61000  wanted a a1 -
        "#]],
    );
}

#[test]
fn a_configuration_that_comes_changes_or_goes_is_delivered_with_the_component() {
    let mut world = two_delivered();
    world.write("a.toml", "c1");
    world.run(3_000);
    world.write("a.toml", "c2");
    world.run(3_000);
    world.remove("a.toml");
    world.run(10_000);
    check(
        &world,
        expect![[r#"
            1200   wanted a a1 c1
            4200   wanted a a1 c2
            12000  wanted a a1 -
        "#]],
    );
}

#[test]
fn both_files_replaced_by_removing_first_are_one_change() {
    let mut world = two_delivered();
    world.write("a.toml", "c1");
    world.run(3_000);
    world.clear_log();
    world.remove("a.wasm");
    world.remove("a.toml");
    world.run(500);
    world.write("a.wasm", "a2");
    world.hear("a.wasm");
    world.run(500);
    world.write("a.toml", "c2");
    world.hear("a.toml");
    world.run(10_000);
    check(
        &world,
        expect![[r#"
            5000   wanted a a2 c2
        "#]],
    );
}

#[test]
fn a_removal_is_believed_after_the_grace_and_forgotten_when_the_file_is_back() {
    let mut world = two_delivered();
    world.remove("a.wasm");
    world.run(4_000);
    world.write("a.wasm", "a1");
    world.run(20_000);
    assert_eq!(world.log(), "");
    world.remove("a.wasm");
    world.run(20_000);
    check(
        &world,
        expect![[r#"
            30000  gone a
        "#]],
    );
}

#[test]
fn the_only_file_can_be_removed() {
    let mut world = world();
    world.write("a.wasm", "a1");
    world.run(1_000);
    world.remove("a.wasm");
    world.run(20_000);
    check(
        &world,
        expect![[r#"
            200    wanted a a1 -
            6000   gone a
        "#]],
    );
}

#[test]
fn all_files_going_within_one_grace_removes_nothing() {
    let mut world = two_delivered();
    world.remove("a.wasm");
    world.run(3_000);
    world.remove("b.wasm");
    world.run(60_000);
    check(
        &world,
        expect![[r#"
            6000   lost all components are gone from agents (2 deployed); everything serves on: put a component there to show that the directory is meant, then what is missing is removed
        "#]],
    );
    // What comes back shows that the directory is meant; the rest is then missing for real.
    world.write("b.wasm", "b2");
    world.run(60_000);
    check(
        &world,
        expect![[r#"
            6000   lost all components are gone from agents (2 deployed); everything serves on: put a component there to show that the directory is meant, then what is missing is removed
            64000  found
            64200  wanted b b2 -
            69000  gone a
        "#]],
    );
}

#[test]
fn files_removed_one_by_one_are_removed() {
    let mut world = two_delivered();
    world.remove("a.wasm");
    world.run(8_000);
    world.remove("b.wasm");
    world.run(8_000);
    check(
        &world,
        expect![[r#"
            6000   gone a
            14000  gone b
        "#]],
    );
}

#[test]
fn a_directory_that_is_away_removes_nothing_and_starts_the_grace_anew() {
    let mut world = two_delivered();
    world.remove("a.wasm");
    world.run(3_000);
    world.away(true);
    world.run(60_000);
    world.away(false);
    world.run(4_000);
    check(
        &world,
        expect![[r#"
            4000   lost agents is missing; everything serves on: restore it, or create it again and copy the files back
            64000  found
        "#]],
    );
    world.run(4_000);
    check(
        &world,
        expect![[r#"
            4000   lost agents is missing; everything serves on: restore it, or create it again and copy the files back
            64000  found
            69000  gone a
        "#]],
    );
}

#[test]
fn a_directory_that_comes_back_empty_removes_nothing_even_of_one() {
    let mut world = world();
    world.write("a.wasm", "a1");
    world.run(1_000);
    world.clear_log();
    world.away(true);
    world.run(3_000);
    world.remove("a.wasm");
    world.away(false);
    world.run(60_000);
    check(
        &world,
        expect![[r#"
            1000   lost agents is missing; everything serves on: restore it, or create it again and copy the files back
            4000   lost all components are gone from agents (1 deployed); everything serves on: put a component there to show that the directory is meant, then what is missing is removed
        "#]],
    );
}

#[test]
fn another_device_is_accepted_when_everything_is_there() {
    let mut world = two_delivered();
    world.device(2);
    world.run(3_000);
    assert_eq!(world.log(), "");
    world.remove("a.wasm");
    world.device(3);
    world.run(60_000);
    check(
        &world,
        expect![[r#"
            4000   lost agents is on another device than before and not all deployed files are there; everything serves on: mount the old one again, copy the files into the new one, or restart to accept it as it is
        "#]],
    );
    world.write("a.wasm", "a2");
    world.run(60_000);
    check(
        &world,
        expect![[r#"
            4000   lost agents is on another device than before and not all deployed files are there; everything serves on: mount the old one again, copy the files into the new one, or restart to accept it as it is
            64000  found
            64200  wanted a a2 -
        "#]],
    );
}

#[test]
fn an_incomplete_component_waits_then_is_refused_then_delivered() {
    let mut world = two_delivered();
    world.write_kind("a.wasm", Kind::Cut("a2"));
    world.run(20_000);
    check(
        &world,
        expect![[r#"
            6000   refused a.wasm: the component ends early: 3 bytes are there and nothing was added for 5 s; if the copy is still running it is taken when complete, otherwise copy it again
        "#]],
    );
    world.write("a.wasm", "a2");
    world.run(20_000);
    check(
        &world,
        expect![[r#"
            6000   refused a.wasm: the component ends early: 3 bytes are there and nothing was added for 5 s; if the copy is still running it is taken when complete, otherwise copy it again
            21400  cleared a.wasm
            21400  wanted a a2 -
        "#]],
    );
}

#[test]
fn a_writer_that_opens_the_file_for_each_piece_is_read_a_few_times_only() {
    let mut world = two_delivered();
    for piece in 0..1_000 {
        world.write_kind("a.wasm", Kind::CutAt(piece));
        world.hear("a.wasm");
        world.look();
        world.run(20);
    }
    world.write("a.wasm", "a2");
    world.hear("a.wasm");
    world.run(5_000);
    check(
        &world,
        expect![[r#"
            22600  wanted a a2 -
        "#]],
    );
    assert!(world.reads() < 20, "{} reads", world.reads());
}

#[test]
fn each_refusal_is_said_once_and_cleared_once() {
    let mut world = two_delivered();
    world.write_kind("a.wasm", Kind::Large(209_715_200));
    world.write("Bad Name.wasm", "x");
    world.write("b.wasm", "");
    world.see("c.wasm", Seen::Other("a directory"));
    world.see("d.wasm", Seen::Dangling);
    world.see("e.wasm", Seen::Unreadable("Permission denied".to_owned()));
    world.write("f.wasm", "f1");
    world.write_kind("f.toml", Kind::NotText);
    world.run(20_000);
    check(
        &world,
        expect![[r#"
            1000   refused Bad Name.wasm: this name cannot be used: a name is 1 to 64 of a-z 0-9 - _ and starts with a letter or digit; rename the file, for example to bad-name.wasm
            1200   refused a.wasm: 209715200 bytes are more than the limit of 104857600 bytes; strip debug information (wasm-tools strip) or raise the limit
            1200   refused c.wasm: this is a directory, not a regular file; remove or rename it
            1200   refused d.wasm: this symbolic link leads to nothing; restore its target or remove the link
            1200   refused e.wasm: cannot be read: Permission denied; check its owner and permissions
            1200   refused f.toml: not UTF-8 text: byte 1 is not; save the file as UTF-8
            6000   refused b.wasm: the file is empty and has been for 5 s; copy the component again
        "#]],
    );
    for file in ["Bad Name.wasm", "c.wasm", "d.wasm", "e.wasm", "f.toml"] {
        world.remove(file);
    }
    world.replace("a.wasm", "a1");
    world.replace("b.wasm", "b2");
    world.run(20_000);
    check(
        &world,
        expect![[r#"
            1000   refused Bad Name.wasm: this name cannot be used: a name is 1 to 64 of a-z 0-9 - _ and starts with a letter or digit; rename the file, for example to bad-name.wasm
            1200   refused a.wasm: 209715200 bytes are more than the limit of 104857600 bytes; strip debug information (wasm-tools strip) or raise the limit
            1200   refused c.wasm: this is a directory, not a regular file; remove or rename it
            1200   refused d.wasm: this symbolic link leads to nothing; restore its target or remove the link
            1200   refused e.wasm: cannot be read: Permission denied; check its owner and permissions
            1200   refused f.toml: not UTF-8 text: byte 1 is not; save the file as UTF-8
            6000   refused b.wasm: the file is empty and has been for 5 s; copy the component again
            21000  cleared Bad Name.wasm
            21000  cleared c.wasm
            21000  cleared d.wasm
            21000  cleared e.wasm
            21000  cleared f.toml
            21200  cleared a.wasm
            21200  cleared b.wasm
            21200  wanted b b2 -
            26000  wanted f f1 -
        "#]],
    );
}

#[test]
fn a_write_that_leaves_the_same_dates_is_found_by_reading_once_more() {
    let mut world = two_delivered();
    world.run(7);
    world.write("a.wasm", "a2");
    world.hear("a.wasm");
    world.look();
    world.write("a.wasm", "a3");
    world.run(1_000);
    check(
        &world,
        expect![[r#"
            1007   wanted a a2 -
            1057   wanted a a3 -
        "#]],
    );
}

#[test]
fn a_file_that_moves_under_every_read_is_not_delivered_and_does_not_spin() {
    let mut world = World::new(Options {
        settle: std::time::Duration::ZERO,
        ..Options::default()
    });
    world.write("a.wasm", "a1");
    world.move_under_reads(true);
    world.run(1_000);
    assert_eq!(world.log(), "");
    assert!(world.reads() <= 101, "{} reads", world.reads());
    world.move_under_reads(false);
    world.run(1_000);
    check(
        &world,
        expect![[r#"
            1000   wanted a a1 -
        "#]],
    );
}

#[test]
fn what_is_done_but_not_there_is_nothing() {
    let mut world = two_delivered();
    world.hear("nothing.wasm");
    world.hear(".hidden");
    world.look();
    assert_eq!(world.log(), "");
    assert_eq!(
        world.wanted().keys().cloned().collect::<BTreeSet<_>>(),
        ["a", "b"].map(str::to_owned).into()
    );
}

/// The start of a later run, after one that delivered these names.
fn restarted(names: &[&str]) -> World {
    World::known(Options::default(), names)
}

#[test]
fn a_known_name_whose_file_is_not_there_is_gone_after_the_grace() {
    let mut world = restarted(&["a", "b"]);
    world.write("b.wasm", "b1");
    world.run(30_000);
    check(
        &world,
        expect![[r#"
            200    wanted b b1 -
            5000   gone a
        "#]],
    );
}

#[test]
fn an_empty_directory_at_the_start_removes_nothing_even_of_one() {
    let mut world = restarted(&["a"]);
    world.write("a.toml", "c1");
    world.run(60_000);
    check(
        &world,
        expect![[r#"
            0      lost all components are gone from agents (1 deployed); everything serves on: put a component there to show that the directory is meant, then what is missing is removed
        "#]],
    );
    world.write("b.wasm", "b1");
    world.run(60_000);
    check(
        &world,
        expect![[r#"
            0      lost all components are gone from agents (1 deployed); everything serves on: put a component there to show that the directory is meant, then what is missing is removed
            60000  found
            60200  wanted b b1 -
            65000  gone a
        "#]],
    );
}

#[test]
fn a_directory_that_is_missing_at_the_start_removes_nothing_and_gives_a_fresh_grace() {
    let mut world = restarted(&["a", "b"]);
    world.away(true);
    world.run(60_000);
    world.write("b.wasm", "b1");
    world.away(false);
    world.run(30_000);
    check(
        &world,
        expect![[r#"
            0      lost agents is missing; everything serves on: restore it, or create it again and copy the files back
            60000  found
            60200  wanted b b1 -
            65000  gone a
        "#]],
    );
}

#[test]
fn a_known_name_is_delivered_once_for_comparison() {
    let mut world = restarted(&["a"]);
    world.write("a.wasm", "a1");
    world.run(30_000);
    world.replace("a.wasm", "a1");
    world.run(30_000);
    check(
        &world,
        expect![[r#"
            200    wanted a a1 -
        "#]],
    );
}

#[test]
fn an_empty_directory_at_the_first_start_is_fine() {
    let mut world = restarted(&[]);
    world.run(30_000);
    check(&world, expect![[""]]);
}
