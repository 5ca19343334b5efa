//! The encoding of plans, as far as it can be tried without a kernel: `make miri` runs this under Miri, too.

#![allow(clippy::unwrap_used)]

use runtime_init::{
    BindBelow, BindInside, Bytes, Header, Malformed, MountAttributes, NewMount, Node, Numbers,
    Rendezvous, Report, Slot, Step, Text, TextList, decode,
};

const ATTRIBUTES: MountAttributes = MountAttributes {
    set: 1,
    clear: u64::MAX,
    propagation: 1 << 19,
};

/// Steps with every kind of argument that there is.
fn steps() -> [Step<'static>; 13] {
    [
        Step::JoinCgroups { count: u16::MAX },
        Step::Fork,
        Step::Wait(Rendezvous::IdMaps),
        Step::WriteProc {
            path: Text(c"self/uid_map"),
            value: Text(c""),
        },
        Step::MountNew(NewMount {
            fstype: Text(c"tmpfs"),
            options: TextList::new(b"size=64k\0mode=755\0not the end"),
            attributes: ATTRIBUTES,
            target: Text(c"/tmp"),
            strict: true,
            keep_mode: false,
            copy_up: true,
        }),
        Step::BindInside(BindInside {
            source: Text(c"/a"),
            target: Text(c"/\xff"),
            recursive: true,
            own: ATTRIBUTES,
            all: ATTRIBUTES,
            propagation: Numbers::new(&[1, 0, 0, 0, 2, 0, 0, 0, 7]),
            mapped: false,
        }),
        Step::BindBelow(BindBelow {
            source: Text(c"/sys/fs/cgroup/pids/web"),
            target: Text(c"/sys/fs/cgroup/pids"),
            all: ATTRIBUTES,
        }),
        Step::MakeDevice(Node {
            path: Text(c"/dev/null"),
            mode: 0o20666,
            device: 0x103,
            uid: 0,
            gid: u32::MAX,
        }),
        Step::SetUser {
            uid: 1000,
            gid: 1000,
            groups: Some(Numbers::new(&[5, 0, 0, 0])),
        },
        Step::SetUser {
            uid: 0,
            gid: 0,
            groups: None,
        },
        Step::FindProgram {
            candidates: TextList::new(b""),
        },
        Step::LoadSeccomp {
            flags: 4,
            program: Bytes(&[6, 0, 0, 0, 0, 0, 0xff, 0x7f]),
        },
        Step::Execute,
    ]
}

fn encoded() -> Vec<u8> {
    let header = Header {
        steps: steps().len() as u32,
        stamps: Some(Slot(3)),
    };
    let mut buffer = [0; 1024];
    let mut bytes = postcard::to_slice(&header, &mut buffer).unwrap().to_vec();
    for step in &steps() {
        bytes.extend_from_slice(postcard::to_slice(step, &mut buffer).unwrap());
    }
    bytes
}

/// Goes through a plan as the init does.
fn walk(plan: &[u8]) -> Result<Vec<Step<'_>>, Malformed> {
    let (header, mut rest) = decode::<Header>(plan)?;
    let mut steps = Vec::new();
    for _ in 0..header.steps {
        let (step, after) = decode::<Step<'_>>(rest)?;
        assert!(after.len() < rest.len(), "{step:?} takes no bytes");
        assert!(!format!("{step:?}").is_empty());
        steps.push(step);
        rest = after;
    }
    Ok(steps)
}

#[test]
fn a_plan_is_decoded_to_the_steps_that_were_encoded() {
    assert_eq!(walk(&encoded()), Ok(steps().to_vec()));
}

#[test]
fn a_plan_that_is_cut_off_anywhere_is_malformed() {
    let plan = encoded();
    for end in 0..plan.len() {
        assert_eq!(walk(&plan[..end]), Err(Malformed), "{end} bytes");
    }
}

#[test]
fn a_plan_with_any_bit_changed_is_malformed_or_another_plan() {
    let plan = encoded();
    let (mut malformed, mut other) = (0, 0);
    for bit in 0..plan.len() * 8 {
        let mut changed = plan.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        match walk(&changed) {
            Ok(_) => other += 1,
            Err(Malformed) => malformed += 1,
        }
    }
    assert!(malformed > 0 && other > 0, "{malformed} and {other}");
}

#[test]
fn a_text_has_one_nul_and_that_at_its_end() {
    for (bytes, good) in [
        (b"\x04abc\0".as_slice(), true),
        (b"\x01\0", true),
        (b"\x00", false),
        (b"\x03abc", false),
        (b"\x04a\0b\0", false),
        (b"\x05abc\0", false),
    ] {
        assert_eq!(decode::<Text<'_>>(bytes).is_ok(), good, "{bytes:?}");
    }
}

#[test]
fn what_is_left_at_the_end_of_a_list_is_no_part_of_it() {
    let texts: Vec<_> = TextList::new(b"a\0\0b").iter().collect();
    assert_eq!(texts, [c"a", c""]);
    let numbers = Numbers::new(&[1, 0, 0, 0, 9]);
    assert_eq!((numbers.len(), numbers.iter().sum()), (1, 1));
    assert!(Numbers::new(&[1, 2, 3]).is_empty());
}

#[test]
fn a_report_is_of_one_size_and_says_nothing_else() {
    let mut accepted = 0;
    for kind in 0..=u8::MAX {
        for operation in 0..=u8::MAX {
            let message = [kind, operation, 1, 2, 3, 4, 5, 6, 7, 8];
            if let Some(report) = Report::decode(&message) {
                assert_eq!(report.encode(), message);
                accepted += 1;
            }
        }
    }
    assert!((1..1 << 12).contains(&accepted), "{accepted}");
    assert_eq!(Report::decode(&[0; Report::SIZE + 1]), None);
    assert_eq!(Report::decode(&[0; Report::SIZE - 1]), None);
}
