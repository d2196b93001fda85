// Reads events and the metadata stream as a consumer does, and prints lines of JSON: see events.py.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

public final class Events {
    /** Events of which doubles are known, and messages of which something is missing. */
    private static final int REMEMBERED_MAX = 100_000;
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        var options = new Options(arguments);
        var metadata = options.all("--metadata");
        var topics = new ArrayList<>(options.all("--topic"));
        topics.addAll(metadata);
        var latest = new Latest();
        var messages = new Messages();
        try (var consumer = options.consumer()) {
            consumer.subscribe(topics);
            for (long records = 0; records < options.count(); ) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    records++;
                    if (metadata.contains(record.topic())) {
                        messages.told(JSON.readTree(record.value()));
                        continue;
                    }
                    var event = Event.read(record.value());
                    if (latest.isNew(event)) {
                        work(event);
                    }
                    messages.came(event);
                }
                // After the work: a crash before it repeats events and loses none.
                consumer.commitSync();
            }
        }
        if (!metadata.isEmpty()) {
            messages.known.forEach(Messages::show);
        }
    }

    /** The last events by id: a double has the same id and revision, a corrected event a higher revision. */
    private static final class Latest {
        private final Map<String, Integer> revisions = bounded();

        boolean isNew(Event event) {
            int known = revisions.getOrDefault(event.eventId(), 0);
            revisions.put(event.eventId(), Math.max(known, event.revision()));
            return event.revision() > known;
        }
    }

    /** What is known of each message: what the metadata stream says, and which of its events came. */
    private static final class Messages {
        private final Map<String, Known> known = bounded();

        private static final class Known {
            private boolean landed;
            private JsonNode parsed = JSON.createObjectNode();
            private final Set<Long> came = new HashSet<>();
        }

        void told(JsonNode record) {
            // What is no envelope has no id; its place is told.
            var source = record.get("source");
            var place = source.get("topic").asText() + "/" + source.get("partition") + "/" + source.get("offset");
            var message = of(record.path("message_id").asText(place));
            if (record.get("kind").asText().equals("landed")) {
                message.landed = true;
            } else {
                message.parsed = record;
            }
        }

        void came(Event event) {
            of(event.messageId()).came.add(event.index());
        }

        private Known of(String messageId) {
            return known.computeIfAbsent(messageId, id -> new Known());
        }

        private static void show(String messageId, Known known) {
            var line = JSON.createObjectNode();
            line.put("message", messageId).put("landed", known.landed);
            line.put("outcome", known.parsed.path("outcome").asText(null));
            line.put("reason", known.parsed.path("reason").asText(null));
            line.put("events", known.parsed.path("events").longValue()).put("came", known.came.size());
            System.out.println(line);
        }
    }

    private static <T> Map<String, T> bounded() {
        return new LinkedHashMap<>() {
            @Override
            protected boolean removeEldestEntry(Map.Entry<String, T> eldest) {
                return size() > REMEMBERED_MAX;
            }
        };
    }

    /** Yours. Here: one line for each event, each value under its type. */
    private static void work(Event event) {
        var line = JSON.createObjectNode();
        line.put("event", event.eventId()).put("message", event.messageId());
        line.put("device", event.deviceId()).put("verified", event.verified());
        line.put("time", nanoseconds(event.time()));
        line.put("revision", event.revision()).put("index", event.index());
        line.set("fields", shown(event.fields()));
        System.out.println(line);
    }

    private static ObjectNode shown(Map<?, ?> fields) {
        var all = JSON.createObjectNode();
        fields.forEach((name, value) -> all.set((String) name, shown(value)));
        return all;
    }

    private static ObjectNode shown(Object value) {
        var shown = JSON.createObjectNode();
        if (value == null) {
            shown.putNull("null");
        } else if (value instanceof Boolean bool) {
            shown.put("bool", bool);
        } else if (value instanceof Long whole) {
            shown.put("int", whole);
        } else if (value instanceof Double number && Double.isFinite(number)) {
            shown.put("float", number);
        } else if (value instanceof Double number) {
            shown.put("float", number.toString());
        } else if (value instanceof BigDecimal decimal) {
            shown.put("decimal", decimal.toPlainString());
        } else if (value instanceof byte[] bytes) {
            shown.put("bytes", bytes);
        } else if (value instanceof Instant time) {
            shown.put("time", nanoseconds(time));
        } else if (value instanceof List<?> items) {
            var list = shown.putArray("list");
            items.forEach(item -> list.add(shown(item)));
        } else if (value instanceof Map<?, ?> map) {
            shown.set("map", shown(map));
        } else {
            shown.put("text", (String) value);
        }
        return shown;
    }

    private static long nanoseconds(Instant time) {
        return Math.addExact(Math.multiplyExact(time.getEpochSecond(), 1_000_000_000L), time.getNano());
    }
}
