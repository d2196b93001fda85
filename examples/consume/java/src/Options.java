// The arguments of a consumer, and Kafka's client as they ask for it.

import java.util.HashMap;
import java.util.List;
import java.util.ArrayList;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Options such as {@code --topic landfall.fast}; each may be given again. */
final class Options {
    private final Map<String, List<String>> all = new HashMap<>();

    Options(String[] arguments) {
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "warn");
        for (int at = 0; at + 1 < arguments.length; at += 2) {
            all.computeIfAbsent(arguments[at], name -> new ArrayList<>()).add(arguments[at + 1]);
        }
    }

    List<String> all(String name) {
        return all.getOrDefault(name, List.of());
    }

    String one(String name, String otherwise) {
        return all(name).stream().findFirst().orElse(otherwise);
    }

    /** How many records to read before it ends. */
    long count() {
        return Long.parseLong(one("--count", Long.toString(Long.MAX_VALUE)));
    }

    KafkaConsumer<String, byte[]> consumer() {
        var properties = new Properties();
        properties.put("bootstrap.servers", one("--bootstrap-servers", "localhost:9092"));
        properties.put("group.id", one("--group", "landfall-example"));
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        return new KafkaConsumer<>(properties, new StringDeserializer(), new ByteArrayDeserializer());
    }
}
