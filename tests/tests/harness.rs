//! The oracles against one another: what the other suites believe is checked here with other people's programs.

use mica_tests::archive::archive;
use mica_tests::dump::{as_archived, dump, nodes, print};
use mica_tests::generate;
use mica_tests::history::{base64, compared};
use mica_tests::lab::{FileSystem, Lab};
use mica_tests::listing;
use mica_tests::tree;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

const SCRIPT: &str = "
    d dir mode=2750 own=1:2 mtime=1000.5
    f dir/file data=\"hello\\n\" own=1000:1000 mtime=1000.123456789 x:user.a=b
    h dir/hard to=dir/file mtime=1000.123456789
    l dir/link to=file mtime=7
    p pipe mode=600 mtime=8
    c null rdev=1:3 mtime=9
    b block rdev=254:0 mtime=10
    f empty mode=4711 mtime=11
    f \\xff\\xfe data=bytes mtime=12
    f nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn mtime=13
";

#[test]
fn an_archive_script_unpacked_by_gnu_tar_is_the_tree_script() {
    let lab = Lab::on(FileSystem::Machine);
    let (model, unpacked) = (lab.scratch("model"), lab.scratch("unpacked"));
    tree::build(&model, SCRIPT);
    listing::extract(&archive(SCRIPT), &unpacked);
    assert_eq!(
        print(&as_archived(&nodes(&unpacked))),
        print(&as_archived(&nodes(&model)))
    );
}

#[test]
fn a_script_gives_the_same_tree_twice() {
    let lab = Lab::on(FileSystem::Tmpfs);
    let (one, two) = (lab.path("fs/one"), lab.path("fs/two"));
    for root in [&one, &two] {
        std::fs::create_dir(root).expect("make a directory");
        tree::build(root, SCRIPT);
        tree::build(
            root,
            "- dir/hard\n> dir/file to=moved\nd x\nf x/y fill=9000\n> x to=z\nm null mode=600",
        );
    }
    let times = |root| {
        dump(root)
            .lines()
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(times(&one), times(&two));
    assert_eq!(nodes(&one)[0].modified, nodes(&two)[0].modified);
}

#[test]
fn generated_histories_give_the_same_trees_on_another_file_system() {
    let lab = Lab::on(FileSystem::Xfs);
    let mut runner = TestRunner::deterministic();
    let mut lines = 0;
    for number in 0..20 {
        let scripts = generate::scripts()
            .new_tree(&mut runner)
            .expect("scripts")
            .current();
        let history = generate::history("h", &scripts, &lab.scratch(&format!("model-{number}")));
        let (one, two) = (
            lab.scratch(&format!("one-{number}")),
            lab.path(&format!("fs/two-{number}")),
        );
        std::fs::create_dir(&two).expect("make a directory");
        for step in &history.steps {
            tree::build(&one, step);
            tree::build(&two, step);
            assert_eq!(
                print(&as_archived(&nodes(&one))),
                print(&as_archived(&nodes(&two))),
                "{step}"
            );
            lines += step.lines().count();
        }
    }
    assert!(
        lines > 400,
        "the generator makes next to nothing: {lines} lines"
    );
}

#[test]
fn changes_follow_the_rules_of_the_original() {
    let lab = Lab::on(FileSystem::Machine);
    let model = lab.scratch("model");
    tree::build(
        &model,
        "d a\nf a/f data=1\nf a/g data=1\nd gone\nf gone/below data=1\nd kept\nf kept/f data=1\nf s data=1",
    );
    let before = nodes(&model);
    tree::build(
        &model,
        "f a/f data=2\n- a/g\n- gone\nd new\nf new/f data=1\nd s\nf s/f data=1",
    );
    let changes = compared(&before, &nodes(&model));
    assert_eq!(
        changes,
        "C /a\nC /a/f\nD /a/g\nD /gone\nA /new\nA /new/f\nC /s\nA /s/f\n"
    );
    assert_eq!(compared(&before, &before), "");
}

#[test]
fn base64_is_that_of_the_standard() {
    let cases = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foobar", "Zm9vYmFy"),
    ];
    for (plain, encoded) in cases {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
}

#[test]
fn a_lab_leaves_no_mount_and_no_loop_device() {
    let image = {
        let lab = Lab::on(FileSystem::Ext4);
        assert!(!lab.mount_table().is_empty());
        lab.path("image")
    };
    assert!(!image.exists());
    let attached = std::fs::read_dir("/sys/block")
        .expect("block devices")
        .flatten()
        .any(|device| {
            let file = std::fs::read_to_string(device.path().join("loop/backing_file"));
            file.is_ok_and(|file| {
                file.trim_end_matches(" (deleted)\n").trim() == image.display().to_string()
            })
        });
    assert!(
        !attached,
        "a loop device is still attached to {}",
        image.display()
    );
}

/// What the histories leave out is what an overlay cannot do: on the kernel's own they give the same trees.
#[test]
fn generated_histories_give_the_same_trees_on_an_overlay() {
    let lab = Lab::on(FileSystem::Ext4);
    let mut runner = TestRunner::deterministic();
    for number in 0..12 {
        let scripts = generate::scripts()
            .new_tree(&mut runner)
            .expect("scripts")
            .current();
        let history = generate::history("h", &scripts, &lab.scratch(&format!("model-{number}")));
        on_an_overlay(&lab, number, &history.steps);
    }
}

fn on_an_overlay(lab: &Lab, number: usize, steps: &[String]) {
    let model = lab.scratch(&format!("one-{number}"));
    let at = |name: String| {
        let path = lab.path(&format!("fs/{number}-{name}"));
        std::fs::create_dir(&path).expect("make a directory");
        path.display().to_string()
    };
    let mut lowers: Vec<String> = Vec::new();
    for (depth, step) in steps.iter().enumerate() {
        let upper = at(format!("upper{depth}"));
        let merged = if lowers.is_empty() {
            upper.clone()
        } else {
            at(format!("merged{depth}"))
        };
        if !lowers.is_empty() {
            let work = at(format!("work{depth}"));
            let options = format!(
                "redirect_dir=nofollow,metacopy=off,index=off,xino=off,lowerdir={},upperdir={upper},workdir={work}",
                lowers.join(":")
            );
            mica_tests::lab::run(&["mount", "-t", "overlay", "-o", &options, "overlay", &merged]);
        }
        tree::build(&model, step);
        tree::build(std::path::Path::new(&merged), step);
        let (seen, expected) = (nodes(std::path::Path::new(&merged)), nodes(&model));
        if !lowers.is_empty() {
            mica_tests::lab::run(&["umount", &merged]);
        }
        assert_eq!(
            print(&as_archived(&seen)),
            print(&as_archived(&expected)),
            "{}",
            steps.join("\n--\n")
        );
        lowers.insert(0, upper);
    }
}
