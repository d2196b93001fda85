// An event as Java sees it, out of either format of a canonical topic.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import dev.landfall.v1.IdentityTrust;
import dev.landfall.v1.Value;
import java.io.IOException;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/**
 * An event, whichever way it was written. A field is a Long, Double, BigDecimal, Boolean, String, byte[],
 * Instant, List, Map, or null, which is not absent.
 */
record Event(
        String eventId,
        String messageId,
        String deviceId,
        boolean verified,
        Instant time,
        int revision,
        long index,
        Map<String, Object> fields) {

    private static final ObjectMapper JSON = new ObjectMapper();

    /** JSON begins with a brace, and protobuf never does. */
    static Event read(byte[] value) throws IOException {
        return value[0] == '{' ? of(JSON.readTree(value)) : of(dev.landfall.v1.Event.parseFrom(value));
    }

    private static Event of(JsonNode event) throws IOException {
        return new Event(
                event.get("event_id").textValue(),
                event.get("message_id").textValue(),
                event.get("device_id").textValue(),
                event.get("verified").booleanValue(),
                Instant.parse(event.get("time").textValue()),
                event.get("revision").intValue(),
                event.get("index").longValue(),
                map(event.get("fields"), "", event.path("types")));
    }

    private static Map<String, Object> map(JsonNode map, String pointer, JsonNode types) throws IOException {
        var fields = new LinkedHashMap<String, Object>();
        for (var field : map.properties()) {
            var name = field.getKey().replace("~", "~0").replace("/", "~1");
            fields.put(field.getKey(), typed(field.getValue(), pointer + "/" + name, types));
        }
        return fields;
    }

    /** A value of JSON as what it is: types names what JSON has no type for, by its pointer (RFC 6901). */
    private static Object typed(JsonNode value, String pointer, JsonNode types) throws IOException {
        var text = value.textValue();
        switch (types.path(pointer).asText()) {
            case "decimal":
                return new BigDecimal(text);
            case "bytes":
                return value.binaryValue();
            case "time":
                return Instant.parse(text);
            case "float":
                return Double.valueOf(text);
            default:
        }
        switch (value.getNodeType()) {
            case NULL:
                return null;
            case BOOLEAN:
                return value.booleanValue();
            case NUMBER:
                // Whole numbers are written without a point, and have 64 bits: never read them as a double.
                if (value.isIntegralNumber()) {
                    return value.longValue();
                }
                return value.doubleValue();
            case ARRAY:
                var items = new ArrayList<Object>();
                for (var item : value) {
                    items.add(typed(item, pointer + "/" + items.size(), types));
                }
                return items;
            case OBJECT:
                return map(value, pointer, types);
            default:
                return text;
        }
    }

    private static Event of(dev.landfall.v1.Event event) {
        return new Event(
                id(event.getEventId()),
                id(event.getMessageId()),
                event.getDeviceId(),
                event.getDeviceIdTrust() == IdentityTrust.IDENTITY_TRUST_VERIFIED,
                time(event.getTime()),
                event.getRevision(),
                event.getIndex(),
                map(event.getFieldsMap()));
    }

    private static Map<String, Object> map(Map<String, Value> values) {
        var fields = new LinkedHashMap<String, Object>();
        values.forEach((name, value) -> fields.put(name, of(value)));
        return fields;
    }

    private static Object of(Value value) {
        return switch (value.getKindCase()) {
            case NULL_VALUE, KIND_NOT_SET -> null;
            case BOOL_VALUE -> value.getBoolValue();
            case INT_VALUE -> value.getIntValue();
            case FLOAT_VALUE -> value.getFloatValue();
            case DECIMAL_VALUE -> new BigDecimal(value.getDecimalValue());
            case TEXT_VALUE -> value.getTextValue();
            case BYTES_VALUE -> value.getBytesValue().toByteArray();
            case TIME_VALUE -> time(value.getTimeValue());
            case LIST_VALUE -> {
                List<Object> items = new ArrayList<>();
                value.getListValue().getValuesList().forEach(item -> items.add(of(item)));
                yield items;
            }
            case MAP_VALUE -> map(value.getMapValue().getValuesMap());
        };
    }

    private static Instant time(Timestamp time) {
        return Instant.ofEpochSecond(time.getSeconds(), time.getNanos());
    }

    private static String id(ByteString bytes) {
        var buffer = bytes.asReadOnlyByteBuffer();
        return new UUID(buffer.getLong(), buffer.getLong()).toString();
    }
}
