//! The object store fails, is slow, breaks off, or says what is not so: only large messages wait for it.

use std::thread;
use std::time::Duration;

use tests::store::Fault as Trouble;
use tests::store::{Kind, Order};

use crate::cell::{Expects, Fault};
use crate::rig::Rig;
use crate::setting::{Part, Setting};

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "store-failing",
        about: "the object store answers 503 to everything for 15 s, then to half of what it is asked",
        setting: scripted,
        run: |rig, draw| {
            during(rig, 15, [Order::new(Trouble::Refuse(503))]);
            during(rig, 15, [Order::new(Trouble::Refuse(503)).drawn(0.5, draw.seed())]);
        },
        expects: NAMED,
    },
    Fault {
        name: "store-forbidden",
        about: "the object store answers 403 to everything for 20 s",
        setting: scripted,
        run: |rig, _| during(rig, 20, [Order::new(Trouble::Refuse(403))]),
        expects: NAMED,
    },
    Fault {
        name: "store-full",
        about: "the object store answers 507 to what writes for 20 s: its disk is full",
        setting: scripted,
        run: |rig, _| {
            let writes = [Kind::Put, Kind::Begin, Kind::Part, Kind::Complete];
            during(rig, 20, [Order::new(Trouble::Refuse(507)).of(&writes)]);
        },
        expects: NAMED,
    },
    Fault {
        name: "store-slow",
        about: "the object store answers after 3 s, and takes 500 kB/s of each connection",
        setting: scripted,
        run: |rig, _| {
            during(rig, 15, [Order::new(Trouble::Late(Duration::from_secs(3)))]);
            during(rig, 15, [Order::new(Trouble::Slow(500_000))]);
        },
        expects: QUICK,
    },
    Fault {
        name: "store-cuts",
        about: "a third of the connections to the object store end in the middle of a request or an answer",
        setting: scripted,
        run: |rig, draw| {
            for trouble in [Trouble::CutRequest, Trouble::CutAnswer, Trouble::LoseAnswer] {
                during(rig, 12, [Order::new(trouble).drawn(0.3, draw.seed())]);
            }
        },
        expects: QUICK,
    },
    Fault {
        name: "store-error-inside",
        about: "every second completion of an upload is answered with 200 and an error inside",
        setting: scripted,
        run: |rig, _| during(rig, 25, [Order::new(Trouble::ErrorInside).every(2)]),
        expects: QUICK,
    },
    Fault {
        name: "store-lies",
        about: "every second completion of an upload is answered with 200, and there is no object",
        setting: scripted,
        run: |rig, _| {
            during(rig, 25, [Order::new(Trouble::Lie).of(&[Kind::Complete]).every(2)]);
        },
        expects: QUICK,
    },
    Fault {
        name: "store-killed",
        about: "the S3 server is killed and started again 30 times under uploads in parts (SIGKILL)",
        setting: |setting| {
            setting.takes(Part::Store);
            setting.large = true;
        },
        run: |rig, draw| {
            for _ in 0..30 {
                thread::sleep(draw.pause(100, 1200));
                rig.s3.kill();
                thread::sleep(draw.pause(0, 200));
                rig.s3.start_again();
            }
        },
        expects: QUICK,
    },
];

const QUICK: Expects = Expects { pubacks: true, ..Expects::NOTHING };
const NAMED: Expects = Expects { degraded: Some("object store"), ..QUICK };

fn scripted(setting: &mut Setting) {
    setting.large = true;
    setting.scripted_store = true;
}

fn during(rig: &Rig, seconds: u64, orders: impl IntoIterator<Item = Order>) {
    rig.store().order(orders);
    thread::sleep(Duration::from_secs(seconds));
    rig.store().release();
}
