//! A PUBLISH too large for its lane, which goes to the object store while it arrives; and the same sent
//! again, of which only the hash is wanted.

use bridge::uplink::Large;
use bridge::{Carriage, Upload};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_128;

use super::Close;
use super::block::Block;
use super::inbound::Intake;
use super::packets::{Packets, Step};
use super::publish::Publishing;
use crate::session::window::{Admission, Publish};

/// A large message that arrives.
pub(super) struct Arriving {
    upload: Upload,
    /// None for QoS 0.
    publish: Option<Publish>,
    topic_hash: u128,
    /// Bytes of its payload that have to come, and all of them.
    left: u32,
    size: u32,
}

impl Arriving {
    /// Takes what fits of the next bytes; zero: nothing does before a part is stored.
    fn push(&mut self, data: &[u8]) -> Result<usize, Close> {
        let taken = self.upload.push(data).map_err(|_| Close::StoreFailed)?;
        self.left -= taken as u32;
        Ok(taken)
    }

    /// Tells the whole message from another.
    fn fingerprint(&self) -> u128 {
        self.upload.fingerprint() ^ self.topic_hash
    }

    pub fn left(&self) -> u32 {
        self.left
    }

    pub fn size(&self) -> u32 {
        self.size
    }
}

/// A large message that is sent again while the first is open.
pub(super) struct Rejoining {
    publish: Publish,
    /// The fingerprint of the message whose packet id it has; its outcome may come meanwhile.
    first: u128,
    topic_hash: u128,
    hasher: Sha256,
    left: u32,
    size: u32,
}

impl Rejoining {
    fn new(publish: Publish, first: u128, topic_hash: u128, size: u32) -> Rejoining {
        Rejoining { publish, first, topic_hash, hasher: Sha256::new(), left: size, size }
    }

    /// Takes the next bytes.
    fn push(&mut self, data: &[u8]) -> usize {
        let taken = data.len().min(self.left as usize);
        self.hasher.update(&data[..taken]);
        self.left -= taken as u32;
        taken
    }

    /// The message as it is known now that it is whole, and whether it is the first one again.
    fn end(self) -> (Publish, bool) {
        let sha256 = self.hasher.finalize().into();
        let fingerprint = Upload::fingerprint_of(&sha256) ^ self.topic_hash;
        (Publish { fingerprint, ..self.publish }, fingerprint == self.first)
    }

    pub fn left(&self) -> u32 {
        self.left
    }

    pub fn size(&self) -> u32 {
        self.size
    }
}

impl Packets<'_> {
    /// Takes the head; the payload follows.
    pub(super) fn begin_large(
        &mut self,
        publishing: &Publishing<'_>,
        large: &Large<'_>,
    ) -> Result<Step, Close> {
        let head = publishing.head;
        let size = publishing.payload_bytes();
        let taken = Step::Taken(publishing.head_bytes());
        let topic_hash = xxh3_128(head.topic.as_bytes());
        let publish = (head.qos > 0).then(|| {
            // Its memory is the part that the upload took from the lane's share.
            let received_us = self.shared.edge.micros(self.clock.now);
            publishing.publish(Carriage::Large, 0, 0, received_us)
        });
        if let Some(publish) = publish {
            // At QoS 2 only its last byte tells whether it is a resend, so it is uploaded until then.
            if head.qos == 1
                && let Some(first) = self.session.window.fingerprint_of(publish.packet_id)
            {
                if !head.dup {
                    return self.known_again(Admission::PacketIdInUse, &publish, 0);
                }
                let rejoining = Rejoining::new(publish, first, topic_hash, size);
                self.inbound.intake = Intake::Rejoin(Box::new(rejoining));
                return Ok(taken);
            }
            match self.session.window.admit(&publish) {
                Admission::PacketIdInUse => {
                    return self.known_again(Admission::PacketIdInUse, &publish, 0);
                }
                Admission::Full => return self.wait_for_window(publish.packet_id),
                _ => {}
            }
        }
        match large.begin(Some(self.session.mailbox())) {
            Ok(upload) => {
                let arriving = Arriving { upload, publish, topic_hash, left: size, size };
                self.inbound.intake = Intake::Upload(Box::new(arriving));
                Ok(taken)
            }
            Err(_) if head.qos == 0 => Ok(self.begin_skip(publishing, bridge::Refusal::Shed)),
            Err(full) => Ok(Step::Blocked(Block::Room(full))),
        }
    }

    pub(super) fn take_upload(
        &mut self,
        mut arriving: Box<Arriving>,
        data: &[u8],
    ) -> Result<Step, Close> {
        let taken = arriving.push(data)?;
        if arriving.left > 0 {
            self.inbound.intake = Intake::Upload(arriving);
            return Ok(if taken > 0 { Step::Taken(taken) } else { Step::Blocked(Block::Upload) });
        }
        self.deadlines.packet_received(self.clock.now);
        let fingerprint = arriving.fingerprint();
        let Arriving { upload, publish, .. } = *arriving;
        let Some(publish) = publish else {
            upload.finish(None);
            return Ok(Step::Taken(taken));
        };
        let publish = Publish { fingerprint, ..publish };
        let admission = self.session.window.admit(&publish);
        if matches!(admission, Admission::Joined | Admission::Received) {
            // Dropped here, it leaves nothing behind.
            drop(upload);
            return self.known_again(admission, &publish, taken);
        }
        upload.finish(Some(self.session.open(publish)));
        Ok(Step::Taken(taken))
    }

    pub(super) fn take_rejoin(
        &mut self,
        mut rejoining: Box<Rejoining>,
        data: &[u8],
    ) -> Result<Step, Close> {
        let taken = rejoining.push(data);
        if rejoining.left > 0 {
            self.inbound.intake = Intake::Rejoin(rejoining);
            return Ok(Step::Taken(taken));
        }
        self.deadlines.packet_received(self.clock.now);
        let (publish, is_first) = rejoining.end();
        let admission = match self.session.window.admit(&publish) {
            _ if !is_first => Admission::PacketIdInUse,
            // The first one was acknowledged while this one came: that answered both.
            Admission::New | Admission::Full => Admission::Joined,
            admission => admission,
        };
        self.known_again(admission, &publish, taken)
    }
}

#[cfg(test)]
mod tests {
    use bridge::LaneId;

    use super::*;
    use crate::session::window::Group;

    #[test]
    fn a_resend_is_known_by_its_content_however_it_is_cut() {
        let payload = [7; 1000];
        let topic_hash = xxh3_128(b"devices/meter/m-1/image");
        let first = Upload::fingerprint_of(&Sha256::digest(payload).into()) ^ topic_hash;
        let publish = Publish {
            packet_id: 1,
            qos: 1,
            dup: true,
            fingerprint: 0,
            bytes: 0,
            group: Group::of(LaneId::SLOW, Carriage::Large),
            received_us: 0,
        };
        for (length, changed) in [(1, false), (7, false), (1000, false), (3000, false), (10, true)]
        {
            let mut again = payload;
            again[999] += u8::from(changed);
            // What is behind it is not its.
            let bytes = [&again[..], &[0xc0, 0]].concat();
            let mut rejoining = Rejoining::new(publish, first, topic_hash, 1000);
            let mut taken = 0;
            for piece in bytes.chunks(length) {
                taken += rejoining.push(piece);
            }
            assert_eq!((taken, rejoining.left()), (1000, 0), "in pieces of {length}");
            let (publish, is_first) = rejoining.end();
            assert_eq!(is_first, !changed);
            assert_eq!(publish.fingerprint == first, !changed);
        }
    }
}
