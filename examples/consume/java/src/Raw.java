// Reads lanes as a consumer does, and prints a line of JSON for each message that is not in the object store.

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.landfall.v1.Envelope;
import dev.landfall.v1.Reference;
import java.time.Duration;

public final class Raw {
    public static void main(String[] arguments) {
        var options = new Options(arguments);
        long handled = 0;
        try (var consumer = options.consumer()) {
            consumer.subscribe(options.all("--topic"));
            while (handled < options.count()) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    Envelope envelope;
                    try {
                        envelope = Envelope.parseFrom(record.value());
                    } catch (InvalidProtocolBufferException error) {
                        System.err.println(record.topic() + "@" + record.offset() + " is no envelope: " + error.getMessage());
                        continue;
                    }
                    byte[] payload = envelope.hasReference()
                        ? fetch(envelope.getReference())     // yours: see References
                        : envelope.getInline().toByteArray();
                    work(envelope, payload);
                    handled++;
                }
                consumer.commitSync();
            }
        }
    }

    private static byte[] fetch(Reference reference) {
        throw new UnsupportedOperationException(reference.getUri() + " is in the object store");
    }

    private static void work(Envelope envelope, byte[] payload) {
        var line = new ObjectMapper().createObjectNode();
        line.put("device", envelope.getDeviceId()).put("topic", envelope.getSourceTopic());
        line.put("received_ms", envelope.getReceivedMs()).put("payload", payload);
        System.out.println(line);
    }
}
