// Follows Kafka topics from their beginning and prints a line for each record, with Kafka's own client and protobuf's:
// what has landed, for a judge that shares no code with the gateway.
//
// Run by Java from this file: java -cp … Landed.java BOOTSTRAP_SERVERS PATIENCE_SECONDS TOPIC…
//
// What it prints, separated by one space, texts percent-escaped, "-" for what is not there:
//   l GENERATION TOPIC PARTITION OFFSET TIMESTAMP APPENDED KEY MESSAGE_ID LANE GATEWAY DUP HEAD SIZE SHA256 URI REASON
//                                    APPENDED is 1 where the timestamp is Kafka's, of the append, and 0 where it is the producer's
//   p TOPIC GENERATION PARTITIONS    the topic was found, made anew, grew, or is gone (0)
//   a NAME                           everything is read that was there when "reach NAME" came
//   e                                the same for "finish", and the end
// What it reads: "begin TOPIC" (made anew: look at once), "reach NAME", "finish". The end of its input ends it.

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.landfall.v1.Envelope;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsResult;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.InvalidOffsetException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

final class Landed {
    /** How long one poll waits; after each of them the output is flushed. */
    private static final Duration POLL = Duration.ofMillis(100);
    /** Between two looks at which topics and partitions there are. */
    private static final long LOOK_EVERY_MS = 500;
    /** How long one request to Kafka may take before it is made again. */
    private static final int REQUEST_MS = 5_000;
    /** How long a position that is being looked up is waited for. */
    private static final Duration POSITION = Duration.ofMillis(50);
    /** Commands that wait. */
    private static final int COMMANDS = 64;
    /** Of a payload's first line. */
    private static final int HEAD_BYTES = 100;
    /** Between two lines about what Kafka answers. */
    private static final long COMPLAIN_EVERY_MS = 1_000;
    /** Stands in the queue of commands for the end of the input. */
    private static final String END = "";

    /** A topic by its name: it may be deleted and made anew, under another id. */
    private static final class Topic {
        int generation = -1;
        int partitions = 0;
        Uuid id;
        /** Brokers may tell of one that is gone for a while. */
        final Set<Uuid> gone = new HashSet<>();
    }

    /** Where a partition ended when somebody asked. */
    private record End(Uuid id, long offset) {}

    /** Everything that was there when it was asked for is to be read. */
    private static final class Goal {
        final String name;
        final long until;
        /** A look that began after the question. */
        final long look;
        ListOffsetsResult asked;
        Map<TopicPartition, Uuid> askedOf;
        Map<TopicPartition, End> ends;

        Goal(String name, long until, long look) {
            this.name = name;
            this.until = until;
            this.look = look;
        }

        boolean isFinish() {
            return name == null;
        }
    }

    /** How long it may take to read what was there. */
    private final long patienceMs;
    private final Map<String, Topic> topics = new LinkedHashMap<>();
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Admin admin;
    private final BlockingQueue<String> commands = new ArrayBlockingQueue<>(COMMANDS);
    private final List<Goal> goals = new ArrayList<>();
    private final PrintStream out =
        new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.US_ASCII);
    private final StringBuilder lines = new StringBuilder();
    private final MessageDigest sha256;

    /** Where each partition is read on. */
    private final Map<TopicPartition, Long> places = new HashMap<>();
    private DescribeTopicsResult look;
    private long looksBegun = 0;
    private long looksTaken = 0;
    private long nextLookMs = 0;
    private long nextComplaintMs = 0;
    private String lastError = "Kafka did not answer yet";
    /** What Kafka has no record for where it would be read on, and the first look that may tell why. */
    private final Map<TopicPartition, Long> outOfRange = new HashMap<>();

    private Landed(String bootstrap, long patienceMs, List<String> names) throws NoSuchAlgorithmException {
        this.patienceMs = patienceMs;
        names.forEach(name -> topics.put(name, new Topic()));
        sha256 = MessageDigest.getInstance("SHA-256");
        var common = new Properties();
        common.put("bootstrap.servers", bootstrap);
        // Brokers move, die and come back: it hears of it soon, and goes back to the addresses it began with.
        common.put("metadata.max.age.ms", "1000");
        common.put("metadata.recovery.rebootstrap.trigger.ms", "5000");
        common.put("reconnect.backoff.ms", "50");
        common.put("reconnect.backoff.max.ms", "500");
        common.put("retry.backoff.ms", "50");
        common.put("retry.backoff.max.ms", "500");
        common.put("socket.connection.setup.timeout.ms", "2000");
        common.put("request.timeout.ms", Integer.toString(REQUEST_MS));
        common.put("default.api.timeout.ms", Integer.toString(REQUEST_MS));
        admin = Admin.create(common);
        var reading = new Properties();
        reading.putAll(common);
        reading.put("enable.auto.commit", "false");
        reading.put("isolation.level", "read_uncommitted");
        // Whoever finds nothing where it wanted to read on has to see whether the topic is another one.
        reading.put("auto.offset.reset", "none");
        reading.put("allow.auto.create.topics", "false");
        reading.put("fetch.max.wait.ms", "100");
        reading.put("fetch.max.bytes", "16777216");
        reading.put("max.partition.fetch.bytes", "1048576");
        reading.put("max.poll.records", "1000");
        consumer = new KafkaConsumer<>(reading, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 3) {
            System.err.println("Landed.java needs BOOTSTRAP_SERVERS, PATIENCE_SECONDS and at least one TOPIC");
            System.exit(2);
        }
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "error");
        var landed = new Landed(
            arguments[0], 1000 * Long.parseLong(arguments[1]), List.of(arguments).subList(2, arguments.length));
        System.exit(landed.run());
    }

    private int run() {
        var input = new Thread(this::takeInput, "input");
        input.setDaemon(true);
        input.start();
        while (true) {
            for (String command; (command = commands.poll()) != null; ) {
                if (command.equals(END)) {
                    return 0;
                }
                obey(command);
            }
            look();
            read();
            Integer code = approach();
            out.append(lines);
            out.flush();
            lines.setLength(0);
            if (out.checkError()) {
                System.err.println("the output cannot be written: is its disk full?");
                return 1;
            }
            if (code != null) {
                return code;
            }
        }
    }

    private void takeInput() {
        try (var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line; (line = input.readLine()) != null; ) {
                if (!line.isBlank()) {
                    commands.put(line.strip());
                }
            }
            commands.put(END);
        } catch (IOException | InterruptedException error) {
            System.err.println("the input cannot be read: " + error);
            System.exit(1);
        }
    }

    private void obey(String command) {
        // What it is about may have happened after the look under way began.
        nextLookMs = 0;
        var words = command.split(" ");
        switch (words[0]) {
            case "begin" -> {}
            case "reach" -> goals.add(new Goal(words[1], now() + patienceMs, looksBegun + 1));
            case "finish" -> goals.add(new Goal(null, now() + patienceMs, looksBegun + 1));
            default -> System.err.println("no such command: " + command);
        }
    }

    /** Which topics and partitions there are; it waits for no answer. */
    private void look() {
        if (look != null && look.topicNameValues().values().stream().allMatch(future -> future.isDone())) {
            var taken = look;
            look = null;
            take(taken);
        }
        if (look == null && now() >= nextLookMs) {
            nextLookMs = now() + LOOK_EVERY_MS;
            looksBegun++;
            look = admin.describeTopics(topics.keySet(), new DescribeTopicsOptions().timeoutMs(REQUEST_MS));
        }
    }

    private void take(DescribeTopicsResult answer) {
        var anew = new HashSet<String>();
        boolean isWhole = true;
        for (var future : answer.topicNameValues().entrySet()) {
            var name = future.getKey();
            var topic = topics.get(name);
            try {
                TopicDescription told = future.getValue().get();
                if (topic.gone.contains(told.topicId())) {
                    continue;
                }
                if (!told.topicId().equals(topic.id)) {
                    if (topic.id != null) {
                        topic.gone.add(topic.id);
                    }
                    topic.id = told.topicId();
                    topic.generation++;
                    topic.partitions = 0;
                    anew.add(name);
                }
                // One that a broker does not know of yet is no partition less.
                resize(name, topic, Math.max(topic.partitions, told.partitions().size()));
            } catch (ExecutionException error) {
                var cause = error.getCause();
                if (cause instanceof UnknownTopicOrPartitionException || cause instanceof UnknownTopicIdException) {
                    resize(name, topic, 0);
                } else {
                    isWhole = false;
                    complain("topics: " + cause);
                }
            } catch (InterruptedException error) {
                throw new IllegalStateException("nobody interrupts this thread", error);
            }
        }
        assign(anew);
        if (isWhole) {
            looksTaken = looksBegun;
        }
        readAgain();
    }

    private void resize(String name, Topic topic, int partitions) {
        if (topic.partitions != partitions) {
            topic.partitions = partitions;
            lines.append("p ").append(name).append(' ').append(topic.generation);
            lines.append(' ').append(partitions).append('\n');
        }
    }

    /** What is new is read from its beginning, the rest from where it was; even where a topic was away for a moment. */
    private void assign(Set<String> anew) {
        var wanted = new HashSet<TopicPartition>();
        topics.forEach((name, topic) -> {
            for (int partition = 0; partition < topic.partitions; partition++) {
                wanted.add(new TopicPartition(name, partition));
            }
        });
        var before = Set.copyOf(consumer.assignment());
        places.keySet().removeIf(place -> anew.contains(place.topic()));
        if (wanted.equals(before) && anew.isEmpty()) {
            return;
        }
        consumer.assign(wanted);
        for (var place : wanted) {
            if (before.contains(place) && !anew.contains(place.topic())) {
                continue;
            }
            outOfRange.remove(place);
            consumer.resume(Set.of(place));
            Long next = places.get(place);
            if (next == null) {
                consumer.seekToBeginning(Set.of(place));
            } else {
                consumer.seek(place, next);
            }
        }
        outOfRange.keySet().retainAll(wanted);
    }

    /** A topic that is still the same has lost its oldest records, or its newest: what it has is read from its beginning. */
    private void readAgain() {
        var known = new ArrayList<TopicPartition>();
        outOfRange.forEach((place, since) -> {
            if (looksTaken >= since) {
                known.add(place);
            }
        });
        if (!known.isEmpty()) {
            consumer.seekToBeginning(known);
            consumer.resume(known);
            outOfRange.keySet().removeAll(known);
        }
    }

    private void read() {
        if (consumer.assignment().isEmpty()) {
            pause();
            return;
        }
        try {
            for (var record : consumer.poll(POLL)) {
                places.put(new TopicPartition(record.topic(), record.partition()), record.offset() + 1);
                print(record);
            }
        } catch (InvalidOffsetException error) {
            // It may be a topic made anew that nobody told of: the next look says so.
            error.partitions().forEach(place -> outOfRange.put(place, looksBegun + 1));
            consumer.pause(error.partitions());
            nextLookMs = 0;
        } catch (KafkaException error) {
            complain("records: " + error);
            pause();
        }
    }

    private static void pause() {
        try {
            Thread.sleep(POLL.toMillis());
        } catch (InterruptedException error) {
            throw new IllegalStateException("nobody interrupts this thread", error);
        }
    }

    /** Nearer to the goals; what the process ends with, if it does. */
    private Integer approach() {
        for (var goals = this.goals.iterator(); goals.hasNext(); ) {
            var goal = goals.next();
            if (isReached(goal)) {
                goals.remove();
                lines.append(goal.isFinish() ? "e" : "a " + goal.name).append('\n');
                if (goal.isFinish()) {
                    return 0;
                }
            } else if (now() >= goal.until) {
                goals.remove();
                System.err.println("not read within " + patienceMs / 1000 + " s: " + open(goal));
                if (goal.isFinish()) {
                    return 1;
                }
            }
        }
        return null;
    }

    private boolean isReached(Goal goal) {
        if (goal.ends == null) {
            ask(goal);
        }
        if (goal.ends == null) {
            return false;
        }
        goal.ends.entrySet().removeIf(end -> isRead(end.getKey(), end.getValue()));
        return goal.ends.isEmpty();
    }

    private void ask(Goal goal) {
        if (looksTaken < goal.look) {
            return;
        }
        if (goal.asked == null) {
            var latest = new HashMap<TopicPartition, OffsetSpec>();
            goal.askedOf = new HashMap<>();
            for (var place : consumer.assignment()) {
                latest.put(place, OffsetSpec.latest());
                goal.askedOf.put(place, topics.get(place.topic()).id);
            }
            goal.asked = admin.listOffsets(latest, new ListOffsetsOptions().timeoutMs(REQUEST_MS));
        }
        if (!goal.asked.all().isDone()) {
            return;
        }
        try {
            var told = goal.asked.all().get();
            goal.ends = new HashMap<>();
            told.forEach((place, end) -> goal.ends.put(place, new End(goal.askedOf.get(place), end.offset())));
        } catch (ExecutionException error) {
            complain("ends: " + error.getCause());
            goal.asked = null;
        } catch (InterruptedException error) {
            throw new IllegalStateException("nobody interrupts this thread", error);
        }
    }

    /** A topic that is gone has no end any more. */
    private boolean isRead(TopicPartition place, End end) {
        var topic = topics.get(place.topic());
        if (!end.id().equals(topic.id) || place.partition() >= topic.partitions) {
            return true;
        }
        if (outOfRange.containsKey(place)) {
            return false;
        }
        try {
            // Not the last record's offset: what transactions and compaction leave out is read too.
            return consumer.position(place, POSITION) >= end.offset();
        } catch (KafkaException | IllegalStateException error) {
            return false;
        }
    }

    private String open(Goal goal) {
        if (goal.ends == null) {
            return "the ends of the topics are not known; " + lastError;
        }
        var all = new TreeMap<String, String>();
        goal.ends.forEach((place, end) -> all.put(place.toString(), places.getOrDefault(place, 0L) + " of " + end.offset()));
        return all + "; " + lastError;
    }

    private void complain(String error) {
        lastError = error;
        if (now() >= nextComplaintMs) {
            nextComplaintMs = now() + COMPLAIN_EVERY_MS;
            System.err.println(error);
        }
    }

    private void print(ConsumerRecord<byte[], byte[]> record) {
        lines.append("l ").append(topics.get(record.topic()).generation);
        lines.append(' ').append(record.topic()).append(' ').append(record.partition());
        lines.append(' ').append(record.offset()).append(' ').append(record.timestamp());
        lines.append(record.timestampType() == TimestampType.LOG_APPEND_TIME ? " 1" : " 0");
        word(record.key());
        var value = record.value() == null ? new byte[0] : record.value();
        try {
            message(Envelope.parseFrom(value));
        } catch (InvalidProtocolBufferException error) {
            // It is nothing of the gateway's: its size and hash are the whole value's.
            lines.append(" - - - 0 - ").append(value.length).append(' ').append(hash(value)).append(" -");
        }
        Header reason = record.headers().lastHeader("landfall-reason");
        word(reason == null ? null : reason.value());
        lines.append('\n');
    }

    private void message(Envelope envelope) {
        lines.append(' ').append(uuid(envelope.getMessageId()));
        word(envelope.getLaneBytes().toByteArray());
        word(envelope.getGatewayIdBytes().toByteArray());
        lines.append(envelope.getDup() ? " 1" : " 0");
        var cut = envelope.getCutList().stream().filter(one -> one.getField().equals("payload")).findFirst();
        if (envelope.hasReference()) {
            var reference = envelope.getReference();
            lines.append(" - ").append(reference.getSize()).append(' ').append(hex(reference.getSha256()));
            word(reference.getUriBytes().toByteArray());
        } else if (cut.isPresent()) {
            lines.append(" - ").append(cut.get().getSize()).append(' ').append(hex(cut.get().getSha256())).append(" -");
        } else {
            var payload = envelope.getInline().toByteArray();
            word(head(payload));
            lines.append(' ').append(payload.length).append(' ').append(hash(payload)).append(" -");
        }
    }

    private static byte[] head(byte[] payload) {
        int end = 0;
        while (end < Math.min(payload.length, HEAD_BYTES) && payload[end] != '\n') {
            end++;
        }
        return Arrays.copyOf(payload, end);
    }

    private String hash(byte[] bytes) {
        return HexFormat.of().formatHex(sha256.digest(bytes));
    }

    private static String hex(ByteString bytes) {
        return bytes.isEmpty() ? "-" : HexFormat.of().formatHex(bytes.toByteArray());
    }

    private static String uuid(ByteString bytes) {
        if (bytes.size() != 16) {
            return "-";
        }
        var hex = hex(bytes);
        return String.join("-", hex.substring(0, 8), hex.substring(8, 12), hex.substring(12, 16), hex.substring(16, 20), hex.substring(20));
    }

    /** A text as one word: what is not plain is escaped, and so is a text that would look like none. */
    private void word(byte[] text) {
        lines.append(' ');
        if (text == null || text.length == 0) {
            lines.append('-');
            return;
        }
        if (text.length == 1 && text[0] == '-') {
            lines.append("%2D");
            return;
        }
        for (byte one : text) {
            boolean isPlain = one >= 'a' && one <= 'z' || one >= 'A' && one <= 'Z' || one >= '0' && one <= '9'
                || "._~/:-".indexOf(one) >= 0;
            if (isPlain) {
                lines.append((char) one);
            } else {
                lines.append('%').append(HexFormat.of().withUpperCase().toHexDigits(one));
            }
        }
    }

    private static long now() {
        return System.nanoTime() / 1_000_000;
    }
}
