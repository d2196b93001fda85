//! The calls of librdkafka for which rdkafka has no way of its own that is both safe and fast; all unsafe
//! code of the bridge is here.
//!
//! [`Hook`] wakes a thread when there are events: polling with a timeout returns at the timeout, not
//! at the first event. [`TopicHandles`] produces by topic handle: by name, each record would look its
//! topic up under a lock of the whole client. [`commit`] has its outcome told: rdkafka's own way to
//! commit without waiting tells nobody when it failed.

#![expect(unsafe_code, reason = "librdkafka is a library of C")]

use std::ffi::{CString, c_void};
use std::ptr;
use std::thread::Thread;

use rdkafka::TopicPartitionList;
use rdkafka::bindings::{self, rd_kafka_vtype_t as Kind, rd_kafka_vu_s__bindgen_ty_1 as Value};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::ProducerContext;
use rdkafka::util::IntoOpaque;

use crate::record::{Record, RecordBuf};

/// Has offsets committed, and does not wait for it: what became of it is told to the consumer's context when the
/// consumer is polled.
pub(crate) fn commit<C: ClientContext>(
    client: &Client<C>,
    offsets: &TopicPartitionList,
) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: client and list live, and the list is copied; the queue is a new reference that is given back
    // here, while the request has its own.
    let code = unsafe {
        let queue = bindings::rd_kafka_queue_get_consumer(client.native_ptr());
        if queue.is_null() {
            return Err(RDKafkaErrorCode::UnknownGroup);
        }
        let (client, offsets) = (client.native_ptr(), offsets.ptr());
        let code = bindings::rd_kafka_commit_queue(client, offsets, queue, None, ptr::null_mut());
        bindings::rd_kafka_queue_destroy(queue);
        code
    };
    match code.into() {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(code),
    }
}

/// Wakes a thread when the client's main queue is no longer empty. Dropped before its client.
pub(crate) struct Hook {
    queue: *mut bindings::rd_kafka_queue_t,
    /// Read by the callback; freed when no callback can come any more.
    thread: *mut Thread,
}

// SAFETY: librdkafka's queues are thread safe, and `thread` is only read while the hook lives.
unsafe impl Send for Hook {}

unsafe extern "C" fn wake(_: *mut bindings::rd_kafka_t, thread: *mut c_void) {
    // SAFETY: the pointer was made from a Box in `Hook::new` and is freed after the callback was
    // taken off the queue.
    let thread = unsafe { &*thread.cast::<Thread>() };
    thread.unpark();
}

impl Hook {
    pub(crate) fn new<C: ClientContext>(client: &Client<C>, thread: Thread) -> Hook {
        let thread = Box::into_raw(Box::new(thread));
        // SAFETY: the client lives, so its pointer is valid; the queue is a new reference that
        // `drop` gives back, and the callback gets the box made above.
        let queue = unsafe {
            let queue = bindings::rd_kafka_queue_get_main(client.native_ptr());
            bindings::rd_kafka_queue_cb_event_enable(queue, Some(wake), thread.cast());
            queue
        };
        Hook { queue, thread }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // SAFETY: disabling takes the queue's lock, under which callbacks run; after it none uses
        // `thread`, which is then freed once, as is the reference to the queue.
        unsafe {
            bindings::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            bindings::rd_kafka_queue_destroy(self.queue);
            drop(Box::from_raw(self.thread));
        }
    }
}

/// The topics that one client produced to; as many as the lane's configuration names. Dropped before
/// its client.
#[derive(Default)]
pub(crate) struct TopicHandles {
    handles: Vec<(Box<str>, *mut bindings::rd_kafka_topic_t)>,
}

// SAFETY: librdkafka's topic handles are thread safe.
unsafe impl Send for TopicHandles {}

/// A record that librdkafka has, with the token of whoever gave it: it comes back with the delivery report.
pub(crate) struct Held {
    pub record: RecordBuf,
    pub token: usize,
}

impl TopicHandles {
    /// Hands a record over for a partition; librdkafka reads its value where it lies, and gives it back with its
    /// delivery report. All calls must be for the same client, whose context has `Box<Held>` as its opaque.
    pub(crate) fn produce<C: ProducerContext<DeliveryOpaque = Box<Held>>>(
        &mut self,
        client: &Client<C>,
        held: Box<Held>,
        partition: u32,
    ) -> Result<(), (RDKafkaErrorCode, Box<Held>)> {
        let record = held.record.as_record();
        let topic = match self.handle(client, record.topic()) {
            Ok(topic) => topic,
            Err(code) => return Err((code, held)),
        };
        let (key, value) = (memory(record.key()), memory(record.value()));
        // Without headers their argument, the last, is left out: an empty list of them costs as much as a record.
        let headers = headers(record);
        let timestamp_ms = record.timestamp_ms();
        let held = held.into_ptr();
        let mut arguments = [
            argument(Kind::RD_KAFKA_VTYPE_RKT, Value { rkt: topic }),
            argument(Kind::RD_KAFKA_VTYPE_PARTITION, Value { i32_: partition as i32 }),
            argument(Kind::RD_KAFKA_VTYPE_KEY, key),
            argument(Kind::RD_KAFKA_VTYPE_VALUE, value),
            argument(Kind::RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: timestamp_ms }),
            argument(Kind::RD_KAFKA_VTYPE_OPAQUE, Value { ptr: held }),
            argument(Kind::RD_KAFKA_VTYPE_HEADERS, Value { headers }),
        ];
        // SAFETY: client and topic live. The key is copied. The value lies in the heap memory of `held`, which nobody
        // moves or changes: it is librdkafka's, behind the opaque, until the delivery report hands it to the context,
        // or until the call fails and it is taken back here. The headers become librdkafka's own unless the call
        // fails. The array is only read.
        unsafe {
            let error = bindings::rd_kafka_produceva(
                client.native_ptr(),
                arguments.as_mut_ptr(),
                arguments.len() - usize::from(headers.is_null()),
            );
            if error.is_null() {
                return Ok(());
            }
            let code = bindings::rd_kafka_error_code(error);
            bindings::rd_kafka_error_destroy(error);
            if !headers.is_null() {
                bindings::rd_kafka_headers_destroy(headers);
            }
            Err((code.into(), Box::from_ptr(held)))
        }
    }

    fn handle<C: ClientContext>(
        &mut self,
        client: &Client<C>,
        topic: &str,
    ) -> Result<*mut bindings::rd_kafka_topic_t, RDKafkaErrorCode> {
        if let Some((_, handle)) = self.handles.iter().find(|(known, _)| **known == *topic) {
            return Ok(*handle);
        }
        let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidArgument)?;
        // SAFETY: the client lives and the name is copied; without a configuration the topic gets
        // the client's.
        let handle = unsafe {
            bindings::rd_kafka_topic_new(client.native_ptr(), name.as_ptr(), ptr::null_mut())
        };
        if handle.is_null() {
            return Err(RDKafkaErrorCode::InvalidArgument);
        }
        self.handles.push((topic.into(), handle));
        Ok(handle)
    }
}

impl Drop for TopicHandles {
    fn drop(&mut self) {
        for (_, handle) in self.handles.drain(..) {
            // SAFETY: each handle was made once and is given back once.
            unsafe { bindings::rd_kafka_topic_destroy(handle) };
        }
    }
}

/// librdkafka's own table of its properties, as text: names, aliases, and who heeds them. Empty where
/// there is no memory for it.
pub(crate) fn property_table() -> String {
    let (mut text, mut bytes) = (ptr::null_mut::<libc::c_char>(), 0);
    // SAFETY: the stream writes into a buffer of its own, whose place and size it stores in the two
    // variables when it is closed; they outlive it. The buffer is read and freed after that, once.
    unsafe {
        let stream = libc::open_memstream(&mut text, &mut bytes);
        if stream.is_null() {
            return String::new();
        }
        bindings::rd_kafka_conf_properties_show(stream);
        libc::fclose(stream);
        let table = std::slice::from_raw_parts(text.cast::<u8>(), bytes);
        let table = String::from_utf8_lossy(table).into_owned();
        libc::free(text.cast());
        table
    }
}

/// The partition that the Java client, too, gives a record with that key.
#[cfg(test)]
pub(crate) fn partition(key: &[u8], count: i32) -> i32 {
    let nothing = ptr::null_mut();
    // SAFETY: the key is only read; topic and opaques are not used.
    unsafe {
        bindings::rd_kafka_msg_partitioner_murmur2(
            ptr::null(),
            key.as_ptr().cast(),
            key.len(),
            count,
            nothing,
            nothing,
        )
    }
}

fn argument(vtype: Kind, u: Value) -> bindings::rd_kafka_vu_t {
    bindings::rd_kafka_vu_t { vtype, u }
}

fn memory(bytes: &[u8]) -> Value {
    let ptr = bytes.as_ptr().cast_mut().cast();
    Value { mem: bindings::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size: bytes.len() } }
}

/// librdkafka's form of the record's headers, owned by the caller; null where there are none.
fn headers(record: Record<'_>) -> *mut bindings::rd_kafka_headers_t {
    let count = record.headers().count();
    if count == 0 {
        return ptr::null_mut();
    }
    // SAFETY: names and values are copied; their sizes are given.
    unsafe {
        let headers = bindings::rd_kafka_headers_new(count);
        for (name, value) in record.headers() {
            bindings::rd_kafka_header_add(
                headers,
                name.as_ptr().cast(),
                name.len() as isize,
                value.as_ptr().cast(),
                value.len() as isize,
            );
        }
        headers
    }
}
